//! Segments: what describes members, and the rankings beside the whole that follow from it.
//!
//! A dimension (`country`) is declared alone or as a part of a combination (`country+platform`). Each has a number, which
//! keys of a ranking's ZSET of segments begin with; a dimension that is declared anew gets another one, so that it never
//! meets old values. `lua/_segment_write.lua` and `lua/_describe.lua` write the same format.

use std::collections::{BTreeMap, BTreeSet};

use super::settings::Settings;
use crate::error::{Error, Fault, Result};
use crate::types::WindowName;

/// Values of one dimension in a ranking: what an operator can still look through.
const MAX_VALUES: u64 = 1_000;
/// Values of a combination in a ranking.
const MAX_COMBINED_VALUES: u64 = 10_000;
const MAX_SEGMENTS: usize = 8;
const MAX_COMBINED: usize = 4;
const MAX_VALUE_BYTES: usize = 64;
/// Between the values of a combination, which have no control characters.
const JOIN: char = '\u{1f}';
/// The field of the stored numbers that holds the last one given. No dimension has an empty name.
const LAST: &str = "";

/// One dimension or combination of a leaderboard.
#[derive(Debug, Clone, PartialEq)]
struct Dimension {
    number: u64,
    /// The names, sorted; one for a dimension alone.
    names: Vec<String>,
    /// Whether it is declared, and not only a part of a combination.
    ranked: bool,
}

impl Dimension {
    fn name(&self) -> String {
        self.names.join("+")
    }

    fn most_values(&self) -> u64 {
        match (self.ranked, self.names.len()) {
            (false, _) => 0,
            (true, 1) => MAX_VALUES,
            (true, _) => MAX_COMBINED_VALUES,
        }
    }
}

/// The dimensions of a leaderboard, those alone first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Dimensions {
    all: Vec<Dimension>,
    /// The last number that was given to one.
    last: u64,
    /// As scripts take them.
    lines: String,
}

/// One value of a segment: a ranking beside the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part(String);

impl Part {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A segment whose values are listed.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) number: u64,
    names: Vec<String>,
}

impl Listed {
    /// The values of one ranking by dimension, as the script names them.
    pub(super) fn values(&self, joined: &str) -> BTreeMap<String, String> {
        self.names.iter().cloned().zip(joined.split(JOIN).map(str::to_owned)).collect()
    }
}

impl Dimensions {
    /// Those that the settings declare. What was declared before keeps its number.
    pub(super) fn of(settings: &Settings, numbers: &BTreeMap<String, u64>) -> Self {
        let last = numbers.get(LAST).copied().unwrap_or(0);
        let mut dimensions = Self { last, ..Self::default() };
        let declared: BTreeSet<Vec<String>> = settings.segments.iter().map(|segment| names_of(segment)).collect();
        let alone: BTreeSet<Vec<String>> = declared.iter().flatten().map(|name| vec![name.clone()]).collect();
        let combined = declared.iter().filter(|names| names.len() > 1).cloned();
        for names in alone.iter().cloned().chain(combined) {
            let number = numbers.get(&names.join("+")).copied().unwrap_or_else(|| {
                dimensions.last += 1;
                dimensions.last
            });
            let ranked = declared.contains(&names);
            dimensions.all.push(Dimension { number, names, ranked });
        }
        dimensions.lines = dimensions.write();
        dimensions
    }

