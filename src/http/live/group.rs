//! The task of a group: it looks when it is told of a change, and shows what is new to all subscribers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use super::frame::{Frame, KNOWN_AROUND};
use super::{End, Live, State, Subject, Watched};
use crate::error::{Error, Result};
use crate::leaderboard::{Leaderboards, Start};
use crate::types::Limit;

/// At most four looks a second.
const PAUSE: Duration = Duration::from_millis(250);
/// After so long without a message it looks by itself, in case one was lost.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// After a look that failed.
const RETRY: Duration = Duration::from_secs(1);
/// The shortest wait for a reset: the clocks need not agree to the millisecond.
const SHORTEST: Duration = Duration::from_millis(10);

/// Looks for one group.
pub(super) struct Looker {
    pub(super) live: Live,
    pub(super) leaderboards: Leaderboards,
    pub(super) watched: Watched,
    pub(super) key: String,
    pub(super) ticket: u64,
    pub(super) state: watch::Sender<State>,
    pub(super) changes: watch::Receiver<u64>,
}

impl Looker {
    /// Looks until the group ends, or there is nothing more to look at.
    pub(super) async fn run(mut self) {
        let (mut is_first, mut is_told) = (true, false);
        loop {
            // What is told from here on is looked at once more.
            self.changes.mark_unchanged();
            let looked = {
                // The semaphore is never closed.
                let _permit = self.live.0.looks.acquire().await;
                self.make_known(is_first).await;
                self.look().await
            };
            is_first = false;
            let wait = match looked {
                Ok(frame) => {
                    // A look that nobody asked for and that found nothing keeps nobody waiting.
                    if self.show(frame) || is_told {
                        sleep_until(Instant::now() + PAUSE).await;
                    }
                    self.next_look().await
                }
                Err(error) => match self.end_of(error) {
                    Some(end) => return self.end(end),
                    None => RETRY,
                },
            };
            is_told = tokio::select! {
                // The board outlives its groups.
                _ = self.changes.changed() => true,
                () = sleep(wait) => false,
            };
        }
    }

    /// Makes known that somebody watches. Where that fails the looks find what changes, later.
    async fn make_known(&self, is_first: bool) {
        let name = &self.watched.leaderboard;
        // Whoever noted it before may still be on the way: the first look of a group relies on nobody.
        if (self.live.is_to_be_renewed(name) || is_first)
            && let Err(error) = self.leaderboards.watch(name).await
        {
            debug!("it could not be noted that `{name}` is watched: {error}");
        }
    }

    async fn look(&self) -> Result<Frame> {
        let Watched { leaderboard, view, subject } = &self.watched;
        match subject {
            Subject::Top(limit) => {
                let page = self.leaderboards.rankings(leaderboard, view, &Start::Offset(0), *limit).await?;
                Frame::of_top(leaderboard, page)
            }
            Subject::Around(member, radius) => {
                let known = radius.get().max(KNOWN_AROUND);
                match self.leaderboards.around_member(leaderboard, member, view, known).await {
                    Ok(page) => Frame::of_member(leaderboard, page, *radius),
                    Err(Error::NoMember { .. }) => {
                        let one = Limit::try_from(1).unwrap_or_default();
                        let page = self.leaderboards.rankings(leaderboard, view, &Start::Offset(0), one).await?;
                        Frame::without_member(leaderboard, page)
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// Shows what was found; tells whether it is new.
    fn show(&self, frame: Frame) -> bool {
        self.state.send_if_modified(|state| {
            let is_known = matches!(state, State::Shown(known) if known.id == frame.id);
            if !is_known {
                *state = State::Shown(Arc::new(frame));
            }
            !is_known
        })
    }

    /// How long to wait for a message at most: a reset comes without one.
    async fn next_look(&self) -> Duration {
        let resets = self.leaderboards.resets_in(&self.watched.leaderboard, self.watched.view.window.as_ref()).await;
        let check = CHECK_EVERY.mul_f64(0.9 + 0.2 * fastrand::f64());
        match resets {
            Ok(Some(reset)) => reset.clamp(SHORTEST, check),
            Ok(None) | Err(_) => check,
        }
    }

    /// Whether an error is the end of the group, and which.
    fn end_of(&self, error: Error) -> Option<End> {
        let was_shown = matches!(*self.state.borrow(), State::Shown(_));
        let is_gone = matches!(
            error,
            Error::NoLeaderboard(_) | Error::NoWindow { .. } | Error::NoPeriod { .. } | Error::Invalid(_)
        );
        match (was_shown, is_gone) {
            (false, _) => Some(End::Failed(error)),
            (true, true) => Some(End::Deleted),
            (true, false) => {
                debug!("`{}` could not be looked at: {error}", self.watched.leaderboard);
                None
            }
        }
    }

    /// Whoever comes from now on begins a group of his own.
    fn end(&self, end: End) {
        self.live.leave(&self.watched.leaderboard, &self.key, self.ticket, true);
        self.state.send_replace(State::Ended(end));
    }
}
