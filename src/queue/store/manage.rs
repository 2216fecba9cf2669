//! Queues as a whole: settings, lists, figures, what is due.

use super::{
    ACTIVE, Answered, Head, LIST, LIST_READY, Once, PAUSE, PROGRESS, PURGE, PUT, QueueStore, RECEIVE, REDRIVE, SEND,
    SENT, TEND, UNPARK, Versioned, head, record, versioned,
};
use crate::db::Reply;
use crate::error::{Error, Result};
use crate::queue::job::{Job, State};
use crate::queue::line::{Keys, Queue};
use crate::queue::reads::{ListPlace, ReadyPlace, ScorePlace};
use crate::types::QueueName;

/// What scripts call the place of what is ready.
const READY: u64 = 21;

/// How a queue stands.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Jobs by state, in the order of [`Figures::STATES`].
    pub counts: [u64; 6],
    /// How long the oldest ready job has been ready, in milliseconds.
    pub oldest_ready_ms: Option<u64>,
    /// Whether it is paused.
    pub paused: bool,
    /// Jobs enqueued, completed, and attempts failed in the last minute.
    pub per_minute: [u64; 3],
}

impl Figures {
    /// The order of the counts.
    pub const STATES: [State; 6] =
        [State::Ready, State::Scheduled, State::Active, State::Completed, State::Dead, State::Cancelled];

    /// How many jobs are in a state.
    pub fn count(&self, state: State) -> u64 {
        Self::STATES.iter().zip(self.counts).find(|(known, _)| **known == state).map_or(0, |(_, count)| count)
    }

    pub(super) fn read(reply: &mut Reply, now: u64) -> Result<Self> {
        let mut counts = [0; 6];
        for count in &mut counts {
            *count = reply.count()?;
        }
        let oldest_ready_ms = reply.place()?.map(|since| now.saturating_sub(since));
        Ok(Self { counts, oldest_ready_ms, paused: false, per_minute: [0; 3] })
    }
}

/// What a deletion of jobs did.
pub(in crate::queue) struct Purged {
    pub(in crate::queue) deleted: u64,
    pub(in crate::queue) more: bool,
}

/// What tending a queue did, and how it stands.
pub(in crate::queue) struct Tended {
    pub(in crate::queue) now: u64,
    pub(in crate::queue) failed: u64,
    pub(in crate::queue) died: u64,
    pub(in crate::queue) cancelled: u64,
    /// For completed, cancelled and dead jobs: how many were too old, and how many too many.
    pub(in crate::queue) removed: [u64; 6],
    pub(in crate::queue) figures: Figures,
    pub(in crate::queue) due_in_ms: Option<u64>,
    /// How many jobs are on their way to other queues.
    pub(in crate::queue) sending: u64,
    /// How many finished jobs are not archived yet, where there is an archive.
    pub(in crate::queue) unarchived: u64,
    /// How long ago the oldest of them finished, in milliseconds.
    pub(in crate::queue) unarchived_ms: Option<u64>,
    /// Schedules whose tick is due: name, tick, stored definition.
    pub(in crate::queue) ticks: Vec<(String, i64, Vec<u8>)>,
}

/// A page of leases of a queue: who works on it.
pub(in crate::queue) struct Active {
    pub(in crate::queue) leases: u64,
    pub(in crate::queue) seen: Vec<(String, u64)>,
    pub(in crate::queue) workers: Vec<String>,
}

impl QueueStore {
    /// Stores settings over those of `old`; gives when the queue was created.
    pub(in crate::queue) async fn put(&self, old: Option<&Queue>, new: &Queue) -> Result<Versioned<u64>> {
        let settings = serde_json::to_string(&new.settings)
            .map_err(|error| Error::Internal(format!("settings have no JSON: {error}")))?;
        let call = PUT
            .keys(new.keys.all())
            .arg(self.clock.to_argument())
            .arg(old.map_or(String::new(), |old| old.version.text()))
            .arg(&new.policy)
            .arg("")
            .arg(new.version.text())
            .arg(settings)
            .arg(if new.settings.paused { "1" } else { "0" });
        versioned(call.run(&self.db).await?, |mut reply, _| reply.count())
    }

    /// Lets keys whose turns are held back look again; a step of a scan that begins and ends at `0`.
    pub(in crate::queue) async fn unpark(&self, name: &QueueName, cursor: &str) -> Result<String> {
        let mut reply = Reply::of(self.plain_call(&UNPARK, name).arg(cursor).run(&self.db).await?)?;
        reply.text()?;
        reply.text()
    }

