//! Reading and removing members of a leaderboard.

use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{Allowed, LeaderboardsAdmin, LeaderboardsRead};
use super::headers::tagged;
use super::json::{Body, Json};
use super::problem::Problem;
use super::query::{NoParameters, OfLeaderboard, OfMember, Query};
use super::rankings::{EntryView, RankingsView, view_parameters};
use crate::error::Error;
use crate::leaderboard::{Leaderboards, Page, Ranking, View};
use crate::types::{LeaderboardName, Member, Radius, Score, WindowName, read_object};

const MAX_LOOKUP: usize = 1000;

view_parameters! {
    /// Which ranking to read.
    MemberParameters {
        /// Adds `previous_rank` to each entry: the rank in this other period of the window, or in the latest snapshot
        /// that was taken by this time (RFC 3339).
        #[param(nullable = false)]
        since: Option<String>,
    }
}

/// A member's entry, and where it stands.
#[derive(Serialize, ToSchema)]
#[schema(as = MemberEntry)]
pub struct MemberView {
    #[serde(flatten)]
    entry: EntryView,
    /// The share of entries ranked at or below it, 0 to 100.
    #[schema(minimum = 0, maximum = 100, example = 100)]
    percentile: f64,
    /// Entries of the whole ranking.
    #[schema(example = 2)]
    total: u64,
}

/// Reads a member's entry.
#[utoipa::path(
    tag = "members",
    security(("token" = ["leaderboards:read"])),
    params(OfMember, MemberParameters),
    responses(
        (status = 200, description = "The entry.", body = MemberView),
        (status = 304, description = "The client has it already, by `If-None-Match`."),
    ),
)]
#[get("/v1/leaderboards/{leaderboard}/members/{member}")]
pub async fn get_member(
    leaderboards: Allowed<LeaderboardsRead, Leaderboards>,
    request: HttpRequest,
    at: OfMember,
    parameters: Query<MemberParameters>,
) -> Result<HttpResponse, Problem> {
    let view = parameters.0.view();
    let mut page = leaderboards.member(&at.leaderboard, &at.member, &view).await?;
    leaderboards.note_movement(&at.leaderboard, &view, parameters.0.since.as_deref(), &mut page).await?;
    let entry = page.entries.pop().ok_or_else(|| Error::Internal("a member's entry was not given".to_owned()))?;
    // Dense ranks do not count entries, places do.
    let place = if parameters.0.ranking == Ranking::Dense { page.asked + 1 } else { entry.rank };
    let percentile = page.percentile(place);
    tagged(&request, &MemberView { entry: EntryView::new(entry, &page.columns), percentile, total: page.total })
}

view_parameters! {
    /// How much to read.
    AroundMemberParameters {
        /// Adds `previous_rank` to each entry: the rank in this other period of the window, or in the latest snapshot
        /// that was taken by this time (RFC 3339).
        #[param(nullable = false)]
        since: Option<String>,
        /// How many entries to give on each side.
        #[serde(default)]
        #[param(value_type = Option<u32>, minimum = 0, maximum = 100, default = 5, nullable = false)]
        radius: Radius,
    }
}

/// The entries around a member.
#[derive(Serialize, ToSchema)]
#[schema(as = AroundMember)]
pub struct AroundMemberView {
    #[serde(flatten)]
    rankings: RankingsView,
    /// The entry above the member; absent at the top.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<NextView>,
}

/// The entry above a member.
#[derive(Serialize, ToSchema)]
#[schema(as = Next)]
pub struct NextView {
    /// Whose it is.
    #[schema(value_type = String, example = "alice")]
    member: Member,
    /// The score still missing to it.
    #[schema(value_type = f64, minimum = 0, example = 249.5)]
    gap: Score,
}

impl AroundMemberView {
    /// `page` holds at least the entry above the member, and may hold more than are shown.
    pub(super) fn new(leaderboard: LeaderboardName, mut page: Page, radius: Radius) -> Self {
        let own = usize::try_from(page.asked - page.from).unwrap_or(usize::MAX);
        let next = own.checked_sub(1).and_then(|above| {
            let (above, own) = (page.entries.get(above)?, page.entries.get(own)?);
            // Two finite scores may lie further apart than a double reaches: the largest one then stands for it.
            let gap = (above.score.value() - own.score.value()).abs().min(f64::MAX);
            Some(NextView { member: above.member.clone(), gap: Score::new(gap)? })
        });
        let radius = radius.get() as usize;
        let from = own.saturating_sub(radius);
        page.entries = page.entries.into_iter().skip(from).take(own - from + 1 + radius).collect();
        page.next_cursor = None;
        Self { rankings: RankingsView::new(leaderboard, page), next }
    }
}

