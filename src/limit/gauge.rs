//! A limit in numbers that scripts count with.

use crate::types::RateLimit;

/// What a bucket holds and how fast it drains, in ticks: the smallest parts in which both a request and a microsecond are whole
/// numbers. So counting is exact as long as a full bucket has less than 2^53 ticks (with 1,000,000 requests an hour it has
/// 3.6 * 10^9), and beyond that to 16 digits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gauge {
    /// Ticks of one request.
    pub(super) request: f64,
    /// Ticks that drain in a microsecond.
    pub(super) drain: f64,
    /// Ticks of a full bucket.
    pub(super) capacity: f64,
}

impl Gauge {
    pub(super) fn of(rate: RateLimit) -> Self {
        let per_us = rate.per_ms * 1000;
        let shared = greatest_common_divisor(rate.limit, per_us).max(1);
        let (request, drain) = ((per_us / shared) as f64, (rate.limit / shared) as f64);
        Self { request, drain, capacity: request * rate.limit as f64 }
    }

    /// How many requests fit above a level.
    pub(super) fn room(&self, level: f64) -> u64 {
        // Saturates: what is negative becomes 0.
        ((self.capacity - level) / self.request).floor() as u64
    }

    /// After how many µs so many requests fit above a level; 0 where they do now.
    pub(super) fn wait_us(&self, level: f64, cost: u64) -> u64 {
        ((level + cost as f64 * self.request - self.capacity) / self.drain).ceil().max(0.0) as u64
    }

    /// After how many µs a bucket is empty.
    pub(super) fn empty_after_us(&self, level: f64) -> u64 {
        (level / self.drain).ceil().max(0.0) as u64
    }

    /// A level after so many µs more.
    pub(super) fn drained(&self, level: f64, elapsed_us: i64) -> f64 {
        (level - elapsed_us.max(0) as f64 * self.drain).max(0.0)
    }
}

fn greatest_common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_time_are_whole_numbers_of_ticks() {
        let gauge = Gauge::of(RateLimit { limit: 600, per_ms: 60_000 });
        assert_eq!((gauge.request, gauge.drain, gauge.capacity), (100_000.0, 1.0, 60_000_000.0));
        let gauge = Gauge::of(RateLimit { limit: 7, per_ms: 1 });
        assert_eq!((gauge.request, gauge.drain, gauge.capacity), (1000.0, 7.0, 7000.0));
        let most = RateLimit { limit: RateLimit::MAX_LIMIT, per_ms: RateLimit::MAX_PER_MS };
        assert_eq!(Gauge::of(most).room(0.0), RateLimit::MAX_LIMIT);
    }

    #[test]
    fn a_bucket_has_room_again_as_it_drains() {
        let gauge = Gauge::of(RateLimit { limit: 3, per_ms: 1 });
        let full = gauge.capacity;
        assert_eq!((gauge.room(0.0), gauge.room(full), gauge.room(full + 1.0)), (3, 0, 0));
        assert_eq!(gauge.wait_us(full, 1), 334, "a third of a ms is not a whole number of µs");
        assert_eq!((gauge.room(gauge.drained(full, 333)), gauge.room(gauge.drained(full, 334))), (0, 1));
        assert_eq!((gauge.wait_us(0.0, 3), gauge.empty_after_us(full)), (0, 1000));
        assert_eq!(gauge.drained(full, -5), full, "a clock that goes back drains nothing");
    }
}
