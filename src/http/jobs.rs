//! Jobs: enqueue, read, retry, cancel, move, delete.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_STATUS, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::access::{self, Allowed, JobsEnqueue, QueuesAdmin, QueuesRead};
use super::headers::{IdempotencyHeader, answered, once, tagged};
use super::json::{self, Body, Json, OptionalJson, json_response};
use super::problem::{Problem, ProblemBody, status};
use super::query::{NoParameters, OfJob, OfQueue, Query, cursor, next_cursor};
use crate::archive::{Archive, Source};
use crate::auth::Lasting;
use crate::error::{Error, Fault, Result};
use crate::queue::{Job, ListPlace, NewJob, OnDuplicate, Queues, Start, State, Unique, UniqueUntil};
use crate::types::{
    JobId, JobKey, Limit, MAX_PAYLOAD_BYTES, Named, Payload, QueueName, Raw, Timestamp, UniqueKey, Within, present,
    read_object,
};

const MAX_BATCH: usize = 1000;
const MAX_HEADER_BYTES: usize = 4096;
const TEN_YEARS_MS: u64 = 315_360_000_000;
const DEFAULT_PRIORITY: u8 = 4;

/// A delay of at most ten years.
type Delay = Within<0, TEN_YEARS_MS>;

/// Checks texts by name, which are kept as they were sent.
fn check_headers(headers: &Raw) -> Result<()> {
    if headers.as_str().len() > MAX_HEADER_BYTES {
        return Err(Error::invalid("/headers", format!("must be at most {MAX_HEADER_BYTES} bytes of JSON")));
    }
    let read = json::parse::<Named<String>>(headers.as_str().as_bytes(), json::MAX_DEPTH);
    read.map(drop).map_err(|error| json::in_list("/headers", &error))
}

/// A job to enqueue.
#[derive(Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = EnqueueJob, example = json!({"payload": {"to": "ann@example.com"}}))]
pub struct EnqueueJob {
    /// Any JSON up to 256 KiB; it comes back byte for byte.
    #[schema(value_type = Value, example = json!({"to": "ann@example.com"}))]
    payload: Payload,
    /// An id of one's own: a second job with it is the first one.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 128)]
    id: Option<JobId>,
    /// 0 to 9, 9 first.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u8>, nullable = false, minimum = 0, maximum = 9, default = 4)]
    priority: Option<Within<0, 9>>,
    /// Ready after so long.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 0, maximum = 315_360_000_000_u64)]
    delay_ms: Option<Delay>,
    /// Ready at this time; not together with `delay_ms`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    run_at: Option<Timestamp>,
    /// Dead after so many attempts; as the queue says otherwise.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>, nullable = false, minimum = 1, maximum = 1000)]
    max_attempts: Option<Within<1, 1000>>,
    /// Whose the job is: what the queue's `keys` settings hold for.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 128)]
    key: Option<JobKey>,
    /// Only one job with this key may wait or run.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 128)]
    unique_key: Option<UniqueKey>,
    /// Until when: `done` or `started`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, pattern = "^(done|started)$", default = "done")]
    unique_until: Option<UniqueUntil>,
    /// For how long: without `unique_until` whatever becomes of the job, with it at most.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 1, maximum = 315_360_000_000_u64)]
    unique_for_ms: Option<Within<1, TEN_YEARS_MS>>,
    /// What becomes of this job where the unique key is taken: `keep` answers the one that is there, `replace` removes it if
    /// it waits.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, pattern = "^(keep|replace)$", default = "keep")]
    on_duplicate: Option<OnDuplicate>,
    /// Cancelled where it has not started after so long.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 0, maximum = 315_360_000_000_u64)]
    expires_in_ms: Option<Delay>,
    /// Texts by name, at most 4 KiB, for what is about the job and not of it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>, nullable = false)]
    headers: Option<Raw>,
}

read_object!(EnqueueJob);

