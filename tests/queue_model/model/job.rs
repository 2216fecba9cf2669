//! A job, and how answers show it.

use std::collections::BTreeMap;

use crate::service::Ms;
use crate::steps::{Unique, Until, written};
use crate::wire::{self, Failure, Json, State};

/// Bytes of an error that are kept.
const MAX_ERROR_BYTES: usize = 4096;
/// Errors that are kept.
const MAX_ERRORS: usize = 10;

#[derive(Debug, Clone)]
pub struct Job {
    pub id: String,
    pub state: State,
    pub payload: String,
    pub priority: u8,
    pub attempt: u32,
    pub max_attempts: u32,
    pub enqueued_at: Ms,
    pub run_at: Option<Ms>,
    pub started_at: Option<Ms>,
    pub finished_at: Option<Ms>,
    pub deadline: Option<Ms>,
    pub worker: Option<String>,
    pub progress: Option<String>,
    pub result: Option<String>,
    pub errors: Vec<Failure>,
    pub unique: Option<Unique>,
    pub key: Option<String>,
    pub expires_at: Option<Ms>,
    pub headers: Option<BTreeMap<String, String>>,
    /// The latest.
    pub lease: Option<String>,
    /// So that its worker is told.
    pub was_cancelled_at_work: bool,
    /// Where it stands among those who are ready.
    pub ready: Option<Ready>,
    /// It runs, or is to run again before others of its key.
    pub holds_slot: bool,
    /// It was leased under the limits as they are, without a slot from before.
    pub counts: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// When, in the count of events.
    pub at: u64,
    pub since: Ms,
    /// From which event on nothing about its key was in its way.
    pub open_since: Option<u64>,
}

impl Job {
    pub fn waits(&self) -> bool {
        matches!(self.state, State::Ready | State::Scheduled)
    }

    /// Whether it is dropped unless it starts in time.
    pub fn can_expire(&self) -> bool {
        self.waits() && self.attempt == 0 && self.started_at.is_none()
    }

    /// What holds its unique key: `None` where only time does.
    pub fn holds_until(&self) -> Option<Until> {
        let unique = self.unique?;
        match (unique.until, unique.for_ms) {
            (Some(until), _) => Some(until),
            (None, None) => Some(Until::Done),
            (None, Some(_)) => None,
        }
    }

    /// How long its unique key is held whatever becomes of it.
    pub fn locked_until(&self) -> Option<Ms> {
        let for_ms = self.unique?.for_ms.filter(|_| self.holds_until().is_none());
        Some(self.enqueued_at + for_ms?)
    }

    pub fn fail(&mut self, now: Ms, error: &str) {
        let cut = error.floor_char_boundary(MAX_ERROR_BYTES.min(error.len()));
        self.errors.push(Failure { at: written(now), attempt: self.attempt, error: error[..cut].to_owned() });
        let surplus = self.errors.len().saturating_sub(MAX_ERRORS);
        self.errors.drain(..surplus);
    }

    pub fn shown(&self, queue: &str) -> wire::Job {
        let json = |text: &Option<String>| text.clone().map(Json);
        wire::Job {
            id: self.id.clone(),
            queue: queue.to_owned(),
            state: self.state,
            payload: Json(self.payload.clone()),
            priority: self.priority,
            attempt: self.attempt,
            max_attempts: self.max_attempts,
            enqueued_at: written(self.enqueued_at),
            run_at: self.run_at.map(written),
            started_at: self.started_at.map(written),
            finished_at: self.finished_at.map(written),
            lease_expires_at: self.deadline.map(written),
            worker: self.worker.clone(),
            progress: json(&self.progress),
            result: json(&self.result),
            errors: self.errors.clone(),
            unique_key: self.unique.map(|unique| crate::steps::unique_key(unique.key).to_owned()),
            key: self.key.clone(),
            expires_at: self.expires_at.map(written),
            headers: self.headers.clone(),
            duplicate: None,
            lease: None,
        }
    }
}
