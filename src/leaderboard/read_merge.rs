//! Reads of short runs that wait at the same time share a script call for each ranking; those that ask for the same share its
//! answer. A read is never answered by a call that was sent before it came, so it sees all that was acknowledged by then.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::board::Board;
use super::entry::{Ranking, Span};
use super::store::{Chosen, LeaderboardStore, RawPage, Read, Versioned};
use crate::error::{Error, Result};
use crate::merge::{self, answer_all};

/// Reads that may wait for the next call; more wait in their own tasks.
const QUEUE: usize = 1024;
/// Reads that one round takes up.
const ROUND: usize = 128;
/// Entries that a read may ask for to be merged: longer ones would keep the others waiting.
const SHORT: u64 = 100;
/// Entries that one call may read: about half a millisecond of Redis.
const MOST_ENTRIES: u64 = 400;

type Answer = Result<Versioned<Read<Arc<RawPage>>>>;

struct Waiting {
    board: Arc<Board>,
    chosen: Chosen,
    shown: Ranking,
    span: Span,
    answer: oneshot::Sender<Answer>,
}

/// Merges the reads of one thread.
pub(super) struct Reader(merge::Merger<Waiting>);

impl Reader {
    /// Starts the task. Must be called inside a tokio runtime.
    pub(super) fn start(store: LeaderboardStore) -> Self {
        let store = Arc::new(store);
        Self(merge::Merger::start(QUEUE, ROUND, |_| {
            move |arrived| grouped(arrived).into_iter().map(|group| call(Arc::clone(&store), group)).collect()
        }))
    }

    /// Whether a read is one that waits for others.
    pub(super) fn takes(board: &Board, span: &Span) -> bool {
        !board.is_spread() && weight(span) <= SHORT
    }

    /// Reads a run together with what waits.
    pub(super) async fn read(
        &self,
        board: &Arc<Board>,
        chosen: &Chosen,
        shown: Ranking,
        span: &Span,
    ) -> Result<Versioned<Read<RawPage>>> {
        let (board, chosen, span) = (Arc::clone(board), chosen.clone(), span.clone());
        let Versioned::Current(read) =
            self.0.ask(Error::StoreUnavailable, |answer| Waiting { board, chosen, shown, span, answer }).await?
        else {
            return Ok(Versioned::Stale);
        };
        Ok(Versioned::Current(match read {
            Read::Absent => Read::Absent,
            Read::Undistinct => Read::Undistinct,
            Read::Answer(page) => Read::Answer(Arc::unwrap_or_clone(page)),
        }))
    }
}

/// The most entries that a run has.
fn weight(span: &Span) -> u64 {
    match span {
        Span::Offset { limit, .. } | Span::After { limit, .. } => limit.get().into(),
        Span::Member { radius, .. } => 2 * u64::from(*radius) + 1,
        Span::Score { radius, .. } => 2 * u64::from(radius.get()),
    }
}

/// Reads of one ranking.
struct Group {
    board: Arc<Board>,
    chosen: Chosen,
    shown: Ranking,
    weight: u64,
    /// Each with all who asked for it.
    runs: Vec<(Span, Vec<oneshot::Sender<Answer>>)>,
}

impl Group {
    fn is_of(&self, waiting: &Waiting) -> bool {
        let (one, other) = (&self.chosen, &waiting.chosen);
        let same_board = Arc::ptr_eq(&self.board, &waiting.board) || self.board.is(&waiting.board);
        let same_ranking = Arc::ptr_eq(&one.ranking, &other.ranking)
            || (one.ranking.window == other.ranking.window && one.ranking.period == other.ranking.period);
        same_board
            && same_ranking
            && self.shown == waiting.shown
            && one.only_while == other.only_while
            && one.part == other.part
    }

    /// Takes a read that fits, or gives it back.
    fn take(&mut self, waiting: Waiting) -> Option<Waiting> {
        if !self.is_of(&waiting) {
            return Some(waiting);
        }
        if let Some((_, answers)) = self.runs.iter_mut().find(|(span, _)| *span == waiting.span) {
            answers.push(waiting.answer);
            return None;
        }
        let weight = weight(&waiting.span);
        if self.weight + weight > MOST_ENTRIES {
            return Some(waiting);
        }
        self.weight += weight;
        self.runs.push((waiting.span, vec![waiting.answer]));
        None
    }
}

fn grouped(arrived: Vec<Waiting>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for waiting in arrived {
        let left = groups.iter_mut().try_fold(waiting, |waiting, group| match group.take(waiting) {
            Some(waiting) => std::ops::ControlFlow::Continue(waiting),
            None => std::ops::ControlFlow::Break(()),
        });
        if let std::ops::ControlFlow::Continue(Waiting { board, chosen, shown, span, answer }) = left {
            let weight = weight(&span);
            groups.push(Group { board, chosen, shown, weight, runs: vec![(span, vec![answer])] });
        }
    }
    groups
}

/// Reads the runs of a group, and answers each that still waits.
async fn call(store: Arc<LeaderboardStore>, group: Group) {
    let Group { board, chosen, shown, runs, .. } = group;
    let spans: Vec<&Span> = runs.iter().map(|(span, _)| span).collect();
    let read = store.pages(&board, &chosen, shown, &spans).await;
    let all = |runs: Vec<(Span, Vec<oneshot::Sender<Answer>>)>| runs.into_iter().flat_map(|(_, answers)| answers);
    match read {
        Ok(Versioned::Current(Read::Answer(pages))) => {
            for ((_, answers), page) in runs.into_iter().zip(pages) {
                let page = page.map(Arc::new);
                answer_all(answers, || {
                    Ok(Versioned::Current(page.as_ref().map_or(Read::Absent, |page| Read::Answer(Arc::clone(page)))))
                });
            }
        }
        Ok(Versioned::Current(Read::Undistinct)) => answer_all(all(runs), || Ok(Versioned::Current(Read::Undistinct))),
        Ok(Versioned::Current(Read::Absent)) => answer_all(all(runs), || Ok(Versioned::Current(Read::Absent))),
        Ok(Versioned::Stale) => answer_all(all(runs), || Ok(Versioned::Stale)),
        Err(error) => answer_all(all(runs), || Err(error.clone())),
    }
}
