//! What becomes of leases: acks, nacks, heartbeats.

use actix_web::{HttpRequest, HttpResponse, post};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::access::{Allowed, JobsWork};
use super::headers::{IdempotencyHeader, once};
use super::json::{self, Body, Json};
use super::problem::{Problem, ProblemBody, status};
use super::query::{NoParameters, OfJob, OfQueue, Query};
use crate::error::{Error, Result};
use crate::queue::{Ack, Job, Nack, NextAttempt, Queues, cut_error};
use crate::types::{JobId, LeaseToken, MAX_PAYLOAD_BYTES, Raw, Timestamp, Within, present, read_object};

const MAX_ACKS: usize = 1000;
const MAX_PROGRESS_BYTES: usize = 2048;
const TEN_YEARS_MS: u64 = 315_360_000_000;

/// How long a lease may last.
pub type LeaseMs = Within<100, 43_200_000>;

/// A lease to settle.
#[derive(Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = Ack)]
pub struct AckItem {
    /// The job.
    #[schema(value_type = String, min_length = 1, max_length = 128)]
    id: JobId,
    /// The lease that the dequeue gave.
    #[schema(value_type = String, min_length = 1, max_length = 128)]
    lease: LeaseToken,
    /// What came out: any JSON up to 256 KiB; it comes back byte for byte.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Value>)]
    result: Option<Raw>,
}

read_object!(AckItem);

fn check_result(result: Option<&Raw>) -> Result<()> {
    match result {
        Some(result) if result.as_str().len() > MAX_PAYLOAD_BYTES => {
            Err(Error::PayloadTooLarge { limit: MAX_PAYLOAD_BYTES })
        }
        Some(_) | None => Ok(()),
    }
}

/// The id of an item that is otherwise unreadable.
#[derive(Deserialize)]
struct OnlyId {
    id: JobId,
}

/// A list of acks, read one by one: those that could be read, and the results of all once they are settled.
pub(super) struct AckList {
    pub(super) acks: Vec<Ack>,
    /// What is wrong with each item, and its id if that much can be read.
    pub(super) unreadable: Vec<Option<(Option<JobId>, Error)>>,
}

impl AckList {
    pub(super) fn read(items: &[Box<RawValue>], pointer: &str) -> Result<Self> {
        if items.len() > MAX_ACKS {
            return Err(Error::invalid(pointer, format!("must be at most {MAX_ACKS} items")));
        }
        let (mut acks, mut unreadable) = (Vec::new(), Vec::new());
        for item in items {
            let text = item.get();
            let read = json::parse::<AckItem>(text.as_bytes(), usize::MAX)
                .and_then(|item| check_result(item.result.as_ref()).map(|()| item));
            match read {
                Ok(AckItem { id, lease, result }) => {
                    acks.push(Ack { id, lease, result });
                    unreadable.push(None);
                }
                Err(error) => {
                    let id = serde_json::from_str::<OnlyId>(text).ok().map(|only| only.id);
                    unreadable.push(Some((id, error)));
                }
            }
        }
        Ok(Self { acks, unreadable })
    }

    pub(super) fn results(
        unreadable: Vec<Option<(Option<JobId>, Error)>>,
        pointer: &str,
        settled: Vec<(JobId, Result<()>)>,
    ) -> Vec<AckResult> {
        let mut settled = settled.into_iter();
        let results = unreadable.into_iter().enumerate().map(|(number, refused)| {
            let (id, result) = match refused {
                Some((id, error)) => (id, Err(error)),
                None => match settled.next() {
                    Some((id, result)) => (Some(id), result),
                    None => (None, Err(Error::Internal("an ack was not answered".to_owned()))),
                },
            };
            match result {
                Ok(()) => AckResult { id, status: 200, problem: None },
                Err(error) => AckResult {
                    id,
                    status: status(error.code()).as_u16(),
                    problem: Some(ProblemBody::of(&json::in_list(&format!("{pointer}/{number}"), &error), None)),
                },
            }
        });
        results.collect()
    }
}

/// What became of an ack.
#[derive(Serialize, ToSchema)]
#[schema(as = AckResult)]
pub struct AckResult {
    /// The job; absent where the item could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    id: Option<JobId>,
    /// The status that the ack alone would have had.
    #[schema(example = 200, minimum = 200, maximum = 599)]
    status: u16,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<ProblemBody>,
}

