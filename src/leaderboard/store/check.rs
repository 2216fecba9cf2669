//! What a check looks at.

use std::sync::LazyLock;

use redis::Value;

use super::super::board::{Board, RankingKeys};
use super::super::reply::Reply;
use super::super::section::TAG;
use super::super::submission::OPEN_PERIOD;
use super::{ENTRY_WRITE, HIDDEN, LeaderboardStore, RANKING, Versioned, keys_with};
use crate::db::{Effect, Script, ScriptCall, names_stored};
use crate::error::Result;
use crate::types::{LeaderboardName, Mend};

macro_rules! checks {
    ($($static:ident $name:literal),* $(,)?) => { $(
        static $static: LazyLock<Script> = LazyLock::new(|| {
            let body = concat!(include_str!("../lua/_check.lua"), include_str!(concat!("../lua/", $name, ".lua")));
            Script::new($name, Effect::Free, &[ENTRY_WRITE, RANKING, HIDDEN, body])
        });
    )* };
}
checks!(
    CHECK_EMPTY "check_empty", CHECK_DIRECTORY "check_directory", CHECK_ENTRIES "check_entries", CHECK_SEGMENTS "check_segments",
    CHECK_DISTINCT "check_distinct", CHECK_BELONGINGS "check_belongings", CHECK_BANS "check_bans",
);

/// A part of a ranking that is gone through by place.
#[derive(Debug, Clone, Copy)]
pub(in crate::leaderboard) enum Walked {
    Entries,
    Segments,
    Distinct,
}

/// What a ranking keeps of members.
#[derive(Debug, Clone, Copy)]
pub(in crate::leaderboard) enum Belonging {
    Metadata,
    Values,
    Hidden,
}

/// What a step found.
pub(in crate::leaderboard) struct Told {
    /// How many of those that it looked at are still there.
    pub(in crate::leaderboard) stay: u64,
    /// What each fault is about, what is wrong, and what was done.
    pub(in crate::leaderboard) faults: Vec<(String, String, String)>,
}

impl LeaderboardStore {
    /// The names of the leaderboards that are stored, listed or not.
    pub(in crate::leaderboard) async fn names_stored(&self) -> Result<Vec<LeaderboardName>> {
        names_stored(&self.db, |name| self.keyspace.tagged(TAG, name, "board")).await
    }

    /// Looks whether a ranking without entries has nothing of entries.
    pub(in crate::leaderboard) async fn check_empty(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        mend: Mend,
    ) -> Result<Versioned<Told>> {
        self.told(begin(&CHECK_EMPTY, board, &keys_with(board, ranking), mend)).await
    }

    /// Looks at `most` of a part from a place on.
    pub(in crate::leaderboard) async fn check_walked(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        walked: Walked,
        (from, most): (u64, u64),
        mend: Mend,
    ) -> Result<Versioned<Told>> {
        let script = match walked {
            Walked::Entries => &CHECK_ENTRIES,
            Walked::Segments => &CHECK_SEGMENTS,
            Walked::Distinct => &CHECK_DISTINCT,
        };
        self.told(begin(script, board, &keys_with(board, ranking), mend).number(from).number(most)).await
    }

    /// Looks at buckets of the directory: whether they are there, or what they hold as well.
    pub(in crate::leaderboard) async fn check_directory(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        (from, to): (u64, u64),
        looks_inside: bool,
        mend: Mend,
    ) -> Result<Versioned<Told>> {
        let call = begin(&CHECK_DIRECTORY, board, &keys_with(board, ranking), mend).number(from).number(to);
        self.told(call.arg(if looks_inside { "1" } else { "" })).await
    }

    /// Looks at what a ranking keeps of these members.
    pub(in crate::leaderboard) async fn check_belongings(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        belonging: Belonging,
        members: &[String],
        mend: Mend,
    ) -> Result<Versioned<Told>> {
        let bans = board.bans_key();
        let keys: Vec<&str> = keys_with(board, ranking).into_iter().chain([bans.as_str()]).collect();
        let name = match belonging {
            Belonging::Metadata => "meta",
            Belonging::Values => "values",
            Belonging::Hidden => "hidden",
        };
        // Those of a section have a span, or never reset; a period that has ended keeps what was hidden in it.
        let is_open = ranking.span.is_some() || ranking.period == OPEN_PERIOD;
        let call = begin(&CHECK_BELONGINGS, board, &keys, mend).arg(name).arg(if is_open { "1" } else { "" });
        self.told(members.iter().fold(call, ScriptCall::arg)).await
    }

