//! A finished job as a row, and what stands for one that was deleted.

use tracing::error;

use crate::queue::{Job, News, Outgoing, Withdrawn};
use crate::types::{JobId, QueueName, Timestamp};

/// What stands in the table of a job.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) queue: String,
    pub(super) id: String,
    pub(super) version: i64,
    pub(super) state: &'static str,
    pub(super) enqueued_at: i64,
    pub(super) started_at: Option<i64>,
    pub(super) finished_at: i64,
    pub(super) attempt: i64,
    pub(super) key: Option<String>,
    pub(super) error: Option<String>,
    pub(super) job: String,
}

impl Row {
    fn of(version: i64, job: &Job) -> Result<Self, String> {
        let finished_at = job.finished_at.ok_or("it has not finished")?;
        let errors: Vec<&str> = job.errors.iter().map(|error| error.error.as_str()).collect();
        Ok(Self {
            queue: job.queue.as_str().to_owned(),
            id: job.id.as_str().to_owned(),
            version,
            state: job.state.name(),
            enqueued_at: job.enqueued_at.as_millis(),
            started_at: job.started_at.map(Timestamp::as_millis),
            finished_at: finished_at.as_millis(),
            attempt: job.attempt.into(),
            key: job.key.as_ref().map(|key| key.as_str().to_owned()),
            // PostgreSQL has no NUL in texts; that in the JSON is escaped.
            error: (!errors.is_empty()).then(|| errors.join("\n").replace('\0', "\u{fffd}")),
            job: serde_json::to_string(job).map_err(|error| error.to_string())?,
        })
    }

    fn withdrawn(version: i64, queue: &QueueName, id: &JobId, at: Timestamp) -> Self {
        Self {
            queue: queue.as_str().to_owned(),
            id: id.as_str().to_owned(),
            version,
            state: WITHDRAWN,
            enqueued_at: at.as_millis(),
            started_at: None,
            finished_at: at.as_millis(),
            attempt: 0,
            key: None,
            error: None,
            job: String::new(),
        }
    }
}

/// The state of a row that stands for a job that was deleted: it is no more than its version, so that no earlier end comes back, which may
/// still be on its way through an instance that stood still.
const WITHDRAWN: &str = "withdrawn";
/// The condition that a row stands for such a job, behind others. The index of migration 4 has these rows alone.
pub(super) const IS_WITHDRAWN: &str = " AND state = 'withdrawn'";
/// The condition that it does not: what readers see.
pub(super) const IS_FINISHED: &str = " AND state <> 'withdrawn'";

/// The rows of a batch, in the order of the table's key: of a job that stands in it twice the later one, since a statement may set a row
/// once.
pub(super) fn rows(outgoing: &[Outgoing]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::with_capacity(outgoing.len());
    for Outgoing { entry, news, .. } in outgoing {
        let row = match news {
            Ok(News::Finished(job)) => Row::of(entry.version(), job),
            Ok(News::Withdrawn(Withdrawn { queue, at, ids })) => {
                rows.extend(ids.iter().map(|id| Row::withdrawn(entry.version(), queue, id, *at)));
                continue;
            }
            Err(error) => Err(error.to_string()),
        };
        match row {
            Ok(row) => rows.push(row),
            // Another try would find the same, and hold up all others.
            Err(reason) => error!(entry = %entry, "what was to be archived cannot be read and is left out: {reason}"),
        }
    }
    rows.sort_unstable_by(|a, b| (&a.queue, &a.id, a.version).cmp(&(&b.queue, &b.id, b.version)));
    rows.dedup_by(|later, earlier| {
        let is_same = later.queue == earlier.queue && later.id == earlier.id;
        if is_same {
            std::mem::swap(later, earlier);
        }
        is_same
    });
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::sink::Sink;
    use crate::config::ArchiveTarget;

    #[tokio::test]
    async fn an_earlier_end_that_comes_late_does_not_bring_a_deleted_job_back() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let sink = Sink::open(&ArchiveTarget::Sqlite(directory.path().join("jobs.db")), "ranq").expect("a target");
        let queue = QueueName::try_from("q".to_owned()).expect("a name");
        let id = JobId::try_from("a".to_owned()).expect("an id");
        let at = Timestamp::from_millis(7);
        let finished = |version| {
            let row = Row::withdrawn(version, &queue, &id, at);
            Row { state: "completed", job: "{}".to_owned(), ..row }
        };
        let found = async || sink.job(&queue, &id).await.expect("it answers").is_some();
        sink.write(&[finished(1)], 10).await.expect("written");
        assert!(found().await);
        sink.write(&[Row::withdrawn(2, &queue, &id, at)], 10).await.expect("written");
        sink.write(&[finished(1)], 10).await.expect("written");
        assert!(!found().await);
        sink.write(&[finished(3)], 10).await.expect("written");
        assert!(found().await);
    }
}
