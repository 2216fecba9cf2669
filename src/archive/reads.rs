//! Reading through Redis: what was read lately is kept in Redis for a while, so that the database is asked once for many readers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::debug;

use super::Parts;
use super::sink::read_job;
use super::store::{Aside, Look, READ_LASTS};
use crate::error::Result;
use crate::queue::{News, Outgoing, Withdrawn};
use crate::types::{JobId, QueueName, Raw};

/// How long it is kept that there is nothing, at most.
const NOTHING_LASTS: Duration = Duration::from_secs(5);
/// How much longer or shorter something is kept, so that what was read together does not go together.
const JITTER: f64 = 0.1;
/// What is larger is not worth the memory.
const MOST_BYTES: usize = 64 * 1024;
/// Jobs that one command forgets: it holds up all others.
const FORGOTTEN_AT_ONCE: usize = 500;
/// How often who waits for another reader looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A job from the archive.
#[derive(Debug)]
pub struct Archived {
    /// The job, as JSON.
    pub job: Raw,
    /// Where it was found.
    pub source: Source,
}

/// Where an archived job was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In Redis, as it was read lately.
    Cache,
    /// In the database.
    Database,
}

impl Source {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Database => "database",
        }
    }
}

/// What a read of the database found, as a text.
pub(super) struct Reading {
    pub(super) text: String,
    /// Whether it may be kept as long as anything; for a short time otherwise.
    pub(super) is_there: bool,
}

impl Parts {
    pub(super) async fn job(&self, queue: &QueueName, id: &JobId) -> Result<Option<Archived>> {
        let read = async || {
            let job = self.sink.job(queue, id).await?;
            Ok(Reading { is_there: job.is_some(), text: job.map(|job| job.as_str().to_owned()).unwrap_or_default() })
        };
        let (text, source) = self.read_through("job", &self.store.job_keys(queue, id), read).await?;
        if text.is_empty() { Ok(None) } else { Ok(Some(Archived { job: read_job(text)?, source })) }
    }

    /// Gives what was read lately under these keys, or reads it.
    pub(super) async fn read_through(
        &self,
        what: &'static str,
        keys: &Aside,
        read: impl AsyncFn() -> Result<Reading>,
    ) -> Result<(String, Source)> {
        let read = async || {
            let found = read().await?;
            self.metrics.archive_read(what, Source::Database.name());
            Ok(found)
        };
        let alone = async || Ok((read().await?.text, Source::Database));
        if self.kept.is_zero() {
            return alone().await;
        }
        let me = format!("{:016x}", fastrand::u64(..));
        let until = Instant::now() + READ_LASTS;
        loop {
            match self.store.look(keys, &me).await? {
                Look::Kept(text) => {
                    self.metrics.archive_read(what, Source::Cache.name());
                    return Ok((text, Source::Cache));
                }
                Look::Begun => break,
                Look::Busy if Instant::now() < until => tokio::time::sleep(LOOK_EVERY).await,
                // Whoever reads takes too long.
                Look::Busy => return alone().await,
            }
        }
        let found: Result<Reading> = read().await;
        let (text, lasts) = match &found {
            Ok(Reading { text, is_there: true }) if text.len() <= MOST_BYTES => (text.as_str(), self.kept),
            Ok(Reading { is_there: true, .. }) | Err(_) => ("", Duration::ZERO),
            Ok(Reading { text, is_there: false }) => (text.as_str(), self.kept.min(NOTHING_LASTS)),
        };
        let lasts = lasts.mul_f64(1.0 + JITTER * (2.0 * fastrand::f64() - 1.0));
        if let Err(error) = self.store.keep(keys, &me, text, lasts).await {
            debug!("what was read of a {what} is not kept: {error}");
        }
        Ok((found?.text, Source::Database))
    }

    /// Forgets what was read of jobs that were written anew. Who reads at the moment may have read what was there before, and keeps
    /// nothing.
    pub(super) async fn forget(&self, outgoing: &[Outgoing]) -> Result<()> {
        let mut by_queue: BTreeMap<&QueueName, Vec<&JobId>> = BTreeMap::new();
        for news in outgoing.iter().filter_map(|outgoing| outgoing.news.as_ref().ok()) {
            match news {
                News::Finished(job) => by_queue.entry(&job.queue).or_default().push(&job.id),
                News::Withdrawn(Withdrawn { queue, ids, .. }) => by_queue.entry(queue).or_default().extend(ids),
            }
        }
        for (queue, ids) in by_queue {
            self.forget_jobs(queue, &ids).await?;
        }
        Ok(())
    }

    /// The same of these jobs of a queue.
    pub(super) async fn forget_jobs(&self, queue: &QueueName, ids: &[&JobId]) -> Result<()> {
        if self.kept.is_zero() {
            return Ok(());
        }
        for ids in ids.chunks(FORGOTTEN_AT_ONCE) {
            self.store.forget(queue, ids).await?;
        }
        Ok(())
    }
}
