//! Deliveries, and what is known of them.

use super::work::Prepared;
use super::{DELETE, DELIVER, QueueStore, Versioned, versioned};
use crate::db::{Reply, Script, ScriptCall};
use crate::error::Result;
use crate::queue::line::Queue;

/// How long the deliveries to a queue that was deleted stay known: 30 days.
const KNOWN_AFTER_DELETION_MS: u64 = 30 * 24 * 3600 * 1000;

impl QueueStore {
    /// Takes a delivery in; gives how many jobs were added, or nothing where an id is another job's.
    pub(in crate::queue) async fn deliver(
        &self,
        queue: &Queue,
        (source, number): (&str, u64),
        jobs: &[Prepared],
    ) -> Result<Versioned<Option<u64>>> {
        let mut call = self.call_with_inbox(&DELIVER, queue).arg(source).number(number);
        for job in jobs {
            call = call.arg(job.id.as_str()).number(job.max_attempts.into()).arg(&job.tail);
        }
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        match reply.text()?.as_str() {
            "stale" => Ok(Versioned::Stale),
            "taken" => Ok(Versioned::Current(None)),
            _ => reply.count().map(Some).map(Versioned::Current),
        }
    }

    /// Deletes a queue with all that it holds.
    pub(in crate::queue) async fn delete(&self, queue: &Queue) -> Result<Versioned<()>> {
        let call = self.call_with_inbox(&DELETE, queue).number(KNOWN_AFTER_DELETION_MS);
        versioned(call.run(&self.db).await?, |_, _| Ok(()))
    }

    fn call_with_inbox<'a>(&self, script: &'a Script, queue: &Queue) -> ScriptCall<'a> {
        let keys = queue.keys_with(Some(queue.inbox_key(&self.keyspace)));
        script.keys(&keys).arg(self.clock.to_argument()).arg(queue.version.text()).arg(&queue.policy).arg("")
    }
}