    /// The numbers, by name, as they are stored.
    pub(super) fn numbers(&self) -> BTreeMap<String, u64> {
        let own = self.all.iter().map(|dimension| (dimension.name(), dimension.number));
        own.chain([(LAST.to_owned(), self.last)]).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The numbers of those that had rankings here, and have none in `new`.
    pub(super) fn missing_in<'a>(&'a self, new: &'a Self) -> impl Iterator<Item = u64> + 'a {
        let ranked = |dimensions: &'a Self| dimensions.all.iter().filter(|dimension| dimension.ranked);
        let stays = move |mine: &&Dimension| ranked(new).any(|theirs| theirs.number == mine.number);
        ranked(self).filter(move |mine| !stays(mine)).map(|mine| mine.number)
    }

    /// The dimensions as scripts take them.
    pub(super) fn as_argument(&self) -> &str {
        &self.lines
    }

    fn write(&self) -> String {
        let line = |dimension: &Dimension| {
            let parts = dimension.names.iter().filter_map(|name| self.alone(name));
            let parts: Vec<String> = parts.map(|part| part.number.to_string()).collect();
            format!("{} {} {}", dimension.number, dimension.most_values(), parts.join("+"))
        };
        self.all.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The values of a submission as scripts take them.
    pub(super) fn pack(&self, values: &BTreeMap<String, String>) -> String {
        let known = values.iter().filter_map(|(name, value)| Some((self.alone(name)?.number, value)));
        known.map(|(number, value)| format!("\u{1}{number}\u{2}{value}")).collect()
    }

    /// What an entry's parts say of its member, by dimension.
    pub(super) fn unpack(&self, parts: &str) -> BTreeMap<String, String> {
        let alone = self.all.iter().filter(|dimension| dimension.names.len() == 1);
        let names: BTreeMap<u64, &String> = alone.map(|dimension| (dimension.number, &dimension.names[0])).collect();
        let part = |part: &str| {
            let (number, value) = part.split_once(['\u{2}', '\u{3}'])?;
            Some(((*names.get(&number.parse().ok()?)?).clone(), value.to_owned()))
        };
        parts.split('\u{1}').filter_map(part).collect()
    }

    /// What a part is called where people read it: its values by dimension, as JSON; empty for the whole.
    pub(super) fn part_name(&self, part: &str) -> Option<String> {
        if part.is_empty() {
            return Some(String::new());
        }
        let (number, joined) = part.split_once('\u{2}')?;
        let number: u64 = number.parse().ok()?;
        let names = &self.all.iter().find(|dimension| dimension.number == number)?.names;
        let values: BTreeMap<&String, &str> = names.iter().zip(joined.split(JOIN)).collect();
        serde_json::to_string(&values).ok()
    }

    /// The names of the dimensions, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        self.all.iter().filter(|dimension| dimension.names.len() == 1).map(Dimension::name).collect()
    }

    /// Why a submission is refused that would give the dimension of this number one value too many.
    pub(super) fn crowded(&self, number: u64) -> Error {
        let Some(dimension) = self.all.iter().find(|dimension| dimension.number == number) else {
            return Error::invalid("/segments", "would add a value to a dimension that has as many as it may");
        };
        let (name, most) = (dimension.name(), dimension.most_values());
        let detail = format!("would be one value too many: `{name}` has {most}");
        match &dimension.names[..] {
            [alone] => Error::invalid(format!("/segments/{alone}"), detail),
            _ => Error::invalid("/segments", detail),
        }
    }

    /// The part that a query names: `country:KR`, `country:KR,platform:ios` or `country+platform:KR+ios`.
    pub(super) fn part(&self, query: &str) -> Result<Part> {
        let refused = |detail: &str| Error::invalid("segment", detail);
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for pair in query.split(',') {
            let (names, joined) = pair
                .split_once(':')
                .ok_or_else(|| refused("must be `dimension:value`, with commas between several"))?;
            let names: Vec<&str> = names.split('+').collect();
            let of_names: Vec<&str> = if names.len() == 1 { vec![joined] } else { joined.split('+').collect() };
            if names.len() != of_names.len() {
                return Err(refused("must have a value for each dimension, as in `country:KR,platform:ios`"));
            }
            for (name, value) in names.into_iter().zip(of_names) {
                check_value(value).map_err(|detail| Error::invalid("segment", format!("a value {detail}")))?;
                if values.insert(name.to_owned(), value.to_owned()).is_some() {
                    return Err(refused("names a dimension twice"));
                }
            }
        }
        let dimension = self.ranked(&values.keys().cloned().collect::<Vec<_>>())?;
        let joined = values.into_values().collect::<Vec<_>>().join(&JOIN.to_string());
        Ok(Part(format!("{}\u{2}{joined}", dimension.number)))
    }

    /// The segment of this name.
    pub(super) fn listed(&self, segment: &str) -> Result<Listed> {
        let dimension = self.ranked(&names_of(segment))?;
        Ok(Listed { number: dimension.number, names: dimension.names.clone() })
    }

    fn ranked(&self, names: &[String]) -> Result<&Dimension> {
        let ranked = || self.all.iter().filter(|dimension| dimension.ranked);
        ranked().find(|dimension| dimension.names == names).ok_or_else(|| {
            let declared: Vec<String> = ranked().map(|dimension| format!("`{}`", dimension.name())).collect();
            let detail = if declared.is_empty() {
                "this leaderboard has no segments".to_owned()
            } else {
                format!("`{}` is not declared: this leaderboard has {}", names.join("+"), declared.join(", "))
            };
            Error::invalid("segment", detail)
        })
    }

    fn alone(&self, name: &str) -> Option<&Dimension> {
        self.all.iter().find(|dimension| matches!(&dimension.names[..], [alone] if alone == name))
    }
}

/// The names in a declared segment, sorted.
fn names_of(segment: &str) -> Vec<String> {
    let mut names: Vec<String> = segment.split('+').map(str::to_owned).collect();
    names.sort();
    names
}

/// Every rule that declared segments break.
pub(super) fn faults(segments: &[String]) -> Vec<Fault> {
    if segments.len() > MAX_SEGMENTS {
        return vec![Fault::new("/segments", format!("must be at most {MAX_SEGMENTS}"))];
    }
    let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
    for (place, segment) in segments.iter().enumerate() {
        let names = names_of(segment);
        let different: BTreeSet<&String> = names.iter().collect();
        let mut refuse = |detail: String| faults.push(Fault::new(format!("/segments/{place}"), detail));
        if let Some(detail) = names.iter().find_map(|name| WindowName::try_from(name.clone()).err()) {
            refuse(format!("must be the name of a dimension, or up to 4 with `+` between them: each {detail}"));
        } else if names.len() > MAX_COMBINED {
            refuse(format!("must combine at most {MAX_COMBINED} dimensions"));
        } else if different.len() < names.len() {
            refuse("must combine different dimensions".to_owned());
        } else if !seen.insert(names) {
            refuse("is declared twice".to_owned());
        }
    }
    faults
}

/// What submitted values break.
pub(super) fn value_faults(values: &BTreeMap<String, String>, settings: &Settings) -> Vec<Fault> {
    let declared: BTreeSet<&str> = settings.segments.iter().flat_map(|segment| segment.split('+')).collect();
    let fault = |(name, value): (&String, &String)| {
        let detail = if declared.contains(name.as_str()) {
            check_value(value).err()?
        } else {
            "is not a segment of this leaderboard".to_owned()
        };
        Some(Fault::new(format!("/segments/{name}"), detail))
    };
    values.iter().filter_map(fault).collect()
}

/// A comma would end the value in a query.
fn check_value(value: &str) -> std::result::Result<(), String> {
    let fits = (1..=MAX_VALUE_BYTES).contains(&value.len());
    if !fits || value.chars().any(|letter| letter.is_control() || letter == ',') {
        return Err(format!("must be 1 to {MAX_VALUE_BYTES} bytes of UTF-8 without control characters and commas"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(segments: &[&str]) -> Settings {
        Settings { segments: segments.iter().map(|&segment| segment.to_owned()).collect(), ..Settings::default() }
    }

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_dimension_that_is_declared_anew_gets_another_number() {
        let first = Dimensions::of(&declared(&["country", "platform"]), &BTreeMap::new());
        let without = Dimensions::of(&declared(&["platform"]), &first.numbers());
        let again = Dimensions::of(&declared(&["platform", "country"]), &without.numbers());
        let number = |dimensions: &Dimensions, name| dimensions.alone(name).expect("declared").number;
        assert_eq!(number(&first, "platform"), number(&again, "platform"));
        assert!(number(&again, "country") > number(&first, "platform"));
        assert_eq!(first.missing_in(&again).collect::<Vec<_>>(), [number(&first, "country")]);
        assert_eq!(again.missing_in(&again).count(), 0);
    }

    #[test]
    fn a_part_of_a_combination_need_not_be_declared() {
        let dimensions = Dimensions::of(&declared(&["platform+country"]), &BTreeMap::new());
        assert_eq!(dimensions.as_argument(), "1 0 1\n2 0 2\n3 10000 1+2");
        assert_eq!(dimensions.pack(&values(&[("country", "KR")])), "\u{1}1\u{2}KR");
        assert!(dimensions.part("country:KR").is_err());
        for query in ["country:KR,platform:ios", "platform:ios,country:KR", "platform+country:ios+KR"] {
            assert_eq!(dimensions.part(query).expect("declared"), Part("3\u{2}KR\u{1f}ios".to_owned()), "{query}");
        }
        let parts = "\u{1}1\u{3}KR\u{1}2\u{3}ios\u{1}3\u{2}KR\u{1f}ios\u{1}9\u{2}x";
        assert_eq!(dimensions.unpack(parts), values(&[("country", "KR"), ("platform", "ios")]));
    }

    #[test]
    fn what_is_no_segment_is_told_so() {
        let dimensions = Dimensions::of(&declared(&["country", "country+platform"]), &BTreeMap::new());
        assert_eq!(dimensions.part("country:a:b").expect("a value may have colons"), Part("1\u{2}a:b".to_owned()));
        for query in ["", "country", "country:", "region:EU", "country:KR,country:JP", "country+platform:KR", ":KR"] {
            assert!(dimensions.part(query).is_err(), "{query}");
        }
    }

    #[test]
    fn segments_keep_to_their_rules() {
        let owned = |segments: &[&str]| segments.iter().map(|&segment| segment.to_owned()).collect::<Vec<_>>();
        assert!(faults(&owned(&["country", "a+b", "a+b+c+d"])).is_empty());
        for bad in [&["a", "a"][..], &["a+b", "b+a"], &["a+a"], &["a+b+c+d+e"], &["+"], &[""], &["a b"], &["a"; 9]] {
            assert_eq!(faults(&owned(bad)).len(), 1, "{bad:?}");
        }
    }
}
