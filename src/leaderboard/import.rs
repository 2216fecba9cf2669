//! Setting rows as an export has them, times included.

use std::sync::Arc;

use super::board::{Board, RankingKeys};
use super::decay::Decay;
use super::settings::{Operator, Settings, Ties};
use super::store::Versioned;
use super::submission::{Row, Submission};
use super::{Leaderboards, MOST_TRIES, changing, depends_on_settings};
use crate::error::{Error, Result};
use crate::types::{ExactTimestamp, LeaderboardName, WindowName};

/// Rows in one script call: about two milliseconds of Redis.
pub const IMPORT_BATCH: usize = 100;

/// A row to set.
#[derive(Debug, Clone)]
pub struct ImportRow {
    /// The member with its score, subscores, metadata and what describes it.
    pub submission: Submission,
    /// When the row was reached; now, where it does not say.
    pub achieved_at: Option<ExactTimestamp>,
}

/// An import under way, into one window of a leaderboard.
///
/// A row is set as it is: nothing is added to what stands, and no submission limit counts it. Only where the operator is
/// `best` does a standing row that is as good or better stay. Setting the same rows again changes nothing more, so an import
/// that was cut off may be made again.
pub struct Import {
    leaderboards: Leaderboards,
    name: LeaderboardName,
    window: Option<WindowName>,
    epoch: String,
    last: Option<Last>,
    /// The time in µs that totals which decay are of: one for all rows, or those set later would be worth more.
    at_us: Option<i64>,
}

/// The row before, which decides the order of those that equal it.
#[derive(Debug, Clone)]
struct Last {
    row: (crate::types::Score, Vec<u8>),
    given: ExactTimestamp,
    used: ExactTimestamp,
}

impl Leaderboards {
    /// Begins to set rows of a leaderboard's window, by default of its first one.
    ///
    /// # Errors
    ///
    /// `NoWindow`; `Invalid` for a window that resets; `NoLeaderboard` without auto-creation.
    pub async fn import(&self, name: &LeaderboardName, window: Option<WindowName>) -> Result<Import> {
        for _ in 0..MOST_TRIES {
            let board = self.find_or_create(name).await?;
            match self.import_into(&board, window.as_ref()) {
                Ok(_) => {
                    let (name, epoch) = (name.clone(), board.version.epoch.clone());
                    return Ok(Import { leaderboards: self.clone(), name, window, epoch, last: None, at_us: None });
                }
                Err(error) if self.is_overtaken(&board, &error).await? => {}
                Err(error) => return Err(error),
            }
        }
        Err(changing(name))
    }

    /// The ranking whose rows are set. Rows have times of their own, so there is no period that they are sure to belong to.
    fn import_into(&self, board: &Board, window: Option<&WindowName>) -> Result<Arc<RankingKeys>> {
        let ranking = self.open_ranking(board, window)?;
        if ranking.span.is_some() {
            return Err(Error::invalid("window", "resets: rows are imported into windows without a reset alone"));
        }
        Ok(ranking)
    }
}

impl Import {
    /// Sets up to [`IMPORT_BATCH`] rows in one atomic step; tells of each why it was not set, if so.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`, `NoWindow` and `Conflict` where the leaderboard went away meanwhile; those of the store.
    pub async fn set(&mut self, rows: &[ImportRow]) -> Result<Vec<Result<()>>> {
        for _ in 0..MOST_TRIES {
            let board = self.leaderboards.find(&self.name).await?;
            if board.version.epoch != self.epoch {
                return Err(Error::Conflict(format!("leaderboard `{}` was deleted meanwhile", self.name)));
            }
            let ranking = match self.leaderboards.import_into(&board, self.window.as_ref()) {
                Ok(ranking) => ranking,
                Err(error) if self.leaderboards.is_overtaken(&board, &error).await? => continue,
                Err(error) => return Err(error),
            };
            let rules = rules(&board.settings);
            let decay = self.decay_of(&board).await?;
            let mut last = self.last.clone();
            let (mut good, mut results) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
            for row in rows {
                results.push(row.submission.to_row(&rules, "import").map(|mut stored| {
                    if let Some((decay, at_us)) = decay {
                        stored.ranked = decay.kept(stored.ranked, at_us);
                    }
                    let achieved_at = row.achieved_at.map(|given| in_order(&stored, given, rules.ties, &mut last));
                    good.push((stored, achieved_at));
                }));
            }
            let refusal = results.iter().find_map(|result| result.as_ref().err().filter(|it| depends_on_settings(it)));
            if let Some(error) = refusal
                && self.leaderboards.is_overtaken(&board, error).await?
            {
                continue;
            }
            if good.is_empty() {
                return Ok(results);
            }
            match self.leaderboards.store.import_rows(&board, &ranking, &good).await? {
                Versioned::Stale => self.leaderboards.refresh(&board).await?,
                Versioned::Current(refused) => {
                    self.last = last;
                    let set = results.iter_mut().filter(|result| result.is_ok());
                    for (result, number) in set.zip(refused) {
                        if let Some(number) = number {
                            *result = Err(board.dimensions.crowded(number));
                        }
                    }
                    return Ok(results);
                }
            }
        }
        Err(changing(&self.name))
    }
}

