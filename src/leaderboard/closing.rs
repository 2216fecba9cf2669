//! Closing by hand, and what is known of closed periods that are still to be paid.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::Leaderboards;
use super::board::Board;
use super::store::{Versioned, WindowClosed};
use super::submission::Fingerprint;
use crate::error::{Error, Result};
use crate::task::TaskHandle;
use crate::types::{IdempotencyKey, LeaderboardName, WindowName};

/// Leaderboards with closed periods that are to be paid, as far as this process knows. The walk of [`super::Roll`] finds all.
#[derive(Default)]
pub(super) struct Closings {
    names: Mutex<BTreeSet<LeaderboardName>>,
    payer: OnceLock<TaskHandle>,
}

impl Closings {
    fn names(&self) -> MutexGuard<'_, BTreeSet<LeaderboardName>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a window's closing led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedPeriod {
    /// The name of the period that is closed.
    pub period: String,
    /// Whether this is the first answer given again.
    pub replayed: bool,
}

impl Leaderboards {
    /// Closes the open period of a window now; the next one begins. With a key the closing counts once.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`, `NoWindow`, `IdempotencyMismatch`.
    pub async fn close_window(
        &self,
        name: &LeaderboardName,
        window: &WindowName,
        key: Option<&IdempotencyKey>,
    ) -> Result<ClosedPeriod> {
        let fingerprint = Fingerprint::of(&format!("close {window}"), std::iter::empty());
        let once = key.map(|key| (key, &fingerprint));
        let closed = self.on_current(name, async |board| self.close_on(board, window, once).await).await?;
        // It was made under settings that are no longer the latest.
        self.boards.invalidate(name);
        self.note_closing(name);
        Ok(closed)
    }

    async fn close_on(
        &self,
        board: &Board,
        window: &WindowName,
        once: Option<(&IdempotencyKey, &Fingerprint)>,
    ) -> Result<Versioned<ClosedPeriod>> {
        let open = self.open_ranking(board, Some(window))?;
        if board.is_spread() {
            let text = format!("leaderboard `{}` has several shards, whose windows are not closed by hand", board.name);
            return Err(Error::Conflict(text));
        }
        let closed = self.store.close(board, &open, once).await?;
        Ok(closed.map(|WindowClosed { period, replayed }| ClosedPeriod { period, replayed }))
    }

    /// Whom to wake when a period has closed.
    pub fn pay_with(&self, payer: TaskHandle) {
        // A second one would be another driver's: one process has one.
        let _ = self.closings.payer.set(payer);
    }

    /// Notes that a leaderboard may have something to pay, and wakes whoever pays.
    pub fn note_closing(&self, name: &LeaderboardName) {
        self.closings.names().insert(name.clone());
        if let Some(payer) = self.closings.payer.get() {
            payer.wake();
        }
    }

    /// The leaderboards that were noted since this was last asked.
    pub fn noted_closings(&self) -> Vec<LeaderboardName> {
        std::mem::take(&mut *self.closings.names()).into_iter().collect()
    }
}
