//! What the service counts, in the Prometheus text format. docs/operations.md lists every metric.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds of the durations' buckets, in seconds.
const BUCKETS: [f64; 12] = [0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// The same for waits and runs of jobs.
const JOB_BUCKETS: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0];
/// Queues that have figures of their own; those beyond are counted together, so that names cannot fill the memory.
const NAMED_QUEUES: usize = 1000;
const OTHER_QUEUES: &str = "_other";
/// Why jobs are removed.
pub const REASONS: [&str; 2] = ["age", "count"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    queue: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    queue: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RemovalLabels {
    queue: String,
    state: &'static str,
    reason: &'static str,
}

/// Why jobs of a state were removed from a queue.
#[derive(Debug, Clone, Copy)]
pub struct Removal<'a> {
    /// The queue.
    pub queue: &'a str,
    /// Which jobs.
    pub state: &'static str,
    /// One of [`REASONS`].
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    event: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    what: &'static str,
    source: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabels {
    task: &'static str,
}

/// The metrics of one service; clones count into the same ones.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    connections: Gauge,
    connections_refused: Counter,
    redis_calls: Family<CallLabels, Counter>,
    redis_errors: Family<CallLabels, Counter>,
    redis_seconds: Family<CallLabels, Histogram, fn() -> Histogram>,
    redis_connections: Counter,
    redis_restarts: Counter,
    redis_failovers: Counter,
    queue_names: Mutex<HashSet<String>>,
    jobs_enqueued: Family<QueueLabels, Counter>,
    jobs_completed: Family<QueueLabels, Counter>,
    jobs_failed: Family<QueueLabels, Counter>,
    jobs_dead: Family<QueueLabels, Counter>,
    jobs_removed: Family<RemovalLabels, Counter>,
    job_wait: Family<QueueLabels, Histogram, fn() -> Histogram>,
    job_run: Family<QueueLabels, Histogram, fn() -> Histogram>,
    queue_jobs: Family<StateLabels, Gauge>,
    queue_oldest: Family<QueueLabels, Gauge<f64, AtomicU64>>,
    archive_waiting: Family<QueueLabels, Gauge>,
    archive_lag: Family<QueueLabels, Gauge<f64, AtomicU64>>,
    archive_dropped: Family<QueueLabels, Counter>,
    archive_scores_waiting: Gauge,
    archive_scores_lag: Gauge<f64, AtomicU64>,
    archive_scores_dropped: Counter,
    archive_periods_waiting: Gauge,
    archive_rows: Counter,
    archive_purged: Counter,
    archive_failures: Counter,
    archive_write: Histogram,
    archive_reads: Family<SourceLabels, Counter>,
    profile_reads: Family<ResultLabels, Counter>,
    profile_fetch: Histogram,
    profile_failures: Counter,
    streams: Gauge,
    stream_events: Family<EventLabels, Counter>,
    task_runs: Family<TaskLabels, Counter>,
    task_errors: Family<TaskLabels, Counter>,
    task_seconds: Family<TaskLabels, Histogram, fn() -> Histogram>,
}

fn durations() -> Histogram {
    Histogram::new(BUCKETS)
}

