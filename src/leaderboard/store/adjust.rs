//! The scripts by which administrators change entries.

use std::sync::LazyLock;

use super::super::adjust::{Removed, ScoreRange};
use super::super::reply::{self, ShardSubmitted};
use super::{
    ARCHIVE, AUDIT, BANS, DECAY, DESCRIBE, ENTRY_WRITE, HIDDEN, LeaderboardStore, PERIOD, RANKING, SHADOW, STAMP,
    SUBMISSION, SUBSCORES, Submitted, TELL, directory_hash, section_lines, ties_name,
};
use crate::db::{Effect, Script, Versioned};
use crate::error::{Error, Result};
use crate::leaderboard::audit::AuditNote;
use crate::leaderboard::bans::Severity;
use crate::leaderboard::board::{AnswerLabel, Board};
use crate::leaderboard::decay::Decay;
use crate::leaderboard::submission::{Row, WindowStanding};
use crate::types::Score;

static ADJUST: LazyLock<Script> = LazyLock::new(|| {
    let body = include_str!("../lua/adjust.lua");
    let entries = [ENTRY_WRITE, DESCRIBE, STAMP, RANKING, PERIOD];
    let rest = [SUBSCORES, DECAY, SUBMISSION, HIDDEN, BANS, SHADOW, AUDIT, ARCHIVE, TELL, body];
    Script::new("adjust", Effect::Store, &[&entries[..], &rest].concat())
});
static REMOVE_BY_SCORE: LazyLock<Script> = LazyLock::new(|| {
    let body = include_str!("../lua/remove_by_score.lua");
    let parts = [ENTRY_WRITE, STAMP, RANKING, PERIOD, DECAY, AUDIT, ARCHIVE, TELL, body];
    Script::new("remove_by_score", Effect::Free, &parts)
});

impl LeaderboardStore {
    /// Sets a row in the open rankings, or in that of the window with this number.
    pub(in crate::leaderboard) async fn adjust(
        &self,
        whole: &Board,
        row: &Row,
        window: Option<usize>,
        note: &AuditNote,
    ) -> Result<Versioned<Vec<WindowStanding>>> {
        let board = whole.shard(whole.shard_of(&row.member));
        let section = self.section(board);
        let lists: Vec<String> = board.resetting().map(|window| board.periods_key(&window.name)).collect();
        let (bans_key, audit_key, described) = (board.bans_key(), board.audit_key(), board.described_key());
        let mut keys = vec![board.key.as_str(), &bans_key, &audit_key, &described];
        let before = keys.len();
        keys.extend(section.rankings.iter().flat_map(|ranking| ranking.all()));
        keys.extend(lists.iter().map(String::as_str));
        let of_rankings = if board.sections.change() { keys.len() - before } else { keys.len() - before - lists.len() };
        let (outbox_key, outbox) = self.outbox_of(board);
        keys.extend(outbox_key.as_deref());
        let (bans_version, bans) = self.bans.of(std::iter::once(&row.member));
        let everywhere = bans.into_iter().next().flatten();
        let call = ADJUST
            .keys(&keys)
            .arg(board.version.text())
            .arg(self.clock.to_argument())
            .arg(ties_name(board.settings.ties))
            .arg(&board.directions)
            .number(board.settings.max_entries.unwrap_or(0))
            .number(of_rankings as u64)
            .arg(section_lines(board, &[std::sync::Arc::clone(&section)], &[]))
            .number(bans_version)
            // The row is set, not submitted: it is not refused.
            .arg(everywhere.map_or("", |_| Severity::Shadow.letter()))
            .number(window.map_or(0, |number| number as u64 + 1))
            .arg(row.member.as_str())
            .number(directory_hash(&row.member).into())
            .arg(row.ranked.to_redis())
            .arg(&row.sub_key)
            .arg(row.metadata.as_ref().map_or("", |metadata| metadata.as_str()))
            .arg(note.text()?)
            .arg(board.decay().map_or(String::new(), Decay::to_argument))
            .arg(board.dimensions.as_argument())
            .number(if whole.is_spread() { 3 } else { 2 })
            .arg(if whole.is_spread() { self.next_us(1).to_string() } else { "0".to_owned() })
            .arg(outbox);
        let Versioned::Current((verdict, mut reply)) = self.answered(board, call.run(&self.db).await?).await? else {
            return Ok(Versioned::Stale);
        };
        if verdict == "crowded" {
            return Err(board.dimensions.crowded(reply.count()?));
        }
        self.has_sent(board);
        let AnswerLabel { order, windows } = section.label.clone();
        let windows = match window {
            Some(number) => windows.into_iter().skip(number).take(1).collect(),
            None => windows,
        };
        let label = AnswerLabel { order, windows };
        let submitted = if whole.is_spread() {
            let counted = ShardSubmitted::Counted(reply::positions(&label, reply, false)?);
            self.with_ranks(whole, vec![counted]).await?.pop()
        } else {
            Some(reply::windows(&label, reply, false)?)
        };
        match submitted {
            Some(Submitted::Counted { windows, .. }) => Ok(Versioned::Current(windows)),
            _ => Err(Error::Internal(format!("a row of `{}` was not set", board.name))),
        }
    }

