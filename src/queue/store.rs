//! Queues in Redis: the only place of their keys. A method is one script or one read.

mod check;
mod deliver;
mod manage;
mod outbox;
mod plain;
mod schedules;
mod work;

use std::sync::{Arc, LazyLock};

use redis::Value;

pub(super) use self::check::{Look, Told};
pub use self::manage::Figures;
pub(super) use self::manage::Tended;
pub(super) use self::schedules::{StoredSchedule, Tick, definition};
pub(super) use self::work::{Added, Call, CallResult, Prepared, Settled, Worked};

use super::line::{Keys, Queue};
use super::outbox::Outbox;
use super::record;
use super::settings::Settings;
pub(super) use crate::db::Versioned;
use crate::db::{Db, Effect, Keyspace, Reply, Script, ScriptCall, Version, names_in};
use crate::error::{Error, Result};
use crate::types::{Clock, Limit, NameRange, QueueName, Timestamp};

macro_rules! parts {
    ($($static:ident $file:literal),* $(,)?) => { $(const $static: &str = include_str!(concat!("lua/", $file));)* };
}
parts!(
    KEYS "_keys.lua", JOB "_job.lua", ARCHIVE "_archive.lua", ONCE "_once.lua",
    ADD "_enqueue.lua", ACK "_ack.lua", TURN "_turn.lua", ROOM "_room.lua", LEASE "_lease.lua", RETRY "_retry.lua", REMOVE "_remove.lua",
    FIGURES "_figures.lua",
);

const FINISH: &str = concat!(include_str!("lua/_archive.lua"), include_str!("lua/_finish.lua"));
const DUE: &str = concat!(include_str!("lua/_leave.lua"), include_str!("lua/_due.lua"));
const LINE: &str = concat!(include_str!("lua/_line.lua"), include_str!("lua/_slots.lua"));

macro_rules! bare_script {
    ($static:ident, $name:literal, $effect:ident, $($part:expr),*) => {
        static $static: LazyLock<Script> = LazyLock::new(|| {
            Script::new($name, Effect::$effect, &[$($part,)* include_str!(concat!("lua/", $name, ".lua"))])
        });
    };
}

macro_rules! script {
    ($static:ident, $name:literal, $effect:ident, $($part:expr),*) => {
        bare_script!($static, $name, $effect, KEYS $(, $part)*);
    };
}

bare_script!(ENQUEUE_PLAIN, "enqueue_plain", Store,);
bare_script!(
    DEQUEUE_PLAIN,
    "dequeue_plain",
    Free,
    ARCHIVE,
    include_str!("lua/_plain_acks.lua"),
    include_str!("lua/_plain_leases.lua")
);
script!(ENQUEUE, "enqueue", Store, JOB, LINE, FINISH, DUE, ONCE, ADD);
script!(DEQUEUE, "dequeue", Free, JOB, LINE, FINISH, DUE, ONCE, ACK, TURN, ROOM, LEASE);
script!(RELEASE, "release", Free, JOB, LINE);
script!(NACK, "nack", Free, JOB, LINE, FINISH, ONCE);
script!(EXTEND, "extend", Free, JOB, ONCE);
script!(CANCEL, "cancel", Free, JOB, LINE, FINISH, DUE);
script!(RETRY_JOB, "retry", Free, JOB, LINE, FINISH, DUE, ONCE, ADD, RETRY);
script!(REDRIVE, "redrive", Free, JOB, LINE, FINISH, DUE, ADD, RETRY);
script!(PROGRESS, "progress", Free,);
script!(SEND, "send", Store,);
script!(RECEIVE, "receive", Store, JOB, LINE, FINISH, DUE, ADD);
script!(SENT, "sent", Free, JOB, ARCHIVE);
script!(PURGE, "purge", Free, JOB, LINE, FINISH, DUE, REMOVE);
script!(READ, "read", Read, JOB, FIGURES);
script!(TEND, "tend", Free, JOB, LINE, FINISH, DUE, REMOVE, FIGURES);
script!(TICK, "tick", Store, JOB, LINE, FINISH, DUE, ADD);
script!(PUT_SCHEDULE, "put_schedule", Store,);
script!(DELETE_SCHEDULE, "delete_schedule", Free,);
script!(SCHEDULES, "schedules", Read,);
script!(PUT, "put", Store, LINE);
script!(UNPARK, "unpark", Free,);
script!(DELETE, "delete", Free, ARCHIVE);
bare_script!(TO_ARCHIVE, "to_archive", Read,);
bare_script!(LIST_UNARCHIVED, "list_unarchived", Free,);
bare_script!(ARCHIVED, "archived", Free,);
script!(DELIVER, "deliver", Store, JOB, LINE, FINISH, DUE, ADD);
script!(PAUSE, "pause", Free, LINE, ONCE);
script!(LIST, "list", Read,);
script!(LIST_READY, "list_ready", Read, JOB);
script!(ACTIVE, "active", Read, JOB);

/// What makes a request count once.
#[derive(Debug, Clone)]
pub struct Once {
    /// The client's key, or a part of a request of that key.
    pub key: String,
    /// What tells the request from others with the same key.
    pub fingerprint: String,
}

