//! Single submissions that wait at the same time share a script call for each leaderboard, or shard of one.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::CHUNK;
use super::board::Board;
use super::store::{LeaderboardStore, Submitted, Versioned};
use super::submission::{Row, WantedRanks};
use crate::error::{Error, Result};
use crate::merge;

/// Submissions that may wait for the next call; more wait in their own tasks.
const QUEUE: usize = 1024;

type Answer = Result<Versioned<Submitted>>;

struct Waiting {
    board: Arc<Board>,
    shard: usize,
    row: Row,
    answer: oneshot::Sender<Answer>,
}

/// Merges the submissions of one thread.
pub(super) struct Merger(merge::Merger<Waiting>);

impl Merger {
    /// Starts the task. Must be called inside a tokio runtime.
    pub(super) fn start(store: LeaderboardStore) -> Self {
        let store = Arc::new(store);
        Self(merge::Merger::start(QUEUE, CHUNK, |_| {
            move |arrived| by_leaderboard(arrived).into_iter().map(|group| call(Arc::clone(&store), group)).collect()
        }))
    }

    /// Submits a row together with those that wait.
    pub(super) async fn submit(&self, board: &Arc<Board>, row: Row) -> Answer {
        let shard = board.shard_of(&row.member);
        self.0.ask(Error::OutcomeUnknown, |answer| Waiting { board: Arc::clone(board), shard, row, answer }).await
    }
}

fn by_leaderboard(arrived: Vec<Waiting>) -> Vec<Vec<Waiting>> {
    let mut groups: Vec<Vec<Waiting>> = Vec::new();
    for waiting in arrived {
        let same = |group: &&mut Vec<Waiting>| {
            group.first().is_some_and(|first| {
                first.shard == waiting.shard
                    && (Arc::ptr_eq(&first.board, &waiting.board) || first.board.is(&waiting.board))
            })
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(waiting),
            None => groups.push(vec![waiting]),
        }
    }
    groups
}

/// Submits the rows of one leaderboard, and answers each that still waits.
async fn call(store: Arc<LeaderboardStore>, group: Vec<Waiting>) {
    let Some(first) = group.first() else { return };
    let rows: Vec<&Row> = group.iter().map(|waiting| &waiting.row).collect();
    let times: Vec<i64> =
        if first.board.is_spread() { (store.next_us(rows.len())..).take(rows.len()).collect() } else { Vec::new() };
    let outcome = store.submit(&first.board, first.shard, &rows, WantedRanks::NewAndPrevious, None, &times).await;
    let answers: Vec<Answer> = match outcome {
        Ok(Versioned::Current(answered)) => {
            answered.results.into_iter().map(|result| Ok(Versioned::Current(result))).collect()
        }
        Ok(Versioned::Stale) => group.iter().map(|_| Ok(Versioned::Stale)).collect(),
        Err(error) => group.iter().map(|_| Err(error.clone())).collect(),
    };
    for (waiting, answer) in group.into_iter().zip(answers) {
        // Nobody waits any more where the client has gone.
        let _ = waiting.answer.send(answer);
    }
}
