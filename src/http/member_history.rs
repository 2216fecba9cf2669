//! What happened to a member, from the archive.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{Allowed, LeaderboardsRead};
use super::json::json_response;
use super::problem::Problem;
use super::query::{OfMember, Query, cursor, next_cursor};
use crate::archive::{Archive, ArchivedEvent, EventFilter, EventPlace};
use crate::auth::Scope;
use crate::error::Result;
use crate::leaderboard::{EventKind, EventWindow};
use crate::types::{LeaderboardName, Limit, Member, Raw, Timestamp, WindowName};

/// Which events to give.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MemberHistoryParameters {
    /// Only those that changed this window, and acts that met all windows.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", nullable = false)]
    window: Option<WindowName>,
    /// Only those of then or later.
    #[param(value_type = Option<String>, format = DateTime, nullable = false)]
    from: Option<Timestamp>,
    /// Only those of before.
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

/// Whose history a cursor goes on in, and from where.
type Place = (LeaderboardName, Member, EventPlace);

impl MemberHistoryParameters {
    fn into_filter(self, at: &OfMember, with_bans: bool) -> Result<EventFilter> {
        let is_of_this = |(leaderboard, member, _): &Place| *leaderboard == at.leaderboard && *member == at.member;
        let after = self.cursor.map(|text| cursor(&text, is_of_this)).transpose()?.map(|(_, _, place)| place);
        let Self { window, from, to, .. } = self;
        Ok(EventFilter { window, from, to, with_bans, after })
    }
}

/// Something that happened to a member.
#[derive(Serialize, ToSchema)]
#[schema(as = MemberEvent)]
pub struct MemberEventView {
    /// When.
    #[schema(value_type = String, format = DateTime, example = "2026-11-23T05:40:00.123Z")]
    at: Timestamp,
    /// What: `score` is a submission that changed something.
    kind: EventKind,
    /// The windows that it changed; none of an act that met all of them.
    #[schema(value_type = Vec<EventWindow>)]
    windows: Raw,
    /// Who did it: the name of the token. Of acts of administrators, and for those alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "admin")]
    by: Option<String>,
    /// Why, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "speed hack")]
    reason: Option<String>,
    /// `true` where the score stood in what is hidden of a banned member; of a ban, where submissions are hidden and not refused. For
    /// administrators alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hidden: bool,
    /// `true` of a ban on all leaderboards.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    service_wide: bool,
}

impl MemberEventView {
    fn new(event: ArchivedEvent, is_for_administrators: bool) -> Self {
        let ArchivedEvent { at, kind, is_hidden, is_service_wide, windows, by, reason } = event;
        let (by, reason) = if is_for_administrators { (by, reason) } else { (None, None) };
        Self { at, kind, windows, by, reason, hidden: is_hidden, service_wide: is_service_wide }
    }
}

/// A page of what happened to a member.
#[derive(Serialize, ToSchema)]
#[schema(as = MemberHistory)]
pub struct MemberHistoryView {
    /// The leaderboard's name.
    #[schema(value_type = String, example = "race")]
    leaderboard: LeaderboardName,
    /// The member's id.
    #[schema(value_type = String, example = "alice")]
    member: Member,
    /// The latest first.
    history: Vec<MemberEventView>,
    /// Give it as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// Lists what happened to a member, the latest first, from the archive.
///
/// Each submission that changed its score in a window, and what administrators did: adjustments and removals, and for callers who have
/// `leaderboards:admin` bans, what was hidden because of them, and who did it and why. It is there a moment after it happened, and stays
/// when the member, its periods or the leaderboard are gone. A leaderboard that never was has an empty history.
#[utoipa::path(
    tag = "members",
    security(("token" = ["leaderboards:read"])),
    params(OfMember, MemberHistoryParameters),
    responses((status = 200, description = "A page of events.", body = MemberHistoryView)),
)]
#[get("/v1/leaderboards/{leaderboard}/members/{member}/history")]
pub async fn get_member_history(
    archive: Allowed<LeaderboardsRead, Archive>,
    at: OfMember,
    parameters: Query<MemberHistoryParameters>,
) -> std::result::Result<HttpResponse, Problem> {
    let limit = parameters.0.limit;
    let is_for_administrators = archive.caller().check_scope(Scope::LeaderboardsAdmin).is_ok();
    let filter = parameters.0.into_filter(&at, is_for_administrators)?;
    let page = archive.member_history(&at.leaderboard, &at.member, &filter, limit).await?;
    let next_cursor = page.next.map(|place| next_cursor(&(&at.leaderboard, &at.member, place))).transpose()?;
    let history = page.events.into_iter().map(|event| MemberEventView::new(event, is_for_administrators)).collect();
    let OfMember { leaderboard, member } = at;
    Ok(json_response(StatusCode::OK, &MemberHistoryView { leaderboard, member, history, next_cursor }))
}
