//! What background tasks do of every leaderboard: they look at some of them a run, in turn.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream;

use super::Leaderboards;
use crate::error::Result;
use crate::task::{Again, Report};
use crate::types::{LeaderboardName, Limit};

/// Leaderboards that a run looks at, in turn.
const LOOKS_A_RUN: u64 = 250;

/// Where the round of looks goes on.
#[derive(Default)]
pub(super) struct Rounds(Mutex<Option<LeaderboardName>>);

impl Rounds {
    fn after(&self) -> MutexGuard<'_, Option<LeaderboardName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the next ones, `at_once` at the same time. A look tells how much it did, and whether there is more: then the
    /// same ones are looked at again.
    ///
    /// # Errors
    ///
    /// Where no look succeeded, what one of them met.
    pub(super) async fn run(
        &self,
        leaderboards: &Leaderboards,
        at_once: usize,
        look: impl AsyncFn(&LeaderboardName) -> Result<(u64, bool)>,
    ) -> Result<Report> {
        let after = self.after().clone();
        let most = Limit::try_from(LOOKS_A_RUN).unwrap_or_default();
        let (names, more) = leaderboards.store.names(after.as_ref().map(LeaderboardName::as_str), most).await?;
        let looks = stream::iter(&names).map(|name| look(name)).buffer_unordered(at_once);
        let results: Vec<Result<(u64, bool)>> = looks.collect().await;
        let (mut done, mut left, mut failure, mut succeeded) = (0, false, None, names.is_empty());
        for result in results {
            match result {
                Ok((did, again)) => (done, left, succeeded) = (done + did, left | again, true),
                // One leaderboard must not keep the others waiting.
                Err(error) => failure = Some(error),
            }
        }
        if !left {
            *self.after() = names.last().filter(|_| more).cloned();
        }
        match failure {
            Some(error) if !succeeded => Err(error),
            Some(_) | None => Ok(Report { done, again: if left { Again::Now } else { Again::AfterTick } }),
        }
    }
}
