//! The lists of what administrators did.

use super::LeaderboardStore;
use crate::db::{Effect, Reply};
use crate::error::Result;
use crate::leaderboard::audit::AuditEntry;
use crate::types::{AuditId, Limit};

impl LeaderboardStore {
    /// Entries of a list before `before`, the newest first; and where to go on, if there are more.
    pub(in crate::leaderboard) async fn audit(
        &self,
        key: &str,
        before: Option<AuditId>,
        limit: Limit,
    ) -> Result<(Vec<AuditEntry>, Option<AuditId>)> {
        let mut command = redis::cmd("XREVRANGE");
        command.arg(key).arg(before.map_or("+".to_owned(), |id| format!("({id}"))).arg("-");
        command.arg("COUNT").arg(limit.get() + 1);
        let mut reply = Reply::of(self.db.run(&command, "read_audit", Effect::Read).await?)?;
        let mut entries = Vec::new();
        while !reply.is_empty() {
            entries.push(entry(reply.list()?)?);
        }
        let more = entries.len() > limit.get() as usize;
        entries.truncate(limit.get() as usize);
        let next = entries.last().filter(|_| more).map(|entry| entry.id);
        Ok((entries, next))
    }
}

fn entry(mut reply: Reply) -> Result<AuditEntry> {
    let id = reply.text()?;
    let mut fields = reply.list()?;
    let (mut at_ms, mut note, mut members) = (0, String::new(), Vec::new());
    while !fields.is_empty() {
        match fields.text()?.as_str() {
            "at" => at_ms = fields.integer()?,
            "entry" => note = fields.text()?,
            "member" => members.push(fields.text()?),
            _ => drop(fields.value()?),
        }
    }
    AuditEntry::read(id, at_ms, &note, members)
}
