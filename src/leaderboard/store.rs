//! Leaderboards in Redis: the only place of their keys. A method is one script or one read.

use std::sync::{Arc, LazyLock};

use redis::Value;

use super::board::{Board, RankingKeys, Version, board_key};
use super::entry::{Distribution, QUANTILES, Ranking, Span};
use super::reply::{self, Reply};
use super::settings::{Operator, Order, Settings, Ties};
use super::submission::{Fingerprint, Row, WantedRanks, WindowStanding};
pub(super) use crate::db::Versioned;
use crate::db::{Db, Effect, Keyspace, Script, ScriptCall};
use crate::error::{Error, Result};
use crate::types::{Clock, IdempotencyKey, LeaderboardName, Limit, Member, Score};

const RECORD_LIFETIME_MS: u64 = 24 * 3600 * 1000;
/// Rows that one step of building the distinct ZSET looks at: under a millisecond.
const DISTINCT_STEP: u64 = 500;

const ORDER: &str = include_str!("lua/_order.lua");
const DIRECTORY: &str = include_str!("lua/_directory.lua");
const DIRECTORY_WRITE: &str = include_str!("lua/_directory_write.lua");
const ENTRY: &str = include_str!("lua/_entry.lua");
const ENTRY_WRITE: &str = include_str!("lua/_entry_write.lua");
const STAMP: &str = include_str!("lua/_stamp.lua");
const RECORD: &str = include_str!("lua/_record.lua");
const READING: &str = include_str!("lua/_reading.lua");

macro_rules! script {
    ($static:ident, $name:literal, $effect:ident, $($part:expr),*) => {
        static $static: LazyLock<Script> = LazyLock::new(|| {
            Script::new($name, Effect::$effect, &[$($part,)* include_str!(concat!("lua/", $name, ".lua"))])
        });
    };
}

script!(RECALL, "recall", Read, RECORD);
script!(PUT, "put", Store, STAMP);
script!(DELETE, "delete", Free,);
script!(
    SUBMIT,
    "submit",
    Store,
    ORDER,
    DIRECTORY,
    DIRECTORY_WRITE,
    ENTRY,
    ENTRY_WRITE,
    STAMP,
    include_str!("lua/_subscores.lua"),
    include_str!("lua/_submission.lua"),
    RECORD,
    include_str!("lua/_guards.lua")
);
script!(PAGE, "page", Read, ORDER, DIRECTORY, ENTRY, READING);
script!(LOOKUP, "lookup", Read, ORDER, DIRECTORY, ENTRY, READING);
script!(DISTINCT, "distinct", Store, ORDER);
script!(DISTRIBUTION, "distribution", Read,);
script!(REMOVE, "remove", Free, ORDER, DIRECTORY, DIRECTORY_WRITE, ENTRY, ENTRY_WRITE);
script!(TRIM, "trim", Free, ORDER, DIRECTORY, DIRECTORY_WRITE, ENTRY, ENTRY_WRITE);

/// How storing settings ended.
pub(super) enum Put {
    Stored { entries: u64, created_ms: String },
    Fixed,
}

/// What the script made of one submission.
pub(super) enum Submitted {
    Counted { windows: Vec<WindowStanding>, replayed: bool },
    Mismatch,
    Limited { retry_after_ms: u64 },
    Overflow,
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

/// A run of raw entries.
pub(super) struct RawPage {
    pub(super) total: u64,
    pub(super) from: u64,
    pub(super) asked: u64,
    pub(super) asked_rank: u64,
    pub(super) first_rank: u64,
    pub(super) elements: Vec<(Vec<u8>, Score)>,
    pub(super) metadata: Vec<String>,
}

/// A member found by a look-up.
pub(super) struct Found {
    pub(super) place: u64,
    pub(super) rank: u64,
    pub(super) element: Vec<u8>,
    pub(super) ranked: Score,
    pub(super) metadata: String,
}

/// The answer of a read that may need the distinct ZSET.
pub(super) enum Read<T> {
    Absent,
    Undistinct,
    Answer(T),
}

#[derive(Clone)]
pub(super) struct LeaderboardStore {
    db: Db,
    keyspace: Keyspace,
    clock: Clock,
}

impl LeaderboardStore {
    pub(super) fn new(db: Db, keyspace: Keyspace, clock: Clock) -> Self {
        Self { db, keyspace, clock }
    }

