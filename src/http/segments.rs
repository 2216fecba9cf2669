//! The values of a leaderboard's segments.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, get};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{Allowed, LeaderboardsRead};
use super::headers::tagged;
use super::problem::Problem;
use super::query::{OfSegment, Query, name_cursor, next_name_cursor};
use crate::leaderboard::{Leaderboards, SegmentValues, View};
use crate::types::{LeaderboardName, Limit, WindowName};

/// Which values to give.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SegmentParameters {
    /// The window; the leaderboard's first one by default.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", nullable = false)]
    window: Option<WindowName>,
    /// The period, by its start; the open one by default.
    #[param(nullable = false)]
    period: Option<String>,
    /// How many to give.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 50, nullable = false)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// The values of a segment.
#[derive(Serialize, ToSchema)]
#[schema(as = SegmentValues)]
pub struct SegmentValuesView {
    /// The leaderboard.
    #[schema(value_type = String, example = "race")]
    leaderboard: LeaderboardName,
    /// The window.
    #[schema(value_type = String, example = "all_time")]
    window: WindowName,
    /// Its period.
    #[schema(example = "open")]
    period: String,
    /// How many values there are.
    #[schema(example = 2)]
    total: u64,
    /// The values in byte order.
    values: Vec<SegmentValueView>,
    /// Give it as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// One value: a ranking of its own.
#[derive(Serialize, ToSchema)]
#[schema(as = SegmentValue)]
pub struct SegmentValueView {
    /// The value of each dimension.
    #[schema(example = json!({"country": "KR"}))]
    segments: BTreeMap<String, String>,
    /// Entries of that ranking.
    #[schema(minimum = 1, example = 2)]
    entries: u64,
}

impl SegmentValuesView {
    fn new(leaderboard: LeaderboardName, read: SegmentValues) -> Self {
        let SegmentValues { window, period, total, values, next } = read;
        let values = values.into_iter().map(|(segments, entries)| SegmentValueView { segments, entries }).collect();
        Self { leaderboard, window, period, total, values, next_cursor: next.map(|after| next_name_cursor(&after)) }
    }
}

/// Lists the values of a segment, each with its entries.
///
/// Those that have entries in the ranking of the window and period. The segment is one that the leaderboard declares.
#[utoipa::path(
    tag = "rankings",
    security(("token" = ["leaderboards:read"])),
    params(OfSegment, SegmentParameters),
    responses(
        (status = 200, description = "A page of values.", body = SegmentValuesView),
        (status = 304, description = "The client has it already, by `If-None-Match`."),
    ),
)]
#[get("/v1/leaderboards/{leaderboard}/segments/{segment}")]
pub async fn list_segment_values(
    leaderboards: Allowed<LeaderboardsRead, Leaderboards>,
    request: HttpRequest,
    at: OfSegment,
    parameters: Query<SegmentParameters>,
) -> Result<HttpResponse, Problem> {
    let SegmentParameters { window, period, limit, cursor } = parameters.0;
    let after: Option<String> = name_cursor(cursor.as_deref())?;
    let view = View { window, period, ..View::default() };
    let read = leaderboards.segment_values(&at.leaderboard, &at.segment, &view, after.as_deref(), limit).await?;
    tagged(&request, &SegmentValuesView::new(at.leaderboard, read))
}
