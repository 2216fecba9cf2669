//! All that a running worker holds: the jobs that run, what is being settled, and the dequeue under way.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, info, warn};

use super::attempt::{Begin, Outcome};
use super::backoff::Backoff;
use super::builder::{Settings, in_ms};
use super::dequeue::{Rider, dequeue};
use super::heartbeat::Gone;
use super::lease::Lease;
use super::service::{Failure, Service};
use super::settle::{Verdict, settle};
use super::summary::Summary;
use super::wire::{Acked, Dequeued, LeasedJob};

/// The service leases no more at once.
const MAX_LIMIT: usize = 100;
/// A larger result is sent by a call of its own, so that the dequeue stays small.
const MAX_RIDING_BYTES: usize = 4096;
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long the service may take for what is said to it last.
const LAST_WORDS: Duration = Duration::from_secs(5);

type Answer = Result<Dequeued, Failure>;
type Ended = (Arc<Lease>, Outcome);
type Settled = (Arc<Lease>, Account, Option<Verdict>);

/// A dequeue under way.
struct Asking {
    call: Pin<Box<dyn Future<Output = Answer> + Send>>,
    riders: Arc<[Rider]>,
    /// Whether the service waits for jobs to come.
    waits: bool,
}

/// Under what a settled job is counted.
#[derive(Debug, Clone, Copy)]
enum Account {
    Job,
    Release,
}

pub(super) struct Desk {
    service: Service,
    settings: Arc<Settings>,
    begin: Begin,
    summary: Summary,
    running: JoinSet<Ended>,
    settling: JoinSet<Settled>,
    /// Wait for the next dequeue; never more than there is room for.
    riders: Vec<Rider>,
    asking: Option<Asking>,
    ask_at: Instant,
    backoff: Backoff,
    failing: bool,
    stopping: bool,
    /// Turns true when the grace is over.
    release: watch::Sender<bool>,
}

/// The answer of the dequeue under way; never done where there is none.
async fn answered(asking: &mut Option<Asking>) -> Answer {
    match asking {
        Some(asking) => asking.call.as_mut().await,
        None => std::future::pending().await,
    }
}

impl Desk {
    pub(super) fn new(service: Service, settings: Arc<Settings>, begin: Begin) -> Self {
        Self {
            service,
            settings,
            begin,
            summary: Summary::default(),
            running: JoinSet::new(),
            settling: JoinSet::new(),
            riders: Vec::new(),
            asking: None,
            ask_at: Instant::now(),
            backoff: Backoff::up_to(LONGEST_PAUSE),
            failing: false,
            stopping: false,
            release: watch::Sender::new(false),
        }
    }

    /// Asks for jobs where there is room, and takes in the next thing that happens. It may be dropped at any time. Gives
    /// the words by which the service refuses this worker for good.
    pub(super) async fn turn(&mut self) -> Result<(), String> {
        self.collect_finished();
        self.ask_for_jobs();
        tokio::select! {
            biased;
            answer = answered(&mut self.asking) => return self.take_answer(answer),
            Some(ended) = self.running.join_next() => self.attempt_ended(ended),
            Some(settled) = self.settling.join_next() => self.settled(settled),
            () = sleep_until(self.ask_at), if self.is_pausing() => {}
        }
        Ok(())
    }

    /// How many jobs more may be taken. One that is being settled still has its place, so that a service that takes no
    /// acks is asked for no jobs.
    fn room(&self) -> usize {
        self.settings.concurrency.saturating_sub(self.running.len() + self.settling.len())
    }

    /// Whether a dequeue is due, but for the time.
    fn is_pausing(&self) -> bool {
        self.asking.is_none() && self.room() > 0
    }

    /// What has ended meanwhile, so that all of it rides on one dequeue.
    fn collect_finished(&mut self) {
        while let Some(ended) = self.running.try_join_next() {
            self.attempt_ended(ended);
        }
        while let Some(settled) = self.settling.try_join_next() {
            self.settled(settled);
        }
    }

