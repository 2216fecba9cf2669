//! What is seen of a workload while it runs.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::client::Failure;
use super::process::Used;

/// Latencies are kept in µs with three digits, up to a minute.
const MAX_MICROS: u64 = 60_000_000;
const DIGITS: u8 = 3;

/// Answers of one workload, counted.
pub struct Measured {
    latencies: Histogram<u64>,
    /// Scores or jobs that the good answers stand for.
    pub items: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Requests that got no good answer. They have no part in rates and latencies.
    pub failed: u64,
    pub first_failure: Option<Failure>,
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
            items: 0,
            elapsed: Duration::ZERO,
            failed: 0,
            first_failure: None,
            used: Used::default(),
            held: None,
        }
    }

    /// Counts an answer, with the scores or jobs that a good one stands for.
    pub fn count(&mut self, answer: Result<u64, Failure>, latency: Duration) {
        match answer {
            Ok(items) => {
                self.items += items;
                self.latencies.saturating_record(latency.as_micros() as u64);
            }
            Err(failure) => {
                self.failed += 1;
                self.first_failure.get_or_insert(failure);
            }
        }
    }

    /// Adds what another thread saw at the same time.
    pub fn add(&mut self, other: Self) {
        self.latencies.add(other.latencies).expect("all histograms have the same bounds");
        self.items += other.items;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        // One thread looks at the processes, for all.
        if other.used.elapsed > self.used.elapsed {
            self.used = other.used;
        }
    }

    /// Requests that got a good answer.
    pub fn requests(&self) -> u64 {
        self.latencies.len()
    }

    pub fn requests_per_s(&self) -> f64 {
        self.per_s(self.requests())
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
    fn threads_are_merged_over_the_longest_of_their_times() {
        let mut all = Measured::new();
        for (millis, seconds) in [(10, 1), (30, 2), (20, 1)] {
            let mut thread = Measured::new();
            thread.count(Ok(2), Duration::from_millis(millis));
            thread.count(Err(Failure::NoJob), Duration::MAX);
            thread.elapsed = Duration::from_secs(seconds);
            all.add(thread);
        }
        assert_eq!((all.requests(), all.requests_per_s(), all.failed), (3, 1.5, 3));
        assert_eq!((all.items, all.items_per_s()), (6, 3.0));
        assert!((all.millis(0.5) - 20.0).abs() < 0.02 && (all.millis(1.0) - 30.0).abs() < 0.03);
    }
}
