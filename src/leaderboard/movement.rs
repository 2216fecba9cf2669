//! Rank movement: where the members of a ranking stood before.

use futures_util::future::try_join_all;

use super::board::Board;
use super::entry::{Entry, Page, Ranking, View};
use super::reads::LOOKUP_CHUNK;
use super::store::{Chosen, Kept, Versioned};
use super::{Leaderboards, MOST_TRIES, changing};
use crate::error::{Error, Result};
use crate::types::{ExactTimestamp, LeaderboardName, Member};

/// What ranks are compared with.
enum Earlier {
    Period(Chosen),
    Snapshot(Chosen, Kept),
}

impl Leaderboards {
    /// Notes in each entry of a page what its member's rank was `since`: in another period of the window, or in the latest
    /// snapshot that was taken by a time. Without `since` nothing is noted.
    ///
    /// # Errors
    ///
    /// `NoSnapshot` where none is kept from then; `Invalid` for what is neither a period nor a time; those of the read.
    pub async fn note_movement(
        &self,
        name: &LeaderboardName,
        view: &View,
        since: Option<&str>,
        page: &mut Page,
    ) -> Result<()> {
        let mut view = view.clone();
        if !page.entries.is_empty() {
            // A reset must not turn the comparison into another period's.
            (view.window, view.period) = (Some(page.window.clone()), Some(page.period.clone()));
        }
        self.note_movement_of(name, &view, since, &mut page.entries).await
    }

    /// The same for entries of a look-up.
    ///
    /// # Errors
    ///
    /// As [`Leaderboards::note_movement`].
    pub async fn note_movement_of(
        &self,
        name: &LeaderboardName,
        view: &View,
        since: Option<&str>,
        entries: &mut [Entry],
    ) -> Result<()> {
        let Some(since) = since else { return Ok(()) };
        let members: Vec<Member> = entries.iter().map(|entry| entry.member.clone()).collect();
        let ranks = self.on_current(name, async |board| self.ranks_since(board, view, since, &members).await).await?;
        for (entry, rank) in entries.iter_mut().zip(ranks) {
            entry.previous_rank = Some(rank);
        }
        Ok(())
    }

    async fn ranks_since(
        &self,
        board: &Board,
        view: &View,
        since: &str,
        members: &[Member],
    ) -> Result<Versioned<Vec<Option<u64>>>> {
        for _ in 0..MOST_TRIES {
            match self.earlier(board, view, since).await? {
                Earlier::Period(chosen) => {
                    let ranks = self.ranks_in_period(board, &chosen, members).await;
                    return self.still(board, &chosen, ranks).await;
                }
                Earlier::Snapshot(chosen, snapshot) => {
                    let members: Vec<&Member> = members.iter().collect();
                    // One that was dropped in between is looked for again.
                    if let Some(ranks) = self.store.snapshot_ranks(&chosen.ranking, snapshot, &members).await? {
                        return Ok(Versioned::Current(ranks));
                    }
                }
            }
        }
        Err(changing(&board.name))
    }

    async fn ranks_in_period(
        &self,
        board: &Board,
        chosen: &Chosen,
        members: &[Member],
    ) -> Result<Versioned<Vec<Option<u64>>>> {
        let chunks = members.chunks(LOOKUP_CHUNK);
        // Made at once, they travel in one pipeline.
        let looks = chunks.map(|chunk| self.lookup_chunk(board, chosen, Ranking::Ordinal, chunk));
        let mut ranks = Vec::with_capacity(members.len());
        for looked_up in try_join_all(looks).await? {
            let Versioned::Current(rows) = looked_up else { return Ok(Versioned::Stale) };
            ranks.extend(rows.into_iter().map(|row| row.map(|row| row.place + 1)));
        }
        Ok(Versioned::Current(ranks))
    }

    /// What `since` means for a view: a period of the same window, other than the one that is shown, or a time.
    async fn earlier(&self, board: &Board, view: &View, since: &str) -> Result<Earlier> {
        let shown = self.choose(board, view).await?;
        let other = View { window: Some(shown.ranking.window.clone()), period: Some(since.to_owned()), ..view.clone() };
        match self.choose(board, &other).await {
            Ok(chosen) if chosen.ranking.rank != shown.ranking.rank => return Ok(Earlier::Period(chosen)),
            Ok(_) | Err(Error::NoPeriod { .. }) => {}
            Err(error) => return Err(error),
        }
        let time: ExactTimestamp = since.parse().map_err(|_| {
            Error::invalid("since", "must be another period of this window, or a time as in RFC 3339 with its offset")
        })?;
        if view.segment.is_some() {
            return Err(Error::invalid("since", "must be a period: there are no snapshots of segments"));
        }
        let until_ms = i64::try_from(time.as_micros() / 1000).unwrap_or(i64::MAX);
        let kept = self.store.snapshots(&shown.ranking).await?;
        let snapshot = kept.into_iter().rev().find(|kept| kept.taken_ms <= until_ms);
        let snapshot = snapshot.ok_or_else(|| Error::NoSnapshot {
            window: shown.ranking.window.to_string(),
            period: shown.ranking.period.clone(),
            since: since.to_owned(),
        })?;
        Ok(Earlier::Snapshot(shown, snapshot))
    }
}
