//! Reading archived periods: one ranking from any place, as it reads while it is live.

use std::sync::Arc;

use sqlx::QueryBuilder;

use super::sink::{Pool, Sink, on};
use crate::error::{Error, Result};
use crate::leaderboard::{
    ArchivedPeriod, ArchivedRow, Distribution, Found, Lookup, Page, Ranking, Start, View, Wanted,
};
use crate::types::{LeaderboardName, Limit, Member, Radius, Score};

/// Members that one statement looks for.
const MEMBERS_AT_ONCE: usize = 500;

const TOTAL: &str = "SELECT COALESCE(MAX(place), 0) FROM ranq_standings WHERE period = $1 AND part = $2";
const BEHIND: &str = "SELECT place FROM ranq_standings WHERE period = $1 AND part = $2 AND (ranked, element) > ($3, $4) \
    ORDER BY ranked, element LIMIT 1";
const BELOW: &str = "SELECT place, dense FROM ranq_standings WHERE period = $1 AND part = $2 AND ranked > $3 \
    ORDER BY ranked, element LIMIT 1";
const NOT_ABOVE: &str = "SELECT place, dense FROM ranq_standings WHERE period = $1 AND part = $2 AND ranked >= $3 \
    ORDER BY ranked, element LIMIT 1";
const MEMBER: &str = "SELECT place FROM ranq_standings WHERE period = $1 AND member = $2 AND part = $3";
const LAST_DENSE: &str =
    "SELECT COALESCE(MAX(dense), 0) FROM ranq_standings WHERE period = $1 AND part = $2 AND place = $3";
/// What belongs to a member stands with the whole ranking.
const ROWS: &str = "SELECT s.ranked, s.element, s.place, s.competition, s.dense, w.metadata, w.segments FROM ranq_standings s \
    JOIN ranq_standings w ON w.period = s.period AND w.member = s.member AND w.part = '' WHERE s.period = ";

type RawRow = (f64, Vec<u8>, i64, i64, i64, Option<String>, Option<String>);

/// An archived period that is being read.
pub struct Past {
    pub(super) sink: Arc<Sink>,
    pub(super) id: i64,
    pub(super) period: ArchivedPeriod,
}

impl Past {
    /// A run of entries, best first.
    ///
    /// # Errors
    ///
    /// `Malformed` for a cursor of another list; `Invalid` for a segment that was not declared; `ArchiveUnavailable`.
    pub async fn rankings(&self, view: &View, start: &Start, limit: Limit) -> Result<Page> {
        let wanted = self.period.run(view, start, limit)?;
        self.page(view, &wanted).await?.ok_or_else(|| Error::Internal("a run of entries was not found".to_owned()))
    }

    /// The entries around a member, up to `radius` on each side.
    ///
    /// # Errors
    ///
    /// As [`Past::rankings`]; `NoMember`.
    pub async fn around_member(
        &self,
        leaderboard: &LeaderboardName,
        member: &Member,
        view: &View,
        radius: u32,
    ) -> Result<Page> {
        let wanted = Wanted::Around { member: member.clone(), radius: radius.into() };
        let absent = || Error::NoMember { leaderboard: leaderboard.clone(), member: member.clone() };
        self.page(view, &wanted).await?.ok_or_else(absent)
    }

    /// Where a score would stand, and the entries around that place.
    ///
    /// # Errors
    ///
    /// As [`Past::rankings`].
    pub async fn around_score(&self, score: Score, view: &View, radius: Radius) -> Result<Page> {
        let wanted = self.period.around_score(view, score, radius);
        self.page(view, &wanted).await?.ok_or_else(|| Error::Internal("a score was not found".to_owned()))
    }

