//! Time, as milliseconds since 1970 and as RFC 3339 text.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Serialize, Serializer};

/// A moment in whole milliseconds; written as RFC 3339 in UTC with three digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The moment so many milliseconds after 1970; out of range becomes the nearest end.
    pub fn from_millis(millis: i64) -> Self {
        let nearest = if millis < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        Self(jiff::Timestamp::from_millisecond(millis).unwrap_or(nearest))
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
}
