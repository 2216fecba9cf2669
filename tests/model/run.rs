//! Lets the same things happen to a leaderboard and to its model, and compares what they say.

use std::time::Duration;

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use ranq::db::Db;
use ranq::error::Error;
use ranq::leaderboard::{Act, Leaderboards, Settings, Standing, Start, Submission, View, WantedRanks};
use ranq::types::{Clock, IdempotencyKey, LeaderboardName, Limit};
use redis::aio::MultiplexedConnection;

use super::model::{Answer, Model, Refused, Stands};
use super::reads::Held;
use super::steps::{self, Case, Offer, Step};
use super::{server, stored};

pub type Checked = Result<(), TestCaseError>;

/// 2026-11-23T05:40:00.123Z
const BEGIN_MS: i64 = 1_795_412_400_123;

/// A leaderboard beside its model.
pub struct Run {
    pub boards: Leaderboards,
    /// Another instance, which hears of changed settings only when it asks. The two take turns.
    other: Leaderboards,
    pub name: LeaderboardName,
    pub model: Model,
    pub connection: MultiplexedConnection,
    clock: Clock,
    now_ms: i64,
    /// Where an earlier look stopped.
    pub held: Option<Held>,
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub fn unexpected(error: Error) -> TestCaseError {
    TestCaseError::fail(format!("unexpected error: {error:?}"))
}

/// Runs a case to its end, when the leaderboard is deleted.
pub async fn case(db: &Db, connection: &MultiplexedConnection, case: Case) -> Checked {
    let mut run = Run::begin(db, connection, case.settings).await?;
    for step in case.steps {
        run.step(step).await?;
    }
    run.look(&case.last).await?;
    run.end().await
}

impl Run {
    pub async fn begin(db: &Db, connection: &MultiplexedConnection, settings: Settings) -> Result<Self, TestCaseError> {
        let clock = Clock::fixed(BEGIN_MS);
        let run = Self {
            boards: server::leaderboards(db, &clock),
            other: server::leaderboards(db, &clock),
            name: server::new_name(),
            model: Model::new(settings.clone()),
            connection: connection.clone(),
            clock,
            now_ms: BEGIN_MS,
            held: None,
        };
        let (created, _) = run.boards.put(&run.name, settings).await.map_err(unexpected)?;
        prop_assert!(created);
        Ok(run)
    }

    pub async fn step(&mut self, step: Step) -> Checked {
        std::mem::swap(&mut self.boards, &mut self.other);
        match step {
            Step::Submit(offer) => self.submit(&offer).await,
            Step::SubmitAtOnce(offers) => self.submit_at_once(&offers).await,
            Step::SubmitMany { offers, ranks, key } => self.submit_many(&offers, ranks, key).await,
            Step::Remove(member) => self.remove(member).await,
            Step::Advance { by_ms } => {
                self.clock.advance(Duration::from_millis(by_ms));
                self.now_ms += by_ms as i64;
                Ok(())
            }
            Step::Put { max_entries, windows, segments } => {
                let settings = Settings { max_entries, windows, segments, ..self.model.settings.clone() };
                self.put(settings).await
            }
            Step::PutAnew(settings) => self.put(settings).await,
            Step::Look(look) => self.look(&look).await,
        }
    }

    async fn put(&mut self, settings: Settings) -> Checked {
        let put = self.boards.put(&self.name, settings.clone()).await;
        if !self.model.put(settings) {
            prop_assert!(matches!(put, Err(Error::Conflict(_))), "{:?}", put);
            return Ok(());
        }
        // A cursor is of one order.
        self.held = None;
        let (created, summary) = put.map_err(unexpected)?;
        prop_assert!(!created);
        prop_assert_eq!(summary.entries, self.model.windows[0].1.len() as u64);
        Ok(())
    }

    fn now_us(&self) -> i64 {
        self.now_ms * 1000
    }

    async fn submit(&mut self, offer: &Offer) -> Checked {
        let submission = offer.submission(&self.model.settings);
        let answer = self.boards.submit(&self.name, &submission).await;
        let expected = self.model.submit(self.now_us(), &submission);
        compare_answer(answer, expected, WantedRanks::NewAndPrevious, &submission)
    }

