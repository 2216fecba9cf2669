//! What happens to queues by itself: due jobs, leases that run out, retention, ticks; and who is woken.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use tracing::debug;

use super::store::Versioned;
use super::{Queues, State, finished_topic, line, ready_topic};
use crate::db::Subscriber;
use crate::error::{Error, Result};
use crate::task::{Again, Report, Task};
use crate::types::{Limit, QueueName};

/// How many of each thing one look does: under a millisecond of Redis.
const BATCH: u64 = 50;
/// Queues that a run looks at though it does not know of anything due: what other instances have made due there, which
/// may have ended since. So a thousand queues are all seen within 400 ms.
const LOOKS_A_RUN: usize = 250;
/// How often the list of queues is read anew.
const LIST_EVERY: Duration = Duration::from_millis(300);
/// Looks under way at once.
const AT_ONCE: usize = 16;

/// Tends every queue: makes due jobs ready, takes back leases that have run out, cancels what has expired, removes what is
/// too old, runs schedules.
pub struct Tend {
    queues: Queues,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    names: Vec<QueueName>,
    listed_at: Option<Instant>,
    /// Where the round of looks goes on.
    next: usize,
    due: HashMap<QueueName, Instant>,
}

impl Tend {
    /// The task for these queues.
    pub fn new(queues: Queues) -> Self {
        Self { queues, known: Mutex::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the names of all queues, if it is time to.
    async fn list(&self) -> Result<()> {
        if self.known().listed_at.is_some_and(|at| at.elapsed() < LIST_EVERY) {
            return Ok(());
        }
        // Before the list is read: what is counted already and not in it is gone, not new.
        let counted = self.queues.counts.0.queues();
        let mut names: Vec<QueueName> = Vec::new();
        loop {
            let after = names.last().map(QueueName::as_str);
            let (mut page, more) = self.queues.store.names(after, Limit::MOST).await?;
            names.append(&mut page);
            if !more {
                break;
            }
        }
        let mut known = self.known();
        known.due.retain(|name, _| names.binary_search(name).is_ok());
        let is_gone = |name: &&String| names.binary_search_by(|listed| listed.as_str().cmp(name)).is_err();
        for gone in counted.iter().filter(is_gone) {
            self.queues.counts.0.queue_gone(gone, &State::ALL.map(State::name));
        }
        known.names = names;
        known.listed_at = Some(Instant::now());
        Ok(())
    }

    /// The queues to look at now: those where something is due, and some of the others in turn.
    fn to_look_at(&self) -> Vec<QueueName> {
        let now = Instant::now();
        let mut known = self.known();
        let mut names: Vec<QueueName> =
            known.due.iter().filter(|(_, due)| **due <= now).map(|(name, _)| name.clone()).collect();
        let count = known.names.len().min(LOOKS_A_RUN);
        let start = known.next % known.names.len().max(1);
        let in_turn = known
            .names
            .iter()
            .cycle()
            .skip(start)
            .take(count)
            .filter(|name| known.due.get(*name).is_none_or(|due| *due > now));
        names.extend(in_turn.cloned().collect::<Vec<_>>());
        known.next = start + count;
        names
    }

    /// Looks at one queue; tells how much was done, and whether there is more.
    async fn tend(&self, name: &QueueName) -> Result<(u64, bool)> {
        let queue = match self.queues.find(name).await {
            Ok(queue) => queue,
            Err(Error::NoQueue(_)) => return Ok((0, false)),
            Err(error) => return Err(error),
        };
        let tended = match self.queues.store.tend(&queue, BATCH).await? {
            Versioned::Current(tended) => tended,
            Versioned::Stale => {
                self.queues.queues.invalidate(name);
                return Ok((0, true));
            }
        };
        self.queues.counts.tended(name, &tended);
        if let Some(unarchived) = &self.queues.unarchived {
            unarchived.note(name, tended.unarchived);
            self.queues.counts.unarchived(name, &tended);
        }
        let due = tended.due_in_ms.map(|due_in| Instant::now() + Duration::from_millis(due_in));
        match due {
            Some(due) => drop(self.known().due.insert(name.clone(), due)),
            None => drop(self.known().due.remove(name)),
        }
        let now = i64::try_from(tended.now).unwrap_or(i64::MAX);
        let mut done = tended.failed + tended.cancelled + tended.removed.iter().sum::<u64>();
        for (schedule, due, stored) in &tended.ticks {
            match self.queues.tick(&queue, schedule, *due, stored, now).await {
                Ok(made) => done += u64::from(made),
                // One schedule must not keep the others waiting; it is tried again at the next look.
                Err(error) => {
                    debug!(queue.name = %name, schedule.name = schedule, "a tick of `{schedule}` failed: {error}");
                }
            }
        }
        if tended.sending > 0 {
            done += self.queues.finish_sending(&queue, tended.now).await?;
        }
        let more = tended.due_in_ms == Some(0) || tended.removed.iter().any(|removed| *removed >= BATCH);
        Ok((done, more))
    }
}

impl Task for Tend {
    const NAME: &'static str = "queue.tend";
    const EVERY: Duration = Duration::from_millis(100);

    async fn run_once(&self) -> Result<Report> {
        self.list().await?;
        let names = self.to_look_at();
        let looks = stream::iter(&names).map(|name| self.tend(name)).buffer_unordered(AT_ONCE);
        let results: Vec<Result<(u64, bool)>> = looks.collect().await;
        let (mut done, mut more, mut failure, mut succeeded) = (0, false, None, names.is_empty());
        for result in results {
            match result {
                Ok((did, again)) => (done, more, succeeded) = (done + did, more | again, true),
                // One queue must not keep the others waiting.
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if !succeeded => Err(error),
            Some(_) | None => Ok(Report { done, again: if more { Again::Now } else { Again::AfterTick } }),
        }
    }
}

/// Wakes a waiter of each line now and then, in case a message was lost.
pub struct WakeWaiters(Queues);

impl WakeWaiters {
    /// The task for these queues.
    pub fn new(queues: Queues) -> Self {
        Self(queues)
    }
}

impl Task for WakeWaiters {
    const NAME: &'static str = "queue.wake_waiters";
    const EVERY: Duration = Duration::from_secs(1);

    async fn run_once(&self) -> Result<Report> {
        self.0.wake_one_each();
        Ok(Report { done: 0, again: Again::AfterTick })
    }
}

impl Queues {
    /// Wakes one waiter for each thing that is waited for.
    fn wake_one_each(&self) {
        for topic in self.waiters.topics() {
            self.waiters.wake(&topic, 1);
        }
    }

    /// Hands on what scripts tell: `ready COUNT QUEUE` and `finished QUEUE ID`.
    fn hear(&self, message: &str) {
        let mut words = message.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("ready"), Some(count), Some(queue)) => {
                self.waiters.wake(&ready_topic(queue), count.parse().unwrap_or(1));
            }
            (Some("finished"), Some(queue), Some(id)) => self.waiters.wake_all(&finished_topic(queue, id)),
            _ => {}
        }
    }
}

/// The one subscription of an instance, which wakes its waiters.
pub struct ListenForWakes {
    queues: Queues,
    subscriber: Subscriber,
}

impl ListenForWakes {
    /// Listens for these queues.
    pub fn new(queues: Queues, db: &crate::db::Db) -> Self {
        let subscriber = db.subscriber(&line::channel(queues.store.keyspace()));
        Self { queues, subscriber }
    }

    /// Listens for ever. Others who wait hear every message, and when the subscription begins to stand.
    pub async fn run(&self, others_hear: impl Fn(&str), others_look: impl Fn()) -> Infallible {
        let on_message = |message: &str| {
            self.queues.hear(message);
            others_hear(message);
        };
        // What was told while nobody listened is looked for.
        let on_connected = || {
            self.queues.wake_one_each();
            others_look();
        };
        self.subscriber.run(on_message, on_connected).await
    }
}
