//! Requests that wait at the same time are counted in one script call.
//!
//! While enough calls are under way, what arrives waits for the next one. So nothing waits when little is going on, and under
//! load the fixed cost of a call is paid once for many: with one token on 64 connections a call counts some twenty requests.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::bucket::{Bucket, Levels};
use super::store::LimitStore;
use crate::error::{Error, Result};

/// Requests that may wait for the next call; more wait in their own tasks.
const QUEUE: usize = 1024;
/// Requests in one call.
const MOST_AT_ONCE: usize = 256;
/// Two, so that Redis works on one call while the thread makes the next.
const CALLS_UNDER_WAY: usize = 2;

struct Waiting {
    buckets: Arc<[Bucket]>,
    cost: u64,
    answer: oneshot::Sender<Result<Levels>>,
}

/// Requests with the same buckets and cost, in the order in which they came.
pub(super) struct Group {
    pub(super) buckets: Arc<[Bucket]>,
    pub(super) cost: u64,
    answers: Vec<oneshot::Sender<Result<Levels>>>,
}

impl Group {
    /// How many requests there are.
    pub(super) fn count(&self) -> usize {
        self.answers.len()
    }

    fn is_of(&self, waiting: &Waiting) -> bool {
        let same =
            || self.buckets.iter().map(|bucket| &bucket.name).eq(waiting.buckets.iter().map(|bucket| &bucket.name));
        self.cost == waiting.cost && (Arc::ptr_eq(&self.buckets, &waiting.buckets) || same())
    }
}

/// Counts the requests of one thread. Its task ends with it.
pub(super) struct Merger {
    sender: mpsc::Sender<Waiting>,
    task: JoinHandle<()>,
}

impl Merger {
    /// Starts the task. Must be called inside a tokio runtime.
    pub(super) fn start(store: LimitStore) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self { sender, task: tokio::spawn(run(store, receiver)) }
    }

    /// Counts a request together with those that wait.
    pub(super) async fn take(&self, buckets: &Arc<[Bucket]>, cost: u64) -> Result<Levels> {
        let ended = || Error::StoreUnavailable("the task that counts requests has ended".to_owned());
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { buckets: Arc::clone(buckets), cost, answer };
        self.sender.send(waiting).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

impl Drop for Merger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(store: LimitStore, mut receiver: mpsc::Receiver<Waiting>) {
    let mut arrived = Vec::with_capacity(MOST_AT_ONCE);
    let mut calls = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = calls.next() => {}
            count = receiver.recv_many(&mut arrived, MOST_AT_ONCE), if calls.len() < CALLS_UNDER_WAY => {
                if count == 0 {
                    return;
                }
                calls.push(call(&store, grouped(arrived.drain(..))));
            }
        }
    }
}

fn grouped(arrived: impl Iterator<Item = Waiting>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for waiting in arrived {
        match groups.iter_mut().find(|group| group.is_of(&waiting)) {
            Some(group) => group.answers.push(waiting.answer),
            None => {
                let Waiting { buckets, cost, answer } = waiting;
                groups.push(Group { buckets, cost, answers: vec![answer] });
            }
        }
    }
    groups
}

/// Counts the groups, and answers each that still waits. The first ones of a group are those that fit.
async fn call(store: &LimitStore, groups: Vec<Group>) {
    let outcome = store.take(&groups).await;
    for (number, group) in groups.into_iter().enumerate() {
        let counted = outcome.as_ref().map(|counted| &counted[number]);
        for (place, answer) in group.answers.into_iter().enumerate() {
            // Nobody waits any more where the client has gone.
            let _ = answer.send(match &counted {
                Ok(counted) => Ok(counted.levels(place)),
                Err(error) => Err((*error).clone()),
            });
        }
    }
}
