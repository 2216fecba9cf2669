//! What a check looks at.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use redis::Value;

use super::super::line::{Keys, Queue, TAG};
use super::{JOB, KEYS, LINE, QueueStore, Reply};
use crate::db::{Effect, Script, ScriptCall, names_stored};
use crate::error::Result;
use crate::types::{JobId, QueueName};

macro_rules! checks {
    ($($static:ident $name:literal $effect:ident),* $(,)?) => { $(
        static $static: LazyLock<Script> = LazyLock::new(|| {
            let body = concat!(include_str!("../lua/_check.lua"), include_str!(concat!("../lua/", $name, ".lua")));
            Script::new($name, Effect::$effect, &[KEYS, JOB, LINE, body])
        });
    )* };
}
checks!(
    CHECK "check" Free, CHECK_LINES "check_lines" Free, CHECK_TURNS "check_turns" Free, CHECK_SLOTS "check_slots" Free,
    CHECK_SCHEDULES "check_schedules" Free, SLOTS "slots" Read,
);

/// How closely a check looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) enum Look {
    /// What stands in LISTs is not searched for.
    Quick,
    /// It is, which takes as long as those are.
    Search,
    /// The same, and what is wrong is mended.
    Mend,
}

/// A fault as a script tells it: what it is about, what is wrong, and what was done.
pub(in crate::queue) type Told = (String, String, String);

impl QueueStore {
    /// Looks at jobs one by one.
    pub(in crate::queue) async fn check(&self, queue: &Queue, ids: &[JobId], look: Look) -> Result<Vec<Told>> {
        self.told(&CHECK, queue, look, ids.iter().map(|id| id.as_str().to_owned())).await
    }

    /// Looks at what stands in the lines of keys.
    pub(in crate::queue) async fn check_lines(
        &self,
        queue: &Queue,
        members: &[String],
        look: Look,
    ) -> Result<Vec<Told>> {
        self.told(&CHECK_LINES, queue, look, members.iter().cloned()).await
    }

    /// Looks at the turns of keys, by priority.
    pub(in crate::queue) async fn check_turns(
        &self,
        queue: &Queue,
        lines: &[(u8, String)],
        look: Look,
    ) -> Result<Vec<Told>> {
        let lines = lines.iter().flat_map(|(priority, key)| [priority.to_string(), key.clone()]);
        self.told(&CHECK_TURNS, queue, look, lines).await
    }

    /// Looks at the count of a key's slots, which was `count` before these jobs were seen to have one.
    pub(in crate::queue) async fn check_slots(
        &self,
        queue: &Queue,
        (key, count): (&str, &str),
        holders: &[String],
        look: Look,
    ) -> Result<Vec<Told>> {
        let arguments = [key.to_owned(), count.to_owned()].into_iter().chain(holders.iter().cloned());
        self.told(&CHECK_SLOTS, queue, look, arguments).await
    }

    /// Looks at the schedules and their ticks.
    pub(in crate::queue) async fn check_schedules(&self, queue: &Queue, look: Look) -> Result<Vec<Told>> {
        self.told(&CHECK_SCHEDULES, queue, look, std::iter::empty()).await
    }

    async fn told(
        &self,
        script: &Script,
        queue: &Queue,
        look: Look,
        arguments: impl Iterator<Item = String>,
    ) -> Result<Vec<Told>> {
        let look = match look {
            Look::Quick => "",
            Look::Search => "search",
            Look::Mend => "mend",
        };
        let call = script.keys(queue.keys.all()).arg(self.clock.to_argument()).arg("").arg(&queue.policy).arg(look);
        let mut reply = Reply::of(arguments.fold(call, ScriptCall::arg).run(&self.db).await?)?;
        reply.text()?;
        let mut told = Vec::new();
        while !reply.is_empty() {
            told.push((text(reply.value()?), reply.text()?, reply.text()?));
        }
        Ok(told)
    }

    /// Of which keys these jobs hold slots; empty where they hold none.
    pub(in crate::queue) async fn slots(&self, name: &QueueName, ids: &[JobId]) -> Result<Vec<String>> {
        let call = ids.iter().fold(self.plain_call(&SLOTS, name), |call, id| call.arg(id.as_str()));
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        reply.text()?;
        let mut keys = Vec::with_capacity(ids.len());
        while !reply.is_empty() {
            keys.push(reply.text()?);
        }
        Ok(keys)
    }

    /// What is kept of keys, by field.
    pub(in crate::queue) async fn keyed(&self, name: &QueueName) -> Result<Vec<(String, String)>> {
        let (mut cursor, mut fields) = ("0".to_owned(), Vec::new());
        loop {
            let mut command = redis::cmd("HSCAN");
            command.arg(Keys::of(self.keyspace(), name).named("keyed")).arg(cursor).arg("COUNT").arg(200);
            let mut reply = Reply::of(self.db.run(&command, "scan_keyed", Effect::Read).await?)?;
            cursor = reply.text()?;
            let mut list = reply.list()?;
            while !list.is_empty() {
                fields.push((text(list.value()?), text(list.value()?)));
            }
            if cursor == "0" {
                return Ok(fields);
            }
        }
    }

    /// The names of the queues that are stored, listed or not; those that have jobs and no settings as well.
    pub(in crate::queue) async fn names_stored(&self) -> Result<BTreeSet<QueueName>> {
        let mut names = BTreeSet::new();
        for key in ["queue", "jobs"] {
            let found: Vec<QueueName> = names_stored(&self.db, |name| self.keyspace.tagged(TAG, name, key)).await?;
            names.extend(found);
        }
        Ok(names)
    }

    /// A page of what stands in the ready LIST of a priority.
    pub(in crate::queue) async fn ready_ids(&self, name: &QueueName, priority: u8, from: u64) -> Result<Vec<String>> {
        let mut command = redis::cmd("LRANGE");
        command.arg(Keys::of(self.keyspace(), name).ready(priority)).arg(from).arg(from + 999);
        let mut reply = Reply::of(self.db.run(&command, "scan_ready", Effect::Read).await?)?;
        let mut ids = Vec::new();
        while !reply.is_empty() {
            ids.push(reply.text()?);
        }
        Ok(ids)
    }

    /// A step of a scan over the ids of a key; the last one gives the cursor `0`.
    pub(in crate::queue) async fn scan_ids(
        &self,
        name: &QueueName,
        key: &str,
        cursor: &str,
    ) -> Result<(String, Vec<String>)> {
        let is_hash = matches!(key, "jobs" | "outbox");
        let mut command = if is_hash { redis::cmd("HSCAN") } else { redis::cmd("ZSCAN") };
        let keys = Keys::of(self.keyspace(), name);
        command.arg(keys.named(key)).arg(cursor).arg("COUNT").arg(if key == "jobs" { 100 } else { 500 });
        let mut reply = Reply::of(self.db.run(&command, "scan_ids", Effect::Read).await?)?;
        let next = reply.text()?;
        let mut list = reply.list()?;
        let mut ids = Vec::new();
        while !list.is_empty() {
            ids.push(list.text()?);
            list.value()?;
        }
        Ok((next, ids))
    }
}

/// What a person can read of it.
fn text(value: Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::Int(number) => number.to_string(),
        _ => String::new(),
    }
}
