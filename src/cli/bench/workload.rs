//! What can be measured.

use clap::ValueEnum;
use clap::builder::PossibleValue;

/// Scores in one request of `submit-batch`: the most that the service takes.
pub const SCORES_IN_BATCH: usize = 1000;
/// Jobs in one request of what enqueues batches.
pub const JOBS_IN_BATCH: u64 = 100;
/// The most jobs that one dequeue of `jobs-batch` takes.
const JOBS_IN_DEQUEUE: u64 = 10;

/// `mixed`: four fifths are reads, of each kind as many.
const MIX: [ScoreCall; 15] = {
    use ScoreCall::{Around, Rank, Submit, Top};
    [Rank, Rank, Rank, Rank, Top, Top, Top, Top, Around, Around, Around, Around, Submit, Submit, Submit]
};

/// What connections do for the time of one measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// `GET /health/live`: the floor. Always measured, so it is not on the command line.
    Live,
    /// A request on a leaderboard, again and again.
    Scores(ScoreWork),
    /// Submissions to a leaderboard of another shape.
    Shaped(ShapedWork),
    /// Jobs through a queue, again and again.
    Jobs(JobWork),
    /// A queue that is waited for or filled.
    Queue(QueueWork),
    /// Subscribers to the events of a leaderboard.
    Sse,
}

/// One kind of request on a leaderboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScoreWork {
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
    /// Four of these reads (rank, top, around) to each submit
    Mixed,
}

/// One request on a leaderboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreCall {
    Submit,
    SubmitBatch,
    Top,
    Rank,
    Around,
}

impl ScoreWork {
    /// The next request; by chance where there are several.
    pub fn call(self) -> ScoreCall {
        match self {
            Self::Submit => ScoreCall::Submit,
            Self::SubmitBatch => ScoreCall::SubmitBatch,
            Self::Top => ScoreCall::Top,
            Self::Rank => ScoreCall::Rank,
            Self::Around => ScoreCall::Around,
            Self::Mixed => MIX[fastrand::usize(..MIX.len())],
        }
    }
}

impl ScoreCall {
    /// The scores of a request.
    pub fn scores(self) -> u64 {
        match self {
            Self::Submit => 1,
            Self::SubmitBatch => SCORES_IN_BATCH as u64,
            Self::Top | Self::Rank | Self::Around => 0,
        }
    }
}

/// What a submission enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShapedWork {
    /// As submit, into three windows
    #[value(name = "submit-3-windows")]
    ThreeWindows,
    /// As submit, into six windows
    #[value(name = "submit-6-windows")]
    SixWindows,
    /// As submit, with a value in each of two segments
    #[value(name = "submit-2-segments")]
    TwoSegments,
}

/// How many rankings a submission enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub windows: usize,
    pub segments: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { windows: 1, segments: 0 }
    }
}

impl ShapedWork {
    pub fn shape(self) -> Shape {
        match self {
            Self::ThreeWindows => Shape { windows: 3, segments: 0 },
            Self::SixWindows => Shape { windows: 6, segments: 0 },
            Self::TwoSegments => Shape { windows: 1, segments: 2 },
        }
    }
}

/// A part of a job's life, or all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum JobWork {
    /// A job into a queue
    Enqueue,
    /// 100 of them in one request
    EnqueueBatch,
    /// Whole jobs in three requests each: enqueue, dequeue, ack
    Jobs,
    /// Whole jobs in two: enqueue, and a dequeue that acks the one before
    JobsNext,
    /// Whole jobs by the hundred: one enqueue, and dequeues of ten that ack the ten before
    JobsBatch,
}

/// What is measured in a way of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum QueueWork {
    /// Jobs at a slow rate to many waiting workers: from sending one to its arrival
    Wake,
    /// Workers that wait for what does not come: memory and CPU
    Idle,
    /// As many jobs as --jobs says, in batches: memory
    Fill,
}

/// How a connection takes jobs through a queue: it enqueues some, and then leases as many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    pub enqueue: u64,
    /// The most in one dequeue; 0 where none are leased.
    pub dequeue: u64,
    pub ack: AckBy,
}

/// Which request acks a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckBy {
    Itself,
    NextDequeue,
}

