//! Bans of members on all leaderboards.
//!
//! A change is written first, with a mark that it is pending, and then brought to each leaderboard in one step of its own. A
//! leaderboard that was brought to it takes no call of a process that does not know it; one that was made meanwhile has seen
//! none, and takes no call before its process has read what is there. So when the change is answered, nothing of a banned
//! member is seen anywhere, and nothing can come.

use std::sync::Arc;

use std::time::Duration;

use futures_util::stream;
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::Leaderboards;
use super::audit::{Act, Action, AuditNote};
use super::bans::{Ban, Severity, ban_note};
use super::board::Board;
use super::store::BanChange;
use crate::error::{Error, Result};
use crate::task::{Again, Report, Task};
use crate::types::{LeaderboardName, Limit, Member};

/// Leaderboards that are brought to a change at once.
const AT_ONCE: usize = 8;
/// Names of leaderboards read in one call.
const NAMES_AT_ONCE: u64 = 250;
/// After how long a change that is still pending was cut off.
const CUT_OFF_AFTER_MS: i64 = 5000;

impl Leaderboards {
    /// Bans a member on all leaderboards, those to come included, or changes its ban; tells whether it is new.
    ///
    /// # Errors
    ///
    /// `Conflict` where there are too many bans. `OutcomeUnknown` where not all leaderboards could be brought to it: a background
    /// task goes on.
    pub async fn ban_everywhere(&self, member: &Member, severity: Severity, act: &Act) -> Result<(bool, Ban)> {
        let (json, note) = (Ban::json(act)?, ban_note(member, severity, act));
        let change = self.store.service_ban(member, Some((severity, &json)), &note).await?;
        let done = change.changed.into_ban(member)?;
        self.meet_everywhere(member, &change.pending).await.map_err(|error| cut_off(&error))?;
        Ok(done)
    }

    /// Lifts a service-wide ban. The member's entries are back, but where it is banned on a leaderboard as well.
    ///
    /// # Errors
    ///
    /// `NoBan`; `OutcomeUnknown` as above.
    pub async fn lift_ban_everywhere(&self, member: &Member, act: &Act) -> Result<()> {
        let note = AuditNote::new(act, Action::Unban, Some(member));
        let change = self.store.service_ban(member, None, &note).await?;
        change.changed.into_lifted(member)?;
        self.meet_everywhere(member, &change.pending).await.map_err(|error| cut_off(&error))
    }

    /// A member's service-wide ban.
    ///
    /// # Errors
    ///
    /// `NoBan`.
    pub async fn get_service_ban(&self, member: &Member) -> Result<Ban> {
        let (bans, _) = self.store.service_ban_keys();
        let stored = self.store.get_ban(&bans, member).await?;
        Ban::read(member, &stored)?.ok_or_else(|| Error::NoBan(member.clone()))
    }

    /// The service-wide bans by member, after `after`; and the member to go on after, if there are more.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn list_service_bans(&self, after: Option<&Member>, limit: Limit) -> Result<(Vec<Ban>, Option<Member>)> {
        let (bans, names) = self.store.service_ban_keys();
        self.store.list_bans(&names, &bans, after, limit).await
    }

    /// Brings every leaderboard to what stands of a member's service-wide ban.
    async fn meet_everywhere(&self, member: &Member, pending: &str) -> Result<()> {
        self.store.refresh_bans().await?;
        let most = Limit::try_from(NAMES_AT_ONCE).unwrap_or_default();
        let mut after: Option<LeaderboardName> = None;
        loop {
            let (names, more) = self.store.names(after.as_ref().map(LeaderboardName::as_str), most).await?;
            let meetings = stream::iter(&names).map(|name| self.meet(name, member)).buffer_unordered(AT_ONCE);
            meetings.try_collect::<()>().await?;
            if !more {
                return self.store.service_ban_done(member, pending).await;
            }
            after = names.last().cloned();
        }
    }

    async fn meet(&self, name: &LeaderboardName, member: &Member) -> Result<()> {
        let meet = async |board: &Arc<Board>| {
            self.store.ban(board.shard(board.shard_of(member)), member, &BanChange::Meet, None).await
        };
        match self.on_current(name, meet).await {
            Ok(_) | Err(Error::NoLeaderboard(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn cut_off(error: &Error) -> Error {
    Error::OutcomeUnknown(format!("a service-wide ban has not reached every leaderboard yet: {error}"))
}

/// Finishes changes of service-wide bans that were cut off.
pub struct FinishBans {
    leaderboards: Leaderboards,
}

impl FinishBans {
    /// The task for these leaderboards.
    pub fn new(leaderboards: Leaderboards) -> Self {
        Self { leaderboards }
    }
}

impl Task for FinishBans {
    const NAME: &'static str = "leaderboard.finish_bans";
    const EVERY: Duration = Duration::from_secs(1);

    async fn run_once(&self) -> Result<Report> {
        let mut done = 0;
        for (member, pending) in self.leaderboards.store.pending_bans().await? {
            if self.leaderboards.store.is_cut_off(&pending, CUT_OFF_AFTER_MS) {
                self.leaderboards.meet_everywhere(&member, &pending).await?;
                done += 1;
            }
        }
        Ok(Report { done, again: if done > 0 { Again::Now } else { Again::AfterTick } })
    }
}
