//! Lets the same things happen to queues and to their model, and compares what they say.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::model::{Model, Refused};
use super::service::{Answer, Client, Ms, Service, TestClock, encoded};
use super::steps::{self, Case, Lease, Move, Step};
use super::wire::{self, Counts, Settings};

/// Nothing, or what is wrong.
pub type Checked<T = ()> = Result<T, String>;

/// How long the background tasks may take.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);

static CASES: AtomicU64 = AtomicU64::new(1);

/// Two queues beside their model.
pub struct Run<'a> {
    clock: &'a TestClock,
    client: Client,
    pub model: Model,
    /// What the model has done and the background tasks may not have.
    pub unsettled: bool,
    trace: Vec<String>,
}

pub fn same<T: PartialEq + Debug>(what: &str, given: &T, expected: &T) -> Checked {
    if given == expected {
        return Ok(());
    }
    Err(format!("{what} is\n  {given:?}\nbut should be\n  {expected:?}"))
}

/// Runs a case to its end, when the queues are deleted. What is wrong comes with all that was done.
pub async fn case(service: &Service, case: &Case) -> Checked {
    let number = CASES.fetch_add(1, Ordering::Relaxed);
    let names = ["one", "two"].map(|name| format!("{name}{number}"));
    let mut run = Run {
        clock: &service.clock,
        client: service.client(),
        model: Model::new(names, case.settings.clone(), service.clock.now()),
        unsettled: false,
        trace: Vec::new(),
    };
    let done = run.all(service, case).await;
    done.map_err(|fault| format!("{fault}\nafter\n{}", run.trace.join("\n")))
}