    /// Removes the best of the members of all shards within a range.
    pub(in crate::leaderboard) async fn remove_by_score_of_all(
        &self,
        board: &Board,
        window: usize,
        range: &ScoreRange,
        most: usize,
        note: &AuditNote,
    ) -> Result<Versioned<Removed>> {
        if !board.is_spread() {
            return self.remove_by_score(board, window, range, most, note).await;
        }
        let Versioned::Current(counts) = self.count_best(board, window, range, most).await? else {
            return Ok(Versioned::Stale);
        };
        let mut all = Removed::default();
        for (shard, count) in board.shards().zip(counts) {
            let Versioned::Current(removed) = self.remove_by_score(shard, window, range, count, note).await? else {
                // What is gone is told; what is left comes in the next step.
                all.remaining += 1;
                let is_first = all.members.is_empty();
                return Ok(if is_first { Versioned::Stale } else { Versioned::Current(all) });
            };
            all.members.extend(removed.members);
            all.remaining += removed.remaining;
        }
        let ranked = |score: Score| board.settings.turned(score).value();
        all.members.sort_by(|a, b| ranked(a.1).total_cmp(&ranked(b.1)).then_with(|| a.0.cmp(&b.0)));
        Ok(Versioned::Current(all))
    }

    /// Removes up to `most` of the members whose scores in the window with this number are within a range.
    pub(in crate::leaderboard) async fn remove_by_score(
        &self,
        board: &Board,
        window: usize,
        range: &ScoreRange,
        most: usize,
        note: &AuditNote,
    ) -> Result<Versioned<Removed>> {
        let section = self.section(board);
        let only_while = board.sections.change().then(|| section.bounds());
        let audit_key = board.audit_key();
        let mut keys = vec![board.key.as_str(), &audit_key];
        let searched = section.rankings.iter().skip(window).take(1);
        let others = section.rankings.iter().enumerate().filter(|(number, _)| *number != window);
        keys.extend(searched.chain(others.map(|(_, ranking)| ranking)).flat_map(|ranking| ranking.all()));
        let (outbox_key, outbox) = self.outbox_of(board);
        keys.extend(outbox_key.as_deref());
        let (low, high) = range.ranked(board);
        let call = REMOVE_BY_SCORE
            .keys(&keys)
            .arg(self.asked(board, only_while))
            .number(board.width as u64)
            .number(board.sub_width as u64)
            .arg(low)
            .arg(high)
            .number(most as u64)
            .arg(self.clock.to_argument())
            .arg(note.text()?)
            .arg(board.decay().map_or(String::new(), Decay::to_argument))
            .arg(outbox);
        match self.current(call.run(&self.db).await?)? {
            Versioned::Stale => Ok(Versioned::Stale),
            Versioned::Current(reply) => {
                self.has_sent(board);
                Self::removed(board, reply)
            }
        }
    }
}
