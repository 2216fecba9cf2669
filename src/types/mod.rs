//! The vocabulary: names, ids, numbers and times that are right by construction. No I/O.

mod clock;
mod json;
mod limit;
mod name;
mod score;

pub use clock::{Clock, Timestamp};
pub use json::{MAX_METADATA_BYTES, Metadata};
pub use limit::{Limit, Radius};
pub use name::{IdempotencyKey, LeaderboardName, MEMBER_PATTERN, Member, NAME_PATTERN, WindowName};
pub use score::Score;
