//! Members removed from everywhere.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{Allowed, LeaderboardsAdmin, OnAllLeaderboards};
use super::json::json_response;
use super::problem::Problem;
use super::query::{OfAnyMember, Query};
use crate::erase::{Bans, Erasure};
use crate::types::{Member, Reason};

/// What goes beside the member's data.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ErasureParameters {
    /// Whether a service-wide ban of the member is lifted, too.
    #[serde(default)]
    #[param(value_type = Option<bool>, default = false, nullable = false)]
    bans: bool,
    /// Why: 1 to 500 characters without control characters.
    #[param(value_type = Option<String>, min_length = 1, max_length = 500, nullable = false)]
    reason: Option<Reason>,
}

/// What was removed of a member.
#[derive(Serialize, ToSchema)]
#[schema(as = ErasedMember)]
pub struct ErasedView {
    /// Who.
    #[schema(value_type = String, example = "alice")]
    member: Member,
    /// On how many leaderboards there was something.
    #[schema(example = 2)]
    leaderboards: u64,
    /// In how many rankings it stood.
    #[schema(example = 4)]
    entries: u64,
    /// How many of its tokens were revoked.
    #[schema(example = 1)]
    tokens: u64,
    /// How many rows of the archive are gone.
    #[schema(example = 0)]
    archived: u64,
}

/// Removes all that the service has of a member, everywhere.
///
/// Its entries leave every leaderboard: open periods and those that have ended, what is hidden because of a ban, and its ranks in snapshots.
/// With them go metadata, what describes it, its bans on single leaderboards, the log of its submissions, its tokens, and what the archive
/// has of it. A service-wide ban stays, unless `bans` is true. A score that comes after the answer makes a new entry. Jobs, and lists of what
/// administrators did, stay as they are.
///
/// The answer is 202 where something is left that the background work does. The same request may be made again, and a member that is not
/// there is no error. A token that is held to some leaderboards is refused.
#[utoipa::path(
    tag = "members",
    security(("token" = ["leaderboards:admin"])),
    params(OfAnyMember, ErasureParameters),
    responses(
        (status = 200, description = "Nothing is left.", body = ErasedView),
        (status = 202, description = "What was removed by now; the rest follows.", body = ErasedView),
    ),
)]
#[delete("/v1/members/{member}")]
pub async fn erase_member(
    erasure: Allowed<OnAllLeaderboards<LeaderboardsAdmin>, Erasure>,
    at: OfAnyMember,
    parameters: Query<ErasureParameters>,
) -> Result<HttpResponse, Problem> {
    let bans = if parameters.0.bans { Bans::Lift } else { Bans::Keep };
    let erased = erasure.erase(&at.member, bans, &erasure.act(parameters.0.reason)).await?;
    let status = if erased.is_done { StatusCode::OK } else { StatusCode::ACCEPTED };
    let (leaderboards, entries) = (erased.leaderboards, erased.entries);
    let view =
        ErasedView { member: at.member, leaderboards, entries, tokens: erased.tokens, archived: erased.archived };
    Ok(json_response(status, &view))
}
