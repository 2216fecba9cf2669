//! An answer of the service, and short ways to look at it.

use std::ops::Index;

use reqwest::header::HeaderMap;
use serde_json::Value;

/// An answer, read to its end and checked against the OpenAPI document.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    json: Value,
}

impl Answer {
    pub fn new(status: u16, headers: HeaderMap, body: Vec<u8>) -> Self {
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Self { status, headers, body, json }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("answers are UTF-8")
    }

    pub fn json(&self) -> &Value {
        &self.json
    }

    /// The header's value, or "" without one.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are ASCII"))
    }

    /// Asserts the status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Asserts that this is the problem `slug` with this status.
    #[track_caller]
    pub fn fails_with(self, status: u16, slug: &str) -> Self {
        assert_eq!((self.status, self.slug()), (status, slug), "{}", self.text());
        self
    }

    /// Asserts that this is a 422 whose faults have exactly these pointers.
    #[track_caller]
    pub fn fails_at(self, pointers: &[&str]) -> Self {
        let answer = self.fails_with(422, "invalid");
        assert_eq!(answer.pointers(), pointers, "{}", answer.text());
        answer
    }

    /// The last part of the problem's type, or "".
    pub fn slug(&self) -> &str {
        self.json["type"].as_str().and_then(|text| text.strip_prefix("/problems/")).unwrap_or("")
    }

    pub fn pointers(&self) -> Vec<&str> {
        let faults = self.json["errors"].as_array().into_iter().flatten();
        faults.map(|fault| fault["pointer"].as_str().expect("a fault has a pointer")).collect()
    }

    pub fn detail(&self) -> &str {
        self.json["detail"].as_str().unwrap_or("")
    }

    /// The members of `entries` in their order.
    pub fn members(&self) -> Vec<&str> {
        members(&self.json)
    }

    /// The ranks of `entries` in their order.
    pub fn ranks(&self) -> Vec<u64> {
        ranks(&self.json)
    }

    /// The entry of a member in `entries`.
    #[track_caller]
    pub fn entry(&self, member: &str) -> &Value {
        let found = entries(&self.json).iter().find(|entry| entry["member"] == member);
        found.unwrap_or_else(|| panic!("no entry of `{member}` in {}", self.text()))
    }

    pub fn next_cursor(&self) -> Option<&str> {
        self.json["next_cursor"].as_str()
    }

    pub fn was_replayed(&self) -> bool {
        self.header("idempotent-replayed") == "true"
    }
}

impl Index<&str> for Answer {
    type Output = Value;

    fn index(&self, field: &str) -> &Value {
        &self.json[field]
    }
}

pub fn entries(list: &Value) -> &[Value] {
    list["entries"].as_array().unwrap_or_else(|| panic!("no entries in {list}"))
}

pub fn members(list: &Value) -> Vec<&str> {
    entries(list).iter().map(|entry| entry["member"].as_str().expect("a member is text")).collect()
}

pub fn ranks(list: &Value) -> Vec<u64> {
    entries(list).iter().map(|entry| entry["rank"].as_u64().expect("a rank is a number")).collect()
}
