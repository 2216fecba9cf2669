//! Jobs as clients give them and as they are read.

use serde::Serialize;
use utoipa::ToSchema;

use crate::types::{JobId, JobKey, LeaseToken, Payload, QueueName, Raw, Timestamp, UniqueKey, WorkerName, read_choice};

/// Where a job stands. docs/job-states.md draws what leads where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobState)]
pub enum State {
    /// It waits for its time.
    Scheduled,
    /// It may be leased.
    Ready,
    /// A worker holds its lease.
    Active,
    /// It is done.
    Completed,
    /// Its attempts are spent, or its worker said that it can never succeed.
    Dead,
    /// It was cancelled, or not started in time.
    Cancelled,
}

read_choice!(State {
    Scheduled = "scheduled",
    Ready = "ready",
    Active = "active",
    Completed = "completed",
    Dead = "dead",
    Cancelled = "cancelled"
});

impl State {
    /// Every state, in the order in which lists without a state show them.
    pub const ALL: [Self; 6] =
        [Self::Active, Self::Ready, Self::Scheduled, Self::Dead, Self::Completed, Self::Cancelled];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens to the job by itself.
    pub fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::Dead | Self::Cancelled => true,
            Self::Scheduled | Self::Ready | Self::Active => false,
        }
    }
}

/// When a new job becomes ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// At once.
    #[default]
    Now,
    /// After so many milliseconds.
    After(u64),
    /// At this time.
    At(Timestamp),
}

/// Until when no other job may have the same unique key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UniqueUntil {
    /// Until it is completed, dead or cancelled.
    #[default]
    Done,
    /// Until it is first leased.
    Started,
}

/// What becomes of a job whose unique key another one has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// The other one stays, and is the answer.
    #[default]
    Keep,
    /// The other one is removed if it waits.
    Replace,
}

read_choice!(UniqueUntil { Done = "done", Started = "started" });
read_choice!(OnDuplicate { Keep = "keep", Replace = "replace" });

/// What makes a job unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// The key that only one job may have.
    pub key: UniqueKey,
    /// Until when; `None` for a time alone.
    pub until: Option<UniqueUntil>,
    /// For how many milliseconds at most; without `until`, for exactly that long.
    pub for_ms: Option<u64>,
    /// What becomes of this job where the key is taken.
    pub on_duplicate: OnDuplicate,
}

/// A job to enqueue.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its id; the service makes one otherwise.
    pub id: Option<JobId>,
    /// What it carries.
    pub payload: Payload,
    /// 0 to 9, 9 first.
    pub priority: u8,
    /// When it becomes ready.
    pub start: Start,
    /// After how many attempts it is dead; the queue's otherwise.
    pub max_attempts: Option<u32>,
    /// Whose it is.
    pub key: Option<JobKey>,
    /// What makes it unique.
    pub unique: Option<Unique>,
    /// After how many milliseconds it is cancelled where it has not started.
    pub expires_in_ms: Option<u64>,
    /// Texts by name, as a JSON object.
    pub headers: Option<Raw>,
}

/// An error of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AttemptError)]
pub struct AttemptError {
    /// When the attempt failed.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Which one it was.
    #[schema(example = 1)]
    pub attempt: u32,
    /// What the worker said, at most 4 KiB of it.
    #[schema(example = "connection refused")]
    pub error: String,
}

/// A job.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Job {
    /// Its id, unique within the queue.
    #[schema(value_type = String, example = "8f3kq2m7xw000001")]
    pub id: JobId,
    /// Its queue.
    #[schema(value_type = String, example = "emails")]
    pub queue: QueueName,
    /// Where it stands.
    pub state: State,
    /// What it carries, as it was sent.
    #[schema(value_type = Value, example = json!({"to": "ann@example.com"}))]
    pub payload: Payload,
    /// 0 to 9, 9 first.
    #[schema(minimum = 0, maximum = 9, example = 4)]
    pub priority: u8,
    /// How many attempts have begun.
    #[schema(example = 1)]
    pub attempt: u32,
    /// After how many it is dead.
    #[schema(example = 5)]
    pub max_attempts: u32,
    /// When it was enqueued.
    #[schema(value_type = String, format = DateTime)]
    pub enqueued_at: Timestamp,
    /// When it becomes ready, or last did so by the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub run_at: Option<Timestamp>,
    /// When the last attempt began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub started_at: Option<Timestamp>,
    /// When it was completed, dead or cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub finished_at: Option<Timestamp>,
    /// When the lease runs out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub lease_expires_at: Option<Timestamp>,
    /// Who has, or last had, the lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "mailer-1")]
    pub worker: Option<WorkerName>,
    /// What the worker last said of its progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub progress: Option<Raw>,
    /// What came out, as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub result: Option<Raw>,
    /// The errors of the last 10 attempts that failed, the latest last.
    pub errors: Vec<AttemptError>,
    /// What makes it unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub unique_key: Option<UniqueKey>,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "tenant-7")]
    pub key: Option<JobKey>,
    /// When it is cancelled if it has not started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub expires_at: Option<Timestamp>,
    /// Texts by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>, nullable = false)]
    pub headers: Option<Raw>,
    /// Only in the answer to a dequeue: the proof that the attempt is the worker's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1-c0f5tq9w2m4n8z3x0")]
    pub lease: Option<LeaseToken>,
    /// Only in the answer to an enqueue, and then `true`: the job was there already.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub duplicate: bool,
    /// When it last became ready.
    #[serde(skip)]
    pub ready_at: Timestamp,
}

/// The end of a lease that its worker brings about.
#[derive(Debug, Clone)]
pub struct Ack {
    /// The job.
    pub id: JobId,
    /// The lease.
    pub lease: LeaseToken,
    /// What came out.
    pub result: Option<Raw>,
}

/// How an attempt failed.
#[derive(Debug, Clone, Default)]
pub struct Nack {
    /// What went wrong.
    pub error: String,
    /// What becomes of the job.
    pub next: NextAttempt,
}

/// When a failed job is tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NextAttempt {
    /// As the queue's back-off says.
    #[default]
    Backoff,
    /// After so many milliseconds.
    After(u64),
    /// Never: it is dead.
    Never,
}

/// The most bytes of an error that are kept.
pub const MAX_ERROR_BYTES: usize = 4096;

/// The text, cut on a character's boundary to what is kept.
pub fn cut_error(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_ERROR_BYTES));
    text
}