/// An answer, and whether it is the first one again.
pub struct Answered<T> {
    /// The answer.
    pub answer: T,
    /// Whether it was given before.
    pub replayed: bool,
}

#[derive(Clone)]
pub(super) struct QueueStore {
    db: Db,
    keyspace: Keyspace,
    clock: Clock,
    outbox: Option<Outbox>,
}

impl QueueStore {
    pub(super) fn new(db: Db, keyspace: Keyspace, clock: Clock) -> Self {
        Self { db, keyspace, clock, outbox: None }
    }

    /// The same store, whose finished jobs go to an archive as well.
    pub(super) fn with_outbox(self, outbox: Outbox) -> Self {
        Self { outbox: Some(outbox), ..self }
    }

    /// The same store through another connection.
    pub(super) fn on(&self, db: Db) -> Self {
        Self { db, ..self.clone() }
    }

    /// A queue as it is kept here.
    pub(super) fn queue(&self, name: QueueName, version: Version, settings: Settings, created_at: Timestamp) -> Queue {
        Queue::new(&self.keyspace, name, version, (settings, self.outbox), created_at)
    }

    pub(super) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    fn index_key(&self) -> String {
        self.keyspace.global("queues")
    }

    /// Begins a call of a script that answers for one version of a queue.
    fn call<'a>(&self, script: &'a Script, queue: &Queue, once: Option<&Once>) -> ScriptCall<'a> {
        let idempotency_key = once.map(|once| queue.idempotency_key(&self.keyspace, &once.key));
        script
            .keys(&queue.keys_with(idempotency_key))
            .arg(self.clock.to_argument())
            .arg(queue.version.text())
            .arg(&queue.policy)
            .arg(once.map_or("", |once| once.fingerprint.as_str()))
    }

    /// Begins a call of a script that reads, or whose effect is the same under any settings.
    fn plain_call<'a>(&self, script: &'a Script, name: &QueueName) -> ScriptCall<'a> {
        script.keys(Keys::of(&self.keyspace, name).all()).arg(self.clock.to_argument()).arg("").arg("").arg("")
    }

    /// Notes the name in the list of queues.
    pub(super) async fn list_name(&self, name: &QueueName) -> Result<()> {
        let mut command = redis::cmd("ZADD");
        command.arg(self.index_key()).arg(0).arg(name.as_str());
        self.db.run(&command, "list_queue", Effect::Store).await.map(drop)
    }

    pub(super) async fn unlist_name(&self, name: &QueueName) -> Result<()> {
        let mut command = redis::cmd("ZREM");
        command.arg(self.index_key()).arg(name.as_str());
        self.db.run(&command, "unlist_queue", Effect::Free).await.map(drop)
    }

    /// Names in their order after `after`, and whether there are more.
    pub(super) async fn names(&self, after: Option<&str>, limit: Limit) -> Result<(Vec<QueueName>, bool)> {
        self.names_in(&NameRange::all(), after, limit).await
    }

    /// The same of names in these ranges, which are sorted; others are not read.
    pub(super) async fn names_in(
        &self,
        ranges: &[NameRange],
        after: Option<&str>,
        limit: Limit,
    ) -> Result<(Vec<QueueName>, bool)> {
        names_in((&self.db, self.index_key(), "queue_names"), ranges, after, limit).await
    }

    /// The queue as it stands, with its figures.
    pub(super) async fn read(&self, name: &QueueName) -> Result<Option<(Arc<Queue>, Figures)>> {
        let mut reply = Reply::of(self.plain_call(&READ, name).run(&self.db).await?)?;
        if reply.text()? == "missing" {
            return Ok(None);
        }
        let now = reply.count()?;
        let version = reply.text()?;
        let settings = reply.text()?;
        let unreadable = || Error::Internal(format!("the settings of queue `{name}` cannot be read"));
        let version = Version::parse(&version).ok_or_else(unreadable)?;
        let settings: Settings = serde_json::from_str(&settings).map_err(|_| unreadable())?;
        let created_at = record::millis(reply.count()?);
        let paused = reply.text()? == "1";
        let mut figures = Figures::read(&mut reply.list()?, now)?;
        figures.paused = paused;
        figures.per_minute = [reply.count()?, reply.count()?, reply.count()?];
        Ok(Some((Arc::new(self.queue(name.clone(), version, settings, created_at)), figures)))
    }
}

/// The rest of an answer that begins with `ok` or a refusal.
enum Head {
    Stale,
    Missing,
    Rest { reply: Reply, replayed: bool },
}

fn head(value: Value) -> Result<Head> {
    let mut reply = Reply::of(value)?;
    match reply.text()?.as_str() {
        "stale" => Ok(Head::Stale),
        "missing" => Ok(Head::Missing),
        "mismatch" => Err(Error::IdempotencyMismatch),
        word => Ok(Head::Rest { reply, replayed: word == "replayed" }),
    }
}

/// The answer of a script that never says that something is missing.
fn versioned<T>(value: Value, read: impl FnOnce(Reply, bool) -> Result<T>) -> Result<Versioned<T>> {
    match head(value)? {
        Head::Stale => Ok(Versioned::Stale),
        Head::Rest { reply, replayed } => read(reply, replayed).map(Versioned::Current),
        Head::Missing => Err(Error::Internal("a script misses its queue".to_owned())),
    }
}
