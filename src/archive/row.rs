//! A finished job as a row.

use tracing::error;

use crate::queue::{Finished, Job};
use crate::types::Timestamp;

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
}

/// The rows of a batch, in the order of the table's key: of a job that stands in it twice the later end, since a statement may set a row
/// once.
pub(super) fn rows(finished: &[Finished]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::with_capacity(finished.len());
    for Finished { entry, job, .. } in finished {
        let row = match job {
            Ok(job) => Row::of(entry.version(), job),
            Err(error) => Err(error.to_string()),
        };
        match row {
            Ok(row) => rows.push(row),
            // Another try would find the same, and hold up all others.
            Err(reason) => error!(entry = %entry, "a finished job cannot be archived and is left out: {reason}"),
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
