//! How much may be asked for: limits counted in Redis, so that they are exact over all instances.
//!
//! The rule is the generic cell rate algorithm (ITU-T I.371, annex A), in its form as a leaky bucket that is a meter: each
//! request adds to a level that drains steadily, and one that would not fit is refused and adds nothing. So `limit` requests
//! fit at once, and from then on one each `per_ms / limit`, with no window at whose edge twice as many would fit.
//!
//! Requests that wait at the same time share one script call (`merge.rs`). A bucket that is known to be full is not asked
//! about (`full.rs`): others can only make it fuller.

mod bucket;
mod full;
mod gauge;
mod merge;
mod store;

use std::sync::{Arc, OnceLock};

pub use self::bucket::{Bucket, Policy, Quota, Refusal, Taken};
use self::full::FullBuckets;
use self::merge::Merger;
use self::store::LimitStore;
use crate::db::{Db, Keyspace};
use crate::error::Result;
use crate::types::Clock;

/// The limits of a service. Clones share what is known of full buckets.
#[derive(Clone)]
pub struct Limiter {
    store: LimitStore,
    full: FullBuckets,
    merger: Arc<OnceLock<Merger>>,
}

impl Limiter {
    /// The limits that this Redis counts.
    pub fn new(db: Db, keyspace: Keyspace, clock: Clock) -> Self {
        let full = FullBuckets::new(clock.clone());
        Self { store: LimitStore::new(db, keyspace, clock), full, merger: Arc::default() }
    }

    /// The same limits through another connection.
    #[must_use]
    pub fn on(&self, db: Db) -> Self {
        Self { store: self.store.on(db), full: self.full.clone(), merger: Arc::default() }
    }

    /// Takes `cost` requests from each of the buckets, or nothing from any.
    ///
    /// A cost above a bucket's limit never fits: see [`Bucket::most`]. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// `StoreUnavailable`: then the request must not be served.
    pub async fn take(&self, buckets: &Arc<[Bucket]>, cost: u64) -> Result<Taken> {
        if let Some(taken) = self.full.refuse(buckets, cost) {
            return Ok(taken);
        }
        let asked = self.full.now();
        let merger = self.merger.get_or_init(|| Merger::start(self.store.clone()));
        let levels = merger.take(buckets, cost).await?;
        let taken = levels.taken(buckets, cost);
        if taken.refused.is_some() {
            self.full.note(buckets, &levels, asked);
        }
        Ok(taken)
    }
}