/// Reads the entries around a member.
///
/// Up to `radius` entries on each side, and what is missing to the next one above.
#[utoipa::path(
    tag = "members",
    security(("token" = ["leaderboards:read"])),
    params(OfMember, AroundMemberParameters),
    responses(
        (status = 200, description = "The entries.", body = AroundMemberView),
        (status = 304, description = "The client has them already, by `If-None-Match`."),
    ),
)]
#[get("/v1/leaderboards/{leaderboard}/members/{member}/around")]
pub async fn get_around_member(
    leaderboards: Allowed<LeaderboardsRead, Leaderboards>,
    request: HttpRequest,
    at: OfMember,
    parameters: Query<AroundMemberParameters>,
) -> Result<HttpResponse, Problem> {
    let radius = parameters.0.radius.get();
    // The entry above is needed even where none is shown.
    let view = parameters.0.view();
    let mut page = leaderboards.around_member(&at.leaderboard, &at.member, &view, radius.max(1)).await?;
    leaderboards.note_movement(&at.leaderboard, &view, parameters.0.since.as_deref(), &mut page).await?;
    tagged(&request, &AroundMemberView::new(at.leaderboard, page, parameters.0.radius))
}

/// The members to look up.
#[derive(Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = LookupMembers)]
pub struct LookupBody {
    /// Their ids; one given twice counts once.
    #[schema(value_type = Vec<String>, max_items = 1000)]
    members: Vec<Member>,
}

read_object!(LookupBody);

impl Body for LookupBody {
    const MAX_BYTES: usize = 1024 * 1024;
}

/// The entries of the members looked up.
#[derive(Serialize, ToSchema)]
#[schema(as = LookupResult)]
pub struct LookupView {
    /// The entries found, best first.
    entries: Vec<PlacedEntryView>,
    /// Who has no entry.
    #[schema(value_type = Vec<String>)]
    missing: Vec<Member>,
}

/// An entry and its place among those looked up.
#[derive(Serialize, ToSchema)]
#[schema(as = PlacedEntry)]
pub struct PlacedEntryView {
    #[serde(flatten)]
    entry: EntryView,
    /// The place among the members looked up, from 1.
    #[schema(minimum = 1, example = 1)]
    place: usize,
}

/// Looks up many members: a ranking among friends.
#[utoipa::path(
    tag = "members",
    security(("token" = ["leaderboards:read"])),
    params(OfLeaderboard, MemberParameters),
    request_body(content = LookupBody, example = json!({"members": ["alice", "bob", "carol"]})),
    responses((status = 200, description = "The entries found, best first.", body = LookupView)),
)]
#[post("/v1/leaderboards/{leaderboard}/members/lookup")]
pub async fn lookup_members(
    leaderboards: Allowed<LeaderboardsRead, Leaderboards>,
    at: OfLeaderboard,
    parameters: Query<MemberParameters>,
    body: Json<LookupBody>,
) -> Result<HttpResponse, Problem> {
    let members = body.0.members;
    if members.len() > MAX_LOOKUP {
        return Err(Error::invalid("/members", format!("must be at most {MAX_LOOKUP} members")).into());
    }
    let view = parameters.0.view();
    leaderboards.charge_items("/members", members.len()).await?;
    let mut found = leaderboards.lookup(&at.leaderboard, &members, &view).await?;
    leaderboards.note_movement_of(&at.leaderboard, &view, parameters.0.since.as_deref(), &mut found.entries).await?;
    let entries = found.entries.into_iter().map(|entry| EntryView::new(entry, &found.columns));
    let view = LookupView {
        entries: entries.zip(1..).map(|(entry, place)| PlacedEntryView { entry, place }).collect(),
        missing: found.missing,
    };
    Ok(HttpResponse::Ok().json(view))
}

/// Removes a member from every window of a leaderboard.
///
/// Periods that have ended and what is hidden of a banned member included. A ban stays.
#[utoipa::path(
    tag = "members",
    security(("token" = ["leaderboards:admin"])),
    params(OfMember),
    responses((status = 204, description = "The member's entries are gone.")),
)]
#[delete("/v1/leaderboards/{leaderboard}/members/{member}")]
pub async fn delete_member(
    leaderboards: Allowed<LeaderboardsAdmin, Leaderboards>,
    at: OfMember,
    _: Query<NoParameters>,
) -> Result<HttpResponse, Problem> {
    leaderboards.remove(&at.leaderboard, &at.member, &leaderboards.act(None)).await?;
    Ok(HttpResponse::NoContent().finish())
}
