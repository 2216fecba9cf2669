//! What is counted of queues.

use std::time::Duration;

use super::job::Job;
use super::store::{Added, Settled, Tended, Worked};
use crate::metrics::{Metrics, REASONS, Removal};
use crate::queue::Figures;
use crate::types::{QueueName, Timestamp};

/// Counts what scripts answer into the metrics.
#[derive(Clone)]
pub(super) struct Counts(pub(super) Metrics);

impl Counts {
    pub(super) fn enqueued(&self, queue: &QueueName, added: &[Added]) {
        let new = added.iter().filter(|added| matches!(added, Added::New { .. })).count();
        self.0.jobs_enqueued(queue.as_str(), new as u64);
    }

    pub(super) fn worked(&self, queue: &QueueName, worked: &Worked) {
        self.0.jobs_completed(queue.as_str(), worked.completed);
        self.failed(queue, worked.failed, worked.died);
        for result in &worked.results {
            for job in &result.jobs {
                if let Some(started_at) = job.started_at {
                    self.0.job_waited(queue.as_str(), between(job.ready_at, started_at));
                }
            }
            for settled in &result.acks {
                if let Settled::Done { ran: Some(ran), .. } = settled {
                    self.0.job_ran(queue.as_str(), *ran);
                }
            }
        }
    }

    pub(super) fn failed(&self, queue: &QueueName, failed: u64, died: u64) {
        self.0.jobs_failed(queue.as_str(), failed, died);
    }

    pub(super) fn ran(&self, queue: &QueueName, job: &Job, until: Option<Timestamp>) {
        if let (Some(started_at), Some(until)) = (job.started_at, until) {
            self.0.job_ran(queue.as_str(), between(started_at, until));
        }
    }

    pub(super) fn tended(&self, queue: &QueueName, tended: &Tended) {
        self.failed(queue, tended.failed, tended.died);
        for (place, count) in tended.removed.into_iter().enumerate() {
            let state = ["completed", "cancelled", "dead"][place / 2];
            if count > 0 {
                self.0.jobs_removed(Removal { queue: queue.as_str(), state, reason: REASONS[place % 2] }, count);
            }
        }
        for (state, count) in Figures::STATES.into_iter().zip(tended.figures.counts) {
            self.0.queue_depth(queue.as_str(), state.name(), count);
        }
        self.0.oldest_ready(queue.as_str(), Duration::from_millis(tended.figures.oldest_ready_ms.unwrap_or(0)));
    }

    pub(super) fn unarchived(&self, queue: &QueueName, tended: &Tended) {
        let lag = Duration::from_millis(tended.unarchived_ms.unwrap_or(0));
        self.0.archive_waiting(queue.as_str(), tended.unarchived, lag);
    }
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(to.as_millis() - from.as_millis()).unwrap_or(0))
}
