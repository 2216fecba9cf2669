//! Submitting scores: the rules, the merging, the first answers of requests that come again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::board::{Board, closed_among};
use super::merge::Merger;
use super::store::{Answered, CallRecord, Claimed, Submitted, Versioned};
use super::submission::{Fingerprint, Row, Standing, Submission, WantedRanks};
use super::{CHUNK, Leaderboards, MOST_TRIES, changing, depends_on_settings};
use crate::error::{Error, Fault, Result};
use crate::types::{IdempotencyKey, LeaderboardName};

impl Leaderboards {
    /// Submits one score; with a key, once.
    ///
    /// # Errors
    ///
    /// `Invalid` where the submission breaks the leaderboard's rules, `PeriodClosed`, `SubmissionLimit`,
    /// `IdempotencyMismatch`; `NoLeaderboard` without auto-creation.
    pub async fn submit(&self, name: &LeaderboardName, submission: &Submission) -> Result<Standing> {
        for _ in 0..MOST_TRIES {
            let board = self.find_or_create(name).await?;
            let row = match self.row_or_first_answer(&board, submission, "one").await {
                Ok(Ok(row)) => row,
                Ok(Err(first)) => return standing(&board, submission, first),
                Err(error) if self.is_overtaken(&board, &error).await? => continue,
                Err(error) => return Err(error),
            };
            if let (true, Some((key, part, fingerprint))) = (board.is_spread(), &row.key) {
                // The same key may come with another member, whose shard would not know it.
                let claimed = self.store.claim(&board, &[(key, part, fingerprint)], "").await?;
                if matches!(claimed[..], [Claimed::Mismatch]) {
                    return Err(Error::IdempotencyMismatch);
                }
            }
            let merger = self.merger.get_or_init(|| Merger::start(self.store.clone()));
            match merger.submit(&board, row).await? {
                Versioned::Stale => self.refresh(&board).await?,
                Versioned::Current(result) => return standing(&board, submission, result),
            }
        }
        Err(changing(name))
    }

    /// The row of a submission. One that breaks the rules of today may have counted under those of yesterday: then its
    /// first answer.
    async fn row_or_first_answer(
        &self,
        board: &Board,
        submission: &Submission,
        part: &'static str,
    ) -> Result<std::result::Result<Row, Submitted>> {
        let error = match submission.to_row(&board.settings, part) {
            Ok(row) => return Ok(Ok(row)),
            Err(error) => error,
        };
        let Some(key) = &submission.key else { return Err(error) };
        let shard = board.shard(board.shard_of(&submission.member));
        let first = self.store.recall_row(shard, key, part, &submission.fingerprint(part)).await?;
        first.map(Err).ok_or(error)
    }

    /// Submits many scores, each for itself; with a key for the whole, once.
    ///
    /// The results stand in the order of the items; an item that could not be read keeps its error.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard` without auto-creation, `IdempotencyMismatch` for the key of the whole, and those of the store where
    /// they met every item.
    pub async fn submit_many(
        &self,
        name: &LeaderboardName,
        items: Vec<Result<Submission>>,
        ranks: WantedRanks,
        key: Option<&IdempotencyKey>,
    ) -> Result<Vec<Result<Standing>>> {
        let whole = key.map(|key| {
            let readable = items.iter().filter_map(|item| item.as_ref().ok());
            (key, Fingerprint::of(&format!("{} {ranks:?}", items.len()), readable))
        });
        let all_refused = !items.is_empty() && items.iter().all(Result::is_err);
        if all_refused && self.auto_create && matches!(self.find(name).await, Err(Error::NoLeaderboard(_))) {
            // Nothing would come into the leaderboard, so it is not made.
            return Ok(items.into_iter().map(|item| item.and(Err(Error::NoLeaderboard(name.clone())))).collect());
        }
        self.find_or_create(name).await?;
        let mut results = Vec::with_capacity(items.len());
        let mut store_error = None;
        for (number, chunk) in items.chunks(CHUNK).enumerate() {
            let record = whole.as_ref().map(|(key, fingerprint)| CallRecord {
                key,
                fingerprint,
                part: format!("batch{number}"),
                note: String::new(),
            });
            match self.submit_chunk(name, chunk, ranks, record).await {
                Ok(done) => results.extend(done),
                Err(error @ (Error::IdempotencyMismatch | Error::NoLeaderboard(_))) => return Err(error),
                Err(error) => {
                    results.extend(chunk.iter().map(|_| Err(error.clone())));
                    store_error = Some(error);
                }
            }
        }
        match store_error {
            Some(error) if results.iter().all(Result::is_err) => Err(error),
            Some(_) | None => Ok(results),
        }
    }

