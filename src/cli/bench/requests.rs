//! What one connection asks of the service, and what it makes of the answers.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, StatusCode};

use super::board::{Board, id};
use super::client::{Failure, Target};
use super::worker::Worker;
use super::workload::{SCORES_IN_BATCH, ScoreCall, ScoreWork};

/// What sends requests on a leaderboard.
#[derive(Clone)]
pub struct Scorer<'a> {
    requests: &'a Requests<'a>,
    work: ScoreWork,
    /// What was asked last.
    asked: ScoreCall,
}

/// One side of a conversation; each connection has its own.
#[derive(Clone)]
pub enum Asker<'a> {
    /// Whether the service lives.
    Live(&'a Target),
    /// One kind of request on a leaderboard.
    Scores(Scorer<'a>),
    /// Jobs through a queue.
    Jobs(Worker<'a>),
}

impl<'a> Asker<'a> {
    pub fn on_board(requests: &'a Requests<'a>, work: ScoreWork) -> Self {
        Self::Scores(Scorer { requests, work, asked: work.call() })
    }

    pub fn next(&mut self) -> Request<Full<Bytes>> {
        match self {
            Self::Live(target) => target.get("/health/live"),
            Self::Scores(scorer) => {
                scorer.asked = scorer.work.call();
                scorer.requests.next(scorer.asked)
            }
            Self::Jobs(worker) => worker.next(),
        }
    }

    /// Takes an answer with a good status. Gives the scores or the jobs that are done with it.
    pub fn take(&mut self, answer: &[u8]) -> Result<u64, Failure> {
        match self {
            Self::Live(_) => Ok(0),
            Self::Scores(Scorer { asked: ScoreCall::SubmitBatch, .. }) => {
                all_good(answer).map(|()| ScoreCall::SubmitBatch.scores())
            }
            Self::Scores(scorer) => Ok(scorer.asked.scores()),
            Self::Jobs(worker) => worker.take(answer),
        }
    }

    /// Begins anew: there was no good answer.
    pub fn restart(&mut self) {
        match self {
            Self::Live(_) | Self::Scores(_) => {}
            Self::Jobs(worker) => worker.restart(),
        }
    }
}

/// A batch has a good status whatever became of its items. No name in this command has such a text in it.
pub fn all_good(answer: &[u8]) -> Result<(), Failure> {
    let failed = std::str::from_utf8(answer).is_ok_and(|text| text.contains(r#""problem":"#));
    if failed { Err(Failure::refused(StatusCode::OK, answer)) } else { Ok(()) }
}

/// Makes the requests on a leaderboard.
pub struct Requests<'a> {
    target: &'a Target,
    board: &'a Board,
    submit: String,
    submit_batch: String,
    top: String,
    members: String,
}

impl<'a> Requests<'a> {
    pub fn new(target: &'a Target, board: &'a Board) -> Self {
        let at = |rest: &str| format!("{}/{rest}", board.path);
        Self {
            target,
            board,
            submit: at("scores"),
            submit_batch: at("scores/batch"),
            top: at("rankings?limit=10"),
            members: at("members/"),
        }
    }

    fn next(&self, call: ScoreCall) -> Request<Full<Bytes>> {
        let member = self.board.any_member();
        match call {
            ScoreCall::Submit => {
                self.target.post(&self.submit, self.board.submission(member, self.board.next_score(member)))
            }
            ScoreCall::SubmitBatch => self.target.post(&self.submit_batch, self.any_batch()),
            ScoreCall::Top => self.target.get(&self.top),
            ScoreCall::Rank => self.target.get(&format!("{}{}", self.members, id(member))),
            ScoreCall::Around => self.target.get(&format!("{}{}/around?radius=5", self.members, id(member))),
        }
    }

    fn any_batch(&self) -> String {
        self.board.batch((0..SCORES_IN_BATCH).map(|_| {
            let member = self.board.any_member();
            (member, self.board.next_score(member))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_with_a_failed_item_is_not_a_good_answer() {
        let good = br#"{"results":[{"status":200,"member":"a","score":1,"rank":1,"updated":true}]}"#;
        let bad = br#"{"results":[{"status":422,"updated":false,"problem":{"title":"invalid"}}]}"#;
        assert!(all_good(good).is_ok());
        assert!(matches!(all_good(bad), Err(Failure::Refused { status: StatusCode::OK, .. })));
    }
}
