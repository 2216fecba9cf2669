//! Submissions to leaderboards that are spread over several shards: keys, times and ranks, which no shard knows alone.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use futures_util::future::try_join_all;

use super::super::board::{AnswerLabel, Board, RankingKeys};
use super::super::cursor::Position;
use super::super::reply::{self, Reply, ShardSubmitted};
use super::super::submission::Fingerprint;
use super::shards::compare;
use super::{Answered, LeaderboardStore, RECORD, RECORD_LIFETIME_MS, Submitted, Versioned};
use crate::db::{Effect, Script};
use crate::error::{Error, Result};
use crate::types::{Clock, IdempotencyKey, Score};

static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    let body = include_str!("../lua/claim.lua");
    Script::new("claim", Effect::Store, &[RECORD, body])
});

/// Whose a key is.
pub(in crate::leaderboard) enum Claimed {
    /// This request's, from now on.
    Now,
    /// This request's, which came before with this note.
    Before(String),
    /// Another request's.
    Mismatch,
}

impl LeaderboardStore {
    /// Times for `count` rows, each later than all that this process has seen or given: the first of them, in µs.
    pub(in crate::leaderboard) fn next_us(&self, count: usize) -> i64 {
        let least = match self.clock {
            // What the servers say is later than what was seen of them.
            Clock::Server => 0,
            Clock::Fixed(_) => self.now_us(),
        };
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let next = |latest: i64| Some(latest.max(least - 1).saturating_add(count));
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        let latest = self.latest_us.fetch_update(set, fetch, next).unwrap_or_else(|latest| latest);
        latest.max(least - 1) + 1
    }

    /// Binds keys to requests, before the shards of their members are asked.
    pub(in crate::leaderboard) async fn claim(
        &self,
        board: &Board,
        claims: &[(&IdempotencyKey, &str, &Fingerprint)],
        note: &str,
    ) -> Result<Vec<Claimed>> {
        let mut by_shard: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, (key, ..)) in claims.iter().enumerate() {
            by_shard.entry(board.shard_by(key.as_str())).or_default().push(place);
        }
        let calls = by_shard.into_iter().map(async |(shard, places)| {
            let shard = board.shard(shard);
            let record = |place: &usize| shard.record_key(claims[*place].0, &format!("claim {}", claims[*place].1));
            let keys: Vec<String> = places.iter().map(record).collect();
            let call = CLAIM.keys(&keys).number(RECORD_LIFETIME_MS);
            let call = places.iter().fold(call, |call, place| call.arg(claims[*place].2.as_bytes()).arg(note));
            let mut reply = Reply::of(call.run(&self.db).await?)?;
            let mut claimed = Vec::with_capacity(places.len());
            for place in places {
                let mut answer = reply.list()?;
                let verdict = match answer.text()?.as_str() {
                    "claimed" => Claimed::Now,
                    "mismatch" => Claimed::Mismatch,
                    _ => Claimed::Before(answer.text()?),
                };
                claimed.push((place, verdict));
            }
            Ok::<_, Error>(claimed)
        });
        let mut all: Vec<Claimed> = claims.iter().map(|_| Claimed::Mismatch).collect();
        for (place, claimed) in try_join_all(calls).await?.into_iter().flatten() {
            all[place] = claimed;
        }
        Ok(all)
    }

    /// The results of one shard, with ranks in the whole.
    pub(super) async fn results_of_shards(
        &self,
        whole: &Board,
        label: &AnswerLabel,
        reply: Reply,
    ) -> Result<Vec<Submitted>> {
        self.with_ranks(whole, reply::shard_results(label, reply)?).await
    }

    /// The first answer to a shard's call, with the ranks that it comes to by now.
    pub(super) async fn first_call_of_shards(&self, whole: &Board, mut reply: Reply) -> Result<Versioned<Answered>> {
        let text = reply.text()?;
        let (label, note) = text.split_once('\n').unwrap_or((&text, ""));
        let results = self.results_of_shards(whole, &reply::label(label)?, reply).await?;
        Ok(Versioned::Current(Answered { results, note: Some(note.to_owned()) }))
    }

    /// Turns positions into ranks, by one round of calls.
    pub(super) async fn with_ranks(&self, whole: &Board, results: Vec<ShardSubmitted>) -> Result<Vec<Submitted>> {
        let mut asked: Vec<(String, String, Position)> = Vec::new();
        for result in &results {
            let ShardSubmitted::Counted(counted) = result else { continue };
            for (standing, now, before) in &counted.windows {
                let of = |position: &Position| (standing.window.to_string(), standing.period.clone(), position.clone());
                asked.extend(now.iter().chain(before).map(of));
            }
        }
        let mut places = self.places(whole, &asked).await?.into_iter();
        let mut rank_of =
            |position: Option<Position>| position.and_then(|_| places.next()).flatten().map(|place| place + 1);
        Ok(results
            .into_iter()
            .map(|result| match result {
                ShardSubmitted::Other(other) => other,
                ShardSubmitted::Counted(counted) => {
                    let windows = counted.windows.into_iter().map(|(mut standing, now, before)| {
                        // The place of before was counted after the entry had gone ahead of it.
                        let overtook = matches!((&now, &before), (Some(now), Some(before)) if is_ahead(now, before));
                        standing.rank = rank_of(now);
                        let rank = rank_of(before).map(|rank| rank - u64::from(overtook && rank > 1));
                        standing.previous = standing.previous.map(|(score, _)| (score, rank));
                        standing
                    });
                    Submitted::Counted { windows: windows.collect(), replayed: counted.replayed }
                }
            })
            .collect())
    }

    /// How many entries of all shards stand ahead of each position, by window and period; none where a first answer names a
    /// window that is declared no more.
    async fn places(&self, whole: &Board, asked: &[(String, String, Position)]) -> Result<Vec<Option<u64>>> {
        let is_declared = |window: &str| whole.settings.windows.iter().any(|known| known.name.as_str() == window);
        let declared = asked.iter().filter(|(window, ..)| is_declared(window));
        let mut rankings: Vec<(&str, &str)> = declared.map(|(window, period, _)| (&**window, &**period)).collect();
        rankings.sort_unstable();
        rankings.dedup();
        let numbered = |(window, period, at): &'_ (String, String, Position)| {
            let place = rankings.binary_search(&(window.as_str(), period.as_str())).ok()?;
            Some((place + 1, at.ranked, at.element.clone()))
        };
        let numbered: Vec<Option<(usize, Score, Vec<u8>)>> = asked.iter().map(numbered).collect();
        let positions: Vec<(usize, Score, &[u8])> =
            numbered.iter().flatten().map(|(number, ranked, element)| (*number, *ranked, &element[..])).collect();
        let of_shard = |shard: &Board| -> Vec<RankingKeys> {
            let named = |(window, period): &(&str, &str)| {
                let window = shard.settings.windows.iter().find(|known| known.name.as_str() == *window)?;
                Some(shard.sections.ranking(&window.name, period, None))
            };
            rankings.iter().filter_map(named).collect()
        };
        let mut counted = self.count_ahead(whole, of_shard, "", None, &positions).await?.into_iter();
        let place = |known: &Option<_>| known.as_ref().and_then(|_| counted.next()).map(|(ahead, _)| ahead);
        Ok(numbered.iter().map(place).collect())
    }
}

fn is_ahead(one: &Position, other: &Position) -> bool {
    compare((one.ranked, &one.element), (other.ranked, &other.element)).is_lt()
}
