//! What is seen of a workload while it runs.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::client::Failure;
use super::pace::Pace;
use super::process::Used;

/// Latencies are kept in µs with three digits, up to two hours: in an open loop what waits may wait as long as the measurement.
const MAX_MICROS: u64 = 7_200_000_000;
const DIGITS: u8 = 3;

/// Answers of one workload, counted.
pub struct Measured {
    latencies: Histogram<u64>,
    /// Requests that got a good answer.
    pub requests: u64,
    /// Scores or jobs that the good answers stand for.
    pub items: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Requests that got no good answer. They have no part in rates and latencies.
    pub failed: u64,
    pub first_failure: Option<Failure>,
    /// The rate of an open loop.
    pub asked_per_s: Option<u64>,
    /// Requests that were due and not sent, since everyone was busy until the end.
    pub not_sent: u64,
    /// What the processes behind the service used meanwhile.
    pub used: Used,
    /// Waiting polls or jobs that were there at the end, where their memory is measured.
    pub held: Option<u64>,
}

impl Measured {
    pub fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, MAX_MICROS, DIGITS).expect("the bounds are constants in order");
        Self {
            latencies,
            requests: 0,
            items: 0,
            elapsed: Duration::ZERO,
            failed: 0,
            first_failure: None,
            asked_per_s: None,
            not_sent: 0,
            used: Used::default(),
            held: None,
        }
    }

    /// Counts an answer, with the scores or jobs that a good one stands for.
    pub fn count(&mut self, answer: Result<u64, Failure>, latency: Duration) {
        match answer {
            Ok(items) => {
                self.requests += 1;
                self.items += items;
                self.saw(latency);
            }
            Err(failure) => {
                self.failed += 1;
                self.first_failure.get_or_insert(failure);
            }
        }
    }

    /// Notes a latency.
    pub fn saw(&mut self, latency: Duration) {
        self.latencies.saturating_record(latency.as_micros() as u64);
    }

    /// Notes the rate that was asked for, and what was not sent. It has a part in the latencies all the same, with how long
    /// it had waited by the end: without it a service that falls behind would look as if only the early requests had been made.
    pub fn keep_pace(&mut self, pace: &Pace) {
        self.asked_per_s = Some(pace.per_s());
        for waited in pace.left() {
            self.not_sent += 1;
            self.saw(waited);
        }
    }

    /// Adds what another thread saw at the same time.
    pub fn add(&mut self, other: Self) {
        self.latencies.add(other.latencies).expect("all histograms have the same bounds");
        self.requests += other.requests;
        self.items += other.items;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        // One thread looks at the processes, for all.
        if other.used.elapsed > self.used.elapsed {
            self.used = other.used;
        }
    }

    pub fn requests_per_s(&self) -> f64 {
        self.per_s(self.requests)
    }

    pub fn items_per_s(&self) -> f64 {
        self.per_s(self.items)
    }

    fn per_s(&self, number: u64) -> f64 {
        if self.elapsed.is_zero() { 0.0 } else { number as f64 / self.elapsed.as_secs_f64() }
    }

    /// The latency that this share of the answers did not exceed.
    pub fn millis(&self, share: f64) -> f64 {
        self.latencies.value_at_quantile(share) as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_is_no_answer_and_no_failure_but_it_has_waited() {
        let mut measured = Measured::new();
        measured.count(Ok(1), Duration::from_millis(1));
        measured.elapsed = Duration::from_secs(1);
        measured.keep_pace(&Pace::new(4, Duration::from_secs(1)));
        assert_eq!((measured.requests, measured.failed, measured.not_sent), (1, 0, 4));
        assert_eq!((measured.asked_per_s, measured.requests_per_s()), (Some(4), 1.0));
        assert!((measured.millis(1.0) - 1000.0).abs() < 1.0, "{}", measured.millis(1.0));
    }

    #[test]
    fn threads_are_merged_over_the_longest_of_their_times() {
        let mut all = Measured::new();
        for (millis, seconds) in [(10, 1), (30, 2), (20, 1)] {
            let mut thread = Measured::new();
            thread.count(Ok(2), Duration::from_millis(millis));
            thread.count(Err(Failure::NoJob), Duration::MAX);
            thread.elapsed = Duration::from_secs(seconds);
            all.add(thread);
        }
        assert_eq!((all.requests, all.requests_per_s(), all.failed), (3, 1.5, 3));
        assert_eq!((all.items, all.items_per_s()), (6, 3.0));
        assert!((all.millis(0.5) - 20.0).abs() < 0.02 && (all.millis(1.0) - 30.0).abs() < 0.03);
    }
}
