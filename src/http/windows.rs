//! Windows of a leaderboard and their periods.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::{Allowed, LeaderboardsAdmin, LeaderboardsRead};
use super::headers::{IdempotencyHeader, answered, tagged};
use super::json::OptionalJson;
use super::problem::Problem;
use super::query::{ListParameters, NoParameters, OfWindow, Query, name_cursor, next_name_cursor};
use super::queues::Nothing;
use crate::archive::Archive;
use crate::leaderboard::{ClosedPeriod, Leaderboards, Period, PeriodStart, PeriodState};
use crate::types::{Limit, Timestamp};

/// A period of a window.
#[derive(Serialize, ToSchema)]
#[schema(as = Period)]
pub struct PeriodView {
    /// Its name: its start, or `open` where the window does not reset and it has not been closed.
    #[schema(example = "2026-11-23T00:00:00.000Z")]
    period: String,
    /// What becomes of it.
    state: PeriodState,
    /// Absent for `open`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false, example = "2026-11-23T00:00:00.000Z")]
    started_at: Option<Timestamp>,
    /// Absent while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false, example = "2026-11-30T00:00:00.000Z")]
    ended_at: Option<Timestamp>,
    /// Entries in it.
    #[schema(example = 2)]
    entries: u64,
}

impl From<Period> for PeriodView {
    fn from(period: Period) -> Self {
        let Period { name, state, started_at, ended_at, entries } = period;
        Self { period: name, state, started_at, ended_at, entries }
    }
}

/// A page of periods.
#[derive(Serialize, ToSchema)]
#[schema(as = PeriodPage)]
pub struct PeriodsView {
    /// The newest first.
    periods: Vec<PeriodView>,
    /// Give it as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// Lists the periods of a window, the newest first.
///
/// The open one, and those in which a score counted and which are still kept; behind them those in the archive, if the service has one.
#[utoipa::path(
    tag = "leaderboards",
    security(("token" = ["leaderboards:read"])),
    params(OfWindow, ListParameters),
    responses(
        (status = 200, description = "A page of periods.", body = PeriodsView),
        (status = 304, description = "The client has it already, by `If-None-Match`."),
    ),
)]
#[get("/v1/leaderboards/{leaderboard}/windows/{window}/periods")]
pub async fn list_periods(
    leaderboards: Allowed<LeaderboardsRead, Leaderboards>,
    archive: Allowed<LeaderboardsRead, Archive>,
    request: HttpRequest,
    at: OfWindow,
    page: Query<ListParameters>,
) -> Result<HttpResponse, Problem> {
    let before = name_cursor(page.0.cursor.as_deref())?;
    let (mut periods, mut next) = leaderboards.periods(&at.leaderboard, &at.window, before, page.0.limit).await?;
    if archive.is_there() {
        let of = leaderboards.name_window(&at.leaderboard, &at.window).await?;
        (periods, next) = merge(periods, next, archive.periods(&of, before, page.0.limit).await?, page.0.limit);
    }
    let view = PeriodsView {
        periods: periods.into_iter().map(PeriodView::from).collect(),
        next_cursor: next.map(|start| next_name_cursor(&start.to_string())),
    };
    tagged(&request, &view)
}

/// A page of live and archived periods, of which there is one more if they go on; the newest first. One that is in both is on its way out of
/// Redis.
fn merge(
    live: Vec<Period>,
    next: Option<PeriodStart>,
    archived: Vec<Period>,
    limit: Limit,
) -> (Vec<Period>, Option<PeriodStart>) {
    let limit = limit.get() as usize;
    // What is behind the last of a page that goes on is not known.
    let ends = [next.and(live.last()), archived.get(limit)].into_iter().flatten();
    let known_until = ends.map(|last| last.started_at).max().flatten();
    let live = live.into_iter().filter(|period| archived.iter().all(|other| other.name != period.name));
    let mut periods: Vec<Period> = live.collect();
    periods.extend(archived);
    periods.retain(|period| period.started_at.is_none() || period.started_at >= known_until);
    // One that has no start is open.
    periods.sort_by_key(|period| std::cmp::Reverse(period.started_at.map_or(i64::MAX, Timestamp::as_millis)));
    let more = next.is_some() || periods.len() > limit;
    periods.truncate(limit);
    let last = periods.last().map(|last| last.started_at.map_or(next.unwrap_or(PeriodStart::LAST), PeriodStart::from));
    (periods, last.or(next).filter(|_| more))
}

/// A period that was closed.
#[derive(Serialize, ToSchema)]
#[schema(as = ClosedPeriod)]
pub struct ClosedPeriodView {
    /// Its name.
    #[schema(example = "2026-11-23T00:00:00.000Z")]
    period: String,
}

/// Closes the open period of a window now; the next one begins.
///
/// A window that resets does so at its next time all the same. The period of one that does not reset gets the name of its
/// start. Closed periods take no more scores, bans and adjustments; rewards and `on_close` follow at once. The same
/// `Idempotency-Key` twice closes once.
#[utoipa::path(
    tag = "leaderboards",
    security(("token" = ["leaderboards:admin"])),
    params(OfWindow, ("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once.",
        min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)),
    responses((status = 202, description = "The period is closed; its rewards are being handed out.", body = ClosedPeriodView)),
)]
#[post("/v1/leaderboards/{leaderboard}/windows/{window}/close")]
pub async fn close_window(
    leaderboards: Allowed<LeaderboardsAdmin, Leaderboards>,
    at: OfWindow,
    _: Query<NoParameters>,
    key: IdempotencyHeader,
    _: OptionalJson<Nothing>,
) -> Result<HttpResponse, Problem> {
    let closed = leaderboards.close_window(&at.leaderboard, &at.window, key.0.as_ref()).await?;
    let ClosedPeriod { period, replayed } = closed;
    Ok(answered(StatusCode::ACCEPTED, &ClosedPeriodView { period }, replayed))
}
