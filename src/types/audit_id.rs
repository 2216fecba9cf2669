//! Places in lists of what was done.

use std::fmt;

/// Where an entry stands in its list: greater than all before it. As Redis writes the ids of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditId(u64, u64);

impl TryFrom<String> for AuditId {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let number = |part: &str| part.parse::<u64>().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()));
        let parts = text.split_once('-').and_then(|(high, low)| number(high).zip(number(low)));
        // No entry has the id 0-0, before which Redis knows none.
        parts
            .filter(|parts| *parts != (0, 0))
            .map(|(high, low)| Self(high, low))
            .ok_or_else(|| "must be the id of an entry".to_owned())
    }
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_two_numbers() {
        for good in ["1-0", "0-1", "1795412400000-12", "18446744073709551615-18446744073709551615"] {
            assert_eq!(AuditId::try_from(good.to_owned()).expect("an id").to_string(), good);
        }
        for bad in
            ["", "1", "-", "1-", "-1", "+1-0", "1-0-0", "a-0", "0-0", "00-0", "18446744073709551616-0", "1-*", "+", "$"]
        {
            assert!(AuditId::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
