//! What was measured, a row for each fault.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fault::Fault;
use crate::history::{At, Operation, Outcome};

/// What a round, or all rounds of a fault, came to.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    pub rounds: u64,
    pub answered: u64,
    pub unavailable: u64,
    pub refused: u64,
    pub unanswered: u64,
    /// The longest time to an answer, without what was asked to wait.
    pub slowest: Duration,
    /// From the fault's end until some client had a success, and until the last one had its first.
    pub first_success: Duration,
    pub every_success: Duration,
    /// From the fault's end to the last failure.
    pub last_failure: Duration,
    pub lost: u64,
    /// How much the instances' memory grew, in bytes.
    pub grown: u64,
}

impl Figures {
    /// Of the operations of a round, whose fault ended then.
    pub fn of(operations: &[Operation], fault_ended: At) -> Self {
        let mut figures = Self { rounds: 1, first_success: Duration::MAX, ..Self::default() };
        let mut successes: BTreeMap<usize, At> = BTreeMap::new();
        // A client that did something else counts from its first try on.
        let mut tries: BTreeMap<usize, At> = BTreeMap::new();
        for operation in operations {
            let since = operation.ended.saturating_sub(fault_ended);
            if operation.ended >= fault_ended {
                let try_at = operation.sent.max(fault_ended);
                let first = tries.entry(operation.client).or_insert(try_at);
                *first = try_at.min(*first);
            }
            // A lease that has ended meanwhile is refused as it should be.
            if matches!(operation.outcome, Outcome::Status(200..=299 | 409)) && operation.ended >= fault_ended {
                let took = operation.ended.saturating_sub(operation.waits).saturating_sub(tries[&operation.client]);
                successes.entry(operation.client).or_insert(took);
            }
            match operation.outcome {
                Outcome::Status(200..=299) => figures.answered += 1,
                Outcome::Status(503) => {
                    figures.unavailable += 1;
                    figures.last_failure = figures.last_failure.max(since);
                }
                Outcome::Status(_) => figures.refused += 1,
                Outcome::Lost => {
                    figures.unanswered += 1;
                    figures.last_failure = figures.last_failure.max(since);
                }
            }
            figures.slowest = figures.slowest.max(operation.took());
        }
        figures.first_success = successes.values().min().copied().unwrap_or_default();
        figures.every_success = successes.values().max().copied().unwrap_or_default();
        figures
    }

    pub fn join(&mut self, other: &Self) {
        self.rounds += other.rounds;
        self.answered += other.answered;
        self.unavailable += other.unavailable;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.slowest = self.slowest.max(other.slowest);
        self.first_success = self.first_success.max(other.first_success);
        self.every_success = self.every_success.max(other.every_success);
        self.last_failure = self.last_failure.max(other.last_failure);
        self.lost += other.lost;
        self.grown = self.grown.max(other.grown);
    }
}

/// The table of all rounds, in Markdown.
pub fn table(all: &BTreeMap<Fault, Figures>) -> String {
    let mut table = "| fault | rounds | requests | 2xx | 503 | no answer | slowest answer | \
        first success, each client's | last failure | lost | memory |\n|---|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for (fault, figures) in all {
        let Figures { rounds, answered, unavailable, refused, unanswered, lost, .. } = figures;
        let requests = answered + unavailable + refused + unanswered;
        let [slowest, first, every, last] =
            [figures.slowest, figures.first_success, figures.every_success, figures.last_failure]
                .map(|time| format!("{:.2} s", time.as_secs_f64()));
        let row = format!(
            "| {} | {rounds} | {requests} | {answered} | {unavailable} | {unanswered} | {slowest} | {first}, {every} | {last} | \
            {lost} | +{} MB |\n",
            fault.title(),
            figures.grown / 1_000_000
        );
        table.push_str(&row);
    }
    table
}
