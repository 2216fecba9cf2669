//! Which jobs may be leased, and in which order.
//!
//! Without keys there is one right order. With limits for each key several are right: what must hold is that no limit
//! is broken, that a key's own jobs keep their order, and that nobody is passed by another who came later.

use super::job::{Job, Ready};
use super::queue::Queue;
use crate::service::Ms;
use crate::wire::{RateLimit, State};

fn rate_room(limit: Option<RateLimit>, leased_at: &[Ms], now: Ms) -> usize {
    limit.map_or(usize::MAX, |limit| {
        let counted = leased_at.iter().filter(|at| now < *at + limit.per_ms).count();
        limit.limit.saturating_sub(counted)
    })
}

impl Queue {
    /// How many leases the queue as a whole has to give.
    pub fn room(&self, now: Ms) -> usize {
        if self.settings.paused {
            return 0;
        }
        let most = self.settings.max_concurrency.unwrap_or(usize::MAX);
        let slots = most.saturating_sub(self.count(State::Active));
        slots.min(rate_room(self.settings.rate_limit, &self.leased_at, now))
    }

    /// The key that a job waits by.
    fn key_of<'a>(&self, job: &'a Job) -> Option<&'a str> {
        self.settings.keys.and(job.key.as_deref())
    }

    /// Whether nothing about its key is in the way.
    fn is_open(&self, job: &Job, now: Ms) -> bool {
        let (Some(keys), Some(key)) = (self.settings.keys, self.key_of(job)) else { return true };
        let leased_at = self.leased_at_by_key.get(key).map_or(&[][..], Vec::as_slice);
        let is_holder = |other: &&Job| match self.is_loose {
            true => other.state == State::Active && other.counts,
            false => other.holds_slot,
        };
        let holders = self.jobs.values().filter(is_holder).filter(|other| self.key_of(other) == Some(key)).count();
        let has_slot = job.holds_slot || keys.max_concurrency.is_none_or(|most| holders < most);
        has_slot && rate_room(keys.rate_limit, leased_at, now) > 0
    }

    /// Writes down since when each job that is ready may go.
    pub(super) fn note_open(&mut self, now: Ms) {
        let event = self.next_event();
        let ids: Vec<String> = self.ids(State::Ready);
        for id in ids {
            let open = self.is_open(&self.jobs[&id], now);
            let ready = self.jobs.get_mut(&id).and_then(|job| job.ready.as_mut()).expect("it is ready");
            ready.open_since = open.then(|| ready.open_since.unwrap_or(event));
        }
    }

    /// The event since which a job waits for its turn.
    fn place(&self, job: &Job, ready: Ready) -> u64 {
        let fair = self.settings.keys.is_some_and(|keys| keys.fair);
        match self.key_of(job).filter(|_| fair && !job.holds_slot) {
            Some(key) => self.turns[&(key.to_owned(), job.priority)],
            None => ready.at,
        }
    }

    /// Whether the turn of its key may be older than its line.
    fn has_kept_turn(&self, job: &Job) -> bool {
        let fair = self.settings.keys.is_some_and(|keys| keys.fair) && !job.holds_slot;
        self.key_of(job).is_some_and(|key| fair && self.kept_turns.contains(&(key.to_owned(), job.priority)))
    }

    /// A job that must not wait, if the queue has room.
    pub fn leasable(&self, now: Ms) -> Option<&Job> {
        if self.is_loose {
            return None;
        }
        self.jobs.values().find(|job| job.ready.is_some() && self.is_open(job, now))
    }

    /// Whether this job may be the next one; if not, why.
    pub fn may_lease(&self, id: &str, now: Ms) -> Result<(), String> {
        let job = self.jobs.get(id).ok_or("there is no such job")?;
        let ready = job.ready.ok_or_else(|| format!("{id} is {}", job.state.name()))?;
        if self.room(now) == 0 {
            return Err("the queue has no leases to give".to_owned());
        }
        if !self.is_open(job, now) {
            return Err(format!("the key of {id} has no leases to give"));
        }
        if self.is_loose {
            return Ok(());
        }
        let place = if self.has_kept_turn(job) { 0 } else { self.place(job, ready) };
        for other in self.jobs.values().filter(|other| other.id != id && self.is_open(other, now)) {
            let Some(its_ready) = other.ready else { continue };
            if other.priority > job.priority {
                return Err(format!("{} has a higher priority than {id}", other.id));
            }
            if other.priority < job.priority {
                continue;
            }
            let of_one_key = self.key_of(job).is_some() && self.key_of(other) == self.key_of(job);
            if of_one_key && !job.holds_slot && !other.holds_slot {
                if its_ready.at < ready.at {
                    return Err(format!("{} of the same key is before {id}", other.id));
                }
            } else if self.place(other, its_ready) < place && its_ready.open_since.is_some_and(|since| since <= place) {
                return Err(format!("{} is before {id}", other.id));
            }
        }
        Ok(())
    }
}
