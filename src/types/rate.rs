//! How much may be asked for in a time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// So much at once, and so much again in each span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApiRateLimit, example = json!({"limit": 600, "per_ms": 60000}))]
pub struct RateLimit {
    /// How many requests; a batch counts as many as it has items.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    pub limit: u64,
    /// In how many milliseconds.
    #[schema(minimum = 1, maximum = 2_592_000_000_i64)]
    pub per_ms: u64,
}

impl RateLimit {
    /// The largest limit.
    pub const MAX_LIMIT: u64 = 1_000_000_000;
    /// The longest span: 30 days.
    pub const MAX_PER_MS: u64 = 30 * 24 * 3600 * 1000;
}
