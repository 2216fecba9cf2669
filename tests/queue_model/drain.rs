//! Works off whatever is left of queues, so that nothing is forgotten.

use super::run::{Checked, Run};
use super::service::Ms;
use super::steps::{Ack, Dequeue, Lease, Move, Sources, Step};

/// Longer than any delay and any limit that a case has.
const LONG_MS: Ms = 4 * 3600 * 1000;
/// Rounds without a lease after which a job counts as forgotten.
const MOST_EMPTY_ROUNDS: usize = 3;

impl Run<'_> {
    /// Leases and acknowledges until no job waits.
    pub async fn drain(&mut self) -> Checked {
        for queue in 0..2 {
            self.step(&Step::Resume(queue)).await?;
        }
        let mut empty_rounds = 0;
        loop {
            self.step(&Step::Move(Move::By(LONG_MS))).await?;
            self.settle().await?;
            let jobs = self.model.queues.iter().flat_map(|queue| queue.jobs.values());
            let Some(waiting) = jobs.into_iter().find(|job| job.waits()) else { return Ok(()) };
            if empty_rounds == MOST_EMPTY_ROUNDS {
                return Err(format!("{} is never leased", waiting.id));
            }
            let leases = self.model.given.len();
            for queue in 0..2 {
                let from = Sources::One(queue);
                let all = Dequeue { from, limit: 100, lease_ms: None, worker: None, acks: Vec::new() };
                self.step(&Step::Dequeue(all)).await?;
            }
            let taken = self.model.given.len() - leases;
            empty_rounds = if taken == 0 { empty_rounds + 1 } else { 0 };
            for lease in 0..taken {
                self.step(&Step::Ack(Ack { lease: Lease::Any(lease), result: None })).await?;
            }
        }
    }
}