    /// Pauses or resumes a queue; tells whether the answer is the first one again.
    pub(in crate::queue) async fn pause(&self, queue: &Queue, paused: bool, once: Option<&Once>) -> Result<bool> {
        let call = self.call(&PAUSE, queue, once).arg(if paused { "1" } else { "0" });
        match head(call.run(&self.db).await?)? {
            Head::Rest { replayed, .. } => Ok(replayed),
            Head::Stale | Head::Missing => Err(Error::NoQueue(queue.name.clone())),
        }
    }

    /// Does up to `most` of each thing that is due.
    pub(in crate::queue) async fn tend(&self, queue: &Queue, most: u64) -> Result<Versioned<Tended>> {
        let count = |count: Option<u64>| count.map_or(String::new(), |count| count.to_string());
        let call = self
            .call(&TEND, queue, None)
            .arg(count(queue.settings.retention_count))
            .arg(count(queue.settings.dead_retention_count))
            .number(most);
        versioned(call.run(&self.db).await?, |mut reply, _| {
            let now = reply.count()?;
            let (failed, died, cancelled) = (reply.count()?, reply.count()?, reply.count()?);
            let mut removed = [0; 6];
            let mut list = reply.list()?;
            for count in &mut removed {
                *count = list.count()?;
            }
            let figures = Figures::read(&mut reply.list()?, now)?;
            let due_in_ms = reply.place()?;
            let mut ticks = Vec::new();
            let mut list = reply.list()?;
            while !list.is_empty() {
                ticks.push((list.text()?, list.integer()?, list.bytes()?));
            }
            Ok(Tended {
                now,
                failed,
                died,
                cancelled,
                removed,
                figures,
                due_in_ms,
                ticks,
                sending: reply.count()?,
                unarchived: reply.count()?,
                unarchived_ms: reply.place()?,
            })
        })
    }

    /// Deletes up to `most` jobs of a state that has no leases.
    pub(in crate::queue) async fn purge(&self, queue: &Queue, state: State, most: u64) -> Result<Versioned<Purged>> {
        let place = match state {
            State::Ready => READY,
            State::Active => return Err(Error::Internal("leased jobs cannot be purged".to_owned())),
            State::Scheduled | State::Completed | State::Dead | State::Cancelled => Keys::place(state.name()),
        };
        let value = self.call(&PURGE, queue, None).number(place).number(most).run(&self.db).await?;
        versioned(value, |mut reply, _| Ok(Purged { deleted: reply.count()?, more: reply.count()? == 1 }))
    }

    /// Makes up to `most` dead jobs ready; gives how many, and how many had to stay.
    pub(in crate::queue) async fn redrive(
        &self,
        queue: &Queue,
        (most, pass): (u64, u64),
        once: Option<&Once>,
    ) -> Result<Versioned<(u64, u64)>> {
        let value = self.call(&REDRIVE, queue, once).number(most).number(pass).run(&self.db).await?;
        versioned(value, |mut reply, _| Ok((reply.count()?, reply.count()?)))
    }

    /// Marks up to `most` dead jobs as on their way to `target`; gives their records.
    pub(in crate::queue) async fn send(
        &self,
        queue: &Queue,
        target: &QueueName,
        most: u64,
        pass: u64,
    ) -> Result<Versioned<Vec<(String, Vec<u8>)>>> {
        let call = self.call(&SEND, queue, None).arg(target.as_str()).number(most).number(pass);
        versioned(call.run(&self.db).await?, |mut reply, _| {
            let mut records = Vec::new();
            while !reply.is_empty() {
                records.push((reply.text()?, reply.bytes()?));
            }
            Ok(records)
        })
    }

    /// Takes jobs of another queue in; tells for each whether it is here now.
    pub(in crate::queue) async fn receive(
        &self,
        queue: &Queue,
        records: &[(String, Vec<u8>)],
    ) -> Result<Versioned<Vec<bool>>> {
        let mut call = self.call(&RECEIVE, queue, None);
        for (id, record) in records {
            call = call.arg(id).arg(record);
        }
        versioned(call.run(&self.db).await?, |mut reply, _| {
            let mut here = Vec::new();
            while !reply.is_empty() {
                here.push(reply.count()? == 1);
            }
            Ok(here)
        })
    }

    /// Ends the way of jobs to `target`; gives how many have left.
    pub(in crate::queue) async fn sent(
        &self,
        queue: &Queue,
        target: &str,
        arrived: &[(String, bool)],
        once: Option<&Once>,
    ) -> Result<u64> {
        let mut call = self.call(&SENT, queue, once).arg(target);
        for (id, here) in arrived {
            call = call.arg(id).arg(if *here { "1" } else { "0" });
        }
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        reply.text()?;
        reply.count()
    }

