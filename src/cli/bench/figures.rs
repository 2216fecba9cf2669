//! The figures of one workload.

use std::fmt::Write as _;

use serde::Serialize;

use super::measured::Measured;
use super::process::Use;
use super::run::Limit;
use super::workload::{ScoreWork, Workload};

const MEGABYTE: f64 = 1e6;
/// Columns of the table.
const COLUMNS: usize = 17;

#[derive(Debug, PartialEq, Serialize)]
pub struct Figures {
    workload: &'static str,
    #[serde(rename = "loop")]
    kind: Loop,
    requests: u64,
    requests_per_s: f64,
    /// How long it was measured.
    seconds: f64,
    /// The rate of an open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_per_s: Option<u64>,
    /// Requests of an open loop that were due and not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_sent: Option<u64>,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Requests per second over those of `/health/live`; `None` where that had no good answer, where the workload
    /// asks in another way, and where the rate was asked for.
    ratio_to_live: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scores_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events_per_s: Option<f64>,
    /// Waiting polls, subscribers or jobs whose memory is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<u64>,
    /// The calls of the store behind it, straight to Redis.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<LimitFigures>,
    /// Requests per second over pipelined calls; `None` where a rate was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_to_limit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<ProcessFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<ProcessFigures>,
    failed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_failure: Option<String>,
}

/// When the next request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Loop {
    /// When the one before is answered.
    Closed,
    /// When it is due.
    Open,
}

/// What a process used.
#[derive(Debug, PartialEq, Serialize)]
struct ProcessFigures {
    /// 100 is one core.
    cpu_percent: f64,
    /// By the score, job or event; by the request where there are none, and in `mixed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_us_each: Option<f64>,
    rss_before_mb: f64,
    rss_mb: f64,
    /// By the waiting poll, subscriber or job.
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_bytes_each: Option<f64>,
}

/// The calls behind a workload.
#[derive(Debug, PartialEq, Serialize)]
struct LimitFigures {
    /// Over one connection a thread.
    pipelined: CallFigures,
    /// Over one connection a caller.
    one_by_one: CallFigures,
}

#[derive(Debug, PartialEq, Serialize)]
struct CallFigures {
    calls: u64,
    calls_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_sent: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<ProcessFigures>,
    failed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_failure: Option<String>,
}

impl CallFigures {
    fn new(workload: Workload, measured: &Measured) -> Self {
        let redis = measured.used.redis.as_ref();
        Self {
            calls: measured.requests,
            calls_per_s: measured.requests_per_s(),
            p50_ms: measured.millis(0.5),
            p99_ms: measured.millis(0.99),
            max_ms: measured.millis(1.0),
            not_sent: measured.asked_per_s.map(|_| measured.not_sent),
            redis: redis.map(|used| ProcessFigures::new(workload, used, measured)),
            failed: measured.failed,
            first_failure: measured.first_failure.as_ref().map(ToString::to_string),
        }
    }
}

impl ProcessFigures {
    fn new(workload: Workload, used: &Use, measured: &Measured) -> Self {
        let (cpu, elapsed) = (used.cpu.as_secs_f64(), measured.used.elapsed);
        // Polls that end while others wait are not what the time went to, nor is it the submissions of a mix alone.
        let is_mixed = workload == Workload::Scores(ScoreWork::Mixed);
        let number = match measured.held {
            None if measured.items == 0 || is_mixed => measured.requests,
            Some(_) | None => measured.items,
        };
        let grown = used.rss as f64 - used.rss_before as f64;
        Self {
            cpu_percent: 100.0 * cpu / elapsed.as_secs_f64().max(f64::EPSILON),
            cpu_us_each: (number > 0).then(|| 1e6 * cpu / number as f64),
            rss_before_mb: used.rss_before as f64 / MEGABYTE,
            rss_mb: used.rss as f64 / MEGABYTE,
            rss_bytes_each: measured.held.filter(|held| *held > 0).map(|held| grown / held as f64),
        }
    }

    fn memory(&self, name: &str) -> String {
        let Self { cpu_percent, rss_before_mb, rss_mb, .. } = self;
        let each = self.rss_bytes_each.map_or("-".to_owned(), grouped);
        format!("    {name:<8} RSS {rss_before_mb:.1} to {rss_mb:.1} MB ({each} bytes each), CPU {cpu_percent:.2} %\n")
    }
}

impl Figures {
    /// The figures of a workload, and of the calls behind it.
    pub fn with_limit(workload: Workload, measured: &Measured, live_per_s: f64, limit: Option<&Limit>) -> Self {
        let limit = limit.map(|limit| LimitFigures {
            pipelined: CallFigures::new(workload, &limit.pipelined),
            one_by_one: CallFigures::new(workload, &limit.one_by_one),
        });
        let most = limit.as_ref().map_or(0.0, |limit| limit.pipelined.calls_per_s);
        let ratio_to_limit = (most > 0.0 && measured.asked_per_s.is_none()).then(|| measured.requests_per_s() / most);
        Self { limit, ratio_to_limit, ..Self::new(workload, measured, live_per_s) }
    }

