//! The periods of windows, and what becomes of those that nobody reads any more.

use redis::Value;

use super::super::board::{Board, free_key};
use super::super::reply::Reply;
use super::super::section::ranking_keys;
use super::super::settings::Window;
use super::super::submission::OPEN_PERIOD;
use super::{FREE, LeaderboardStore};
use crate::db::{Effect, ScriptCall};
use crate::error::Result;
use crate::types::{LeaderboardName, WindowName};

/// Rankings freed in one step: Redis drops the contents of large keys in a thread of its own.
const FREE_STEP: i64 = 16;

/// The keys of windows that go.
#[derive(Default)]
pub(super) struct Going {
    /// The lists of periods, and the stems of their keys.
    pub(super) lists: Vec<String>,
    pub(super) stems: Vec<String>,
    /// Keys of windows that do not reset.
    pub(super) others: Vec<String>,
}

impl LeaderboardStore {
    /// What is kept of some windows.
    pub(super) fn keys_of<'a>(&self, board: &Board, windows: impl Iterator<Item = &'a Window>) -> Going {
        let mut going = Going::default();
        for window in windows {
            let stem = board.sections.stem(&window.name);
            if window.reset.is_some() {
                going.lists.push(board.periods_key(&window.name));
                going.stems.push(stem);
            } else {
                going.others.extend(ranking_keys(&self.keyspace, &board.name, &format!("{stem}{OPEN_PERIOD}")));
            }
        }
        going
    }

    /// Whether a window has, or had, entries.
    pub(in crate::leaderboard) async fn holds(&self, board: &Board, window: &Window) -> Result<bool> {
        let Going { lists, others, .. } = self.keys_of(board, std::iter::once(window));
        let mut command = redis::cmd("EXISTS");
        command.arg(lists).arg(others);
        Ok(self.db.run(&command, "holds_entries", Effect::Read).await? != Value::Int(0))
    }

    /// The periods of a window that had entries, by name and end in ms, the newest first.
    pub(in crate::leaderboard) async fn periods(
        &self,
        board: &Board,
        window: &WindowName,
        until_ms: Option<i64>,
        limit: u64,
    ) -> Result<Vec<(String, i64)>> {
        let mut command = redis::cmd("ZREVRANGEBYSCORE");
        command.arg(board.periods_key(window)).arg(until_ms.map_or("+inf".to_owned(), |until| until.to_string()));
        command.arg("-inf").arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit);
        let mut reply = Reply::of(self.db.run(&command, "list_periods", Effect::Read).await?)?;
        let mut periods = Vec::new();
        while !reply.is_empty() {
            periods.push((reply.text()?, reply.integer()?));
        }
        Ok(periods)
    }

    /// Whether a period of a window had entries, and is kept.
    pub(in crate::leaderboard) async fn has_period(
        &self,
        board: &Board,
        window: &WindowName,
        period: &str,
    ) -> Result<bool> {
        let mut command = redis::cmd("ZSCORE");
        command.arg(board.periods_key(window)).arg(period);
        Ok(self.db.run(&command, "find_period", Effect::Read).await? != Value::Nil)
    }

    /// Frees some of the rankings of a leaderboard that wait for it; gives how many are still to go.
    pub(in crate::leaderboard) async fn free(&self, name: &LeaderboardName) -> Result<u64> {
        let free = free_key(&self.keyspace, name);
        let mut command = redis::cmd("LRANGE");
        command.arg(&free).arg(0).arg(FREE_STEP - 1);
        let mut waiting = Reply::of(self.db.run(&command, "list_freed", Effect::Read).await?)?;
        let (mut keys, mut entries) = (vec![free], Vec::new());
        while !waiting.is_empty() {
            let entry = waiting.text()?;
            keys.extend(ranking_keys(&self.keyspace, name, &entry));
            entries.push(entry);
        }
        if entries.is_empty() {
            return Ok(0);
        }
        let call = entries.iter().fold(FREE.keys(&keys), ScriptCall::arg);
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        reply.value()?;
        reply.count()
    }
}
