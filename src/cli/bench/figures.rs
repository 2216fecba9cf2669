//! The figures of one workload.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::measured::Measured;
use super::process::Use;
use super::workload::{QueueWork, Workload};

const MEGABYTE: f64 = 1e6;

#[derive(Debug, PartialEq, Serialize)]
pub struct Figures {
    workload: &'static str,
    requests: u64,
    requests_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Requests per second over those of `/health/live`; `None` where that had no good answer, and where the workload
    /// asks in another way.
    ratio_to_live: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scores_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs_per_s: Option<f64>,
    /// Waiting polls or jobs whose memory is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<ProcessFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<ProcessFigures>,
    failed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_failure: Option<String>,
}

/// What a process used.
#[derive(Debug, PartialEq, Serialize)]
struct ProcessFigures {
    /// 100 is one core.
    cpu_percent: f64,
    /// By the score or job, or by the request where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_us_each: Option<f64>,
    rss_before_mb: f64,
    rss_mb: f64,
    /// By the waiting poll or job.
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_bytes_each: Option<f64>,
}

impl ProcessFigures {
    fn new(used: &Use, elapsed: Duration, measured: &Measured) -> Self {
        let cpu = used.cpu.as_secs_f64();
        // Polls that end while others wait are not what the time went to.
        let number = match measured.held {
            None if measured.items == 0 => measured.requests(),
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
    pub fn new(workload: Workload, measured: &Measured, live_per_s: f64) -> Self {
        let requests_per_s = measured.requests_per_s();
        let items_per_s = (measured.items > 0).then(|| measured.items_per_s());
        let of =
            |used: &Option<Use>| used.as_ref().map(|used| ProcessFigures::new(used, measured.used.elapsed, measured));
        Self {
            workload: workload.name(),
            requests: measured.requests(),
            requests_per_s,
            p50_ms: measured.millis(0.5),
            p99_ms: measured.millis(0.99),
            max_ms: measured.millis(1.0),
            ratio_to_live: (live_per_s > 0.0 && workload.compares()).then(|| requests_per_s / live_per_s),
            scores_per_s: items_per_s.filter(|_| workload.is_on_board()),
            jobs_per_s: items_per_s.filter(|_| workload.is_on_queue()),
            held: measured.held,
            service: of(&measured.used.service),
            redis: of(&measured.used.redis),
            failed: measured.failed,
            first_failure: measured.first_failure.as_ref().map(ToString::to_string),
        }
    }

    pub fn failed(&self) -> u64 {
        self.failed
    }

    pub fn head() -> String {
        format!(
            "{:<13} {:>9} {:>9} {:>9} {:>9} {:>7} {:>11} {:>10} {:>10} {:>7}\n",
            "workload", "req/s", "p50 ms", "p99 ms", "max ms", "ratio", "items/s", "service µs", "redis µs", "failed",
        )
    }

    pub fn row(&self) -> String {
        let micros = |process: &Option<ProcessFigures>| {
            let each = process.as_ref().and_then(|process| process.cpu_us_each);
            each.map_or(String::new(), |each| format!("{each:.1}"))
        };
        format!(
            "{:<13} {:>9} {:>9.2} {:>9.2} {:>9.2} {:>7} {:>11} {:>10} {:>10} {:>7}\n",
            self.workload,
            grouped(self.requests_per_s),
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.ratio_to_live.map_or("-".to_owned(), |ratio| format!("{ratio:.3}")),
            self.scores_per_s.or(self.jobs_per_s).map_or(String::new(), grouped),
            micros(&self.service),
            micros(&self.redis),
            self.failed,
        )
    }

    /// Where memory is measured, what the processes that are known had and have.
    pub fn memory(&self) -> Option<String> {
        let held = self.held.filter(|_| self.service.is_some() || self.redis.is_some())?;
        let what = if self.workload == Workload::Queue(QueueWork::Fill).name() { "jobs" } else { "waiting" };
        let mut text = format!("\n{}, with {} {what}:\n", self.workload, grouped(held as f64));
        for (name, process) in [("service", &self.service), ("redis", &self.redis)] {
            if let Some(process) = process {
                text.push_str(&process.memory(name));
            }
        }
        Some(text)
    }

    pub fn failure(&self) -> Option<String> {
        let failure = self.first_failure.as_ref()?;
        let mut text = String::new();
        let _ = write!(text, "\nThe first failure of {}: {failure}\n", self.workload);
        Some(text)
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
    use super::*;
    use crate::cli::bench::process::Used;
    use crate::cli::bench::workload::{JobWork, ScoreWork};

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
    fn without_a_good_answer_there_is_no_ratio() {
        let figures = Figures::new(Workload::Scores(ScoreWork::Top), &Measured::new(), 0.0);
        assert_eq!((figures.requests_per_s, figures.max_ms, figures.ratio_to_live), (0.0, 0.0, None));
    }

    #[test]
    fn cpu_time_is_told_by_the_job_and_memory_by_what_waits() {
        let mut measured = measured(1..=10, 10, Duration::from_secs(1));
        let used = Use { cpu: Duration::from_millis(5), rss_before: 20_000_000, rss: 27_000_000 };
        measured.used = Used { elapsed: Duration::from_secs(1), service: Some(used), redis: None };
        let jobs = Figures::new(Workload::Jobs(JobWork::JobsBatch), &measured, 100.0);
        assert_eq!((jobs.jobs_per_s, jobs.ratio_to_live, jobs.memory()), (Some(100.0), Some(0.1), None));
        assert_eq!(jobs.service.as_ref().and_then(|service| service.cpu_us_each), Some(50.0));
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