    pub fn new(workload: Workload, measured: &Measured, live_per_s: f64) -> Self {
        let requests_per_s = measured.requests_per_s();
        let compares = workload.compares() && measured.asked_per_s.is_none();
        let items_per_s = (measured.items > 0).then(|| measured.items_per_s());
        let of = |used: &Option<Use>| used.as_ref().map(|used| ProcessFigures::new(workload, used, measured));
        Self {
            workload: workload.name(),
            kind: if measured.asked_per_s.is_some() { Loop::Open } else { Loop::Closed },
            requests: measured.requests,
            requests_per_s,
            seconds: measured.elapsed.as_secs_f64(),
            asked_per_s: measured.asked_per_s,
            not_sent: measured.asked_per_s.map(|_| measured.not_sent),
            p50_ms: measured.millis(0.5),
            p99_ms: measured.millis(0.99),
            max_ms: measured.millis(1.0),
            ratio_to_live: (live_per_s > 0.0 && compares).then(|| requests_per_s / live_per_s),
            scores_per_s: items_per_s.filter(|_| workload.is_on_board() && workload != Workload::Sse),
            jobs_per_s: items_per_s.filter(|_| workload.is_on_queue()),
            events_per_s: items_per_s.filter(|_| workload == Workload::Sse),
            limit: None,
            ratio_to_limit: None,
            held: measured.held,
            service: of(&measured.used.service),
            redis: of(&measured.used.redis),
            failed: measured.failed,
            first_failure: measured.first_failure.as_ref().map(ToString::to_string),
        }
    }

    pub fn failed(&self) -> u64 {
        let of_limit = self.limit.as_ref().map_or(0, |limit| limit.pipelined.failed + limit.one_by_one.failed);
        self.failed + of_limit
    }

    pub fn heads() -> [&'static str; COLUMNS] {
        [
            "workload",
            "req/s",
            "asked/s",
            "not sent",
            "p50 ms",
            "p99 ms",
            "max ms",
            "ratio",
            "limit/s",
            "of limit",
            "alone/s",
            "items/s",
            "service µs",
            "redis µs",
            "service MB",
            "redis MB",
            "failed",
        ]
    }

    /// A row of the table.
    pub fn cells(&self) -> [String; COLUMNS] {
        let millis = |millis: f64| format!("{millis:.2}");
        let whole = |number: u64| grouped(number as f64);
        let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), |ratio| format!("{ratio:.3}"));
        let limit = self.limit.as_ref();
        let micros = |process: &Option<ProcessFigures>| {
            let each = process.as_ref().and_then(|process| process.cpu_us_each);
            each.map_or(String::new(), |each| format!("{each:.1}"))
        };
        let megabytes = |process: &Option<ProcessFigures>| {
            process.as_ref().map_or(String::new(), |process| format!("{:.1}", process.rss_mb))
        };
        [
            self.workload.to_owned(),
            grouped(self.requests_per_s),
            self.asked_per_s.map_or(String::new(), whole),
            self.not_sent.map_or(String::new(), whole),
            millis(self.p50_ms),
            millis(self.p99_ms),
            millis(self.max_ms),
            ratio(self.ratio_to_live),
            limit.map_or(String::new(), |limit| grouped(limit.pipelined.calls_per_s)),
            ratio(self.ratio_to_limit),
            limit.map_or(String::new(), |limit| grouped(limit.one_by_one.calls_per_s)),
            self.scores_per_s.or(self.jobs_per_s).or(self.events_per_s).map_or(String::new(), grouped),
            micros(&self.service),
            micros(&self.redis),
            megabytes(&self.service),
            megabytes(&self.redis),
            whole(self.failed()),
        ]
    }

    /// Where memory is measured, what the processes that are known had and have.
    pub fn memory(&self) -> Option<String> {
        let held = self.held.filter(|_| self.service.is_some() || self.redis.is_some())?;
        let what = match self.workload {
            "fill" => "jobs",
            "sse" => "subscribers",
            _ => "waiting",
        };
        let mut text = format!("\n{}, with {} {what}:\n", self.workload, grouped(held as f64));
        for (name, process) in [("service", &self.service), ("redis", &self.redis)] {
            if let Some(process) = process {
                text.push_str(&process.memory(name));
            }
        }
        Some(text)
    }

    pub fn failure(&self) -> Option<String> {
        let of_limit = self.limit.iter().flat_map(|limit| [&limit.pipelined, &limit.one_by_one]);
        let of_limit = of_limit.map(|calls| ("the calls behind ", &calls.first_failure));
        let failures = std::iter::once(("", &self.first_failure)).chain(of_limit);
        let mut text = String::new();
        for (what, failure) in failures {
            if let Some(failure) = failure {
                let _ = write!(text, "\nThe first failure of {what}{}: {failure}\n", self.workload);
            }
        }
        (!text.is_empty()).then_some(text)
    }
}

