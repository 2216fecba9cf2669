//! What is asked of the service.

use clap::ValueEnum;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;

use super::board::{Board, batch, id, submission};
use super::client::Target;

/// Scores in one request of `submit-batch`: the most that the service takes.
pub const BATCH: usize = 1000;

/// One kind of request, sent again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// `GET /health/live`: the floor.
    #[value(skip)]
    Live,
    /// A better score for a member, answered with its rank
    Submit,
    /// 1,000 of them in one request
    SubmitBatch,
    /// The first ten
    Top,
    /// The entry of a member
    Rank,
    /// A member with five entries on each side
    Around,
}

impl Workload {
    /// As on the command line and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Submit => "submit",
            Self::SubmitBatch => "submit-batch",
            Self::Top => "top",
            Self::Rank => "rank",
            Self::Around => "around",
        }
    }

    /// Scores in one request.
    pub fn scores(self) -> Option<usize> {
        match self {
            Self::SubmitBatch => Some(BATCH),
            Self::Live | Self::Submit | Self::Top | Self::Rank | Self::Around => None,
        }
    }

    /// Whether an answer with a good status is a good one: a batch tells of each item inside.
    pub fn accepts(self, answer: &[u8]) -> bool {
        match self {
            Self::SubmitBatch => !has_problem(answer),
            Self::Live | Self::Submit | Self::Top | Self::Rank | Self::Around => true,
        }
    }
}

/// Whether any item of a batch failed. The members of this command have no such text in their names.
pub fn has_problem(answer: &[u8]) -> bool {
    std::str::from_utf8(answer).is_ok_and(|text| text.contains(r#""problem":"#))
}

/// Makes the requests of every workload.
pub struct Requests<'a> {
    pub target: &'a Target,
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

    pub fn next(&self, workload: Workload) -> Request<Full<Bytes>> {
        let member = self.board.any_member();
        match workload {
            Workload::Live => self.target.get("/health/live"),
            Workload::Submit => self.target.post(&self.submit, submission(member, self.board.next_score(member))),
            Workload::SubmitBatch => self.target.post(&self.submit_batch, self.any_batch()),
            Workload::Top => self.target.get(&self.top),
            Workload::Rank => self.target.get(&format!("{}{}", self.members, id(member))),
            Workload::Around => self.target.get(&format!("{}{}/around?radius=5", self.members, id(member))),
        }
    }

    fn any_batch(&self) -> String {
        batch((0..BATCH).map(|_| {
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
        assert!(Workload::SubmitBatch.accepts(good));
        assert!(!Workload::SubmitBatch.accepts(bad));
    }

    #[test]
    fn a_workload_is_named_as_on_the_command_line() {
        for workload in Workload::value_variants() {
            let value = workload.to_possible_value().expect("only `live` is skipped, and it is no variant here");
            assert_eq!(value.get_name(), workload.name());
        }
    }
}
