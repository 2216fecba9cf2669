//! Submitting scores.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, post};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::access::{Allowed, ScoresWrite};
use super::headers::{IdempotencyHeader, once};
use super::json::{self, Body, Json, MAX_DEPTH};
use super::problem::{Problem, ProblemBody, status};
use super::query::{NoParameters, OfLeaderboard, Query};
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::leaderboard::{Leaderboards, Standing, Submission, WantedRanks};
use crate::types::{IdempotencyKey, Member, Metadata, Named, Score, present, read_object};

const MAX_BATCH: usize = 1000;

/// A score to submit.
#[derive(Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = SubmitScore, example = json!({"member": "alice", "score": 1500, "metadata": {"level": 7}}))]
pub struct SubmitScore {
    /// Whose score it is.
    #[schema(value_type = String, min_length = 1, max_length = 128, example = "alice")]
    member: Member,
    /// A finite number, kept as an IEEE 754 double; `-0` is `0`.
    #[schema(value_type = f64, example = 1500)]
    score: Score,
    /// The further columns that the leaderboard declares.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BTreeMap<String, f64>>, nullable = false)]
    subscores: Option<Named<Score>>,
    /// Any JSON of at most 2 KiB; belongs to the standing score.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    metadata: Option<Metadata>,
    /// What describes the member, for the dimensions that the leaderboard declares: moves its entries of all open periods
    /// to the rankings of these values, even where the score changes nothing. What is left out stays as it was, in later
    /// periods too. A value has 1 to 64 bytes of UTF-8 without control characters and commas.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BTreeMap<String, String>>, nullable = false)]
    segments: Option<Named<String>>,
    /// The period of each window that the score is meant for: in any other it is refused (409).
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BTreeMap<String, String>>, nullable = false)]
    if_period: Option<Named<String>>,
    /// Only in a batch: makes this item count once.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    idempotency_key: Option<IdempotencyKey>,
}

read_object!(SubmitScore);

impl Body for SubmitScore {
    const MAX_BYTES: usize = 16 * 1024;
}

impl From<SubmitScore> for Submission {
    fn from(body: SubmitScore) -> Self {
        Self {
            member: body.member,
            score: body.score,
            subscores: body.subscores.unwrap_or_default().0,
            metadata: body.metadata,
            segments: body.segments.unwrap_or_default().0,
            if_period: body.if_period.unwrap_or_default().0,
            key: body.idempotency_key,
        }
    }
}

/// Where a member stands after a submission.
#[derive(Serialize, ToSchema)]
#[schema(as = Standing)]
pub struct StandingView {
    /// Whose.
    #[schema(value_type = String, example = "alice")]
    member: Member,
    /// The standing score in the first window, after the operator.
    #[schema(value_type = f64, example = 1500)]
    score: Score,
    /// The rank in the first window; `null` where `max_entries` keeps the entry out.
    #[schema(required, example = 1, minimum = 1)]
    rank: Option<u64>,
    /// Whether the submission changed the entry.
    updated: bool,
    /// What stood before; `null` for the member's first entry.
    #[schema(required)]
    previous: Option<PreviousView>,
    /// The same for each window by name.
    windows: BTreeMap<String, WindowStandingView>,
}

/// What stood before a submission.
#[derive(Serialize, ToSchema)]
#[schema(as = Previous)]
pub struct PreviousView {
    /// The score.
    #[schema(value_type = f64)]
    score: Score,
    /// The rank.
    #[schema(required, minimum = 1)]
    rank: Option<u64>,
}

/// Where a member stands in one window.
#[derive(Serialize, ToSchema)]
#[schema(as = WindowStanding)]
pub struct WindowStandingView {
    /// The window's open period.
    #[schema(example = "open")]
    period: String,
    /// The standing score.
    #[schema(value_type = f64)]
    score: Score,
    /// The rank; `null` where `max_entries` keeps the entry out.
    #[schema(required, minimum = 1)]
    rank: Option<u64>,
    /// Whether the submission changed the entry.
    updated: bool,
}

impl From<Standing> for StandingView {
    fn from(standing: Standing) -> Self {
        let mut view = Self {
            member: standing.member,
            score: Score::default(),
            rank: None,
            updated: false,
            previous: None,
            windows: BTreeMap::new(),
        };
        for (number, window) in standing.windows.into_iter().enumerate() {
            if number == 0 {
                (view.score, view.rank, view.updated) = (window.score, window.rank, window.updated);
                view.previous = window.previous.map(|(score, rank)| PreviousView { score, rank });
            }
            let (period, score, rank, updated) = (window.period, window.score, window.rank, window.updated);
            view.windows.insert(window.window.into(), WindowStandingView { period, score, rank, updated });
        }
        view
    }
}

