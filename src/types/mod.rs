//! The vocabulary: names, ids, numbers and times that are right by construction. No I/O.

mod audit_id;
mod clock;
mod entry_id;
mod finding;
mod json;
mod limit;
mod name;
mod name_range;
mod rate;
mod reading;
mod score;

pub use audit_id::AuditId;
pub use clock::{Clock, ExactTimestamp, Timestamp};
pub use entry_id::EntryId;
pub use finding::{Finding, Mend};
pub use json::{MAX_METADATA_BYTES, MAX_PAYLOAD_BYTES, Metadata, Named, Payload, Raw};
pub use limit::{Limit, Radius, Within};
pub use name::{
    IdempotencyKey, JobId, JobKey, LeaderboardName, LeaseToken, MEMBER_PATTERN, Member, NAME_PATTERN, QueueName,
    Reason, ScheduleName, TokenId, TokenName, UniqueKey, WindowName, WorkerName,
};
pub use name_range::NameRange;
pub use rate::{RateLimit, parse_span_ms};
pub(crate) use reading::{present, read_choice, read_object};
pub use score::Score;
