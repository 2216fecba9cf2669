//! JSON that passes through as it was sent.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The most bytes of a metadata value, as sent.
pub const MAX_METADATA_BYTES: usize = 2048;

/// The most bytes of a job's payload, and of its result, as sent.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;

/// A client's JSON of any form, kept byte for byte; how long it may be is checked where it is used.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Raw(Box<RawValue>);

/// What a job carries.
pub type Payload = Raw;

impl Raw {
    /// The text as sent.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Reads back what was stored.
    pub fn from_stored(text: String) -> Option<Self> {
        RawValue::from_string(text).ok().map(Self)
    }

    /// An object that every parser reads, without what stands around it; none for anything else.
    pub fn object(text: &[u8]) -> Option<Self> {
        let object: Self = serde_json::from_slice(text).ok()?;
        let is_one = object.as_str().starts_with('{') && serde_json::from_str::<Readable>(object.as_str()).is_ok();
        is_one.then_some(object)
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

/// A client's JSON, at most [`MAX_METADATA_BYTES`] long, that every parser reads; kept byte for byte.
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
        // It stands in lists with the entries of others, who could not read any of them if it were text to some parsers only.
        serde_json::from_str::<Readable>(raw.get())
            .map_err(|error| D::Error::custom(format!("is not JSON that every parser reads: {}", reason(&error))))?;
        Ok(Self(raw))
    }
}

/// What is wrong, without the place within the value.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// JSON whose strings are text and whose numbers are doubles (RFC 7493, sections 2.1 and 2.2), looked at and not kept.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadableVisitor)
    }
}

struct ReadableVisitor;

impl<'de> Visitor<'de> for ReadableVisitor {
    type Value = Readable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_str<E>(self, _: &str) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Readable, A::Error> {
        while items.next_element::<Readable>()?.is_some() {}
        Ok(Readable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Readable, A::Error> {
        while fields.next_entry::<Readable, Readable>()?.is_some() {}
        Ok(Readable)
    }
}

/// An object of named values; a name given twice is refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<T>(pub BTreeMap<String, T>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor(PhantomData))
    }
}

struct NamedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedVisitor<T> {
    type Value = Named<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
        let mut values = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, T>()? {
            if values.contains_key(&name) {
                return Err(A::Error::custom(format!("duplicate field `{name}`")));
            }
            values.insert(name, value);
        }
        Ok(Named(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_kept_as_it_was_sent() {
        let object = |text: &str| Raw::object(text.as_bytes()).map(|object| object.as_str().to_owned());
        assert_eq!(object(" {\"a\" : 1.50}\n").as_deref(), Some("{\"a\" : 1.50}"));
        let deep = format!("{}1{}", r#"{"a":"#.repeat(1000), "}".repeat(1000));
        for other in ["", "null", "[]", "\"{}\"", "{", "{} {}", r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#, &deep] {
            assert_eq!(object(other), None, "{other}");
        }
        assert!(Raw::object(b"{\"a\":\"\xff\"}").is_none());
    }

    #[test]
    fn metadata_is_what_every_parser_reads() {
        for good in [
            r#"{"a":1,"a":[null,true,-0,1e300,5e-324,1e-999]}"#,
            r#""\ud83e\udd80\u0000""#,
            "12345678901234567890123456789",
        ] {
            let metadata: Metadata = serde_json::from_str(good).expect(good);
            assert_eq!(metadata.as_str(), good);
        }
        for bad in [r#""\ud800""#, r#"{"\udc00":1}"#, r#"[[{"a":"x\ud83ey"}]]"#, "1e400", r#"{"a":[-1e999]}"#] {
            let error = serde_json::from_str::<Metadata>(bad).expect_err(bad).to_string();
            assert!(error.starts_with("is not JSON that every parser reads"), "{error}");
        }
    }
}
