//! The format of what is stored, which a newer version may change.

use redis::Value;

use super::{Db, Effect, Keyspace};
use crate::error::{Error, Result};

/// The format that this version writes and reads. docs/keys.md describes it.
const FORMAT: u64 = 1;

/// Whose the stored format is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// This version's, or none was noted and now this one is.
    Own,
    /// A newer version's: what is stored may mean what this one does not know.
    Newer(u64),
}

impl Format {
    /// Looks which format is stored, and notes this version's where there is none.
    ///
    /// # Errors
    ///
    /// As [`Format::stored`].
    pub async fn note(db: &Db, keyspace: &Keyspace) -> Result<Self> {
        let stored = Self::stored(db, keyspace).await?;
        if stored == Self::Own {
            let mut note = redis::cmd("SET");
            note.arg(keyspace.global("format")).arg(FORMAT).arg("NX");
            // Noting it twice does no harm, so a lost answer may be asked for again.
            db.run(&note, "note_format", Effect::Read).await?;
        }
        Ok(stored)
    }

    /// Looks which format is stored.
    ///
    /// # Errors
    ///
    /// `StoreUnavailable`; `Internal` where what is noted is no number.
    pub async fn stored(db: &Db, keyspace: &Keyspace) -> Result<Self> {
        let key = keyspace.global("format");
        let mut read = redis::cmd("GET");
        read.arg(&key);
        let stored: Option<u64> = match db.run(&read, "read_format", Effect::Read).await? {
            Value::Nil => return Ok(Self::Own),
            Value::BulkString(bytes) => std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()),
            _ => None,
        };
        match stored {
            Some(stored) if stored > FORMAT => Ok(Self::Newer(stored)),
            Some(_) => Ok(Self::Own),
            None => Err(Error::Internal(format!("{key} is no number"))),
        }
    }

    /// Why this version must not touch what is stored, if so.
    pub fn refusal(self) -> Option<String> {
        match self {
            Self::Own => None,
            Self::Newer(stored) => Some(format!(
                "Redis holds data in format {stored}, and ranq {} knows format {FORMAT} at most: run the version that wrote it, or a newer one",
                env!("CARGO_PKG_VERSION")
            )),
        }
    }
}
