//! What has finished, the latest first.

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sqlx::QueryBuilder;

use super::row::IS_FINISHED;
use super::sink::{Pool, Sink, on, read_job};
use crate::error::Result;
use crate::queue::State;
use crate::types::{JobId, JobKey, Limit, QueueName, Raw, Timestamp};

/// A page ends where it has this many bytes, whatever its limit.
const PAGE_BYTES: usize = 1024 * 1024;

/// Which finished jobs are wanted.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those with this text in an error.
    pub error: Option<String>,
    /// Only those of this key.
    pub key: Option<JobKey>,
    /// Only those that finished then or later.
    pub from: Option<Timestamp>,
    /// Only those that finished before.
    pub to: Option<Timestamp>,
    /// Only what comes after this place.
    pub after: Option<HistoryPlace>,
}

/// A place in a history: when a job finished, and its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPlace(pub i64, pub JobId);

/// A page of finished jobs.
#[derive(Debug)]
pub struct HistoryPage {
    /// The jobs, as JSON.
    pub jobs: Vec<Raw>,
    /// The last of them, where there are more.
    pub next: Option<HistoryPlace>,
}

impl Sink {
    pub(super) async fn history(&self, queue: &QueueName, filter: &Filter, limit: Limit) -> Result<HistoryPage> {
        let most = limit.get() as usize;
        let found = self.ask(async {
            on!(&self.pool, pool => {
                let mut query = QueryBuilder::new("SELECT finished_at, id, job FROM ranq_jobs WHERE prefix = ");
                query.push_bind(&self.prefix).push(" AND queue = ").push_bind(queue.as_str());
                match filter.state {
                    Some(state) => query.push(" AND state = ").push_bind(state.name()),
                    None => query.push(IS_FINISHED),
                };
                if let Some(text) = &filter.error {
                    let position = match &self.pool {
                        Pool::Sqlite(_) => " AND instr(error, ",
                        Pool::Postgres(_) => " AND strpos(error, ",
                    };
                    // As it was written: without NUL.
                    query.push(position).push_bind(text.replace('\0', "\u{fffd}")).push(") > 0");
                }
                if let Some(key) = &filter.key {
                    query.push(" AND job_key = ").push_bind(key.as_str());
                }
                if let Some(from) = filter.from {
                    query.push(" AND finished_at >= ").push_bind(from.as_millis());
                }
                if let Some(to) = filter.to {
                    query.push(" AND finished_at < ").push_bind(to.as_millis());
                }
                if let Some(HistoryPlace(at, id)) = &filter.after {
                    query.push(" AND (finished_at, id) < (").push_bind(*at).push(", ").push_bind(id.as_str()).push(")");
                }
                query.push(" ORDER BY finished_at DESC, id DESC LIMIT ").push_bind(i64::from(limit.get()) + 1);
                let mut rows = query.build_query_as::<(i64, String, String)>().fetch(pool);
                let (mut found, mut bytes) = (Vec::new(), 0);
                // One more tells whether there is more.
                while found.len() <= most && (bytes <= PAGE_BYTES || found.len() == 1)
                    && let Some(row) = rows.try_next().await?
                {
                    bytes += row.2.len();
                    found.push(row);
                }
                Ok(found)
            })
        });
        page(found.await?, most)
    }
}

fn page(mut found: Vec<(i64, String, String)>, most: usize) -> Result<HistoryPage> {
    let bytes: usize = found.iter().map(|(_, _, job)| job.len()).sum();
    let has_more = found.len() > most || bytes > PAGE_BYTES && found.len() > 1;
    if has_more {
        found.pop();
    }
    let last = found.last().filter(|_| has_more);
    let next = last.and_then(|(at, id, _)| Some(HistoryPlace(*at, JobId::try_from(id.clone()).ok()?)));
    let jobs = found.into_iter().map(|(_, _, job)| read_job(job)).collect::<Result<_>>()?;
    Ok(HistoryPage { jobs, next })
}
