//! What is counted, and what a count says.

use std::fmt;

use super::gauge::Gauge;
use crate::types::RateLimit;

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Those made with one token.
    Token,
    /// Those made with any token of one member.
    Player,
    /// Those that come from one address.
    Peer,
}

impl Policy {
    /// Its name in `RateLimit-Policy` and in keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Player => "player",
            Self::Peer => "peer",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A limit, and whose it is.
#[derive(Debug, Clone)]
pub struct Bucket {
    pub(super) policy: Policy,
    pub(super) rate: RateLimit,
    pub(super) gauge: Gauge,
    /// What tells it from other buckets: the policy, whose it is, and the limit, since levels of different limits are in
    /// different ticks.
    pub(super) name: String,
}

impl Bucket {
    /// The bucket of `whose` (an id of a token, a member, an address) under a policy.
    pub fn new(policy: Policy, whose: impl fmt::Display, rate: RateLimit) -> Self {
        let name = format!("{policy}:{whose}:{}/{}", rate.limit, rate.per_ms);
        Self { policy, rate, gauge: Gauge::of(rate), name }
    }

    /// The most that one request may cost.
    pub fn most(&self) -> u64 {
        self.rate.limit
    }

    /// The limit.
    pub fn rate(&self) -> RateLimit {
        self.rate
    }

    /// The policy.
    pub fn policy(&self) -> Policy {
        self.policy
    }
}

/// What a call found in some buckets.
#[derive(Debug, Clone)]
pub(super) struct Levels {
    /// Whether the request was counted.
    pub(super) counted: bool,
    /// The level of each bucket, in its ticks, after all requests of the call.
    pub(super) levels: Vec<f64>,
}

impl Levels {
    pub(super) fn taken(&self, buckets: &[Bucket], cost: u64) -> Taken {
        let with_levels = || buckets.iter().zip(self.levels.iter().copied());
        let quotas = with_levels().map(|(bucket, level)| Quota::of(bucket, level)).collect();
        Taken { quotas, refused: if self.counted { None } else { Refusal::by(with_levels(), cost) } }
    }
}

/// What became of a request.
#[derive(Debug, Clone)]
pub struct Taken {
    /// What is left of each limit; where it was refused without asking Redis, of those that are known to be used up.
    pub quotas: Vec<Quota>,
    /// Why it is refused, if it is.
    pub refused: Option<Refusal>,
}

/// What is left of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Whose requests it counts.
    pub policy: Policy,
    /// The limit.
    pub rate: RateLimit,
    /// How many requests fit now.
    pub remaining: u64,
    /// After how many ms without requests all of them do.
    pub reset_ms: u64,
}

impl Quota {
    pub(super) fn of(bucket: &Bucket, level: f64) -> Self {
        let Bucket { policy, rate, gauge, name: _ } = bucket;
        let reset_ms = gauge.empty_after_us(level).div_ceil(1000);
        Self { policy: *policy, rate: *rate, remaining: gauge.room(level), reset_ms }
    }
}

/// The limit that a request does not fit into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Whose requests it counts.
    pub policy: Policy,
    /// The limit.
    pub rate: RateLimit,
    /// After how many ms the same request fits, if nothing else comes and no limit that is not named stands against it.
    pub retry_after_ms: u64,
}

impl Refusal {
    /// By the bucket that has room for so many requests last.
    pub(super) fn by<'a>(buckets: impl Iterator<Item = (&'a Bucket, f64)>, cost: u64) -> Option<Self> {
        let waits = buckets.map(|(bucket, level)| (bucket.gauge.wait_us(level, cost), bucket));
        let (wait_us, bucket) = waits.max_by_key(|(wait_us, _)| *wait_us)?;
        let retry_after_ms = wait_us.div_ceil(1000).max(1);
        Some(Self { policy: bucket.policy, rate: bucket.rate, retry_after_ms })
    }
}
