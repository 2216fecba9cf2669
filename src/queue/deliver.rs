//! Jobs that come from another part of the service, in deliveries that are taken once.

use super::job::{NewJob, Start};
use super::store::{Prepared, Versioned};
use super::{MOST_TRIES, Queues, changing, record};
use crate::error::Result;
use crate::types::{Payload, QueueName};

/// Jobs that are to be added once.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// Who sends it.
    pub source: &'a str,
    /// Rises with each delivery of the source; one that is not above the latest is not taken.
    pub number: u64,
    /// What the jobs carry.
    pub payloads: &'a [Payload],
}

impl Queues {
    /// Takes a delivery in, if it has not been taken before, at any time; gives how many jobs were added. The queue is made if
    /// it is missing.
    ///
    /// # Errors
    ///
    /// `NoQueue` without auto-creation.
    pub async fn deliver(&self, name: &QueueName, delivery: &Delivery<'_>) -> Result<u64> {
        for _ in 0..MOST_TRIES {
            let queue = self.find_or_create(name).await?;
            let prepare = |payload: &Payload| Prepared {
                id: record::new_id(),
                priority: 0,
                max_attempts: queue.settings.max_attempts,
                tail: record::tail(&plain(payload)),
                options: Vec::new(),
            };
            let jobs: Vec<Prepared> = delivery.payloads.iter().map(prepare).collect();
            match self.store.deliver(&queue, (delivery.source, delivery.number), &jobs).await? {
                Versioned::Stale => self.queues.invalidate(name),
                // An id was another job's.
                Versioned::Current(None) => {}
                Versioned::Current(Some(added)) => {
                    self.counts.0.jobs_enqueued(name.as_str(), added);
                    return Ok(added);
                }
            }
        }
        Err(changing(name))
    }
}

fn plain(payload: &Payload) -> NewJob {
    NewJob {
        id: None,
        payload: payload.clone(),
        priority: 0,
        start: Start::Now,
        max_attempts: None,
        key: None,
        unique: None,
        expires_in_ms: None,
        headers: None,
    }
}