impl Import {
    /// How totals decay, and the time that all rows are of.
    async fn decay_of(&mut self, board: &Board) -> Result<Option<(Decay, i64)>> {
        let Some(decay) = board.decay() else { return Ok(None) };
        let at_us = match self.at_us {
            Some(at_us) => at_us,
            None => *self.at_us.insert(self.leaderboards.store.server_us().await?),
        };
        Ok(Some((decay, at_us)))
    }
}

/// What rows must keep to. The bounds of a `sum` are of what a submission adds, and not of what stands.
pub(super) fn rules(settings: &Settings) -> Settings {
    match settings.operator {
        Operator::Sum => Settings { min_score: None, max_score: None, ..settings.clone() },
        Operator::Best | Operator::Latest => settings.clone(),
    }
}

/// The time that a row gets. Rows that follow each other with the same score, subscores and time (a file may have only
/// milliseconds) keep their order by a microsecond each.
fn in_order(row: &Row, given: ExactTimestamp, ties: Ties, last: &mut Option<Last>) -> ExactTimestamp {
    let this = (row.ranked, row.sub_key.clone());
    let equal = last.as_ref().filter(|last| last.row == this);
    let used = match (equal, ties) {
        (Some(last), Ties::Earliest) if last.given <= given && given <= last.used => last.used.next(),
        (Some(last), Ties::Latest) if last.used <= given && given <= last.given => last.used.previous(),
        (Some(_) | None, Ties::Earliest | Ties::Latest | Ties::Member) => given,
    };
    *last = Some(Last { row: this, given, used });
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Member, Score};

    fn row(score: f64) -> Row {
        Row {
            member: Member::try_from("ann".to_owned()).expect("a member"),
            ranked: Score::new(score).expect("finite"),
            sub_key: Vec::new(),
            metadata: None,
            segments: Default::default(),
            key: None,
            if_period: Default::default(),
        }
    }

    fn used(ties: Ties, rows: &[(f64, u64)]) -> Vec<u64> {
        let mut last = None;
        let time = |micros| ExactTimestamp::from_micros(micros).expect("in range");
        rows.iter().map(|(score, given)| in_order(&row(*score), time(*given), ties, &mut last).as_micros()).collect()
    }

    #[test]
    fn equal_rows_with_one_time_keep_their_order() {
        let rows = [(5.0, 10), (5.0, 10), (5.0, 10), (5.0, 11), (5.0, 12), (5.0, 20), (4.0, 20), (4.0, 20)];
        assert_eq!(used(Ties::Earliest, &rows), [10, 11, 12, 13, 14, 20, 20, 21]);
        let rows = [(5.0, 20), (5.0, 20), (5.0, 19), (5.0, 10), (4.0, 10), (4.0, 10)];
        assert_eq!(used(Ties::Latest, &rows), [20, 19, 18, 10, 10, 9]);
    }

    #[test]
    fn times_that_differ_stay_as_they_are() {
        let rows = [(5.0, 10), (5.0, 9), (5.0, 30), (5.0, 20)];
        for ties in [Ties::Earliest, Ties::Latest, Ties::Member] {
            assert_eq!(used(ties, &rows), [10, 9, 30, 20], "{ties:?}");
        }
    }
}
