//! Places in the streams that lead to the archive.

use std::fmt;
use std::str::FromStr;

/// The id of an entry: a time in milliseconds, and a count within it. A later entry of a stream has a higher one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    millis: u64,
    count: u64,
}

impl EntryId {
    /// Bits of the count in [`EntryId::version`]: more entries than Redis takes within a millisecond.
    const COUNT_BITS: u32 = 20;

    /// One number that is higher for a later entry.
    pub fn version(self) -> i64 {
        let count = self.count.min((1 << Self::COUNT_BITS) - 1);
        i64::try_from(self.millis << Self::COUNT_BITS | count).unwrap_or(i64::MAX)
    }

    /// The lowest one behind it.
    #[must_use]
    pub fn next(self) -> Self {
        Self { count: self.count.saturating_add(1), ..self }
    }
}

impl FromStr for EntryId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('-').and_then(|(millis, count)| Some((millis.parse().ok()?, count.parse().ok()?)));
        let unreadable = || format!("`{text}` is no id of an entry");
        parts.map(|(millis, count)| Self { millis, count }).ok_or_else(unreadable)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_entry_has_a_higher_version() {
        let ids = ["0-0", "0-1", "1795412400000-0", "1795412400000-7", "1795412400001-0"];
        let entries: Vec<EntryId> = ids.iter().map(|id| id.parse().expect("an id")).collect();
        assert!(entries.is_sorted() && entries.iter().map(|entry| entry.version()).is_sorted());
        assert_eq!(entries.iter().map(ToString::to_string).collect::<Vec<_>>(), ids);
        assert!(EntryId::from_str("7").is_err() && EntryId::from_str("a-1").is_err());
    }
}
