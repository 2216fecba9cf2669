//! Dead jobs that are tried again, here or in another queue.

use std::sync::Arc;

use super::job::State;
use super::merge::CHUNK;
use super::store::{Answered, Once};
use super::{Queue, Queues};
use crate::error::{Error, Result};
use crate::types::QueueName;

/// After how long a job on its way counts as cut off.
const CUT_OFF_MS: u64 = 10_000;

impl Queues {
    /// Makes dead jobs ready again, the oldest first, with all their attempts; gives how many. With `to`, in that queue.
    ///
    /// A job whose id or unique key is taken there stays dead. With a key the redrive counts once: cut off, it goes on where it
    /// was.
    ///
    /// # Errors
    ///
    /// `NoQueue`, without auto-creation also for a target that does not exist; `IdempotencyMismatch`.
    pub async fn redrive(
        &self,
        name: &QueueName,
        limit: Option<u64>,
        to: Option<&QueueName>,
        once: Option<&Once>,
    ) -> Result<Answered<u64>> {
        let summary = self.get(name).await?;
        let part = once.map(|once| Once { key: format!("{} redrive", once.key), ..once.clone() });
        let (mut moved, mut stayed) = (0, 0);
        if let Some(once) = &part {
            let (before, stayed_before, has_ended) = self.store.progress(&summary.queue, once, false).await?;
            if has_ended {
                return Ok(Answered { answer: before, replayed: true });
            }
            (moved, stayed) = (before, stayed_before);
        }
        let limit = limit.unwrap_or(u64::MAX).min(moved + summary.figures.count(State::Dead));
        while moved < limit {
            let step = ((limit - moved).min(CHUNK as u64), stayed);
            let (more, kept, seen) = match to.filter(|to| *to != name) {
                None => {
                    let step = async |queue: &Arc<Queue>| self.store.redrive(queue, step, part.as_ref()).await;
                    let (more, kept) = self.on_current(name, step).await?;
                    (more, kept, more + kept)
                }
                Some(to) => self.send(name, to, step, part.as_ref()).await?,
            };
            moved += more;
            stayed += kept;
            if seen == 0 {
                break;
            }
        }
        if let Some(once) = &part {
            self.store.progress(&summary.queue, once, true).await?;
        }
        Ok(Answered { answer: moved, replayed: false })
    }

    /// Sends some dead jobs to another queue: marked here, taken in there, deleted here. Each step may be done again, so that
    /// whatever is cut off in between is finished later.
    async fn send(
        &self,
        name: &QueueName,
        to: &QueueName,
        (most, pass): (u64, u64),
        once: Option<&Once>,
    ) -> Result<(u64, u64, u64)> {
        self.find_or_create(to).await?;
        let records = self.on_current(name, async |queue| self.store.send(queue, to, most, pass).await).await?;
        let (moved, stayed) = self.bring(&self.find(name).await?, to, &records, once).await?;
        Ok((moved, stayed, records.len() as u64))
    }

    async fn bring(
        &self,
        queue: &Arc<Queue>,
        to: &QueueName,
        records: &[(String, Vec<u8>)],
        once: Option<&Once>,
    ) -> Result<(u64, u64)> {
        if records.is_empty() {
            return Ok((0, 0));
        }
        let here = self.on_current(to, async |target| self.store.receive(target, records).await).await?;
        let arrived: Vec<(String, bool)> = records.iter().map(|(id, _)| id.clone()).zip(here).collect();
        let moved = self.store.sent(queue, to.as_str(), &arrived, once).await?;
        Ok((moved, arrived.iter().filter(|(_, here)| !here).count() as u64))
    }

    /// Finishes what was on its way when a process ended. Gives how many jobs have moved.
    pub(super) async fn finish_sending(&self, queue: &Arc<Queue>, now: u64) -> Result<u64> {
        let mut moved = 0;
        for (id, target, since) in self.store.outbox(&queue.name).await? {
            // Whoever began it is still at it.
            if since.saturating_add(CUT_OFF_MS) > now {
                continue;
            }
            let record = self.store.raw_job(&queue.name, &id).await?;
            let to = QueueName::try_from(target.clone()).ok();
            let delivered = match (record, to) {
                (Some(record), Some(to)) => match self.bring(queue, &to, &[(id.clone(), record)], None).await {
                    // The target is gone: the job stays here.
                    Err(Error::NoQueue(_)) => None,
                    delivered => Some(delivered?.0),
                },
                (None, _) | (_, None) => None,
            };
            match delivered {
                Some(count) => moved += count,
                None => drop(self.store.sent(queue, &target, &[(id, false)], None).await?),
            }
        }
        Ok(moved)
    }
}
