//! Cron lines read, and what is wrong with them.

use croner::CronPattern;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};

const MAX_LINE_BYTES: usize = 256;
const FIELDS: [&str; 6] = ["second", "minute", "hour", "day of the month", "month", "day of the week"];

/// The fields of a line, or what is wrong with it in one sentence without a full stop.
pub(super) fn pattern_of(line: &str) -> Result<CronPattern, String> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let fields: Vec<&str> = line.split_whitespace().collect();
    match fields[..] {
        _ if line.len() > MAX_LINE_BYTES => Err(format!("a line has {MAX_LINE_BYTES} bytes at most")),
        [name] if name.eq_ignore_ascii_case("@midnight") => pattern_of("@daily"),
        [name] if name.starts_with('@') => parser.parse(name).map(|cron| cron.pattern).map_err(|_| {
            format!("`{name}` is not one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually")
        }),
        [..] if !(5..=6).contains(&fields.len()) => Err(format!(
            "a line has five fields, the minute first, or six, the second first; this one has {}",
            fields.len()
        )),
        [..] => parser.parse(line).map(|cron| cron.pattern).map_err(|error| {
            let faults = FIELDS[FIELDS.len() - fields.len()..].iter().zip(&fields).enumerate();
            let found = faults.map(|(place, (name, field))| {
                let mut alone = vec!["*"; fields.len()];
                alone[place] = field;
                let error = parser.parse(&alone.join(" ")).err()?;
                Some(format!("the {name} `{field}` is not understood: {}", reason(&error)))
            });
            found.flatten().next().unwrap_or_else(|| format!("the line is not understood: {}", reason(&error)))
        }),
    }
}

/// The parser's words as the end of a sentence.
fn reason(error: &CronError) -> String {
    let text = match error {
        CronError::ComponentError(text) => text.clone(),
        CronError::IllegalCharacters(_) => "it has a character that does not belong there".to_owned(),
        other => other.to_string(),
    };
    let mut letters = text.trim_end_matches('.').chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}