fn job_durations() -> Histogram {
    Histogram::new(JOB_BUCKETS)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("ranq");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", build);
        let mut inner = Inner {
            registry,
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(durations),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            redis_calls: Family::default(),
            redis_errors: Family::default(),
            redis_seconds: Family::new_with_constructor(durations),
            redis_connections: Counter::default(),
            redis_restarts: Counter::default(),
            redis_failovers: Counter::default(),
            queue_names: Mutex::default(),
            jobs_enqueued: Family::default(),
            jobs_completed: Family::default(),
            jobs_failed: Family::default(),
            jobs_dead: Family::default(),
            jobs_removed: Family::default(),
            job_wait: Family::new_with_constructor(job_durations),
            job_run: Family::new_with_constructor(job_durations),
            queue_jobs: Family::default(),
            queue_oldest: Family::default(),
            archive_waiting: Family::default(),
            archive_lag: Family::default(),
            archive_dropped: Family::default(),
            archive_scores_waiting: Gauge::default(),
            archive_scores_lag: Gauge::default(),
            archive_scores_dropped: Counter::default(),
            archive_periods_waiting: Gauge::default(),
            archive_rows: Counter::default(),
            archive_purged: Counter::default(),
            archive_failures: Counter::default(),
            archive_write: durations(),
            archive_reads: Family::default(),
            profile_reads: Family::default(),
            profile_fetch: durations(),
            profile_failures: Counter::default(),
            streams: Gauge::default(),
            stream_events: Family::default(),
            task_runs: Family::default(),
            task_errors: Family::default(),
            task_seconds: Family::new_with_constructor(durations),
        };
        let registry = &mut inner.registry;
        registry.register("http_requests", "Requests answered", inner.requests.clone());
        registry.register("http_requests_in_flight", "Requests being answered", inner.in_flight.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            inner.request_seconds.clone(),
        );
        registry.register(
            "redis_calls",
            "Commands and scripts sent to Redis, a round trip each",
            inner.redis_calls.clone(),
        );
        registry.register("redis_errors", "Calls of Redis that failed", inner.redis_errors.clone());
        registry.register_with_unit(
            "redis_call_duration",
            "Time from a call of Redis to its answer",
            Unit::Seconds,
            inner.redis_seconds.clone(),
        );
        registry.register("redis_connections", "Connections made to Redis", inner.redis_connections.clone());
        registry.register("redis_restarts", "Restarts of the embedded Redis", inner.redis_restarts.clone());
        registry.register(
            "redis_failovers",
            "Changes of the Redis master that Sentinels told of",
            inner.redis_failovers.clone(),
        );
        registry.register("jobs_enqueued", "Jobs enqueued", inner.jobs_enqueued.clone());
        registry.register("jobs_completed", "Jobs completed", inner.jobs_completed.clone());
        registry.register("jobs_failed", "Attempts that failed or whose lease ran out", inner.jobs_failed.clone());
        registry.register("jobs_dead", "Jobs whose attempts were spent", inner.jobs_dead.clone());
        registry.register("jobs_removed", "Finished jobs removed by their retention", inner.jobs_removed.clone());
        registry.register_with_unit(
            "job_wait",
            "Time from a job's getting ready to its lease",
            Unit::Seconds,
            inner.job_wait.clone(),
        );
        registry.register_with_unit(
            "job_run",
            "Time from a job's lease to its end by its worker",
            Unit::Seconds,
            inner.job_run.clone(),
        );
        registry.register("queue_jobs", "Jobs by state", inner.queue_jobs.clone());
        registry.register_with_unit(
            "queue_oldest_ready",
            "How long the oldest ready job has been ready",
            Unit::Seconds,
            inner.queue_oldest.clone(),
        );
        registry.register("archive_waiting", "Finished jobs that are not archived yet", inner.archive_waiting.clone());
        registry.register_with_unit(
            "archive_lag",
            "How long ago the oldest job finished that is not archived yet",
            Unit::Seconds,
            inner.archive_lag.clone(),
        );
        registry.register(
            "archive_dropped",
            "Finished jobs that made room in a full outbox, and are not archived",
            inner.archive_dropped.clone(),
        );
        registry.register(
            "archive_scores_waiting",
            "Calls that changed scores, or acts on members, that are not archived yet",
            inner.archive_scores_waiting.clone(),
        );
        registry.register_with_unit(
            "archive_scores_lag",
            "How long ago the oldest of these was made",
            Unit::Seconds,
            inner.archive_scores_lag.clone(),
        );
        registry.register(
            "archive_scores_dropped",
            "Changes of scores that made room in a full outbox, and are not archived",
            inner.archive_scores_dropped.clone(),
        );
        registry.register(
            "archive_periods_waiting",
            "Periods of leaderboards beyond what is kept that are not archived yet",
            inner.archive_periods_waiting.clone(),
        );
        registry.register("archive_rows", "Rows written to the archive", inner.archive_rows.clone());
        registry.register("archive_purged", "Rows deleted from the archive", inner.archive_purged.clone());
        registry.register(
            "archive_failures",
            "Times that the archive did not take what was to be written; it is tried again",
            inner.archive_failures.clone(),
        );
        registry.register_with_unit(
            "archive_write_duration",
            "Time of writing a batch to the archive",
            Unit::Seconds,
            inner.archive_write.clone(),
        );
        registry.register(
            "archive_reads",
            "Jobs and answers of periods looked for in the archive",
            inner.archive_reads.clone(),
        );
        registry.register("profile_reads", "Profiles of members that were read", inner.profile_reads.clone());
        let help = "Time of a request for profiles to an upstream";
        registry.register_with_unit("profile_fetch_duration", help, Unit::Seconds, inner.profile_fetch.clone());
        registry.register("profile_failures", "Requests for profiles that failed", inner.profile_failures.clone());
        registry.register("connections", "Connections of clients that are open", inner.connections.clone());
        registry.register(
            "connections_refused",
            "Connections of clients that were closed at once, because there were too many",
            inner.connections_refused.clone(),
        );
        registry.register("streams", "Streams of events that are open", inner.streams.clone());
        registry.register("stream_events", "Events sent", inner.stream_events.clone());
        registry.register("task_runs", "Runs of background tasks", inner.task_runs.clone());
        registry.register("task_errors", "Runs of background tasks that failed", inner.task_errors.clone());
        registry.register_with_unit(
            "task_run_duration",
            "Time of a run of a background task",
            Unit::Seconds,
            inner.task_seconds.clone(),
        );
        Self(Arc::new(inner))
    }
}

