//! Leaderboards in Redis: the only place of their keys. A method is one script or one read.

mod adjust;
mod audit;
mod bans;
mod check;
mod closing;
mod erase;
mod import;
mod outbox;
mod periods;
mod reading;
mod segments;
mod service_bans;
mod shard_submit;
mod shard_sums;
mod shards;
mod snapshots;
mod submit;
mod surplus;
mod watch;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};

use futures_util::future::try_join_all;
use redis::Value;

pub(super) use self::bans::{BanChange, Changed};
pub(super) use self::check::{Belonging, Told, Walked};
pub(super) use self::closing::{Closing, Rewards, Taken, WindowClosed};
use self::outbox::Outbox;
pub(super) use self::outbox::RawEntry;
pub(super) use self::periods::Counted;
use self::periods::Going;
pub(super) use self::reading::{Chosen, Found, RawPage, Read};
use self::service_bans::KnownBans;
pub(super) use self::shard_submit::Claimed;
pub(super) use self::snapshots::Kept;
use self::submit::section_lines;
pub(super) use self::surplus::Ended;
use super::audit::AuditNote;
use super::board::{Board, RankingKeys, Version, board_key, free_key};
use super::reply::{self, Reply};
use super::section::Section;
use super::settings::{Settings, Ties, Window};
use super::starts::Starts;
use super::submission::{Fingerprint, WindowStanding};
pub(super) use crate::db::Versioned;
use crate::db::{Db, Effect, Keyspace, Script, ScriptCall, names_in};
use crate::error::{Error, Result};
use crate::types::{Clock, IdempotencyKey, LeaderboardName, Limit, Member, NameRange, WindowName};

const RECORD_LIFETIME_MS: u64 = 24 * 3600 * 1000;

const ORDER: &str = include_str!("lua/_order.lua");
const DIRECTORY: &str = include_str!("lua/_directory.lua");
const ENTRY: &str = include_str!("lua/_entry.lua");
/// Changing entries, with all that this needs.
const ENTRY_WRITE: &str = concat!(
    include_str!("lua/_order.lua"),
    include_str!("lua/_directory.lua"),
    include_str!("lua/_directory_write.lua"),
    include_str!("lua/_entry.lua"),
    include_str!("lua/_segment_write.lua"),
    include_str!("lua/_entry_write.lua"),
);
const DESCRIBE: &str = include_str!("lua/_describe.lua");
const STAMP: &str = include_str!("lua/_stamp.lua");
const RECORD: &str = include_str!("lua/_record.lua");
const RANKING: &str = include_str!("lua/_ranking.lua");
const READING: &str = include_str!("lua/_reading.lua");
const SHARED_RANK: &str = include_str!("lua/_shared_rank.lua");
const DECAY: &str = include_str!("lua/_decay.lua");
const PERIOD: &str = include_str!("lua/_period.lua");
const CLOSING: &str = include_str!("lua/_close.lua");
const FREEING: &str = include_str!("lua/_free.lua");
const HIDDEN: &str = include_str!("lua/_hidden.lua");
const BANS: &str = include_str!("lua/_bans.lua");
const AUDIT: &str = include_str!("lua/_audit.lua");
const ARCHIVE: &str = include_str!("lua/_archive.lua");
const SUBSCORES: &str = include_str!("lua/_subscores.lua");
const SUBMISSION: &str = include_str!("lua/_submission.lua");
const SHADOW: &str = include_str!("lua/_shadow.lua");
const TELL: &str = include_str!("lua/_tell.lua");

macro_rules! script {
    ($static:ident, $name:literal, $effect:ident, $($part:expr),*) => {
        static $static: LazyLock<Script> = LazyLock::new(|| {
            Script::new($name, Effect::$effect, &[$($part,)* include_str!(concat!("lua/", $name, ".lua"))])
        });
    };
}

