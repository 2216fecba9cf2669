//! What happens by itself when its time comes.

use super::job::Job;
use super::queue::Queue;
use crate::service::Ms;
use crate::steps::TEN_YEARS_MS;
use crate::wire::State;

/// What a job is told whose lease has run out.
const LEASE_RAN_OUT: &str = "the lease ran out";

impl Queue {
    /// The jobs of which something is due, in the order of its time; between equals, of their ids.
    fn due(&self, now: Ms, time: impl Fn(&Job) -> Option<Ms>) -> Vec<String> {
        let mut due: Vec<(Ms, String)> =
            self.jobs.values().filter_map(|job| Some((time(job)?, job.id.clone()))).collect();
        due.retain(|(time, _)| *time <= now);
        due.sort();
        due.into_iter().map(|(_, id)| id).collect()
    }

    pub fn has_due(&self, now: Ms) -> bool {
        self.jobs.values().any(|job| {
            [lease_end, drop_time, due_time].iter().any(|time| time(job) <= Some(now) && time(job).is_some())
        }) || !self.forgotten(now).is_empty()
    }

    /// Does all that is due: leases run out, jobs that have waited too long are dropped, scheduled ones become ready.
    /// Gives whether anything was.
    pub fn do_due(&mut self, now: Ms) -> bool {
        let (lost, dropped, ready);
        lost = self.due(now, lease_end);
        for id in &lost {
            self.lose(id, now);
        }
        dropped = self.due(now, drop_time);
        for id in &dropped {
            self.finish(id, State::Cancelled, now);
        }
        ready = self.due(now, due_time);
        for id in &ready {
            self.make_ready(id, now);
        }
        let forgotten = self.forgotten(now);
        for id in &forgotten {
            self.remove(id, now);
        }
        ![lost, dropped, ready, forgotten].concat().is_empty()
    }

    fn lose(&mut self, id: &str, now: Ms) {
        let job = self.jobs.get_mut(id).expect("it is due");
        job.fail(job.deadline.expect("it is due"), LEASE_RAN_OUT);
        if job.attempt >= job.max_attempts {
            self.finish(id, State::Dead, now);
        } else {
            self.come_back(id);
            self.make_ready(id, now);
        }
    }

    /// What has finished too long ago, or before too many others. A job stays while a time alone holds its unique key.
    fn forgotten(&self, now: Ms) -> Vec<String> {
        let settings = &self.settings;
        let rules = [
            (State::Completed, settings.retention_count),
            (State::Cancelled, settings.retention_count),
            (State::Dead, settings.dead_retention_count),
        ];
        let mut forgotten = Vec::new();
        for (state, count) in rules {
            let is_locked = |id: &String| self.jobs[id].locked_until().is_some_and(|until| now < until);
            let is_old = |id: &String| self.forget_time(&self.jobs[id]).is_some_and(|time| time <= now);
            let (old, young): (Vec<String>, Vec<String>) = self.ids(state).into_iter().partition(is_old);
            let surplus = count.map_or(0, |count| young.len().saturating_sub(count));
            forgotten.extend(old);
            forgotten.extend(young.into_iter().take(surplus).filter(|id| !is_locked(id)));
        }
        forgotten
    }

    fn forget_time(&self, job: &Job) -> Option<Ms> {
        Some(self.age_from(job).filter(|_| job.state.is_finished())? + self.retention_ms(job.state))
    }

    /// When something happens by itself, or begins to be allowed.
    pub fn moments(&self, now: Ms) -> Vec<Ms> {
        let mut moments: Vec<Ms> = self
            .jobs
            .values()
            .flat_map(|job| [lease_end, drop_time, due_time].map(|time| time(job)))
            .flatten()
            .collect();
        let lock_end = |job: &Job| Some(job.enqueued_at + job.unique?.for_ms?);
        moments.extend(self.jobs.values().filter_map(lock_end));
        if let Some(limit) = self.settings.rate_limit {
            moments.extend(self.leased_at.iter().map(|at| at + limit.per_ms));
        }
        if let Some(limit) = self.settings.keys.and_then(|keys| keys.rate_limit) {
            moments.extend(self.leased_at_by_key.values().flatten().map(|at| at + limit.per_ms));
        }
        let is_short = |job: &&Job| self.retention_ms(job.state) < TEN_YEARS_MS;
        moments.extend(self.jobs.values().filter(is_short).filter_map(|job| self.forget_time(job)));
        moments.retain(|moment| *moment > now);
        moments
    }
}

fn lease_end(job: &Job) -> Option<Ms> {
    job.deadline
}

fn drop_time(job: &Job) -> Option<Ms> {
    job.expires_at.filter(|_| job.can_expire())
}

fn due_time(job: &Job) -> Option<Ms> {
    job.run_at.filter(|_| job.state == State::Scheduled)
}
