//! The archive: finished jobs, scores and periods of leaderboards in a SQL database, written in batches behind them, and read from there.

#[doc(hidden)]
pub mod bench;
mod drain;
mod history;
mod migrate;
mod past;
mod periods;
mod purge;
mod reads;
mod retain;
mod row;
mod scores;
mod seasons;
mod sink;
mod standings;
mod store;

use std::sync::Arc;
use std::time::Duration;

pub use self::drain::Drain;
pub use self::history::{Filter, HistoryPage, HistoryPlace};
pub use self::past::Past;
pub use self::periods::ArchivePeriods;
pub use self::purge::{Purge, Purged};
pub use self::reads::{Archived, Source};
pub use self::retain::Retain;
pub use self::scores::{ArchivedEvent, EventFilter, EventPage, EventPlace};
pub use self::seasons::PastAnswer;

use self::row::Row;
use self::sink::Sink;
use self::store::{ArchiveStore, Turn};
use crate::config::ArchiveSettings;
use crate::db::{Db, Keyspace};
use crate::error::{Error, Result};
use crate::leaderboard::{MemberEvent, Origin};
use crate::metrics::Metrics;
use crate::queue::Outgoing;
use crate::types::{JobId, LeaderboardName, Limit, Member, QueueName, Timestamp};

/// The archive of a service, if it has one. Clones share its connections.
#[derive(Clone, Default)]
pub struct Archive(Option<Parts>);

#[derive(Clone)]
struct Parts {
    sink: Arc<Sink>,
    store: ArchiveStore,
    keyspace: Keyspace,
    metrics: Metrics,
    /// How long what was read is kept.
    kept: Duration,
}

impl Archive {
    /// The archive of these settings, for the service whose Redis keys begin with `prefix`. It is reached when it is first used. Must be
    /// called inside a runtime.
    ///
    /// # Errors
    ///
    /// What is wrong with the target.
    pub fn open(
        settings: &ArchiveSettings,
        db: Db,
        (keyspace, prefix): (Keyspace, &str),
        metrics: Metrics,
    ) -> std::result::Result<Self, String> {
        let sink = Arc::new(Sink::open(&settings.target, prefix)?);
        let store = ArchiveStore::new(db, keyspace.clone());
        Ok(Self(Some(Parts { sink, store, keyspace, metrics, kept: settings.cache })))
    }

    /// The same archive, which goes to Redis through another connection.
    #[must_use]
    pub fn on(&self, db: Db) -> Self {
        Self(self.0.as_ref().map(|parts| Parts { store: parts.store.on(db), ..parts.clone() }))
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Takes or keeps a turn, so that instances do not all do the same.
    async fn take_turn(&self, turn: Turn, who: &str, lasts: Duration) -> Result<bool> {
        self.parts()?.store.take_turn(turn, who, lasts).await
    }

    /// Brings the tables to what this version knows.
    async fn prepare(&self) -> Result<()> {
        self.parts()?.sink.ask(async { Ok(()) }).await
    }

    /// Writes what became of jobs, `at_once` in a statement and all or none; gives how many rows are new or newer than what was there.
    async fn write(&self, outgoing: &[Outgoing], at_once: usize) -> Result<u64> {
        let rows = row::rows(outgoing);
        if rows.is_empty() {
            return Ok(0);
        }
        let parts = self.parts()?;
        let written = parts.sink.write(&rows, at_once).await?;
        parts.forget(outgoing).await?;
        Ok(written)
    }

    /// Writes what happened to members, `at_once` in a statement; gives how many rows are new.
    async fn write_events(&self, events: &[(Origin, MemberEvent)], at_once: usize) -> Result<u64> {
        if events.is_empty() { Ok(0) } else { self.parts()?.sink.write_events(events, at_once).await }
    }

    /// A job as it finished last.
    ///
    /// # Errors
    ///
    /// `NoJob`, `ArchiveOff`, `ArchiveUnavailable`.
    pub async fn job(&self, queue: &QueueName, id: &JobId) -> Result<Archived> {
        let found = self.parts()?.job(queue, id).await?;
        found.ok_or_else(|| Error::NoJob { queue: queue.clone(), job: id.clone() })
    }

    /// Finished jobs of a queue, the latest first.
    ///
    /// # Errors
    ///
    /// `ArchiveOff`, `ArchiveUnavailable`.
    pub async fn history(&self, queue: &QueueName, filter: &Filter, limit: Limit) -> Result<HistoryPage> {
        self.parts()?.sink.history(queue, filter, limit).await
    }

    /// What happened to a member of a leaderboard, the latest first.
    ///
    /// # Errors
    ///
    /// `ArchiveOff`, `ArchiveUnavailable`.
    pub async fn member_history(
        &self,
        leaderboard: &LeaderboardName,
        member: &Member,
        filter: &EventFilter,
        limit: Limit,
    ) -> Result<EventPage> {
        self.parts()?.sink.events((leaderboard, member), filter, limit).await
    }

    /// Deletes archived jobs of a queue for good. Where there are many, only some: the answer says whether there is more.
    ///
    /// # Errors
    ///
    /// `ArchiveOff`, `ArchiveUnavailable`.
    pub async fn purge(&self, queue: &QueueName, what: Purge) -> Result<Purged> {
        self.parts()?.purge(queue, what).await
    }

    /// Deletes what is kept of a member from before; gives how many rows of its history, and how many periods it stood in that ended
    /// before. 0 without an archive.
    ///
    /// Jobs stay: what they carry is not looked at. What is still on its way arrives afterwards: who forgets a member for good asks again.
    ///
    /// # Errors
    ///
    /// `ArchiveUnavailable`.
    pub async fn forget_member(&self, member: &Member, before: Timestamp) -> Result<u64> {
        match &self.0 {
            Some(parts) => {
                let rows = parts.sink.forget_member(member, before).await?;
                Ok(rows + parts.forget_standings(None, member, Some(before)).await?)
            }
            None => Ok(0),
        }
    }

    /// Ends the connections to the database.
    pub async fn close(&self) {
        if let Some(parts) = &self.0 {
            parts.sink.close().await;
        }
    }

    fn parts(&self) -> Result<&Parts> {
        self.0.as_ref().ok_or(Error::ArchiveOff)
    }
}
