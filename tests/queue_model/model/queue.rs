//! One queue: its jobs, who holds which unique key, and what was leased when.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Refused;
use super::job::{Job, Ready};
use crate::service::Ms;
use crate::steps::{self, NewJob, Start};
use crate::wire::{self, Counts, Settings, State};

pub struct Queue {
    pub name: String,
    pub settings: Settings,
    pub created_at: Ms,
    pub jobs: BTreeMap<String, Job>,
    locks: BTreeMap<usize, Lock>,
    /// When leases were given.
    pub(super) leased_at: Vec<Ms>,
    pub(super) leased_at_by_key: BTreeMap<String, Vec<Ms>>,
    /// Since which event a key waits for its turn at a priority.
    pub(super) turns: BTreeMap<(String, u8), u64>,
    /// The keys that may have kept their turn at a priority though all their jobs there were removed.
    pub(super) kept_turns: BTreeSet<(String, u8)>,
    /// Its limits have changed while there were jobs: what may be leased is known no more, but what may not.
    pub is_loose: bool,
    events: u64,
}

/// Who holds a unique key.
struct Lock {
    holder: String,
    ends_at: Option<Ms>,
}

/// What came of an enqueue, with the id of the job that answers.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    New(String),
    Duplicate(String),
}

impl Queue {
    pub fn new(name: String, settings: Settings, now: Ms) -> Self {
        Self {
            name,
            settings,
            created_at: now,
            jobs: BTreeMap::new(),
            locks: BTreeMap::new(),
            leased_at: Vec::new(),
            leased_at_by_key: BTreeMap::new(),
            turns: BTreeMap::new(),
            kept_turns: BTreeSet::new(),
            is_loose: false,
            events: 0,
        }
    }

    /// Whether jobs wait, or have waited, by their keys.
    pub fn is_keyed(&self) -> bool {
        self.is_loose || self.settings.keys.is_some()
    }

    pub fn change_limits(&mut self) {
        self.is_loose = true;
        self.leased_at.clear();
        self.leased_at_by_key.clear();
        for job in self.jobs.values_mut() {
            job.counts = false;
        }
    }

    pub(super) fn next_event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    /// Enqueues a job, which gets `made_id` where it has none of its own.
    pub fn enqueue(&mut self, new: &NewJob, made_id: &str, now: Ms) -> Outcome {
        if let Some(taken) = new.id.map(steps::id).filter(|id| self.jobs.contains_key(*id)) {
            return Outcome::Duplicate(taken.to_owned());
        }
        if let Some((unique, holder)) = new.unique.and_then(|unique| Some((unique, self.holder(unique.key, now)?))) {
            if !(unique.replace && self.jobs[&holder].waits()) {
                return Outcome::Duplicate(holder);
            }
            self.remove(&holder, now);
        }
        let id = new.id.map(steps::id).unwrap_or(made_id).to_owned();
        let run_at = match new.start {
            Start::AtOnce => None,
            Start::After(ms) | Start::At(ms) => (ms > 0).then_some(now + ms),
        };
        let job = Job {
            id: id.clone(),
            state: State::Scheduled,
            payload: steps::json(new.payload).to_owned(),
            priority: new.priority.unwrap_or(4),
            attempt: 0,
            max_attempts: new.max_attempts.unwrap_or(self.settings.max_attempts),
            enqueued_at: now,
            run_at,
            started_at: None,
            finished_at: None,
            deadline: None,
            worker: None,
            progress: None,
            result: None,
            errors: Vec::new(),
            unique: new.unique,
            key: new.key.map(|number| steps::key(number).to_owned()),
            expires_at: new.expires_in_ms.map(|ms| now + ms),
            headers: new.headers.then(steps::headers),
            lease: None,
            was_cancelled_at_work: false,
            ready: None,
            holds_slot: false,
            counts: false,
        };
        self.lock(&job, now);
        self.jobs.insert(id.clone(), job);
        if run_at.is_none() {
            self.make_ready(&id, now);
        }
        Outcome::New(id)
    }

    fn holder(&self, unique: usize, now: Ms) -> Option<String> {
        let lock = self.locks.get(&unique)?;
        lock.ends_at.is_none_or(|ends_at| now < ends_at).then(|| lock.holder.clone())
    }

    /// Whether neither its id nor its unique key is taken here.
    pub fn has_room_for(&self, job: &Job, now: Ms) -> bool {
        !self.jobs.contains_key(&job.id) && self.can_lock(job, now)
    }

    pub(super) fn can_lock(&self, job: &Job, now: Ms) -> bool {
        let holder = job.unique.and_then(|unique| self.holder(unique.key, now));
        holder.is_none_or(|holder| holder == job.id)
    }

    /// Gives a job that is to wait its unique key, for as long as it has asked.
    pub(super) fn lock(&mut self, job: &Job, now: Ms) {
        let Some(unique) = job.unique else { return };
        let ends_at = unique.for_ms.map(|ms| job.enqueued_at + ms);
        if ends_at.is_none_or(|ends_at| now < ends_at) {
            self.locks.insert(unique.key, Lock { holder: job.id.clone(), ends_at });
        }
    }

