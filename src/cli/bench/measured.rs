//! What is seen of a workload while it runs.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::client::Failure;

/// Latencies are kept in µs with three digits, up to a minute.
const MAX_MICROS: u64 = 60_000_000;
const DIGITS: u8 = 3;

/// Answers of one workload, counted.
pub struct Measured {
    latencies: Histogram<u64>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Requests that got no good answer. They have no part in rates and latencies.
    pub failed: u64,
    pub first_failure: Option<Failure>,
}

impl Measured {
    pub fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, MAX_MICROS, DIGITS).expect("the bounds are constants in order");
        Self { latencies, elapsed: Duration::ZERO, failed: 0, first_failure: None }
    }

    pub fn count(&mut self, answer: Result<(), Failure>, latency: Duration) {
        match answer {
            Ok(()) => self.latencies.saturating_record(latency.as_micros() as u64),
            Err(failure) => {
                self.failed += 1;
                self.first_failure.get_or_insert(failure);
            }
        }
    }

    /// Adds what another thread saw at the same time.
    pub fn add(&mut self, other: Self) {
        self.latencies.add(other.latencies).expect("all histograms have the same bounds");
        self.elapsed = self.elapsed.max(other.elapsed);
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    /// Requests that got a good answer.
    pub fn requests(&self) -> u64 {
        self.latencies.len()
    }

    pub fn requests_per_s(&self) -> f64 {
        if self.elapsed.is_zero() { 0.0 } else { self.requests() as f64 / self.elapsed.as_secs_f64() }
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
            thread.count(Ok(()), Duration::from_millis(millis));
            thread.count(Err(Failure::TimedOut), Duration::MAX);
            thread.elapsed = Duration::from_secs(seconds);
            all.add(thread);
        }
        assert_eq!((all.requests(), all.requests_per_s(), all.failed), (3, 1.5, 3));
        assert!((all.millis(0.5) - 20.0).abs() < 0.02 && (all.millis(1.0) - 30.0).abs() < 0.03);
    }
}
