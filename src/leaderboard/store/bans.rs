//! Bans on one leaderboard.

use std::sync::LazyLock;

use redis::Value;

use super::{ARCHIVE, AUDIT, BANS, ENTRY_WRITE, HIDDEN, LeaderboardStore, PERIOD, RANKING, STAMP, TELL};
use crate::db::{Effect, Reply, Script, Versioned};
use crate::error::{Error, Result};
use crate::leaderboard::audit::AuditNote;
use crate::leaderboard::bans::{Ban, MOST_BANS, Severity};
use crate::leaderboard::board::Board;
use crate::types::{Limit, Member};

static BAN: LazyLock<Script> = LazyLock::new(|| {
    let body = include_str!("../lua/ban.lua");
    let parts = [ENTRY_WRITE, STAMP, RANKING, PERIOD, HIDDEN, BANS, AUDIT, ARCHIVE, TELL, body];
    Script::new("ban", Effect::Store, &parts)
});

/// What to change of a ban.
pub(in crate::leaderboard) enum BanChange {
    /// It is set, with this JSON.
    Set { severity: Severity, json: String },
    /// It is lifted.
    Lift,
    /// It stays; what service-wide bans do to the member is brought about.
    Meet,
}

/// How the change of a ban ended.
pub(in crate::leaderboard) enum Changed {
    /// The stored texts before and now, empty without a ban.
    Done { before: String, now: String },
    /// There are too many bans.
    Full,
    /// There was no ban.
    Absent,
}

impl Changed {
    /// Reads what stands behind `verdict` in the answer of a script.
    pub(super) fn read(verdict: &str, mut reply: Reply) -> Result<Self> {
        Ok(match verdict {
            "full" => Self::Full,
            "absent" => Self::Absent,
            _ => Self::Done { before: reply.text()?, now: reply.text()? },
        })
    }
}

impl LeaderboardStore {
    /// Changes a member's ban, and hides or shows its entries in all open rankings.
    pub(in crate::leaderboard) async fn ban(
        &self,
        board: &Board,
        member: &Member,
        change: &BanChange,
        note: Option<&AuditNote>,
    ) -> Result<Versioned<Changed>> {
        let section = self.section(board);
        let only_while = board.sections.change().then(|| section.bounds());
        let own = [board.key.clone(), board.bans_key(), board.banned_key(), board.audit_key()];
        let mut keys: Vec<&str> = own.iter().map(String::as_str).collect();
        keys.extend(section.rankings.iter().flat_map(|ranking| ranking.all()));
        let (outbox_key, outbox) = self.outbox_of(board);
        keys.extend(outbox_key.as_deref());
        let (bans_version, bans) = self.bans.of(std::iter::once(member));
        let everywhere = bans.into_iter().next().flatten();
        let (verb, letter, json) = match change {
            BanChange::Set { severity, json } => ("set", severity.letter(), json.as_str()),
            BanChange::Lift => ("lift", "", ""),
            BanChange::Meet => ("meet", "", ""),
        };
        let call = BAN
            .keys(&keys)
            .arg(self.asked(board, only_while))
            .number(bans_version)
            .arg(member.as_str())
            .arg(everywhere.map_or("", Severity::letter))
            .arg(verb)
            .arg(letter)
            .arg(json)
            .arg(note.map(AuditNote::text).transpose()?.unwrap_or_default())
            .arg(self.clock.to_argument())
            .number(board.width as u64)
            .number(board.sub_width as u64)
            .number(board.settings.max_entries.unwrap_or(0))
            .number(MOST_BANS)
            .arg(outbox);
        match self.answered(board, call.run(&self.db).await?).await? {
            Versioned::Stale => Ok(Versioned::Stale),
            Versioned::Current((verdict, reply)) => {
                self.has_sent(board);
                Changed::read(&verdict, reply).map(Versioned::Current)
            }
        }
    }

    /// The stored text of a member's ban, empty without one.
    pub(in crate::leaderboard) async fn get_ban(&self, bans_key: &str, member: &Member) -> Result<String> {
        let mut command = redis::cmd("HGET");
        command.arg(bans_key).arg(member.as_str());
        match self.db.run(&command, "get_ban", Effect::Read).await? {
            Value::Nil => Ok(String::new()),
            value => Reply::of(Value::Array(vec![value]))?.text(),
        }
    }

    /// Bans by member after `after`, and the member to go on after, if there are more. One that is lifted in between is left
    /// out.
    pub(in crate::leaderboard) async fn list_bans(
        &self,
        names_key: &str,
        bans_key: &str,
        after: Option<&Member>,
        limit: Limit,
    ) -> Result<(Vec<Ban>, Option<Member>)> {
        let mut command = redis::cmd("ZRANGEBYLEX");
        command.arg(names_key).arg(after.map_or("-".to_owned(), |member| format!("({member}"))).arg("+");
        command.arg("LIMIT").arg(0).arg(limit.get() + 1);
        let mut reply = Reply::of(self.db.run(&command, "list_banned", Effect::Read).await?)?;
        let mut members = Vec::new();
        while !reply.is_empty() {
            let member = Member::try_from(reply.text()?);
            members.push(member.map_err(|_| Error::Internal("the list of bans has a strange name".to_owned()))?);
        }
        let more = members.len() > limit.get() as usize;
        members.truncate(limit.get() as usize);
        let next = members.last().filter(|_| more).cloned();
        if members.is_empty() {
            return Ok((Vec::new(), None));
        }
        let mut command = redis::cmd("HMGET");
        command.arg(bans_key).arg(members.iter().map(Member::as_str).collect::<Vec<_>>());
        let mut reply = Reply::of(self.db.run(&command, "read_bans", Effect::Read).await?)?;
        let mut bans = Vec::with_capacity(members.len());
        for member in &members {
            match reply.value()? {
                Value::Nil => {}
                value => bans.extend(Ban::read(member, &Reply::of(Value::Array(vec![value]))?.text()?)?),
            }
        }
        Ok((bans, next))
    }

    /// The first word of a script's answer and the rest; what the answer says that this process is behind in is caught up with.
    pub(super) async fn answered(&self, board: &Board, value: Value) -> Result<Versioned<(String, Reply)>> {
        let mut reply = Reply::of(value)?;
        let verdict = reply.text()?;
        match verdict.as_str() {
            "stale" => Ok(Versioned::Stale),
            "period" => self.learn(reply).map(|()| Versioned::Stale),
            "bans" => self.meet_bans(board).await.map(|()| Versioned::Stale),
            _ => Ok(Versioned::Current((verdict, reply))),
        }
    }
}
