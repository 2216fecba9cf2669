//! Leaderboards that are spread over several shards: what is asked of all of them at once, and put together.
//!
//! A position is a score and the bytes that an entry with that score is compared with. Every shard can tell how many of its
//! entries stand ahead of one, whether it has that entry or not, so the places of a ranking are sums. A read is two rounds
//! of calls at most, but where chance has spread the members of a page very unevenly.

use std::cmp::Ordering as Order;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use futures_util::future::try_join_all;

use super::super::board::{Board, RankingKeys};
use super::super::cursor::Position;
use super::super::entry::{Ranking, Span};
use super::super::reply::Reply;
use super::{
    Chosen, DIRECTORY, ENTRY, Found, LeaderboardStore, ORDER, PERIOD, RANKING, READING, RawPage, Read, SHARED_RANK,
    STAMP, Versioned, keys_with,
};
use crate::db::{Effect, Script, ScriptCall};
use crate::error::{Error, Result};
use crate::types::{Member, Score};

static SHARD_PAGE: LazyLock<Script> = LazyLock::new(|| {
    let body = include_str!("../lua/shard_page.lua");
    let parts = [ORDER, DIRECTORY, ENTRY, READING, SHARED_RANK, STAMP, RANKING, PERIOD, body];
    Script::new("shard_page", Effect::Read, &parts)
});
static SHARD_AHEAD: LazyLock<Script> = LazyLock::new(|| {
    let body = include_str!("../lua/shard_ahead.lua");
    Script::new("shard_ahead", Effect::Read, &[ORDER, READING, RANKING, body])
});
static SHARD_SPLIT: LazyLock<Script> = LazyLock::new(|| {
    let body = include_str!("../lua/shard_split.lua");
    Script::new("shard_split", Effect::Read, &[ORDER, READING, STAMP, RANKING, PERIOD, body])
});
/// Up to here a page is read from the beginning of each shard.
const NEAR: u64 = 500;
/// Entries by which each shard says where a place is.
const SPLITTERS: u64 = 100;
/// How far around its expected place an entry is looked for, in deviations; then farther, and at last everywhere.
pub(super) const DEVIATIONS: [f64; 3] = [6.0, 60.0, 1e9];
/// Positions that one call counts up to: about a millisecond of Redis.
const POSITIONS_A_CALL: usize = 100;
/// Entries of a shard that a page of a place in the depth may read.
const MOST_OF_A_SHARD: u64 = 5000;
/// The same where the members are spread so unevenly that nothing else did: some ten milliseconds of Redis.
const MOST_AT_LAST: u64 = 100_000;
/// Bytes that come after those of every entry.
pub(super) const PAST_ANY_ENTRY: [u8; 64] = [0xff; 64];

/// Entries of one shard around a position.
pub(super) struct Slice {
    pub(super) total: u64,
    /// Entries ahead of the position, and the place of the first one given.
    pub(super) ahead: u64,
    pub(super) from: u64,
    /// Entries ahead of all rows that equal the position's, or the first entry's.
    pub(super) ahead_of_equals: u64,
    pub(super) ahead_of_first: u64,
    pub(super) entries: Vec<Entry>,
    /// How many were asked for from the position on.
    pub(super) asked: u64,
}

pub(super) struct Entry {
    pub(super) element: Vec<u8>,
    pub(super) ranked: Score,
    pub(super) metadata: Option<String>,
    pub(super) parts: Option<String>,
}

impl Entry {
    pub(super) fn compare(&self, other: &Self) -> Order {
        compare((self.ranked, &self.element), (other.ranked, &other.element))
    }
}

pub(super) fn compare(a: (Score, &[u8]), b: (Score, &[u8])) -> Order {
    a.0.value().total_cmp(&b.0.value()).then_with(|| a.1.cmp(b.1))
}

impl Slice {
    /// Whether the shard has entries behind those given.
    fn goes_on(&self) -> bool {
        self.from + (self.entries.len() as u64) < self.total
    }
}

/// A position, and how many entries are wanted on each side of it.
pub(super) struct Around<'a> {
    /// None for the beginning.
    pub(super) position: Option<(Score, &'a [u8])>,
    pub(super) before: u64,
    pub(super) after: u64,
}

/// How many of the first `count` entries one of `shards` may be expected to have at most.
fn share_of(count: u64, shards: u64) -> u64 {
    let mean = count as f64 / shards as f64;
    count.min((mean + 6.0 * mean.sqrt()).ceil() as u64 + 8)
}