    /// The rows of the items that the settings let in, each with its place, and the results of the others.
    async fn rows(
        &self,
        board: &Board,
        items: &[Result<Submission>],
    ) -> (Vec<(usize, Row)>, Vec<Option<Result<Standing>>>) {
        let mut rows = Vec::with_capacity(items.len());
        let mut results = Vec::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            let submission = match item {
                Ok(submission) => submission,
                Err(error) => {
                    results.push(Some(Err(error.clone())));
                    continue;
                }
            };
            results.push(match self.row_or_first_answer(board, submission, "item").await {
                Ok(Ok(row)) => {
                    rows.push((place, row));
                    None
                }
                Ok(Err(first)) => Some(standing(board, submission, first)),
                Err(error) => Some(Err(error)),
            });
        }
        (rows, results)
    }

    async fn submit_chunk(
        &self,
        name: &LeaderboardName,
        items: &[Result<Submission>],
        ranks: WantedRanks,
        mut record: Option<CallRecord<'_>>,
    ) -> Result<Vec<Result<Standing>>> {
        for _ in 0..MOST_TRIES {
            let board = self.find_or_create(name).await?;
            let (rows, mut results) = self.rows(&board, items).await;
            let refusal = results.iter().zip(items).find_map(|(result, item)| match (result, item) {
                (Some(Err(error)), Ok(_)) if depends_on_settings(error) => Some(error),
                _ => None,
            });
            if let Some(error) = refusal
                && self.is_overtaken(&board, error).await?
            {
                continue;
            }
            if board.is_spread() {
                return self.submit_to_shards(board, items, rows, results, ranks, record.as_ref()).await;
            }
            let good: Vec<&Row> = rows.iter().map(|(_, row)| row).collect();
            let places: Vec<usize> = rows.iter().map(|(place, _)| *place).collect();
            if let Some(record) = &mut record {
                record.note = Note::of(&places, &results).text()?;
            }
            let answered = match &record {
                _ if !good.is_empty() => {
                    match self.store.submit(&board, 0, &good, ranks, record.as_ref(), &[]).await? {
                        Versioned::Current(answered) => Some(answered),
                        Versioned::Stale => {
                            self.boards.invalidate(name);
                            continue;
                        }
                    }
                }
                Some(record) => self.store.recall_call(&board, record).await?,
                None => None,
            };
            if let Some(answered) = answered {
                settle(&board, items, &mut results, &places, answered)?;
            }
            let unanswered = || Err(Error::Internal(format!("an item of a batch for `{name}` was not answered")));
            return Ok(results.into_iter().map(|result| result.unwrap_or_else(unanswered)).collect());
        }
        Err(changing(name))
    }
}

