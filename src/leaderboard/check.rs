//! Whether what is kept of a leaderboard holds together, and how it is mended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::board::{Board, RankingKeys};
use super::store::{Belonging, Told, Versioned, Walked};
use super::{Leaderboards, MOST_TRIES, MOST_WAITING_PERIODS, changing};
use crate::error::{Error, Result};
use crate::types::{Finding, LeaderboardName, Limit, Mend};

/// Entries, places or members that one look checks: about a millisecond of Redis.
const STEP: usize = 50;
/// Buckets of a directory that one look checks: some 300 entries.
const BUCKETS_A_LOOK: u64 = 20;

/// What a check of one leaderboard found.
#[derive(Debug, Clone)]
pub struct BoardReport {
    /// The leaderboard.
    pub leaderboard: LeaderboardName,
    /// How many entries it has, in all rankings together.
    pub entries: u64,
    /// What is wrong, or was.
    pub faults: Vec<Finding>,
}

impl BoardReport {
    /// Notes what a step found; `stay` of it.
    fn take(&mut self, place: &str, told: Told) -> u64 {
        for (member, wrong, done) in told.faults {
            let about = if member.is_empty() { format!("{place}:") } else { format!("member `{member}` of {place}") };
            self.faults.push(Finding::new(about, wrong, &done));
        }
        told.stay
    }
}

/// The settings have changed under the check.
struct Stale;

/// Goes on with what a step told, unless it is stale.
macro_rules! current {
    ($step:expr) => {
        match $step.await? {
            Versioned::Stale => return Ok(Err(Stale)),
            Versioned::Current(told) => told,
        }
    };
}

type Step<T> = Result<std::result::Result<T, Stale>>;

