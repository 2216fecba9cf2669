//! Queues themselves: create, change, list, read, pause, delete.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, delete, get, post, put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::{Allowed, QueuesAdmin, QueuesRead};
use super::headers::{IDEMPOTENT_REPLAYED, IdempotencyHeader, tagged};
use super::json::{Body, Json, OptionalJson, json_response};
use super::problem::Problem;
use super::query::{ListParameters, NoParameters, OfQueue, Query, name_cursor, next_name_cursor};
use crate::queue::{Figures, QueueSettings, QueueSummary, Queues, State};
use crate::types::{QueueName, Timestamp, WorkerName, read_object};

impl Body for QueueSettings {
    const MAX_BYTES: usize = 64 * 1024;
}

/// A body that says nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Nothing {}

read_object!(Nothing);

impl Body for Nothing {
    const MAX_BYTES: usize = 1024;
}

/// How many jobs are in each state.
#[derive(Serialize, ToSchema)]
#[schema(as = JobCounts)]
pub struct CountsView {
    /// Those that may be leased.
    ready: u64,
    /// Those that wait for their time.
    scheduled: u64,
    /// Those that are leased.
    active: u64,
    /// Those that are done.
    completed: u64,
    /// Those whose attempts are spent.
    dead: u64,
    /// Those that were cancelled, or not started in time.
    cancelled: u64,
}

/// What went through a queue in the last minute.
#[derive(Serialize, ToSchema)]
#[schema(as = Throughput)]
pub struct ThroughputView {
    /// Jobs enqueued.
    enqueued_per_minute: u64,
    /// Jobs completed.
    completed_per_minute: u64,
    /// Attempts that failed, or whose lease ran out.
    failed_per_minute: u64,
}

/// A queue.
#[derive(Serialize, ToSchema)]
#[schema(as = Queue)]
pub struct QueueView {
    /// Its name.
    #[schema(value_type = String, example = "emails")]
    queue: QueueName,
    /// Its settings.
    settings: QueueSettings,
    /// Whether jobs are only taken in and not leased.
    paused: bool,
    /// How many jobs are in each state.
    counts: CountsView,
    /// How long the oldest ready job has been ready; `null` where there is none.
    #[schema(required, example = 120)]
    oldest_ready_ms: Option<u64>,
    /// What went through in the last minute.
    throughput: ThroughputView,
    /// When it was created.
    #[schema(value_type = String, format = DateTime, example = "2026-11-23T05:40:00.123Z")]
    created_at: Timestamp,
}

impl From<QueueSummary> for QueueView {
    fn from(summary: QueueSummary) -> Self {
        let QueueSummary { queue, figures } = summary;
        let count = |state| Figures::count(&figures, state);
        let [enqueued_per_minute, completed_per_minute, failed_per_minute] = figures.per_minute;
        Self {
            queue: queue.name.clone(),
            settings: QueueSettings { paused: figures.paused, ..queue.settings.clone() },
            paused: figures.paused,
            counts: CountsView {
                ready: count(State::Ready),
                scheduled: count(State::Scheduled),
                active: count(State::Active),
                completed: count(State::Completed),
                dead: count(State::Dead),
                cancelled: count(State::Cancelled),
            },
            oldest_ready_ms: figures.oldest_ready_ms,
            throughput: ThroughputView { enqueued_per_minute, completed_per_minute, failed_per_minute },
            created_at: queue.created_at,
        }
    }
}

/// A page of queues.
#[derive(Serialize, ToSchema)]
#[schema(as = QueuePage)]
pub struct QueuesView {
    /// By name.
    queues: Vec<QueueView>,
    /// Give it as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// Creates a queue, or replaces its settings.
///
/// What is left out has its default. Settings hold from the next call on, for jobs that wait as well.
#[utoipa::path(
    tag = "queues",
    security(("token" = ["queues:admin"])),
    params(OfQueue),
    request_body(content = QueueSettings, example = json!({"lease_ms": 60000, "max_attempts": 10})),
    responses(
        (status = 200, description = "The settings were replaced.", body = QueueView),
        (status = 201, description = "The queue was created.", body = QueueView),
    ),
)]
#[put("/v1/queues/{queue}")]
pub async fn put_queue(
    queues: Allowed<QueuesAdmin, Queues>,
    at: OfQueue,
    _: Query<NoParameters>,
    settings: Json<QueueSettings>,
) -> Result<HttpResponse, Problem> {
    let (created, summary) = queues.put(&at.queue, settings.0).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json_response(status, &QueueView::from(summary)))
}

/// Gives a queue's settings and how it stands.
#[utoipa::path(
    tag = "queues",
    security(("token" = ["queues:read"])),
    params(OfQueue),
    responses((status = 200, description = "The queue.", body = QueueView)),
)]
#[get("/v1/queues/{queue}")]
pub async fn get_queue(
    queues: Allowed<QueuesRead, Queues>,
    at: OfQueue,
    _: Query<NoParameters>,
) -> Result<HttpResponse, Problem> {
    Ok(json_response(StatusCode::OK, &QueueView::from(queues.get(&at.queue).await?)))
}