/// Entries of a shard at some distance from each other.
pub(super) struct Splitters {
    pub(super) total: u64,
    /// Place, and what stands there.
    pub(super) found: Vec<(u64, Position)>,
}

impl LeaderboardStore {
    /// How many entries of all shards stand ahead of positions, and ahead of all rows that equal them, where that is asked for.
    pub(super) async fn count_ahead(
        &self,
        whole: &Board,
        rankings: impl Fn(&Board) -> Vec<RankingKeys>,
        part: &str,
        sub_width: Option<usize>,
        positions: &[(usize, Score, &[u8])],
    ) -> Result<Vec<(u64, u64)>> {
        let sub_width = sub_width.map_or(String::new(), |width| width.to_string());
        let calls = whole.shards().flat_map(|shard| {
            let rankings = Arc::new(rankings(shard));
            let sub_width = &sub_width;
            positions.chunks(POSITIONS_A_CALL).enumerate().map(move |(chunk, positions)| {
                let rankings = Arc::clone(&rankings);
                async move {
                    let keys: Vec<&str> = rankings.iter().flat_map(RankingKeys::all).collect();
                    let call = SHARD_AHEAD.keys(&keys).arg(part).arg(sub_width);
                    let call = positions.iter().fold(call, |call, (number, ranked, bytes)| {
                        call.number(*number as u64).arg(ranked.to_redis()).arg(bytes)
                    });
                    let mut reply = Reply::of(call.run(&self.db).await?)?;
                    let counts: Result<Vec<(u64, u64)>> =
                        positions.iter().map(|_| Ok((reply.count()?, reply.count()?))).collect();
                    counts.map(|counts| (chunk * POSITIONS_A_CALL, counts))
                }
            })
        });
        let mut sums = vec![(0, 0); positions.len()];
        for (first, counts) in try_join_all(calls).await? {
            for (sum, (ahead, ahead_of_equals)) in sums[first..].iter_mut().zip(counts) {
                sum.0 += ahead;
                sum.1 += ahead_of_equals;
            }
        }
        Ok(sums)
    }

    /// The same ranking of a shard. The names of an open one's keys are at hand.
    pub(super) fn chosen_of(&self, shard: &Board, chosen: &Chosen) -> Chosen {
        let RankingKeys { window, period, span, .. } = &*chosen.ranking;
        let section = self.section(shard);
        let is_same = |open: &&Arc<RankingKeys>| open.window == *window && open.period == *period && open.span == *span;
        let open = section.rankings.iter().find(is_same).cloned();
        let ranking = open.unwrap_or_else(|| Arc::new(shard.sections.ranking(window, period, *span)));
        Chosen { ranking, only_while: chosen.only_while, part: chosen.part.clone() }
    }

    /// Reads a run of entries of all shards.
    pub(super) async fn page_of_shards(
        &self,
        board: &Board,
        chosen: &Chosen,
        shown: Ranking,
        span: &Span,
    ) -> Result<Versioned<Read<RawPage>>> {
        let shards = board.shards().count() as u64;
        match span {
            Span::Offset { offset, limit } => {
                let wanted = offset.saturating_add(limit.get().into());
                if wanted > NEAR {
                    return self.deep_page(board, chosen, shown, *offset, limit.get().into()).await;
                }
                self.run_from(board, chosen, shown, None, wanted, shards, *offset).await
            }
            Span::After { ranked, element, limit } => {
                let next = [&element[..], b"\0"].concat();
                let position = Some((*ranked, &next[..]));
                self.run_from(board, chosen, shown, position, limit.get().into(), shards, 0).await
            }
            Span::Member { member, radius } => {
                let shard = board.shard(board.shard_of(member));
                let own = self.chosen_of(shard, chosen);
                let looked_up = self.lookup_in_one(shard, &own, Ranking::Ordinal, std::slice::from_ref(member)).await?;
                let Versioned::Current(found) = looked_up else { return Ok(Versioned::Stale) };
                let Read::Answer(found) = found else { return Ok(Versioned::Current(Read::Absent)) };
                let Some(found) = found.into_iter().next().flatten() else {
                    return Ok(Versioned::Current(Read::Absent));
                };
                let around = Around {
                    position: Some((found.ranked, &found.element)),
                    before: (*radius).into(),
                    after: u64::from(*radius) + 1,
                };
                let Versioned::Current(slices) = self.slices(board, chosen, shown, &around).await? else {
                    return Ok(Versioned::Stale);
                };
                Ok(Versioned::Current(Read::Answer(put_together(board, shown, &slices, &around, 0))))
            }
            Span::Score { ranked, ahead_of_equals, radius } => {
                let bytes = if *ahead_of_equals { &[][..] } else { &PAST_ANY_ENTRY };
                let radius = radius.get().into();
                let around = Around { position: Some((*ranked, bytes)), before: radius, after: radius };
                // Behind its equals, rows that equal it are asked for without subscores.
                let Versioned::Current(slices) = self.slices(board, chosen, shown, &around).await? else {
                    return Ok(Versioned::Stale);
                };
                let mut page = put_together(board, shown, &slices, &around, 0);
                page.asked_rank = match shown {
                    Ranking::Ordinal => page.asked + 1,
                    Ranking::Competition | Ranking::Dense => {
                        let position = [(1, *ranked, &[][..])];
                        let of_shard = |shard: &Board| vec![own_keys(&self.chosen_of(shard, chosen))];
                        let part = chosen.part.as_ref().map_or("", |part| part.as_str());
                        let counted = self.count_ahead(board, of_shard, part, None, &position).await?;
                        counted.first().map_or(0, |(ahead, _)| ahead + 1)
                    }
                };
                Ok(Versioned::Current(Read::Answer(page)))
            }
        }
    }

