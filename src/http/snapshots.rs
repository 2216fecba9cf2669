//! Snapshots of rankings, which ranks are compared with.

use actix_web::{HttpRequest, HttpResponse, get};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{Allowed, LeaderboardsRead};
use super::headers::tagged;
use super::problem::Problem;
use super::query::{OfWindow, Query};
use crate::leaderboard::{Leaderboards, Snapshot};
use crate::types::Timestamp;

/// Whose snapshots to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SnapshotsParameters {
    /// The period; the open one by default.
    #[param(nullable = false)]
    period: Option<String>,
}

/// A snapshot of a ranking: who stood where.
#[derive(Serialize, ToSchema)]
#[schema(as = Snapshot)]
pub struct SnapshotView {
    /// When it was taken; `since` finds it by this time or a later one.
    #[schema(value_type = String, format = DateTime, example = "2026-11-24T00:00:00.412Z")]
    taken_at: Timestamp,
    /// Entries in it: the best ones, as many as the setting `snapshots` said then.
    #[schema(example = 1000)]
    entries: u64,
}

impl From<Snapshot> for SnapshotView {
    fn from(Snapshot { taken_at, entries }: Snapshot) -> Self {
        Self { taken_at, entries }
    }
}

/// The snapshots of a ranking.
#[derive(Serialize, ToSchema)]
#[schema(as = Snapshots)]
pub struct SnapshotsView {
    /// The newest first; at most 400.
    #[schema(max_items = 400)]
    snapshots: Vec<SnapshotView>,
}

/// Lists the snapshots that are kept of a window's ranking, the newest first.
///
/// With the setting `snapshots`, one is taken of every open ranking that has entries, once a day at 00:00 UTC, or, if the
/// service was down then, as soon as it is back; not of segments. Reads show with `?since=` how ranks have changed since
/// one of them.
#[utoipa::path(
    tag = "leaderboards",
    security(("token" = ["leaderboards:read"])),
    params(OfWindow, SnapshotsParameters),
    responses(
        (status = 200, description = "The snapshots.", body = SnapshotsView),
        (status = 304, description = "The client has them already, by `If-None-Match`."),
    ),
)]
#[get("/v1/leaderboards/{leaderboard}/windows/{window}/snapshots")]
pub async fn list_snapshots(
    leaderboards: Allowed<LeaderboardsRead, Leaderboards>,
    request: HttpRequest,
    at: OfWindow,
    parameters: Query<SnapshotsParameters>,
) -> Result<HttpResponse, Problem> {
    let snapshots = leaderboards.snapshots(&at.leaderboard, &at.window, parameters.0.period).await?;
    tagged(&request, &SnapshotsView { snapshots: snapshots.into_iter().map(SnapshotView::from).collect() })
}
