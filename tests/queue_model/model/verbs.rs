//! What workers and operators do with jobs.

use super::Refused;
use super::job::Job;
use super::queue::Queue;
use crate::service::Ms;
use crate::steps::{Then, Until};
use crate::wire::{Backoff, State};

impl Queue {
    /// Leases a job that [`Queue::may_lease`].
    pub fn lease(&mut self, id: &str, token: &str, lease_ms: Option<Ms>, worker: Option<&str>, now: Ms) {
        let event = self.next_event();
        let deadline = now + lease_ms.unwrap_or(self.settings.lease_ms);
        let job = self.jobs.get_mut(id).expect("it is ready");
        job.state = State::Active;
        job.attempt += 1;
        job.ready = None;
        job.deadline = Some(deadline);
        job.lease = Some(token.to_owned());
        job.worker = worker.map(str::to_owned);
        job.started_at = Some(now);
        (job.progress, job.result) = (None, None);
        let retried = std::mem::replace(&mut job.holds_slot, true);
        job.counts |= !retried;
        let job = job.clone();
        if job.holds_until() == Some(Until::Started) {
            self.unlock(&job);
        }
        self.leased_at.push(now);
        if let Some(key) = job.key {
            self.leased_at_by_key.entry(key.clone()).or_default().push(now);
            if !retried {
                self.kept_turns.remove(&(key.clone(), job.priority));
                self.turns.insert((key, job.priority), event);
            }
        }
        self.note_open(now);
    }

    pub fn ack(&mut self, id: &str, token: &str, result: Option<&str>, now: Ms) -> Result<(), Refused> {
        let is_done = |job: &Job| job.state == State::Completed && job.lease.as_deref() == Some(token);
        if self.jobs.get(id).is_some_and(is_done) {
            return Ok(());
        }
        self.check_lease(id, token, now)?;
        self.jobs.get_mut(id).expect("checked").result = result.map(str::to_owned);
        self.finish(id, State::Completed, now);
        Ok(())
    }

    pub fn nack(&mut self, id: &str, token: &str, error: Option<&str>, then: Then, now: Ms) -> Result<(), Refused> {
        self.check_lease(id, token, now)?;
        let job = self.jobs.get_mut(id).expect("checked");
        job.fail(now, error.unwrap_or_default());
        let delay_ms = match then {
            Then::Dead => None,
            Then::In(_) | Then::Backoff if job.attempt >= job.max_attempts => None,
            Then::In(ms) => Some(ms),
            Then::Backoff => Some(delay_ms(&self.settings.backoff, job.attempt)),
        };
        let Some(delay_ms) = delay_ms else {
            self.finish(id, State::Dead, now);
            return Ok(());
        };
        job.state = State::Scheduled;
        job.deadline = None;
        job.run_at = Some(now + delay_ms);
        self.come_back(id);
        self.next_event();
        self.note_open(now);
        Ok(())
    }

    /// A job that is to run again keeps its key's slot only where that makes its order strict.
    pub(super) fn come_back(&mut self, id: &str) {
        let strict = self.settings.keys.is_some_and(|keys| keys.max_concurrency == Some(1));
        let job = self.jobs.get_mut(id).expect("it is there");
        job.holds_slot &= strict;
    }

    /// Gives the deadline, and whether the job was cancelled.
    pub fn extend(
        &mut self,
        id: &str,
        token: &str,
        lease_ms: Option<Ms>,
        progress: Option<&str>,
        now: Ms,
    ) -> Result<(Option<Ms>, bool), Refused> {
        let is_told = |job: &Job| job.was_cancelled_at_work && job.lease.as_deref() == Some(token);
        if self.jobs.get(id).is_some_and(is_told) {
            return Ok((None, true));
        }
        self.check_lease(id, token, now)?;
        let deadline = now + lease_ms.unwrap_or(self.settings.lease_ms);
        let job = self.jobs.get_mut(id).expect("checked");
        job.deadline = Some(deadline);
        if let Some(progress) = progress {
            job.progress = Some(progress.to_owned());
        }
        Ok((Some(deadline), false))
    }

    pub fn retry(&mut self, id: &str, now: Ms) -> Result<(), Refused> {
        let job = self.jobs.get(id).ok_or(Refused::NotFound)?.clone();
        match job.state {
            State::Scheduled => {}
            State::Dead if !self.can_lock(&job, now) => return Err(Refused::Conflict),
            State::Dead => {
                self.lock(&job, now);
                self.jobs.get_mut(id).expect("found").attempt = 0;
            }
            State::Active | State::Ready | State::Completed | State::Cancelled => return Err(Refused::Conflict),
        }
        self.make_ready(id, now);
        Ok(())
    }

    pub fn cancel(&mut self, id: &str, now: Ms) -> Result<(), Refused> {
        let job = self.jobs.get_mut(id).ok_or(Refused::NotFound)?;
        match job.state {
            State::Completed => return Err(Refused::Conflict),
            State::Cancelled => return Ok(()),
            State::Active => job.was_cancelled_at_work = true,
            State::Ready | State::Scheduled | State::Dead => {}
        }
        self.finish(id, State::Cancelled, now);
        Ok(())
    }

    /// Removes all jobs of a state; gives how many.
    pub fn purge(&mut self, state: State, now: Ms) -> usize {
        let ids = self.ids(state);
        for id in &ids {
            self.remove(id, now);
        }
        ids.len()
    }

    /// Takes a dead job out of this queue, for another one.
    pub fn take_out(&mut self, id: &str, now: Ms) -> Job {
        self.remove(id, now)
    }

    /// Takes in a dead job of another queue, to wait here.
    pub fn take_in(&mut self, job: Job, now: Ms) {
        let id = job.id.clone();
        self.lock(&job, now);
        self.jobs.insert(id.clone(), Job { attempt: 0, ..job });
        self.make_ready(&id, now);
    }
}

fn delay_ms(backoff: &Backoff, attempt: u32) -> Ms {
    match *backoff {
        Backoff::Fixed { base_ms, .. } => base_ms,
        Backoff::Exponential { base_ms, max_ms, .. } => (base_ms << (attempt - 1)).min(max_ms),
    }
}