    /// Starts a dequeue if there is room, none is under way, and it is time.
    fn ask_for_jobs(&mut self) {
        let limit = self.room().min(MAX_LIMIT);
        if !self.is_pausing() || Instant::now() < self.ask_at {
            return;
        }
        let riders: Arc<[Rider]> = self.riders.drain(..limit.min(self.riders.len())).collect();
        // An answer that is waited for would leave the acks in the open for long.
        let wait = if riders.is_empty() { self.settings.wait } else { Duration::ZERO };
        let (service, settings, riding) = (self.service.clone(), Arc::clone(&self.settings), Arc::clone(&riders));
        let call = Box::pin(async move { dequeue(&service, &settings, limit, wait, &riding).await });
        self.asking = Some(Asking { call, riders, waits: !wait.is_zero() });
    }

    /// Takes in the answer of the dequeue under way.
    fn take_answer(&mut self, answer: Answer) -> Result<(), String> {
        let riders = self.asking.take().map(|asking| asking.riders).unwrap_or_default();
        let failure = match answer {
            Ok(Dequeued { jobs, acked }) => {
                if std::mem::take(&mut self.failing) {
                    info!("the service gives jobs again");
                }
                self.backoff.reset();
                self.take_acked(&riders, &acked);
                for job in jobs {
                    self.start(job);
                }
                return Ok(());
            }
            Err(failure) => failure,
        };
        self.settle_riders(&riders);
        self.settle_waiting_riders();
        match failure {
            Failure::Refused { detail, .. } => Err(detail),
            Failure::Passing { detail, wait, .. } => {
                let pause = self.backoff.pause(wait);
                warn!("no jobs can be had, the next try is in {} ms: {detail}", in_ms(pause));
                self.failing = true;
                self.ask_at = Instant::now() + pause;
                Ok(())
            }
        }
    }

    fn take_acked(&mut self, riders: &[Rider], acked: &[Acked]) {
        for (index, rider) in riders.iter().enumerate() {
            let answer = acked.get(index).filter(|acked| acked.id == rider.lease.id);
            if answer.is_some_and(|acked| acked.status == 200) {
                self.completed(&rider.lease);
            } else {
                // With several queues the id may have been looked for in another one: the job's own path decides.
                self.settle_riders(std::slice::from_ref(rider));
            }
        }
    }

    fn start(&mut self, job: LeasedJob) {
        self.summary.taken += 1;
        let lease = Arc::new(Lease::of(&job, self.settings.lease));
        let (id, queue) = (&job.id, &job.queue);
        debug!(job.id = %id, queue.name = %queue, attempt = job.attempt, "job {id} of `{queue}` begins");
        let attempt = (self.begin)(Arc::clone(&lease), job, self.release.subscribe());
        self.running.spawn(async move { (lease, attempt.await) });
    }

    fn attempt_ended(&mut self, ended: Result<Ended, JoinError>) {
        let Some((lease, outcome)) = self.unless_broken(ended) else { return };
        let (id, queue) = (&lease.id, &lease.queue);
        match outcome {
            Outcome::Gone(Gone::Cancelled) => {
                self.summary.cancelled += 1;
                info!(job.id = %id, queue.name = %queue, "job {id} of `{queue}` was cancelled and is stopped");
            }
            Outcome::Gone(Gone::Lost) => {
                self.summary.lost += 1;
                warn!(job.id = %id, queue.name = %queue, "the lease of job {id} of `{queue}` is lost, so it is stopped");
            }
            Outcome::Settle(Verdict::Ack(result)) if self.may_ride(result.as_deref()) => {
                self.riders.push(Rider { lease, result });
            }
            Outcome::Settle(verdict) => self.settle(lease, Account::Job, verdict),
            Outcome::Release(verdict) => self.settle(lease, Account::Release, verdict),
        }
    }

    /// Whether a dequeue is about to be made that can take the ack along.
    fn may_ride(&self, result: Option<&RawValue>) -> bool {
        let is_soon = self.asking.as_ref().is_none_or(|asking| !asking.waits) && Instant::now() >= self.ask_at;
        let is_small = result.is_none_or(|result| result.get().len() <= MAX_RIDING_BYTES);
        is_soon && is_small && !self.stopping
    }

