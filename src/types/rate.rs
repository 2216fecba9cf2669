//! How much may be asked for in a time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// So much at once, and so much again in each span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApiRateLimit, example = json!({"limit": 600, "per_ms": 60000}))]
pub struct RateLimit {
    /// How many requests; a batch counts as many as it has items.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    pub limit: u64,
    /// In how many milliseconds.
    #[schema(minimum = 1, maximum = 2_592_000_000_i64)]
    pub per_ms: u64,
}

impl RateLimit {
    /// The largest limit.
    pub const MAX_LIMIT: u64 = 1_000_000_000;
    /// The longest span: 30 days.
    pub const MAX_PER_MS: u64 = 30 * 24 * 3600 * 1000;
}

impl FromStr for RateLimit {
    type Err = String;

    /// Reads `600/1m`: how many, and in what time.
    fn from_str(text: &str) -> Result<Self, String> {
        let (limit, span) = text.split_once('/').ok_or("must be a number and a time, such as 600/1m")?;
        let limit = limit.parse().ok().filter(|limit| (1..=Self::MAX_LIMIT).contains(limit));
        let limit = limit.ok_or_else(|| format!("must begin with a whole number from 1 to {}", Self::MAX_LIMIT))?;
        let per_ms = parse_span_ms(span)?;
        if !(1..=Self::MAX_PER_MS).contains(&per_ms) {
            return Err("must have a time from 1ms to 30d".to_owned());
        }
        Ok(Self { limit, per_ms })
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} ms", self.limit, self.per_ms)
    }
}

/// Milliseconds of a whole number with its unit: `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
///
/// What it must be.
pub fn parse_span_ms(text: &str) -> Result<u64, String> {
    let refused = || "must be a whole number and then ms, s, m, h or d, such as 12h".to_owned();
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(refused)?;
    let (number, unit) = text.split_at(unit_at);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(refused()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis)).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, millis) in
            [("5ms", 5), ("90s", 90_000), ("2m", 120_000), ("12h", 43_200_000), ("30d", 2_592_000_000)]
        {
            assert_eq!(parse_span_ms(text), Ok(millis));
        }
        for bad in ["", "5", "h", "1w", "-1s", "1.5h", "99999999999999999999d", "s5"] {
            assert!(parse_span_ms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rate_is_a_number_and_a_time() {
        assert_eq!("600/1m".parse(), Ok(RateLimit { limit: 600, per_ms: 60_000 }));
        for bad in ["600", "x/1m", "0/1m", "-1/1m", "1/0s", "1/31d", "1000000001/1s", "1/1s/1s", "", "/"] {
            assert!(bad.parse::<RateLimit>().is_err(), "{bad}");
        }
    }
}