/// A whole number with commas between thousands.
pub fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number <= -0.5 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::bench::client::Failure;
    use crate::cli::bench::pace::Pace;
    use crate::cli::bench::process::Used;
    use crate::cli::bench::workload::{JobWork, QueueWork};

    fn measured(latencies_ms: std::ops::RangeInclusive<u64>, items: u64, elapsed: Duration) -> Measured {
        let mut measured = Measured::new();
        for latency in latencies_ms {
            measured.count(Ok(items), Duration::from_millis(latency));
        }
        measured.elapsed = elapsed;
        measured
    }

    #[test]
    fn figures_are_of_the_good_answers_in_the_time_they_took() {
        let submit_batch = Workload::Scores(ScoreWork::SubmitBatch);
        let figures = Figures::new(submit_batch, &measured(1..=100, 1000, Duration::from_secs(2)), 200.0);
        assert_eq!((figures.requests, figures.requests_per_s), (100, 50.0));
        assert_eq!((figures.ratio_to_live, figures.scores_per_s), (Some(0.25), Some(50_000.0)));
        for (seen, told) in [(figures.p50_ms, 50.0), (figures.p99_ms, 99.0), (figures.max_ms, 100.0)] {
            assert!((seen / told - 1.0).abs() < 0.001, "{seen} is not {told}");
        }
    }

    #[test]
    fn the_limit_is_what_the_calls_behind_reach_together() {
        let second = Duration::from_secs(1);
        let seen = measured(1..=50, 0, second);
        let mut limit = Limit { pipelined: measured(1..=200, 0, second), one_by_one: measured(1..=100, 0, second) };
        limit.one_by_one.count(Err(Failure::NoJob), Duration::ZERO);
        let top = Workload::Scores(ScoreWork::Top);
        let figures = Figures::with_limit(top, &seen, 100.0, Some(&limit));
        assert_eq!((figures.ratio_to_live, figures.ratio_to_limit), (Some(0.5), Some(0.25)));
        assert_eq!((figures.failed, figures.failed()), (0, 1));
        let told = figures.failure().expect("one failed");
        assert_eq!(told, "\nThe first failure of the calls behind top: a job that was enqueued did not come\n");
        assert_eq!(Figures::new(top, &seen, 100.0).ratio_to_limit, None);
    }

    #[test]
    fn without_a_good_answer_there_is_no_ratio() {
        let figures = Figures::new(Workload::Scores(ScoreWork::Top), &Measured::new(), 0.0);
        assert_eq!((figures.requests_per_s, figures.max_ms, figures.ratio_to_live), (0.0, 0.0, None));
    }

    #[test]
    fn a_rate_that_was_asked_for_is_compared_with_nothing() {
        let mut measured = measured(1..=100, 0, Duration::from_secs(1));
        assert_eq!(Figures::new(Workload::Live, &measured, 100.0).kind, Loop::Closed);
        measured.keep_pace(&Pace::new(120, Duration::from_secs(1)));
        let figures = Figures::new(Workload::Live, &measured, 100.0);
        assert_eq!((figures.kind, figures.asked_per_s, figures.not_sent), (Loop::Open, Some(120), Some(120)));
        assert_eq!((figures.requests_per_s, figures.ratio_to_live), (100.0, None));
    }

    #[test]
    fn cpu_time_is_told_by_the_job_and_memory_by_what_waits() {
        let mut measured = measured(1..=10, 10, Duration::from_secs(1));
        let used = Use { cpu: Duration::from_millis(5), rss_before: 20_000_000, rss: 27_000_000 };
        measured.used = Used { elapsed: Duration::from_secs(1), service: Some(used), redis: None };
        let jobs = Figures::new(Workload::Jobs(JobWork::JobsBatch), &measured, 100.0);
        assert_eq!((jobs.jobs_per_s, jobs.ratio_to_live, jobs.memory()), (Some(100.0), Some(0.1), None));
        assert_eq!(jobs.service.as_ref().and_then(|service| service.cpu_us_each), Some(50.0));
        let mixed = Figures::new(Workload::Scores(ScoreWork::Mixed), &measured, 100.0);
        assert_eq!(mixed.service.as_ref().and_then(|service| service.cpu_us_each), Some(500.0), "by the request");
        measured.held = Some(1000);
        let idle = Figures::new(Workload::Queue(QueueWork::Idle), &measured, 100.0);
        assert_eq!(
            (idle.ratio_to_live, idle.memory().as_deref()),
            (
                None,
                Some(
                    "\nidle, with 1,000 waiting:\n    \
                     service  RSS 20.0 to 27.0 MB (7,000 bytes each), CPU 0.50 %\n"
                )
            )
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in
            [(0.0, "0"), (999.4, "999"), (1000.0, "1,000"), (1_234_567.0, "1,234,567"), (-1e3, "-1,000")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
