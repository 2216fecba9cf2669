//! Bans of members, on one leaderboard and on all.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, delete, get, put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::{Allowed, LeaderboardsAdmin, OnAllLeaderboards};
use super::headers::tagged;
use super::json::{Body, OptionalJson, json_response};
use super::problem::Problem;
use super::query::{
    ListParameters, NoParameters, OfAnyMember, OfLeaderboard, OfMember, Query, name_cursor, next_name_cursor,
};
use crate::leaderboard::{Ban, Leaderboards, Severity};
use crate::types::{Member, Reason, Timestamp, present, read_object};

/// How to ban.
#[derive(Default, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = BanMember, example = json!({"reason": "speed hack", "shadow": false}))]
pub struct BanBody {
    /// Why: 1 to 500 characters without control characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 500, example = "speed hack")]
    reason: Option<Reason>,
    /// Whether submissions are answered as usual, kept, and seen by nobody, instead of being refused.
    #[serde(default)]
    #[schema(default = false)]
    shadow: bool,
}

read_object!(BanBody);

impl Body for BanBody {
    const MAX_BYTES: usize = 4 * 1024;
}

impl BanBody {
    fn severity(&self) -> Severity {
        if self.shadow { Severity::Shadow } else { Severity::Hard }
    }
}

/// A ban.
#[derive(Serialize, ToSchema)]
#[schema(as = Ban)]
pub struct BanView {
    /// Who is banned.
    #[schema(value_type = String, example = "mallory")]
    member: Member,
    /// Whether submissions are answered as usual, kept, and seen by nobody, instead of being refused.
    shadow: bool,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "speed hack")]
    reason: Option<Reason>,
    /// Since when it stands as it is.
    #[schema(value_type = String, format = DateTime, example = "2026-11-23T05:40:00.123Z")]
    banned_at: Timestamp,
    /// Who set it: `admin`, or `anyone` where the service needs no token.
    #[schema(example = "admin")]
    banned_by: String,
}

impl From<Ban> for BanView {
    fn from(ban: Ban) -> Self {
        let Ban { member, severity, reason, at, by } = ban;
        Self { member, shadow: severity == Severity::Shadow, reason, banned_at: at, banned_by: by }
    }
}

/// A page of bans.
#[derive(Serialize, ToSchema)]
#[schema(as = BanPage)]
pub struct BansView {
    /// By member.
    bans: Vec<BanView>,
    /// Give it as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

impl BansView {
    fn new((bans, next): (Vec<Ban>, Option<Member>)) -> Self {
        Self {
            bans: bans.into_iter().map(BanView::from).collect(),
            next_cursor: next.map(|member| next_name_cursor(member.as_str())),
        }
    }
}

fn put((created, ban): (bool, Ban)) -> HttpResponse {
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    json_response(status, &BanView::from(ban))
}

/// Bans a member on a leaderboard, or changes its ban.
///
/// The member's entries vanish from the open rankings of all windows, and ranks close up at once. Its submissions get 403
/// `banned`; with `shadow` they are answered as usual and seen by nobody. Periods that have ended stay as they are.
#[utoipa::path(
    tag = "moderation",
    security(("token" = ["leaderboards:admin"])),
    params(OfMember),
    request_body(content = Option<BanBody>, example = json!({"reason": "speed hack"})),
    responses(
        (status = 200, description = "The ban was changed.", body = BanView),
        (status = 201, description = "The member is banned.", body = BanView),
    ),
)]
#[put("/v1/leaderboards/{leaderboard}/bans/{member}")]
pub async fn put_ban(
    leaderboards: Allowed<LeaderboardsAdmin, Leaderboards>,
    at: OfMember,
    _: Query<NoParameters>,
    body: OptionalJson<BanBody>,
) -> Result<HttpResponse, Problem> {
    let (severity, act) = (body.0.severity(), leaderboards.act(body.0.reason));
    Ok(put(leaderboards.ban(&at.leaderboard, &at.member, severity, &act).await?))
}

/// Gives a member's ban on a leaderboard.
#[utoipa::path(
    tag = "moderation",
    security(("token" = ["leaderboards:admin"])),
    params(OfMember),
    responses((status = 200, description = "The ban.", body = BanView)),
)]
#[get("/v1/leaderboards/{leaderboard}/bans/{member}")]
pub async fn get_ban(
    leaderboards: Allowed<LeaderboardsAdmin, Leaderboards>,
    at: OfMember,
    _: Query<NoParameters>,
) -> Result<HttpResponse, Problem> {
    let ban = leaderboards.get_ban(&at.leaderboard, &at.member).await?;
    Ok(json_response(StatusCode::OK, &BanView::from(ban)))
}

