//! What can go wrong, in the words of the service. Nothing here knows HTTP.

use std::fmt;
use std::time::Duration;

use crate::types::{JobId, LeaderboardName, Member, QueueName, ScheduleName, TokenId};

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// One fault of an input: where it is, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A JSON pointer (RFC 6901) into the body, or the name of a parameter.
    pub pointer: String,
    /// What is wrong, in one sentence without a full stop.
    pub detail: String,
}

impl Fault {
    /// A fault at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self { pointer: pointer.into(), detail: detail.to_string() }
    }
}

/// Every error that a request can end in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request cannot be read at all.
    #[error("{0}")]
    Malformed(String),
    /// The request can be read, and breaks rules.
    #[error("{}", faults_text(.0))]
    Invalid(Vec<Fault>),
    /// No token, or one that does not count.
    #[error("a valid token is needed: send it as `Authorization: Bearer <token>`")]
    Unauthenticated,
    /// A token that does not allow this.
    #[error("this needs a token with the scope `{0}`")]
    Forbidden(&'static str),
    /// A token that does not reach the leaderboard.
    #[error("this token does not reach leaderboard `{0}`")]
    ForbiddenLeaderboard(LeaderboardName),
    /// A token that does not reach the queue.
    #[error("this token does not reach queue `{0}`")]
    ForbiddenQueue(QueueName),
    /// A token that is held to some resources, for what goes beyond.
    #[error("this token reaches some {0} only, and this goes beyond them")]
    ForbiddenBeyond(&'static str),
    /// A player's token, for the score of somebody else.
    #[error("this token is not member `{0}`'s")]
    ForbiddenMember(Member),
    /// A token that would allow, or allows, more than the caller may.
    #[error("the token allows more than this one does")]
    ForbiddenGrant,
    /// There is no such token.
    #[error("there is no token `{0}`")]
    NoToken(TokenId),
    /// There is no such leaderboard.
    #[error("there is no leaderboard `{0}`")]
    NoLeaderboard(LeaderboardName),
    /// The member has no entry in that ranking.
    #[error("leaderboard `{leaderboard}` has no entry of member `{member}`")]
    NoMember {
        /// The leaderboard asked.
        leaderboard: LeaderboardName,
        /// The member asked for.
        member: Member,
    },
    /// The leaderboard has no such window.
    #[error("leaderboard `{leaderboard}` has no window `{window}`")]
    NoWindow {
        /// The leaderboard asked.
        leaderboard: LeaderboardName,
        /// The window asked for.
        window: String,
    },
    /// The window has no such period.
    #[error("window `{window}` has no period `{period}`")]
    NoPeriod {
        /// The window asked.
        window: String,
        /// The period asked for.
        period: String,
    },
    /// No snapshot of a period is kept from then or before.
    #[error(
        "`{since}` is no other period of window `{window}`, and no snapshot of period `{period}` is kept from then or before"
    )]
    NoSnapshot {
        /// The window asked.
        window: String,
        /// The period shown.
        period: String,
        /// What was asked for.
        since: String,
    },
    /// The member is not banned there.
    #[error("member `{0}` is not banned here")]
    NoBan(Member),
    /// The member's submissions are refused.
    #[error("member `{0}` is banned")]
    Banned(Member),
    /// There is no such queue.
    #[error("there is no queue `{0}`")]
    NoQueue(QueueName),
    /// The queue has no such job.
    #[error("queue `{queue}` has no job `{job}`")]
    NoJob {
        /// The queue asked.
        queue: QueueName,
        /// The job asked for.
        job: JobId,
    },
    /// The queue has no such schedule.
    #[error("queue `{queue}` has no schedule `{schedule}`")]
    NoSchedule {
        /// The queue asked.
        queue: QueueName,
        /// The schedule asked for.
        schedule: ScheduleName,
    },
    /// The lease is not, or no longer, the job's.
    #[error("job `{0}` is not leased under this lease, or no longer: its result does not count")]
    LeaseLost(JobId),
    /// The period that a submission is meant for takes none.
    #[error("period `{period}` of window `{window}` is not the open one")]
    PeriodClosed {
        /// The window named.
        window: String,
        /// The period named.
        period: String,
    },
    /// No operation has this path.
    #[error("there is nothing at this path")]
    NoRoute,
    /// The path has other methods.
    #[error("this path takes {0}")]
    MethodNotAllowed(String),
    /// The body is not declared as what the operation takes.
    #[error("the body must be sent as `Content-Type: {0}`")]
    UnsupportedMediaType(&'static str),
    /// The body is compressed.
    #[error("the body must be sent as it is, without `Content-Encoding`")]
    ContentEncoding,
    /// The headers are too long.
    #[error("the headers have more than {limit} bytes")]
    HeadTooLarge {
        /// The most bytes that they may have.
        limit: usize,
    },
    /// The body is longer than this operation takes.
    #[error("the body is larger than the {limit} bytes that this operation takes")]
    PayloadTooLarge {
        /// The most bytes that the operation takes.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive within {0:?}")]
    RequestTimeout(Duration),
    /// The state of the resource forbids the change.
    #[error("{0}")]
    Conflict(String),
    /// An idempotency key was used before for another request.
    #[error("this idempotency key was used before with another request")]
    IdempotencyMismatch,
    /// Too many submissions in the time.
    #[error("member `{member}` has made its {limit} submissions in {per_ms} ms")]
    SubmissionLimit {
        /// Who submits.
        member: Member,
        /// How many are allowed.
        limit: u32,
        /// In how many milliseconds.
        per_ms: u64,
        /// After how many milliseconds the next one is free.
        retry_after_ms: u64,
    },
    /// More was asked for than a limit allows.
    #[error("{whose} may make {limit} requests in {per_ms} ms: the next one like this is free in {retry_after_ms} ms")]
    RateLimit {
        /// What the limit is for: `this token`, `this player`, `this address`.
        whose: &'static str,
        /// How many are allowed.
        limit: u64,
        /// In how many milliseconds.
        per_ms: u64,
        /// After how many milliseconds the same request fits.
        retry_after_ms: u64,
    },
    /// A command was sent and its answer lost; the text says how, for the log.
    #[error("the answer of Redis was lost: the change may have been made; retry with the same idempotency key")]
    OutcomeUnknown(String),
    /// An administrative act was done, and its entry in the audit log could not be kept.
    #[error("this was done, and could not be noted in the audit log")]
    DoneUnnoted,
    /// An import failed on its way; what it has set stays.
    #[error("{imported} rows were imported, and then: {cause}")]
    ImportCutOff {
        /// How many rows it has set.
        imported: u64,
        /// What went wrong then.
        cause: Box<Error>,
    },
    /// As many streams of events are open as the settings allow.
    #[error("{most} streams of events are open, which is as many as this instance takes")]
    TooManyStreams {
        /// How many are allowed.
        most: usize,
    },
    /// The service has no archive.
    #[error("this service has no archive: its setting `archive_url` says so")]
    ArchiveOff,
    /// The archive cannot be reached or refuses.
    #[error("{told}")]
    ArchiveUnavailable {
        /// What clients are told.
        told: &'static str,
        /// What the database said, for the log.
        cause: String,
    },
    /// Redis cannot be reached or refuses, and nothing was changed.
    #[error("{0}")]
    StoreUnavailable(String),
    /// The store answered something that this version does not understand.
    #[error("the stored data could not be read")]
    Internal(String),
}

impl Error {
    /// One fault at one place.
    pub fn invalid(pointer: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self::Invalid(vec![Fault::new(pointer, detail)])
    }

    /// What went wrong in the end.
    pub fn root(&self) -> &Self {
        if let Self::ImportCutOff { cause, .. } = self { cause.root() } else { self }
    }

    /// The row of the table of codes that this error belongs to.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Malformed(_) => ErrorCode::MalformedRequest,
            Self::Invalid(_) => ErrorCode::Invalid,
            Self::Unauthenticated => ErrorCode::Unauthenticated,
            Self::Forbidden(_)
            | Self::ForbiddenLeaderboard(_)
            | Self::ForbiddenQueue(_)
            | Self::ForbiddenBeyond(_)
            | Self::ForbiddenMember(_)
            | Self::ForbiddenGrant => ErrorCode::Forbidden,
            Self::Banned(_) => ErrorCode::Banned,
            Self::NoLeaderboard(_)
            | Self::NoBan(_)
            | Self::NoMember { .. }
            | Self::NoWindow { .. }
            | Self::NoPeriod { .. }
            | Self::NoSnapshot { .. }
            | Self::NoQueue(_)
            | Self::NoJob { .. }
            | Self::NoSchedule { .. }
            | Self::NoToken(_)
            | Self::NoRoute => ErrorCode::NotFound,
            Self::LeaseLost(_) => ErrorCode::LeaseLost,
            Self::PeriodClosed { .. } => ErrorCode::PeriodClosed,
            Self::MethodNotAllowed(_) => ErrorCode::MethodNotAllowed,
            Self::HeadTooLarge { .. } => ErrorCode::HeadTooLarge,
            Self::ContentEncoding | Self::UnsupportedMediaType(_) => ErrorCode::UnsupportedMediaType,
            Self::PayloadTooLarge { .. } => ErrorCode::PayloadTooLarge,
            Self::RequestTimeout(_) => ErrorCode::RequestTimeout,
            Self::Conflict(_) => ErrorCode::Conflict,
            Self::IdempotencyMismatch => ErrorCode::IdempotencyMismatch,
            Self::SubmissionLimit { .. } | Self::RateLimit { .. } => ErrorCode::RateLimited,
            Self::ImportCutOff { cause, .. } => cause.code(),
            Self::OutcomeUnknown(_) | Self::DoneUnnoted => ErrorCode::OutcomeUnknown,
            Self::TooManyStreams { .. } => ErrorCode::TooManyStreams,
            Self::ArchiveOff => ErrorCode::ArchiveOff,
            Self::ArchiveUnavailable { .. } => ErrorCode::ArchiveUnavailable,
            Self::StoreUnavailable(_) => ErrorCode::StoreUnavailable,
            Self::Internal(_) => ErrorCode::Internal,
        }
    }
}