    /// Reads `wanted` entries from a position on, without the first `skip`: a share of each shard, and again where chance has
    /// spread them so that this does not do.
    #[expect(clippy::too_many_arguments, reason = "they are one read's")]
    async fn run_from(
        &self,
        board: &Board,
        chosen: &Chosen,
        shown: Ranking,
        position: Option<(Score, &[u8])>,
        wanted: u64,
        shards: u64,
        skip: u64,
    ) -> Result<Versioned<Read<RawPage>>> {
        let mut after = share_of(wanted, shards);
        loop {
            let around = Around { position, before: 0, after };
            let Versioned::Current(slices) = self.slices(board, chosen, shown, &around).await? else {
                return Ok(Versioned::Stale);
            };
            let is_all = slices.iter().all(|slice| !slice.goes_on());
            if is_all || after >= wanted || certain(&slices) >= wanted {
                let around = Around { after: wanted, ..around };
                return Ok(Versioned::Current(Read::Answer(put_together(board, shown, &slices, &around, skip))));
            }
            after = wanted;
        }
    }

    /// Reads a page far from the beginning: the place is told by splitters, then each shard reads from there.
    async fn deep_page(
        &self,
        board: &Board,
        chosen: &Chosen,
        shown: Ranking,
        offset: u64,
        limit: u64,
    ) -> Result<Versioned<Read<RawPage>>> {
        let shards = board.shards().count() as u64;
        let center = (offset / shards).to_string();
        for deviations in DEVIATIONS {
            let split = self.split(board, chosen, std::slice::from_ref(&center), deviations).await?;
            let Versioned::Current(split) = split else { return Ok(Versioned::Stale) };
            let splitters: Vec<&Splitters> = split.iter().filter_map(|places| places.first()).collect();
            let total: u64 = splitters.iter().map(|shard| shard.total).sum();
            if offset >= total {
                let elements = Vec::new();
                return Ok(Versioned::Current(Read::Answer(RawPage {
                    total,
                    from: offset,
                    asked: offset,
                    asked_rank: 0,
                    first_rank: 0,
                    elements,
                    metadata: Vec::new(),
                    parts: Vec::new(),
                })));
            }
            let Some((position, after)) = bracket(&splitters, offset, offset + limit) else { continue };
            let is_last = deviations == DEVIATIONS[2];
            if after > if is_last { MOST_AT_LAST } else { MOST_OF_A_SHARD } {
                continue;
            }
            let at = position.as_ref().map(|at| (at.ranked, &at.element[..]));
            let around = Around { position: at, before: 0, after };
            let Versioned::Current(slices) = self.slices(board, chosen, shown, &around).await? else {
                return Ok(Versioned::Stale);
            };
            let ahead: u64 = slices.iter().map(|slice| slice.ahead).sum();
            let total: u64 = slices.iter().map(|slice| slice.total).sum();
            // Entries may have moved between the rounds.
            let Some(skip) = offset.checked_sub(ahead) else { continue };
            let wanted = limit.min(total.saturating_sub(offset));
            if certain(&slices) < skip + wanted {
                continue;
            }
            let around = Around { after: skip + limit, ..around };
            return Ok(Versioned::Current(Read::Answer(put_together(board, shown, &slices, &around, skip))));
        }
        Err(Error::StoreUnavailable(format!("leaderboard `{}` moves too fast at the moment", board.name)))
    }

