//! Workers that wait for jobs, each on a connection of its own.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hyper::StatusCode;
use indicatif::ProgressBar;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::client::{Connection, Failure};
use super::control::bar;
use super::measured::Measured;
use super::options::Options;
use super::pace::Pace;
use super::process::{Reading, Used, Watched};
use super::queue::{Dequeued, Queue, WAIT_MS};
use super::workload::{QueueWork, Workload};

/// Connections that are opened at the same time; the backlog of a listener has room for them.
pub(super) const OPEN_AT_ONCE: usize = 100;
/// A poll is answered this long after its time at the latest.
const WAIT_TIMEOUT: Duration = Duration::from_millis(WAIT_MS + 10_000);
/// How long all polls or subscribers may take to reach the service; they are measured as they are then.
pub(super) const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Between their arrival and the first measurement.
pub(super) const SETTLED: Duration = Duration::from_millis(500);
/// How long jobs may still be on their way when the last one was sent.
const LAST_JOBS: Duration = Duration::from_secs(5);
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// Connections that send the jobs, so that one slow answer does not hold up those that are due meanwhile.
pub(super) const FEEDERS: u64 = 8;
/// The stamp of a job that is not measured.
const WARM_UP: u64 = 0;

/// What all waiters share.
pub struct Waiters<'a> {
    queue: &'a Queue<'a>,
    watched: Watched,
    count: u64,
    rate: u64,
    duration: Duration,
    /// What stamps count from.
    clock: Instant,
    measured: RefCell<Measured>,
    arrived: Cell<u64>,
    opening: Semaphore,
}

impl<'a> Waiters<'a> {
    pub fn new(queue: &'a Queue<'a>, watched: Watched, options: &Options, work: QueueWork) -> Self {
        Self {
            queue,
            watched,
            count: options.waiters(Workload::Queue(work)),
            rate: options.slow_rate(),
            duration: Duration::from_secs(options.seconds),
            clock: Instant::now(),
            measured: RefCell::new(Measured::new()),
            arrived: Cell::new(0),
            opening: Semaphore::new(OPEN_AT_ONCE),
        }
    }

    /// Measures how long jobs take, from when they were due to be sent to their arrival at a waiter.
    pub async fn wake(self) -> Result<Measured, Failure> {
        let start = self.watched.read();
        let working = join_all((0..self.count).map(|_| self.work()));
        let used = while_running(self.feed(), working).await?;
        Ok(self.seen(used.grown_from(&start)))
    }

    /// Holds polls that nothing ends but their time. Those that end within the measurement are its latencies.
    pub async fn idle(self) -> Result<Measured, Failure> {
        let start = self.watched.read();
        let waiting = join_all((0..self.count).map(|_| self.wait()));
        let used = while_running(self.hold(), waiting).await?;
        Ok(self.seen(used.grown_from(&start)))
    }

    fn seen(self, used: Used) -> Measured {
        let mut measured = self.measured.into_inner();
        measured.elapsed = used.elapsed;
        measured.held = Some(self.count);
        measured.used = used;
        measured
    }

    /// Each waiter opens its own connection and asks at once: the service closes those that say nothing.
    async fn open(&self) -> Option<Connection> {
        let _permit = self.opening.acquire().await;
        match Connection::open(self.queue.target).await {
            Ok(connection) => Some(connection),
            Err(failure) => {
                self.measured.borrow_mut().count(Err(failure), Duration::ZERO);
                None
            }
        }
    }

    /// Waits for jobs and acks them, until the connection is lost for good.
    async fn work(&self) {
        let Some(mut connection) = self.open().await else { return };
        loop {
            let worked = self.work_once(&mut connection).await;
            if !self.goes_on(worked, &mut connection).await {
                return;
            }
        }
    }

    async fn work_once(&self, connection: &mut Connection) -> Result<(), Failure> {
        let answer = connection.send_within(self.queue.wait(), WAIT_TIMEOUT).await?;
        let arrival = self.stamp(Instant::now());
        for lease in Dequeued::read(&answer)?.leases() {
            if lease.sent_us != WARM_UP {
                let latency = Duration::from_micros(arrival.saturating_sub(lease.sent_us));
                self.measured.borrow_mut().count(Ok(1), latency);
                self.arrived.set(self.arrived.get() + 1);
            }
            connection.send(self.queue.ack(&lease)).await?;
        }
        Ok(())
    }

    /// Waits without end, until the connection is lost for good.
    async fn wait(&self) {
        let Some(mut connection) = self.open().await else { return };
        loop {
            let waited = self.wait_once(&mut connection).await;
            if !self.goes_on(waited, &mut connection).await {
                return;
            }
        }
    }

