//! Reading rankings.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, get};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{Allowed, LeaderboardsRead};
use super::past::PeriodRead;
use super::problem::Problem;
use super::query::{OfLeaderboard, Query};
use crate::archive::{Archive, Past};
use crate::error::Error;
use crate::leaderboard::{Distribution, Entry, Leaderboards, Page, QUANTILES, Ranking, Start, View};
use crate::profile::Profiles;
use crate::types::{LeaderboardName, Limit, Member, Metadata, Radius, Raw, Score, Timestamp, WindowName};

const DEFAULT_BUCKETS: u32 = 20;
const MAX_BUCKETS: u32 = 200;
/// Offsets stay exact numbers in scripts.
const MAX_OFFSET: u64 = 1 << 52;

/// What is not said: only reads of one member find that there is none.
pub(super) fn no_member() -> Error {
    Error::Internal("a period has no member that was asked for".to_owned())
}

macro_rules! view_parameters {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Deserialize, IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub struct $name {
            $($(#[$field_doc])* pub(super) $field: $type,)*
            /// The window; the leaderboard's first one by default.
            #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", nullable = false)]
            pub(super) window: Option<WindowName>,
            /// The period, by its start; the open one by default.
            #[param(nullable = false)]
            pub(super) period: Option<String>,
            /// A segment's value as `dimension:value`, or one of a combination that is declared as
            /// `dimension:value,dimension:value` in any order, for example `country:KR,platform:ios`; the whole by default.
            #[param(nullable = false)]
            pub(super) segment: Option<String>,
            /// How equal rows share ranks: 1234, 1224 or 1223.
            #[serde(default)]
            #[param(inline)]
            pub(super) ranking: Ranking,
        }

        impl $name {
            pub(super) fn view(&self) -> View {
                View {
                    window: self.window.clone(),
                    period: self.period.clone(),
                    segment: self.segment.clone(),
                    ranking: self.ranking,
                    at_us: None,
                    all_digits: false,
                }
            }
        }
    };
}
pub(super) use view_parameters;

/// An entry of a ranking.
#[derive(Serialize, ToSchema)]
#[schema(as = Entry)]
pub struct EntryView {
    /// The rank, from 1.
    #[schema(minimum = 1, example = 1)]
    pub(super) rank: u64,
    /// Who.
    #[schema(value_type = String, example = "alice")]
    pub(super) member: Member,
    /// The standing score.
    #[schema(value_type = f64, example = 1500)]
    pub(super) score: Score,
    /// The further columns.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, f64>)]
    pub(super) subscores: BTreeMap<String, Score>,
    /// When the row was reached; absent where ties go by member.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false, example = "2026-11-23T05:40:00.123Z")]
    pub(super) achieved_at: Option<Timestamp>,
    /// What was submitted with the score.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub(super) metadata: Option<Metadata>,
    /// What describes the member, by dimension.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"country": "KR"}))]
    pub(super) segments: BTreeMap<String, String>,
    /// With `since`: the ordinal rank then; `null` where the member had none, or stood below what the snapshot holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1, example = 3)]
    pub(super) previous_rank: Option<Option<u64>>,
    /// With `profiles=true`: what the upstream says of the member, as it was sent; `null` where it says nothing, or is not known now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"name": "Alice", "avatar": "https://example.com/alice.png"}))]
    pub(super) profile: Option<Option<Raw>>,
}

impl EntryView {
    pub(super) fn new(entry: Entry, columns: &[WindowName]) -> Self {
        Self {
            rank: entry.rank,
            member: entry.member,
            score: entry.score,
            subscores: columns.iter().map(ToString::to_string).zip(entry.subscores).collect(),
            achieved_at: entry.achieved_at,
            metadata: entry.metadata,
            segments: entry.segments,
            previous_rank: entry.previous_rank,
            profile: None,
        }
    }
}

/// A run of entries of one ranking.
#[derive(Serialize, ToSchema)]
#[schema(as = Rankings)]
pub struct RankingsView {
    /// The leaderboard.
    #[schema(value_type = String, example = "race")]
    leaderboard: LeaderboardName,
    /// The window.
    #[schema(value_type = String, example = "all_time")]
    window: WindowName,
    /// Its period.
    #[schema(example = "open")]
    period: String,
    /// Entries of the whole ranking.
    #[schema(example = 2)]
    total: u64,
    /// The entries, best first.
    pub(super) entries: Vec<EntryView>,
    /// Give it as `cursor` for the next entries; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

impl RankingsView {
    pub(super) fn new(leaderboard: LeaderboardName, page: Page) -> Self {
        Self {
            leaderboard,
            window: page.window,
            period: page.period,
            total: page.total,
            entries: page.entries.into_iter().map(|entry| EntryView::new(entry, &page.columns)).collect(),
            next_cursor: page.next_cursor,
        }
    }
}

view_parameters! {
    /// Which entries to give.
    RankingsParameters {
        /// How many entries to give.
        #[serde(default)]
        #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 50, nullable = false)]
        limit: Limit,
        /// How many entries to pass over; none by default.
        #[param(minimum = 0, maximum = 4_503_599_627_370_496_u64, nullable = false)]
        offset: Option<u64>,
        /// `next_cursor` of the page before, instead of an offset: entries that did not move are then neither repeated
        /// nor skipped.
        #[param(nullable = false)]
        cursor: Option<String>,
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

/// Reads a ranking, best first.
///
/// A period that has left Redis is read from the archive, if the service has one: see `Cache-Status`, which is there where a period is named.
#[utoipa::path(
    tag = "rankings",
    security(("token" = ["leaderboards:read"])),
    params(OfLeaderboard, RankingsParameters),
    responses(
        (status = 200, description = "The entries; none past the end.", body = RankingsView),
        (status = 304, description = "The client has them already, by `If-None-Match`."),
    ),
)]
#[get("/v1/leaderboards/{leaderboard}/rankings")]
pub async fn get_rankings(
    leaderboards: Allowed<LeaderboardsRead, Leaderboards>,
    profiles: Allowed<LeaderboardsRead, Profiles>,
    archive: Allowed<LeaderboardsRead, Archive>,
    request: HttpRequest,
    at: OfLeaderboard,
    parameters: Query<RankingsParameters>,
) -> Result<HttpResponse, Problem> {
    let parameters = parameters.0;
    let view = parameters.view();
    let start = match (parameters.offset, parameters.cursor) {
        (Some(_), Some(_)) => return Err(Error::invalid("cursor", "does not go together with `offset`").into()),
        (Some(offset), None) if offset > MAX_OFFSET => {
            return Err(Error::invalid("offset", format!("must be 0 to {MAX_OFFSET}")).into());
        }
        (offset, None) => Start::Offset(offset.unwrap_or(0)),
        (None, Some(cursor)) => Start::Cursor(cursor),
    };
    let (name, limit, since) = (&at.leaderboard, parameters.limit, parameters.since.as_deref());
    let profiles = parameters.profiles.then_some(&*profiles);
    let read = PeriodRead { leaderboards: &leaderboards, archive: &archive, name, view: &view, since, profiles };
    let live = async {
        let mut page = leaderboards.rankings(name, &view, &start, limit).await?;
        read.note_movement(&mut page).await?;
        let mut shown = RankingsView::new(name.clone(), page);
        read.add_profiles(&mut shown.entries).await?;
        Ok(shown)
    };
    let past = async |past: &Past| {
        let mut page = past.rankings(&view, &start, limit).await?;
        read.note_past_movement(&mut page.entries).await?;
        let mut shown = RankingsView::new(name.clone(), page);
        read.add_profiles(&mut shown.entries).await?;
        Ok(shown)
    };
    let query = match &start {
        Start::Offset(offset) => format!("rankings {} offset {offset}", limit.get()),
        Start::Cursor(cursor) => format!("rankings {} cursor {cursor}", limit.get()),
    };
    Ok(read.answer(&query, no_member, live, past).await?.tagged(&request))
}

view_parameters! {
    /// Where to look.
    AroundScoreParameters {
        /// The score.
        #[param(value_type = f64, example = 1400)]
        score: f64,
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

/// Where a score would stand.
#[derive(Serialize, ToSchema)]
#[schema(as = AroundScore)]
pub struct AroundScoreView {
    /// The rank that the score would have if it were submitted now.
    #[schema(minimum = 1, example = 2)]
    rank: u64,
    /// Entries of the whole ranking.
    #[schema(example = 2)]
    total: u64,
    /// The entries above and below that place, best first.
    entries: Vec<EntryView>,
}

impl From<Page> for AroundScoreView {
    fn from(page: Page) -> Self {
        let entries = page.entries.into_iter().map(|entry| EntryView::new(entry, &page.columns));
        Self { rank: page.asked_rank, total: page.total, entries: entries.collect() }
    }
}

/// Tells where a score would stand, and who is around that place.
///
/// With equal scores, the place is behind them, or before them where the latest is ahead (`ties`).
#[utoipa::path(
    tag = "rankings",
    security(("token" = ["leaderboards:read"])),
    params(OfLeaderboard, AroundScoreParameters),
    responses(
        (status = 200, description = "The place and the entries around it.", body = AroundScoreView),
        (status = 304, description = "The client has them already, by `If-None-Match`."),
    ),
)]
#[get("/v1/leaderboards/{leaderboard}/around")]
pub async fn get_around_score(
    leaderboards: Allowed<LeaderboardsRead, Leaderboards>,
    profiles: Allowed<LeaderboardsRead, Profiles>,
    archive: Allowed<LeaderboardsRead, Archive>,
    request: HttpRequest,
    at: OfLeaderboard,
    parameters: Query<AroundScoreParameters>,
) -> Result<HttpResponse, Problem> {
    let view = parameters.0.view();
    let score = Score::new(parameters.0.score).ok_or_else(|| Error::invalid("score", "must be a finite number"))?;
    let (name, radius, since) = (&at.leaderboard, parameters.0.radius, parameters.0.since.as_deref());
    let profiles = parameters.0.profiles.then_some(&*profiles);
    let read = PeriodRead { leaderboards: &leaderboards, archive: &archive, name, view: &view, since, profiles };
    let live = async {
        let mut page = leaderboards.around_score(name, score, &view, radius).await?;
        read.note_movement(&mut page).await?;
        let mut shown = AroundScoreView::from(page);
        read.add_profiles(&mut shown.entries).await?;
        Ok(shown)
    };
    let past = async |past: &Past| {
        let mut page = past.around_score(score, &view, radius).await?;
        read.note_past_movement(&mut page.entries).await?;
        let mut shown = AroundScoreView::from(page);
        read.add_profiles(&mut shown.entries).await?;
        Ok(shown)
    };
    let query = format!("around {} {}", score.to_redis(), radius.get());
    Ok(read.answer(&query, no_member, live, past).await?.tagged(&request))
}

view_parameters! {
    /// How to count.
    DistributionParameters {
        /// How many buckets of equal width to give.
        #[param(minimum = 1, maximum = 200, default = 20, nullable = false)]
        buckets: Option<u32>,
    }
}

/// How scores are spread.
#[derive(Serialize, ToSchema)]
#[schema(as = Distribution)]
pub struct DistributionView {
    /// Entries of the whole ranking.
    #[schema(example = 2)]
    total: u64,
    /// The lowest score; absent without entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, nullable = false, example = 1250.5)]
    min: Option<Score>,
    /// The highest score; absent without entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, nullable = false, example = 1500)]
    max: Option<Score>,
    /// The lowest score that so many of all scores do not exceed: `p1`, `p5`, `p10`, `p25`, `p50`, `p75`, `p90`, `p95`,
    /// `p99`.
    #[schema(value_type = BTreeMap<String, f64>)]
    quantiles: BTreeMap<&'static str, Score>,
    /// Buckets of equal width, rising.
    buckets: Vec<BucketView>,
}

/// A bucket of scores: from `from` up to and without `to`; the last one includes `to`.
#[derive(Serialize, ToSchema)]
#[schema(as = Bucket)]
pub struct BucketView {
    /// Its lower edge.
    #[schema(value_type = f64)]
    from: Score,
    /// Its upper edge.
    #[schema(value_type = f64)]
    to: Score,
    /// Scores in it.
    count: u64,
}

impl From<Distribution> for DistributionView {
    fn from(spread: Distribution) -> Self {
        let edges = spread.edges.iter().zip(spread.edges.iter().skip(1));
        Self {
            total: spread.total,
            min: spread.edges.first().copied(),
            max: spread.edges.last().copied(),
            quantiles: QUANTILES.iter().map(|(name, _)| *name).zip(spread.quantiles).collect(),
            buckets: edges
                .zip(spread.counts)
                .map(|((from, to), count)| BucketView { from: *from, to: *to, count })
                .collect(),
        }
    }
}

/// Tells how the scores are spread.
#[utoipa::path(
    tag = "rankings",
    security(("token" = ["leaderboards:read"])),
    params(OfLeaderboard, DistributionParameters),
    responses(
        (status = 200, description = "Counts and quantiles.", body = DistributionView),
        (status = 304, description = "The client has them already, by `If-None-Match`."),
    ),
)]
#[get("/v1/leaderboards/{leaderboard}/distribution")]
pub async fn get_distribution(
    leaderboards: Allowed<LeaderboardsRead, Leaderboards>,
    archive: Allowed<LeaderboardsRead, Archive>,
    request: HttpRequest,
    at: OfLeaderboard,
    parameters: Query<DistributionParameters>,
) -> Result<HttpResponse, Problem> {
    let buckets = parameters.0.buckets.unwrap_or(DEFAULT_BUCKETS);
    if !(1..=MAX_BUCKETS).contains(&buckets) {
        return Err(Error::invalid("buckets", format!("must be 1 to {MAX_BUCKETS}")).into());
    }
    let (name, view) = (&at.leaderboard, parameters.0.view());
    let read =
        PeriodRead { leaderboards: &leaderboards, archive: &archive, name, view: &view, since: None, profiles: None };
    let live = async { leaderboards.distribution(name, &view, buckets).await.map(DistributionView::from) };
    let past = async |past: &Past| past.distribution(&view, buckets).await.map(DistributionView::from);
    Ok(read.answer(&format!("distribution {buckets}"), no_member, live, past).await?.tagged(&request))
}
