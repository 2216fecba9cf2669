//! Schedules of a queue.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, get, put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::{Allowed, QueuesAdmin, QueuesRead};
use super::json::{Body, Json, json_response};
use super::problem::Problem;
use super::query::{ListParameters, NoParameters, OfQueue, OfSchedule, Query, name_cursor, next_name_cursor};
use crate::error::Error;
use crate::queue::{NewSchedule, Queues, Schedule};
use crate::types::{Payload, QueueName, ScheduleName, Timestamp, Within, present, read_object};

/// The most bytes of the payload of a schedule: each tick makes a copy of it.
const MAX_SCHEDULE_PAYLOAD_BYTES: usize = 64 * 1024;
const DEFAULT_PRIORITY: u8 = 4;

/// A schedule to store.
#[derive(Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = PutSchedule, example = json!({"cron": "0 3 * * *", "timezone": "Europe/Berlin", "payload": {"report": "daily"}}))]
pub struct ScheduleBody {
    /// When it ticks: a cron line of five fields (minute, hour, day of month, month, day of week), of six with seconds first, or
    /// `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    #[schema(example = "0 3 * * *")]
    cron: String,
    /// In which time zone (IANA). A local time that clocks skip runs once, right after the gap; one that occurs twice runs
    /// once, the first time.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, default = "UTC", example = "Europe/Berlin")]
    timezone: Option<String>,
    /// What its jobs carry: any JSON up to 64 KiB.
    #[schema(value_type = Value, example = json!({"report": "daily"}))]
    payload: Payload,
    /// The priority of its jobs.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u8>, nullable = false, minimum = 0, maximum = 9, default = 4)]
    priority: Option<Within<0, 9>>,
    /// Whether ticks that were missed while no instance ran are all run, one after another. Otherwise only the latest one is.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, default = false)]
    catch_up: Option<bool>,
}

read_object!(ScheduleBody);

impl Body for ScheduleBody {
    const MAX_BYTES: usize = MAX_SCHEDULE_PAYLOAD_BYTES + 16 * 1024;
    const MAX_DEPTH: usize = usize::MAX;
}

/// A schedule.
#[derive(Serialize, ToSchema)]
#[schema(as = Schedule)]
pub struct ScheduleView {
    /// Its name.
    #[schema(value_type = String, example = "nightly")]
    schedule: ScheduleName,
    /// Its queue.
    #[schema(value_type = String, example = "reports")]
    queue: QueueName,
    /// When it ticks.
    #[schema(example = "0 3 * * *")]
    cron: String,
    /// In which time zone.
    #[schema(example = "Europe/Berlin")]
    timezone: String,
    /// What its jobs carry.
    #[schema(value_type = Value)]
    payload: Payload,
    /// The priority of its jobs.
    #[schema(minimum = 0, maximum = 9)]
    priority: u8,
    /// Whether ticks that were missed are all run.
    catch_up: bool,
    /// When it ticks next; absent where it never does again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    next_run_at: Option<Timestamp>,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Schedule> for ScheduleView {
    fn from(schedule: Schedule) -> Self {
        let Schedule { name, queue, settings, next_run_at, created_at } = schedule;
        Self {
            schedule: name,
            queue,
            cron: settings.cron,
            timezone: settings.timezone.unwrap_or_else(|| "UTC".to_owned()),
            payload: settings.payload,
            priority: settings.priority,
            catch_up: settings.catch_up,
            next_run_at,
            created_at,
        }
    }
}

/// A page of schedules.
#[derive(Serialize, ToSchema)]
#[schema(as = SchedulePage)]
pub struct SchedulesView {
    /// By name.
    schedules: Vec<ScheduleView>,
    /// Give it as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// Creates a schedule, or replaces it.
///
/// Each tick enqueues one job, `<schedule>@<tick in ms>`, however many instances of the service run. With the same `cron` and
/// `timezone` as before the next tick stays. The queue is made if it is missing.
#[utoipa::path(
    tag = "schedules",
    security(("token" = ["queues:admin"])),
    params(OfSchedule),
    request_body(content = ScheduleBody, example = json!({"cron": "0 3 * * *", "timezone": "Europe/Berlin", "payload": {"report": "daily"}})),
    responses(
        (status = 200, description = "The schedule was replaced.", body = ScheduleView),
        (status = 201, description = "The schedule was created.", body = ScheduleView),
    ),
)]
#[put("/v1/queues/{queue}/schedules/{schedule}")]
pub async fn put_schedule(
    queues: Allowed<QueuesAdmin, Queues>,
    at: OfSchedule,
    _: Query<NoParameters>,
    body: Json<ScheduleBody>,
) -> Result<HttpResponse, Problem> {
    let body = body.0;
    if body.payload.as_str().len() > MAX_SCHEDULE_PAYLOAD_BYTES {
        return Err(Error::PayloadTooLarge { limit: MAX_SCHEDULE_PAYLOAD_BYTES }.into());
    }
    let settings = NewSchedule {
        cron: body.cron,
        timezone: body.timezone,
        payload: body.payload,
        priority: body.priority.map_or(DEFAULT_PRIORITY, |priority| priority.get() as u8),
        catch_up: body.catch_up.unwrap_or(false),
    };
    let (created, schedule) = queues.put_schedule(&at.queue, &at.schedule, settings).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json_response(status, &ScheduleView::from(schedule)))
}

/// Gives a schedule.
#[utoipa::path(
    tag = "schedules",
    security(("token" = ["queues:read"])),
    params(OfSchedule),
    responses((status = 200, description = "The schedule.", body = ScheduleView)),
)]
#[get("/v1/queues/{queue}/schedules/{schedule}")]
pub async fn get_schedule(
    queues: Allowed<QueuesRead, Queues>,
    at: OfSchedule,
    _: Query<NoParameters>,
) -> Result<HttpResponse, Problem> {
    let schedule = queues.schedule(&at.queue, &at.schedule).await?;
    Ok(json_response(StatusCode::OK, &ScheduleView::from(schedule)))
}

/// Lists the schedules of a queue by name.
#[utoipa::path(
    tag = "schedules",
    security(("token" = ["queues:read"])),
    params(OfQueue, ListParameters),
    responses((status = 200, description = "A page of schedules.", body = SchedulesView)),
)]
#[get("/v1/queues/{queue}/schedules")]
pub async fn list_schedules(
    queues: Allowed<QueuesRead, Queues>,
    at: OfQueue,
    page: Query<ListParameters>,
) -> Result<HttpResponse, Problem> {
    let after: Option<ScheduleName> = name_cursor(page.0.cursor.as_deref())?;
    let (found, next) = queues.schedules(&at.queue, after.as_ref().map(ScheduleName::as_str), page.0.limit).await?;
    let view = SchedulesView {
        schedules: found.into_iter().map(ScheduleView::from).collect(),
        next_cursor: next.map(|name| next_name_cursor(name.as_str())),
    };
    Ok(json_response(StatusCode::OK, &view))
}

/// Deletes a schedule. The jobs that it has made stay.
#[utoipa::path(
    tag = "schedules",
    security(("token" = ["queues:admin"])),
    params(OfSchedule),
    responses((status = 204, description = "The schedule is gone.")),
)]
#[delete("/v1/queues/{queue}/schedules/{schedule}")]
pub async fn delete_schedule(
    queues: Allowed<QueuesAdmin, Queues>,
    at: OfSchedule,
    _: Query<NoParameters>,
) -> Result<HttpResponse, Problem> {
    queues.delete_schedule(&at.queue, &at.schedule).await?;
    Ok(HttpResponse::NoContent().finish())
}