    /// The same store through another connection.
    pub(super) fn on(&self, db: Db) -> Self {
        Self { db, keyspace: self.keyspace.clone(), clock: self.clock.clone() }
    }

    pub(super) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
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
        let from = after.map_or("-".to_owned(), |name| format!("({name}"));
        let mut command = redis::cmd("ZRANGEBYLEX");
        command.arg(self.index_key()).arg(from).arg("+").arg("LIMIT").arg(0).arg(limit.get() + 1);
        let mut reply = Reply::of(self.db.run(&command, "list_names", Effect::Read).await?)?;
        let mut names = Vec::new();
        while !reply.is_empty() {
            let name = LeaderboardName::try_from(reply.text()?);
            names.push(name.map_err(|_| Error::Internal("the list of leaderboards has a strange name".to_owned()))?);
        }
        let more = names.len() > limit.get() as usize;
        names.truncate(limit.get() as usize);
        Ok((names, more))
    }

    /// The leaderboard, if it is there.
    pub(super) async fn load(&self, name: &LeaderboardName) -> Result<Option<Arc<Board>>> {
        let mut command = redis::cmd("HMGET");
        command.arg(board_key(&self.keyspace, name)).arg("version").arg("settings").arg("created");
        let mut reply = Reply::of(self.db.run(&command, "load_leaderboard", Effect::Read).await?)?;
        let version = match reply.value()? {
            Value::Nil => return Ok(None),
            Value::BulkString(bytes) => std::str::from_utf8(&bytes).ok().and_then(Version::parse),
            _ => None,
        };
        let unreadable = || Error::Internal(format!("the settings of `{name}` cannot be read"));
        let settings = serde_json::from_str(&reply.text()?).map_err(|_| unreadable())?;
        let created_at = reply::millis(&reply.text()?)?;
        let version = version.ok_or_else(unreadable)?;
        Ok(Some(Arc::new(Board::new(&self.keyspace, name.clone(), version, settings, created_at))))
    }

    /// How many entries the first window has.
    pub(super) async fn entries(&self, board: &Board) -> Result<u64> {
        let mut command = redis::cmd("ZCARD");
        command.arg(board.rankings.first().map_or("", |ranking| &ranking.rank));
        match self.db.run(&command, "count_entries", Effect::Read).await? {
            Value::Int(count) => Ok(u64::try_from(count).unwrap_or(0)),
            other => Err(Error::Internal(format!("ZCARD answered {other:?}"))),
        }
    }

    /// Stores `new` in the place of `old`, or where nothing is yet.
    pub(super) async fn put(&self, old: Option<&Board>, new: &Board) -> Result<Versioned<Put>> {
        let mut keys = vec![new.key.as_str()];
        keys.extend(new.rankings.iter().map(|ranking| ranking.rank.as_str()));
        if let Some(old) = old {
            keys.extend(old.rankings_missing_in(new).flat_map(RankingKeys::all));
        }
        let settings = serde_json::to_string(&new.settings)
            .map_err(|error| Error::Internal(format!("settings cannot be written: {error}")))?;
        let call = PUT
            .keys(&keys)
            .arg(old.map_or(String::new(), |old| old.version.text()))
            .arg(new.version.text())
            .arg(&new.version.epoch)
            .arg(settings)
            .arg(new.settings.fixed_part())
            .arg(self.clock.to_argument())
            .number(new.rankings.len() as u64);
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        match reply.text()?.as_str() {
            "stale" => Ok(Versioned::Stale),
            "fixed" => Ok(Versioned::Current(Put::Fixed)),
            _ => Ok(Versioned::Current(Put::Stored { entries: reply.count()?, created_ms: reply.text()? })),
        }
    }