impl Workload {
    /// As on the command line and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Scores(ScoreWork::Submit) => "submit",
            Self::Scores(ScoreWork::SubmitBatch) => "submit-batch",
            Self::Scores(ScoreWork::Top) => "top",
            Self::Scores(ScoreWork::Rank) => "rank",
            Self::Scores(ScoreWork::Around) => "around",
            Self::Scores(ScoreWork::Mixed) => "mixed",
            Self::Shaped(ShapedWork::ThreeWindows) => "submit-3-windows",
            Self::Shaped(ShapedWork::SixWindows) => "submit-6-windows",
            Self::Shaped(ShapedWork::TwoSegments) => "submit-2-segments",
            Self::Jobs(JobWork::Enqueue) => "enqueue",
            Self::Jobs(JobWork::EnqueueBatch) => "enqueue-batch",
            Self::Jobs(JobWork::Jobs) => "jobs",
            Self::Jobs(JobWork::JobsNext) => "jobs-next",
            Self::Jobs(JobWork::JobsBatch) => "jobs-batch",
            Self::Queue(QueueWork::Wake) => "wake",
            Self::Queue(QueueWork::Idle) => "idle",
            Self::Queue(QueueWork::Fill) => "fill",
            Self::Sse => "sse",
        }
    }

    pub fn is_on_board(self) -> bool {
        match self {
            Self::Scores(_) | Self::Shaped(_) | Self::Sse => true,
            Self::Live | Self::Jobs(_) | Self::Queue(_) => false,
        }
    }

    pub fn is_on_queue(self) -> bool {
        match self {
            Self::Jobs(_) | Self::Queue(_) => true,
            Self::Live | Self::Scores(_) | Self::Shaped(_) | Self::Sse => false,
        }
    }

    /// Whether it asks as `live` does, so that their rates can be compared.
    pub fn compares(self) -> bool {
        match self {
            Self::Live | Self::Scores(_) | Self::Shaped(_) | Self::Jobs(_) => true,
            Self::Queue(QueueWork::Wake | QueueWork::Idle | QueueWork::Fill) | Self::Sse => false,
        }
    }
}

impl JobWork {
    pub fn round(self) -> Round {
        let (enqueue, dequeue, ack) = match self {
            Self::Enqueue => (1, 0, AckBy::Itself),
            Self::EnqueueBatch => (JOBS_IN_BATCH, 0, AckBy::Itself),
            Self::Jobs => (1, 1, AckBy::Itself),
            Self::JobsNext => (1, 1, AckBy::NextDequeue),
            Self::JobsBatch => (JOBS_IN_BATCH, JOBS_IN_DEQUEUE, AckBy::NextDequeue),
        };
        Round { enqueue, dequeue, ack }
    }
}

impl ValueEnum for Workload {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Scores(ScoreWork::Submit),
            Self::Scores(ScoreWork::SubmitBatch),
            Self::Scores(ScoreWork::Top),
            Self::Scores(ScoreWork::Rank),
            Self::Scores(ScoreWork::Around),
            Self::Scores(ScoreWork::Mixed),
            Self::Shaped(ShapedWork::ThreeWindows),
            Self::Shaped(ShapedWork::SixWindows),
            Self::Shaped(ShapedWork::TwoSegments),
            Self::Jobs(JobWork::Enqueue),
            Self::Jobs(JobWork::EnqueueBatch),
            Self::Jobs(JobWork::Jobs),
            Self::Jobs(JobWork::JobsNext),
            Self::Jobs(JobWork::JobsBatch),
            Self::Queue(QueueWork::Wake),
            Self::Queue(QueueWork::Idle),
            Self::Queue(QueueWork::Fill),
            Self::Sse,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Live => None,
            Self::Scores(work) => work.to_possible_value(),
            Self::Shaped(work) => work.to_possible_value(),
            Self::Jobs(work) => work.to_possible_value(),
            Self::Queue(work) => work.to_possible_value(),
            Self::Sse => Some(PossibleValue::new("sse").help(
                "Subscribers to a leaderboard's events, and submissions at a slow rate: from when one is due to its sight",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_named_as_on_the_command_line() {
        for workload in Workload::value_variants() {
            let value = workload.to_possible_value().expect("only `live` has none, and it is no variant here");
            assert_eq!(value.get_name(), workload.name());
        }
    }

    #[test]
    fn a_mix_has_four_reads_to_a_submission_and_as_many_of_each() {
        let of = |call| MIX.iter().filter(|known| **known == call).count();
        assert_eq!([ScoreCall::Rank, ScoreCall::Top, ScoreCall::Around, ScoreCall::Submit].map(of), [4, 4, 4, 3]);
        assert_eq!((0..100).map(|_| ScoreWork::Mixed.call().scores()).max(), Some(1));
    }

    #[test]
    fn every_kind_of_work_can_be_asked_for() {
        let scores = ScoreWork::value_variants().iter().copied().map(Workload::Scores);
        let shaped = ShapedWork::value_variants().iter().copied().map(Workload::Shaped);
        let jobs = JobWork::value_variants().iter().copied().map(Workload::Jobs);
        let queue = QueueWork::value_variants().iter().copied().map(Workload::Queue);
        let all = scores.chain(shaped).chain(jobs).chain(queue).chain([Workload::Sse]);
        assert!(all.eq(Workload::value_variants().iter().copied()));
    }
}
