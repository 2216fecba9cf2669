//! What administrators did: one log for the whole service. It stands in Redis before an act is answered as done.

mod deed;
mod store;

pub use self::deed::{Author, Deed, Log, Noted, Wanted};

use self::store::AuditStore;
use crate::db::{Db, Keyspace};
use crate::error::Result;
use crate::types::{AuditId, Clock, Limit};

/// The log of administrative acts.
#[derive(Clone)]
pub struct AuditLog {
    store: AuditStore,
}

impl AuditLog {
    /// The log that this Redis keeps, of about so many entries: the oldest make room.
    pub fn new(db: Db, keyspace: &Keyspace, clock: Clock, entries: u64) -> Self {
        Self { store: AuditStore::new(db, keyspace, clock, entries) }
    }

    /// The same log through another connection.
    #[must_use]
    pub fn on(&self, db: Db) -> Self {
        Self { store: self.store.on(db) }
    }

    /// Keeps what was done.
    ///
    /// # Errors
    ///
    /// Those of the store; the entry may be kept then, or not.
    pub async fn note(&self, deed: &Deed) -> Result<()> {
        self.store.note(deed.log, &deed.text()?).await
    }

    /// What was done, the newest first, before `before`; and where to go on, if there may be more. A page looks at a bounded
    /// number of entries, so it may be short, or empty, and not the last.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn list(
        &self,
        wanted: &Wanted,
        before: Option<AuditId>,
        limit: Limit,
    ) -> Result<(Vec<Noted>, Option<AuditId>)> {
        self.store.list(wanted, before, limit).await
    }
}
