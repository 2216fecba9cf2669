//! JSON that passes through as it was sent.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The most bytes of a metadata value, as sent.
pub const MAX_METADATA_BYTES: usize = 2048;

/// A client's JSON, at most [`MAX_METADATA_BYTES`] long, kept byte for byte.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Metadata(Box<RawValue>);

impl Metadata {
    /// The text as sent.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Reads back what was stored.
    pub fn from_stored(text: String) -> Option<Self> {
        RawValue::from_string(text).ok().map(Self)
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if raw.get().len() > MAX_METADATA_BYTES {
            return Err(D::Error::custom(format!(
                "must be at most {MAX_METADATA_BYTES} bytes of JSON, this is {}",
                raw.get().len()
            )));
        }
        Ok(Self(raw))
    }
}