impl Run<'_> {
    async fn all(&mut self, service: &Service, case: &Case) -> Checked {
        for queue in 0..2 {
            self.put(queue, case.settings[queue].clone(), 201).await?;
        }
        for step in &case.steps {
            self.step(step).await?;
        }
        self.look(100, true).await?;
        if self.model.queues.iter().any(|queue| queue.is_loose) {
            self.drain().await?;
        }
        for queue in &self.model.queues {
            service.check(&queue.name).await?;
        }
        for queue in 0..2 {
            let path = self.path(queue, "");
            self.send("DELETE", &path, None).await.read_nothing()?;
            self.quietly("GET", &path, None).await.refuses((404, "not-found"))?;
        }
        Ok(())
    }

    pub async fn step(&mut self, step: &Step) -> Checked {
        if !self.can_wait(step) {
            self.settle().await?;
        }
        match step {
            Step::Put { queue, settings } => {
                let old = &self.model.queues[*queue].settings;
                let settings = Settings {
                    keys: old.keys,
                    rate_limit: old.rate_limit,
                    retention_ms: old.retention_ms,
                    dead_retention_ms: old.dead_retention_ms,
                    retention_count: old.retention_count,
                    dead_retention_count: old.dead_retention_count,
                    ..settings.clone()
                };
                self.put(*queue, settings, 200).await
            }
            Step::PutLimits { queue, rate_limit, keys } => {
                self.model.queues[*queue].change_limits();
                let settings = self.model.queues[*queue].settings.clone();
                self.put(*queue, Settings { rate_limit: *rate_limit, keys: *keys, ..settings }, 200).await
            }
            Step::Enqueue { queue, job } => self.enqueue(*queue, job).await,
            Step::EnqueueMany { queue, jobs } => self.enqueue_many(*queue, jobs).await,
            Step::Dequeue(dequeue) => self.dequeue(dequeue).await,
            Step::Ack(ack) => self.ack(ack).await,
            Step::Acks { queue, acks } => self.acks(*queue, acks).await,
            Step::Nack { lease, error, then } => self.nack(*lease, *error, *then).await,
            Step::Extend { lease, lease_ms, progress } => self.extend(*lease, *lease_ms, *progress).await,
            Step::Retry(pick) => {
                let (queue, id) = self.model.pick(*pick);
                self.retry(queue, &id).await
            }
            Step::Cancel(pick) => {
                let (queue, id) = self.model.pick(*pick);
                self.cancel(queue, &id).await
            }
            Step::Redrive { from, limit, to } => self.redrive(*from, *limit, *to).await,
            Step::Purge { queue, state } => self.purge(*queue, *state).await,
            Step::Pause(queue) => self.pause(*queue, true).await,
            Step::Resume(queue) => self.pause(*queue, false).await,
            Step::Move(to) => {
                self.advance(*to);
                Ok(())
            }
            Step::Look { page } => self.look(*page, false).await,
        }
    }

    pub fn now(&self) -> Ms {
        self.clock.now()
    }

    pub fn path(&self, queue: usize, rest: &str) -> String {
        format!("/v1/queues/{}{rest}", self.model.queues[queue].name)
    }

    pub fn job_path(&self, queue: usize, id: &str, verb: &str) -> String {
        self.path(queue, &format!("/jobs/{}{verb}", encoded(id)))
    }

    /// Sends a request and keeps it in the trace.
    pub async fn send(&mut self, method: &str, path: &str, body: Option<String>) -> Answer {
        let answer = self.client.send(method, path, body.as_deref()).await;
        let body = body.unwrap_or_default();
        self.trace.push(format!("{method} {path} {body}\n    {answer}").replace(&steps::error(1), "…"));
        answer
    }

    /// Sends a request that changes nothing.
    pub async fn quietly(&mut self, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.client.send(method, path, body).await
    }

    fn advance(&mut self, to: Move) {
        let now = self.now();
        let destination = self.model.destination(to, now);
        self.clock.move_to(destination);
        self.trace.push(format!("{} ms later it is {}", destination - now, steps::written(destination)));
    }

    /// Whether a step does the same whether or not the background tasks have done what is due.
    fn can_wait(&self, step: &Step) -> bool {
        let queues = &self.model.queues;
        let by_order_alone = queues
            .iter()
            .all(|queue| queue.settings.keys.is_none() && queue.settings.retention_ms == steps::TEN_YEARS_MS);
        let is_lost = |lease: &Lease| {
            let lease = self.model.lease(*lease, self.now());
            lease.is_none_or(|lease| !self.model.is_live(&lease, self.now()))
        };
        match step {
            Step::Dequeue(dequeue) => by_order_alone || dequeue.acks.is_empty(),
            Step::Ack(_) | Step::Acks { .. } => by_order_alone,
            Step::Nack { lease, .. } | Step::Extend { lease, .. } => by_order_alone && is_lost(lease),
            Step::Put { .. }
            | Step::PutLimits { .. }
            | Step::Enqueue { .. }
            | Step::EnqueueMany { .. }
            | Step::Retry(_)
            | Step::Cancel(_)
            | Step::Redrive { .. }
            | Step::Purge { .. }
            | Step::Pause(_)
            | Step::Resume(_)
            | Step::Move(_)
            | Step::Look { .. } => false,
        }
    }

    /// Does in the model what is due, and waits until the background tasks have done it too.
    pub async fn settle(&mut self) -> Checked {
        let now = self.now();
        if !self.unsettled && !self.model.has_due(now) {
            return Ok(());
        }
        for queue in &mut self.model.queues {
            queue.do_due(now);
        }
        for queue in 0..2 {
            self.until_counts(queue, self.model.queues[queue].counts()).await?;
        }
        self.unsettled = false;
        self.trace.push("what is due is done".to_owned());
        Ok(())
    }

    async fn until_counts(&mut self, queue: usize, expected: Counts) -> Checked {
        let path = self.path(queue, "");
        let give_up = Instant::now() + PATIENCE;
        loop {
            let shown: wire::Queue = self.quietly("GET", &path, None).await.read(200)?;
            if shown.counts == expected {
                return Ok(());
            }
            if Instant::now() > give_up {
                return same(&format!("what {path} counts after {PATIENCE:?}"), &shown.counts, &expected);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Compares the job that a verb has changed, or the problem.
    pub fn compare_job(&self, queue: usize, id: &str, answer: &Answer, expected: Result<(), Refused>) -> Checked {
        match expected {
            Ok(()) => same("the job", &answer.read(200)?, &self.model.queues[queue].shown(id)),
            Err(refused) => answer.refuses(refused.problem()),
        }
    }
}
