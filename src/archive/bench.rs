//! For benchmarks: rows like those of finished jobs, without queues.

use std::ops::Range;

use super::row::Row;
use super::sink::Sink;
use crate::config::ArchiveTarget;
use crate::error::Result;

/// Writes to an archive.
pub struct Writer(Sink);

impl Writer {
    /// The writer to this place.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn open(target: &ArchiveTarget) -> std::result::Result<Self, String> {
        Sink::open(target, "bench").map(Self)
    }

    /// Writes the jobs of these numbers in one statement.
    ///
    /// # Errors
    ///
    /// `ArchiveUnavailable`.
    pub async fn write(&self, numbers: Range<u32>) -> Result<u64> {
        let rows: Vec<Row> = numbers.map(row).collect();
        self.0.write(&rows, rows.len()).await
    }

    /// Ends its connections.
    pub async fn close(self) {
        self.0.close().await;
    }
}

/// A completed job with a payload of 64 bytes, as JSON half a kilobyte.
fn row(number: u32) -> Row {
    let (id, at) = (format!("01K{number:023}"), 1_790_000_000_000 + i64::from(number));
    let payload = "x".repeat(62);
    let job = format!(
        r#"{{"id":"{id}","queue":"bench","state":"completed","payload":"{payload}","priority":4,"attempt":1,"max_attempts":25,"enqueued_at":"2026-09-21T13:33:20.000Z","started_at":"2026-09-21T13:33:20.010Z","finished_at":"2026-09-21T13:33:20.025Z","result":{{"sent":true}},"errors":[]}}"#
    );
    Row {
        queue: "bench".to_owned(),
        id,
        version: at,
        state: "completed",
        enqueued_at: at,
        started_at: Some(at + 10),
        finished_at: at + 25,
        attempt: 1,
        key: None,
        error: None,
        job,
    }
}
