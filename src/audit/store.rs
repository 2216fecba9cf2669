//! The log in Redis: the only place of its key.

use std::sync::LazyLock;

use super::deed::{Log, Noted, Wanted};
use crate::db::{Db, Effect, Keyspace, Reply, Script};
use crate::error::{Error, Result};
use crate::types::{AuditId, Clock, Limit, Timestamp};

/// The hash tag of the key, which no leaderboard and no queue has.
const TAG_KIND: &str = "audit";
const TAG_NAME: &str = "service";
/// Entries that a page looks at where not all are wanted: about a millisecond.
const LOOKED_AT: u64 = 1000;

/// It runs on a full server, too: who frees memory there is not held up, and the log is bounded.
static NOTE: LazyLock<Script> = LazyLock::new(|| {
    Script::new("note", Effect::Free, &[include_str!("lua/_clock.lua"), include_str!("lua/note.lua")])
});

#[derive(Clone)]
pub(super) struct AuditStore {
    db: Db,
    keyspace: Keyspace,
    clock: Clock,
    entries: u64,
}

impl AuditStore {
    pub(super) fn new(db: Db, keyspace: &Keyspace, clock: Clock, entries: u64) -> Self {
        Self { db, keyspace: keyspace.clone(), clock, entries }
    }

    pub(super) fn on(&self, db: Db) -> Self {
        Self { db, ..self.clone() }
    }

    fn key(&self, log: Log) -> String {
        match log {
            Log::Acts => self.keyspace.tagged(TAG_KIND, TAG_NAME, "log"),
            Log::PlayerTokens => self.keyspace.tagged(TAG_KIND, TAG_NAME, "players"),
        }
    }

    /// Appends an entry, and drops the oldest where there are too many.
    pub(super) async fn note(&self, log: Log, entry: &str) -> Result<()> {
        let call = NOTE.keys(&[self.key(log)]).arg(self.clock.to_argument()).number(self.entries).arg(entry);
        call.run(&self.db).await.map(drop)
    }

    /// A page of the wanted entries before `before`, the newest first; and where to go on, if there may be more.
    pub(super) async fn list(
        &self,
        wanted: &Wanted,
        before: Option<AuditId>,
        limit: Limit,
    ) -> Result<(Vec<Noted>, Option<AuditId>)> {
        let most = u64::from(limit.get());
        let looked_at = if wanted.is_all() { most } else { LOOKED_AT.max(most) };
        let mut command = redis::cmd("XREVRANGE");
        command.arg(self.key(wanted.log)).arg(before.map_or("+".to_owned(), |id| format!("({id}"))).arg(lowest(wanted));
        command.arg("COUNT").arg(looked_at + 1);
        let mut reply = Reply::of(self.db.run(&command, "read_audit_log", Effect::Read).await?)?;
        let (mut page, mut last, mut seen) = (Vec::new(), None, 0);
        while !reply.is_empty() {
            if seen == looked_at || page.len() as u64 == most {
                return Ok((page, last));
            }
            let noted = entry(reply.list()?)?;
            last = Some(noted.id);
            seen += 1;
            page.extend(Some(noted).filter(|noted| wanted.fits(noted)));
        }
        Ok((page, None))
    }
}

/// The lowest id that an entry can have which is wanted: ids never lag behind the clock.
fn lowest(wanted: &Wanted) -> String {
    wanted.since.map_or("-".to_owned(), |since| since.as_millis().max(0).to_string())
}

fn entry(mut reply: Reply) -> Result<Noted> {
    let unreadable = || Error::Internal("an entry of the audit log cannot be read".to_owned());
    let id = AuditId::try_from(reply.text()?).map_err(|_| unreadable())?;
    let mut fields = reply.list()?;
    let (mut at_ms, mut deed) = (0, String::new());
    while !fields.is_empty() {
        match fields.text()?.as_str() {
            "at" => at_ms = fields.integer()?,
            "entry" => deed = fields.text()?,
            _ => drop(fields.value()?),
        }
    }
    let deed = serde_json::from_str(&deed).map_err(|_| unreadable())?;
    Ok(Noted { id, at: Timestamp::from_millis(at_ms), deed })
}
