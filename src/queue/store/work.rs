//! Jobs on their way: in, leased, settled.

use std::time::Duration;

use super::{
    Answered, CANCEL, DEQUEUE, ENQUEUE, EXTEND, NACK, Once, QueueStore, RELEASE, RETRY_JOB, Versioned, record,
    versioned,
};
use crate::db::{Effect, Reply};
use crate::error::{Error, Result};
use crate::queue::dequeue::LeaseGuard;
use crate::queue::job::{Ack, Job};
use crate::queue::line::{Keys, Queue};
use crate::types::{JobId, LeaseToken, QueueName, Raw, WorkerName};

/// How long it stays known that somebody waits for something of a queue, longer than anyone waits.
const WATCH_MS: u64 = 35_000;

/// How long a worker counts as seen.
const SEEN_MS: i64 = 60_000;

/// A new job as the script takes it.
pub(in crate::queue) struct Prepared {
    pub(in crate::queue) id: JobId,
    pub(in crate::queue) priority: u8,
    pub(in crate::queue) max_attempts: u32,
    pub(in crate::queue) tail: Vec<u8>,
    pub(in crate::queue) options: Vec<u8>,
}

/// What became of a new job.
pub(in crate::queue) enum Added {
    New {
        id: JobId,
        run_at: u64,
    },
    Duplicate(Box<Job>),
    /// The id that the service made is another job's.
    Taken,
    /// The time that it is to run at is too far off.
    Late,
}

/// One caller of a dequeue.
#[derive(Debug, Clone, Default)]
pub(in crate::queue) struct Call {
    pub(in crate::queue) limit: u32,
    pub(in crate::queue) lease_ms: u64,
    pub(in crate::queue) worker: Option<WorkerName>,
    /// Whether the worker is to be noted as seen.
    pub(in crate::queue) note: bool,
    /// Whether the caller is about to wait.
    pub(in crate::queue) waits: bool,
    pub(in crate::queue) token: String,
    pub(in crate::queue) acks: Vec<Ack>,
    /// Whether the acked jobs are wanted.
    pub(in crate::queue) full: bool,
}

/// How a lease was settled.
pub(in crate::queue) enum Settled {
    Done { job: Option<Box<Job>>, ran: Option<Duration> },
    Missing,
    Lost,
}

/// What a caller of a dequeue gets.
#[derive(Default)]
pub(in crate::queue) struct CallResult {
    /// Gives the leases back where nobody takes them.
    pub(in crate::queue) guard: LeaseGuard,
    pub(in crate::queue) acks: Vec<Settled>,
    pub(in crate::queue) jobs: Vec<Job>,
    /// After how many milliseconds a limit of the queue has room again.
    pub(in crate::queue) room_in_ms: Option<u64>,
}

/// What a dequeue did.
pub(in crate::queue) struct Worked {
    pub(in crate::queue) completed: u64,
    pub(in crate::queue) failed: u64,
    pub(in crate::queue) died: u64,
    pub(in crate::queue) results: Vec<CallResult>,
}

impl QueueStore {
    /// Adds jobs; gives the time, and what became of each.
    pub(in crate::queue) async fn enqueue(
        &self,
        queue: &Queue,
        jobs: &[Prepared],
        once: Option<&Once>,
    ) -> Result<Versioned<Answered<(u64, Vec<Added>)>>> {
        if once.is_none() && jobs.iter().all(|job| job.options.is_empty()) {
            return self.enqueue_plain(queue, jobs).await;
        }
        let mut call = self.call(&ENQUEUE, queue, once);
        for job in jobs {
            call = call
                .arg(job.id.as_str())
                .number(job.priority.into())
                .number(job.max_attempts.into())
                .arg(&job.tail)
                .arg(&job.options);
        }
        versioned(call.run(&self.db).await?, |mut reply, replayed| {
            let now = reply.count()?;
            let mut added = Vec::with_capacity(jobs.len());
            while !reply.is_empty() {
                added.push(read_added(&queue.name, reply.list()?)?);
            }
            Ok(Answered { answer: (now, added), replayed })
        })
    }