script!(RECALL, "recall", Read, RECORD);
script!(PUT, "put", Store, STAMP, PERIOD, FREEING, TELL);
script!(DELETE, "delete", Free, FREEING, TELL);
script!(FREE, "free", Free,);
script!(ROLL, "roll", Free, STAMP, PERIOD, CLOSING, TELL);
script!(ENDED, "ended", Free, STAMP, PERIOD, CLOSING);
script!(RELEASE, "release", Free,);
script!(LEAVING, "leaving", Free,);
script!(PERIODS, "periods", Read, STAMP, PERIOD, CLOSING);
script!(CLOSE, "close", Store, STAMP, PERIOD, CLOSING, RECORD, TELL);
script!(PAY, "pay", Store, ORDER, READING);
script!(
    SUBMIT,
    "submit",
    Store,
    ENTRY_WRITE,
    DESCRIBE,
    STAMP,
    RANKING,
    PERIOD,
    SUBSCORES,
    DECAY,
    SUBMISSION,
    HIDDEN,
    BANS,
    SHADOW,
    RECORD,
    TELL,
    ARCHIVE,
    include_str!("lua/_guards.lua")
);
script!(PAGES, "pages", Read, ORDER, DIRECTORY, ENTRY, READING, SHARED_RANK, STAMP, RANKING, PERIOD);
script!(LOOKUP, "lookup", Read, ORDER, DIRECTORY, ENTRY, READING, SHARED_RANK, STAMP, RANKING, PERIOD);
script!(DISTINCT, "distinct", Store, ORDER);
script!(DISTRIBUTION, "distribution", Read, ORDER, READING, STAMP, RANKING, PERIOD, DECAY);
script!(REMOVE, "remove", Free, ENTRY_WRITE, STAMP, RANKING, PERIOD, AUDIT, ARCHIVE, TELL);
script!(TRIM, "trim", Free, ENTRY_WRITE, RANKING, TELL);

/// How storing settings ended.
pub(super) enum Put {
    Stored { entries: u64, created_ms: String, starts: Starts },
    Fixed,
}

/// What the script made of one submission.
pub(super) enum Submitted {
    Counted {
        windows: Vec<WindowStanding>,
        replayed: bool,
    },
    Mismatch,
    /// It was meant for another period than the open ones, which these are.
    Closed {
        open: Vec<(WindowName, String)>,
    },
    Limited {
        retry_after_ms: u64,
    },
    Overflow,
    /// The dimension of this number has as many values as it may.
    Crowded {
        dimension: u64,
    },
    /// The member's submissions are refused.
    Banned,
}

/// What makes a whole call count once.
pub(super) struct CallRecord<'a> {
    pub(super) key: &'a IdempotencyKey,
    pub(super) fingerprint: &'a Fingerprint,
    /// Tells the calls of one request apart.
    pub(super) part: String,
    /// Kept with the answer, and given back with it.
    pub(super) note: String,
}

/// The answer to a call.
pub(super) struct Answered {
    pub(super) results: Vec<Submitted>,
    /// The note of the call that was answered first, where this is its answer again.
    pub(super) note: Option<String>,
}

#[derive(Clone)]
pub(super) struct LeaderboardStore {
    db: Db,
    keyspace: Keyspace,
    clock: Clock,
    /// By how much the Redis server's clock is ahead of this process', as far as it is known, in µs.
    ahead_us: Arc<AtomicI64>,
    /// The service-wide bans, as far as they are known here. Scripts tell where there are newer ones.
    bans: KnownBans,
    /// The latest time of a row that this process has seen of what is spread, in µs (a hybrid logical clock: Kulkarni et al.,
    /// 2014): so a row that is submitted after another was answered is later, whichever shards they are in.
    latest_us: Arc<AtomicI64>,
    /// The way to the archive, where there is one.
    outbox: Option<Outbox>,
}

impl LeaderboardStore {
    pub(super) fn new(db: Db, keyspace: Keyspace, clock: Clock) -> Self {
        let (ahead_us, bans, latest_us) = (Arc::default(), KnownBans::default(), Arc::default());
        Self { db, keyspace, clock, ahead_us, bans, latest_us, outbox: None }
    }

    /// The same store through another connection.
    pub(super) fn on(&self, db: Db) -> Self {
        Self { db, ..self.clone() }
    }

    pub(super) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// The Redis server's time in µs, as far as it is known here. Scripts tell where that is too far off.
    pub(super) fn now_us(&self) -> i64 {
        self.clock.estimate_us().saturating_add(self.ahead_us.load(Ordering::Relaxed))
    }

    /// Notes the time of a row.
    fn see_stamp(&self, stamp_us: i64) {
        self.latest_us.fetch_max(stamp_us, Ordering::Relaxed);
    }

