//! Reading rankings.

use std::sync::Arc;

use super::super::board::{Board, RankingKeys};
use super::super::decay::Decay;
use super::super::entry::{Distribution, QUANTILES, Ranking, Span};
use super::super::reply::{self, Reply};
use super::super::segments::Part;
use super::super::settings::Order;
use super::{DISTINCT, DISTRIBUTION, LOOKUP, LeaderboardStore, PAGES, Versioned, directory_hash, keys_with};
use crate::db::{Script, ScriptCall};
use crate::error::Result;
use crate::types::{Member, Score};

/// Rows that one step of building the distinct ZSET looks at: under a millisecond.
const DISTINCT_STEP: u64 = 500;

/// A run of raw entries.
#[derive(Clone)]
pub(in crate::leaderboard) struct RawPage {
    pub(in crate::leaderboard) total: u64,
    pub(in crate::leaderboard) from: u64,
    pub(in crate::leaderboard) asked: u64,
    pub(in crate::leaderboard) asked_rank: u64,
    pub(in crate::leaderboard) first_rank: u64,
    pub(in crate::leaderboard) elements: Vec<(Vec<u8>, Score)>,
    pub(in crate::leaderboard) metadata: Vec<String>,
    pub(in crate::leaderboard) parts: Vec<String>,
}

/// A member found by a look-up.
pub(in crate::leaderboard) struct Found {
    pub(in crate::leaderboard) place: u64,
    pub(in crate::leaderboard) rank: u64,
    pub(in crate::leaderboard) element: Vec<u8>,
    pub(in crate::leaderboard) ranked: Score,
    pub(in crate::leaderboard) metadata: String,
    pub(in crate::leaderboard) parts: String,
}

/// The answer of a read that may need the distinct ZSET.
pub(in crate::leaderboard) enum Read<T> {
    Absent,
    Undistinct,
    Answer(T),
}

/// A ranking to read.
#[derive(Clone)]
pub(in crate::leaderboard) struct Chosen {
    pub(in crate::leaderboard) ranking: Arc<RankingKeys>,
    /// In µs; where the open one is meant.
    pub(in crate::leaderboard) only_while: Option<(i64, i64)>,
    /// One value of a segment; the whole by default.
    pub(in crate::leaderboard) part: Option<Part>,
}

impl LeaderboardStore {
    /// Reads a run of entries.
    pub(in crate::leaderboard) async fn page(
        &self,
        board: &Board,
        chosen: &Chosen,
        shown: Ranking,
        span: &Span,
    ) -> Result<Versioned<Read<RawPage>>> {
        if board.is_spread() {
            return Box::pin(self.page_of_shards(board, chosen, shown, span)).await;
        }
        let Versioned::Current(read) = self.pages(board, chosen, shown, &[span]).await? else {
            return Ok(Versioned::Stale);
        };
        Ok(Versioned::Current(match read {
            Read::Absent => Read::Absent,
            Read::Undistinct => Read::Undistinct,
            Read::Answer(mut pages) => pages.pop().flatten().map_or(Read::Absent, Read::Answer),
        }))
    }

    /// Reads several runs of one ranking that is not spread, by one call; none where the member of a run is not there.
    pub(in crate::leaderboard) async fn pages(
        &self,
        board: &Board,
        chosen: &Chosen,
        shown: Ranking,
        spans: &[&Span],
    ) -> Result<Versioned<Read<Vec<Option<RawPage>>>>> {
        let call = self.read_call(&PAGES, board, chosen, shown);
        let call = spans.iter().fold(call, |call, span| match span {
            Span::Offset { offset, limit } => call.arg("offset").number(*offset).number(limit.get().into()).arg(""),
            Span::After { ranked, element, limit } => {
                call.arg("after").arg(ranked.to_redis()).arg(element).number(limit.get().into())
            }
            Span::Member { member, radius } => {
                call.arg("member").arg(member.as_str()).number((*radius).into()).number(directory_hash(member).into())
            }
            Span::Score { ranked, ahead_of_equals, radius } => call
                .arg("score")
                .arg(ranked.to_redis())
                .number(radius.get().into())
                .arg(if *ahead_of_equals { "1" } else { "0" }),
        });
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        match reply.text()?.as_str() {
            "stale" => return Ok(Versioned::Stale),
            "period" => return self.learn(reply).map(|()| Versioned::Stale),
            "undistinct" => return Ok(Versioned::Current(Read::Undistinct)),
            _ => {}
        }
        let total = reply.count()?;
        let mut pages = Vec::with_capacity(spans.len());
        while !reply.is_empty() {
            let run = reply.list()?;
            pages.push(if run.is_empty() { None } else { Some(raw_page(total, run, chosen.part.is_some())?) });
        }
        Ok(Versioned::Current(Read::Answer(pages)))
    }

