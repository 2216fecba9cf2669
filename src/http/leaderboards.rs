//! Leaderboards themselves: create, change, list, read, delete.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, delete, get, put};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::{Allowed, LeaderboardsAdmin, LeaderboardsRead};
use super::headers::tagged;
use super::json::{Body, Json, json_response};
use super::problem::Problem;
use super::query::{ListParameters, NoParameters, OfLeaderboard, Query, name_cursor, next_name_cursor};
use crate::leaderboard::{Leaderboards, Settings, Summary};
use crate::profile::Profiles;
use crate::types::{LeaderboardName, Timestamp};

impl Body for Settings {
    const MAX_BYTES: usize = 64 * 1024;
}

/// A leaderboard.
#[derive(Serialize, ToSchema)]
#[schema(as = Leaderboard)]
pub struct LeaderboardView {
    /// Its name.
    #[schema(value_type = String, example = "race")]
    leaderboard: LeaderboardName,
    /// Its settings.
    settings: Settings,
    /// Entries in its first window.
    #[schema(example = 2)]
    entries: u64,
    /// When it was created.
    #[schema(value_type = String, format = DateTime, example = "2026-11-23T05:40:00.123Z")]
    created_at: Timestamp,
}

impl From<Summary> for LeaderboardView {
    fn from(summary: Summary) -> Self {
        Self {
            leaderboard: summary.board.name.clone(),
            settings: summary.board.settings.clone(),
            entries: summary.entries,
            created_at: summary.board.created_at,
        }
    }
}

/// A page of leaderboards.
#[derive(Serialize, ToSchema)]
#[schema(as = LeaderboardPage)]
pub struct LeaderboardsView {
    /// By name.
    leaderboards: Vec<LeaderboardView>,
    /// Give it as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// Creates a leaderboard, or replaces its settings.
///
/// What is left out has its default. Once there are entries, `order`, `operator`, `ties`, `subscores`,
/// `half_life_ms` and `shards` are fixed (409); a lower `max_entries` removes the worst entries at once. Queues that are named in
/// `rewards` and `on_close` must be among those that the token reaches.
#[utoipa::path(
    tag = "leaderboards",
    security(("token" = ["leaderboards:admin"])),
    params(OfLeaderboard),
    request_body(content = Settings, example = json!({"order": "descending", "operator": "best", "ties": "earliest",
        "segments": ["country", "platform", "country+platform"]})),
    responses(
        (status = 200, description = "The settings were replaced.", body = LeaderboardView),
        (status = 201, description = "The leaderboard was created.", body = LeaderboardView),
    ),
)]
#[put("/v1/leaderboards/{leaderboard}")]
pub async fn put_leaderboard(
    leaderboards: Allowed<LeaderboardsAdmin, Leaderboards>,
    profiles: Allowed<LeaderboardsAdmin, Profiles>,
    at: OfLeaderboard,
    _: Query<NoParameters>,
    settings: Json<Settings>,
) -> Result<HttpResponse, Problem> {
    if let Some(upstream) = &settings.0.profiles {
        profiles.check(upstream)?;
    }
    for queue in settings.0.queues() {
        leaderboards.caller().check_queue(queue)?;
    }
    let (created, summary) = leaderboards.put(&at.leaderboard, settings.0).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json_response(status, &LeaderboardView::from(summary)))
}

/// Gives a leaderboard's settings and size.
#[utoipa::path(
    tag = "leaderboards",
    security(("token" = ["leaderboards:read"])),
    params(OfLeaderboard),
    responses((status = 200, description = "The leaderboard.", body = LeaderboardView)),
)]
#[get("/v1/leaderboards/{leaderboard}")]
pub async fn get_leaderboard(
    leaderboards: Allowed<LeaderboardsRead, Leaderboards>,
    at: OfLeaderboard,
    _: Query<NoParameters>,
) -> Result<HttpResponse, Problem> {
    let summary = leaderboards.get(&at.leaderboard).await?;
    Ok(json_response(StatusCode::OK, &LeaderboardView::from(summary)))
}

/// Lists leaderboards by name: those that the token reaches.
#[utoipa::path(
    tag = "leaderboards",
    security(("token" = ["leaderboards:read"])),
    params(ListParameters),
    responses(
        (status = 200, description = "A page of leaderboards.", body = LeaderboardsView),
        (status = 304, description = "The client has it already, by `If-None-Match`."),
    ),
)]
#[get("/v1/leaderboards")]
pub async fn list_leaderboards(
    leaderboards: Allowed<LeaderboardsRead, Leaderboards>,
    request: HttpRequest,
    page: Query<ListParameters>,
) -> Result<HttpResponse, Problem> {
    let after: Option<LeaderboardName> = name_cursor(page.0.cursor.as_deref())?;
    let (ranges, after) = (leaderboards.caller().leaderboards(), after.as_ref().map(LeaderboardName::as_str));
    let (summaries, next) = leaderboards.list(&ranges, after, page.0.limit).await?;
    let view = LeaderboardsView {
        leaderboards: summaries.into_iter().map(LeaderboardView::from).collect(),
        next_cursor: next.map(|name| next_name_cursor(name.as_str())),
    };
    tagged(&request, &view)
}

/// Deletes a leaderboard with all that it holds.
#[utoipa::path(
    tag = "leaderboards",
    security(("token" = ["leaderboards:admin"])),
    params(OfLeaderboard),
    responses((status = 204, description = "The leaderboard is gone.")),
)]
#[delete("/v1/leaderboards/{leaderboard}")]
pub async fn delete_leaderboard(
    leaderboards: Allowed<LeaderboardsAdmin, Leaderboards>,
    at: OfLeaderboard,
    _: Query<NoParameters>,
) -> Result<HttpResponse, Problem> {
    leaderboards.delete(&at.leaderboard).await?;
    Ok(HttpResponse::NoContent().finish())
}