    /// The entries of the members asked for, best first, and who has none.
    ///
    /// # Errors
    ///
    /// As [`Past::rankings`].
    pub async fn lookup(&self, members: &[Member], view: &View) -> Result<Lookup> {
        let part = self.period.part(view)?;
        let mut raw: Vec<RawRow> = Vec::new();
        for members in members.chunks(MEMBERS_AT_ONCE) {
            let found = self.sink.ask(async {
                on!(&self.sink.pool, pool => {
                    let mut query = QueryBuilder::new(ROWS);
                    query.push_bind(self.id).push(" AND s.part = ").push_bind(&part).push(" AND s.member IN (");
                    let mut list = query.separated(", ");
                    for member in members {
                        list.push_bind(member.as_str());
                    }
                    query.push(")");
                    query.build_query_as().persistent(false).fetch_all(pool).await
                })
            });
            raw.extend(found.await?);
        }
        raw.sort_by_key(|row| row.2);
        // One that was named twice is there once.
        raw.dedup_by_key(|row| row.2);
        self.period.lookup(view, members, rows(raw)?)
    }

    /// How the scores are spread over so many buckets of equal width.
    ///
    /// # Errors
    ///
    /// As [`Past::rankings`].
    pub async fn distribution(&self, view: &View, buckets: u32) -> Result<Distribution> {
        let part = self.period.part(view)?;
        let (id, negated) = (self.id, self.period.is_negated());
        let counted = self.sink.ask(async {
            on!(&self.sink.pool, pool => {
                let mut snapshot = pool.begin_with(self.sink.snapshot()).await?;
                let total: i64 = sqlx::query_scalar(TOTAL).bind(id).bind(&part).fetch_one(&mut *snapshot).await?;
                let quantiles = self.period.quantile_places(number(total));
                let mut query = QueryBuilder::new("SELECT place, ranked FROM ranq_standings WHERE period = ");
                query.push_bind(id).push(" AND part = ").push_bind(&part).push(" AND place IN (");
                let mut list = query.separated(", ");
                for place in quantiles.iter().copied().chain([1, number(total)]) {
                    list.push_bind(i64::try_from(place).unwrap_or(i64::MAX));
                }
                query.push(")");
                let found: Vec<(i64, f64)> = query.build_query_as().fetch_all(&mut *snapshot).await?;
                let score = |place: u64| {
                    let at = found.iter().find(|(found, _)| number(*found) == place);
                    at.and_then(|(_, ranked)| Score::new(*ranked))
                };
                let quantiles: Option<Vec<Score>> = quantiles.into_iter().map(score).collect();
                let ends = score(1).zip(score(number(total)));
                let Some((quantiles, ends)) = quantiles.zip(ends) else { return Ok(None) };
                let edges = self.period.edges(view, ends, buckets);
                let inner = &edges[1..edges.len() - 1];
                let mut ahead = Vec::with_capacity(inner.len());
                if !inner.is_empty() {
                    let mut query = QueryBuilder::new(
                        "SELECT (SELECT place FROM ranq_standings s WHERE s.period = ",
                    );
                    // A bucket opens at its lower true score.
                    let compared = if negated { " AND s.ranked > v.column2" } else { " AND s.ranked >= v.column2" };
                    query.push_bind(id).push(" AND s.part = ").push_bind(&part).push(compared);
                    query.push(" ORDER BY s.ranked, s.element LIMIT 1) FROM (");
                    query.push_values(inner.iter().zip(0_i64..), |mut values, (edge, place)| {
                        values.push_bind(place).push_bind(edge.value());
                    });
                    query.push(") v ORDER BY v.column1");
                    let places: Vec<(Option<i64>,)> =
                        query.build_query_as().persistent(false).fetch_all(&mut *snapshot).await?;
                    ahead.extend(places.into_iter().map(|(place,)| place.map_or(number(total), |place| number(place - 1))));
                }
                Ok(Some((number(total), edges, ahead, quantiles)))
            })
        });
        let (total, edges, ahead, quantiles) = counted.await?.unwrap_or_default();
        Ok(self.period.distribution(view, total, (&edges, &ahead), &quantiles))
    }

    /// The places (from 1 on) of members in the whole or a segment.
    ///
    /// # Errors
    ///
    /// As [`Past::rankings`].
    pub async fn ranks(&self, members: &[Member], view: &View) -> Result<Vec<Option<u64>>> {
        let view = View { ranking: Ranking::Ordinal, ..view.clone() };
        let found = self.lookup(members, &view).await?;
        let rank = |member: &Member| found.entries.iter().find(|entry| entry.member == *member).map(|entry| entry.rank);
        Ok(members.iter().map(rank).collect())
    }