    /// Entries around a position of every shard.
    pub(super) async fn slices(
        &self,
        board: &Board,
        chosen: &Chosen,
        shown: Ranking,
        around: &Around<'_>,
    ) -> Result<Versioned<Vec<Slice>>> {
        let reads = board.shards().map(|shard| self.slice(shard, self.chosen_of(shard, chosen), shown, around));
        let mut slices = Vec::new();
        for read in try_join_all(reads).await? {
            match read {
                Versioned::Stale => return Ok(Versioned::Stale),
                Versioned::Current(slice) => slices.push(slice),
            }
        }
        Ok(Versioned::Current(slices))
    }

    async fn slice(
        &self,
        shard: &Board,
        chosen: Chosen,
        shown: Ranking,
        around: &Around<'_>,
    ) -> Result<Versioned<Slice>> {
        let (ranked, bytes) = around.position.map_or((String::new(), &[][..]), |(ranked, bytes)| {
            (String::from_utf8_lossy(ranked.to_redis().as_ref()).into_owned(), bytes)
        });
        let call = SHARD_PAGE
            .keys(&keys_with(shard, &chosen.ranking))
            .arg(self.asked(shard, chosen.only_while))
            .number(shard.width as u64)
            .number(shard.sub_width as u64)
            .arg(chosen.part.as_ref().map_or("", |part| part.as_str()))
            .arg(if shown == Ranking::Ordinal { "0" } else { "1" })
            .arg(ranked)
            .arg(bytes)
            .number(around.before)
            .number(around.after);
        let Versioned::Current(mut reply) = self.current(call.run(&self.db).await?)? else {
            return Ok(Versioned::Stale);
        };
        let (total, ahead, from) = (reply.count()?, reply.count()?, reply.count()?);
        let (ahead_of_equals, ahead_of_first) = (reply.count()?, reply.count()?);
        let mut run = reply.list()?;
        let mut entries = Vec::new();
        while !run.is_empty() {
            let element = run.bytes()?;
            let ranked = if chosen.part.is_some() { run.sortable_score()? } else { run.score()? };
            entries.push(Entry { element, ranked, metadata: None, parts: None });
        }
        let (metadata, parts) = (reply.list()?.texts()?, reply.list()?.texts()?);
        for (entry, text) in entries.iter_mut().zip(metadata) {
            entry.metadata = Some(text);
        }
        for (entry, text) in entries.iter_mut().zip(parts) {
            entry.parts = Some(text);
        }
        let asked = around.after;
        Ok(Versioned::Current(Slice { total, ahead, from, ahead_of_equals, ahead_of_first, entries, asked }))
    }

    /// Splitters of every shard around places.
    pub(super) async fn split(
        &self,
        board: &Board,
        chosen: &Chosen,
        places: &[String],
        deviations: f64,
    ) -> Result<Versioned<Vec<Vec<Splitters>>>> {
        let reads = board.shards().map(async |shard| {
            let chosen = self.chosen_of(shard, chosen);
            let call = SHARD_SPLIT
                .keys(&keys_with(shard, &chosen.ranking))
                .arg(self.asked(shard, chosen.only_while))
                .arg(chosen.part.as_ref().map_or("", |part| part.as_str()))
                .number(SPLITTERS)
                .arg(deviations.to_string());
            let call = places.iter().fold(call, ScriptCall::arg);
            let Versioned::Current(mut reply) = self.current(call.run(&self.db).await?)? else {
                return Ok::<_, Error>(Versioned::Stale);
            };
            let total = reply.count()?;
            let mut all = Vec::new();
            while !reply.is_empty() {
                let mut list = reply.list()?;
                let mut found = Vec::new();
                while !list.is_empty() {
                    let (place, element) = (list.count()?, list.bytes()?);
                    let ranked = if chosen.part.is_some() { list.sortable_score()? } else { list.score()? };
                    found.push((place, Position { ranked, element }));
                }
                all.push(Splitters { total, found });
            }
            Ok(Versioned::Current(all))
        });
        let mut split = Vec::new();
        for read in try_join_all(reads).await? {
            let read: Versioned<Vec<Splitters>> = read;
            match read {
                Versioned::Stale => return Ok(Versioned::Stale),
                Versioned::Current(splitters) => split.push(splitters),
            }
        }
        Ok(Versioned::Current(split))
    }

