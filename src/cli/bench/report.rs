//! The figures of a run, as a table and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::board::Board;
use super::measured::Measured;
use super::options::Options;
use super::requests::Workload;
use crate::leaderboard::Ties;

/// A run with all that its numbers depend on.
#[derive(Serialize)]
pub struct Report {
    version: &'static str,
    service_version: String,
    leaderboard: String,
    ties: Ties,
    entries: u64,
    connections: u64,
    threads: u64,
    seconds: u64,
    workloads: Vec<Figures>,
}

/// The figures of one workload.
#[derive(Debug, PartialEq, Serialize)]
struct Figures {
    workload: &'static str,
    requests: u64,
    requests_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Requests per second over those of `/health/live`; `None` where that had no good answer.
    ratio_to_live: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scores_per_s: Option<f64>,
    failed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_failure: Option<String>,
}

impl Figures {
    fn new(workload: Workload, measured: &Measured, live_per_s: f64) -> Self {
        let requests_per_s = measured.requests_per_s();
        Self {
            workload: workload.name(),
            requests: measured.requests(),
            requests_per_s,
            p50_ms: measured.millis(0.5),
            p99_ms: measured.millis(0.99),
            max_ms: measured.millis(1.0),
            ratio_to_live: (live_per_s > 0.0).then(|| requests_per_s / live_per_s),
            scores_per_s: workload.scores().map(|scores| requests_per_s * scores as f64),
            failed: measured.failed,
            first_failure: measured.first_failure.as_ref().map(ToString::to_string),
        }
    }

    fn row(&self) -> String {
        format!(
            "{:<13} {:>9} {:>9.2} {:>9.2} {:>9.2} {:>7} {:>11} {:>7}\n",
            self.workload,
            grouped(self.requests_per_s),
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.ratio_to_live.map_or("-".to_owned(), |ratio| format!("{ratio:.3}")),
            self.scores_per_s.map_or(String::new(), grouped),
            self.failed,
        )
    }
}

impl Report {
    pub fn new(options: &Options, board: &Board, service_version: String, measured: &[(Workload, Measured)]) -> Self {
        let live_per_s = measured.first().map_or(0.0, |(_, live)| live.requests_per_s());
        Self {
            version: env!("CARGO_PKG_VERSION"),
            service_version,
            leaderboard: board.name.clone(),
            ties: options.ties,
            entries: options.entries,
            connections: options.connections,
            threads: options.threads,
            seconds: options.seconds,
            workloads: measured.iter().map(|(workload, seen)| Figures::new(*workload, seen, live_per_s)).collect(),
        }
    }

    /// Requests that got no good answer.
    pub fn failed(&self) -> u64 {
        self.workloads.iter().map(|figures| figures.failed).sum()
    }

    pub fn table(&self) -> String {
        let mut text = format!(
            "ranq {}: {} entries, {} connections, {} s each\n\n{:<13} {:>9} {:>9} {:>9} {:>9} {:>7} {:>11} {:>7}\n",
            self.service_version,
            grouped(self.entries as f64),
            self.connections,
            self.seconds,
            "workload",
            "req/s",
            "p50 ms",
            "p99 ms",
            "max ms",
            "ratio",
            "scores/s",
            "failed",
        );
        for figures in &self.workloads {
            text.push_str(&figures.row());
        }
        for figures in &self.workloads {
            if let Some(failure) = &figures.first_failure {
                let _ = write!(text, "\nThe first failure of {}: {failure}\n", figures.workload);
            }
        }
        text
    }

    pub fn json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// A whole number with commas between thousands.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::bench::client::Failure;

    fn measured(latencies_ms: std::ops::RangeInclusive<u64>, elapsed: Duration) -> Measured {
        let mut measured = Measured::new();
        for latency in latencies_ms {
            measured.count(Ok(()), Duration::from_millis(latency));
        }
        measured.elapsed = elapsed;
        measured
    }

    fn report(workloads: Vec<Figures>) -> Report {
        Report {
            version: "0.1.0",
            service_version: "0.1.0".to_owned(),
            leaderboard: "bench".to_owned(),
            ties: Ties::Earliest,
            entries: 10_000,
            connections: 64,
            threads: 1,
            seconds: 2,
            workloads,
        }
    }

    #[test]
    fn figures_are_of_the_good_answers_in_the_time_they_took() {
        let figures = Figures::new(Workload::SubmitBatch, &measured(1..=100, Duration::from_secs(2)), 200.0);
        assert_eq!((figures.requests, figures.requests_per_s), (100, 50.0));
        assert_eq!((figures.ratio_to_live, figures.scores_per_s), (Some(0.25), Some(50_000.0)));
        for (seen, told) in [(figures.p50_ms, 50.0), (figures.p99_ms, 99.0), (figures.max_ms, 100.0)] {
            assert!((seen / told - 1.0).abs() < 0.001, "{seen} is not {told}");
        }
    }

    #[test]
    fn failures_are_counted_apart_and_the_first_is_told() {
        let mut live = measured(1..=2, Duration::from_secs(1));
        for body in ["first", "second"] {
            live.count(Err(Failure::refused(hyper::StatusCode::SERVICE_UNAVAILABLE, body.as_bytes())), Duration::MAX);
        }
        let report = report(vec![Figures::new(Workload::Live, &live, 2.0)]);
        assert_eq!((report.failed(), report.workloads[0].requests), (2, 2));
        assert!(report.table().contains("The first failure of live: status 503 Service Unavailable: first\n"));
        assert!(!report.table().contains("second"));
    }

    #[test]
    fn without_a_good_answer_there_is_no_ratio() {
        let figures = Figures::new(Workload::Top, &Measured::new(), 0.0);
        assert_eq!((figures.requests_per_s, figures.max_ms, figures.ratio_to_live), (0.0, 0.0, None));
    }

    #[test]
    fn the_columns_of_the_table_stand_below_each_other() {
        let live = measured(1..=100, Duration::from_millis(2));
        let batch = measured(1..=100, Duration::from_secs(1));
        let workloads =
            vec![Figures::new(Workload::Live, &live, 50_000.0), Figures::new(Workload::SubmitBatch, &batch, 50_000.0)];
        assert_eq!(
            report(workloads).table(),
            "ranq 0.1.0: 10,000 entries, 64 connections, 2 s each\n\n\
             workload          req/s    p50 ms    p99 ms    max ms   ratio    scores/s  failed\n\
             live             50,000     50.02     99.01    100.03   1.000                   0\n\
             submit-batch        100     50.02     99.01    100.03   0.002     100,000       0\n"
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0.0, "0"), (999.4, "999"), (1000.0, "1,000"), (1_234_567.0, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
