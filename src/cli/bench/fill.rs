//! Fills a queue.

use std::time::{Duration, Instant};

use super::client::{Connection, Failure};
use super::control::bar;
use super::measured::Measured;
use super::process::Watched;
use super::queue::Queue;
use super::requests::all_good;
use super::workload::JOBS_IN_BATCH;

/// What Redis frees and writes late is so at the second reading.
const SETTLED: Duration = Duration::from_secs(2);

/// Puts so many jobs into a queue before it is measured.
pub async fn stand(queue: &Queue<'_>, jobs: u64) -> Result<(), Failure> {
    let mut connection = Connection::open(queue.target).await?;
    let bar = bar("backlog", Duration::from_millis(jobs));
    let mut left = jobs;
    while left > 0 {
        let some = left.min(JOBS_IN_BATCH);
        all_good(&connection.send(queue.enqueue(some)).await?)?;
        left -= some;
        bar.set_position(jobs - left);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Enqueues so many jobs over one connection and leaves them there; what it measures is one batch after the other.
pub async fn fill(queue: &Queue<'_>, watched: Watched, jobs: u64) -> Result<Measured, Failure> {
    let mut connection = Connection::open(queue.target).await?;
    let mut measured = Measured::new();
    let begin = watched.read();
    let bar = bar("fill", Duration::from_millis(jobs));
    let (started, mut left) = (Instant::now(), jobs);
    while left > 0 {
        let some = left.min(JOBS_IN_BATCH);
        let asked = Instant::now();
        let answer = connection.send(queue.enqueue(some)).await?;
        measured.count(all_good(&answer).map(|()| some), asked.elapsed());
        left -= some;
        bar.set_position(jobs - left);
    }
    measured.elapsed = started.elapsed();
    bar.finish_and_clear();
    tokio::time::sleep(SETTLED).await;
    measured.used = begin.until(&watched.read());
    measured.held = Some(measured.items);
    Ok(measured)
}
