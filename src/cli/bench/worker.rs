//! One connection that takes jobs through a queue.
//!
//! Every connection leases as many jobs as it has enqueued before. So at any time there is a job for each that asks, be
//! it its own or another's, and an empty answer is a failure.

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;

use super::client::Failure;
use super::queue::{Dequeued, Lease, Queue};
use super::requests::all_good;
use super::workload::{AckBy, JobWork, Round};

/// What is called next.
pub enum Call<'a> {
    Enqueue(u64),
    Dequeue { limit: u64, acks: &'a [Lease] },
    Ack(&'a Lease),
}

/// Where a connection stands in its round.
#[derive(Clone)]
pub struct Worker<'a> {
    queue: &'a Queue<'a>,
    round: Round,
    step: Step,
    /// Jobs that it has leased and not acked.
    held: Vec<Lease>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Enqueue,
    /// So many are still to be leased in this round.
    Dequeue(u64),
    Ack,
}

impl<'a> Worker<'a> {
    pub fn new(queue: &'a Queue<'a>, work: JobWork) -> Self {
        Self { queue, round: work.round(), step: Step::Enqueue, held: Vec::new() }
    }

    pub fn queue(&self) -> &'a Queue<'a> {
        self.queue
    }

    pub fn call(&self) -> Call<'_> {
        match self.step {
            Step::Enqueue => Call::Enqueue(self.round.enqueue),
            Step::Dequeue(left) => {
                let acks = match self.round.ack {
                    AckBy::Itself => &[],
                    AckBy::NextDequeue => self.held.as_slice(),
                };
                Call::Dequeue { limit: left.min(self.round.dequeue), acks }
            }
            Step::Ack => Call::Ack(&self.held[0]),
        }
    }

    /// The call as a request.
    pub fn next(&self) -> Request<Full<Bytes>> {
        match self.call() {
            Call::Enqueue(jobs) => self.queue.enqueue(jobs),
            Call::Dequeue { limit, acks } => self.queue.dequeue(limit, acks),
            Call::Ack(lease) => self.queue.ack(lease),
        }
    }

    /// Takes an answer with a good status. Gives the jobs that are done: acked, or enqueued where that is all.
    pub fn take(&mut self, answer: &[u8]) -> Result<u64, Failure> {
        match self.step {
            Step::Enqueue => {
                if self.round.enqueue > 1 {
                    all_good(answer)?;
                }
                Ok(self.enqueued())
            }
            Step::Dequeue(_) => {
                let dequeued = Dequeued::read(answer)?;
                self.leased(dequeued.leases(), dequeued.acked()).map_err(|failure| match failure {
                    // The answer tells why.
                    Failure::NotAcked => Failure::refused(hyper::StatusCode::OK, answer),
                    other => other,
                })
            }
            Step::Ack => Ok(self.acked()),
        }
    }

    /// Begins a new round. What is held then runs out of its lease.
    pub fn restart(&mut self) {
        self.step = Step::Enqueue;
        self.held.clear();
    }

    /// The jobs of an enqueue are there. Gives the jobs that are done with it.
    pub fn enqueued(&mut self) -> u64 {
        if self.round.dequeue == 0 {
            return self.round.enqueue;
        }
        self.step = Step::Dequeue(self.round.enqueue);
        0
    }

    /// Holds what a dequeue has given. Gives the jobs that are done: those of the acks that it carried.
    pub fn leased(&mut self, leases: Vec<Lease>, acked: usize) -> Result<u64, Failure> {
        let Step::Dequeue(left) = self.step else { return Err(Failure::NoJob) };
        let asked = self.held.len();
        let left = left.saturating_sub(leases.len() as u64);
        self.held = leases;
        self.step = match self.round.ack {
            AckBy::Itself => Step::Ack,
            AckBy::NextDequeue if left > 0 => Step::Dequeue(left),
            AckBy::NextDequeue => Step::Enqueue,
        };
        if self.held.is_empty() {
            self.restart();
            return Err(Failure::NoJob);
        }
        if acked < asked { Err(Failure::NotAcked) } else { Ok(acked as u64) }
    }

    /// The job that was held is acked. Gives the jobs that are done.
    pub fn acked(&mut self) -> u64 {
        self.restart();
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::client::Target;

    const ENQUEUED: &[u8] = br#"{"results":[{"status":201,"id":"a"}]}"#;

    fn answer(jobs: usize, acked: &[u16]) -> Vec<u8> {
        let jobs: Vec<_> = (0..jobs)
            .map(|number| serde_json::json!({"id": number.to_string(), "lease": "1-x", "payload": {"sent_us": "7"}}))
            .collect();
        let acked: Vec<_> = acked.iter().map(|status| serde_json::json!({"id": "0", "status": status})).collect();
        serde_json::json!({"jobs": jobs, "acked": acked}).to_string().into_bytes()
    }

    fn target() -> Target {
        Target::at(([127, 0, 0, 1], 1).into())
    }

    #[test]
    fn a_round_of_one_enqueues_leases_and_acks() {
        let target = target();
        let queue = Queue::new(&target, "bench".to_owned(), 146);
        let mut worker = Worker::new(&queue, JobWork::Jobs);
        let mut done = Vec::new();
        for (path, answer) in [
            ("/v1/queues/bench/jobs", ENQUEUED.to_vec()),
            ("/v1/queues/bench/dequeue", answer(1, &[])),
            ("/v1/queues/bench/jobs/0/ack", b"{}".to_vec()),
            ("/v1/queues/bench/jobs", ENQUEUED.to_vec()),
        ] {
            assert_eq!(worker.next().uri().path(), path);
            done.push(worker.take(&answer).expect("a good answer"));
        }
        assert_eq!(done, [0, 0, 1, 0]);
    }

    #[test]
    fn a_round_of_a_hundred_leases_as_many_and_acks_on_the_way() {
        let target = target();
        let queue = Queue::new(&target, "bench".to_owned(), 146);
        let mut worker = Worker::new(&queue, JobWork::JobsBatch);
        worker.take(ENQUEUED).expect("a good answer");
        let mut acked: Vec<u16> = Vec::new();
        // Not all ten each time, as other workers ask as well.
        for jobs in [10, 10, 10, 10, 10, 10, 10, 10, 10, 4, 6] {
            assert_eq!(worker.next().uri().path(), "/v1/queues/bench/dequeue");
            assert_eq!(worker.take(&answer(jobs, &acked)).expect("a good answer"), acked.len() as u64);
            acked = vec![200; jobs];
        }
        assert_eq!((worker.step, worker.held.len()), (Step::Enqueue, 6));
    }

    #[test]
    fn an_empty_answer_and_a_refused_ack_are_failures() {
        let target = target();
        let queue = Queue::new(&target, "bench".to_owned(), 146);
        let mut worker = Worker::new(&queue, JobWork::JobsNext);
        worker.take(ENQUEUED).expect("a good answer");
        assert!(matches!(worker.take(&answer(0, &[])), Err(Failure::NoJob)));
        assert_eq!(worker.step, Step::Enqueue);
        for acked in [vec![], vec![409]] {
            worker.take(ENQUEUED).expect("a good answer");
            worker.take(&answer(1, &[200])).expect("nothing was to ack");
            worker.take(ENQUEUED).expect("a good answer");
            assert!(matches!(worker.take(&answer(1, &acked)), Err(Failure::Refused { .. })));
            worker.restart();
        }
    }
}