    async fn wait_once(&self, connection: &mut Connection) -> Result<(), Failure> {
        let asked = Instant::now();
        let answer = connection.send_within(self.queue.wait(), WAIT_TIMEOUT).await?;
        if !Dequeued::read(&answer)?.jobs.is_empty() {
            return Err(Failure::refused(StatusCode::OK, &answer));
        }
        self.measured.borrow_mut().count(Ok(0), asked.elapsed());
        Ok(())
    }

    /// Counts a failure, and opens the connection again if need be.
    async fn goes_on(&self, done: Result<(), Failure>, connection: &mut Connection) -> bool {
        let Err(failure) = done else { return true };
        let refused = matches!(failure, Failure::Refused { .. });
        self.measured.borrow_mut().count(Err(failure), Duration::ZERO);
        // A service that refuses at once would be asked without a pause.
        sleep(LOOK).await;
        if refused && connection.is_open() {
            return true;
        }
        let Some(again) = self.open().await else { return false };
        *connection = again;
        true
    }

    /// Sends jobs at the rate, and waits for the last of them.
    async fn feed(&self) -> Result<Used, Failure> {
        let mut connection = Connection::open(self.queue.target).await?;
        connection.send(self.queue.enqueue_stamped(WARM_UP)).await?;
        let begin = self.all_waiting().await?;
        let (pace, sent, bar) = (Pace::new(self.rate, self.duration), Cell::new(0), bar("wake", self.duration));
        let started = Instant::now();
        pace.begin();
        join_all((0..self.rate.min(FEEDERS)).map(|_| self.feed_some(&pace, &sent, &bar))).await;
        let last = Instant::now();
        while self.arrived.get() < sent.get() && last.elapsed() < LAST_JOBS {
            sleep(LOOK).await;
        }
        bar.finish_and_clear();
        let mut measured = self.measured.borrow_mut();
        for _ in self.arrived.get()..sent.get() {
            measured.count(Err(Failure::NoJob), Duration::ZERO);
        }
        measured.keep_pace(&pace);
        let mut used = begin.until(&self.watched.read());
        used.elapsed = last - started;
        Ok(used)
    }

    /// Sends jobs when they are due, each stamped with that time, until the end or until the connection is lost for good.
    async fn feed_some(&self, pace: &Pace, sent: &Cell<u64>, bar: &ProgressBar) {
        let Some(mut connection) = self.open().await else { return };
        while let Some(due) = pace.next().await {
            bar.set_position(due.number * 1000 / pace.per_s());
            let job = self.queue.enqueue_stamped(self.stamp(due.at));
            let enqueued = connection.send(job).await.map(|_| sent.set(sent.get() + 1));
            if !self.goes_on(enqueued, &mut connection).await {
                return;
            }
        }
    }

    async fn hold(&self) -> Result<Used, Failure> {
        let begin = self.all_waiting().await?;
        let bar = bar("idle", self.duration);
        let started = Instant::now();
        while started.elapsed() < self.duration {
            sleep(LOOK.min(self.duration.saturating_sub(started.elapsed()))).await;
            bar.set_position(started.elapsed().as_millis() as u64);
        }
        bar.finish_and_clear();
        Ok(begin.until(&self.watched.read()))
    }

    /// Returns when the service has all polls, as its metrics tell; after a while in any case.
    async fn all_waiting(&self) -> Result<Reading, Failure> {
        let target = self.queue.target;
        let asked = Instant::now();
        while asked.elapsed() < SETTLE_TIMEOUT {
            let metrics = Connection::open(target).await?.send(target.get("/metrics")).await?;
            // This request is one of them too.
            if in_flight(&metrics).is_none_or(|requests| requests > self.count) {
                break;
            }
            sleep(LOOK).await;
        }
        sleep(SETTLED).await;
        Ok(self.watched.read())
    }

    /// A time as a stamp; never the one of the warm-up.
    fn stamp(&self, time: Instant) -> u64 {
        time.saturating_duration_since(self.clock).as_micros() as u64 + 1
    }
}

/// Does some work, and others meanwhile, which may end before it and need not end with it.
pub(super) async fn while_running<T>(work: impl Future<Output = T>, others: impl Future) -> T {
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => done,
        _ = others => work.await,
    }
}

fn in_flight(metrics: &[u8]) -> Option<u64> {
    let metrics = std::str::from_utf8(metrics).ok()?;
    metrics.lines().find_map(|line| line.strip_prefix("ranq_http_requests_in_flight ")).and_then(|n| n.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_in_flight_are_found_among_the_metrics() {
        let metrics = b"# TYPE ranq_http_requests_in_flight gauge\nranq_http_requests_in_flight 1001\nranq_x 2\n";
        assert_eq!(in_flight(metrics), Some(1001));
        assert_eq!(in_flight(b"none"), None);
    }
}