    /// Reads the entries of members of all shards.
    pub(super) async fn lookup_in_shards(
        &self,
        board: &Board,
        chosen: &Chosen,
        shown: Ranking,
        members: &[Member],
    ) -> Result<Versioned<Read<Vec<Option<Found>>>>> {
        let mut by_shard: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, member) in members.iter().enumerate() {
            by_shard.entry(board.shard_of(member)).or_default().push(place);
        }
        let reads = by_shard.into_iter().map(async |(shard, places)| {
            let shard = board.shard(shard);
            let asked: Vec<Member> = places.iter().map(|place| members[*place].clone()).collect();
            let read = self.lookup_in_one(shard, &self.chosen_of(shard, chosen), Ranking::Ordinal, &asked).await?;
            Ok::<_, Error>((places, read))
        });
        let mut found: Vec<Option<Found>> = members.iter().map(|_| None).collect();
        for (places, read) in try_join_all(reads).await? {
            let Versioned::Current(Read::Answer(rows)) = read else { return Ok(Versioned::Stale) };
            for (place, row) in places.into_iter().zip(rows) {
                found[place] = row;
            }
        }
        let positions: Vec<(usize, Score, &[u8])> =
            found.iter().flatten().map(|row| (1, row.ranked, &row.element[..])).collect();
        let of_shard = |shard: &Board| vec![own_keys(&self.chosen_of(shard, chosen))];
        let part = chosen.part.as_ref().map_or("", |part| part.as_str());
        let sub_width = (shown != Ranking::Ordinal).then_some(board.sub_width);
        let counted = self.count_ahead(board, of_shard, part, sub_width, &positions).await?;
        for (row, (ahead, ahead_of_equals)) in found.iter_mut().flatten().zip(counted) {
            row.place = ahead;
            row.rank = ahead_of_equals + 1;
        }
        Ok(Versioned::Current(Read::Answer(found)))
    }

    /// The ranked score at a place, where the splitters tell enough of it.
    pub(super) async fn score_at(
        &self,
        board: &Board,
        chosen: &Chosen,
        splitters: &[&Splitters],
        place: u64,
    ) -> Result<Option<Score>> {
        let Some((position, after)) = bracket(splitters, place, place + 1) else { return Ok(None) };
        if after > MOST_AT_LAST {
            return Ok(None);
        }
        let at = position.as_ref().map(|at| (at.ranked, &at.element[..]));
        let around = Around { position: at, before: 0, after };
        let Versioned::Current(slices) = self.slices(board, chosen, Ranking::Ordinal, &around).await? else {
            return Ok(None);
        };
        let ahead: u64 = slices.iter().map(|slice| slice.ahead).sum();
        let Some(skip) = place.checked_sub(ahead).filter(|skip| certain(&slices) > *skip) else { return Ok(None) };
        let mut entries: Vec<&Entry> = slices.iter().flat_map(|slice| &slice.entries).collect();
        entries.sort_by(|a, b| a.compare(b));
        Ok(usize::try_from(skip).ok().and_then(|skip| entries.get(skip)).map(|entry| entry.ranked))
    }
}

/// The keys of a chosen ranking, as a value of their own.
pub(super) fn own_keys(chosen: &Chosen) -> RankingKeys {
    RankingKeys::clone(&chosen.ranking)
}

/// How many entries from the position on are certain: behind the last one of a shard that has more, another may come.
fn certain(slices: &[Slice]) -> u64 {
    let ends = slices.iter().filter(|slice| slice.goes_on()).filter_map(|slice| slice.entries.last());
    let end = ends.min_by(|a, b| a.compare(b));
    let is_certain = |entry: &&Entry| end.is_none_or(|end| entry.compare(end) != Order::Greater);
    // One that has more and gave none tells nothing.
    if slices.iter().any(|slice| slice.goes_on() && slice.entries.is_empty() && slice.asked > 0) {
        return 0;
    }
    slices.iter().flat_map(|slice| &slice.entries).filter(is_certain).count() as u64
}