    /// Deletes the leaderboard with all that it holds.
    pub(super) async fn delete(&self, board: &Board) -> Result<Versioned<()>> {
        let mut keys = vec![board.key.as_str()];
        keys.extend(board.rankings.iter().flat_map(RankingKeys::all));
        Ok(current(DELETE.keys(&keys).arg(board.version.text()).run(&self.db).await?)?.map(drop))
    }

    /// Submits rows in one script call; `record` makes the call count once.
    pub(super) async fn submit(
        &self,
        board: &Board,
        rows: &[&Row],
        ranks: WantedRanks,
        record: Option<&CallRecord<'_>>,
    ) -> Result<Versioned<Answered>> {
        let settings = &board.settings;
        let record_keys: Vec<String> = record.map_or(Vec::new(), |record| {
            vec![board.record_key(record.key, "batch"), board.record_key(record.key, &record.part)]
        });
        let own_keys: Vec<String> = rows.iter().flat_map(|row| self.row_keys(board, row)).collect();
        let mut keys = vec![board.key.as_str()];
        keys.extend(record_keys.iter().map(String::as_str));
        keys.extend(board.rankings.iter().flat_map(RankingKeys::all));
        keys.extend(own_keys.iter().map(String::as_str));
        let (limit, per_ms) = settings.submission_limit.map_or((0, 0), |limit| (limit.limit, limit.per_ms));
        let mut call = SUBMIT
            .keys(&keys)
            .arg(board.version.text())
            .arg(self.clock.to_argument())
            .arg(operator_name(settings.operator))
            .arg(ties_name(settings.ties))
            .arg(&board.directions)
            .number(settings.max_entries.unwrap_or(0))
            .number(limit.into())
            .number(per_ms * 1000)
            .number(board.rankings.len() as u64)
            .arg(match ranks {
                WantedRanks::None => "0",
                WantedRanks::New => "1",
                WantedRanks::NewAndPrevious => "2",
            })
            .number(RECORD_LIFETIME_MS)
            .arg(record.map_or(&[][..], |record| record.fingerprint.as_bytes()))
            .arg(board.label.text())
            .arg(record.map_or(String::new(), |record| format!("{}\n{}", board.label.text(), record.note)));
        for row in rows {
            call = call
                .arg(row.member.as_str())
                .number(directory_hash(&row.member).into())
                .arg(row.ranked.to_redis())
                .arg(&row.sub_key)
                .arg(row.metadata.as_ref().map_or("", |metadata| metadata.as_str()))
                .arg(row.key.as_ref().map_or(&[][..], |(_, _, fingerprint)| fingerprint.as_bytes()));
        }
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        match reply.text()?.as_str() {
            "stale" => Ok(Versioned::Stale),
            "mismatch" => Err(Error::IdempotencyMismatch),
            "replayed" => Ok(Versioned::Current(reply::first_call(reply)?)),
            _ => {
                let results = reply::results(&board.label, reply)?;
                if results.len() != rows.len() {
                    return Err(Error::Internal("a call was answered with another number of results".to_owned()));
                }
                Ok(Versioned::Current(Answered { results, note: None }))
            }
        }
    }

    /// The first answer to a call, if there was one.
    pub(super) async fn recall_call(&self, board: &Board, record: &CallRecord<'_>) -> Result<Option<Answered>> {
        let reply = self.recall(&board.record_key(record.key, &record.part), record.fingerprint).await?;
        reply.map(reply::first_call).transpose()
    }

