//! The vocabulary: names, ids, numbers and times that are right by construction. No I/O.

mod clock;
mod json;
mod limit;
mod name;
mod reading;
mod score;

pub use clock::{Clock, Timestamp};
pub use json::{MAX_METADATA_BYTES, Metadata, Named};
pub use limit::{Limit, Radius};
pub use name::{IdempotencyKey, LeaderboardName, MEMBER_PATTERN, Member, NAME_PATTERN, WindowName};
pub(crate) use reading::{read_choice, read_object};
pub use score::Score;
