//! Single submissions that wait at the same time share a script call.
//!
//! While enough calls are under way, what arrives waits for the next round, which makes one call for each leaderboard. So
//! nothing waits when little is going on, and a busy leaderboard pays the fixed cost of a call once for many.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::CHUNK;
use super::board::Board;
use super::store::{LeaderboardStore, Submitted, Versioned};
use super::submission::{Row, WantedRanks};
use crate::error::{Error, Result};

/// Submissions that may wait for the next call; more wait in their own tasks.
const QUEUE: usize = 1024;

/// Two, so that Redis works on one call while the thread makes the next.
const CALLS_UNDER_WAY: usize = 2;

type Answer = Result<Versioned<Submitted>>;

struct Waiting {
    board: Arc<Board>,
    row: Row,
    answer: oneshot::Sender<Answer>,
}

/// Merges the submissions of one thread. Its task ends with it.
pub(super) struct Merger {
    sender: mpsc::Sender<Waiting>,
    task: JoinHandle<()>,
}

impl Merger {
    /// Starts the task. Must be called inside a tokio runtime.
    pub(super) fn start(store: LeaderboardStore) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self { sender, task: tokio::spawn(run(store, receiver)) }
    }

    /// Submits a row together with those that wait.
    pub(super) async fn submit(&self, board: &Arc<Board>, row: Row) -> Answer {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { board: Arc::clone(board), row, answer };
        let ended = "the task that submits has ended";
        self.sender.send(waiting).await.map_err(|_| Error::StoreUnavailable(ended.to_owned()))?;
        answered.await.map_err(|_| Error::OutcomeUnknown(ended.to_owned()))?
    }
}

impl Drop for Merger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(store: LeaderboardStore, mut receiver: mpsc::Receiver<Waiting>) {
    let mut arrived = Vec::with_capacity(CHUNK);
    let mut calls = FuturesUnordered::new();
    loop {
        // Calls are sent in the order in which they are made, and Redis runs them in that order.
        tokio::select! {
            biased;
            Some(()) = calls.next() => {}
            count = receiver.recv_many(&mut arrived, CHUNK), if calls.len() < CALLS_UNDER_WAY => {
                if count == 0 {
                    return;
                }
                calls.extend(by_leaderboard(arrived.drain(..)).into_iter().map(|group| call(&store, group)));
            }
        }
    }
}

fn by_leaderboard(arrived: impl Iterator<Item = Waiting>) -> Vec<Vec<Waiting>> {
    let mut groups: Vec<Vec<Waiting>> = Vec::new();
    for waiting in arrived {
        let same = |group: &&mut Vec<Waiting>| {
            group
                .first()
                .is_some_and(|first| Arc::ptr_eq(&first.board, &waiting.board) || first.board.is(&waiting.board))
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(waiting),
            None => groups.push(vec![waiting]),
        }
    }
    groups
}

/// Submits the rows of one leaderboard, and answers each that still waits.
async fn call(store: &LeaderboardStore, group: Vec<Waiting>) {
    let Some(first) = group.first() else { return };
    let rows: Vec<&Row> = group.iter().map(|waiting| &waiting.row).collect();
    let outcome = store.submit(&first.board, &rows, WantedRanks::NewAndPrevious, None).await;
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