    /// Settles leases and leases jobs for several callers.
    pub(in crate::queue) async fn dequeue(
        &self,
        queue: &Queue,
        callers: &[Call],
        once: Option<&Once>,
    ) -> Result<Versioned<Answered<Worked>>> {
        if once.is_none()
            && queue.is_plain()
            && let Some(answer) = self.dequeue_plain(queue, callers).await?
        {
            return Ok(answer);
        }
        let mut call = self.call(&DEQUEUE, queue, once);
        for caller in callers {
            let flag = |holds: bool| if holds { "1" } else { "" };
            call = call
                .number(caller.limit.into())
                .number(caller.lease_ms)
                .arg(caller.worker.as_ref().map_or("", WorkerName::as_str))
                .arg(flag(caller.note))
                .arg(flag(caller.waits))
                .arg(&caller.token)
                .number(caller.acks.len() as u64)
                .arg(flag(caller.full));
            for ack in &caller.acks {
                let result = ack.result.as_ref().map_or("", Raw::as_str);
                call = call.arg(ack.id.as_str()).arg(ack.lease.as_str()).arg(result);
            }
        }
        versioned(call.run(&self.db).await?, |mut reply, replayed| {
            let _now = reply.count()?;
            let (completed, failed, died) = (reply.count()?, reply.count()?, reply.count()?);
            let mut results = Vec::with_capacity(callers.len());
            while !reply.is_empty() {
                let acks = callers.get(results.len()).map_or(&[][..], |caller| caller.acks.as_slice());
                results.push(read_result(&queue.name, acks, reply.list()?)?);
            }
            Ok(Answered { answer: Worked { completed, failed, died, results }, replayed })
        })
    }

    /// Whether a request with this key has had an answer of this queue.
    pub(in crate::queue) async fn has_answered(&self, queue: &Queue, once: &Once) -> Result<bool> {
        let mut command = redis::cmd("EXISTS");
        command.arg(queue.idempotency_key(self.keyspace(), &once.key));
        Ok(matches!(self.db.run(&command, "has_answered", Effect::Read).await?, redis::Value::Int(1)))
    }

    /// Gives leases back that nobody has got.
    pub(in crate::queue) async fn release(&self, queue: &Queue, leases: &[(JobId, LeaseToken)]) -> Result<u64> {
        let mut call = self.call(&RELEASE, queue, None);
        for (id, lease) in leases {
            call = call.arg(id.as_str()).arg(lease.as_str());
        }
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        reply.text()?;
        reply.count()
    }

    /// Fails an attempt; with a delay it is tried again, without it is dead. Tells whether the job has died.
    pub(in crate::queue) async fn nack(
        &self,
        queue: &Queue,
        id: &JobId,
        lease: &LeaseToken,
        delay_ms: Option<u64>,
        error: &str,
        once: Option<&Once>,
    ) -> Result<Versioned<Answered<(Settled, bool)>>> {
        let delay = delay_ms.map_or(String::new(), |delay| delay.to_string());
        let call = self.call(&NACK, queue, once).arg(id.as_str()).arg(lease.as_str()).arg(delay).arg(error);
        versioned(call.run(&self.db).await?, |mut reply, replayed| {
            let settled = read_settled(&queue.name, id, &mut reply)?;
            Ok(Answered { answer: (settled, reply.count()? == 1), replayed })
        })
    }

    /// Moves a deadline: gives it in milliseconds since 1970, and whether the job was cancelled.
    pub(in crate::queue) async fn extend(
        &self,
        queue: &Queue,
        id: &JobId,
        lease: &LeaseToken,
        lease_ms: u64,
        progress: Option<&Raw>,
        once: Option<&Once>,
    ) -> Result<Versioned<Answered<(u64, bool)>>> {
        let call = self.call(&EXTEND, queue, once).arg(id.as_str()).arg(lease.as_str()).number(lease_ms);
        let call = call.arg(progress.map_or("", Raw::as_str));
        versioned(call.run(&self.db).await?, |mut reply, replayed| {
            match reply.count()? {
                200 => {}
                404 => return Err(Error::NoJob { queue: queue.name.clone(), job: id.clone() }),
                _ => return Err(Error::LeaseLost(id.clone())),
            }
            Ok(Answered { answer: (reply.count()?, reply.count()? == 1), replayed })
        })
    }

    /// Cancels a job.
    pub(in crate::queue) async fn cancel(&self, queue: &Queue, id: &JobId) -> Result<Versioned<()>> {
        let value = self.call(&CANCEL, queue, None).arg(id.as_str()).run(&self.db).await?;
        versioned(value, |mut reply, _| match reply.count()? {
            200 => Ok(()),
            404 => Err(Error::NoJob { queue: queue.name.clone(), job: id.clone() }),
            _ => Err(Error::Conflict(format!("job `{id}` is completed or being moved, and cannot be cancelled"))),
        })
    }

    /// Makes a job ready.
    pub(in crate::queue) async fn retry(
        &self,
        queue: &Queue,
        id: &JobId,
        once: Option<&Once>,
    ) -> Result<Versioned<Answered<Box<Job>>>> {
        let value = self.call(&RETRY_JOB, queue, once).arg(id.as_str()).run(&self.db).await?;
        versioned(value, |mut reply, replayed| match read_settled(&queue.name, id, &mut reply)? {
            Settled::Done { job: Some(answer), .. } => Ok(Answered { answer, replayed }),
            Settled::Missing => Err(Error::NoJob { queue: queue.name.clone(), job: id.clone() }),
            Settled::Done { job: None, .. } | Settled::Lost => Err(Error::Conflict(format!(
                "job `{id}` cannot be retried: it is not dead or scheduled, its unique key is taken, or it is being moved"
            ))),
        })
    }

