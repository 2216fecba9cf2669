//! Scores: finite IEEE 754 doubles that come back as they were sent.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

/// Beyond this a double cannot be written as an `i64`.
const INTEGERS_END: f64 = 9.2e18;

/// A finite number; never `-0`.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Score(f64);

impl Score {
    /// The score of a finite number; `-0` becomes `0`.
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }

    /// The score with the other sign.
    pub fn negated(self) -> Self {
        Self(-self.0 + 0.0)
    }

    /// The shortest text that Redis and Lua read back as the same number.
    pub fn to_redis(self) -> String {
        format!("{:e}", self.0)
    }

    /// Reads what Redis or Lua wrote.
    pub fn from_redis(text: &[u8]) -> Option<Self> {
        std::str::from_utf8(text).ok()?.parse().ok().and_then(Self::new)
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < INTEGERS_END {
            return serializer.serialize_i64(self.0 as i64);
        }
        serializer.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Score {
    // From the number's own text: the standard library rounds it correctly, and 1e400 is an infinity, not a syntax error.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        if !raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return Err(D::Error::custom("must be a number"));
        }
        let value: f64 = raw.parse().map_err(|_| D::Error::custom("must be a number"))?;
        Self::new(value).ok_or_else(|| D::Error::custom("is beyond what a double can hold"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str) -> String {
        serde_json::to_string(&serde_json::from_str::<Score>(text).expect("a score")).expect("JSON")
    }

    #[test]
    fn numbers_come_back_as_sent() {
        for same in
            ["0", "1500", "-3", "0.1", "3.99", "1e308", "5e-324", "1.7976931348623157e308", "9007199254740993.5"]
        {
            let back: f64 = round_trip(same).parse().expect("a number");
            assert_eq!(back.to_bits(), same.parse::<f64>().expect("a number").to_bits(), "{same}");
        }
        assert_eq!(round_trip("-0"), "0");
        assert_eq!(round_trip("-0.0"), "0");
        assert_eq!(round_trip("1500.0"), "1500");
    }

    #[test]
    fn what_is_not_a_finite_number_is_refused() {
        for bad in ["1e400", "-1e309", "null", "true", "\"5\"", "[]", "{}"] {
            assert!(serde_json::from_str::<Score>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn redis_text_is_exact() {
        for value in [0.1, -1e308, 5e-324, 123_456_789.123_456_79, f64::MAX] {
            let score = Score::new(value).expect("finite");
            assert_eq!(Score::from_redis(score.to_redis().as_bytes()), Some(score));
        }
    }
}