/// Lifts a member's ban on a leaderboard.
///
/// Its entries are back at once, with the scores and times that they had, or to which its submissions have brought them
/// meanwhile; but where it is banned service-wide, too.
#[utoipa::path(
    tag = "moderation",
    security(("token" = ["leaderboards:admin"])),
    params(OfMember),
    responses((status = 204, description = "The ban is lifted.")),
)]
#[delete("/v1/leaderboards/{leaderboard}/bans/{member}")]
pub async fn delete_ban(
    leaderboards: Allowed<LeaderboardsAdmin, Leaderboards>,
    at: OfMember,
    _: Query<NoParameters>,
) -> Result<HttpResponse, Problem> {
    leaderboards.lift_ban(&at.leaderboard, &at.member, &leaderboards.act(None)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Lists the bans of a leaderboard by member.
#[utoipa::path(
    tag = "moderation",
    security(("token" = ["leaderboards:admin"])),
    params(OfLeaderboard, ListParameters),
    responses(
        (status = 200, description = "A page of bans.", body = BansView),
        (status = 304, description = "The client has it already, by `If-None-Match`."),
    ),
)]
#[get("/v1/leaderboards/{leaderboard}/bans")]
pub async fn list_bans(
    leaderboards: Allowed<LeaderboardsAdmin, Leaderboards>,
    request: HttpRequest,
    at: OfLeaderboard,
    page: Query<ListParameters>,
) -> Result<HttpResponse, Problem> {
    let after: Option<Member> = name_cursor(page.0.cursor.as_deref())?;
    let bans = leaderboards.list_bans(&at.leaderboard, after.as_ref(), page.0.limit).await?;
    tagged(&request, &BansView::new(bans))
}

/// Bans a member on all leaderboards, those to come included, or changes its ban.
///
/// When it is answered, the member is seen on none. Beside bans on single leaderboards: its entries are back when both are
/// lifted. A token that is held to some leaderboards is refused, here and at the other operations on service-wide bans.
#[utoipa::path(
    tag = "moderation",
    security(("token" = ["leaderboards:admin"])),
    params(OfAnyMember),
    request_body(content = Option<BanBody>, example = json!({"reason": "stolen account", "shadow": true})),
    responses(
        (status = 200, description = "The ban was changed.", body = BanView),
        (status = 201, description = "The member is banned.", body = BanView),
    ),
)]
#[put("/v1/bans/{member}")]
pub async fn put_service_ban(
    leaderboards: Allowed<OnAllLeaderboards<LeaderboardsAdmin>, Leaderboards>,
    at: OfAnyMember,
    _: Query<NoParameters>,
    body: OptionalJson<BanBody>,
) -> Result<HttpResponse, Problem> {
    let (severity, act) = (body.0.severity(), leaderboards.act(body.0.reason));
    Ok(put(leaderboards.ban_everywhere(&at.member, severity, &act).await?))
}

/// Gives a member's service-wide ban.
#[utoipa::path(
    tag = "moderation",
    security(("token" = ["leaderboards:admin"])),
    params(OfAnyMember),
    responses((status = 200, description = "The ban.", body = BanView)),
)]
#[get("/v1/bans/{member}")]
pub async fn get_service_ban(
    leaderboards: Allowed<OnAllLeaderboards<LeaderboardsAdmin>, Leaderboards>,
    at: OfAnyMember,
    _: Query<NoParameters>,
) -> Result<HttpResponse, Problem> {
    let ban = leaderboards.get_service_ban(&at.member).await?;
    Ok(json_response(StatusCode::OK, &BanView::from(ban)))
}

/// Lifts a member's service-wide ban.
///
/// Its entries are back on all leaderboards, but those on which it is banned as well.
#[utoipa::path(
    tag = "moderation",
    security(("token" = ["leaderboards:admin"])),
    params(OfAnyMember),
    responses((status = 204, description = "The ban is lifted.")),
)]
#[delete("/v1/bans/{member}")]
pub async fn delete_service_ban(
    leaderboards: Allowed<OnAllLeaderboards<LeaderboardsAdmin>, Leaderboards>,
    at: OfAnyMember,
    _: Query<NoParameters>,
) -> Result<HttpResponse, Problem> {
    leaderboards.lift_ban_everywhere(&at.member, &leaderboards.act(None)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Lists the service-wide bans by member.
#[utoipa::path(
    tag = "moderation",
    security(("token" = ["leaderboards:admin"])),
    params(ListParameters),
    responses(
        (status = 200, description = "A page of bans.", body = BansView),
        (status = 304, description = "The client has it already, by `If-None-Match`."),
    ),
)]
#[get("/v1/bans")]
pub async fn list_service_bans(
    leaderboards: Allowed<OnAllLeaderboards<LeaderboardsAdmin>, Leaderboards>,
    request: HttpRequest,
    page: Query<ListParameters>,
) -> Result<HttpResponse, Problem> {
    let after: Option<Member> = name_cursor(page.0.cursor.as_deref())?;
    tagged(&request, &BansView::new(leaderboards.list_service_bans(after.as_ref(), page.0.limit).await?))
}
