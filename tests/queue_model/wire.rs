//! What answers look like. A field that is not named here is a fault.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Active,
    Ready,
    Scheduled,
    Dead,
    Completed,
    Cancelled,
}

impl State {
    /// In the order in which a list of all states has them.
    pub const ALL: [Self; 6] =
        [Self::Active, Self::Ready, Self::Scheduled, Self::Dead, Self::Completed, Self::Cancelled];

    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ready => "ready",
            Self::Scheduled => "scheduled",
            Self::Dead => "dead",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn is_finished(self) -> bool {
        match self {
            Self::Dead | Self::Completed | Self::Cancelled => true,
            Self::Active | Self::Ready | Self::Scheduled => false,
        }
    }
}

/// JSON, byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(pub String);

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(raw.get().to_owned()))
    }
}

/// Reads a field that is left out rather than `null`.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    pub at: String,
    pub attempt: u32,
    pub error: String,
}

/// A job with its times as they are written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    pub id: String,
    pub queue: String,
    pub state: State,
    pub payload: Json,
    pub priority: u8,
    pub attempt: u32,
    pub max_attempts: u32,
    pub enqueued_at: String,
    #[serde(default, deserialize_with = "present")]
    pub run_at: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub started_at: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub finished_at: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub lease_expires_at: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub worker: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub progress: Option<Json>,
    #[serde(default, deserialize_with = "present")]
    pub result: Option<Json>,
    pub errors: Vec<Failure>,
    #[serde(default, deserialize_with = "present")]
    pub unique_key: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub key: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub expires_at: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub headers: Option<BTreeMap<String, String>>,
    /// In an answer to an enqueue.
    #[serde(default, deserialize_with = "present")]
    pub duplicate: Option<bool>,
    /// In an answer to a dequeue.
    #[serde(default, deserialize_with = "present")]
    pub lease: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leased {
    pub jobs: Vec<Job>,
    #[serde(default, deserialize_with = "present")]
    pub acked: Option<Vec<Item>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    pub jobs: Vec<Job>,
    #[serde(default, deserialize_with = "present")]
    pub next_cursor: Option<String>,
}

/// What became of one item of a batch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    pub status: u16,
    #[serde(default, deserialize_with = "present")]
    pub id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub duplicate: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    pub problem: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Items {
    pub results: Vec<Item>,
}

/// A problem, of which only the kind matters here.
#[derive(Debug, Deserialize)]
pub struct Refusal {
    #[serde(rename = "type")]
    kind: String,
    status: u16,
}

impl Refusal {
    pub fn is(&self, status: u16, slug: &str) -> bool {
        self.status == status && self.kind == format!("/problems/{slug}")
    }
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extended {
    pub lease_expires_at: String,
    pub cancelled: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moved {
    pub moved: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deleted {
    pub deleted: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    pub ready: usize,
    pub scheduled: usize,
    pub active: usize,
    pub completed: usize,
    pub dead: usize,
    pub cancelled: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    pub enqueued_per_minute: f64,
    pub completed_per_minute: f64,
    pub failed_per_minute: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    pub queue: String,
    pub settings: Settings,
    pub paused: bool,
    pub counts: Counts,
    pub oldest_ready_ms: Option<i64>,
    pub throughput: Throughput,
    pub created_at: String,
}

/// Settings, as they are sent and answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub lease_ms: i64,
    pub max_attempts: u32,
    pub backoff: Backoff,
    pub retention_ms: i64,
    pub dead_retention_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_count: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_retention_count: Option<usize>,
    pub max_concurrency: Option<usize>,
    pub rate_limit: Option<RateLimit>,
    pub keys: Option<Keys>,
    pub paused: bool,
    pub push: Option<serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub enum Backoff {
    Exponential { base_ms: i64, max_ms: i64, jitter: f64 },
    Fixed { base_ms: i64, jitter: f64, max_ms: i64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    pub limit: usize,
    pub per_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    pub max_concurrency: Option<usize>,
    pub rate_limit: Option<RateLimit>,
    pub fair: bool,
}