fn faults_text(faults: &[Fault]) -> String {
    let texts: Vec<String> = faults.iter().map(|fault| format!("`{}`: {}", fault.pointer, fault.detail)).collect();
    texts.join("; ")
}

/// The kinds of error that clients tell apart. Each is a row of docs/errors.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// `malformed-request`
    MalformedRequest,
    /// `unauthenticated`
    Unauthenticated,
    /// `forbidden`
    Forbidden,
    /// `banned`
    Banned,
    /// `not-found`
    NotFound,
    /// `method-not-allowed`
    MethodNotAllowed,
    /// `request-timeout`
    RequestTimeout,
    /// `conflict`
    Conflict,
    /// `lease-lost`
    LeaseLost,
    /// `period-closed`
    PeriodClosed,
    /// `idempotency-mismatch`
    IdempotencyMismatch,
    /// `payload-too-large`
    PayloadTooLarge,
    /// `unsupported-media-type`
    UnsupportedMediaType,
    /// `head-too-large`
    HeadTooLarge,
    /// `invalid`
    Invalid,
    /// `rate-limited`
    RateLimited,
    /// `internal`
    Internal,
    /// `outcome-unknown`
    OutcomeUnknown,
    /// `store-unavailable`
    StoreUnavailable,
    /// `too-many-streams`
    TooManyStreams,
    /// `archive-off`
    ArchiveOff,
    /// `archive-unavailable`
    ArchiveUnavailable,
}

