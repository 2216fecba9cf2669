//! Finished jobs, from the archive.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, delete, get};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{Allowed, QueuesAdmin, QueuesRead};
use super::headers::tagged;
use super::json::json_response;
use super::problem::Problem;
use super::query::{OfQueue, Query, cursor, next_cursor};
use crate::archive::{Archive, Filter, HistoryPlace, Purge};
use crate::error::{Error, Result};
use crate::queue::{Job, State};
use crate::types::{JobKey, Limit, QueueName, Raw, Timestamp};

/// The longest text that is looked for: no error that is kept is longer.
const MAX_TEXT_BYTES: usize = 4096;

/// Which finished jobs to give.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryParameters {
    /// Only those in this state: `completed`, `dead` or `cancelled`.
    #[param(inline, nullable = false)]
    state: Option<State>,
    /// Only those with this text in one of their errors.
    #[param(min_length = 1, max_length = 4096, nullable = false)]
    error: Option<String>,
    /// Only those of this key.
    #[param(value_type = Option<String>, min_length = 1, max_length = 128, nullable = false)]
    key: Option<JobKey>,
    /// Only those that finished then or later.
    #[param(value_type = Option<String>, format = DateTime, nullable = false)]
    from: Option<Timestamp>,
    /// Only those that finished before.
    #[param(value_type = Option<String>, format = DateTime, nullable = false)]
    to: Option<Timestamp>,
    /// How many to give.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 50, nullable = false)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
}

fn check_state(state: Option<State>) -> Result<()> {
    match state {
        Some(state) if !state.is_final() => Err(Error::invalid("state", "must be completed, dead or cancelled")),
        Some(_) | None => Ok(()),
    }
}

impl HistoryParameters {
    fn into_filter(self, queue: &QueueName) -> Result<Filter> {
        check_state(self.state)?;
        if self.error.as_ref().is_some_and(|text| text.is_empty() || text.len() > MAX_TEXT_BYTES) {
            return Err(Error::invalid("error", format!("must be 1 to {MAX_TEXT_BYTES} bytes")));
        }
        let after =
            self.cursor.map(|text| cursor(&text, |(of, _): &(QueueName, HistoryPlace)| of == queue)).transpose()?;
        let after = after.map(|(_, place)| place);
        let Self { state, error, key, from, to, .. } = self;
        Ok(Filter { state, error, key, from, to, after })
    }
}

/// A page of finished jobs.
#[derive(Serialize, ToSchema)]
#[schema(as = JobHistory)]
pub struct HistoryView {
    /// By when they finished, the latest first; each as it finished last.
    #[schema(value_type = Vec<Job>)]
    jobs: Vec<Raw>,
    /// Give it as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// Lists finished jobs from the archive, the latest first.
///
/// They are there a moment after they finished, and stay when they and their queue have left Redis. A dead job that was tried again stands
/// there as dead until it finishes anew. A page ends early where it has a megabyte.
#[utoipa::path(
    tag = "jobs",
    security(("token" = ["queues:read"])),
    params(OfQueue, HistoryParameters),
    responses(
        (status = 200, description = "A page of jobs.", body = HistoryView),
        (status = 304, description = "The client has it already, by `If-None-Match`."),
    ),
)]
#[get("/v1/queues/{queue}/history")]
pub async fn get_history(
    archive: Allowed<QueuesRead, Archive>,
    request: HttpRequest,
    at: OfQueue,
    parameters: Query<HistoryParameters>,
) -> std::result::Result<HttpResponse, Problem> {
    let limit = parameters.0.limit;
    let filter = parameters.0.into_filter(&at.queue)?;
    let page = archive.history(&at.queue, &filter, limit).await?;
    let next_cursor = page.next.map(|place| next_cursor(&(&at.queue, place))).transpose()?;
    tagged(&request, &HistoryView { jobs: page.jobs, next_cursor })
}

/// Which archived jobs to delete.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PurgeHistoryParameters {
    /// Those that finished before.
    #[param(value_type = String, format = DateTime, example = "2026-01-01T00:00:00Z")]
    before: Timestamp,
    /// Only those in this state: `completed`, `dead` or `cancelled`.
    #[param(inline, nullable = false)]
    state: Option<State>,
}

/// What a purge of the archive did.
#[derive(Serialize, ToSchema)]
#[schema(as = PurgedHistory)]
pub struct PurgedHistoryView {
    /// How many jobs are gone.
    deleted: u64,
    /// Whether there may be more: the same request goes on.
    more: bool,
}

/// Deletes archived jobs of a queue for good.
///
/// It ends after some seconds with what is done by then, and says with `more` that there may be more to delete. What is in Redis stays
/// there, and what is on its way to the archive arrives; neither is counted.
#[utoipa::path(
    tag = "jobs",
    security(("token" = ["queues:admin"])),
    params(OfQueue, PurgeHistoryParameters),
    responses((status = 200, description = "How many.", body = PurgedHistoryView)),
)]
#[delete("/v1/queues/{queue}/history")]
pub async fn purge_history(
    archive: Allowed<QueuesAdmin, Archive>,
    at: OfQueue,
    parameters: Query<PurgeHistoryParameters>,
) -> std::result::Result<HttpResponse, Problem> {
    let PurgeHistoryParameters { before, state } = parameters.0;
    check_state(state)?;
    let purged = archive.purge(&at.queue, Purge { before, state }).await?;
    Ok(json_response(StatusCode::OK, &PurgedHistoryView { deleted: purged.deleted, more: purged.more }))
}
