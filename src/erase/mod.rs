//! All that there is of a member, removed on request, from wherever it is kept.
//!
//! What is to be done is noted first and taken off when it is done: what was cut off in between, the background work does again.
//! The archive is asked again until all that was on its way to it by then has arrived.

mod store;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use tracing::warn;

use self::store::{ErasureStore, Pending, State};
use crate::archive::Archive;
use crate::auth::Tokens;
use crate::db::{Db, Keyspace};
use crate::error::{Error, Result};
use crate::leaderboard::{Act, Leaderboards};
use crate::task::{Again, Report, Task};
use crate::types::{Member, Timestamp};

/// After so long a request leaves the rest to the background work.
const REQUEST_LASTS: Duration = Duration::from_secs(10);
/// After how long one that has not come through Redis was cut off: longer than a request lasts.
const CUT_OFF_AFTER_MS: i64 = 15_000;
/// How long a batch may be under way to the archive when it has left the outbox: another instance may have written it before.
const BATCH_LASTS_MS: i64 = 30_000;
/// How far times of rows may be ahead of the clock.
const AHEAD_MS: i64 = 1000;

/// What becomes of a service-wide ban of the member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bans {
    /// It stays, with the member's name.
    Keep,
    /// It is lifted.
    Lift,
}

/// What was removed of a member.
#[derive(Debug, Default)]
pub struct Erased {
    /// On how many leaderboards there was something.
    pub leaderboards: u64,
    /// In how many rankings it stood.
    pub entries: u64,
    /// How many of its tokens were revoked.
    pub tokens: u64,
    /// How many rows of the archive are gone.
    pub archived: u64,
    /// Whether all is done, as far as anybody can see.
    pub is_done: bool,
}

/// Removes members. Clones share what they know.
#[derive(Clone)]
pub struct Erasure {
    store: ErasureStore,
    leaderboards: Leaderboards,
    tokens: Tokens,
    archive: Archive,
}

impl Erasure {
    /// What removes members from these.
    pub fn new(db: Db, keyspace: Keyspace, leaderboards: Leaderboards, tokens: Tokens, archive: Archive) -> Self {
        Self { store: ErasureStore::new(db, keyspace), leaderboards, tokens, archive }
    }

    /// The same through another connection.
    #[must_use]
    pub fn on(&self, db: &Db) -> Self {
        Self {
            store: self.store.on(db.clone()),
            leaderboards: self.leaderboards.on(db.clone()),
            tokens: self.tokens.on(db.clone()),
            archive: self.archive.on(db.clone()),
        }
    }

    /// Removes a member: its tokens, all that leaderboards have of it, and what the archive has. It may be asked for again.
    ///
    /// What stands in the way once it is noted is no error: the answer says that something is left, and the background work goes on.
    ///
    /// # Errors
    ///
    /// Those of the store, where it could not be noted.
    pub async fn erase(&self, member: &Member, bans: Bans, act: &Act) -> Result<Erased> {
        let Act { by, reason } = act.clone();
        let at = self.leaderboards.server_time().await?;
        let state = State { at, bans: bans == Bans::Lift, by, reason, cleared: None, arrived: None };
        let mut pending = Pending { id: format!("{:016x}", fastrand::u64(..)), member: member.clone(), state };
        self.store.note(&pending).await?;
        let mut erased = Erased::default();
        let done = async {
            self.clear(&mut pending, &mut erased, Some(Instant::now() + REQUEST_LASTS)).await?;
            self.clear_archive(&mut pending, &mut erased, self.oldest_to_archive().await?).await
        };
        let is_done = done.await.unwrap_or_else(|error| {
            warn!("the removal of a member goes on in the background: {error}");
            false
        });
        Ok(Erased { is_done, ..erased })
    }