/// What clients are told of an [`ErrorCode`].
#[derive(Debug, Clone, Copy)]
pub struct ErrorFacts {
    /// The last part of the problem's `type`, which names it for machines.
    pub slug: &'static str,
    /// The problem's `title`.
    pub title: &'static str,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// When it happens and what to do, for the problem's page.
    pub explanation: &'static str,
}

impl ErrorCode {
    /// Every code, in the order of docs/errors.md.
    pub const ALL: [Self; 22] = [
        Self::MalformedRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Banned,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Conflict,
        Self::LeaseLost,
        Self::PeriodClosed,
        Self::IdempotencyMismatch,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::Invalid,
        Self::RateLimited,
        Self::HeadTooLarge,
        Self::Internal,
        Self::OutcomeUnknown,
        Self::StoreUnavailable,
        Self::TooManyStreams,
        Self::ArchiveOff,
        Self::ArchiveUnavailable,
    ];

    /// The facts of this code.
    pub const fn facts(self) -> ErrorFacts {
        let (slug, title, retryable, explanation) = match self {
            Self::TooManyStreams => (
                "too-many-streams",
                "Too many streams of events are open",
                true,
                "This instance has as many streams of events open as its setting `max_streams` allows. Try again later, or at \
                 another instance.",
            ),
            Self::ArchiveOff => (
                "archive-off",
                "The service has no archive",
                false,
                "What has finished is kept in Redis alone, for as long as the queue's settings say, and no history of scores is kept. The \
                 setting `archive_url` of the service gives it an archive, which one with a private Redis has by itself.",
            ),
            Self::ArchiveUnavailable => (
                "archive-unavailable",
                "The archive does not take requests now",
                true,
                "The database of the archive cannot be reached, or took too long. Queues and leaderboards go on without it. Retry after \
                 `Retry-After` seconds.",
            ),
            Self::MalformedRequest => (
                "malformed-request",
                "The request cannot be read",
                false,
                "The body is not JSON or not UTF-8, a percent-encoding is broken, or a cursor is not one that this \
                 service gave for this list. Send it as it was meant.",
            ),
            Self::Unauthenticated => (
                "unauthenticated",
                "A valid token is needed",
                false,
                "There was no token, or one that is unknown, expired or revoked; the answer is the same for all. Send \
                 `Authorization: Bearer <token>`.",
            ),
            Self::Forbidden => (
                "forbidden",
                "The token does not allow this",
                false,
                "The token is valid, and lacks the scope, the resource or the member that this request needs.",
            ),
            Self::Banned => (
                "banned",
                "The member is banned",
                false,
                "Submissions of this member are refused until an administrator lifts its ban. Nothing was changed.",
            ),
            Self::NotFound => (
                "not-found",
                "There is no such thing",
                false,
                "No leaderboard, member, window, period, snapshot, ban, queue, job or schedule of that name exists, or no operation has that \
                 path.",
            ),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                "The path does not take this method",
                false,
                "The path exists with other methods: the `Allow` header names them.",
            ),
            Self::RequestTimeout => (
                "request-timeout",
                "The body did not arrive in time",
                true,
                "The head of the request arrived and its body did not. Nothing was changed, but for the rows that an import \
                 says it has set. Send it again.",
            ),
            Self::Conflict => (
                "conflict",
                "The state forbids this",
                false,
                "What is there does not allow the change, for example another order for a leaderboard that has \
                 entries. The detail says what stands in the way.",
            ),
            Self::LeaseLost => (
                "lease-lost",
                "The lease is not the job's",
                false,
                "The lease ran out, was given to another worker, or belongs to an attempt that has ended. Nothing was \
                 changed: the job runs, or ran, again elsewhere. Drop what you did, and dequeue the next one.",
            ),
            Self::PeriodClosed => (
                "period-closed",
                "The period is not open",
                false,
                "The submission named a period with `if_period` that is not the window's open one. Nothing was changed.",
            ),
            Self::IdempotencyMismatch => (
                "idempotency-mismatch",
                "The idempotency key belongs to another request",
                false,
                "The same `Idempotency-Key` came with another request within 24 hours. Use a new key for a new \
                 request.",
            ),
            Self::HeadTooLarge => (
                "head-too-large",
                "The headers are too large",
                false,
                "The names and values of the headers have more than 32 KiB together. Send fewer, or shorter ones.",
            ),
            Self::PayloadTooLarge => (
                "payload-too-large",
                "The body is too large",
                false,
                "The detail names the limit of this operation. Send less at a time.",
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                "The body is not of the type that is taken",
                false,
                "Send the body as JSON with `Content-Type: application/json`; an import takes the type of its format. No body may be \
                 compressed.",
            ),
            Self::Invalid => (
                "invalid",
                "The request breaks a rule",
                false,
                "A field or parameter is missing, unknown, of the wrong type, or outside its limits. `errors` names \
                 each, and nothing was changed.",
            ),
            Self::RateLimited => (
                "rate-limited",
                "Too many requests",
                true,
                "A limit was reached, and nothing was changed: that of the token, of the player, of the address (`RateLimit-Policy` \
                 and `RateLimit` tell them), or the leaderboard's limit of a member's submissions. `Retry-After` says after how \
                 many seconds the same request is free.",
            ),
            Self::Internal => (
                "internal",
                "Something is wrong in the service",
                false,
                "The service met what it does not understand, and logged it under the request id in `instance`.",
            ),
            Self::OutcomeUnknown => (
                "outcome-unknown",
                "It is not known whether the change was made",
                true,
                "Redis went away after the command was sent, or an administrative act was done and could not be noted in the \
                 audit log. Retry with the same `Idempotency-Key`: the effect then happens once.",
            ),
            Self::StoreUnavailable => (
                "store-unavailable",
                "Redis does not take requests now",
                true,
                "Redis cannot be reached, is loading, read-only or out of memory. Nothing was changed, but for the rows that an \
                 import says it has set. Retry after `Retry-After` seconds.",
            ),
        };
        ErrorFacts { slug, title, retryable, explanation }
    }
}
