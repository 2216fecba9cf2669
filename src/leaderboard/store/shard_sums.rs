//! What is counted over all shards of a leaderboard.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::super::adjust::ScoreRange;
use super::super::board::Board;
use super::super::entry::{Distribution, QUANTILES, Ranking};
use super::super::settings::Order as SortOrder;
use super::segments::RawValues;
use super::shards::{Around, DEVIATIONS, Entry, PAST_ANY_ENTRY, Splitters, own_keys};
use super::{Chosen, LeaderboardStore, Versioned};
use crate::error::{Error, Result};
use crate::types::Score;

impl LeaderboardStore {
    /// How many of the best `most` entries within a range each shard has.
    pub(super) async fn count_best(
        &self,
        board: &Board,
        window: usize,
        range: &ScoreRange,
        most: usize,
    ) -> Result<Versioned<Vec<usize>>> {
        let section = self.section(board);
        let only_while = board.sections.change().then(|| section.bounds());
        let Some(ranking) = section.rankings.get(window) else { return Ok(Versioned::Stale) };
        let chosen = Chosen { ranking: Arc::clone(ranking), only_while, part: None };
        let (low, high) = range.ranked(board);
        // Ends that are open are no numbers of a ranking.
        let position = Score::from_redis(low.as_bytes()).map(|low| (low, &[][..]));
        let high = Score::from_redis(high.as_bytes());
        let around = Around { position, before: 0, after: most as u64 };
        let Versioned::Current(slices) = self.slices(board, &chosen, Ranking::Ordinal, &around).await? else {
            return Ok(Versioned::Stale);
        };
        let in_range = |entry: &&Entry| high.is_none_or(|high| entry.ranked.value() <= high.value());
        let mut best: Vec<(usize, &Entry)> = slices
            .iter()
            .enumerate()
            .flat_map(|(shard, slice)| slice.entries.iter().filter(in_range).map(move |entry| (shard, entry)))
            .collect();
        best.sort_by(|a, b| a.1.compare(b.1));
        let mut counts = vec![0; slices.len()];
        for (shard, _) in best.into_iter().take(most) {
            counts[shard] += 1;
        }
        Ok(Versioned::Current(counts))
    }

    /// Lists values of a dimension of all shards. A spread leaderboard counts its values by reading them all.
    pub(in crate::leaderboard) async fn all_segment_values(
        &self,
        board: &Board,
        chosen: &Chosen,
        dimension: u64,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Versioned<RawValues>> {
        if !board.is_spread() {
            return self.segment_values(board, chosen, dimension, after, limit).await;
        }
        let reads = board.shards().map(async |shard| {
            let chosen = self.chosen_of(shard, chosen);
            self.segment_values(shard, &chosen, dimension, None, u64::MAX).await
        });
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for read in try_join_all(reads).await? {
            let Versioned::Current(listed) = read else { return Ok(Versioned::Stale) };
            for (value, entries) in listed.values {
                *sums.entry(value).or_default() += entries;
            }
        }
        let total = sums.len() as u64;
        let values = sums.into_iter().filter(|(value, _)| after.is_none_or(|after| value.as_str() > after));
        let values = values.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
        Ok(Versioned::Current(RawValues { total, values }))
    }

    /// Counts the entries of all shards by score.
    pub(super) async fn distribution_of_shards(
        &self,
        board: &Board,
        chosen: &Chosen,
        buckets: u32,
    ) -> Result<Versioned<Distribution>> {
        let negated = board.settings.order == SortOrder::Descending;
        let share = |share: &str| {
            let share: f64 = share.parse().unwrap_or(0.0);
            if negated { 1.0 - share } else { share }
        };
        // The ends, and each quantile.
        let mut places = vec!["0".to_owned(), "s1".to_owned()];
        places.extend(QUANTILES.iter().map(|(_, text)| format!("s{}", share(text))));
        for deviations in DEVIATIONS {
            let Versioned::Current(split) = self.split(board, chosen, &places, deviations).await? else {
                return Ok(Versioned::Stale);
            };
            let total: u64 = split.iter().filter_map(|shard| shard.first()).map(|shard| shard.total).sum();
            if total == 0 {
                return Ok(Versioned::Current(Distribution {
                    total,
                    edges: Vec::new(),
                    counts: Vec::new(),
                    quantiles: Vec::new(),
                }));
            }
            let at = |number: usize| split.iter().filter_map(move |shard| shard.get(number));
            let scores = |number: usize| at(number).flat_map(|shard| shard.found.iter().map(|(_, at)| at.ranked));
            let by_value = |a: &Score, b: &Score| a.value().total_cmp(&b.value());
            let (Some(least), Some(most)) = (scores(0).min_by(by_value), scores(1).max_by(by_value)) else { continue };
            let edges = edges_between(least, most, buckets);
            let inner: Vec<(usize, Score, &[u8])> = edges[1..edges.len() - 1]
                .iter()
                .map(|edge| (1, *edge, if negated { &PAST_ANY_ENTRY[..] } else { &[][..] }))
                .collect();
            let of_shard = |shard: &Board| vec![own_keys(&self.chosen_of(shard, chosen))];
            let part = chosen.part.as_ref().map_or("", |part| part.as_str());
            let counted = self.count_ahead(board, of_shard, part, None, &inner);
            let quantiles = QUANTILES.iter().enumerate().map(async |(number, (_, text))| {
                let share: f64 = text.parse().unwrap_or(0.0);
                let from_lowest = total.min(((share * total as f64).ceil() as u64).max(1)) - 1;
                let place = if negated { total - 1 - from_lowest } else { from_lowest };
                let splitters: Vec<&Splitters> = at(number + 2).collect();
                self.score_at(board, chosen, &splitters, place).await
            });
            let (counted, quantiles) = futures_util::future::try_join(counted, try_join_all(quantiles)).await?;
            let quantiles: Option<Vec<Score>> = quantiles.into_iter().collect();
            let Some(quantiles) = quantiles else { continue };
            let mut before = 0;
            let ends = counted.into_iter().map(|(ahead, _)| ahead).chain([total]);
            let mut counts: Vec<u64> = ends.map(|end| std::mem::replace(&mut before, end).abs_diff(end)).collect();
            let turned = |score: &Score| board.settings.turned(*score);
            let mut edges: Vec<Score> = edges.iter().map(turned).collect();
            if edges.first() > edges.last() {
                edges.reverse();
                counts.reverse();
            }
            let quantiles = quantiles.iter().map(turned).collect();
            return Ok(Versioned::Current(Distribution { total, edges, counts, quantiles }));
        }
        Err(Error::StoreUnavailable(format!("leaderboard `{}` moves too fast at the moment", board.name)))
    }
}

/// Edges of buckets of equal width, from the lowest ranked score to the highest, as `distribution.lua` reckons them.
fn edges_between(least: Score, most: Score, buckets: u32) -> Vec<Score> {
    let (lowest, highest) = (least.value(), most.value());
    let buckets = if lowest == highest { 1 } else { buckets };
    let mut edges = vec![least];
    let mut edge = lowest;
    for number in 1..buckets {
        let share = f64::from(number) / f64::from(buckets);
        // Weighted, since highest - lowest may leave the range of a double.
        edge = edge.max(highest.min(lowest * (1.0 - share) + highest * share));
        edges.extend(Score::new(edge));
    }
    edges.push(most);
    edges
}
