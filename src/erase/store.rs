//! What is to be removed and may not be yet: the only place of its key.

use serde::{Deserialize, Serialize};

use crate::db::{Db, Effect, Keyspace, Reply};
use crate::error::{Error, Result};
use crate::types::{Member, Reason, Timestamp};

/// Fields looked at in one run.
const AT_ONCE: u64 = 64;

/// An erasure that has begun.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    /// Tells those of one member apart.
    pub(super) id: String,
    pub(super) member: Member,
    pub(super) state: State,
}

/// What is kept of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    /// When it was asked for.
    pub(super) at: Timestamp,
    /// Whether a service-wide ban goes, too.
    pub(super) bans: bool,
    /// Who asked.
    pub(super) by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Reason>,
    /// When nothing was left in Redis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cleared: Option<Timestamp>,
    /// When nothing from before that was left on its way to the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) arrived: Option<Timestamp>,
}

impl Pending {
    fn field(&self) -> String {
        format!("{} {}", self.id, self.member)
    }

    fn read(field: &str, text: &str) -> Option<Self> {
        let (id, member) = field.split_once(' ')?;
        let member = Member::try_from(member.to_owned()).ok()?;
        Some(Self { id: id.to_owned(), member, state: serde_json::from_str(text).ok()? })
    }
}

#[derive(Clone)]
pub(super) struct ErasureStore {
    db: Db,
    keyspace: Keyspace,
}

impl ErasureStore {
    pub(super) fn new(db: Db, keyspace: Keyspace) -> Self {
        Self { db, keyspace }
    }

    pub(super) fn on(&self, db: Db) -> Self {
        Self { db, ..self.clone() }
    }

    fn key(&self) -> String {
        self.keyspace.global("erasing")
    }

    /// Notes how far it has come.
    pub(super) async fn note(&self, pending: &Pending) -> Result<()> {
        let text = serde_json::to_string(&pending.state);
        let text = text.map_err(|error| Error::Internal(format!("an erasure has no JSON: {error}")))?;
        let mut command = redis::cmd("HSET");
        command.arg(self.key()).arg(pending.field()).arg(text);
        self.db.run(&command, "note_erasure", Effect::Store).await.map(drop)
    }

    /// Notes that nothing is left to be done.
    pub(super) async fn end(&self, pending: &Pending) -> Result<()> {
        let mut command = redis::cmd("HDEL");
        command.arg(self.key()).arg(pending.field());
        self.db.run(&command, "end_erasure", Effect::Free).await.map(drop)
    }

    /// Some of those that have begun, from a cursor on; and the next cursor, which is `0` at the end.
    pub(super) async fn pending(&self, cursor: &str) -> Result<(String, Vec<Pending>)> {
        let mut command = redis::cmd("HSCAN");
        command.arg(self.key()).arg(cursor).arg("COUNT").arg(AT_ONCE);
        let mut reply = Reply::of(self.db.run(&command, "pending_erasures", Effect::Read).await?)?;
        let next = reply.text()?;
        let mut fields = reply.list()?;
        let mut found = Vec::new();
        while !fields.is_empty() {
            let (field, text) = (fields.text()?, fields.text()?);
            let pending = Pending::read(&field, &text);
            found.push(pending.ok_or_else(|| Error::Internal("an erasure that has begun cannot be read".to_owned()))?);
        }
        Ok((next, found))
    }
}