    /// Looks at bans of the leaderboard itself.
    pub(in crate::leaderboard) async fn check_bans(
        &self,
        board: &Board,
        members: &[String],
        mend: Mend,
    ) -> Result<Versioned<Told>> {
        let keys = [board.key.clone(), board.bans_key(), board.banned_key()];
        self.told(members.iter().fold(begin(&CHECK_BANS, board, &keys, mend), ScriptCall::arg)).await
    }

    /// The members that have such a belonging, and what else stands there.
    pub(in crate::leaderboard) async fn belongings(
        &self,
        ranking: &RankingKeys,
        belonging: Belonging,
    ) -> Result<Vec<String>> {
        let key = match belonging {
            Belonging::Metadata => &ranking.meta,
            Belonging::Values => &ranking.values,
            Belonging::Hidden => &ranking.hidden,
        };
        self.scanned(|| redis::cmd("HSCAN"), key).await
    }

    /// The numbers of the buckets of the directory.
    pub(in crate::leaderboard) async fn buckets(&self, ranking: &RankingKeys) -> Result<Vec<u64>> {
        let fields = self.scanned(|| redis::cmd("HSCAN"), &ranking.ids).await?;
        Ok(fields.iter().filter_map(|field| field.parse().ok()).collect())
    }

    /// The members that are banned, and those that are listed so.
    pub(in crate::leaderboard) async fn all_banned(&self, board: &Board) -> Result<Vec<String>> {
        let mut members = self.scanned(|| redis::cmd("HSCAN"), &board.bans_key()).await?;
        members.extend(self.scanned(|| redis::cmd("ZSCAN"), &board.banned_key()).await?);
        members.sort();
        members.dedup();
        Ok(members)
    }

    /// How many entries a ranking has.
    pub(in crate::leaderboard) async fn size(&self, ranking: &RankingKeys) -> Result<u64> {
        let mut command = redis::cmd("ZCARD");
        command.arg(&ranking.rank);
        match self.db.run(&command, "count_entries", Effect::Read).await? {
            Value::Int(count) => Ok(u64::try_from(count).unwrap_or(0)),
            _ => Ok(0),
        }
    }

    async fn scanned(&self, scan: fn() -> redis::Cmd, key: &str) -> Result<Vec<String>> {
        let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
        loop {
            let mut command = scan();
            command.arg(key).arg(cursor).arg("COUNT").arg(200);
            let mut reply = Reply::of(self.db.run(&command, "scan_checked", Effect::Read).await?)?;
            cursor = reply.text()?;
            let mut list = reply.list()?;
            while !list.is_empty() {
                found.push(text(list.value()?));
                list.value()?;
            }
            if cursor == "0" {
                return Ok(found);
            }
        }
    }

    async fn told(&self, call: ScriptCall<'_>) -> Result<Versioned<Told>> {
        let Versioned::Current(mut reply) = self.current(call.run(&self.db).await?)? else {
            return Ok(Versioned::Stale);
        };
        let mut told = Told { stay: reply.count()?, faults: Vec::new() };
        while !reply.is_empty() {
            told.faults.push((text(reply.value()?), reply.text()?, reply.text()?));
        }
        Ok(Versioned::Current(told))
    }
}

fn begin<'a>(script: &'a Script, board: &Board, keys: &[impl AsRef<[u8]>], mend: Mend) -> ScriptCall<'a> {
    let call = script.keys(keys).arg(board.version.text()).number(board.width as u64).number(board.sub_width as u64);
    call.arg(match mend {
        Mend::Nothing => "",
        Mend::WhatCanBe => "1",
    })
}

/// What a person can read of it.
fn text(value: Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    }
}