    /// Takes the time that a script told.
    fn learn(&self, mut reply: Reply) -> Result<()> {
        self.learn_time(reply.integer()?);
        Ok(())
    }

    fn learn_time(&self, server_us: i64) {
        match self.clock {
            Clock::Server => self.ahead_us.store(server_us - self.clock.estimate_us(), Ordering::Relaxed),
            // One that a test moves is known.
            Clock::Fixed(_) => {}
        }
    }

    /// The Redis server's time in µs.
    pub(super) async fn server_us(&self) -> Result<i64> {
        match self.clock {
            Clock::Server => {}
            Clock::Fixed(_) => return Ok(self.clock.estimate_us()),
        }
        let mut reply = Reply::of(self.db.run(&redis::cmd("TIME"), "time", Effect::Read).await?)?;
        let (seconds, micros) = (reply.integer()?, reply.integer()?);
        Ok(seconds.saturating_mul(1_000_000).saturating_add(micros))
    }

    /// The section of now, as far as it is known here.
    pub(super) fn section(&self, board: &Board) -> Arc<Section> {
        board.sections.at(if board.sections.change() { self.now_us() } else { 0 })
    }

    fn index_key(&self) -> String {
        self.keyspace.global("leaderboards")
    }

    /// Notes the name in the list of leaderboards.
    pub(super) async fn list_name(&self, name: &LeaderboardName) -> Result<()> {
        let mut command = redis::cmd("ZADD");
        command.arg(self.index_key()).arg(0).arg(name.as_str());
        // Adding it twice does no harm, so a lost answer may be asked for again.
        self.db.run(&command, "list_name", Effect::Read).await.map(drop)
    }

    /// Takes the name from the list of leaderboards.
    pub(super) async fn unlist_name(&self, name: &LeaderboardName) -> Result<()> {
        let mut command = redis::cmd("ZREM");
        command.arg(self.index_key()).arg(name.as_str());
        self.db.run(&command, "unlist_name", Effect::Read).await.map(drop)
    }

    /// Names in byte order after `after`, and whether there are more.
    pub(super) async fn names(&self, after: Option<&str>, limit: Limit) -> Result<(Vec<LeaderboardName>, bool)> {
        self.names_in(&NameRange::all(), after, limit).await
    }

    /// The same of names in these ranges, which are sorted; others are not read.
    pub(super) async fn names_in(
        &self,
        ranges: &[NameRange],
        after: Option<&str>,
        limit: Limit,
    ) -> Result<(Vec<LeaderboardName>, bool)> {
        names_in((&self.db, self.index_key(), "list_names"), ranges, after, limit).await
    }

    /// The leaderboard, if it is there.
    pub(super) async fn load(&self, name: &LeaderboardName) -> Result<Option<Arc<Board>>> {
        self.load_from(&self.keyspace, name).await
    }

    /// The shard that has these keys, if it is there.
    pub(super) async fn load_from(&self, keyspace: &Keyspace, name: &LeaderboardName) -> Result<Option<Arc<Board>>> {
        let mut command = redis::cmd("HMGET");
        command.arg(board_key(keyspace, name)).arg("version").arg("settings").arg("created");
        command.arg("dimensions").arg("starts");
        let mut reply = Reply::of(self.db.run(&command, "load_leaderboard", Effect::Read).await?)?;
        let version = match reply.value()? {
            Value::Nil => return Ok(None),
            Value::BulkString(bytes) => std::str::from_utf8(&bytes).ok().and_then(Version::parse),
            _ => None,
        };
        let unreadable = || Error::Internal(format!("the settings of `{name}` cannot be read"));
        let settings = serde_json::from_str(&reply.text()?).map_err(|_| unreadable())?;
        let created_at = reply::millis(&reply.text()?)?;
        let numbers = match reply.value()? {
            Value::BulkString(bytes) => serde_json::from_slice(&bytes).map_err(|_| unreadable())?,
            // Written before there were dimensions.
            _ => BTreeMap::new(),
        };
        let version = version.ok_or_else(unreadable)?;
        let starts = match reply.value()? {
            Value::BulkString(text) => {
                std::str::from_utf8(&text).ok().and_then(Starts::parse).ok_or_else(unreadable)?
            }
            _ => Starts::default(),
        };
        let board = Board::new(keyspace, name.clone(), version, settings, &numbers, created_at, starts);
        Ok(Some(Arc::new(board.map_err(|_| unreadable())?)))
    }

