//! Reading and removing members of a leaderboard.

use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{Allowed, LeaderboardsAdmin, LeaderboardsRead};
use super::json::{Body, Json};
use super::past::PeriodRead;
use super::problem::Problem;
use super::query::{NoParameters, OfLeaderboard, OfMember, Query};
use super::rankings::{EntryView, RankingsView, no_member, view_parameters};
use crate::archive::{Archive, Past};
use crate::error::{Error, Result};
use crate::leaderboard::{Leaderboards, Lookup, Page, Ranking, View};
use crate::profile::Profiles;
use crate::types::{LeaderboardName, Member, Radius, Score, WindowName, read_object};

const MAX_LOOKUP: usize = 1000;

view_parameters! {
    /// Which ranking to read.
    MemberParameters {
        /// Adds `previous_rank` to each entry: the rank in this other period of the window, or in the latest snapshot
        /// that was taken by this time (RFC 3339).
        #[param(nullable = false)]
        since: Option<String>,
        /// Adds `profile` to each entry: what the upstream of the leaderboard's setting `profiles` says of the member, as far as it
        /// is known within half a second.
        #[serde(default)]
        #[param(value_type = Option<bool>, default = false, nullable = false)]
        profiles: bool,
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

impl MemberView {
    fn new(mut page: Page, ranking: Ranking) -> Result<Self> {
        let entry = page.entries.pop().ok_or_else(|| Error::Internal("a member's entry was not given".to_owned()))?;
        // Dense ranks do not count entries, places do.
        let place = if ranking == Ranking::Dense { page.asked + 1 } else { entry.rank };
        let percentile = page.percentile(place);
        Ok(Self { entry: EntryView::new(entry, &page.columns), percentile, total: page.total })
    }
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
    profiles: Allowed<LeaderboardsRead, Profiles>,
    archive: Allowed<LeaderboardsRead, Archive>,
    request: HttpRequest,
    at: OfMember,
    parameters: Query<MemberParameters>,
) -> std::result::Result<HttpResponse, Problem> {
    let view = parameters.0.view();
    let (name, member, since) = (&at.leaderboard, &at.member, parameters.0.since.as_deref());
    let profiles = parameters.0.profiles.then_some(&*profiles);
    let read = PeriodRead { leaderboards: &leaderboards, archive: &archive, name, view: &view, since, profiles };
    let live = async {
        let mut page = leaderboards.member(name, member, &view).await?;
        read.note_movement(&mut page).await?;
        let mut shown = MemberView::new(page, view.ranking)?;
        read.add_profiles([&mut shown.entry]).await?;
        Ok(shown)
    };
    let past = async |past: &Past| {
        let mut page = past.around_member(name, member, &view, 0).await?;
        read.note_past_movement(&mut page.entries).await?;
        let mut shown = MemberView::new(page, view.ranking)?;
        read.add_profiles([&mut shown.entry]).await?;
        Ok(shown)
    };
    let absent = || Error::NoMember { leaderboard: name.clone(), member: member.clone() };
    Ok(read.answer(&format!("member {member}"), absent, live, past).await?.tagged(&request))
}

view_parameters! {
    /// How much to read.
    AroundMemberParameters {
        /// Adds `previous_rank` to each entry: the rank in this other period of the window, or in the latest snapshot
        /// that was taken by this time (RFC 3339).
        #[param(nullable = false)]
        since: Option<String>,
        /// Adds `profile` to each entry: what the upstream of the leaderboard's setting `profiles` says of the member, as far as it
        /// is known within half a second.
        #[serde(default)]
        #[param(value_type = Option<bool>, default = false, nullable = false)]
        profiles: bool,
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
    profiles: Allowed<LeaderboardsRead, Profiles>,
    archive: Allowed<LeaderboardsRead, Archive>,
    request: HttpRequest,
    at: OfMember,
    parameters: Query<AroundMemberParameters>,
) -> std::result::Result<HttpResponse, Problem> {
    let radius = parameters.0.radius.get();
    // The entry above is needed even where none is shown.
    let view = parameters.0.view();
    let (name, member, since) = (&at.leaderboard, &at.member, parameters.0.since.as_deref());
    let profiles = parameters.0.profiles.then_some(&*profiles);
    let read = PeriodRead { leaderboards: &leaderboards, archive: &archive, name, view: &view, since, profiles };
    let live = async {
        let mut page = leaderboards.around_member(name, member, &view, radius.max(1)).await?;
        read.note_movement(&mut page).await?;
        let mut shown = AroundMemberView::new(name.clone(), page, parameters.0.radius);
        read.add_profiles(&mut shown.rankings.entries).await?;
        Ok(shown)
    };
    let past = async |past: &Past| {
        let mut page = past.around_member(name, member, &view, radius.max(1)).await?;
        read.note_past_movement(&mut page.entries).await?;
        let mut shown = AroundMemberView::new(name.clone(), page, parameters.0.radius);
        read.add_profiles(&mut shown.rankings.entries).await?;
        Ok(shown)
    };
    let absent = || Error::NoMember { leaderboard: name.clone(), member: member.clone() };
    Ok(read.answer(&format!("around {radius} {member}"), absent, live, past).await?.tagged(&request))
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

impl From<Lookup> for LookupView {
    fn from(found: Lookup) -> Self {
        let entries = found.entries.into_iter().map(|entry| EntryView::new(entry, &found.columns));
        Self {
            entries: entries.zip(1..).map(|(entry, place)| PlacedEntryView { entry, place }).collect(),
            missing: found.missing,
        }
    }
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
    profiles: Allowed<LeaderboardsRead, Profiles>,
    archive: Allowed<LeaderboardsRead, Archive>,
    at: OfLeaderboard,
    parameters: Query<MemberParameters>,
    body: Json<LookupBody>,
) -> std::result::Result<HttpResponse, Problem> {
    let members = body.0.members;
    if members.len() > MAX_LOOKUP {
        return Err(Error::invalid("/members", format!("must be at most {MAX_LOOKUP} members")).into());
    }
    let view = parameters.0.view();
    leaderboards.charge_items("/members", members.len()).await?;
    let (name, since) = (&at.leaderboard, parameters.0.since.as_deref());
    let profiles = parameters.0.profiles.then_some(&*profiles);
    let read = PeriodRead { leaderboards: &leaderboards, archive: &archive, name, view: &view, since, profiles };
    let live = async {
        let mut found = leaderboards.lookup(name, &members, &view).await?;
        read.note_movement_of(&mut found.entries).await?;
        let mut shown = LookupView::from(found);
        read.add_profiles(shown.entries.iter_mut().map(|placed| &mut placed.entry)).await?;
        Ok(shown)
    };
    let past = async |past: &Past| {
        let mut found = past.lookup(&members, &view).await?;
        read.note_past_movement(&mut found.entries).await?;
        let mut shown = LookupView::from(found);
        read.add_profiles(shown.entries.iter_mut().map(|placed| &mut placed.entry)).await?;
        Ok(shown)
    };
    // Members have no line breaks.
    let names = members.iter().map(Member::as_str).collect::<Vec<_>>().join("\n");
    Ok(read.answer(&format!("lookup {names}\n"), no_member, live, past).await?.plain())
}

/// Removes a member from every window of a leaderboard.
///
/// Periods that have ended, those in the archive, and what is hidden of a banned member included. A ban stays.
#[utoipa::path(
    tag = "members",
    security(("token" = ["leaderboards:admin"])),
    params(OfMember),
    responses((status = 204, description = "The member's entries are gone.")),
)]
#[delete("/v1/leaderboards/{leaderboard}/members/{member}")]
pub async fn delete_member(
    leaderboards: Allowed<LeaderboardsAdmin, Leaderboards>,
    archive: Allowed<LeaderboardsAdmin, Archive>,
    at: OfMember,
    _: Query<NoParameters>,
) -> std::result::Result<HttpResponse, Problem> {
    let removed = leaderboards.remove(&at.leaderboard, &at.member, &leaderboards.act(None)).await;
    if !archive.is_there() || !matches!(removed, Ok(()) | Err(Error::NoMember { .. })) {
        removed?;
    } else if archive.forget_standings_of(&at.leaderboard, &at.member).await? == 0 {
        // One that is found only there was there all the same.
        removed?;
    }
    Ok(HttpResponse::NoContent().finish())
}
