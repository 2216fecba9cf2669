//! How long a failed job waits for its next attempt.

use super::settings::{Backoff, BackoffKind};

impl Backoff {
    /// The delay in milliseconds after so many attempts, with chance where there is jitter: exponential back-off as AWS's
    /// "Exponential Backoff And Jitter" describes it, with the jitter around the delay, so that it stays a delay.
    pub fn delay_ms(&self, attempts: u32) -> u64 {
        let plain = self.plain_delay_ms(attempts);
        let share = self.jitter * (2.0 * fastrand::f64() - 1.0);
        let delay = (plain as f64 * (1.0 + share)).round() as u64;
        delay.min(self.longest_ms())
    }

    /// The delay without chance.
    pub fn plain_delay_ms(&self, attempts: u32) -> u64 {
        let delay = match self.kind {
            BackoffKind::Fixed => self.base_ms,
            BackoffKind::Exponential => {
                let doublings = attempts.saturating_sub(1).min(63);
                self.base_ms.saturating_mul(1 << doublings)
            }
        };
        delay.min(self.longest_ms())
    }

    fn longest_ms(&self) -> u64 {
        match self.kind {
            // Jitter may go beyond the base, and there is nothing that grows.
            BackoffKind::Fixed => u64::MAX,
            BackoffKind::Exponential => self.max_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::settings::Settings;

    #[test]
    fn the_default_schedule_waits_fifteen_seconds_in_all() {
        let settings = Settings::default();
        let delays: Vec<u64> =
            (1..settings.max_attempts).map(|attempts| settings.backoff.plain_delay_ms(attempts)).collect();
        assert_eq!(delays, [1000, 2000, 4000, 8000]);
        assert_eq!(delays.iter().sum::<u64>(), 15_000);
    }

    #[test]
    fn jitter_stays_in_its_share_and_under_the_clamp() {
        let backoff = Backoff { jitter: 0.2, ..Backoff::default() };
        for _ in 0..1000 {
            assert!((800..=1200).contains(&backoff.delay_ms(1)));
            assert!((2_880_000..=3_600_000).contains(&backoff.delay_ms(40)));
            assert!(backoff.delay_ms(1000) <= 3_600_000);
        }
        let seen: std::collections::BTreeSet<u64> = (0..100).map(|_| backoff.delay_ms(5)).collect();
        assert!(seen.len() > 10, "there is no chance in it: {seen:?}");
    }

    #[test]
    fn fixed_delays_do_not_grow() {
        let backoff = Backoff { kind: BackoffKind::Fixed, base_ms: 500, max_ms: 0, jitter: 0.0 };
        assert_eq!([1, 2, 1000].map(|attempts| backoff.delay_ms(attempts)), [500; 3]);
    }
}
