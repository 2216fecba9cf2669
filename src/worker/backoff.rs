//! How long to wait before another try.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
/// A service that asks for a longer pause is asked again all the same.
const LONGEST_WISH: Duration = Duration::from_secs(60);

/// Pauses that double from one try to the next, each with up to half of it left to chance.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) fn up_to(longest: Duration) -> Self {
        Self { next: FIRST.min(longest), longest }
    }

    /// The next pause; never shorter than the service wished by `Retry-After`.
    pub(super) fn pause(&mut self, wished: Option<Duration>) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.longest);
        let random = whole.mul_f64(0.5 + fastrand::f64() / 2.0);
        match wished {
            // All who were turned away would come back in the same moment otherwise.
            Some(wished) => wished.min(LONGEST_WISH) + random,
            None => random,
        }
    }

    pub(super) fn reset(&mut self) {
        *self = Self::up_to(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let longest = Duration::from_secs(1);
        let mut backoff = Backoff::up_to(longest);
        for whole_ms in [100, 200, 400, 800, 1000, 1000] {
            let pause = backoff.pause(None);
            let whole = Duration::from_millis(whole_ms);
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} for {whole:?}");
        }
        backoff.reset();
        assert!(backoff.pause(None) <= FIRST);
    }

    #[test]
    fn a_wish_of_the_service_is_kept_within_reason() {
        let mut backoff = Backoff::up_to(Duration::from_secs(1));
        let pause = backoff.pause(Some(Duration::from_secs(3)));
        assert!(pause >= Duration::from_secs(3) && pause < Duration::from_secs(4), "{pause:?}");
        assert!(backoff.pause(Some(Duration::from_secs(86_400))) < Duration::from_secs(62));
    }
}