    /// How many entries the first window has.
    pub(super) async fn entries(&self, board: &Board) -> Result<u64> {
        let counts = try_join_all(board.shards().map(|shard| self.entries_of_one(shard))).await?;
        Ok(counts.into_iter().sum())
    }

    async fn entries_of_one(&self, board: &Board) -> Result<u64> {
        let mut command = redis::cmd("ZCARD");
        let section = self.section(board);
        command.arg(section.rankings.first().map_or("", |ranking| &ranking.rank));
        match self.db.run(&command, "count_entries", Effect::Read).await? {
            Value::Int(count) => Ok(u64::try_from(count).unwrap_or(0)),
            other => Err(Error::Internal(format!("ZCARD answered {other:?}"))),
        }
    }

    /// Stores `new` in the place of `old`, or where nothing is yet.
    ///
    /// `only_while` is how long it holds that what has ended is closed under the old settings.
    pub(super) async fn put(
        &self,
        old: Option<&Board>,
        new: &Board,
        only_while: Option<(i64, i64)>,
    ) -> Result<Versioned<Put>> {
        let section = self.section(new);
        let mut keys = vec![new.key.clone(), free_key(new.keyspace(), &new.name)];
        keys.extend(section.rankings.iter().map(|ranking| ranking.rank.clone()));
        keys.extend(new.settings.windows.iter().map(|window| new.periods_key(&window.name)));
        let standing = keys.len() - 2;
        let going = old.map(|old| self.keys_of(old, old.windows_missing_in(new)));
        let Going { lists, stems, mut others } = going.unwrap_or_default();
        if new.dimensions.is_empty() {
            others.push(new.described_key());
        }
        keys.extend(lists.into_iter().chain(others));
        let settings = serde_json::to_string(&new.settings)
            .map_err(|error| Error::Internal(format!("settings cannot be written: {error}")))?;
        let numbers = serde_json::to_string(&new.dimensions.numbers())
            .map_err(|error| Error::Internal(format!("dimensions cannot be written: {error}")))?;
        let call = PUT
            .keys(&keys)
            .arg(old.map_or(String::new(), |old| self.asked(old, only_while)))
            .arg(new.version.text())
            .arg(&new.version.epoch)
            .arg(settings)
            .arg(new.settings.fixed_part())
            .arg(self.clock.to_argument())
            .number(standing as u64)
            .arg(new.starts.text())
            .arg(old.map_or(String::new(), |old| new.steady_windows_new_to(old)))
            .arg(numbers);
        let call = stems.iter().fold(call, ScriptCall::arg);
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        match reply.text()?.as_str() {
            "stale" => Ok(Versioned::Stale),
            "period" => self.learn(reply).map(|()| Versioned::Stale),
            "fixed" => Ok(Versioned::Current(Put::Fixed)),
            _ => {
                let (entries, created_ms) = (reply.count()?, reply.text()?);
                let starts =
                    Starts::parse(&reply.text()?).ok_or_else(|| Error::Internal("starts are unreadable".to_owned()))?;
                Ok(Versioned::Current(Put::Stored { entries, created_ms, starts }))
            }
        }
    }

    /// Deletes the leaderboard with all that it holds.
    pub(super) async fn delete(&self, board: &Board) -> Result<Versioned<()>> {
        let Going { lists, stems, others } = self.keys_of(board, board.settings.windows.iter());
        let mut keys = vec![board.key.clone(), free_key(board.keyspace(), &board.name)];
        keys.extend(lists.into_iter().chain(others));
        keys.extend([board.described_key(), board.closing_key(), board.leaving_key()]);
        keys.extend(board.ban_keys());
        let call = stems.iter().fold(DELETE.keys(&keys).arg(board.version.text()), ScriptCall::arg);
        Ok(self.current(call.run(&self.db).await?)?.map(drop))
    }