/// An ack.
#[derive(Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = AckJob)]
pub struct AckBody {
    /// The lease that the dequeue gave.
    #[schema(value_type = String, min_length = 1, max_length = 128)]
    lease: LeaseToken,
    /// What came out: any JSON up to 256 KiB; it comes back byte for byte.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Value>)]
    result: Option<Raw>,
}

read_object!(AckBody);

impl Body for AckBody {
    const MAX_BYTES: usize = MAX_PAYLOAD_BYTES + 4096;
    const MAX_DEPTH: usize = usize::MAX;
}

/// Completes a job.
///
/// The same ack again is 200 and counts once, so that a worker may retry. A lease that is not the job's current one is 409.
#[utoipa::path(
    tag = "work",
    security(("token" = ["jobs:work"])),
    params(OfJob, ("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once.",
        min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)),
    request_body(content = AckBody, example = json!({"lease": "1-c0f5tq9w2m4n8z3x0", "result": {"sent": true}})),
    responses((status = 200, description = "The job.", body = Job)),
)]
#[post("/v1/queues/{queue}/jobs/{id}/ack")]
pub async fn ack_job(
    queues: Allowed<JobsWork, Queues>,
    at: OfJob,
    _: Query<NoParameters>,
    request: HttpRequest,
    key: IdempotencyHeader,
    body: Json<AckBody>,
) -> std::result::Result<HttpResponse, Problem> {
    let Json(AckBody { lease, result }, bytes) = body;
    check_result(result.as_ref())?;
    let ack = Ack { id: at.id, lease, result };
    let acked = queues.ack(&at.queue, ack, key.once(&request, &bytes).as_ref()).await?;
    Ok(once(&acked.answer, acked.replayed))
}

/// A nack.
#[derive(Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = NackJob)]
pub struct NackBody {
    /// The lease that the dequeue gave.
    #[schema(value_type = String, min_length = 1, max_length = 128)]
    lease: LeaseToken,
    /// What went wrong; 4 KiB of it are kept.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    error: Option<String>,
    /// When to try again; as the queue's back-off says otherwise.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 0, maximum = 315_360_000_000_u64)]
    retry_in_ms: Option<Within<0, TEN_YEARS_MS>>,
    /// Whether it can never succeed: dead at once.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    dead: Option<bool>,
}

read_object!(NackBody);

impl Body for NackBody {
    const MAX_BYTES: usize = 1024 * 1024;
}

/// Fails an attempt: the job is scheduled for its next one, or dead when its attempts are spent.
#[utoipa::path(
    tag = "work",
    security(("token" = ["jobs:work"])),
    params(OfJob, ("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once.",
        min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)),
    request_body(content = NackBody, example = json!({"lease": "1-c0f5tq9w2m4n8z3x0", "error": "connection refused"})),
    responses((status = 200, description = "The job.", body = Job)),
)]
#[post("/v1/queues/{queue}/jobs/{id}/nack")]
pub async fn nack_job(
    queues: Allowed<JobsWork, Queues>,
    at: OfJob,
    _: Query<NoParameters>,
    request: HttpRequest,
    key: IdempotencyHeader,
    body: Json<NackBody>,
) -> std::result::Result<HttpResponse, Problem> {
    let Json(NackBody { lease, error, retry_in_ms, dead }, bytes) = body;
    let next = match (dead.unwrap_or(false), retry_in_ms) {
        (true, Some(_)) => return Err(Error::invalid("/retry_in_ms", "must not stand together with dead").into()),
        (true, None) => NextAttempt::Never,
        (false, Some(delay)) => NextAttempt::After(delay.get()),
        (false, None) => NextAttempt::Backoff,
    };
    let nack = Nack { error: cut_error(error.unwrap_or_default()), next };
    let nacked = queues.nack(&at.queue, &at.id, &lease, &nack, key.once(&request, &bytes).as_ref()).await?;
    Ok(once(&nacked.answer, nacked.replayed))
}

/// A heartbeat.
#[derive(Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = ExtendLease)]
pub struct ExtendBody {
    /// The lease that the dequeue gave.
    #[schema(value_type = String, min_length = 1, max_length = 128)]
    lease: LeaseToken,
    /// How long the lease lasts from now on; as the queue says otherwise.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 100, maximum = 43_200_000)]
    lease_ms: Option<LeaseMs>,
    /// How far the work is: any JSON up to 2 KiB.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Value>)]
    progress: Option<Raw>,
}

