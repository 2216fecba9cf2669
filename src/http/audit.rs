//! What administrators did.

use actix_web::{HttpRequest, HttpResponse, get};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::access::{Allowed, LeaderboardsAdmin};
use super::headers::tagged;
use super::problem::Problem;
use super::query::{ListParameters, OfLeaderboard, Query, name_cursor, next_name_cursor};
use crate::leaderboard::{Action, AuditEntry, Leaderboards};
use crate::types::{AuditId, Member, Reason, Timestamp};

/// An act of an administrator.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct AuditEntryView {
    /// When it was done.
    #[schema(value_type = String, format = DateTime, example = "2026-11-23T05:40:00.123Z")]
    at: Timestamp,
    /// Who did it: `admin`, or `anyone` where the service needs no token.
    #[schema(example = "admin")]
    by: String,
    /// What was done.
    action: Action,
    /// To whom; absent where it was done to many.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "mallory")]
    member: Option<Member>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "speed hack")]
    reason: Option<Reason>,
    /// What else there is to know: `shadow` of a ban; `score`, `subscores` and `window` of a score that was set; `min_score`,
    /// `max_score`, `window` and `members` of a removal by score.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object, example = json!({"shadow": false}))]
    details: Map<String, Value>,
}

impl From<AuditEntry> for AuditEntryView {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { id: _, at, by, action, member, reason, details } = entry;
        Self { at, by, action, member, reason, details }
    }
}

/// A page of acts.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditPage)]
pub struct AuditView {
    /// The newest first.
    entries: Vec<AuditEntryView>,
    /// Give it as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

impl AuditView {
    fn new((entries, next): (Vec<AuditEntry>, Option<AuditId>)) -> Self {
        Self {
            entries: entries.into_iter().map(AuditEntryView::from).collect(),
            next_cursor: next.map(|id| next_name_cursor(&id.to_string())),
        }
    }
}

/// Lists what administrators did to a leaderboard's entries and bans, the newest first.
///
/// The latest 10,000 acts are kept.
#[utoipa::path(
    tag = "moderation",
    security(("token" = ["leaderboards:admin"])),
    params(OfLeaderboard, ListParameters),
    responses(
        (status = 200, description = "A page of acts.", body = AuditView),
        (status = 304, description = "The client has it already, by `If-None-Match`."),
    ),
)]
#[get("/v1/leaderboards/{leaderboard}/audit")]
pub async fn list_audit(
    leaderboards: Allowed<LeaderboardsAdmin, Leaderboards>,
    request: HttpRequest,
    at: OfLeaderboard,
    page: Query<ListParameters>,
) -> Result<HttpResponse, Problem> {
    let before = name_cursor(page.0.cursor.as_deref())?;
    tagged(&request, &AuditView::new(leaderboards.audit(&at.leaderboard, before, page.0.limit).await?))
}
