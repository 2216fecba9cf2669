//! Calls of Redis that wait at the same time are made together.
//!
//! While enough calls are under way, what arrives waits for the next round, which makes as few calls as it can. So nothing waits
//! when little is going on, and under load the fixed cost of a call is paid once for many.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// Two, so that Redis works on one call while the thread makes the next.
const CALLS_UNDER_WAY: usize = 2;
const ENDED: &str = "the task that calls Redis has ended";

/// Takes up what waits on one thread. Its task ends with it.
pub struct Merger<T> {
    sender: mpsc::Sender<T>,
    task: JoinHandle<()>,
}

impl<T: Send + 'static> Merger<T> {
    /// Starts the task: `queue` may wait in it, and more in their own tasks; one round takes up `round` of them, and what `rounds` gives
    /// makes its calls, which are sent in that order, and each of which answers all whom it is made for. Must be called
    /// inside a tokio runtime.
    pub fn start<C, F>(queue: usize, round: usize, rounds: impl FnOnce(mpsc::WeakSender<T>) -> C) -> Self
    where
        C: Fn(Vec<T>) -> Vec<F> + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(queue);
        let calls = rounds(sender.downgrade());
        Self { task: tokio::spawn(run(receiver, round, calls)), sender }
    }

    /// Has something taken up, which is answered by what `waiting` is given.
    ///
    /// # Errors
    ///
    /// Those of the answer; `StoreUnavailable` where the task had ended before, and `lost` where it ends meanwhile.
    pub async fn ask<A>(
        &self,
        lost: impl FnOnce(String) -> Error,
        waiting: impl FnOnce(oneshot::Sender<Result<A>>) -> T,
    ) -> Result<A> {
        let (answer, answered) = oneshot::channel();
        let sent = self.sender.send(waiting(answer)).await;
        sent.map_err(|_| Error::StoreUnavailable(ENDED.to_owned()))?;
        answered.await.map_err(|_| lost(ENDED.to_owned()))?
    }

    /// What else may have something taken up, as long as this stands.
    pub fn sender(&self) -> mpsc::WeakSender<T> {
        self.sender.downgrade()
    }
}

impl<T> Drop for Merger<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run<T, C, F>(mut receiver: mpsc::Receiver<T>, round: usize, calls: C)
where
    C: Fn(Vec<T>) -> Vec<F>,
    F: Future<Output = ()>,
{
    let mut arrived = Vec::with_capacity(round);
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = under_way.next() => {}
            count = receiver.recv_many(&mut arrived, round), if under_way.len() < CALLS_UNDER_WAY => {
                if count == 0 {
                    return;
                }
                under_way.extend(calls(std::mem::replace(&mut arrived, Vec::with_capacity(round))));
            }
        }
    }
}

/// Answers all of a round alike.
pub fn answer_all<A>(answers: impl IntoIterator<Item = oneshot::Sender<Result<A>>>, answer: impl Fn() -> Result<A>) {
    for waiting in answers {
        // Nobody waits any more where the client has gone.
        let _ = waiting.send(answer());
    }
}