impl Body for EnqueueJob {
    const MAX_BYTES: usize = MAX_PAYLOAD_BYTES + 32 * 1024;
    const MAX_DEPTH: usize = usize::MAX;
}

impl EnqueueJob {
    /// Checks what the fields are together.
    fn into_new_job(self) -> Result<NewJob> {
        if self.payload.as_str().len() > MAX_PAYLOAD_BYTES {
            return Err(Error::PayloadTooLarge { limit: MAX_PAYLOAD_BYTES });
        }
        if let Some(headers) = &self.headers {
            check_headers(headers)?;
        }
        let mut faults = Vec::new();
        let start = match (self.delay_ms, self.run_at) {
            (Some(_), Some(_)) => {
                faults.push(Fault::new("/run_at", "must not stand together with delay_ms"));
                Start::Now
            }
            (Some(delay), None) => Start::After(delay.get()),
            (None, Some(time)) => Start::At(time),
            (None, None) => Start::Now,
        };
        let unique = match self.unique_key {
            Some(key) => Some(Unique {
                key,
                until: match (self.unique_until, self.unique_for_ms) {
                    (None, Some(_)) => None,
                    (until, _) => Some(until.unwrap_or_default()),
                },
                for_ms: self.unique_for_ms.map(Within::get),
                on_duplicate: self.on_duplicate.unwrap_or_default(),
            }),
            None => {
                let given = [
                    (self.unique_until.is_some(), "/unique_until"),
                    (self.unique_for_ms.is_some(), "/unique_for_ms"),
                    (self.on_duplicate.is_some(), "/on_duplicate"),
                ];
                for (_, pointer) in given.iter().filter(|(is_given, _)| *is_given) {
                    faults.push(Fault::new(*pointer, "needs a unique_key"));
                }
                None
            }
        };
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        Ok(NewJob {
            id: self.id,
            payload: self.payload,
            priority: self.priority.map_or(DEFAULT_PRIORITY, |priority| priority.get() as u8),
            start,
            max_attempts: self.max_attempts.map(|attempts| attempts.get() as u32),
            key: self.key,
            unique,
            expires_in_ms: self.expires_in_ms.map(Within::get),
            headers: self.headers,
        })
    }
}

/// Enqueues a job.
///
/// A job with an `id` or `unique_key` that is already there is that one, with `"duplicate": true` (200). A queue that does not
/// exist is created with the default settings, unless the service runs without auto-creation. The same `Idempotency-Key` with
/// the same body counts once within 24 hours.
#[utoipa::path(
    tag = "jobs",
    security(("token" = ["jobs:enqueue"])),
    params(OfQueue, ("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once.",
        min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)),
    request_body(content = EnqueueJob, example = json!({"payload": {"to": "ann@example.com"}, "id": "welcome-ann", "priority": 5})),
    responses(
        (status = 201, description = "The job.", body = Job),
        (status = 200, description = "The job that was there already.", body = Job),
    ),
)]
#[post("/v1/queues/{queue}/jobs")]
pub async fn enqueue_job(
    queues: Allowed<JobsEnqueue, Queues>,
    at: OfQueue,
    _: Query<NoParameters>,
    request: HttpRequest,
    key: IdempotencyHeader,
    body: Json<EnqueueJob>,
) -> std::result::Result<HttpResponse, Problem> {
    let Json(body, bytes) = body;
    let enqueued = queues.enqueue(&at.queue, &body.into_new_job()?, key.once(&request, &bytes).as_ref()).await?;
    let status = if enqueued.answer.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    Ok(answered(status, &enqueued.answer, enqueued.replayed))
}

/// Many jobs to enqueue.
#[derive(Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = EnqueueJobs)]
pub struct EnqueueJobs {
    /// The jobs, each for itself.
    #[schema(value_type = Vec<EnqueueJob>, max_items = 1000)]
    jobs: Vec<Box<RawValue>>,
}

read_object!(EnqueueJobs);

impl Body for EnqueueJobs {
    const MAX_BYTES: usize = 16 * 1024 * 1024;
    const MAX_DEPTH: usize = usize::MAX;
}