    /// A job as it stands.
    pub(in crate::queue) async fn job(&self, queue: &QueueName, id: &JobId) -> Result<Option<Job>> {
        let mut command = redis::cmd("HGET");
        command.arg(Keys::of(&self.keyspace, queue).named("jobs")).arg(id.as_str());
        match self.db.run(&command, "job", Effect::Read).await? {
            redis::Value::BulkString(bytes) => record::read(queue, id.clone().into(), &bytes, false).map(Some),
            _ => Ok(None),
        }
    }

    /// Notes a worker that asks for jobs of a queue that does not exist yet.
    pub(in crate::queue) async fn note_worker(&self, queue: &QueueName, worker: &WorkerName) -> Result<()> {
        let now = self.now().await?;
        let key = self.keyspace().global("workers");
        let mut old = redis::cmd("ZREMRANGEBYSCORE");
        old.arg(&key).arg("-inf").arg(now - SEEN_MS);
        self.db.run(&old, "note_worker", Effect::Free).await?;
        let mut command = redis::cmd("ZADD");
        command.arg(&key).arg(now).arg(format!("{queue}\n{worker}"));
        self.db.run(&command, "note_worker", Effect::Store).await.map(drop)
    }

    /// The workers that have asked for jobs of queues that did not exist, in the last minute: queue, worker, when.
    pub(in crate::queue) async fn early_workers(&self) -> Result<Vec<(String, String, u64)>> {
        let from = self.now().await? - SEEN_MS;
        let mut command = redis::cmd("ZRANGEBYSCORE");
        command.arg(self.keyspace().global("workers")).arg(format!("({from}")).arg("+inf").arg("WITHSCORES");
        let mut reply = Reply::of(self.db.run(&command, "early_workers", Effect::Read).await?)?;
        let mut found = Vec::new();
        while !reply.is_empty() {
            let (both, seen) = (reply.text()?, reply.count()?);
            if let Some((queue, worker)) = both.split_once('\n') {
                found.push((queue.to_owned(), worker.to_owned(), seen));
            }
        }
        Ok(found)
    }

    /// Makes known that somebody waits for jobs (`waiters`) or for their end (`watchers`).
    pub(in crate::queue) async fn watch(&self, queue: &QueueName, key: &str) -> Result<()> {
        let mut command = redis::cmd("SET");
        command.arg(Keys::of(&self.keyspace, queue).named(key)).arg(1).arg("PX").arg(WATCH_MS);
        self.db.run(&command, "watch", Effect::Free).await.map(drop)
    }
}

fn read_added(queue: &QueueName, mut reply: Reply) -> Result<Added> {
    let word = reply.text()?;
    if word == "added" {
        let run_at = reply.count()?;
        let id = JobId::try_from(reply.text()?).map_err(Error::Internal)?;
        return Ok(Added::New { id, run_at });
    }
    if word == "late" {
        return Ok(Added::Late);
    }
    let id = reply.text()?;
    if id.is_empty() {
        return Ok(Added::Taken);
    }
    let mut job = record::read(queue, id, &reply.bytes()?, false)?;
    job.duplicate = true;
    Ok(Added::Duplicate(Box::new(job)))
}

fn read_settled(queue: &QueueName, id: &JobId, reply: &mut Reply) -> Result<Settled> {
    let status = reply.count()?;
    let record = reply.bytes()?;
    Ok(match status {
        200 if record.is_empty() => Settled::Done { job: None, ran: None },
        200 => {
            let job = record::read(queue, id.clone().into(), &record, false)?;
            Settled::Done { job: Some(Box::new(job)), ran: None }
        }
        404 => Settled::Missing,
        _ => Settled::Lost,
    })
}

fn read_result(queue: &QueueName, acks: &[Ack], mut reply: Reply) -> Result<CallResult> {
    let mut settled = Vec::with_capacity(acks.len());
    let mut list = reply.list()?;
    for ack in acks {
        let mut one = list.list()?;
        let mut how = read_settled(queue, &ack.id, &mut one)?;
        if let Settled::Done { ran, .. } = &mut how {
            *ran = one.place()?.map(Duration::from_millis);
        }
        settled.push(how);
    }
    let mut list = reply.list()?;
    let mut jobs = Vec::new();
    while !list.is_empty() {
        let id = list.text()?;
        jobs.push(record::read(queue, id, &list.bytes()?, true)?);
    }
    Ok(CallResult { acks: settled, jobs, room_in_ms: reply.place()?, ..CallResult::default() })
}
