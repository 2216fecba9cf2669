//! The settings of a queue, and their rules.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Fault;
use crate::types::{read_choice, read_object};

/// Ten years.
pub const LONGEST_MS: u64 = 10 * 365 * 24 * 3600 * 1000;
/// The bounds of a lease.
pub const LEASE_MS: std::ops::RangeInclusive<u64> = 100..=43_200_000;
/// The bounds of the attempts of a job.
pub const ATTEMPTS: std::ops::RangeInclusive<u32> = 1..=1000;
const MAX_CONCURRENCY: u32 = 1_000_000;
const MAX_RATE: u32 = 100_000;
const MAX_KEY_RATE: u32 = 1000;
const MAX_RATE_MS: u64 = 30 * 24 * 3600 * 1000;
const MAX_BASE_MS: u64 = 24 * 3600 * 1000;

/// How the delay before the next attempt grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackoffKind {
    /// Twice as long after each attempt.
    #[default]
    Exponential,
    /// Always the same.
    Fixed,
}

read_choice!(BackoffKind { Exponential = "exponential", Fixed = "fixed" });

/// How long a failed job waits for its next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct Backoff {
    /// How the delay grows.
    pub kind: BackoffKind,
    /// The delay after the first attempt.
    #[schema(minimum = 0, maximum = 86_400_000, example = 1000)]
    pub base_ms: u64,
    /// The longest delay.
    #[schema(minimum = 0, maximum = 315_360_000_000_u64, example = 3_600_000)]
    pub max_ms: u64,
    /// Which share of the delay is left to chance, up and down, so that jobs that failed together do not come back together.
    #[schema(minimum = 0, maximum = 1, example = 0.2)]
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { kind: BackoffKind::Exponential, base_ms: 1000, max_ms: 3_600_000, jitter: 0.2 }
    }
}

/// How many leases in how much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RateLimit {
    /// How many leases in any span of `per_ms`.
    #[schema(minimum = 1, maximum = 100_000, example = 100)]
    pub limit: u32,
    /// The span in milliseconds.
    #[schema(minimum = 1, maximum = 2_592_000_000_u64, example = 1000)]
    pub per_ms: u64,
}

/// What holds for each value of a job's `key`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct KeySettings {
    /// Jobs of one key at once; with 1 they run strictly in order. `null` for as many as there are.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub max_concurrency: Option<u32>,
    /// Leases of one key, at most 1,000; `null` for as many as there are.
    pub rate_limit: Option<RateLimit>,
    /// Whether keys take turns.
    pub fair: bool,
}

/// The settings of a queue. What is left out has its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields, default)]
#[schema(as = QueueSettings, example = json!({"lease_ms": 60000, "max_attempts": 10, "backoff": {"kind": "exponential", "base_ms": 2000}}))]
pub struct Settings {
    /// How long a lease lasts where its worker does not say.
    #[schema(minimum = 100, maximum = 43_200_000)]
    pub lease_ms: u64,
    /// After how many attempts a job is dead.
    #[schema(minimum = 1, maximum = 1000)]
    pub max_attempts: u32,
    /// How long a failed job waits for its next attempt.
    pub backoff: Backoff,
    /// How long completed and cancelled jobs are kept.
    #[schema(minimum = 0, maximum = 315_360_000_000_u64)]
    pub retention_ms: u64,
    /// How long dead jobs are kept.
    #[schema(minimum = 0, maximum = 315_360_000_000_u64)]
    pub dead_retention_ms: u64,
    /// How many completed jobs are kept, and how many cancelled ones; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    pub retention_count: Option<u64>,
    /// How many dead jobs are kept; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    pub dead_retention_count: Option<u64>,
    /// Whether finished jobs go to the archive, if the service has one; absent for yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<bool>,
    /// Leases out at once, over all workers; `null` for as many as there are.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub max_concurrency: Option<u32>,
    /// How many leases in how much time; `null` for as many as there are.
    pub rate_limit: Option<RateLimit>,
    /// What holds for each value of a job's `key`; `null` for nothing.
    pub keys: Option<KeySettings>,
    /// Whether jobs are only taken in and not leased.
    pub paused: bool,
    /// Where the service itself delivers the jobs. Not offered by this version: must be `null`.
    #[schema(value_type = Option<Object>)]
    pub push: Option<serde_json::Value>,
}

read_object!(Backoff, written);
read_object!(RateLimit, written);
read_object!(KeySettings, written);
read_object!(Settings, written);

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease_ms: 30_000,
            max_attempts: 5,
            backoff: Backoff::default(),
            retention_ms: 24 * 3600 * 1000,
            dead_retention_ms: 30 * 24 * 3600 * 1000,
            retention_count: None,
            dead_retention_count: None,
            archive: None,
            max_concurrency: None,
            rate_limit: None,
            keys: None,
            paused: false,
            push: None,
        }
    }
}

impl Settings {
    /// Whether finished jobs go to the archive, if there is one.
    pub fn is_archived(&self) -> bool {
        self.archive.unwrap_or(true)
    }

    /// Every rule that the settings break.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut within = |pointer: &str, value: u64, from: u64, to: u64| {
            if !(from..=to).contains(&value) {
                faults.push(Fault::new(pointer, format!("must be {from} to {to}")));
            }
        };
        within("/lease_ms", self.lease_ms, *LEASE_MS.start(), *LEASE_MS.end());
        within("/max_attempts", self.max_attempts.into(), (*ATTEMPTS.start()).into(), (*ATTEMPTS.end()).into());
        within("/backoff/base_ms", self.backoff.base_ms, 0, MAX_BASE_MS);
        within("/backoff/max_ms", self.backoff.max_ms, 0, LONGEST_MS);
        within("/retention_ms", self.retention_ms, 0, LONGEST_MS);
        within("/dead_retention_ms", self.dead_retention_ms, 0, LONGEST_MS);
        for (pointer, count) in
            [("/retention_count", self.retention_count), ("/dead_retention_count", self.dead_retention_count)]
        {
            within(pointer, count.unwrap_or(1), 1, (1 << 53) - 1);
        }
        within("/max_concurrency", self.max_concurrency.unwrap_or(1).into(), 1, MAX_CONCURRENCY.into());
        let keys = self.keys.clone().unwrap_or_default();
        within("/keys/max_concurrency", keys.max_concurrency.unwrap_or(1).into(), 1, MAX_CONCURRENCY.into());
        for (pointer, rate, most) in
            [("/rate_limit", self.rate_limit, MAX_RATE), ("/keys/rate_limit", keys.rate_limit, MAX_KEY_RATE)]
        {
            if let Some(rate) = rate {
                within(&format!("{pointer}/limit"), rate.limit.into(), 1, most.into());
                within(&format!("{pointer}/per_ms"), rate.per_ms, 1, MAX_RATE_MS);
            }
        }
        if !(0.0..=1.0).contains(&self.backoff.jitter) {
            faults.push(Fault::new("/backoff/jitter", "must be 0 to 1"));
        }
        if self.push.is_some() {
            faults.push(Fault::new("/push", "is not offered by this version"));
        }
        faults
    }
}
