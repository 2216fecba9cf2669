//! What the archive has in Redis: whose turn it is, and what was read lately.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Value;

use crate::db::{Db, Effect, Keyspace, Reply, Script};
use crate::error::Result;
use crate::types::{JobId, LeaderboardName, QueueName};

/// The kind in the hash tag of what was read from a queue.
const TAG: &str = "archive";
/// The same of a leaderboard.
const PAST: &str = "past";
/// The era in which nothing is kept.
const CHANGING: &[u8] = b"-";
/// How long it is known which answers hold: longer than any is kept.
const ERA_LASTS: Duration = Duration::from_secs(2 * 3600);
/// How long others wait for one reader of the database at most.
pub(super) const READ_LASTS: Duration = Duration::from_secs(3);

static TAKE_TURN: LazyLock<Script> =
    LazyLock::new(|| Script::new("take_turn", Effect::Pass, &[include_str!("lua/take_turn.lua")]));
static LOOK: LazyLock<Script> = LazyLock::new(|| Script::new("look", Effect::Pass, &[include_str!("lua/look.lua")]));
static ERA: LazyLock<Script> = LazyLock::new(|| Script::new("era", Effect::Pass, &[include_str!("lua/era.lua")]));
static KEEP: LazyLock<Script> = LazyLock::new(|| Script::new("keep", Effect::Store, &[include_str!("lua/keep.lua")]));

/// What one instance does for all.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    /// It writes.
    Write,
    /// It copies periods.
    Periods,
    /// It deletes what is old.
    Retain,
}

impl Turn {
    fn key(self) -> &'static str {
        match self {
            Self::Write => "archiver",
            Self::Periods => "period_archiver",
            Self::Retain => "retainer",
        }
    }
}

/// What a look at something finds.
pub(super) enum Look {
    /// What was read lately; empty where there was nothing.
    Kept(String),
    /// Nobody has read it: the caller does.
    Begun,
    /// Another one reads it.
    Busy,
}

/// The keys of what is read through Redis: who reads it, and what was read.
pub(super) type Aside = [String; 2];

#[derive(Clone)]
pub(super) struct ArchiveStore {
    db: Db,
    keyspace: Keyspace,
}

impl ArchiveStore {
    pub(super) fn new(db: Db, keyspace: Keyspace) -> Self {
        Self { db, keyspace }
    }

    pub(super) fn on(&self, db: Db) -> Self {
        Self { db, ..self.clone() }
    }

    pub(super) fn job_keys(&self, queue: &QueueName, id: &JobId) -> Aside {
        let key = |name: &str| self.keyspace.tagged(TAG, queue.as_str(), &format!("{name}:{}", id.as_str()));
        [key("reader"), key("job")]
    }

    /// The keys of an answer from archived periods of a leaderboard; `era` is what [`ArchiveStore::era`] gave.
    pub(super) fn answer_keys(&self, leaderboard: &LeaderboardName, era: &str, query: &str) -> Aside {
        let digest = sha1_smol::Sha1::from(query).digest();
        let key = |name: &str| self.keyspace.tagged(PAST, leaderboard.as_str(), &format!("{name}:{era}:{digest}"));
        [key("reader"), key("answer")]
    }

    fn era_key(&self, leaderboard: &LeaderboardName) -> String {
        self.keyspace.tagged(PAST, leaderboard.as_str(), "era")
    }

    /// Which answers of a leaderboard hold: those that were kept under the same name. Nothing where none is to be kept.
    pub(super) async fn era(&self, leaderboard: &LeaderboardName) -> Result<Option<String>> {
        let mut command = redis::cmd("GET");
        command.arg(self.era_key(leaderboard));
        match self.db.run(&command, "read_era", Effect::Read).await? {
            Value::BulkString(era) if era == CHANGING => Ok(None),
            Value::BulkString(era) => Ok(Some(String::from_utf8_lossy(&era).into_owned())),
            _ => Ok(Some(String::new())),
        }
    }

    /// From now on no answer of a leaderboard is kept or holds, until another era begins.
    pub(super) async fn end_era(&self, leaderboard: &LeaderboardName) -> Result<()> {
        self.set_era(leaderboard, CHANGING).await
    }

    /// From now on answers are kept again; those from before hold no more.
    pub(super) async fn begin_era(&self, leaderboard: &LeaderboardName) -> Result<()> {
        self.set_era(leaderboard, format!("{:08x}", fastrand::u32(..)).as_bytes()).await
    }

    async fn set_era(&self, leaderboard: &LeaderboardName, era: &[u8]) -> Result<()> {
        let lasts = u64::try_from(ERA_LASTS.as_millis()).unwrap_or(u64::MAX);
        let call = ERA.keys(&[self.era_key(leaderboard)]).arg(era).number(lasts);
        call.run(&self.db).await.map(drop)
    }

    /// Takes or keeps a turn; tells whether it is `who`'s.
    pub(super) async fn take_turn(&self, turn: Turn, who: &str, lasts: Duration) -> Result<bool> {
        let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        let call = TAKE_TURN.keys(&[self.keyspace.global(turn.key())]).arg(who).number(lasts);
        Ok(Reply::of(call.run(&self.db).await?)?.count()? == 1)
    }

    /// Gives what was read lately, or begins a read of the database, unless another one is under way.
    pub(super) async fn look(&self, keys: &Aside, who: &str) -> Result<Look> {
        let lasts = u64::try_from(READ_LASTS.as_millis()).unwrap_or(u64::MAX);
        let mut reply = Reply::of(LOOK.keys(keys).arg(who).number(lasts).run(&self.db).await?)?;
        match reply.text()?.as_str() {
            "begun" => Ok(Look::Begun),
            "busy" => Ok(Look::Busy),
            _ => reply.text().map(Look::Kept),
        }
    }

    /// Ends a read, and keeps what it found, if nothing newer was written since it began. What is to be kept for no time is not.
    pub(super) async fn keep(&self, keys: &Aside, who: &str, found: &str, lasts: Duration) -> Result<()> {
        let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        KEEP.keys(keys).arg(who).arg(found).number(lasts).run(&self.db).await.map(drop)
    }

    /// Forgets what was read of jobs of a queue, and what is being read.
    pub(super) async fn forget(&self, queue: &QueueName, ids: &[&JobId]) -> Result<()> {
        let mut command = redis::cmd("UNLINK");
        for id in ids {
            command.arg(&self.job_keys(queue, id)[..]);
        }
        self.db.run(&command, "forget", Effect::Free).await.map(drop)
    }
}
