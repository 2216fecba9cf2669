//! What a token allows, by kinds of operations.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an operation needs of its caller. A token has no more than those it names; none implies another, but `admin` all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub enum Scope {
    /// Reading leaderboards and rankings.
    #[serde(rename = "leaderboards:read")]
    LeaderboardsRead,
    /// Submitting scores.
    #[serde(rename = "scores:write")]
    ScoresWrite,
    /// Creating, changing and deleting leaderboards and entries.
    #[serde(rename = "leaderboards:admin")]
    LeaderboardsAdmin,
    /// Enqueuing jobs.
    #[serde(rename = "jobs:enqueue")]
    JobsEnqueue,
    /// Dequeuing jobs and settling their leases.
    #[serde(rename = "jobs:work")]
    JobsWork,
    /// Reading queues, jobs, schedules and workers.
    #[serde(rename = "queues:read")]
    QueuesRead,
    /// Creating, changing and deleting queues and schedules; cancelling, retrying and deleting jobs.
    #[serde(rename = "queues:admin")]
    QueuesAdmin,
    /// Creating, listing, rotating and revoking tokens that allow no more than one's own.
    #[serde(rename = "tokens:admin")]
    TokensAdmin,
    /// Everything.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 9] = [
        Self::LeaderboardsRead,
        Self::ScoresWrite,
        Self::LeaderboardsAdmin,
        Self::JobsEnqueue,
        Self::JobsWork,
        Self::QueuesRead,
        Self::QueuesAdmin,
        Self::TokensAdmin,
        Self::Admin,
    ];

    /// Whether it is for administrators: what changes with it is noted in the audit log.
    pub const fn is_administrative(self) -> bool {
        match self {
            Self::LeaderboardsAdmin | Self::QueuesAdmin | Self::TokensAdmin | Self::Admin => true,
            Self::LeaderboardsRead | Self::ScoresWrite | Self::JobsEnqueue | Self::JobsWork | Self::QueuesRead => false,
        }
    }

    /// Its name in tokens.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeaderboardsRead => "leaderboards:read",
            Self::ScoresWrite => "scores:write",
            Self::LeaderboardsAdmin => "leaderboards:admin",
            Self::JobsEnqueue => "jobs:enqueue",
            Self::JobsWork => "jobs:work",
            Self::QueuesRead => "queues:read",
            Self::QueuesAdmin => "queues:admin",
            Self::TokensAdmin => "tokens:admin",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
