//! What others ask of archived periods.

use super::past::Past;
use super::reads::{Reading, Source};
use super::{Archive, Parts};
use crate::error::{Error, Result};
use crate::leaderboard::{ArchivedPeriod, Period, PeriodName, PeriodStart, PeriodState};
use crate::types::{LeaderboardName, Limit, Member, Timestamp};

/// What is kept where there is no such period.
const NO_PERIOD: &str = "no period";
/// What is kept where a period does not have the member asked for.
const NO_MEMBER: &str = "no member";

/// An answer from an archived period.
#[derive(Debug)]
pub struct PastAnswer {
    /// The answer, as JSON; nothing where the period does not have the member asked for.
    pub json: Option<String>,
    /// Where it was found.
    pub source: Source,
}

impl Archive {
    /// A period, if it is archived.
    ///
    /// # Errors
    ///
    /// `ArchiveOff`, `ArchiveUnavailable`.
    pub async fn period(&self, name: &PeriodName) -> Result<Option<Past>> {
        let parts = self.parts()?;
        let Some(row) = parts.sink.find_period(name).await? else { return Ok(None) };
        let period = ArchivedPeriod::read(&parts.keyspace, name, row.ended_ms, &row.board)?;
        Ok(Some(Past { sink: parts.sink.clone(), id: row.id, period }))
    }

    /// What `read` makes of an archived period as JSON, or what it made of it lately for the same `query`; nothing where there is no such
    /// period.
    ///
    /// # Errors
    ///
    /// `ArchiveOff`, `ArchiveUnavailable`; those of `read`, but for `NoMember`.
    pub async fn answer(
        &self,
        name: &PeriodName,
        query: &str,
        read: impl AsyncFn(&Past) -> Result<String>,
    ) -> Result<Option<PastAnswer>> {
        let parts = self.parts()?;
        let PeriodName { leaderboard, epoch, window, period } = name;
        let read = async || {
            let Some(past) = self.period(name).await? else {
                return Ok(Reading { text: NO_PERIOD.to_owned(), is_there: false });
            };
            match read(&past).await {
                Err(Error::NoMember { .. }) => Ok(Reading { text: NO_MEMBER.to_owned(), is_there: false }),
                read => Ok(Reading { text: read?, is_there: true }),
            }
        };
        let (text, source) = match parts.store.era(leaderboard).await? {
            Some(era) => {
                let query = format!("{epoch} {window} {period} {query}");
                parts.read_through("period", &parts.store.answer_keys(leaderboard, &era, &query), read).await?
            }
            None => (read().await?.text, Source::Database),
        };
        Ok(match text.as_str() {
            NO_PERIOD => None,
            NO_MEMBER => Some(PastAnswer { json: None, source }),
            _ => Some(PastAnswer { json: Some(text), source }),
        })
    }

    /// Archived periods of a window that began before `before`, the newest first; one more than `limit` if there is.
    ///
    /// # Errors
    ///
    /// `ArchiveOff`, `ArchiveUnavailable`.
    pub async fn periods(&self, of: &PeriodName, before: Option<PeriodStart>, limit: Limit) -> Result<Vec<Period>> {
        let before = before.map_or(i64::MAX, PeriodStart::as_millis);
        let rows = self.parts()?.sink.list_periods(of, before, i64::from(limit.get()) + 1).await?;
        let period = |(name, started_at, ended_at, entries): (String, i64, i64, i64)| Period {
            name,
            state: PeriodState::Archived,
            started_at: Some(Timestamp::from_millis(started_at)),
            ended_at: Some(Timestamp::from_millis(ended_at)),
            entries: u64::try_from(entries).unwrap_or(0),
        };
        Ok(rows.into_iter().map(period).collect())
    }

    /// Removes a member from the archived periods of a leaderboard; who stood behind it moves up. Gives how many periods it stood in.
    ///
    /// # Errors
    ///
    /// `ArchiveOff`, `ArchiveUnavailable`: what is left goes when it is asked for again.
    pub async fn forget_standings_of(&self, leaderboard: &LeaderboardName, member: &Member) -> Result<u64> {
        self.parts()?.forget_standings(Some(leaderboard), member, None).await
    }
}

impl Parts {
    /// Removes a member from the periods of one leaderboard, or of all; of those that ended before a time, or of all.
    pub(super) async fn forget_standings(
        &self,
        leaderboard: Option<&LeaderboardName>,
        member: &Member,
        before: Option<Timestamp>,
    ) -> Result<u64> {
        let leaderboard = leaderboard.map(LeaderboardName::as_str);
        let found = self.sink.periods_of_member(leaderboard, member, before).await?;
        let mut removed = 0;
        for of_one in found.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((name, _)) = of_one.first() else { continue };
            let name = LeaderboardName::try_from(name.clone()).map_err(Error::Internal)?;
            // Whoever reads meanwhile may have read what was there before: it must not be kept, even where this ends in the middle.
            self.store.end_era(&name).await?;
            for (_, id) in of_one {
                removed += u64::from(self.sink.remove_standings(*id, member).await? > 0);
            }
            self.store.begin_era(&name).await?;
        }
        Ok(removed)
    }
}
