//! Submissions in Redis, and the first answers that are given again.

use std::sync::Arc;

use super::{
    Answered, CallRecord, LeaderboardStore, RECALL, RECORD_LIFETIME_MS, SUBMIT, Submitted, directory_hash, ties_name,
};
use crate::db::{ScriptCall, Versioned};
use crate::error::{Error, Result};
use crate::leaderboard::bans::Severity;
use crate::leaderboard::board::Board;
use crate::leaderboard::decay::Decay;
use crate::leaderboard::reply::{self, Reply};
use crate::leaderboard::section::Section;
use crate::leaderboard::settings::Operator;
use crate::leaderboard::submission::{Fingerprint, Row, WantedRanks};
use crate::leaderboard::{MOST_TRIES, changing};
use crate::types::IdempotencyKey;

impl LeaderboardStore {
    /// Submits rows of members of one shard, which is the only one of most leaderboards, in one script call; `record` makes the
    /// call count once. Ranks of a spread leaderboard are of all shards, and take a further round of calls; `times` are when its
    /// rows count as reached at the earliest, in µs.
    pub(in crate::leaderboard) async fn submit(
        &self,
        whole: &Board,
        shard: usize,
        rows: &[&Row],
        ranks: WantedRanks,
        record: Option<&CallRecord<'_>>,
        times: &[i64],
    ) -> Result<Versioned<Answered>> {
        let board = whole.shard(shard);
        let earliest = times.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        for _ in 0..MOST_TRIES {
            let now_us = if board.sections.change() { self.now_us() } else { 0 };
            let sections = board.sections.around(now_us);
            let call = self.submit_call(board, &sections, rows, ranks, record, &earliest);
            let mut reply = Reply::of(call.run(&self.db).await?)?;
            match reply.text()?.as_str() {
                "stale" => return Ok(Versioned::Stale),
                "mismatch" => return Err(Error::IdempotencyMismatch),
                "replayed" if whole.is_spread() => return self.first_call_of_shards(whole, reply).await,
                "replayed" => return Ok(Versioned::Current(reply::first_call(reply)?)),
                "period" => self.learn(reply)?,
                "bans" => self.meet_bans(board).await?,
                number => {
                    let (number, stamp) = number.split_once(' ').unwrap_or((number, ""));
                    self.see_stamp(stamp.parse().unwrap_or(0));
                    self.has_sent(board);
                    let section = number.parse().ok().and_then(|number: usize| sections.get(number));
                    let section = section.ok_or_else(|| Error::Internal(format!("a call counted in `{number}`")))?;
                    let results = if whole.is_spread() {
                        self.results_of_shards(whole, &section.label, reply).await?
                    } else {
                        reply::results(&section.label, reply)?
                    };
                    if results.len() != rows.len() {
                        return Err(Error::Internal("a call was answered with another number of results".to_owned()));
                    }
                    return Ok(Versioned::Current(Answered { results, note: None }));
                }
            }
        }
        Err(changing(&board.name))
    }