    async fn submit_at_once(&mut self, offers: &[Offer]) -> Checked {
        // Calls that learn first that the settings have changed would be made in any order.
        let view = View::default();
        self.boards.rankings(&self.name, &view, &Start::Offset(0), Limit::default()).await.map_err(unexpected)?;
        let submissions: Vec<Submission> = offers.iter().map(|offer| offer.submission(&self.model.settings)).collect();
        if self.model.settings.shards > 1 {
            // The ranks of calls that are merged are those of another moment.
            for offer in offers {
                self.submit(offer).await?;
            }
            return Ok(());
        }
        let calls = submissions.iter().map(|submission| self.boards.submit(&self.name, submission));
        for (answer, submission) in join_all(calls).await.into_iter().zip(&submissions) {
            let expected = self.model.submit(self.now_us(), submission);
            compare_answer(answer, expected, WantedRanks::NewAndPrevious, submission)?;
        }
        Ok(())
    }

    pub async fn submit_many(&mut self, offers: &[Offer], ranks: WantedRanks, key: Option<u8>) -> Checked {
        let submissions: Vec<Submission> = offers.iter().map(|offer| offer.submission(&self.model.settings)).collect();
        let key = key.map(steps::key);
        let items = submissions.iter().cloned().map(Ok).collect();
        let answers = self.boards.submit_many(&self.name, items, ranks, key.as_ref()).await;
        let key = key.as_ref().map(IdempotencyKey::as_str);
        let Some(expected) = self.model.submit_many(self.now_us(), &submissions, ranks, key) else {
            prop_assert!(matches!(answers, Err(Error::IdempotencyMismatch)), "{:?}", answers);
            return Ok(());
        };
        let answers = answers.map_err(unexpected)?;
        prop_assert_eq!(answers.len(), expected.len());
        for ((answer, expected), submission) in answers.into_iter().zip(expected).zip(&submissions) {
            compare_answer(answer, expected, ranks, submission)?;
        }
        Ok(())
    }

    pub async fn remove(&mut self, member: usize) -> Checked {
        let member = steps::member(member);
        let removed = self.boards.remove(&self.name, &member, &operator()).await;
        if self.model.remove(&member) {
            return removed.map_err(unexpected);
        }
        prop_assert!(matches!(removed, Err(Error::NoMember { .. })), "{:?}", removed);
        Ok(())
    }

    async fn check_stored(&mut self) -> Checked {
        match self.model.settings.shards {
            1 => stored::check(&mut self.connection, &self.name, &self.model).await,
            // Each shard is stored as a leaderboard; which entries it has is seen by the reads.
            _ => Ok(()),
        }
    }

    /// Compares what is stored, empties the leaderboard and deletes it; nothing may be left either time.
    pub async fn end(mut self) -> Checked {
        self.check_stored().await?;
        let members = self.model.windows.iter().flat_map(|(_, rows)| rows.iter().map(|row| row.member.clone()));
        let members: std::collections::BTreeSet<_> = members.collect();
        for member in &members {
            self.boards.remove(&self.name, member, &operator()).await.map_err(unexpected)?;
            self.model.remove(member);
        }
        self.check_stored().await?;
        self.boards.delete(&self.name).await.map_err(unexpected)?;
        stored::check_deleted(&mut self.connection, &self.name).await
    }
}

fn compare_answer(
    answer: ranq::error::Result<Standing>,
    expected: Answer,
    ranks: WantedRanks,
    submission: &Submission,
) -> Checked {
    let expected = match expected {
        Ok(stands) => stands,
        Err(refused) => {
            let matches = match (&refused, &answer) {
                (Refused::Overflow, Err(Error::Invalid(faults))) => faults[0].pointer == "/score",
                (Refused::Limited { retry_after_ms }, Err(Error::SubmissionLimit { retry_after_ms: given, .. })) => {
                    retry_after_ms == given
                }
                (Refused::Mismatch, Err(Error::IdempotencyMismatch)) => true,
                (Refused::Overflow | Refused::Limited { .. } | Refused::Mismatch, _) => false,
            };
            prop_assert!(matches, "expected {:?}, got {:?} for {:?}", refused, answer, submission);
            return Ok(());
        }
    };
    let answer = answer.map_err(unexpected)?;
    prop_assert_eq!(&answer.member, &submission.member);
    let (stands, replayed) = expected;
    let previous_asked = stands.iter().all(|stands| stands.previous_rank.is_some());
    let windows = answer.windows.into_iter().map(|window| Stands {
        window: window.window,
        score: window.score.value(),
        rank: window.rank,
        updated: window.updated,
        previous_score: window.previous.map(|(score, _)| score.value()),
        previous_rank: previous_asked.then(|| window.previous.and_then(|(_, rank)| rank)),
    });
    let given: Vec<Stands> = windows.collect();
    prop_assert_eq!(given, stands, "{:?} with {:?}", submission, ranks);
    prop_assert_eq!(answer.replayed, replayed);
    Ok(())
}

/// Who does what administrators do.
fn operator() -> Act {
    Act { by: "model".to_owned(), reason: None }
}
