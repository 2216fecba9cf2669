//! Time, as milliseconds since 1970 and as RFC 3339 text.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in whole milliseconds; written as RFC 3339 in UTC with three digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The moment so many milliseconds after 1970; out of range becomes the nearest end.
    pub fn from_millis(millis: i64) -> Self {
        let nearest = if millis < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        Self(jiff::Timestamp::from_millisecond(millis).unwrap_or(nearest))
    }

    /// Whole milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0.as_millisecond()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    /// Reads RFC 3339 with any offset; a part of a millisecond counts as a whole one, so that nothing is early.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let refused = || serde::de::Error::custom("must be a time as in RFC 3339, such as 2026-11-23T05:40:00.123Z");
        let time = read_time(&text).ok_or_else(refused)?;
        let part = i64::from(time.subsec_nanosecond().rem_euclid(1_000_000) != 0);
        Ok(Self::from_millis(time.as_nanosecond().div_euclid(1_000_000) as i64 + part))
    }
}

fn read_time(text: &str) -> Option<jiff::Timestamp> {
    let looks_right = text.as_bytes().get(10).is_some_and(|letter| matches!(letter, b'T' | b't' | b' '));
    text.parse().ok().filter(|_| looks_right)
}

/// A moment in whole microseconds, from 1970 until 2255; written as RFC 3339 in UTC with six digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExactTimestamp(u64);

impl ExactTimestamp {
    /// The last one: scripts count in doubles.
    const LAST: u64 = (1 << 53) - 1;

    /// The moment so many microseconds after 1970; `None` out of range.
    pub fn from_micros(micros: u64) -> Option<Self> {
        (micros <= Self::LAST).then_some(Self(micros))
    }

    /// Whole microseconds since 1970.
    pub fn as_micros(self) -> u64 {
        self.0
    }

    /// The next one, or the last.
    #[must_use]
    pub fn next(self) -> Self {
        Self((self.0 + 1).min(Self::LAST))
    }

    /// The one before, or the first.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl From<ExactTimestamp> for Timestamp {
    /// Cuts off what is less than a millisecond.
    fn from(exact: ExactTimestamp) -> Self {
        Self::from_millis(i64::try_from(exact.0 / 1000).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for ExactTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        write!(f, "{:.6}", jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX))
    }
}

impl FromStr for ExactTimestamp {
    type Err = String;

    /// Reads RFC 3339 with any offset; what is less than a microsecond is cut off.
    fn from_str(text: &str) -> Result<Self, String> {
        let refused = "must be a time as in RFC 3339 from 1970 until 2255, such as 2026-11-23T05:40:00.123456Z";
        let time = read_time(text).ok_or(refused)?;
        let micros = u64::try_from(time.as_nanosecond().div_euclid(1000)).map_err(|_| refused)?;
        Self::from_micros(micros).ok_or_else(|| refused.to_owned())
    }
}

impl Serialize for ExactTimestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ExactTimestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Which time scripts go by: the Redis server's own, or one that a test moves.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The Redis server's clock, read inside each script, so that skewed hosts do no harm.
    #[default]
    Server,
    /// A clock that stands until it is moved, in milliseconds since 1970.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `millis` since 1970.
    pub fn fixed(millis: i64) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(millis)))
    }

    /// Moves a fixed clock on; the server's cannot be moved.
    pub fn advance(&self, by: std::time::Duration) {
        if let Self::Fixed(millis) = self {
            millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// The time in µs as this process knows it. What scripts decide by is [`Clock::to_argument`], and may differ.
    pub fn estimate_us(&self) -> i64 {
        let millis = match self {
            Self::Server => return jiff::Timestamp::now().as_microsecond(),
            Self::Fixed(millis) => millis.load(Ordering::SeqCst),
        };
        millis.saturating_mul(1000)
    }

    /// The time in µs as a script's argument: empty for the server's own.
    pub fn to_argument(&self) -> String {
        match self {
            Self::Server => String::new(),
            Self::Fixed(millis) => format!("{}000", millis.load(Ordering::SeqCst)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds() {
        assert_eq!(Timestamp::from_millis(1_795_412_400_123).to_string(), "2026-11-23T05:40:00.123Z");
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn times_are_read_with_any_offset_and_never_early() {
        let read = |text: &str| serde_json::from_str::<Timestamp>(&format!("\"{text}\"")).map(Timestamp::as_millis);
        assert_eq!(read("2026-11-23T05:40:00.123Z").expect("a time"), 1_795_412_400_123);
        assert_eq!(read("2026-11-23T14:40:00.1230001+09:00").expect("a time"), 1_795_412_400_124);
        for bad in ["", "2026-11-23", "05:40", "2026-11-23T05:40:00", "2026-13-23T05:40:00Z", "now", "0"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
    #[test]
    fn exact_times_are_read_as_they_are_written() {
        for text in ["1970-01-01T00:00:00.000000Z", "2026-11-23T05:40:00.123456Z", "2255-06-05T23:47:34.740991Z"] {
            assert_eq!(text.parse::<ExactTimestamp>().expect("a time").to_string(), text);
        }
        let cut = "2026-11-23T14:40:00.1234569+09:00".parse::<ExactTimestamp>().expect("a time");
        assert_eq!(cut.to_string(), "2026-11-23T05:40:00.123456Z");
        assert_eq!(Timestamp::from(cut).to_string(), "2026-11-23T05:40:00.123Z");
        for bad in ["", "2026-11-23", "1969-12-31T23:59:59.999999Z", "2255-06-05T23:47:34.740992Z", "5", "never"] {
            assert!(bad.parse::<ExactTimestamp>().is_err(), "{bad}");
        }
    }
}