    /// Removes what Redis has.
    async fn clear(&self, pending: &mut Pending, erased: &mut Erased, until: Option<Instant>) -> Result<()> {
        // First, so that nobody who has one brings new scores meanwhile.
        erased.tokens += self.tokens.revoke_of(&pending.member).await?;
        let entries = self.leaderboards.erase(&pending.member, until).await;
        erased.leaderboards += entries.leaderboards;
        erased.entries += entries.entries;
        if let Some(error) = entries.left {
            return Err(error);
        }
        // Last, or its hidden entries were seen again.
        if pending.state.bans {
            let act = Act { by: pending.state.by.clone(), reason: pending.state.reason.clone() };
            match self.leaderboards.lift_ban_everywhere(&pending.member, &act).await {
                Ok(()) | Err(Error::NoBan(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if self.archive.is_there() {
            pending.state.cleared = Some(self.leaderboards.server_time().await?);
            self.store.note(pending).await
        } else {
            self.store.end(pending).await
        }
    }

    /// When the oldest came in of what is on its way to the archive; nothing where there is nothing.
    async fn oldest_to_archive(&self) -> Result<Option<Timestamp>> {
        if self.archive.is_there() { self.leaderboards.oldest_to_archive().await } else { Ok(None) }
    }

    /// Removes what the archive has from before Redis was clear; tells whether nothing is left to come. `oldest` is of before.
    ///
    /// It is done once more when a batch that was under way has ended for sure, and then taken off.
    async fn clear_archive(
        &self,
        pending: &mut Pending,
        erased: &mut Erased,
        oldest: Option<Timestamp>,
    ) -> Result<bool> {
        let Some(cleared) = pending.state.cleared else { return Ok(true) };
        let before = Timestamp::from_millis(cleared.as_millis().saturating_add(AHEAD_MS));
        erased.archived += self.archive.forget_member(&pending.member, before).await?;
        if oldest.is_some_and(|oldest| oldest <= cleared) {
            return Ok(false);
        }
        let now = self.leaderboards.server_time().await?;
        match pending.state.arrived {
            None => {
                pending.state.arrived = Some(now);
                self.store.note(pending).await?;
            }
            Some(arrived) if now.as_millis() - arrived.as_millis() >= BATCH_LASTS_MS => self.store.end(pending).await?,
            Some(_) => {}
        }
        Ok(true)
    }
}

/// Finishes erasures that were cut off, and those that wait for what is on its way to the archive.
pub struct FinishErasures {
    erasure: Erasure,
    /// Where the walk over those that have begun goes on.
    cursor: RefCell<String>,
}

impl FinishErasures {
    /// The task for this.
    pub fn new(erasure: Erasure) -> Self {
        Self { erasure, cursor: RefCell::new("0".to_owned()) }
    }

    async fn finish(&self, mut pending: Pending, oldest: Option<Timestamp>, now: Timestamp) -> Result<bool> {
        let erased = &mut Erased::default();
        if pending.state.cleared.is_some() {
            self.erasure.clear_archive(&mut pending, erased, oldest).await?;
            return Ok(erased.archived > 0);
        }
        let is_cut_off = now.as_millis() - pending.state.at.as_millis() >= CUT_OFF_AFTER_MS;
        if is_cut_off {
            self.erasure.clear(&mut pending, erased, None).await?;
        }
        Ok(is_cut_off)
    }
}

impl Task for FinishErasures {
    const NAME: &'static str = "erase.finish";
    const EVERY: Duration = Duration::from_secs(2);

    async fn run_once(&self) -> Result<Report> {
        let cursor = self.cursor.borrow().clone();
        let (next, begun) = self.erasure.store.pending(&cursor).await?;
        self.cursor.replace(next);
        if begun.is_empty() {
            return Ok(Report { done: 0, again: Again::AfterTick });
        }
        // Looked at before anything is deleted: what had arrived by then is among it.
        let oldest = self.erasure.oldest_to_archive().await?;
        let now = self.erasure.leaderboards.server_time().await?;
        let (mut done, mut failure) = (0, None);
        for pending in begun {
            match self.finish(pending, oldest, now).await {
                Ok(did) => done += u64::from(did),
                // One of them must not keep the others waiting.
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(Report { done, again: Again::AfterTick }), Err)
    }
}