impl Leaderboards {
    /// Checks the list of leaderboards: each that is stored is in it. Gives all names as well.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn check_names(&self, mend: Mend) -> Result<(Vec<LeaderboardName>, Vec<Finding>)> {
        let mut listed: Vec<LeaderboardName> = Vec::new();
        loop {
            let after = listed.last().map(LeaderboardName::as_str);
            let (mut page, more) = self.store.names(after, Limit::MOST).await?;
            listed.append(&mut page);
            if !more {
                break;
            }
        }
        let mut names: BTreeSet<LeaderboardName> = listed.into_iter().collect();
        let mut faults = Vec::new();
        for name in self.store.names_stored().await? {
            if names.contains(&name) {
                continue;
            }
            let done = match mend {
                Mend::Nothing => "",
                Mend::WhatCanBe => {
                    self.store.list_name(&name).await?;
                    "listed again"
                }
            };
            faults.push(Finding::new(format!("leaderboard `{name}`"), "is in no list of leaderboards", done));
            names.insert(name);
        }
        Ok((names.into_iter().collect(), faults))
    }

    /// Checks a leaderboard: each entry stands in the directory, in its segments and among the distinct rows, and nothing else does.
    /// It may be in use meanwhile.
    ///
    /// # Errors
    ///
    /// Those of the store; `NoLeaderboard`.
    pub async fn check(&self, name: &LeaderboardName) -> Result<BoardReport> {
        self.check_all(name, Mend::Nothing).await
    }

    /// Checks a leaderboard, and mends what can be mended without inventing data, a little at a time.
    ///
    /// # Errors
    ///
    /// As [`Leaderboards::check`].
    pub async fn repair(&self, name: &LeaderboardName) -> Result<BoardReport> {
        self.check_all(name, Mend::WhatCanBe).await
    }

    async fn check_all(&self, name: &LeaderboardName, mend: Mend) -> Result<BoardReport> {
        // What was found under other settings was found all the same.
        let mut report = BoardReport { leaderboard: name.clone(), entries: 0, faults: Vec::new() };
        for _ in 0..MOST_TRIES {
            let board = self.store.load(name).await?.ok_or_else(|| Error::NoLeaderboard(name.clone()))?;
            report.entries = 0;
            let mut is_stale = false;
            for shard in board.shards() {
                is_stale |= self.check_board(shard, mend, &mut report).await?.is_err();
            }
            if !is_stale {
                for shard in board.shards() {
                    report.faults.extend(self.check_outbox(shard).await?);
                }
                return Ok(report);
            }
            self.refresh(&board).await?;
        }
        Err(changing(name))
    }

    async fn check_board(&self, board: &Board, mend: Mend, report: &mut BoardReport) -> Step<()> {
        let banned = self.store.all_banned(board).await?;
        for members in banned.chunks(STEP).chain(banned.is_empty().then_some(&[][..])) {
            let told = current!(self.store.check_bans(board, members, mend));
            report.take("the leaderboard", told);
        }
        for ranking in self.all_rankings(board).await?.values() {
            if let Err(stale) = self.check_ranking(board, ranking, mend, report).await? {
                return Ok(Err(stale));
            }
        }
        Ok(Ok(()))
    }

    /// The open rankings, and those of periods that are kept, by their keys.
    async fn all_rankings(&self, board: &Board) -> Result<BTreeMap<String, Arc<RankingKeys>>> {
        let mut rankings: BTreeMap<String, Arc<RankingKeys>> = BTreeMap::new();
        for ranking in &self.store.section(board).rankings {
            rankings.insert(ranking.rank.clone(), Arc::clone(ranking));
        }
        for window in &board.settings.windows {
            for (period, _) in self.store.periods(board, &window.name, None, MOST_WAITING_PERIODS).await? {
                let ranking = board.sections.ranking(&window.name, &period, None);
                rankings.entry(ranking.rank.clone()).or_insert_with(|| Arc::new(ranking));
            }
        }
        Ok(rankings)
    }

    async fn check_ranking(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        mend: Mend,
        report: &mut BoardReport,
    ) -> Step<()> {
        let place = format!("{} {}", ranking.window, ranking.period);
        let told = current!(self.store.check_empty(board, ranking, mend));
        report.take(&place, told);
        if board.width > 0
            && let Err(stale) = self.check_directory(board, ranking, mend, (&place, report)).await?
        {
            return Ok(Err(stale));
        }
        // What describes entries goes before their segments, and the counts of values come last.
        for step in [Walked::Entries, Walked::Segments, Walked::Entries, Walked::Distinct] {
            if let Err(stale) = self.walk(board, ranking, step, mend, (&place, report)).await? {
                return Ok(Err(stale));
            }
            if !matches!(step, Walked::Segments) {
                continue;
            }
            for belonging in [Belonging::Metadata, Belonging::Values, Belonging::Hidden] {
                let members = self.store.belongings(ranking, belonging).await?;
                for members in members.chunks(STEP) {
                    let told = current!(self.store.check_belongings(board, ranking, belonging, members, mend));
                    report.take(&place, told);
                }
            }
        }
        let counts: Vec<String> = board.dimensions.numbers().values().map(|number| format!("\u{1}{number}")).collect();
        for fields in counts.chunks(STEP) {
            let told = current!(self.store.check_belongings(board, ranking, Belonging::Values, fields, mend));
            report.take(&place, told);
        }
        report.entries += self.store.size(ranking).await?;
        Ok(Ok(()))
    }

    async fn check_directory(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        mend: Mend,
        (place, report): (&str, &mut BoardReport),
    ) -> Step<()> {
        let found = self.store.buckets(ranking).await?;
        let buckets = found.iter().max().map_or(0, |last| last + 1);
        // The number of buckets decides where each record is, so those that are missing come first.
        for looks_inside in [false, true] {
            if !looks_inside && found.len() as u64 >= buckets {
                continue;
            }
            let mut from = 0;
            while from < buckets {
                let to = buckets.min(from + BUCKETS_A_LOOK);
                let told = current!(self.store.check_directory(board, ranking, (from, to), looks_inside, mend));
                report.take(place, told);
                from = to;
            }
        }
        Ok(Ok(()))
    }

    async fn walk(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        walked: Walked,
        mend: Mend,
        (place, report): (&str, &mut BoardReport),
    ) -> Step<()> {
        let mut from = 0;
        loop {
            let told = current!(self.store.check_walked(board, ranking, walked, (from, STEP as u64), mend));
            let has_found = !told.faults.is_empty();
            let stay = report.take(place, told);
            from += stay;
            // Where some were removed, there may be more though fewer stay.
            if stay < STEP as u64 && (!has_found || mend == Mend::Nothing) {
                return Ok(Ok(()));
            }
        }
    }
}