/// Lists queues by name: those that the token reaches.
#[utoipa::path(
    tag = "queues",
    security(("token" = ["queues:read"])),
    params(ListParameters),
    responses(
        (status = 200, description = "A page of queues.", body = QueuesView),
        (status = 304, description = "The client has it already, by `If-None-Match`."),
    ),
)]
#[get("/v1/queues")]
pub async fn list_queues(
    queues: Allowed<QueuesRead, Queues>,
    request: HttpRequest,
    page: Query<ListParameters>,
) -> Result<HttpResponse, Problem> {
    let after: Option<QueueName> = name_cursor(page.0.cursor.as_deref())?;
    let (ranges, after) = (queues.caller().queues(), after.as_ref().map(QueueName::as_str));
    let (summaries, next) = queues.list(&ranges, after, page.0.limit).await?;
    let view = QueuesView {
        queues: summaries.into_iter().map(QueueView::from).collect(),
        next_cursor: next.map(|name| next_name_cursor(name.as_str())),
    };
    tagged(&request, &view)
}

/// Deletes a queue with all its jobs and schedules.
#[utoipa::path(
    tag = "queues",
    security(("token" = ["queues:admin"])),
    params(OfQueue),
    responses((status = 204, description = "The queue is gone.")),
)]
#[delete("/v1/queues/{queue}")]
pub async fn delete_queue(
    queues: Allowed<QueuesAdmin, Queues>,
    at: OfQueue,
    _: Query<NoParameters>,
) -> Result<HttpResponse, Problem> {
    queues.delete(&at.queue).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Pauses a queue: jobs are taken in and none is leased. Leases that are out go on.
#[utoipa::path(
    tag = "queues",
    security(("token" = ["queues:admin"])),
    params(OfQueue, ("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once.",
        min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)),
    responses((status = 204, description = "The queue is paused.")),
)]
#[post("/v1/queues/{queue}/pause")]
pub async fn pause_queue(
    queues: Allowed<QueuesAdmin, Queues>,
    at: OfQueue,
    _: Query<NoParameters>,
    request: HttpRequest,
    key: IdempotencyHeader,
    body: OptionalJson<Nothing>,
) -> Result<HttpResponse, Problem> {
    let replayed = queues.pause(&at.queue, true, key.once(&request, &body.1).as_ref()).await?;
    Ok(no_content(replayed))
}

/// Resumes a paused queue.
#[utoipa::path(
    tag = "queues",
    security(("token" = ["queues:admin"])),
    params(OfQueue, ("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once.",
        min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)),
    responses((status = 204, description = "The queue leases jobs.")),
)]
#[post("/v1/queues/{queue}/resume")]
pub async fn resume_queue(
    queues: Allowed<QueuesAdmin, Queues>,
    at: OfQueue,
    _: Query<NoParameters>,
    request: HttpRequest,
    key: IdempotencyHeader,
    body: OptionalJson<Nothing>,
) -> Result<HttpResponse, Problem> {
    let replayed = queues.pause(&at.queue, false, key.once(&request, &body.1).as_ref()).await?;
    Ok(no_content(replayed))
}

fn no_content(replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    if replayed {
        response.insert_header((IDEMPOTENT_REPLAYED, "true"));
    }
    response.finish()
}

/// A worker that was seen in the last minute.
#[derive(Serialize, ToSchema)]
#[schema(as = Worker)]
pub struct WorkerView {
    /// Its name.
    #[schema(value_type = String, example = "mailer-1")]
    worker: WorkerName,
    /// The queues that it asked.
    #[schema(value_type = Vec<String>, example = json!(["emails"]))]
    queues: Vec<QueueName>,
    /// The jobs that it holds.
    active: u64,
    /// When it last asked for a job or extended a lease, to ten seconds.
    #[schema(value_type = String, format = DateTime)]
    last_seen_at: Timestamp,
}

/// Workers.
#[derive(Serialize, ToSchema)]
#[schema(as = Workers)]
pub struct WorkersView {
    /// By name.
    workers: Vec<WorkerView>,
}

/// Lists the workers that asked for jobs by name in the last minute.
///
/// A token that is held to some queues is shown what workers do there, and no workers of others alone.
#[utoipa::path(
    tag = "queues",
    security(("token" = ["queues:read"])),
    responses((status = 200, description = "The workers.", body = WorkersView)),
)]
#[get("/v1/workers")]
pub async fn list_workers(
    queues: Allowed<QueuesRead, Queues>,
    _: Query<NoParameters>,
) -> Result<HttpResponse, Problem> {
    let workers = queues.workers(&queues.caller().queues()).await?;
    let workers = workers.into_iter().map(|worker| WorkerView {
        worker: worker.worker,
        queues: worker.queues.into_iter().collect(),
        active: worker.active,
        last_seen_at: worker.last_seen_at,
    });
    Ok(json_response(StatusCode::OK, &WorkersView { workers: workers.collect() }))
}
