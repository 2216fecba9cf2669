//! One member in many leaderboards.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, get};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{Allowed, LeaderboardsRead};
use super::headers::tagged;
use super::problem::Problem;
use super::query::{OfAnyMember, Query};
use super::rankings::EntryView;
use crate::error::{Error, Result};
use crate::leaderboard::{Leaderboards, Page, View};
use crate::types::{LeaderboardName, WindowName};

const MAX_LEADERBOARDS: usize = 100;

/// Names with commas in between; each is kept once.
struct LeaderboardList(Vec<LeaderboardName>);

impl<'de> Deserialize<'de> for LeaderboardList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // As they are given: so says the document, and whoever names one a million times is heard no further.
        if text.split(',').count() > MAX_LEADERBOARDS {
            return Err(D::Error::custom(format!("must be at most {MAX_LEADERBOARDS} leaderboards")));
        }
        let (mut names, mut seen) = (Vec::new(), BTreeSet::new());
        for part in text.split(',') {
            let name = LeaderboardName::try_from(part.to_owned())
                .map_err(|detail| D::Error::custom(format!("the name of each, with commas in between, {detail}")))?;
            if seen.insert(name.clone()) {
                names.push(name);
            }
        }
        Ok(Self(names))
    }
}

/// Where to look for the member.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MemberRankingsParameters {
    /// The leaderboards, with commas in between; one named twice counts once.
    #[param(value_type = Vec<String>, style = Form, explode = false, min_items = 1, max_items = 100, example = json!(["race", "laps"]))]
    leaderboards: LeaderboardList,
    /// The window; by default each leaderboard's first one.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", nullable = false)]
    window: Option<WindowName>,
}

/// Where a member stands in many leaderboards.
#[derive(Serialize, ToSchema)]
#[schema(as = MemberRankings)]
pub struct MemberRankingsView {
    /// The leaderboards that hold the member, in the order asked.
    rankings: Vec<MemberRankingView>,
    /// The leaderboards that do not: those that do not exist or have no such window, too.
    #[schema(value_type = Vec<String>)]
    missing: Vec<LeaderboardName>,
}

/// Where a member stands in one of them.
#[derive(Serialize, ToSchema)]
#[schema(as = MemberRanking)]
pub struct MemberRankingView {
    /// The leaderboard.
    #[schema(value_type = String, example = "race")]
    leaderboard: LeaderboardName,
    /// The window.
    #[schema(value_type = String, example = "all_time")]
    window: WindowName,
    /// Its period.
    #[schema(example = "open")]
    period: String,
    #[serde(flatten)]
    entry: EntryView,
    /// Entries of the whole ranking.
    #[schema(example = 2)]
    total: u64,
}

impl MemberRankingView {
    fn new(leaderboard: LeaderboardName, mut page: Page) -> Result<Self> {
        let entry = page.entries.pop().ok_or_else(|| Error::Internal("a member's entry was not given".to_owned()))?;
        let entry = EntryView::new(entry, &page.columns);
        Ok(Self { leaderboard, window: page.window, period: page.period, entry, total: page.total })
    }
}

/// Reads a member's entries in many leaderboards.
///
/// A leaderboard that does not exist, has no such window or does not hold the member is named in `missing`. One that the token
/// does not reach is 403 for the whole.
#[utoipa::path(
    tag = "members",
    security(("token" = ["leaderboards:read"])),
    params(OfAnyMember, MemberRankingsParameters),
    responses(
        (status = 200, description = "The entries, and what is missing.", body = MemberRankingsView),
        (status = 304, description = "The client has them already, by `If-None-Match`."),
    ),
)]
#[get("/v1/members/{member}/rankings")]
pub async fn get_member_rankings(
    leaderboards: Allowed<LeaderboardsRead, Leaderboards>,
    request: HttpRequest,
    at: OfAnyMember,
    parameters: Query<MemberRankingsParameters>,
) -> std::result::Result<HttpResponse, Problem> {
    let MemberRankingsParameters { leaderboards: names, window } = parameters.0;
    for name in &names.0 {
        leaderboards.caller().check_leaderboard(name)?;
    }
    leaderboards.charge_items("leaderboards", names.0.len()).await?;
    let view = View { window, ..View::default() };
    let read = leaderboards.member_rankings(&at.member, names.0, &view).await?;
    let rankings = read.found.into_iter().map(|(name, page)| MemberRankingView::new(name, page));
    let view = MemberRankingsView { rankings: rankings.collect::<Result<_>>()?, missing: read.missing };
    tagged(&request, &view)
}
