//! How much of a list is read at once.

use serde::Deserialize;

macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, $from:literal to $to:literal, default $default:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        #[serde(try_from = "u64")]
        pub struct $name(u32);

        impl $name {
            /// As many as may be asked for.
            pub const MOST: Self = Self($to);

            /// The number.
            pub fn get(self) -> u32 {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self($default)
            }
        }

        impl TryFrom<u64> for $name {
            type Error = String;

            fn try_from(value: u64) -> Result<Self, String> {
                match u32::try_from(value) {
                    Ok(value) if ($from..=$to).contains(&value) => Ok(Self(value)),
                    _ => Err(format!("must be {} to {}", $from, $to)),
                }
            }
        }
    };
}

bounded! {
    /// How many rows of a list to give: 1 to 1,000, 50 unless asked otherwise.
    Limit, 1 to 1000, default 50
}
bounded! {
    /// How many entries on each side of a place to give: 0 to 100, 5 unless asked otherwise.
    Radius, 0 to 100, default 5
}

/// A whole number within fixed bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct Within<const FROM: u64, const TO: u64>(u64);

impl<const FROM: u64, const TO: u64> Within<FROM, TO> {
    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl<const FROM: u64, const TO: u64> TryFrom<u64> for Within<FROM, TO> {
    type Error = String;

    fn try_from(value: u64) -> Result<Self, String> {
        if (FROM..=TO).contains(&value) { Ok(Self(value)) } else { Err(format!("must be {FROM} to {TO}")) }
    }
}