    async fn page(&self, view: &View, wanted: &Wanted) -> Result<Option<Page>> {
        let part = self.period.part(view)?;
        let id = self.id;
        let found = self.sink.ask(async {
            on!(&self.sink.pool, pool => {
                let mut snapshot = pool.begin_with(self.sink.snapshot()).await?;
                let total: i64 = sqlx::query_scalar(TOTAL).bind(id).bind(&part).fetch_one(&mut *snapshot).await?;
                let mut rank_of_score = 0;
                // Entries that stand ahead of what is asked for, of the first one given, and of the one behind the last.
                let (asked, from, to) = match wanted {
                    Wanted::Behind { passed, limit } => {
                        let asked = i64::try_from(*passed).unwrap_or(i64::MAX);
                        (asked, asked, asked.saturating_add_unsigned(*limit))
                    }
                    Wanted::After { ranked, element, limit } => {
                        let query = sqlx::query_scalar(BEHIND).bind(id).bind(&part).bind(ranked.value()).bind(element);
                        let next: Option<i64> = query.fetch_optional(&mut *snapshot).await?;
                        let asked = next.map_or(total, |place| place - 1);
                        (asked, asked, asked.saturating_add_unsigned(*limit))
                    }
                    Wanted::Around { member, radius } => {
                        let query = sqlx::query_scalar(MEMBER).bind(id).bind(member.as_str()).bind(&part);
                        let Some(place) = query.fetch_optional(&mut *snapshot).await? else { return Ok(None) };
                        let place: i64 = place;
                        let asked = place - 1;
                        let from = asked.saturating_sub_unsigned(*radius).max(0);
                        (asked, from, place.saturating_add_unsigned(*radius))
                    }
                    Wanted::AroundScore { ranked, ahead_of_equals, radius } => {
                        let first = sqlx::query_as(NOT_ABOVE).bind(id).bind(&part).bind(ranked.value());
                        let first: Option<(i64, i64)> = first.fetch_optional(&mut *snapshot).await?;
                        let next = if *ahead_of_equals {
                            first
                        } else {
                            let next = sqlx::query_as(BELOW).bind(id).bind(&part).bind(ranked.value());
                            next.fetch_optional(&mut *snapshot).await?
                        };
                        let asked = next.map_or(total, |(place, _)| place - 1);
                        rank_of_score = match (view.ranking, first) {
                            (Ranking::Ordinal, _) => 0,
                            (Ranking::Competition, first) => first.map_or(total + 1, |(place, _)| place),
                            (Ranking::Dense, Some((_, dense))) => dense,
                            (Ranking::Dense, None) => {
                                let last = sqlx::query_scalar(LAST_DENSE).bind(id).bind(&part).bind(total);
                                let last: i64 = last.fetch_one(&mut *snapshot).await?;
                                last + 1
                            }
                        };
                        let from = asked.saturating_sub_unsigned(*radius).max(0);
                        (asked, from, asked.saturating_add_unsigned(*radius))
                    }
                };
                let mut query = QueryBuilder::new(ROWS);
                query.push_bind(id).push(" AND s.part = ").push_bind(&part).push(" AND s.place > ").push_bind(from);
                query.push(" AND s.place <= ").push_bind(to).push(" ORDER BY s.place");
                let raw: Vec<RawRow> = query.build_query_as().fetch_all(&mut *snapshot).await?;
                Ok(Some((total, asked, from, rank_of_score, raw)))
            })
        });
        let Some((total, asked, from, rank_of_score, raw)) = found.await? else { return Ok(None) };
        let found = Found {
            total: number(total),
            asked: number(asked),
            from: number(from),
            rank_of_score: number(rank_of_score),
            rows: rows(raw)?,
        };
        self.period.page(view, found).map(Some)
    }
}

fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn rows(raw: Vec<RawRow>) -> Result<Vec<ArchivedRow>> {
    let row = |(ranked, element, place, competition, dense, metadata, segments): RawRow| {
        let ranked = Score::new(ranked);
        let ranked = ranked.ok_or_else(|| Error::Internal("an archived score is not finite".to_owned()))?;
        let ranks = [place, competition, dense].map(number);
        Ok(ArchivedRow { ranked, element, ranks, metadata, segments })
    };
    raw.into_iter().map(row).collect()
}
