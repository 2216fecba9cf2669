//! The short ways for plain jobs, which nearly all are.

use std::time::Duration;

use redis::Value;

use super::work::{Added, Call, CallResult, Prepared, Settled, Worked};
use super::{Answered, DEQUEUE_PLAIN, ENQUEUE_PLAIN, QueueStore, Versioned, record, versioned};
use crate::db::Reply;
use crate::error::Result;
use crate::queue::line::{Queue, channel};
use crate::queue::outbox::Outbox;
use crate::types::{Raw, WorkerName};

impl QueueStore {
    /// Adds jobs that have no options.
    pub(super) async fn enqueue_plain(
        &self,
        queue: &Queue,
        jobs: &[Prepared],
    ) -> Result<Versioned<Answered<(u64, Vec<Added>)>>> {
        let keys = |name| queue.keys.named(name);
        let mut names = vec![keys("queue"), keys("jobs"), keys("stats"), keys("waiters")];
        let mut places = [0_u64; 10];
        for job in jobs {
            let place = &mut places[usize::from(job.priority.min(9))];
            if *place == 0 {
                names.push(queue.keys.ready(job.priority));
                *place = names.len() as u64;
            }
        }
        let mut call = ENQUEUE_PLAIN
            .keys(&names)
            .arg(self.clock.to_argument())
            .arg(queue.version.text())
            .arg(queue.name.as_str())
            .arg(channel(&self.keyspace));
        for job in jobs {
            call = call
                .number(places[usize::from(job.priority.min(9))])
                .number(job.priority.into())
                .arg(job.id.as_str())
                .number(job.max_attempts.into())
                .arg(&job.tail);
        }
        versioned(call.run(&self.db).await?, |mut reply, replayed| {
            let now = reply.count()?;
            let mut added = Vec::with_capacity(jobs.len());
            for job in jobs {
                let is_new = reply.count()? == 1;
                added.push(if is_new { Added::New { id: job.id.clone(), run_at: 0 } } else { Added::Taken });
            }
            Ok(Answered { answer: (now, added), replayed })
        })
    }

    /// Settles and leases where all that is met is plain; nothing is changed, and nothing given, where it is not.
    pub(super) async fn dequeue_plain(
        &self,
        queue: &Queue,
        callers: &[Call],
    ) -> Result<Option<Versioned<Answered<Worked>>>> {
        const NAMES: [&str; 10] = [
            "queue",
            "jobs",
            "scheduled",
            "leased",
            "completed",
            "expiring",
            "stats",
            "waiters",
            "watchers",
            "workers",
        ];
        let mut names: Vec<&str> = NAMES.iter().map(|name| queue.keys.named(name)).collect();
        names.extend((0..10).rev().map(|priority| queue.keys.ready(priority)));
        names.extend(queue.archive_keys.iter().flatten().map(String::as_str));
        let acks: usize = callers.iter().map(|caller| caller.acks.len()).sum();
        let mut call = DEQUEUE_PLAIN
            .keys(&names)
            .arg(self.clock.to_argument())
            .arg(queue.version.text())
            .arg(queue.name.as_str())
            .arg(channel(&self.keyspace))
            .number(queue.settings.retention_ms)
            .number(acks as u64)
            .number(callers.len() as u64);
        let flag = |holds: bool| if holds { "1" } else { "" };
        let outbox = self.outbox.filter(|_| queue.settings.is_archived());
        call = call
            .arg(outbox.map_or(String::new(), |outbox| outbox.most.to_string()))
            .arg(flag(outbox.is_some_and(Outbox::drops_oldest)));
        for caller in callers {
            for ack in &caller.acks {
                let result = ack.result.as_ref().map_or("", Raw::as_str);
                call = call.arg(ack.id.as_str()).arg(ack.lease.as_str()).arg(result).arg(flag(caller.full));
            }
        }
        for caller in callers {
            call = call
                .number(caller.limit.into())
                .number(caller.lease_ms)
                .arg(caller.worker.as_ref().map_or("", WorkerName::as_str))
                .arg(flag(caller.note))
                .arg(flag(caller.waits))
                .arg(&caller.token);
        }
        let value = call.run(&self.db).await?;
        if matches!(&value, Value::Array(words) if matches!(words.first(), Some(Value::BulkString(word)) if word == b"slow"))
        {
            return Ok(None);
        }
        versioned(value, |mut reply, replayed| {
            let (mut settled, mut jobs, mut counts) = (reply.list()?, reply.list()?, reply.list()?);
            let mut results = Vec::with_capacity(callers.len());
            for caller in callers {
                results.push(read_plain(queue, caller, &mut settled, &mut jobs, counts.count()?)?);
            }
            let worked = Worked { completed: acks as u64, failed: 0, died: 0, results };
            Ok(Answered { answer: worked, replayed })
        })
        .map(Some)
    }
}

fn read_plain(queue: &Queue, caller: &Call, settled: &mut Reply, jobs: &mut Reply, count: u64) -> Result<CallResult> {
    let mut acks = Vec::with_capacity(caller.acks.len());
    for ack in &caller.acks {
        let ran = settled.place()?.map(Duration::from_millis);
        let record = settled.bytes()?;
        let job = if record.is_empty() {
            None
        } else {
            Some(Box::new(record::read(&queue.name, ack.id.clone().into(), &record, false)?))
        };
        acks.push(Settled::Done { job, ran });
    }
    let mut leased = Vec::new();
    for _ in 0..count {
        let id = jobs.text()?;
        leased.push(record::read(&queue.name, id, &jobs.bytes()?, true)?);
    }
    Ok(CallResult { acks, jobs: leased, ..CallResult::default() })
}