/// What became of one job of a batch.
#[derive(Serialize, ToSchema)]
#[schema(as = EnqueueResult)]
pub struct EnqueueResultView {
    /// The status that the job alone would have had.
    #[schema(example = 201, minimum = 200, maximum = 599)]
    status: u16,
    /// The job's id; absent where it could not be enqueued.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    id: Option<JobId>,
    /// `true` where the job was there already.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    duplicate: bool,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<ProblemBody>,
}

/// What became of each job.
#[derive(Serialize, ToSchema)]
#[schema(as = EnqueueResults)]
pub struct EnqueueResultsView {
    /// In the order of the jobs.
    results: Vec<EnqueueResultView>,
}

/// Enqueues up to 1,000 jobs at once.
///
/// Each stands for itself: a bad one fails alone. The answer has one result a job, in their order.
#[utoipa::path(
    tag = "jobs",
    security(("token" = ["jobs:enqueue"])),
    params(OfQueue, ("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once.",
        min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)),
    request_body(content = EnqueueJobs,
        example = json!({"jobs": [{"payload": {"to": "ann@example.com"}}, {"payload": {"to": "bob@example.com"}, "delay_ms": 60000}]})),
    responses((status = 200, description = "A result for each job.", body = EnqueueResultsView)),
)]
#[post("/v1/queues/{queue}/jobs/batch")]
pub async fn enqueue_jobs(
    queues: Allowed<JobsEnqueue, Queues>,
    at: OfQueue,
    _: Query<NoParameters>,
    request: HttpRequest,
    key: IdempotencyHeader,
    body: Json<EnqueueJobs>,
) -> std::result::Result<HttpResponse, Problem> {
    let Json(EnqueueJobs { jobs }, bytes) = body;
    if jobs.len() > MAX_BATCH {
        return Err(Error::invalid("/jobs", format!("must be at most {MAX_BATCH} jobs")).into());
    }
    queues.charge_items("/jobs", jobs.len()).await?;
    let jobs: Vec<Result<NewJob>> = jobs
        .iter()
        .map(|job| json::parse::<EnqueueJob>(job.get().as_bytes(), usize::MAX).and_then(EnqueueJob::into_new_job))
        .collect();
    let enqueued = queues.enqueue_many(&at.queue, &jobs, key.once(&request, &bytes).as_ref()).await?;
    let results = enqueued.answer.into_iter().enumerate().map(|(number, result)| match result {
        Ok(job) => EnqueueResultView {
            status: if job.duplicate { 200 } else { 201 },
            id: Some(job.id),
            duplicate: job.duplicate,
            problem: None,
        },
        Err(error) => EnqueueResultView {
            status: status(error.code()).as_u16(),
            id: None,
            duplicate: false,
            problem: Some(ProblemBody::of(&json::in_list(&format!("/jobs/{number}"), &error), None)),
        },
    });
    Ok(once(&EnqueueResultsView { results: results.collect() }, enqueued.replayed))
}

/// Whether to wait for a job's end.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WaitParameters {
    /// How long to wait for it to be completed, dead or cancelled.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 30000, default = 0, nullable = false)]
    wait_ms: Option<Within<0, 30_000>>,
}

