//! Names, times, numbers and cron lines.

use proptest::prelude::*;
use proptest::sample::select;
use ranq::auth::Pattern;
use ranq::cron::{Cron, CronFault};
use ranq::types::{
    ExactTimestamp, IdempotencyKey, JobId, LeaderboardName, Limit, Member, Payload, QueueName, RateLimit, Reason,
    Score, Timestamp,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::hold;

const CASES: u32 = 400;

/// Any text, and such as is nearly right.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-zA-Z0-9._-]{0,70}",
        "\\PC{0,140}",
        "[\\x00-\\x20a\u{7f}-\u{a0}\u{2028}]{1,4}",
        select(&["", ".", "..", "open", "null", "NaN", "-0", "ä", "\u{feff}a", "a\u{0}", "%00", "🦀", "\u{202e}a"][..])
            .prop_map(str::to_owned),
    ]
}

/// What a text that is taken must be, and that it is then shown as it was given.
fn check_name<T>(given: &str, is_right: impl Fn(&str) -> bool) -> Result<(), TestCaseError>
where
    T: TryFrom<String, Error = String> + ToString + Serialize + DeserializeOwned,
{
    match T::try_from(given.to_owned()) {
        Ok(taken) => {
            prop_assert!(is_right(given), "{given:?} is taken");
            prop_assert_eq!(taken.to_string(), given);
            let json = serde_json::to_string(&taken).expect("JSON");
            let back: T = serde_json::from_str(&json).expect("what was written");
            prop_assert_eq!(back.to_string(), given);
        }
        Err(detail) => {
            prop_assert!(!is_right(given), "{given:?} is refused: {detail}");
            prop_assert!(detail.starts_with("must"), "{detail}");
            prop_assert!(serde_json::from_value::<T>(given.into()).is_err());
        }
    }
    Ok(())
}

#[test]
fn names_are_taken_by_their_rules() {
    let is_name = |text: &str| {
        text.len() <= 64
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
    };
    let is_member = |text: &str| !text.is_empty() && text.len() <= 128 && !text.chars().any(char::is_control);
    hold("names", CASES, &text(), |given| {
        check_name::<LeaderboardName>(&given, is_name)?;
        check_name::<QueueName>(&given, is_name)?;
        check_name::<Member>(&given, is_member)?;
        check_name::<JobId>(&given, |text| is_member(text) && text != "." && text != "..")?;
        let is_key = |text: &str| (1..=128).contains(&text.len()) && text.bytes().all(|byte| (33..127).contains(&byte));
        check_name::<IdempotencyKey>(&given, is_key)?;
        let is_reason = |text: &str| (1..=500).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        check_name::<Reason>(&given, is_reason)
    });
}

fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        text(),
        "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,12})?(Z|z|[+-][0-9]{2}:?[0-9]{2})?",
        "[+-]?[0-9]{1,7}-[0-9]{1,3}-[0-9]{1,3}T[0-9:.,]{0,20}(Z|\\[[A-Za-z/]{1,10}\\])?",
        any::<i64>().prop_map(|millis| Timestamp::from_millis(millis).to_string()),
        "open|-?[0-9]{1,30}",
    ]
}

#[test]
fn times_that_are_taken_are_shown_so_that_they_are_taken_again() {
    hold("times", CASES, &time(), |given| {
        if let Ok(taken) = serde_json::from_value::<Timestamp>(given.clone().into()) {
            let shown = taken.to_string();
            prop_assert_eq!(shown.len(), 24, "{:?} is shown as {}", given, shown);
            let again: Timestamp = serde_json::from_value(shown.clone().into()).expect("it is taken again");
            prop_assert_eq!(again.as_millis(), taken.as_millis());
            prop_assert_eq!(again.to_string(), shown);
        }
        if let Ok(taken) = given.parse::<ExactTimestamp>() {
            let again: ExactTimestamp = taken.to_string().parse().expect("it is taken again");
            prop_assert_eq!(again.as_micros(), taken.as_micros());
        }
        Ok(())
    });
}

pub fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,5})?",
        any::<f64>().prop_map(|value| format!("{value:?}")),
        any::<f64>().prop_map(|value| format!("{value:e}")),
        any::<i128>().prop_map(|value| value.to_string()),
        "[-+]?[0-9._eE+-]{0,12}",
        "\\PC{0,6}",
        select(
            &[
                "NaN",
                "Infinity",
                "-Infinity",
                "1e400",
                "-1e-400",
                "0x10",
                "1_000",
                "01",
                "1.",
                ".5",
                "-0",
                "-",
                "1e",
                "4.9e-324"
            ][..]
        )
        .prop_map(str::to_owned),
    ]
}

#[test]
fn scores_are_finite_numbers_that_come_back() {
    hold("scores", CASES, &number(), |given| {
        let taken = serde_json::from_str::<Score>(&given);
        // JSON as the standard library's parser of numbers sees it.
        let value = serde_json::from_str::<&serde_json::value::RawValue>(&given).ok();
        let number = value
            .map(serde_json::value::RawValue::get)
            .filter(|raw| raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()));
        let expected = number.and_then(|raw| raw.parse::<f64>().ok()).filter(|value| value.is_finite());
        prop_assert_eq!(taken.as_ref().ok().map(|score| score.value()), expected, "{:?}", given);
        let Ok(score) = taken else { return Ok(()) };
        prop_assert!(score.value().to_bits() != (-0.0_f64).to_bits());
        let shown = serde_json::to_string(&score).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Score>(&shown).expect("a score"), score);
        prop_assert_eq!(Score::from_redis(score.to_redis().as_bytes()), Some(score));
        Ok(())
    });
}

