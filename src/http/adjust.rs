//! What administrators do to entries.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, delete, put};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{Allowed, LeaderboardsAdmin};
use super::json::{Body, Json};
use super::problem::Problem;
use super::query::{NoParameters, OfLeaderboard, OfMember, Query};
use super::scores::StandingView;
use crate::error::{Error, Result};
use crate::leaderboard::{Leaderboards, ScoreRange, Submission};
use crate::types::{Limit, Member, Metadata, Named, Reason, Score, WindowName, present, read_object};

/// The row to set.
#[derive(Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = AdjustMember)]
pub struct AdjustBody {
    /// A finite number, kept as an IEEE 754 double; `-0` is `0`.
    #[schema(value_type = f64, example = 1200)]
    score: Score,
    /// The further columns that the leaderboard declares.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BTreeMap<String, f64>>, nullable = false)]
    subscores: Option<Named<Score>>,
    /// Any JSON of at most 2 KiB; left out, the row has none.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    metadata: Option<Metadata>,
    /// The window to set it in; all by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    window: Option<WindowName>,
    /// Why: 1 to 500 characters without control characters.
    #[schema(value_type = String, min_length = 1, max_length = 500, example = "the bonus counted twice")]
    reason: Reason,
}

read_object!(AdjustBody);

impl Body for AdjustBody {
    const MAX_BYTES: usize = 16 * 1024;
}

/// Sets a member's score.
///
/// In the open ranking of each window, or of one, whatever the operator; a member without an entry gets one. It counts as
/// reached now. What is answered is what a submission is answered with; of a banned member what is hidden is set.
#[utoipa::path(
    tag = "moderation",
    security(("token" = ["leaderboards:admin"])),
    params(OfMember),
    request_body(content = AdjustBody, example = json!({"score": 1200, "reason": "the bonus counted twice"})),
    responses((status = 200, description = "Where the member stands now.", body = StandingView)),
)]
#[put("/v1/leaderboards/{leaderboard}/members/{member}")]
pub async fn adjust_member(
    leaderboards: Allowed<LeaderboardsAdmin, Leaderboards>,
    at: OfMember,
    _: Query<NoParameters>,
    body: Json<AdjustBody>,
) -> std::result::Result<HttpResponse, Problem> {
    let AdjustBody { score, subscores, metadata, window, reason } = body.0;
    let submission = Submission {
        member: at.member,
        score,
        subscores: subscores.unwrap_or_default().0,
        metadata,
        segments: BTreeMap::new(),
        if_period: BTreeMap::new(),
        key: None,
    };
    let act = leaderboards.act(Some(reason));
    let standing = leaderboards.adjust(&at.leaderboard, &submission, window.as_ref(), &act).await?;
    Ok(HttpResponse::Ok().json(StandingView::from(standing)))
}

/// Which members to remove.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RemovalParameters {
    /// The lowest score to remove; one of both ends is needed.
    #[param(nullable = false, example = 1_000_000)]
    min_score: Option<f64>,
    /// The highest score to remove.
    #[param(nullable = false)]
    max_score: Option<f64>,
    /// The window whose scores are looked at; the leaderboard's first one by default.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", nullable = false)]
    window: Option<WindowName>,
    /// How many to remove at most.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 1000, nullable = false)]
    limit: Option<Limit>,
    /// Why: 1 to 500 characters without control characters.
    #[param(value_type = Option<String>, min_length = 1, max_length = 500, nullable = false)]
    reason: Option<Reason>,
}

impl RemovalParameters {
    fn range(&self) -> Result<ScoreRange> {
        let end = |name: &str, value: Option<f64>| {
            let finite =
                value.map(|value| Score::new(value).ok_or_else(|| Error::invalid(name, "must be a finite number")));
            finite.transpose()
        };
        let range = ScoreRange { min: end("min_score", self.min_score)?, max: end("max_score", self.max_score)? };
        match (range.min, range.max) {
            (None, None) => Err(Error::invalid("min_score", "is needed, or `max_score`, or both")),
            (Some(min), Some(max)) if min > max => Err(Error::invalid("min_score", "must not be above `max_score`")),
            (Some(_) | None, Some(_) | None) => Ok(range),
        }
    }
}

/// Who was removed.
#[derive(Serialize, ToSchema)]
#[schema(as = RemovedMembers)]
pub struct RemovedView {
    /// The members, best first.
    removed: Vec<RemovedMemberView>,
    /// How many with such scores are still there.
    #[schema(example = 0)]
    remaining: u64,
}

/// A member that was removed.
#[derive(Serialize, ToSchema)]
#[schema(as = RemovedMember)]
pub struct RemovedMemberView {
    /// Who.
    #[schema(value_type = String, example = "mallory")]
    member: Member,
    /// The score that it had in the window.
    #[schema(value_type = f64, example = 99_999_999)]
    score: Score,
}

/// Removes members by their scores.
///
/// Those whose scores in a window's open ranking are from `min_score` to `max_score`, both included, leave the open rankings of
/// all windows. At most 1,000 a call, the best first: call again while `remaining` is above 0.
#[utoipa::path(
    tag = "moderation",
    security(("token" = ["leaderboards:admin"])),
    params(OfLeaderboard, RemovalParameters),
    responses((status = 200, description = "Who was removed.", body = RemovedView)),
)]
#[delete("/v1/leaderboards/{leaderboard}/members")]
pub async fn remove_members(
    leaderboards: Allowed<LeaderboardsAdmin, Leaderboards>,
    at: OfLeaderboard,
    parameters: Query<RemovalParameters>,
) -> std::result::Result<HttpResponse, Problem> {
    let parameters = parameters.0;
    let (range, limit) = (parameters.range()?, parameters.limit.unwrap_or(Limit::MOST).get() as usize);
    let (window, act) = (parameters.window, leaderboards.act(parameters.reason));
    let removed = leaderboards.remove_by_score(&at.leaderboard, range, window.as_ref(), limit, &act).await?;
    let members = removed.members.into_iter().map(|(member, score)| RemovedMemberView { member, score });
    Ok(HttpResponse::Ok().json(RemovedView { removed: members.collect(), remaining: removed.remaining }))
}
