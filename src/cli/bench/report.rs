//! The figures of a run, as a table and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::figures::{Figures, grouped};
use super::options::Options;
use super::run::{Run, SeenOf};
use super::table::table;
use super::workload::Workload;
use crate::leaderboard::Ties;

/// A run with all that its numbers depend on.
#[derive(Serialize)]
pub struct Report {
    version: &'static str,
    service_version: String,
    #[serde(flatten)]
    board: Option<OnBoard>,
    #[serde(flatten)]
    queues: Option<OnQueues>,
    connections: u64,
    threads: u64,
    seconds: u64,
    /// The requests a second that were asked for; those of a workload that always has a rate stand with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
    workloads: Vec<Figures>,
}

#[derive(Serialize)]
struct OnBoard {
    leaderboard: String,
    ties: Ties,
    entries: u64,
}

#[derive(Serialize)]
struct OnQueues {
    queues: String,
    payload_bytes: u64,
}

impl Report {
    pub fn new(options: &Options, run: &Run<'_>, service_version: String, seen: &[SeenOf]) -> Self {
        let live_per_s = seen.first().map_or(0.0, |live| live.measured.requests_per_s());
        let asks = |of: fn(Workload) -> bool| options.workloads.iter().any(|workload| of(*workload));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            service_version,
            board: asks(Workload::is_on_board).then(|| OnBoard {
                leaderboard: run.board.name.clone(),
                ties: options.ties,
                entries: options.entries,
            }),
            queues: asks(Workload::is_on_queue)
                .then(|| OnQueues { queues: run.queues.clone(), payload_bytes: options.payload_bytes }),
            connections: options.connections,
            threads: options.threads,
            seconds: options.seconds,
            rate: options.rate,
            workloads: seen.iter().map(|seen| seen.figures(live_per_s)).collect(),
        }
    }

    /// Requests that got no good answer.
    pub fn failed(&self) -> u64 {
        self.workloads.iter().map(Figures::failed).sum()
    }

    pub fn table(&self) -> String {
        let mut text = format!("ranq {}: ", self.service_version);
        if let Some(board) = &self.board {
            let _ = write!(text, "{} entries, ", grouped(board.entries as f64));
        }
        if let Some(queues) = &self.queues {
            let _ = write!(text, "payloads of {} bytes, ", grouped(queues.payload_bytes as f64));
        }
        let of_loop = match self.rate {
            Some(rate) => format!("an open loop of {} requests/s", grouped(rate as f64)),
            None => "a closed loop".to_owned(),
        };
        let _ = write!(text, "{} connections, {} s each, {of_loop}\n\n", self.connections, self.seconds);
        let rows: Vec<_> = self.workloads.iter().map(Figures::cells).collect();
        text.push_str(&table(Figures::heads(), &rows));
        for line in self.workloads.iter().filter_map(Figures::memory) {
            text.push_str(&line);
        }
        for line in self.workloads.iter().filter_map(Figures::failure) {
            text.push_str(&line);
        }
        text
    }

    pub fn json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::bench::client::Failure;
    use crate::cli::bench::measured::Measured;
    use crate::cli::bench::pace::Pace;
    use crate::cli::bench::workload::{JobWork, ScoreWork};

    fn measured(latencies_ms: std::ops::RangeInclusive<u64>, items: u64, elapsed: Duration) -> Measured {
        let mut measured = Measured::new();
        for latency in latencies_ms {
            measured.count(Ok(items), Duration::from_millis(latency));
        }
        measured.elapsed = elapsed;
        measured
    }

    fn report(workloads: Vec<Figures>) -> Report {
        Report {
            version: "0.1.0",
            service_version: "0.1.0".to_owned(),
            board: Some(OnBoard { leaderboard: "bench".to_owned(), ties: Ties::Earliest, entries: 10_000 }),
            queues: None,
            connections: 64,
            threads: 1,
            seconds: 2,
            rate: None,
            workloads,
        }
    }

    #[test]
    fn failures_are_counted_apart_and_the_first_is_told() {
        let mut live = measured(1..=2, 0, Duration::from_secs(1));
        for body in ["first", "second"] {
            live.count(Err(Failure::refused(hyper::StatusCode::SERVICE_UNAVAILABLE, body.as_bytes())), Duration::MAX);
        }
        let report = report(vec![Figures::new(Workload::Live, &live, 2.0)]);
        assert_eq!(report.failed(), 2);
        assert!(report.table().contains("The first failure of live: status 503 Service Unavailable: first\n"));
        assert!(!report.table().contains("second"));
    }

    #[test]
    fn the_columns_of_the_table_stand_below_each_other() {
        let live = measured(1..=100, 0, Duration::from_millis(2));
        let batch = measured(1..=100, 1000, Duration::from_secs(1));
        let jobs = measured(1..=100, 1, Duration::from_secs(1));
        let workloads = vec![
            Figures::new(Workload::Live, &live, 50_000.0),
            Figures::new(Workload::Scores(ScoreWork::SubmitBatch), &batch, 50_000.0),
            Figures::new(Workload::Jobs(JobWork::Jobs), &jobs, 50_000.0),
        ];
        assert_eq!(
            report(workloads).table(),
            "ranq 0.1.0: 10,000 entries, 64 connections, 2 s each, a closed loop\n\n\
             workload       req/s  p50 ms  p99 ms  max ms  ratio  items/s  failed\n\
             live          50,000   50.02   99.01  100.03  1.000                0\n\
             submit-batch     100   50.02   99.01  100.03  0.002  100,000       0\n\
             jobs             100   50.02   99.01  100.03  0.002      100       0\n"
        );
    }

    #[test]
    fn an_open_loop_tells_what_was_asked_and_what_was_not_sent() {
        let mut live = measured(1..=100, 0, Duration::from_secs(1));
        live.keep_pace(&Pace::new(125, Duration::from_secs(1)));
        let report = Report { rate: Some(125), ..report(vec![Figures::new(Workload::Live, &live, 100.0)]) };
        let table = report.table();
        assert!(table.contains("2 s each, an open loop of 125 requests/s\n"), "{table}");
        assert!(table.contains("req/s  asked/s  not sent") && table.contains("100      125       125"), "{table}");
        let json = report.json().expect("JSON");
        for part in ["\"rate\": 125", "\"loop\": \"open\"", "\"asked_per_s\": 125", "\"not_sent\": 125"] {
            assert!(json.contains(part), "{json}");
        }
    }

    #[test]
    fn what_was_not_used_is_not_in_the_report() {
        let json = report(Vec::new()).json().expect("JSON");
        assert!(json.contains("\"entries\": 10000") && !json.contains("payload_bytes"), "{json}");
    }
}