    /// The first answer to a submission with a key, if there was one.
    pub(super) async fn recall_row(
        &self,
        board: &Board,
        key: &IdempotencyKey,
        part: &str,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Submitted>> {
        let Some(mut reply) = self.recall(&board.record_key(key, part), fingerprint).await? else { return Ok(None) };
        let label = reply::label(&reply.text()?)?;
        reply::windows(&label, reply, true).map(Some)
    }

    async fn recall(&self, record_key: &str, fingerprint: &Fingerprint) -> Result<Option<Reply>> {
        let call = RECALL.keys(&[record_key]).arg(fingerprint.as_bytes());
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        match reply.text()?.as_str() {
            "none" => Ok(None),
            "mismatch" => Err(Error::IdempotencyMismatch),
            _ => Ok(Some(reply)),
        }
    }

    fn row_keys(&self, board: &Board, row: &Row) -> impl Iterator<Item = String> + use<> {
        let record = row.key.as_ref().map(|(key, part, _)| board.record_key(key, part));
        let log = board.settings.submission_limit.map(|_| board.limit_key(&row.member));
        record.into_iter().chain(log)
    }

    /// Reads a run of entries.
    pub(super) async fn page(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        shown: Ranking,
        span: &Span,
    ) -> Result<Versioned<Read<RawPage>>> {
        let call = read_call(&PAGE, board, ranking, shown);
        let call = match span {
            Span::Offset { offset, limit } => call.arg("offset").number(*offset).number(limit.get().into()),
            Span::After { ranked, element, limit } => {
                call.arg("after").arg(ranked.to_redis()).arg(element).number(limit.get().into())
            }
            Span::Member { member, radius } => call.arg("member").arg(member.as_str()).number((*radius).into()),
            Span::Score { ranked, ahead_of_equals, radius } => call
                .arg("score")
                .arg(ranked.to_redis())
                .number(radius.get().into())
                .arg(if *ahead_of_equals { "1" } else { "0" }),
        };
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        match reply.text()?.as_str() {
            "stale" => return Ok(Versioned::Stale),
            "absent" => return Ok(Versioned::Current(Read::Absent)),
            "undistinct" => return Ok(Versioned::Current(Read::Undistinct)),
            _ => {}
        }
        let (total, from, asked) = (reply.count()?, reply.count()?, reply.count()?);
        let (asked_rank, first_rank) = (reply.count()?, reply.count()?);
        let mut run = reply.list()?;
        let mut elements = Vec::new();
        while !run.is_empty() {
            elements.push((run.bytes()?, run.score()?));
        }
        let mut run = reply.list()?;
        let mut metadata = Vec::new();
        while !run.is_empty() {
            metadata.push(run.text()?);
        }
        Ok(Versioned::Current(Read::Answer(RawPage { total, from, asked, asked_rank, first_rank, elements, metadata })))
    }

    /// Reads the entries of members, `None` for each that has none.
    pub(super) async fn lookup(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        shown: Ranking,
        members: &[Member],
    ) -> Result<Versioned<Read<Vec<Option<Found>>>>> {
        let mut call = read_call(&LOOKUP, board, ranking, shown);
        for member in members {
            call = call.arg(member.as_str());
        }
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        match reply.text()?.as_str() {
            "stale" => return Ok(Versioned::Stale),
            "undistinct" => return Ok(Versioned::Current(Read::Undistinct)),
            _ => {}
        }
        reply.count()?;
        let mut found = Vec::with_capacity(members.len());
        while !reply.is_empty() {
            let mut row = reply.list()?;
            found.push(if row.is_empty() {
                None
            } else {
                Some(Found {
                    place: row.count()?,
                    rank: row.count()?,
                    element: row.bytes()?,
                    ranked: row.score()?,
                    metadata: row.text()?,
                })
            });
        }
        Ok(Versioned::Current(Read::Answer(found)))
    }

    /// Builds the ZSET of distinct rows of a ranking, in short steps.
    pub(super) async fn build_distinct(&self, board: &Board, ranking: &RankingKeys) -> Result<()> {
        let (mut score, mut sub_key) = (Vec::new(), Vec::new());
        loop {
            let call = DISTINCT
                .keys(&[&ranking.rank, &ranking.distinct])
                .arg(&score)
                .arg(&sub_key)
                .number(board.sub_width as u64)
                .number(DISTINCT_STEP);
            let mut reply = Reply::of(call.run(&self.db).await?)?;
            if reply.text()? == "done" {
                return Ok(());
            }
            (score, sub_key) = (reply.bytes()?, reply.bytes()?);
        }
    }

    /// Counts the entries by score.
    pub(super) async fn distribution(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        buckets: u32,
    ) -> Result<Versioned<Distribution>> {
        let mut call = DISTRIBUTION
            .keys(&[&board.key, &ranking.rank])
            .arg(board.version.text())
            .number(buckets.into())
            .arg(if board.settings.order == Order::Descending { "1" } else { "0" });
        for (_, share) in QUANTILES {
            call = call.arg(share);
        }
        match current(call.run(&self.db).await?)? {
            Versioned::Stale => Ok(Versioned::Stale),
            Versioned::Current(reply) => Ok(Versioned::Current(reply::distribution(board, reply)?)),
        }
    }

    /// Removes a member from every ranking; gives in how many it was.
    pub(super) async fn remove(&self, board: &Board, member: &Member) -> Result<Versioned<u64>> {
        let mut keys = vec![board.key.as_str()];
        keys.extend(board.rankings.iter().flat_map(RankingKeys::all));
        let call = REMOVE
            .keys(&keys)
            .arg(board.version.text())
            .number(board.width as u64)
            .number(board.sub_width as u64)
            .arg(member.as_str());
        match current(call.run(&self.db).await?)? {
            Versioned::Stale => Ok(Versioned::Stale),
            Versioned::Current(mut reply) => Ok(Versioned::Current(reply.count()?)),
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
        let [rank, ids, meta, distinct] = ranking.all();
        let call = TRIM
            .keys(&[&board.key, rank, ids, meta, distinct])
            .arg(board.version.text())
            .number(board.width as u64)
            .number(board.sub_width as u64)
            .number(keep)
            .number(most);
        match current(call.run(&self.db).await?)? {
            Versioned::Stale => Ok(Versioned::Stale),
            Versioned::Current(mut reply) => Ok(Versioned::Current(reply.count()?)),
        }
    }
}

/// The rest of an answer that begins with `stale` or `ok`.
fn current(value: Value) -> Result<Versioned<Reply>> {
    let mut reply = Reply::of(value)?;
    Ok(if reply.text()? == "stale" { Versioned::Stale } else { Versioned::Current(reply) })
}

/// What the reads of entries begin with.
fn read_call<'a>(script: &'a Script, board: &Board, ranking: &RankingKeys, shown: Ranking) -> ScriptCall<'a> {
    let [rank, ids, meta, distinct] = ranking.all();
    script
        .keys(&[&board.key, rank, ids, meta, distinct])
        .arg(board.version.text())
        .number(board.width as u64)
        .number(board.sub_width as u64)
        .arg(shown.name())
}

/// What decides the bucket of a member in the directory: the first 32 bits of its SHA-1, which scripts can compute too.
fn directory_hash(member: &Member) -> u32 {
    let digest = sha1_smol::Sha1::from(member.as_str()).digest().bytes();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

fn operator_name(operator: Operator) -> &'static str {
    match operator {
        Operator::Best => "best",
        Operator::Latest => "latest",
        Operator::Sum => "sum",
    }
}

fn ties_name(ties: Ties) -> &'static str {
    match ties {
        Ties::Earliest => "earliest",
        Ties::Latest => "latest",
        Ties::Member => "member",
    }
}

/// A leaderboard that `settings` make, as [`LeaderboardStore::put`] takes it.
pub(super) fn draft(keyspace: &Keyspace, name: &LeaderboardName, old: Option<&Board>, settings: Settings) -> Board {
    let version = old.map_or_else(Version::first, |old| old.version.next());
    let created_at = old.map_or(crate::types::Timestamp::from_millis(0), |old| old.created_at);
    Board::new(keyspace, name.clone(), version, settings, created_at)
}