/// Gives a job; with `wait_ms`, when it has finished or the wait has ended. Where the token ends meanwhile, 401.
///
/// What has left Redis is read from the archive, if the service has one. `Cache-Status` is then `ranq; fwd=miss`, or
/// `ranq; hit; detail=archived` where it was read lately; for what has not left it is `ranq; hit`. `If-None-Match` is looked at when the wait
/// is over, and a job has the same `ETag` wherever it comes from.
#[utoipa::path(
    tag = "jobs",
    security(("token" = ["queues:read"])),
    params(OfJob, WaitParameters),
    responses(
        (status = 200, description = "The job.", body = Job),
        (status = 304, description = "The client has it already, by `If-None-Match`."),
    ),
)]
#[get("/v1/queues/{queue}/jobs/{id}")]
pub async fn get_job(
    queues: Allowed<QueuesRead, Queues>,
    archive: Allowed<QueuesRead, Archive>,
    request: HttpRequest,
    at: OfJob,
    parameters: Query<WaitParameters>,
) -> std::result::Result<HttpResponse, Problem> {
    let wait = Duration::from_millis(parameters.0.wait_ms.map_or(0, Within::get));
    let lasting = if wait.is_zero() { Lasting::default() } else { access::lasting(&request)? };
    let job = tokio::select! {
        biased;
        () = lasting.ended() => return Err(Error::Unauthenticated.into()),
        job = queues.job(&at.queue, &at.id, wait) => job,
    };
    if !archive.is_there() {
        return tagged(&request, &job?);
    }
    let (mut response, status) = match job {
        Ok(job) => (tagged(&request, &job)?, "ranq; hit"),
        Err(Error::NoJob { .. }) if !queues.is_withdrawn(&at.queue, &at.id).await? => {
            let archived = archive.job(&at.queue, &at.id).await?;
            let status = match archived.source {
                Source::Cache => "ranq; hit; detail=archived",
                Source::Database => "ranq; fwd=miss",
            };
            (tagged(&request, &archived.job)?, status)
        }
        Err(error) => return Err(error.into()),
    };
    response.headers_mut().insert(CACHE_STATUS, HeaderValue::from_static(status));
    Ok(response)
}

/// Which jobs to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobsParameters {
    /// Only those in this state.
    #[param(inline, nullable = false)]
    state: Option<State>,
    /// How many to give.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 50, nullable = false)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// A page of jobs.
#[derive(Serialize, ToSchema)]
#[schema(as = JobPage)]
pub struct JobsView {
    /// In the order of the state: scheduled by their time, leased by their deadline, ready as they will be leased, others by when
    /// they finished.
    jobs: Vec<Job>,
    /// Give it as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// Lists jobs of a state, or of all states one after another.
///
/// Jobs that change their state between two pages may be missed or seen twice.
#[utoipa::path(
    tag = "jobs",
    security(("token" = ["queues:read"])),
    params(OfQueue, JobsParameters),
    responses((status = 200, description = "A page of jobs.", body = JobsView)),
)]
#[get("/v1/queues/{queue}/jobs")]
pub async fn list_jobs(
    queues: Allowed<QueuesRead, Queues>,
    at: OfQueue,
    parameters: Query<JobsParameters>,
) -> std::result::Result<HttpResponse, Problem> {
    let JobsParameters { state, limit, cursor } = parameters.0;
    let from = cursor.map(|text| read_cursor(&text, &at.queue, state)).transpose()?;
    let page = queues.jobs(&at.queue, state, from, limit).await?;
    let next_cursor = page.next.map(|(state, place)| next_cursor(&(&at.queue, state, place))).transpose()?;
    Ok(json_response(StatusCode::OK, &JobsView { jobs: page.jobs, next_cursor }))
}

fn read_cursor(text: &str, queue: &QueueName, only: Option<State>) -> Result<(State, ListPlace)> {
    let is_of_list = |(of, state, place): &(QueueName, State, ListPlace)| {
        of == queue && only.is_none_or(|only| only == *state) && place.fits(*state)
    };
    cursor(text, is_of_list).map(|(_, state, place)| (state, place))
}

/// Makes a dead or scheduled job ready now.
///
/// A dead one has all its attempts again. Other states are 409, as is a job whose unique key another one has.
#[utoipa::path(
    tag = "jobs",
    security(("token" = ["queues:admin"])),
    params(OfJob, ("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once.",
        min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)),
    responses((status = 200, description = "The job.", body = Job)),
)]
#[post("/v1/queues/{queue}/jobs/{id}/retry")]
pub async fn retry_job(
    queues: Allowed<QueuesAdmin, Queues>,
    at: OfJob,
    _: Query<NoParameters>,
    request: HttpRequest,
    key: IdempotencyHeader,
    body: OptionalJson<super::queues::Nothing>,
) -> std::result::Result<HttpResponse, Problem> {
    let retried = queues.retry(&at.queue, &at.id, key.once(&request, &body.1).as_ref()).await?;
    Ok(once(&retried.answer, retried.replayed))
}