impl Leaderboards {
    /// Submits the rows of a batch, each to the shard of its member.
    async fn submit_to_shards(
        &self,
        board: Arc<Board>,
        items: &[Result<Submission>],
        rows: Vec<(usize, Row)>,
        mut results: Vec<Option<Result<Standing>>>,
        ranks: WantedRanks,
        record: Option<&CallRecord<'_>>,
    ) -> Result<Vec<Result<Standing>>> {
        let mut rows = rows;
        if let Some(record) = record {
            let note = Note::of(&[], &results).text()?;
            let claims = [(record.key, record.part.as_str(), record.fingerprint)];
            match self.store.claim(&board, &claims, &note).await?.pop() {
                Some(Claimed::Now) => {}
                Some(Claimed::Before(note)) => {
                    self.recall_parts(&board, items, record, &mut results).await?;
                    let refused = Note::read(&note)?.refused;
                    // What the settings refused then is not tried now.
                    rows.retain(|(place, _)| !refused.iter().any(|(refused, _)| refused == place));
                    for (place, refusal) in refused {
                        results[place] = Some(Err(refusal.into()));
                    }
                }
                Some(Claimed::Mismatch) | None => return Err(Error::IdempotencyMismatch),
            }
        }
        let rows = self.claimed(&board, rows, &mut results).await?;
        let mut left: BTreeMap<usize, Vec<(usize, Row)>> = BTreeMap::new();
        for (place, row) in rows {
            left.entry(board.shard_of(&row.member)).or_default().push((place, row));
        }
        let mut failure = None;
        // Equal rows stand in the order of the items.
        let first_us = self.store.next_us(items.len());
        for _ in 0..MOST_TRIES {
            let calls = left.iter().map(async |(shard, rows)| {
                let good: Vec<&Row> = rows.iter().map(|(_, row)| row).collect();
                let places: Vec<usize> = rows.iter().map(|(place, _)| *place).collect();
                let note = Note { places: places.clone(), refused: Vec::new() }.text();
                let times: Vec<i64> =
                    places.iter().map(|place| first_us + i64::try_from(*place).unwrap_or(0)).collect();
                let answered = match (record, note) {
                    (Some(record), Ok(note)) => {
                        let CallRecord { key, fingerprint, part, .. } = record;
                        let record = CallRecord { key, fingerprint, part: part.clone(), note };
                        self.store.submit(&board, *shard, &good, ranks, Some(&record), &times).await
                    }
                    (None, Ok(_)) => self.store.submit(&board, *shard, &good, ranks, None, &times).await,
                    (_, Err(error)) => Err(error),
                };
                (*shard, places, answered)
            });
            let mut is_stale = false;
            for (shard, places, answered) in join_all(calls.collect::<Vec<_>>()).await {
                match answered {
                    // What is stale has changed nothing, and comes again; what is done does not.
                    Ok(Versioned::Stale) => {
                        is_stale = true;
                        continue;
                    }
                    Ok(Versioned::Current(answered)) => settle(&board, items, &mut results, &places, answered)?,
                    Err(error) => {
                        for place in places {
                            results[place] = Some(Err(error.clone()));
                        }
                        failure = Some(error);
                    }
                }
                left.remove(&shard);
            }
            if !is_stale {
                break;
            }
            self.refresh(&board).await?;
        }
        for (place, _) in left.into_values().flatten() {
            results[place] = Some(Err(changing(&board.name)));
        }
        match failure {
            Some(error) if results.iter().all(|result| matches!(result, Some(Err(_)))) => Err(error),
            _ => Ok(results.into_iter().map(|result| result.unwrap_or_else(|| Err(changing(&board.name)))).collect()),
        }
    }

    /// The first answers to the calls of a batch whose items the settings of now refuse, and which may have counted then.
    async fn recall_parts(
        &self,
        board: &Board,
        items: &[Result<Submission>],
        record: &CallRecord<'_>,
        results: &mut [Option<Result<Standing>>],
    ) -> Result<()> {
        let refused = results.iter().zip(items).filter_map(|(result, item)| match (result, item) {
            (Some(Err(_)), Ok(item)) => Some(board.shard_of(&item.member)),
            _ => None,
        });
        let shards: BTreeSet<usize> = refused.collect();
        for shard in shards {
            if let Some(answered) = self.store.recall_shard(board, shard, record).await? {
                settle(board, items, results, &[], answered)?;
            }
        }
        Ok(())
    }

