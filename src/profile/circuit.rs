//! Upstreams that fail are left alone for a while.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::client::Failure;
use super::store::Source;

/// Failures in a row after which an upstream is left alone.
const MOST_FAILURES: u32 = 5;
/// For how long at first, and at most: it doubles with each try that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Upstreams that are remembered, beside those that are left alone now.
const REMEMBERED: usize = 1000;

/// What is known of upstreams that fail.
#[derive(Default)]
pub(super) struct Circuits(RefCell<HashMap<String, Circuit>>);

/// An upstream that has failed, and has not answered since.
#[derive(Default)]
struct Circuit {
    failures: u32,
    /// Until when it is left alone, and how long that is.
    rest: Option<(Instant, Duration)>,
    /// Whether it is tried at the moment.
    is_tried: bool,
}

/// The leave to ask an upstream once.
pub(super) struct Leave<'a> {
    circuits: &'a Circuits,
    source: Arc<Source>,
    is_try: bool,
}

impl Circuits {
    /// The leave to ask, unless the upstream is left alone. When its pause is over, one may try.
    pub(super) fn enter(&self, source: &Arc<Source>) -> Option<Leave<'_>> {
        let mut circuits = self.0.borrow_mut();
        let circuit = circuits.get_mut(&source.tag);
        let resting = circuit.and_then(|circuit| circuit.rest.map(|(until, _)| (until, &mut circuit.is_tried)));
        let is_try = match resting {
            None => false,
            Some((until, is_tried)) if Instant::now() < until || *is_tried => return None,
            Some((_, is_tried)) => {
                *is_tried = true;
                true
            }
        };
        Some(Leave { circuits: self, source: Arc::clone(source), is_try })
    }
}

impl Leave<'_> {
    /// The upstream has answered.
    pub(super) fn answered(self) {
        let known = self.circuits.0.borrow_mut().remove(&self.source.tag);
        if known.is_some_and(|circuit| circuit.rest.is_some()) {
            let board = &self.source.board;
            info!(leaderboard.name = %board, "the upstream of the profiles of `{board}` answers again");
        }
    }

    /// It has not.
    pub(super) fn failed(self, failure: &Failure) {
        let now = Instant::now();
        let mut circuits = self.circuits.0.borrow_mut();
        if circuits.len() >= REMEMBERED {
            circuits.retain(|_, circuit| circuit.rest.is_some_and(|(until, _)| until > now));
        }
        let circuit = circuits.entry(self.source.tag.clone()).or_default();
        circuit.failures = circuit.failures.saturating_add(1);
        match circuit.rest {
            None if circuit.failures >= MOST_FAILURES => {
                circuit.rest = Some((now + FIRST_PAUSE, FIRST_PAUSE));
                let board = &self.source.board;
                warn!(leaderboard.name = %board, "the upstream of the profiles of `{board}` is left alone: {failure}");
            }
            Some((_, pause)) if self.is_try => {
                let pause = (2 * pause).min(LONGEST_PAUSE);
                circuit.rest = Some((now + pause, pause));
            }
            // Not yet; or it was asked before it was left alone.
            None | Some(_) => {}
        }
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.is_try
            && let Some(circuit) = self.circuits.0.borrow_mut().get_mut(&self.source.tag)
        {
            circuit.is_tried = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaderboard::{ProfileSettings, ProfileUrl};
    use crate::types::LeaderboardName;

    fn source(url: &str) -> Arc<Source> {
        let url = ProfileUrl::try_from(url.to_owned()).expect("a URL");
        let board = LeaderboardName::try_from("race".to_owned()).expect("a name");
        Arc::new(Source::new(board, ProfileSettings { url, ttl_ms: 1000, stale_ms: 0 }))
    }

    impl Circuits {
        /// Lets the pause of an upstream be over, and tells how long it was.
        fn end_pause(&self, source: &Source) -> Duration {
            let mut circuits = self.0.borrow_mut();
            let rest =
                circuits.get_mut(&source.tag).and_then(|circuit| circuit.rest.as_mut()).expect("it is left alone");
            rest.0 = Instant::now();
            rest.1
        }
    }

    #[test]
    fn what_fails_is_left_alone_and_then_tried_by_one() {
        let (circuits, dead, other) = (Circuits::default(), source("http://a/{member}"), source("http://b/{member}"));
        let fail = || circuits.enter(&dead).expect("not left alone").failed(&Failure::Status(500));
        let late = circuits.enter(&dead).expect("not left alone");
        (0..MOST_FAILURES).for_each(|_| fail());
        late.failed(&Failure::NoObject);
        assert!(circuits.enter(&dead).is_none() && circuits.enter(&other).is_some());
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(circuits.end_pause(&dead), Duration::from_secs(pause));
            // One that asks for nothing leaves it to the next.
            drop(circuits.enter(&dead).expect("the pause is over"));
            let tried = circuits.enter(&dead).expect("the pause is over");
            assert!(circuits.enter(&dead).is_none(), "one is enough");
            tried.failed(&Failure::Status(503));
            assert!(circuits.enter(&dead).is_none());
        }
        circuits.end_pause(&dead);
        circuits.enter(&dead).expect("the pause is over").answered();
        fail();
        assert!(circuits.enter(&dead).is_some(), "what answered begins anew");
    }

    #[test]
    fn failures_with_answers_between_are_none_of_the_upstream() {
        let (circuits, source) = (Circuits::default(), source("http://a/{member}"));
        for _ in 0..3 * MOST_FAILURES {
            circuits.enter(&source).expect("not left alone").failed(&Failure::NoObject);
            circuits.enter(&source).expect("not left alone").answered();
        }
    }
}