/// Submits a score.
///
/// It enters every window in one atomic step, and is answered with where the member stands. The same `Idempotency-Key`
/// with the same body counts once within 24 hours. A leaderboard that does not exist is created with the default settings,
/// unless the service runs without auto-creation. A player's token submits scores of its own member alone (403), and its idempotency
/// keys are that player's own: the same key of another caller is another one.
#[utoipa::path(
    tag = "scores",
    security(("token" = ["scores:write"])),
    params(OfLeaderboard, ("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once.",
        min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)),
    request_body(content = SubmitScore, example = json!({"member": "alice", "score": 1500, "metadata": {"level": 7}})),
    responses((status = 200, description = "Where the member stands now.", body = StandingView)),
)]
#[post("/v1/leaderboards/{leaderboard}/scores")]
pub async fn submit_score(
    leaderboards: Allowed<ScoresWrite, Leaderboards>,
    at: OfLeaderboard,
    _: Query<NoParameters>,
    key: IdempotencyHeader,
    body: Json<SubmitScore>,
) -> std::result::Result<HttpResponse, Problem> {
    let mut submission = Submission::from(body.0);
    leaderboards.caller().check_submission_of(&submission.member)?;
    if submission.key.is_some() {
        return Err(
            Error::invalid("/idempotency_key", "is for items of a batch: use the header Idempotency-Key").into()
        );
    }
    submission.key = key.0.map(|key| leaderboards.caller().own_key(key));
    let standing = leaderboards.submit(&at.leaderboard, &submission).await?;
    let replayed = standing.replayed;
    Ok(once(&StandingView::from(standing), replayed))
}

/// Many scores to submit.
#[derive(Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = SubmitScores)]
pub struct SubmitScores {
    /// The scores, each for itself.
    #[schema(value_type = Vec<SubmitScore>, max_items = 1000)]
    scores: Vec<Box<RawValue>>,
}

read_object!(SubmitScores);

impl Body for SubmitScores {
    const MAX_BYTES: usize = 4 * 1024 * 1024;
}

/// What to answer of a batch.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BatchParameters {
    /// Whether to answer ranks, which costs time.
    #[param(default = true, nullable = false)]
    ranks: Option<bool>,
}

/// What became of each item.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchResults)]
pub struct BatchView {
    /// In the order of the items.
    results: Vec<BatchItemView>,
}

/// What became of one item.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchResult)]
pub struct BatchItemView {
    /// The status that the item alone would have had.
    #[schema(example = 200, minimum = 200, maximum = 599)]
    status: u16,
    /// Whose; absent where the item could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "alice")]
    member: Option<Member>,
    /// The standing score.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, nullable = false, example = 1500)]
    score: Option<Score>,
    /// The rank, unless left out by `ranks=false` or by `max_entries`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    rank: Option<u64>,
    /// Whether the item changed the entry.
    updated: bool,
    /// What is wrong with the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<ProblemBody>,
}

/// Submits up to 1,000 scores at once.
///
/// Each item stands for itself: a bad one fails alone. The answer has one result an item, in their order. With a player's token, items
/// of other members have status 403, and count nothing.
#[utoipa::path(
    tag = "scores",
    security(("token" = ["scores:write"])),
    params(OfLeaderboard, BatchParameters, ("Idempotency-Key" = Option<String>, Header, nullable = false,
        description = "Makes the request count once.", min_length = 1, max_length = 128, pattern = "^[!-~]+$")),
    request_body(content = SubmitScores,
        example = json!({"scores": [{"member": "alice", "score": 1500}, {"member": "bob", "score": 1250.5}]})),
    responses((status = 200, description = "A result for each item.", body = BatchView)),
)]
#[post("/v1/leaderboards/{leaderboard}/scores/batch")]
pub async fn submit_scores(
    leaderboards: Allowed<ScoresWrite, Leaderboards>,
    at: OfLeaderboard,
    parameters: Query<BatchParameters>,
    key: IdempotencyHeader,
    body: Json<SubmitScores>,
) -> std::result::Result<HttpResponse, Problem> {
    let raw = body.0.scores;
    if raw.len() > MAX_BATCH {
        return Err(Error::invalid("/scores", format!("must be at most {MAX_BATCH} items")).into());
    }
    leaderboards.charge_items("/scores", raw.len()).await?;
    let (caller, mut members) = (leaderboards.caller(), Vec::with_capacity(raw.len()));
    let items: Vec<Result<Submission>> = raw
        .iter()
        .map(|item| {
            let read = json::parse::<SubmitScore>(item.get().as_bytes(), MAX_DEPTH).map(Submission::from);
            members.push(read.as_ref().ok().map(|item| item.member.clone()));
            own_submission(caller, read?)
        })
        .collect();
    let key = key.0.map(|key| caller.own_key(key));
    let ranks = if parameters.0.ranks == Some(false) { WantedRanks::None } else { WantedRanks::New };
    let results = leaderboards.submit_many(&at.leaderboard, items, ranks, key.as_ref()).await?;
    let counted = || results.iter().flatten();
    let replayed = counted().next().is_some() && counted().all(|standing| standing.replayed);
    let results =
        results.iter().zip(members).enumerate().map(|(number, (result, member))| item_view(number, result, member));
    Ok(once(&BatchView { results: results.collect() }, replayed))
}

/// A submission that the caller may make, with the key that is its own.
fn own_submission(caller: &Caller, submission: Submission) -> Result<Submission> {
    caller.check_submission_of(&submission.member)?;
    Ok(Submission { key: submission.key.map(|key| caller.own_key(key)), ..submission })
}

fn item_view(number: usize, result: &Result<Standing>, member: Option<Member>) -> BatchItemView {
    match result {
        Ok(standing) => {
            let first = standing.windows.first();
            BatchItemView {
                status: 200,
                member: Some(standing.member.clone()),
                score: first.map(|window| window.score),
                rank: first.and_then(|window| window.rank),
                updated: first.is_some_and(|window| window.updated),
                problem: None,
            }
        }
        Err(error) => BatchItemView {
            status: status(error.code()).as_u16(),
            member,
            score: None,
            rank: None,
            updated: false,
            problem: Some(ProblemBody::of(&json::in_list(&format!("/scores/{number}"), error), None)),
        },
    }
}