    fn settle_waiting_riders(&mut self) {
        let riders = std::mem::take(&mut self.riders);
        self.settle_riders(&riders);
    }

    fn settle_riders(&mut self, riders: &[Rider]) {
        for Rider { lease, result } in riders {
            self.settle(Arc::clone(lease), Account::Job, Verdict::Ack(result.clone()));
        }
    }

    fn settle(&mut self, lease: Arc<Lease>, account: Account, verdict: Verdict) {
        let service = self.service.clone();
        self.settling.spawn(async move {
            let taken = settle(&service, &lease, verdict).await;
            (lease, account, taken)
        });
    }

    fn settled(&mut self, settled: Result<Settled, JoinError>) {
        let Some((lease, account, verdict)) = self.unless_broken(settled) else { return };
        let (id, queue) = (&lease.id, &lease.queue);
        match (verdict, account) {
            (None, Account::Job | Account::Release) => self.summary.lost += 1,
            (Some(Verdict::Ack(_)), Account::Job | Account::Release) => self.completed(&lease),
            (Some(Verdict::Nack(error)), Account::Job) => {
                self.summary.failed += 1;
                let error = error.text.trim_end().lines().next_back().unwrap_or_default();
                warn!(job.id = %id, queue.name = %queue, "job {id} of `{queue}` failed: {error}");
            }
            (Some(Verdict::Nack(_)), Account::Release) => {
                self.summary.released += 1;
                info!(job.id = %id, queue.name = %queue, "job {id} of `{queue}` is given back");
            }
        }
    }

    fn completed(&mut self, lease: &Lease) {
        let (id, queue) = (&lease.id, &lease.queue);
        self.summary.completed += 1;
        info!(job.id = %id, queue.name = %queue, "job {id} of `{queue}` is completed");
    }

    fn unless_broken<T>(&mut self, ended: Result<T, JoinError>) -> Option<T> {
        ended
            .inspect_err(|error| {
                error!("a job is lost to a mistake in the worker: {error}");
                self.summary.lost += 1;
            })
            .ok()
    }

    /// Asks for no more jobs, gives those that run their grace, and gives back what is left.
    pub(super) async fn finish(mut self) -> Summary {
        self.stopping = true;
        let asking = self.asking.as_mut().map(|asking| (asking.waits, asking.call.as_mut()));
        let answer = match asking {
            // What has come already is not left to the end of its lease.
            Some((true, call)) => call.now_or_never(),
            Some((false, call)) => timeout(LAST_WORDS, call).await.ok(),
            None => None,
        };
        match answer {
            // What it brings begins and has its grace: given back, it would have lost an attempt. Refused or not, the worker
            // stops anyway.
            Some(answer) => drop(self.take_answer(answer)),
            None => {
                let riders = self.asking.take().map(|asking| asking.riders).unwrap_or_default();
                self.settle_riders(&riders);
            }
        }
        self.settle_waiting_riders();

        let (running, grace_ms) = (self.running.len(), in_ms(self.settings.grace));
        if running > 0 {
            info!("{running} running jobs may finish within {grace_ms} ms");
        }
        let grace_ends = Instant::now() + self.settings.grace;
        let give_up = grace_ends + self.settings.cleanup + LAST_WORDS;
        while !(self.running.is_empty() && self.settling.is_empty()) {
            let in_grace = !*self.release.borrow();
            tokio::select! {
                Some(ended) = self.running.join_next() => self.attempt_ended(ended),
                Some(settled) = self.settling.join_next() => self.settled(settled),
                () = sleep_until(grace_ends), if in_grace => drop(self.release.send(true)),
                () = sleep_until(give_up) => break,
            }
        }
        let left = self.running.len() + self.settling.len();
        if left > 0 {
            warn!("the service does not answer: {left} jobs are left to the end of their leases");
            self.summary.lost += left as u64;
        }
        self.running.shutdown().await;
        self.settling.shutdown().await;
        self.summary
    }
}
