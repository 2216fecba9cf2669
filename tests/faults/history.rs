//! What clients did and what they were told: the operation log, and what must therefore be there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Since the round began.
pub type At = Duration;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Status(u16),
    /// The connection ended before an answer did.
    Lost,
}

/// A request, as its client saw it.
#[derive(Debug, Clone)]
pub struct Operation {
    pub client: usize,
    pub instance: usize,
    pub what: &'static str,
    /// What it was about: a member, a job.
    pub key: String,
    pub sent: At,
    pub ended: At,
    pub outcome: Outcome,
    /// How much of the time it was asked to wait.
    pub waits: Duration,
    /// Why there was no answer, as the client says.
    pub why: String,
}

impl Operation {
    /// The time to its end, without what it was asked to wait.
    pub fn took(&self) -> Duration {
        (self.ended - self.sent).saturating_sub(self.waits)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, instance, what, key, sent, ended, outcome, why, .. } = self;
        let (sent, ended) = (sent.as_secs_f64(), ended.as_secs_f64());
        write!(f, "{sent:8.3} {ended:8.3}  client {client} to {instance}  {what} {key}  ")?;
        match outcome {
            Outcome::Status(status) => write!(f, "{status}"),
            Outcome::Lost => write!(f, "no answer: {why}"),
        }
    }
}

/// A score that was sent, and when it was acknowledged, if ever.
#[derive(Debug, Clone)]
pub struct Sent<T> {
    pub value: T,
    pub acked: Option<At>,
}

/// A lease that a worker was given.
#[derive(Debug, Clone)]
pub struct Lease {
    pub job: String,
    pub token: String,
    /// When the dequeue was sent that gave it.
    pub asked: At,
    /// From when on nothing may be taken with it.
    pub ends: At,
}

/// An ack, as often as it was sent.
#[derive(Debug, Clone)]
pub struct Ack {
    pub job: String,
    pub lease: String,
    pub first_sent: At,
    /// By when the lease has certainly ended.
    pub lease_ends: At,
    pub acked: Option<At>,
}

/// All that must be true afterwards.
#[derive(Debug, Default)]
pub struct Facts {
    /// Scores of `total` by member.
    pub sums: BTreeMap<String, Vec<Sent<i64>>>,
    /// Scores of `best` by member.
    pub bests: BTreeMap<String, Vec<Sent<i64>>>,
    /// Jobs of `work` by their payload, and when they were acknowledged, if ever.
    pub jobs: BTreeMap<u64, Option<At>>,
    pub leases: Vec<Lease>,
    pub acks: Vec<Ack>,
    /// When the closing of the season was acknowledged.
    pub season_closed: Option<At>,
}

/// The log of a round.
pub struct History {
    begin: Instant,
    operations: Mutex<Vec<Operation>>,
    pub facts: Mutex<Facts>,
    violations: Mutex<Vec<Violation>>,
    stopping: AtomicBool,
}

/// Something that must not be.
#[derive(Debug, Clone)]
pub struct Violation {
    pub text: String,
    /// What it is about, as in [`Operation::key`].
    pub key: String,
    /// When what is missing was acknowledged; what was so just before a Redis died that may lose something is a loss only.
    pub acked: Option<At>,
}

impl History {
    pub fn new() -> Self {
        Self {
            begin: Instant::now(),
            operations: Mutex::default(),
            facts: Mutex::default(),
            violations: Mutex::default(),
            stopping: AtomicBool::new(false),
        }
    }

    pub fn now(&self) -> At {
        self.begin.elapsed()
    }

    pub fn note(&self, operation: Operation) {
        self.operations.lock().expect("no panic").push(operation);
    }

    pub fn operations(&self) -> Vec<Operation> {
        self.operations.lock().expect("no panic").clone()
    }

    pub fn fact(&self, note: impl FnOnce(&mut Facts)) {
        note(&mut self.facts.lock().expect("no panic"));
    }

    pub fn violated(&self, key: &str, text: impl Into<String>, acked: Option<At>) {
        let violation = Violation { text: text.into(), key: key.to_owned(), acked };
        self.violations.lock().expect("no panic").push(violation);
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.violations.lock().expect("no panic").clone()
    }

    /// Asks the clients to bring what they have begun to its end, and to begin nothing.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