    /// Removes a member from rankings; gives in how many it was. `only_while` is when they are the open ones. With `note`, what
    /// was removed is audited.
    pub(super) async fn remove(
        &self,
        board: &Board,
        member: &Member,
        rankings: &[Arc<RankingKeys>],
        only_while: Option<(i64, i64)>,
        note: Option<&AuditNote>,
    ) -> Result<Versioned<u64>> {
        let (described, audit_key) = (board.described_key(), board.audit_key());
        let mut keys = vec![board.key.as_str(), &described, &audit_key];
        keys.extend(rankings.iter().flat_map(|ranking| ranking.all()));
        let (outbox_key, outbox) = self.outbox_of(board);
        keys.extend(outbox_key.as_deref());
        let call = REMOVE
            .keys(&keys)
            .arg(self.asked(board, only_while))
            .number(board.width as u64)
            .number(board.sub_width as u64)
            .arg(member.as_str())
            .arg(self.clock.to_argument())
            .arg(note.map(AuditNote::text).transpose()?.unwrap_or_default())
            .arg(outbox);
        match self.current(call.run(&self.db).await?)? {
            Versioned::Stale => Ok(Versioned::Stale),
            Versioned::Current(mut reply) => {
                self.has_sent(board);
                Ok(Versioned::Current(reply.count()?))
            }
        }
    }

    /// Removes up to `most` of the worst entries beyond `keep`; gives how many are still to go.
    pub(super) async fn trim(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        keep: u64,
        most: u64,
    ) -> Result<Versioned<u64>> {
        let call = TRIM
            .keys(&keys_with(board, ranking))
            .arg(board.version.text())
            .number(board.width as u64)
            .number(board.sub_width as u64)
            .number(keep)
            .number(most);
        match self.current(call.run(&self.db).await?)? {
            Versioned::Stale => Ok(Versioned::Stale),
            Versioned::Current(mut reply) => Ok(Versioned::Current(reply.count()?)),
        }
    }

    /// The version that a call was made under, and from when until when it holds, as scripts compare them.
    fn asked(&self, board: &Board, only_while: Option<(i64, i64)>) -> String {
        let version = board.version.text();
        match only_while {
            None => version,
            Some((from_us, until_us)) => format!("{version} {from_us} {until_us} {}", self.clock.to_argument()),
        }
    }

    /// The rest of an answer that begins with `stale`, `period` or `ok`. Where another period is open than was thought,
    /// what was read of the leaderboard is stale too.
    fn current(&self, value: Value) -> Result<Versioned<Reply>> {
        let mut reply = Reply::of(value)?;
        match reply.text()?.as_str() {
            "stale" => Ok(Versioned::Stale),
            "period" => self.learn(reply).map(|()| Versioned::Stale),
            _ => Ok(Versioned::Current(reply)),
        }
    }
}

/// The keys of a call that touches one ranking.
fn keys_with<'a>(board: &'a Board, ranking: &'a RankingKeys) -> Vec<&'a str> {
    std::iter::once(board.key.as_str()).chain(ranking.all()).collect()
}

/// What decides the bucket of a member in the directory: the first 32 bits of its SHA-1, which scripts can compute too.
fn directory_hash(member: &Member) -> u32 {
    let digest = sha1_smol::Sha1::from(member.as_str()).digest().bytes();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

fn ties_name(ties: Ties) -> &'static str {
    match ties {
        Ties::Earliest => "earliest",
        Ties::Latest => "latest",
        Ties::Member => "member",
    }
}

/// A leaderboard that `settings` make, as [`LeaderboardStore::put`] takes it.
pub(super) fn draft(
    keyspace: &Keyspace,
    name: &LeaderboardName,
    old: Option<&Board>,
    settings: Settings,
) -> Result<Board> {
    let version = old.map_or_else(Version::first, |old| old.version.next());
    let created_at = old.map_or(crate::types::Timestamp::from_millis(0), |old| old.created_at);
    let numbers = old.map_or_else(BTreeMap::new, |old| old.dimensions.numbers());
    let mut starts = Starts::default();
    if let Some(old) = old {
        let stays =
            |window: &Window| settings.windows.iter().any(|new| new.name == window.name && new.resets_like(window));
        starts =
            old.starts.only(|name| old.settings.windows.iter().any(|window| window.name == *name && stays(window)));
    }
    Board::new(keyspace, name.clone(), version, settings, &numbers, created_at, starts)
        .map_err(|fault| Error::invalid("/windows", fault))
}