    /// Reads the entries of members, `None` for each that has none.
    pub(in crate::leaderboard) async fn lookup(
        &self,
        board: &Board,
        chosen: &Chosen,
        shown: Ranking,
        members: &[Member],
    ) -> Result<Versioned<Read<Vec<Option<Found>>>>> {
        if board.is_spread() {
            return Box::pin(self.lookup_in_shards(board, chosen, shown, members)).await;
        }
        self.lookup_in_one(board, chosen, shown, members).await
    }

    /// The same in one shard.
    pub(super) async fn lookup_in_one(
        &self,
        board: &Board,
        chosen: &Chosen,
        shown: Ranking,
        members: &[Member],
    ) -> Result<Versioned<Read<Vec<Option<Found>>>>> {
        let mut call = self.read_call(&LOOKUP, board, chosen, shown);
        for member in members {
            call = call.arg(member.as_str());
        }
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        match reply.text()?.as_str() {
            "stale" => return Ok(Versioned::Stale),
            "period" => return self.learn(reply).map(|()| Versioned::Stale),
            "undistinct" => return Ok(Versioned::Current(Read::Undistinct)),
            _ => {}
        }
        reply.count()?;
        let mut found = Vec::with_capacity(members.len());
        while !reply.is_empty() {
            let mut row = reply.list()?;
            found.push(if row.is_empty() {
                None
            } else {
                Some(Found {
                    place: row.count()?,
                    rank: row.count()?,
                    element: row.bytes()?,
                    ranked: row.score()?,
                    metadata: row.text()?,
                    parts: row.text()?,
                })
            });
        }
        Ok(Versioned::Current(Read::Answer(found)))
    }

    /// Builds the ZSET of distinct rows of a ranking, in short steps.
    pub(in crate::leaderboard) async fn build_distinct(&self, board: &Board, ranking: &RankingKeys) -> Result<()> {
        let (mut score, mut sub_key) = (Vec::new(), Vec::new());
        loop {
            let call = DISTINCT
                .keys(&[&ranking.rank, &ranking.distinct])
                .arg(&score)
                .arg(&sub_key)
                .number(board.sub_width as u64)
                .number(DISTINCT_STEP);
            let mut reply = Reply::of(call.run(&self.db).await?)?;
            if reply.text()? == "done" {
                return Ok(());
            }
            (score, sub_key) = (reply.bytes()?, reply.bytes()?);
        }
    }

    /// Counts the entries by score; totals that decay, as they are at a time in µs.
    pub(in crate::leaderboard) async fn distribution(
        &self,
        board: &Board,
        chosen: &Chosen,
        buckets: u32,
        decay: Option<(Decay, i64)>,
    ) -> Result<Versioned<Distribution>> {
        if board.is_spread() {
            return Box::pin(self.distribution_of_shards(board, chosen, buckets)).await;
        }
        let mut call = DISTRIBUTION
            .keys(&keys_with(board, &chosen.ranking))
            .arg(self.asked(board, chosen.only_while))
            .number(buckets.into())
            .arg(if board.settings.order == Order::Descending { "1" } else { "0" })
            .arg(chosen.part.as_ref().map_or("", Part::as_str))
            .arg(decay.map_or(String::new(), |(decay, _)| decay.to_argument()))
            .arg(decay.map_or(String::new(), |(_, at_us)| at_us.to_string()));
        for (_, share) in QUANTILES {
            call = call.arg(share);
        }
        match self.current(call.run(&self.db).await?)? {
            Versioned::Stale => Ok(Versioned::Stale),
            Versioned::Current(reply) => Ok(Versioned::Current(reply::distribution(board, reply)?)),
        }
    }

    /// What the reads of entries begin with.
    fn read_call<'a>(&self, script: &'a Script, board: &Board, chosen: &Chosen, shown: Ranking) -> ScriptCall<'a> {
        script
            .keys(&keys_with(board, &chosen.ranking))
            .arg(self.asked(board, chosen.only_while))
            .number(board.width as u64)
            .number(board.sub_width as u64)
            .arg(shown.name())
            .arg(chosen.part.as_ref().map_or("", Part::as_str))
    }
}

fn raw_page(total: u64, mut run: Reply, of_part: bool) -> Result<RawPage> {
    let (from, asked, asked_rank, first_rank) = (run.count()?, run.count()?, run.count()?, run.count()?);
    let mut entries = run.list()?;
    let mut elements = Vec::new();
    while !entries.is_empty() {
        let element = entries.bytes()?;
        elements.push((element, if of_part { entries.sortable_score()? } else { entries.score()? }));
    }
    let (metadata, parts) = (run.list()?.texts()?, run.list()?.texts()?);
    Ok(RawPage { total, from, asked, asked_rank, first_rank, elements, metadata, parts })
}
