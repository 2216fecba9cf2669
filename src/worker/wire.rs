//! What is sent and answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// In which order several queues are asked for jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// A queue gives jobs only when those named before it have none.
    #[default]
    Strict,
    /// Each queue gives jobs in proportion to its weight.
    Weighted,
}

#[derive(Debug, Serialize)]
pub(super) struct Dequeue<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queues: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<&'a BTreeMap<String, u32>>,
    pub worker: &'a str,
    pub limit: usize,
    pub wait_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub ack: &'a [AckItem<'a>],
}

#[derive(Debug, Serialize)]
pub(super) struct AckItem<'a> {
    pub id: &'a str,
    pub lease: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Dequeued {
    pub jobs: Vec<LeasedJob>,
    #[serde(default)]
    pub acked: Vec<Acked>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LeasedJob {
    pub id: String,
    pub queue: String,
    pub lease: String,
    pub payload: Box<RawValue>,
    pub priority: u8,
    pub attempt: u32,
    pub max_attempts: u32,
    pub enqueued_at: String,
    pub started_at: Option<String>,
    pub lease_expires_at: Option<String>,
    pub key: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Acked {
    pub id: String,
    pub status: u16,
}

#[derive(Debug, Serialize)]
pub(super) struct Ack<'a> {
    pub lease: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<&'a RawValue>,
}

#[derive(Debug, Serialize)]
pub(super) struct Nack<'a> {
    pub lease: &'a str,
    pub error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead: Option<bool>,
}

#[derive(Debug, Serialize)]
pub(super) struct Extend<'a> {
    pub lease: &'a str,
    pub lease_ms: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Extended {
    pub cancelled: bool,
}

/// What of a problem is of use here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Problem {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_keeps_its_bytes() {
        let payload = r#"{"n": 123456789012345678901234567890,"x":1e400, "a":1,"a":2}"#;
        let answer = format!(
            r#"{{"jobs":[{{"id":"1","queue":"q","state":"active","payload":{payload},"priority":4,"attempt":1,
            "max_attempts":5,"enqueued_at":"2026-11-23T05:40:00.123Z","errors":[],"lease":"abc"}}]}}"#
        );
        let answer: Dequeued = serde_json::from_str(&answer).expect("an answer");
        assert_eq!(answer.jobs[0].payload.get(), payload);
        assert!(answer.acked.is_empty() && answer.jobs[0].key.is_none());
    }

    #[test]
    fn what_is_not_given_is_not_sent() {
        let request = Dequeue {
            queues: None,
            order: None,
            weights: None,
            worker: "w",
            limit: 1,
            wait_ms: 0,
            lease_ms: None,
            ack: &[],
        };
        let text = serde_json::to_string(&request).expect("JSON");
        assert_eq!(text, r#"{"worker":"w","limit":1,"wait_ms":0}"#);
    }
}