    pub(super) fn unlock(&mut self, job: &Job) {
        let Some(unique) = job.unique else { return };
        if self.locks.get(&unique.key).is_some_and(|lock| lock.holder == job.id) {
            self.locks.remove(&unique.key);
        }
    }

    pub fn make_ready(&mut self, id: &str, now: Ms) {
        let at = self.next_event();
        let (key, priority) = (self.jobs[id].key.clone(), self.jobs[id].priority);
        if let Some(key) = key.filter(|_| !self.jobs[id].holds_slot)
            && !self.has_line(&key, priority)
        {
            self.turns.insert((key, priority), at);
        }
        let job = self.jobs.get_mut(id).expect("it is there");
        job.state = State::Ready;
        job.finished_at = None;
        job.deadline = None;
        job.ready = Some(Ready { at, since: now, open_since: None });
        self.note_open(now);
    }

    /// Whether a key has jobs that wait for its turn at a priority.
    fn has_line(&self, key: &str, priority: u8) -> bool {
        let is_of_it = |job: &Job| job.key.as_deref() == Some(key) && job.priority == priority && !job.holds_slot;
        self.jobs.values().any(|job| job.ready.is_some() && is_of_it(job))
    }

    /// After a job has gone that was not leased.
    fn note_gone(&mut self, job: &Job) {
        let Some(key) = job.key.clone().filter(|_| job.ready.is_some() && !job.holds_slot) else { return };
        if !self.has_line(&key, job.priority) {
            self.kept_turns.insert((key, job.priority));
        }
    }

    /// Ends a job, which leaves its place, its slot and its unique key.
    pub(super) fn finish(&mut self, id: &str, state: State, now: Ms) {
        self.next_event();
        let before = self.jobs[id].clone();
        let job = self.jobs.get_mut(id).expect("it is there");
        job.state = state;
        job.finished_at = Some(now);
        job.deadline = None;
        job.ready = None;
        job.holds_slot = false;
        let job = job.clone();
        if job.holds_until().is_some() {
            self.unlock(&job);
        }
        self.note_gone(&before);
        self.note_open(now);
    }

    /// Removes every trace of a job.
    pub fn remove(&mut self, id: &str, now: Ms) -> Job {
        self.next_event();
        let job = self.jobs.remove(id).expect("it is there");
        self.unlock(&job);
        self.note_gone(&job);
        self.note_open(now);
        job
    }

    pub fn shown(&self, id: &str) -> wire::Job {
        self.jobs[id].shown(&self.name)
    }

    pub fn count(&self, state: State) -> usize {
        self.jobs.values().filter(|job| job.state == state).count()
    }

    pub fn counts(&self) -> Counts {
        Counts {
            ready: self.count(State::Ready),
            scheduled: self.count(State::Scheduled),
            active: self.count(State::Active),
            completed: self.count(State::Completed),
            dead: self.count(State::Dead),
            cancelled: self.count(State::Cancelled),
        }
    }

    pub fn oldest_ready_ms(&self, now: Ms) -> Option<Ms> {
        self.jobs.values().filter_map(|job| job.ready).map(|ready| now - ready.since).max()
    }

    pub fn created_at(&self) -> String {
        steps::written(self.created_at)
    }

    /// The jobs of a state in the order of a list.
    pub fn ids(&self, state: State) -> Vec<String> {
        let mut jobs: Vec<&Job> = self.jobs.values().filter(|job| job.state == state).collect();
        // By id first, since `jobs` is sorted by it.
        match state {
            State::Ready => {
                jobs.sort_by_key(|job| (Reverse(job.priority), job.ready.map(|ready| ready.at)));
            }
            State::Active => jobs.sort_by_key(|job| job.deadline),
            State::Scheduled => jobs.sort_by_key(|job| job.run_at),
            State::Dead | State::Completed | State::Cancelled => jobs.sort_by_key(|job| self.age_from(job)),
        }
        jobs.into_iter().map(|job| job.id.clone()).collect()
    }

    /// From when on the age of a finished job counts. While a time alone holds its unique key, it does not grow old.
    pub(super) fn age_from(&self, job: &Job) -> Option<Ms> {
        let locked_until = job.locked_until().map_or(Ms::MIN, |until| until - self.retention_ms(job.state));
        Some(job.finished_at?.max(locked_until))
    }

    pub(super) fn retention_ms(&self, state: State) -> Ms {
        match state {
            State::Dead => self.settings.dead_retention_ms,
            State::Active | State::Ready | State::Scheduled | State::Completed | State::Cancelled => {
                self.settings.retention_ms
            }
        }
    }

    pub fn check_lease(&self, id: &str, token: &str, now: Ms) -> Result<(), Refused> {
        let job = self.jobs.get(id).ok_or(Refused::NotFound)?;
        let holds = job.state == State::Active
            && job.lease.as_deref() == Some(token)
            && job.deadline.is_some_and(|deadline| now < deadline);
        if holds { Ok(()) } else { Err(Refused::LeaseLost) }
    }
}