/// From which position on each shard must be read for the places from `from` up to `to`, and how many entries of each at most;
/// none where the splitters do not tell.
fn bracket(shards: &[&Splitters], from: u64, to: u64) -> Option<(Option<Position>, u64)> {
    let mut candidates: Vec<&Position> = shards.iter().flat_map(|shard| shard.found.iter().map(|(_, at)| at)).collect();
    candidates.sort_by(|a, b| compare((a.ranked, &a.element), (b.ranked, &b.element)));
    // How many entries of a shard stand ahead of a position: at least, and at most.
    let bounds = |shard: &Splitters, at: &Position| -> (u64, u64) {
        let ahead = shard
            .found
            .partition_point(|(_, known)| compare((known.ranked, &known.element), (at.ranked, &at.element)).is_lt());
        let least = ahead.checked_sub(1).map_or(0, |last| shard.found[last].0 + 1);
        let most = shard.found.get(ahead).map_or(shard.total, |(place, _)| *place);
        (least, most)
    };
    let most_of = |at: &Position| shards.iter().map(|shard| bounds(shard, at).1).sum::<u64>();
    let least_of = |at: &Position| shards.iter().map(|shard| bounds(shard, at).0).sum::<u64>();
    let below = candidates.partition_point(|at| most_of(at) <= from);
    let start = below.checked_sub(1).map(|place| candidates[place].clone());
    let end = candidates.iter().find(|at| least_of(at) >= to);
    let reach = |shard: &&Splitters| {
        let first = start.as_ref().map_or(0, |at| bounds(shard, at).0);
        end.map_or(shard.total, |at| bounds(shard, at).1).saturating_sub(first) + 1
    };
    let after = shards.iter().map(reach).max()?;
    Some((start, after))
}

/// The page around a position, without the first `skip` entries from it on.
fn put_together(board: &Board, shown: Ranking, slices: &[Slice], around: &Around<'_>, skip: u64) -> RawPage {
    let total = slices.iter().map(|slice| slice.total).sum();
    let ahead: u64 = slices.iter().map(|slice| slice.ahead).sum();
    let before: u64 = slices.iter().map(|slice| slice.ahead - slice.from.min(slice.ahead)).sum();
    let mut entries: Vec<&Entry> = slices.iter().flat_map(|slice| &slice.entries).collect();
    entries.sort_by(|a, b| a.compare(b));
    // What is nearest to the position, on each side.
    let shown_before = before.min(around.before);
    let first = before - shown_before + skip;
    let from = ahead - shown_before + skip;
    let count = (shown_before + around.after).saturating_sub(skip);
    let entries: Vec<&Entry> = entries.into_iter().skip(first as usize).take(count as usize).collect();
    let first_rank = match (shown, entries.first()) {
        (Ranking::Ordinal, _) | (_, None) => from + 1,
        (Ranking::Competition | Ranking::Dense, Some(first)) => {
            let key = |entry: &Entry| (entry.ranked, entry.element.get(..board.sub_width).unwrap_or(&[]).to_vec());
            let at = around.position.map(|(ranked, bytes)| (ranked, bytes.get(..board.sub_width).unwrap_or(bytes)));
            slices.iter().map(|slice| better_in(slice, &key(first), &key, at)).sum::<u64>() + 1
        }
    };
    let texts = |text: fn(&Entry) -> &Option<String>| -> Vec<String> {
        if entries.iter().all(|entry| text(entry).is_none()) {
            return Vec::new();
        }
        entries.iter().map(|entry| text(entry).clone().unwrap_or_default()).collect()
    };
    RawPage {
        total,
        from,
        asked: ahead + skip,
        asked_rank: 0,
        first_rank,
        metadata: texts(|entry| &entry.metadata),
        parts: texts(|entry| &entry.parts),
        elements: entries.iter().map(|entry| (entry.element.clone(), entry.ranked)).collect(),
    }
}

/// How many entries of a shard are better than a row (score and subscores), whatever else decides between equals.
fn better_in(
    slice: &Slice,
    row: &(Score, Vec<u8>),
    key: &impl Fn(&Entry) -> (Score, Vec<u8>),
    position: Option<(Score, &[u8])>,
) -> u64 {
    let against = |other: (Score, &[u8])| compare(other, (row.0, &row.1));
    let of = |entry: &Entry| {
        let (ranked, sub_key) = key(entry);
        against((ranked, &sub_key))
    };
    let better = slice.entries.iter().take_while(|entry| of(entry).is_lt()).count() as u64;
    match slice.entries.first() {
        Some(first) if of(first).is_eq() => slice.ahead_of_first,
        Some(_) if better > 0 => slice.from + better,
        // What is ahead of its first entry is ahead of the position, too.
        Some(_) | None if position.is_some_and(|at| against(at).is_eq()) => slice.ahead_of_equals,
        Some(_) => slice.from,
        None => slice.ahead,
    }
}
