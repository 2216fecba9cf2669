//! Requests that wait at the same time are counted in one script call: with one token on 64 connections some twenty.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::bucket::{Bucket, Levels};
use super::store::LimitStore;
use crate::error::{Error, Result};
use crate::merge;

/// Requests that may wait for the next call; more wait in their own tasks.
const QUEUE: usize = 1024;
/// Requests in one call.
const MOST_AT_ONCE: usize = 256;

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

/// Counts the requests of one thread.
pub(super) struct Merger(merge::Merger<Waiting>);

impl Merger {
    /// Starts the task. Must be called inside a tokio runtime.
    pub(super) fn start(store: LimitStore) -> Self {
        let store = Arc::new(store);
        Self(merge::Merger::start(QUEUE, MOST_AT_ONCE, |_| {
            move |arrived| vec![call(Arc::clone(&store), grouped(arrived))]
        }))
    }

    /// Counts a request together with those that wait.
    pub(super) async fn take(&self, buckets: &Arc<[Bucket]>, cost: u64) -> Result<Levels> {
        self.0.ask(Error::StoreUnavailable, |answer| Waiting { buckets: Arc::clone(buckets), cost, answer }).await
    }
}

fn grouped(arrived: Vec<Waiting>) -> Vec<Group> {
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
async fn call(store: Arc<LimitStore>, groups: Vec<Group>) {
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
