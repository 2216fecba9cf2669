//! Schedules of a queue.

use super::{
    DELETE_SCHEDULE, Head, PUT_SCHEDULE, Prepared, QueueStore, SCHEDULES, TICK, Versioned, head, record, versioned,
};
use crate::db::{Effect, Reply};
use crate::error::{Error, Result};
use crate::queue::line::Queue;
use crate::types::{Clock, QueueName, ScheduleName, Timestamp};

/// A schedule as it is stored.
pub(in crate::queue) struct StoredSchedule {
    pub(in crate::queue) name: String,
    pub(in crate::queue) next_run_at: Option<Timestamp>,
    /// What was put, as JSON.
    pub(in crate::queue) definition: String,
    pub(in crate::queue) created_at: Timestamp,
}

/// What storing a schedule did.
pub(in crate::queue) struct PutSchedule {
    pub(in crate::queue) created: bool,
    pub(in crate::queue) next_run_at: Timestamp,
    pub(in crate::queue) created_at: Timestamp,
}

/// The tick of a schedule that is to be run.
pub(in crate::queue) struct Tick<'a> {
    pub(in crate::queue) schedule: &'a str,
    /// The definition as it was read; under another one nothing is run.
    pub(in crate::queue) stored: &'a [u8],
    pub(in crate::queue) due: i64,
    pub(in crate::queue) run: i64,
    pub(in crate::queue) next: Option<i64>,
}

impl QueueStore {
    /// Milliseconds since 1970, as scripts see them.
    pub(in crate::queue) async fn now(&self) -> Result<i64> {
        if let Clock::Fixed(millis) = &self.clock {
            return Ok(millis.load(std::sync::atomic::Ordering::SeqCst));
        }
        let mut reply = Reply::of(self.db.run(&redis::cmd("TIME"), "time", Effect::Read).await?)?;
        Ok(reply.integer()? * 1000 + reply.integer()? / 1000)
    }

    /// Stores a schedule; nothing where the queue has as many as it may.
    pub(in crate::queue) async fn put_schedule(
        &self,
        queue: &Queue,
        schedule: &ScheduleName,
        (timing, definition): (&str, &str),
        next: i64,
        most: u64,
    ) -> Result<Versioned<Option<PutSchedule>>> {
        let call = self.call(&PUT_SCHEDULE, queue, None).arg(schedule.as_str()).arg(timing).arg(definition);
        let value = call.arg(next.to_string()).number(most).run(&self.db).await?;
        if let redis::Value::Array(words) = &value
            && matches!(words.first(), Some(redis::Value::BulkString(word)) if word == b"full")
        {
            return Ok(Versioned::Current(None));
        }
        versioned(value, |mut reply, _| {
            let created = reply.count()? == 1;
            let next_run_at = Timestamp::from_millis(reply.integer()?);
            let created_at = Timestamp::from_millis(reply.integer()?);
            Ok(Some(PutSchedule { created, next_run_at, created_at }))
        })
    }

    /// Deletes a schedule; tells whether it was there.
    pub(in crate::queue) async fn delete_schedule(&self, queue: &QueueName, schedule: &ScheduleName) -> Result<bool> {
        let call = self.plain_call(&DELETE_SCHEDULE, queue).arg(schedule.as_str());
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        reply.text()?;
        Ok(reply.count()? == 1)
    }

    /// Schedules by name, after one or only one, and whether there are more.
    pub(in crate::queue) async fn schedules(
        &self,
        queue: &QueueName,
        after: Option<&str>,
        most: u64,
        only: Option<&ScheduleName>,
    ) -> Result<(Vec<StoredSchedule>, bool)> {
        let call = self
            .plain_call(&SCHEDULES, queue)
            .arg(after.unwrap_or_default())
            .number(most)
            .arg(only.map_or("", ScheduleName::as_str));
        let mut reply = match head(call.run(&self.db).await?)? {
            Head::Rest { reply, .. } => reply,
            Head::Missing | Head::Stale => return Err(Error::NoQueue(queue.clone())),
        };
        let more = reply.count()? == 1;
        let mut found = Vec::new();
        while !reply.is_empty() {
            let name = reply.text()?;
            let next = reply.integer()?;
            let (definition, created_at) = definition(&reply.bytes()?)?;
            let next_run_at = (next >= 0).then(|| Timestamp::from_millis(next));
            found.push(StoredSchedule { name, next_run_at, definition, created_at });
        }
        Ok((found, more))
    }

    /// Runs a tick unless somebody else has; tells whether this call made the job.
    pub(in crate::queue) async fn tick(
        &self,
        queue: &Queue,
        tick: &Tick<'_>,
        job: &Prepared,
    ) -> Result<Versioned<bool>> {
        let call = self
            .call(&TICK, queue, None)
            .arg(tick.schedule)
            .arg(tick.stored)
            .arg(tick.due.to_string())
            .arg(tick.run.to_string())
            .arg(tick.next.map_or(String::new(), |next| next.to_string()))
            .number(job.priority.into())
            .number(job.max_attempts.into())
            .arg(&job.tail)
            .arg(&job.options)
            .arg(job.id.as_str());
        versioned(call.run(&self.db).await?, |mut reply, _| Ok(reply.count()? == 1))
    }
}

/// The definition and the time of creation of what is stored for a schedule.
pub(in crate::queue) fn definition(stored: &[u8]) -> Result<(String, Timestamp)> {
    record::read_schedule(stored)
}