/// Cancels a job.
///
/// A worker that holds it is told at its next heartbeat, and its lease is void. A completed job cannot be cancelled (409).
#[utoipa::path(
    tag = "jobs",
    security(("token" = ["queues:admin"])),
    params(OfJob),
    responses((status = 204, description = "The job is cancelled.")),
)]
#[delete("/v1/queues/{queue}/jobs/{id}")]
pub async fn cancel_job(
    queues: Allowed<QueuesAdmin, Queues>,
    at: OfJob,
    _: Query<NoParameters>,
) -> std::result::Result<HttpResponse, Problem> {
    queues.cancel(&at.queue, &at.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Which jobs to delete.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PurgeParameters {
    /// Those in this state; `active` is refused.
    #[param(inline, example = "dead")]
    state: State,
}

/// What a purge did.
#[derive(Serialize, ToSchema)]
#[schema(as = Purged)]
pub struct PurgedView {
    /// How many jobs are gone.
    deleted: u64,
}

/// Deletes all jobs of a state for good.
#[utoipa::path(
    tag = "jobs",
    security(("token" = ["queues:admin"])),
    params(OfQueue, PurgeParameters),
    responses((status = 200, description = "How many.", body = PurgedView)),
)]
#[delete("/v1/queues/{queue}/jobs")]
pub async fn purge_jobs(
    queues: Allowed<QueuesAdmin, Queues>,
    at: OfQueue,
    parameters: Query<PurgeParameters>,
) -> std::result::Result<HttpResponse, Problem> {
    let deleted = queues.purge(&at.queue, parameters.0.state).await?;
    Ok(json_response(StatusCode::OK, &PurgedView { deleted }))
}

/// Which dead jobs to try again, and where.
#[derive(Default, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = Redrive)]
pub struct RedriveBody {
    /// How many at most, the oldest first; all otherwise.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    limit: Option<Within<1, 9_007_199_254_740_991>>,
    /// In another queue; in this one otherwise.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    to: Option<QueueName>,
}

read_object!(RedriveBody);

impl Body for RedriveBody {
    const MAX_BYTES: usize = 4096;
}

/// What a redrive did.
#[derive(Serialize, ToSchema)]
#[schema(as = Redriven)]
pub struct RedrivenView {
    /// How many jobs are ready again.
    moved: u64,
}

/// Makes dead jobs ready again, here or in another queue.
///
/// They have all their attempts again and keep their ids and errors. One whose id or unique key is taken stays dead. The token must
/// reach both queues.
#[utoipa::path(
    tag = "jobs",
    security(("token" = ["queues:admin"])),
    params(OfQueue, ("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once.",
        min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)),
    request_body(content = Option<RedriveBody>, example = json!({"limit": 100})),
    responses((status = 200, description = "How many.", body = RedrivenView)),
)]
#[post("/v1/queues/{queue}/redrive")]
pub async fn redrive_jobs(
    queues: Allowed<QueuesAdmin, Queues>,
    at: OfQueue,
    _: Query<NoParameters>,
    request: HttpRequest,
    key: IdempotencyHeader,
    body: OptionalJson<RedriveBody>,
) -> std::result::Result<HttpResponse, Problem> {
    let OptionalJson(RedriveBody { limit, to }, bytes) = body;
    if let Some(to) = &to {
        queues.caller().check_queue(to)?;
    }
    let limit = limit.map(Within::get);
    let redriven = queues.redrive(&at.queue, limit, to.as_ref(), key.once(&request, &bytes).as_ref()).await?;
    Ok(once(&RedrivenView { moved: redriven.answer }, redriven.replayed))
}