#[test]
fn texts_of_redis_are_scores_or_nothing() {
    hold("scores of Redis", CASES, &proptest::collection::vec(any::<u8>(), 0..20), |bytes| {
        prop_assert!(Score::from_redis(&bytes).is_none_or(|score| score.value().is_finite()));
        Ok(())
    });
}

#[test]
fn limits_keep_to_their_bounds() {
    hold("limits", CASES, &number(), |given| {
        let taken = serde_json::from_str::<Limit>(&given).ok().map(|limit| u64::from(limit.get()));
        let expected = given.trim().parse::<u64>().ok().filter(|number| (1..=1000).contains(number));
        // A text that begins with + or 0 is no number of JSON.
        prop_assert!(taken == expected || taken.is_none(), "{given:?}: {taken:?}");
        prop_assert!(
            taken.is_some() || expected.is_none() || !given.starts_with(|first: char| ('1'..='9').contains(&first))
        );
        Ok(())
    });
}

#[test]
fn rates_and_patterns_keep_to_their_bounds() {
    let given = prop_oneof![text(), "[0-9]{1,22}/[0-9]{0,22}(ms|s|m|h|d|w|)", "\\*{0,2}[a-z.]{0,3}\\*{0,2}"];
    hold("rates and patterns", CASES, &given, |given| {
        match given.parse::<RateLimit>() {
            Ok(rate) => {
                let in_bounds = (1..=RateLimit::MAX_LIMIT).contains(&rate.limit)
                    && (1..=RateLimit::MAX_PER_MS).contains(&rate.per_ms);
                prop_assert!(in_bounds && given.contains('/'), "{given:?}: {rate:?}");
            }
            Err(detail) => prop_assert!(detail.starts_with("must"), "{detail}"),
        }
        match Pattern::try_from(given.clone()) {
            Ok(pattern) => {
                let beginning = given.trim_end_matches('*');
                prop_assert!(pattern.matches(beginning) && pattern.covers(&pattern), "{given:?}");
                prop_assert_eq!(pattern.matches(&format!("{beginning}x")), given.ends_with('*'));
            }
            Err(detail) => prop_assert!(detail.starts_with("must"), "{detail}"),
        }
        Ok(())
    });
}

/// Cron lines and time zones, more or less.
fn line() -> impl Strategy<Value = (String, Option<String>)> {
    let field = prop_oneof![
        Just("*".to_owned()),
        "[0-9]{1,4}",
        "[0-9*]{1,2}-[0-9]{1,2}(/[0-9]{1,3})?",
        "\\*/[0-9]{0,20}",
        "([0-9]{1,2},){0,6}[0-9]{1,2}",
        "(MON|fri|JAN|dec|L|W|15W|LW|#|1#5|7L|\\?|@daily|@@)",
        "[-0-9A-Z*/,#?+]{0,8}",
    ];
    let fields = proptest::collection::vec(field, 0..8).prop_map(|fields| fields.join(" "));
    let zone = proptest::option::of(prop_oneof![
        Just("Europe/Berlin".to_owned()),
        "[A-Za-z_]{0,10}/[A-Za-z_]{0,10}",
        "(UTC|GMT|Etc/GMT[+-][0-9]{1,2}|[+-][0-9]{2}:[0-9]{2}|\\.\\./\\.\\./etc/passwd)",
        text(),
    ]);
    (prop_oneof![fields, "@[a-z]{0,12}", text()], zone)
}

#[test]
fn cron_lines_tick_or_are_refused_in_words() {
    hold("cron lines", CASES, &line(), |(line, zone)| {
        match Cron::parse(&line, zone.as_deref()) {
            Ok(cron) => {
                let mut at = 1_795_412_400_000;
                for _ in 0..3 {
                    let Some(next) = cron.next_after(at) else { break };
                    prop_assert!(next > at, "{line:?} ticks at {next} after {at}");
                    prop_assert_eq!(cron.latest_until(at, next), Some(next), "{:?}", line);
                    at = next;
                }
                let again = Cron::parse(cron.line(), Some(cron.timezone())).expect("what is kept is taken again");
                prop_assert_eq!(again.next_after(1_795_412_400_000), cron.next_after(1_795_412_400_000));
            }
            Err(CronFault::Line(detail) | CronFault::Zone(detail)) => prop_assert!(!detail.trim().is_empty()),
        }
        Ok(())
    });
}

#[test]
fn json_that_passes_through_is_kept_byte_for_byte() {
    hold("JSON as it is", CASES, &crate::documents::json(), |given| {
        let whole = format!("[{given}]");
        let taken: Result<(Payload,), _> = serde_json::from_str(&whole);
        let (payload,) = taken.map_err(|error| TestCaseError::fail(format!("{given}: {error}")))?;
        prop_assert_eq!(payload.as_str(), given.trim_matches([' ', '\n', '\r', '\t']));
        prop_assert_eq!(Payload::from_stored(payload.as_str().to_owned()), Some(payload));
        Ok(())
    });
}