    /// Begins a redrive that counts once, or ends it: how many have moved and stayed so far, and whether it had ended before.
    pub(in crate::queue) async fn progress(&self, queue: &Queue, once: &Once, ends: bool) -> Result<(u64, u64, bool)> {
        let call = self.call(&PROGRESS, queue, Some(once)).arg(if ends { "1" } else { "" });
        match head(call.run(&self.db).await?)? {
            Head::Rest { mut reply, .. } => Ok((reply.count()?, reply.count()?, reply.count()? == 1)),
            Head::Stale | Head::Missing => Err(Error::NoQueue(queue.name.clone())),
        }
    }

    /// The record of a job as it is kept.
    pub(in crate::queue) async fn raw_job(&self, name: &QueueName, id: &str) -> Result<Option<Vec<u8>>> {
        let mut command = redis::cmd("HGET");
        command.arg(Keys::of(self.keyspace(), name).named("jobs")).arg(id);
        match self.db.run(&command, "job", crate::db::Effect::Read).await? {
            redis::Value::BulkString(bytes) => Ok(Some(bytes)),
            _ => Ok(None),
        }
    }

    /// Jobs that are on their way to other queues, a page of them: id, target, and since when.
    pub(in crate::queue) async fn outbox(&self, name: &QueueName) -> Result<Vec<(String, String, u64)>> {
        let mut command = redis::cmd("HSCAN");
        let keys = Keys::of(self.keyspace(), name);
        command.arg(keys.named("outbox")).arg(0).arg("COUNT").arg(100);
        let mut reply = Reply::of(self.db.run(&command, "outbox", crate::db::Effect::Read).await?)?;
        reply.text()?;
        let mut list = reply.list()?;
        let mut found = Vec::new();
        while !list.is_empty() {
            let (id, way) = (list.text()?, list.text()?);
            let (target, since) = way.split_once(' ').unwrap_or((&way, "0"));
            found.push((id, target.to_owned(), since.parse().unwrap_or(0)));
        }
        Ok(found)
    }

    /// Some jobs of a state other than ready, after a place, and whether there may be more.
    pub(in crate::queue) async fn list(
        &self,
        name: &QueueName,
        state: State,
        after: Option<&ScorePlace>,
        most: u64,
    ) -> Result<(Vec<(ScorePlace, Job)>, bool)> {
        let set = if state == State::Active { "leased" } else { state.name() };
        let (score, id) = after.map_or(("", ""), |place| (&place.score, &place.id));
        let call = self.plain_call(&LIST, name).number(Keys::place(set)).number(most).arg(score).arg(id);
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        reply.text()?;
        let more = reply.count()? == 1;
        let mut jobs = Vec::new();
        while !reply.is_empty() {
            let (id, score, record) = (reply.text()?, reply.text()?, reply.bytes()?);
            let job = record::read(name, id.clone(), &record, false)?;
            jobs.push((ScorePlace { score, id }, job));
        }
        Ok((jobs, more))
    }

    /// Ready jobs after a place, and the place to go on at.
    pub(in crate::queue) async fn list_ready(
        &self,
        name: &QueueName,
        at: &ReadyPlace,
        most: u64,
    ) -> Result<(Vec<Job>, ListPlace)> {
        let call = self
            .plain_call(&LIST_READY, name)
            .number(most)
            .arg(at.priority.to_string())
            .arg(at.rest.map_or(String::new(), |rest| rest.to_string()))
            .arg(&at.line);
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        reply.text()?;
        let (priority, rest, line) = (reply.integer()?, reply.text()?, reply.text()?);
        let mut jobs = Vec::new();
        let mut list = reply.list()?;
        while !list.is_empty() {
            jobs.push(record::read(name, list.text()?, &list.bytes()?, false)?);
        }
        let place = match priority {
            -2 => ListPlace::End,
            _ => ListPlace::Ready(ReadyPlace { priority, rest: rest.parse().ok(), line }),
        };
        Ok((jobs, place))
    }

    /// Who works on a queue, by a page of its leases.
    pub(in crate::queue) async fn active(&self, name: &QueueName, from: u64, most: u64) -> Result<Active> {
        let call = self.plain_call(&ACTIVE, name).number(from).number(most);
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        reply.text()?;
        let leases = reply.count()?;
        let (mut seen, mut workers) = (Vec::new(), Vec::new());
        let mut list = reply.list()?;
        while !list.is_empty() {
            seen.push((list.text()?, list.count()?));
        }
        let mut list = reply.list()?;
        while !list.is_empty() {
            workers.push(list.text()?);
        }
        Ok(Active { leases, seen, workers })
    }
}

impl<T> Answered<T> {
    /// The answer with another form.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answered<U> {
        Answered { answer: change(self.answer), replayed: self.replayed }
    }
}