read_object!(ExtendBody);

impl Body for ExtendBody {
    const MAX_BYTES: usize = 16 * 1024;
    const MAX_DEPTH: usize = usize::MAX;
}

/// A lease after its heartbeat.
#[derive(Serialize, ToSchema)]
#[schema(as = Extended)]
pub struct ExtendedView {
    /// When it runs out.
    #[schema(value_type = String, format = DateTime)]
    lease_expires_at: Timestamp,
    /// Whether the job was cancelled: its worker may stop.
    cancelled: bool,
}

/// Extends or shortens a lease: the heartbeat of a worker.
#[utoipa::path(
    tag = "work",
    security(("token" = ["jobs:work"])),
    params(OfJob, ("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once.",
        min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)),
    request_body(content = ExtendBody, example = json!({"lease": "1-c0f5tq9w2m4n8z3x0", "lease_ms": 60000, "progress": 0.5})),
    responses((status = 200, description = "The lease.", body = ExtendedView)),
)]
#[post("/v1/queues/{queue}/jobs/{id}/extend")]
pub async fn extend_lease(
    queues: Allowed<JobsWork, Queues>,
    at: OfJob,
    _: Query<NoParameters>,
    request: HttpRequest,
    key: IdempotencyHeader,
    body: Json<ExtendBody>,
) -> std::result::Result<HttpResponse, Problem> {
    let Json(ExtendBody { lease, lease_ms, progress }, bytes) = body;
    if progress.as_ref().is_some_and(|progress| progress.as_str().len() > MAX_PROGRESS_BYTES) {
        let detail = format!("must be at most {MAX_PROGRESS_BYTES} bytes of JSON");
        return Err(Error::invalid("/progress", detail).into());
    }
    let once_key = key.once(&request, &bytes);
    let lease_ms = lease_ms.map(Within::get);
    let extended = queues.extend(&at.queue, &at.id, &lease, lease_ms, progress.as_ref(), once_key.as_ref()).await?;
    let view =
        ExtendedView { lease_expires_at: extended.answer.lease_expires_at, cancelled: extended.answer.cancelled };
    Ok(once(&view, extended.replayed))
}

/// Many acks.
#[derive(Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = Acks)]
pub struct AcksBody {
    /// The acks, each for itself.
    #[schema(value_type = Vec<AckItem>, max_items = 1000)]
    acks: Vec<Box<RawValue>>,
}

read_object!(AcksBody);

impl Body for AcksBody {
    const MAX_BYTES: usize = 16 * 1024 * 1024;
    const MAX_DEPTH: usize = usize::MAX;
}

/// What became of each ack.
#[derive(Serialize, ToSchema)]
#[schema(as = AckResults)]
pub struct AckResultsView {
    /// In the order of the acks.
    results: Vec<AckResult>,
}

/// Completes up to 1,000 jobs at once.
///
/// Each ack stands for itself: a bad one fails alone. The answer has one result an ack, in their order.
#[utoipa::path(
    tag = "work",
    security(("token" = ["jobs:work"])),
    params(OfQueue, ("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once.",
        min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)),
    request_body(content = AcksBody, example = json!({"acks": [{"id": "welcome-ann", "lease": "1-c0f5tq9w2m4n8z3x0"}]})),
    responses((status = 200, description = "A result for each ack.", body = AckResultsView)),
)]
#[post("/v1/queues/{queue}/acks")]
pub async fn ack_jobs(
    queues: Allowed<JobsWork, Queues>,
    at: OfQueue,
    _: Query<NoParameters>,
    request: HttpRequest,
    key: IdempotencyHeader,
    body: Json<AcksBody>,
) -> std::result::Result<HttpResponse, Problem> {
    let Json(AcksBody { acks }, bytes) = body;
    let AckList { acks, unreadable } = AckList::read(&acks, "/acks")?;
    queues.charge_items("/acks", acks.len()).await?;
    let ids: Vec<JobId> = acks.iter().map(|ack| ack.id.clone()).collect();
    let settled = queues.ack_many(&at.queue, acks, key.once(&request, &bytes).as_ref()).await?;
    let results = AckList::results(unreadable, "/acks", ids.into_iter().zip(settled.answer).collect());
    Ok(once(&AckResultsView { results }, settled.replayed))
}