impl Metrics {
    /// Counts an answered request. `route` is the pattern of its path, never the path itself.
    pub fn request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let route = route.to_owned();
        self.0.requests.get_or_create(&RequestLabels { method, route: route.clone(), status }).inc();
        self.0.request_seconds.get_or_create(&RouteLabels { method, route }).observe(took.as_secs_f64());
    }

    /// Counts a request as in flight until the guard goes, which it also does when the client hangs up.
    pub fn in_flight(&self) -> InFlight {
        self.0.in_flight.inc();
        InFlight(self.clone())
    }

    /// Counts a call of Redis.
    pub fn redis_call(&self, call: &'static str, took: Duration, succeeded: bool) {
        let labels = CallLabels { call };
        self.0.redis_calls.get_or_create(&labels).inc();
        self.0.redis_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        if !succeeded {
            self.0.redis_errors.get_or_create(&labels).inc();
        }
    }

    /// Counts a connection made to Redis.
    pub fn redis_connected(&self) {
        self.0.redis_connections.inc();
    }

    /// Counts a change of the Redis master.
    pub fn redis_failed_over(&self) {
        self.0.redis_failovers.inc();
    }

    /// Counts a restart of the embedded Redis.
    pub fn redis_restarted(&self) {
        self.0.redis_restarts.inc();
    }

    /// Does something under the label of a queue, and keeps [`Metrics::queue_gone`] out meanwhile: what it had taken away would
    /// come back, and nobody would take it away again.
    fn of_queue(&self, name: &str, count: impl FnOnce(&Inner, QueueLabels)) {
        let mut names = self.queue_names();
        let is_named = names.contains(name) || (names.len() < NAMED_QUEUES && names.insert(name.to_owned()));
        let label = if is_named { name } else { OTHER_QUEUES };
        count(&self.0, QueueLabels { queue: label.to_owned() });
    }

    fn queue_names(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.queue_names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queues that have figures of their own.
    pub fn queues(&self) -> Vec<String> {
        self.queue_names().iter().cloned().collect()
    }

    /// Counts jobs that came into a queue.
    pub fn jobs_enqueued(&self, queue: &str, count: u64) {
        if count > 0 {
            self.of_queue(queue, |inner, labels| {
                inner.jobs_enqueued.get_or_create(&labels).inc_by(count);
            });
        }
    }

    /// Counts jobs that were done.
    pub fn jobs_completed(&self, queue: &str, count: u64) {
        if count > 0 {
            self.of_queue(queue, |inner, labels| {
                inner.jobs_completed.get_or_create(&labels).inc_by(count);
            });
        }
    }

    /// Counts attempts that failed, and those of them that were the last.
    pub fn jobs_failed(&self, queue: &str, count: u64, dead: u64) {
        if count > 0 {
            self.of_queue(queue, |inner, labels| {
                inner.jobs_failed.get_or_create(&labels).inc_by(count);
                inner.jobs_dead.get_or_create(&labels).inc_by(dead);
            });
        }
    }

    /// Counts jobs that were removed.
    pub fn jobs_removed(&self, removal: Removal<'_>, count: u64) {
        let Removal { queue, state, reason } = removal;
        self.of_queue(queue, |inner, QueueLabels { queue }| {
            inner.jobs_removed.get_or_create(&RemovalLabels { queue, state, reason }).inc_by(count);
        });
    }

    /// Notes how long a job was ready before its lease.
    pub fn job_waited(&self, queue: &str, waited: Duration) {
        self.of_queue(queue, |inner, labels| inner.job_wait.get_or_create(&labels).observe(waited.as_secs_f64()));
    }

    /// Notes how long an attempt ran.
    pub fn job_ran(&self, queue: &str, ran: Duration) {
        self.of_queue(queue, |inner, labels| inner.job_run.get_or_create(&labels).observe(ran.as_secs_f64()));
    }

    /// Sets how many jobs of a queue are in a state.
    pub fn queue_depth(&self, queue: &str, state: &'static str, count: u64) {
        self.of_queue(queue, |inner, QueueLabels { queue }| {
            // Queues that are counted together stand together nowhere.
            if queue != OTHER_QUEUES {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                inner.queue_jobs.get_or_create(&StateLabels { queue, state }).set(count);
            }
        });
    }

    /// Sets how long the oldest ready job of a queue has been ready.
    pub fn oldest_ready(&self, queue: &str, age: Duration) {
        self.of_queue(queue, |inner, labels| {
            if labels.queue != OTHER_QUEUES {
                inner.queue_oldest.get_or_create(&labels).set(age.as_secs_f64());
            }
        });
    }

    /// Sets how many finished jobs of a queue are not archived yet, and how long ago the oldest of them finished.
    pub fn archive_waiting(&self, queue: &str, count: u64, lag: Duration) {
        self.of_queue(queue, |inner, labels| {
            if labels.queue != OTHER_QUEUES {
                inner.archive_waiting.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
                inner.archive_lag.get_or_create(&labels).set(lag.as_secs_f64());
            }
        });
    }

    /// Counts finished jobs that are lost to the archive.
    pub fn archive_dropped(&self, queue: &str, count: u64) {
        if count > 0 {
            self.of_queue(queue, |inner, labels| {
                inner.archive_dropped.get_or_create(&labels).inc_by(count);
            });
        }
    }

    /// Sets how many calls that changed scores are not archived yet, and how long ago the oldest of them was made.
    pub fn archive_scores_waiting(&self, count: u64, lag: Duration) {
        self.0.archive_scores_waiting.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.0.archive_scores_lag.set(lag.as_secs_f64());
    }

    /// Counts changes of scores that are lost to the archive.
    pub fn archive_scores_dropped(&self, rows: u64) {
        self.0.archive_scores_dropped.inc_by(rows);
    }

    /// Counts a batch that was written to the archive.
    pub fn archive_written(&self, rows: u64, took: Duration) {
        self.0.archive_rows.inc_by(rows);
        self.0.archive_write.observe(took.as_secs_f64());
    }

    /// Counts rows that were deleted from the archive.
    pub fn archive_purged(&self, rows: u64) {
        self.0.archive_purged.inc_by(rows);
    }

    /// Counts a job or an answer of a period that was looked for in the archive.
    pub fn archive_read(&self, what: &'static str, source: &'static str) {
        self.0.archive_reads.get_or_create(&SourceLabels { what, source }).inc();
    }

    /// Sets how many periods wait for the archive.
    pub fn archive_periods_waiting(&self, count: u64) {
        self.0.archive_periods_waiting.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts profiles that were read with this result.
    pub fn profile_reads(&self, result: &'static str, count: u64) {
        self.0.profile_reads.get_or_create(&ResultLabels { result }).inc_by(count);
    }

    /// Counts a request to an upstream of profiles.
    pub fn profiles_fetched(&self, took: Duration, succeeded: bool) {
        self.0.profile_fetch.observe(took.as_secs_f64());
        if !succeeded {
            self.0.profile_failures.inc();
        }
    }

    /// Counts a batch that was not.
    pub fn archive_failed(&self) {
        self.0.archive_failures.inc();
    }

    /// Forgets all that is counted of a queue that is gone.
    pub fn queue_gone(&self, queue: &str, states: &[&'static str]) {
        let mut names = self.queue_names();
        names.remove(queue);
        let labels = QueueLabels { queue: queue.to_owned() };
        let inner = &*self.0;
        for counter in
            [&inner.jobs_enqueued, &inner.jobs_completed, &inner.jobs_failed, &inner.jobs_dead, &inner.archive_dropped]
        {
            counter.remove(&labels);
        }
        inner.archive_waiting.remove(&labels);
        inner.archive_lag.remove(&labels);
        inner.job_wait.remove(&labels);
        inner.job_run.remove(&labels);
        inner.queue_oldest.remove(&labels);
        for state in states {
            inner.queue_jobs.remove(&StateLabels { queue: queue.to_owned(), state });
            for reason in REASONS {
                inner.jobs_removed.remove(&RemovalLabels { queue: queue.to_owned(), state, reason });
            }
        }
    }

    /// Counts a connection of a client as open.
    pub fn connection_opened(&self) {
        self.0.connections.inc();
    }

    /// Counts it as closed.
    pub fn connection_closed(&self) {
        self.0.connections.dec();
    }

    /// Counts a connection that was one too many.
    pub fn connection_refused(&self) {
        self.0.connections_refused.inc();
    }

    /// Counts a stream of events as open until the guard goes.
    pub fn stream_opened(&self) -> OpenStream {
        self.0.streams.inc();
        OpenStream(self.clone())
    }

    /// Counts an event sent over a stream.
    pub fn stream_event(&self, event: &'static str) {
        self.0.stream_events.get_or_create(&EventLabels { event }).inc();
    }

    /// Counts a run of a background task.
    pub fn task_run(&self, task: &'static str, took: Duration, succeeded: bool) {
        let labels = TaskLabels { task };
        self.0.task_runs.get_or_create(&labels).inc();
        self.0.task_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        if !succeeded {
            self.0.task_errors.get_or_create(&labels).inc();
        }
    }

    /// Everything, in the text format.
    ///
    /// # Errors
    ///
    /// When a value cannot be formatted, which writing to memory never meets.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}

/// A request in flight.
pub struct InFlight(Metrics);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.in_flight.dec();
    }
}

/// A stream of events that is open.
pub struct OpenStream(Metrics);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.0.streams.dec();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