    fn submit_call(
        &self,
        board: &Board,
        sections: &[Arc<Section>],
        rows: &[&Row],
        ranks: WantedRanks,
        record: Option<&CallRecord<'_>>,
        earliest: &str,
    ) -> ScriptCall<'static> {
        let settings = &board.settings;
        let record_keys: Vec<String> = record.map_or(Vec::new(), |record| {
            vec![board.record_key(record.key, "batch"), board.record_key(record.key, &record.part)]
        });
        let lists: Vec<String> = board.resetting().map(|window| board.periods_key(&window.name)).collect();
        let own_keys: Vec<String> = rows.iter().flat_map(|row| self.row_keys(board, row)).collect();
        let bans_key = board.bans_key();
        let mut keys = vec![board.key.as_str(), &bans_key];
        keys.extend(record_keys.iter().map(String::as_str));
        let before = keys.len();
        keys.extend(sections.iter().flat_map(|section| &section.rankings).flat_map(|ranking| ranking.all()));
        keys.extend(lists.iter().map(String::as_str));
        let of_rankings = keys.len() - before;
        let described = (!board.dimensions.is_empty()).then(|| board.described_key());
        keys.extend(described.as_deref());
        keys.extend(own_keys.iter().map(String::as_str));
        let (outbox_key, outbox) = self.outbox_of(board);
        keys.extend(outbox_key.as_deref());
        let (bans_version, bans) = self.bans.of(rows.iter().map(|row| &row.member));
        let (limit, per_ms) = settings.submission_limit.map_or((0, 0), |limit| (limit.limit, limit.per_ms));
        let mut call = SUBMIT
            .keys(&keys)
            .arg(board.version.text())
            .arg(self.clock.to_argument())
            .arg(operator_name(settings.operator))
            .arg(ties_name(settings.ties))
            .arg(&board.directions)
            .number(settings.max_entries.unwrap_or(0))
            .number(limit.into())
            .number(per_ms * 1000)
            .number(of_rankings as u64)
            .arg(match (ranks, earliest.is_empty()) {
                (WantedRanks::None, true) => "0",
                (WantedRanks::New, true) => "1",
                (WantedRanks::NewAndPrevious, true) => "2",
                (WantedRanks::None, false) => "-1",
                (WantedRanks::New | WantedRanks::NewAndPrevious, false) => "3",
            })
            .number(RECORD_LIFETIME_MS)
            .arg(record.map_or(&[][..], |record| record.fingerprint.as_bytes()))
            .arg(section_lines(board, sections, rows))
            .arg(record.map_or("", |record| &record.note))
            .arg(board.decay().map_or(String::new(), Decay::to_argument))
            .number(bans_version)
            .arg(board.dimensions.as_argument())
            .arg(earliest)
            .arg(outbox);
        for (row, ban) in rows.iter().zip(bans) {
            call = call
                .arg(row.member.as_str())
                .number(directory_hash(&row.member).into())
                .arg(row.ranked.to_redis())
                .arg(&row.sub_key)
                .arg(row.metadata.as_ref().map_or("", |metadata| metadata.as_str()))
                .arg(row.key.as_ref().map_or(&[][..], |(_, _, fingerprint)| fingerprint.as_bytes()))
                .arg(board.dimensions.pack(&row.segments))
                .arg(ban.map_or("", Severity::letter));
        }
        call
    }

    /// The first answer to a call, if there was one.
    pub(in crate::leaderboard) async fn recall_call(
        &self,
        board: &Board,
        record: &CallRecord<'_>,
    ) -> Result<Option<Answered>> {
        let reply = self.recall(&board.record_key(record.key, &record.part), record.fingerprint).await?;
        reply.map(reply::first_call).transpose()
    }

    /// The same of a call to one shard of a spread leaderboard.
    pub(in crate::leaderboard) async fn recall_shard(
        &self,
        whole: &Board,
        shard: usize,
        record: &CallRecord<'_>,
    ) -> Result<Option<Answered>> {
        let key = whole.shard(shard).record_key(record.key, &record.part);
        let Some(reply) = self.recall(&key, record.fingerprint).await? else { return Ok(None) };
        match self.first_call_of_shards(whole, reply).await? {
            Versioned::Current(answered) => Ok(Some(answered)),
            Versioned::Stale => Ok(None),
        }
    }

    /// The first answer to a submission with a key, if there was one.
    pub(in crate::leaderboard) async fn recall_row(
        &self,
        board: &Board,
        key: &IdempotencyKey,
        part: &str,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Submitted>> {
        let Some(mut reply) = self.recall(&board.record_key(key, part), fingerprint).await? else { return Ok(None) };
        let label = reply::label(&reply.text()?)?;
        if board.settings.shards > 1 {
            // Its rules have changed since, and so may its ranks: what the score came to is told without.
            return reply::positions(&label, reply, true).map(|counted| Some(counted.without_ranks()));
        }
        reply::windows(&label, reply, true).map(Some)
    }

    async fn recall(&self, record_key: &str, fingerprint: &Fingerprint) -> Result<Option<Reply>> {
        let call = RECALL.keys(&[record_key]).arg(fingerprint.as_bytes());
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        match reply.text()?.as_str() {
            "none" => Ok(None),
            "mismatch" => Err(Error::IdempotencyMismatch),
            _ => Ok(Some(reply)),
        }
    }

    fn row_keys(&self, board: &Board, row: &Row) -> impl Iterator<Item = String> + use<> {
        let record = row.key.as_ref().map(|(key, part, _)| board.record_key(key, part));
        let log = board.settings.submission_limit.map(|_| board.limit_key(&row.member));
        record.into_iter().chain(log)
    }
}

/// The sections that a call may count in, as `submit.lua` takes them.
pub(super) fn section_lines(board: &Board, sections: &[Arc<Section>], rows: &[&Row]) -> String {
    if !board.sections.change() {
        return sections.first().map_or(String::new(), |section| section.label.text());
    }
    let line = |(number, section): (usize, &Arc<Section>)| {
        let refused: String = (1..)
            .zip(rows)
            .filter(|(_, row)| !section.label.matches(&row.if_period))
            .map(|(item, _): (u32, _)| format!("{item},"))
            .collect();
        section.line(number, &if refused.is_empty() { "-".to_owned() } else { format!(",{refused}") })
    };
    sections.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}
fn operator_name(operator: Operator) -> &'static str {
    match operator {
        Operator::Best => "best",
        Operator::Latest => "latest",
        Operator::Sum => "sum",
    }
}