    /// The rows whose own keys are free, or bound to the same; the others are refused.
    async fn claimed(
        &self,
        board: &Board,
        rows: Vec<(usize, Row)>,
        results: &mut [Option<Result<Standing>>],
    ) -> Result<Vec<(usize, Row)>> {
        let keyed = rows.iter().filter_map(|(_, row)| row.key.as_ref());
        let claims: Vec<_> = keyed.map(|(key, part, fingerprint)| (key, *part, fingerprint)).collect();
        let claimed = self.store.claim(board, &claims, "").await?;
        let mut good = claimed.into_iter().map(|claimed| !matches!(claimed, Claimed::Mismatch));
        let mut free = Vec::with_capacity(rows.len());
        for (place, row) in rows {
            if row.key.is_some() && !good.next().unwrap_or(false) {
                results[place] = Some(Err(Error::IdempotencyMismatch));
            } else {
                free.push((place, row));
            }
        }
        Ok(free)
    }
}

/// What is kept with the answer to a call of a batch, so that it can be given again under other settings.
#[derive(Serialize, Deserialize)]
struct Note {
    /// The items that the results belong to.
    places: Vec<usize>,
    /// The items that were refused by the settings.
    refused: Vec<(usize, Refusal)>,
}

#[derive(Serialize, Deserialize)]
enum Refusal {
    Faults(Vec<(String, String)>),
    PeriodClosed(String, String),
}

impl Note {
    fn of(places: &[usize], results: &[Option<Result<Standing>>]) -> Self {
        let refused = results.iter().enumerate().filter_map(|(place, result)| match result {
            Some(Err(Error::Invalid(faults))) => {
                let faults = faults.iter().map(|fault| (fault.pointer.clone(), fault.detail.clone()));
                Some((place, Refusal::Faults(faults.collect())))
            }
            Some(Err(Error::PeriodClosed { window, period })) => {
                Some((place, Refusal::PeriodClosed(window.clone(), period.clone())))
            }
            Some(_) | None => None,
        });
        Self { places: places.to_vec(), refused: refused.collect() }
    }

    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::Internal(format!("a note has no JSON: {error}")))
    }

    fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::Internal(format!("a note cannot be read: {error}")))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Faults(faults) => {
                Self::Invalid(faults.into_iter().map(|(pointer, detail)| Fault::new(pointer, detail)).collect())
            }
            Refusal::PeriodClosed(window, period) => Self::PeriodClosed { window, period },
        }
    }
}

/// Puts the answers of a call where their items stand: those of this call, or those of the first one.
fn settle(
    board: &Board,
    items: &[Result<Submission>],
    results: &mut [Option<Result<Standing>>],
    places: &[usize],
    answered: Answered,
) -> Result<()> {
    let replayed = answered.note.is_some();
    let note = match answered.note {
        Some(text) => Note::read(&text)?,
        None => Note { places: places.to_vec(), refused: Vec::new() },
    };
    for (place, submitted) in note.places.into_iter().zip(answered.results) {
        let (Some(slot), Some(Ok(item))) = (results.get_mut(place), items.get(place)) else { continue };
        let answer = standing(board, item, submitted);
        *slot = Some(answer.map(|standing| Standing { replayed: standing.replayed || replayed, ..standing }));
    }
    for (place, refusal) in note.refused {
        if let Some(slot) = results.get_mut(place) {
            *slot = Some(Err(refusal.into()));
        }
    }
    Ok(())
}

fn standing(board: &Board, submission: &Submission, result: Submitted) -> Result<Standing> {
    let member = submission.member.clone();
    match result {
        Submitted::Closed { open } => {
            let (window, period) = closed_among(&submission.if_period, &open)
                .ok_or_else(|| Error::Internal("a submission was refused for no period".to_owned()))?;
            Err(Error::PeriodClosed { window: window.clone(), period: period.clone() })
        }
        Submitted::Counted { windows, replayed } => Ok(Standing { member, windows, replayed }),
        Submitted::Banned => Err(Error::Banned(member)),
        Submitted::Mismatch => Err(Error::IdempotencyMismatch),
        Submitted::Crowded { dimension } => Err(board.dimensions.crowded(dimension)),
        Submitted::Overflow => Err(Error::invalid("/score", "the sum would leave the range of a double")),
        Submitted::Limited { retry_after_ms } => {
            let (limit, per_ms) = board.settings.submission_limit.map_or((0, 0), |limit| (limit.limit, limit.per_ms));
            Err(Error::SubmissionLimit { member, limit, per_ms, retry_after_ms })
        }
    }
}
