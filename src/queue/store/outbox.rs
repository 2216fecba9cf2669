//! What is on its way from a queue to the archive.

use super::{ARCHIVED, LIST_UNARCHIVED, QueueStore, TO_ARCHIVE};
use crate::db::{Effect, Reply};
use crate::error::{Error, Result};
use crate::queue::line::{Keys, archive_keys};
use crate::queue::outbox::Left;
use crate::types::{EntryId, JobId, QueueName};

/// Deleted queues that are looked at in one go.
const DELETED: u64 = 100;

impl QueueStore {
    fn archiving_key(&self) -> String {
        self.keyspace.global("archiving")
    }

    /// Notes that a queue may have something for the archive though it is gone.
    pub(in crate::queue) async fn list_unarchived(&self, name: &QueueName) -> Result<()> {
        LIST_UNARCHIVED.keys(&[self.archiving_key()]).arg(name.as_str()).run(&self.db).await.map(drop)
    }

    pub(in crate::queue) async fn unlist_unarchived(&self, name: &QueueName) -> Result<()> {
        let mut command = redis::cmd("ZREM");
        command.arg(self.archiving_key()).arg(name.as_str());
        self.db.run(&command, "unlist_unarchived", Effect::Free).await.map(drop)
    }

    /// Deleted queues that may have something for the archive.
    pub(in crate::queue) async fn unarchived(&self) -> Result<Vec<QueueName>> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.archiving_key()).arg(0).arg(DELETED - 1);
        let mut reply = Reply::of(self.db.run(&command, "unarchived", Effect::Read).await?)?;
        let mut names = Vec::new();
        while !reply.is_empty() {
            names.extend(QueueName::try_from(reply.text()?));
        }
        Ok(names)
    }

    /// The oldest entries from one on, each with its id, the id of the job and its record; and whether there may be more.
    pub(in crate::queue) async fn to_archive(
        &self,
        name: &QueueName,
        from: EntryId,
        most: u64,
    ) -> Result<(Vec<(EntryId, String, Vec<u8>)>, bool)> {
        let [_, on_their_way, _] = archive_keys(&self.keyspace, name);
        let call = TO_ARCHIVE.keys(&[on_their_way]).number(most).arg(from.to_string());
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        reply.text()?;
        let has_more = reply.count()? == 1;
        let mut entries = Vec::new();
        while !reply.is_empty() {
            entries.push((reply.text()?.parse().map_err(Error::Internal)?, reply.text()?, reply.bytes()?));
        }
        Ok((entries, has_more))
    }

    /// Whether a finished job was deleted, and may not have left the archive yet.
    pub(in crate::queue) async fn is_withdrawn(&self, name: &QueueName, id: &JobId) -> Result<bool> {
        let [withdrawn, _, _] = archive_keys(&self.keyspace, name);
        let mut command = redis::cmd("ZSCORE");
        command.arg(withdrawn).arg(id.as_str());
        Ok(self.db.run(&command, "is_withdrawn", Effect::Read).await? != redis::Value::Nil)
    }

    /// Takes out entries before `stays`; gives what is left, and whether the queue is there.
    pub(in crate::queue) async fn archived(&self, name: &QueueName, stays: EntryId) -> Result<(Left, bool)> {
        let keys = Keys::of(&self.keyspace, name);
        let [withdrawn, on_their_way, wait] = archive_keys(&self.keyspace, name);
        let keys = [keys.named("queue"), keys.named("jobs"), &on_their_way, &wait, &withdrawn];
        let room = self.outbox.map_or(0, |outbox| outbox.most);
        let mut reply = Reply::of(ARCHIVED.keys(&keys).arg(stays.to_string()).number(room).run(&self.db).await?)?;
        reply.text()?;
        let left = Left { dropped: reply.count()?, waiting: reply.count()? };
        Ok((left, reply.count()? == 1))
    }
}
