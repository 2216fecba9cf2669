//! Reading what scripts answer.

use redis::Value;

use crate::error::{Error, Result};

/// The values of an answer, read one after another.
pub struct Reply(std::vec::IntoIter<Value>);

impl Reply {
    /// The answer of a script, which is a list.
    ///
    /// # Errors
    ///
    /// `Internal` where the answer is of another form.
    pub fn of(value: Value) -> Result<Self> {
        match value {
            Value::Array(values) => Ok(Self(values.into_iter())),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether all has been read.
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// The next value as it came.
    ///
    /// # Errors
    ///
    /// `Internal` where the answer is of another form.
    pub fn value(&mut self) -> Result<Value> {
        self.0.next().ok_or_else(|| Error::Internal("a script's answer is too short".to_owned()))
    }

    /// The next value, a list.
    ///
    /// # Errors
    ///
    /// `Internal` where the answer is of another form.
    pub fn list(&mut self) -> Result<Self> {
        Self::of(self.value()?)
    }

    /// The next value as bytes.
    ///
    /// # Errors
    ///
    /// `Internal` where the answer is of another form.
    pub fn bytes(&mut self) -> Result<Vec<u8>> {
        match self.value()? {
            Value::BulkString(bytes) => Ok(bytes),
            Value::SimpleString(text) => Ok(text.into_bytes()),
            Value::Int(number) => Ok(number.to_string().into_bytes()),
            other => Err(unexpected(&other)),
        }
    }

    /// The next value as text.
    ///
    /// # Errors
    ///
    /// `Internal` where the answer is of another form.
    pub fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| Error::Internal("a script's answer is not UTF-8".to_owned()))
    }

    /// The next value, a whole number.
    ///
    /// # Errors
    ///
    /// `Internal` where the answer is of another form.
    pub fn integer(&mut self) -> Result<i64> {
        match self.value()? {
            Value::Int(number) => Ok(number),
            Value::BulkString(bytes) => std::str::from_utf8(&bytes)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| unexpected(&Value::BulkString(bytes))),
            other => Err(unexpected(&other)),
        }
    }

    /// The next value, a count or place; negative means there is none.
    ///
    /// # Errors
    ///
    /// `Internal` where the answer is of another form.
    pub fn place(&mut self) -> Result<Option<u64>> {
        Ok(u64::try_from(self.integer()?).ok())
    }

    /// The next value, a number that is not negative.
    ///
    /// # Errors
    ///
    /// `Internal` where the answer is of another form.
    pub fn count(&mut self) -> Result<u64> {
        self.place()?.ok_or_else(|| Error::Internal("a script's answer has a negative count".to_owned()))
    }
}

/// A value as text; empty where it is none.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        Value::Int(number) => number.to_string(),
        _ => String::new(),
    }
}

fn unexpected(value: &Value) -> Error {
    Error::Internal(format!("a script answered {value:?}"))
}
