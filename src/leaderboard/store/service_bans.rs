//! Service-wide bans: what stands in Redis, and what this process knows of it.
//!
//! No script of a leaderboard reaches them, since they have a hash tag of their own. So each process keeps them in memory with
//! the version that they were read under, each call brings that version and what it says of its members, and each leaderboard
//! knows the latest version that it has been brought to: a call under an older one is refused, and made again with newer ones.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use redis::Value;

use super::bans::Changed;
use super::{ARCHIVE, AUDIT, LeaderboardStore, STAMP};
use crate::db::{Effect, Reply, Script};
use crate::error::{Error, Result};
use crate::leaderboard::audit::AuditNote;
use crate::leaderboard::bans::{MOST_BANS, Severity};
use crate::leaderboard::board::Board;
use crate::types::{Limit, Member};

/// The hash tag of their keys, which no leaderboard and no queue has.
const TAG_KIND: &str = "bans";
const TAG_NAME: &str = "service";
/// Changes read in one script call: under a millisecond.
const CHANGES_AT_ONCE: u64 = 1000;
/// How often more changes are asked for: more than the list of them holds.
const MOST_STEPS: usize = 24;
/// Fields of pending changes looked at in one run.
const PENDING_AT_ONCE: u64 = 16;

static SERVICE_BAN: LazyLock<Script> = LazyLock::new(|| {
    Script::new("service_ban", Effect::Store, &[STAMP, AUDIT, ARCHIVE, include_str!("../lua/service_ban.lua")])
});
static SERVICE_BANS_SINCE: LazyLock<Script> =
    LazyLock::new(|| Script::new("service_bans_since", Effect::Read, &[include_str!("../lua/service_bans_since.lua")]));
static SERVICE_BAN_DONE: LazyLock<Script> =
    LazyLock::new(|| Script::new("service_ban_done", Effect::Free, &[include_str!("../lua/service_ban_done.lua")]));
static SEE_BANS: LazyLock<Script> =
    LazyLock::new(|| Script::new("see_bans", Effect::Free, &[include_str!("../lua/see_bans.lua")]));

/// The service-wide bans as this process knows them. Clones share them.
#[derive(Clone, Default)]
pub(super) struct KnownBans(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    version: u64,
    bans: HashMap<String, Severity>,
}

/// A change of a service-wide ban.
struct Change {
    version: u64,
    member: String,
    ban: Option<Severity>,
}

/// How far changes have brought what is known.
#[derive(Debug, PartialEq, Eq)]
enum Reached {
    Latest,
    Some,
    /// Changes are missing that are listed no more.
    Gap,
}

impl KnownBans {
    /// The version, and how each of the members is banned.
    pub(super) fn of<'a>(&self, members: impl Iterator<Item = &'a Member>) -> (u64, Vec<Option<Severity>>) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let ban_of = |member: &Member| known.bans.get(member.as_str()).copied();
        (known.version, members.map(ban_of).collect())
    }

    fn version(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).version
    }

    /// Takes all bans, read since the version `before` was known; not where another task knows newer ones by now.
    fn replace(&self, before: u64, version: u64, bans: HashMap<String, Severity>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if version > known.version || known.version == before {
            *known = Known { version, bans };
        }
    }

    /// Takes changes, of which the latest has the version `latest`.
    fn apply(&self, latest: u64, changes: Vec<Change>) -> Reached {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for Change { version, member, ban } in changes {
            if version > known.version + 1 {
                return Reached::Gap;
            }
            // Another task may have been faster.
            if version == known.version + 1 {
                known.version = version;
                match ban {
                    Some(severity) => known.bans.insert(member, severity),
                    None => known.bans.remove(&member),
                };
            }
        }
        if known.version >= latest { Reached::Latest } else { Reached::Some }
    }
}

/// How the change of a service-wide ban ended.
pub(in crate::leaderboard) struct ServiceChange {
    /// What is to be brought to all leaderboards.
    pub(in crate::leaderboard) pending: String,
    pub(in crate::leaderboard) changed: Changed,
}

impl LeaderboardStore {
    pub(super) fn service_key(&self, kind: &str) -> String {
        self.keyspace.tagged(TAG_KIND, TAG_NAME, kind)
    }

    /// Sets or lifts a service-wide ban, with its severity and JSON.
    pub(in crate::leaderboard) async fn service_ban(
        &self,
        member: &Member,
        ban: Option<(Severity, &str)>,
        note: &AuditNote,
    ) -> Result<ServiceChange> {
        let own = ["state", "members", "names", "pending", "audit"].map(|kind| self.service_key(kind));
        let (outbox_key, outbox) = self.outbox_of_service();
        let keys: Vec<String> = own.into_iter().chain(outbox_key).collect();
        let call = SERVICE_BAN
            .keys(&keys)
            .arg(member.as_str())
            .arg(ban.map_or("", |(severity, _)| severity.letter()))
            .arg(ban.map_or("", |(_, json)| json))
            .arg(note.text()?)
            .arg(self.clock.to_argument())
            .number(MOST_BANS)
            .arg(outbox);
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        let verdict = reply.text()?;
        let pending = if verdict == "ok" { reply.text()? } else { String::new() };
        Ok(ServiceChange { pending, changed: Changed::read(&verdict, reply)? })
    }

    /// The keys of service-wide bans: their members, and their names in order.
    pub(in crate::leaderboard) fn service_ban_keys(&self) -> (String, String) {
        (self.service_key("members"), self.service_key("names"))
    }

    /// Changes that are still to be brought to leaderboards, by member.
    pub(in crate::leaderboard) async fn pending_bans(&self) -> Result<Vec<(Member, String)>> {
        let mut command = redis::cmd("HSCAN");
        command.arg(self.service_key("pending")).arg(0).arg("COUNT").arg(PENDING_AT_ONCE);
        let mut reply = Reply::of(self.db.run(&command, "pending_bans", Effect::Read).await?)?;
        reply.value()?;
        let mut fields = reply.list()?;
        let mut pending = Vec::new();
        while !fields.is_empty() {
            let (member, what) = (fields.text()?, fields.text()?);
            let member = Member::try_from(member);
            pending.push((member.map_err(|_| Error::Internal("a pending ban has a strange name".to_owned()))?, what));
        }
        Ok(pending)
    }

    /// Whether what is pending was left by somebody who has ended: so much older than now, in ms.
    pub(in crate::leaderboard) fn is_cut_off(&self, pending: &str, after_ms: i64) -> bool {
        let since = pending.split_once(' ').and_then(|(_, millis)| millis.parse::<i64>().ok()).unwrap_or(0);
        self.now_us() / 1000 - since >= after_ms
    }

    /// Notes that all leaderboards have met a change.
    pub(in crate::leaderboard) async fn service_ban_done(&self, member: &Member, pending: &str) -> Result<()> {
        let call = SERVICE_BAN_DONE.keys(&[self.service_key("pending")]).arg(member.as_str()).arg(pending);
        call.run(&self.db).await.map(drop)
    }

    /// Reads what has changed of service-wide bans since they were read, and tells a leaderboard that has seen none yet.
    pub(in crate::leaderboard) async fn meet_bans(&self, board: &Board) -> Result<()> {
        self.refresh_bans().await?;
        // The version was read since the leaderboard is there: who is banned later comes by.
        let call = SEE_BANS.keys(&[&board.key]).arg(board.version.text()).number(self.bans.version());
        call.run(&self.db).await.map(drop)
    }

    /// Reads what has changed of service-wide bans since they were read.
    pub(in crate::leaderboard) async fn refresh_bans(&self) -> Result<()> {
        for _ in 0..MOST_STEPS {
            let known = self.bans.version();
            let keys = [self.service_key("state"), self.service_key("audit")];
            let call = SERVICE_BANS_SINCE.keys(&keys).number(known).number(CHANGES_AT_ONCE);
            let mut reply = Reply::of(call.run(&self.db).await?)?;
            let latest = reply.count()?;
            let mut changes = Vec::new();
            while !reply.is_empty() {
                let (version, member, letter) = (reply.count()?, reply.text()?, reply.text()?);
                changes.push(Change { version, member, ban: Severity::of_letter(&letter) });
            }
            let none_listed = changes.is_empty() && latest > known;
            // A smaller number is that of another life of the data.
            let reached = if none_listed || latest < known { Reached::Gap } else { self.bans.apply(latest, changes) };
            match reached {
                Reached::Latest => return Ok(()),
                Reached::Some => {}
                Reached::Gap => self.load_bans(known).await?,
            }
        }
        Err(Error::StoreUnavailable("service-wide bans change too often at the moment".to_owned()))
    }

    /// Reads all service-wide bans in steps. What changes in between is read once more as a change since.
    async fn load_bans(&self, before: u64) -> Result<()> {
        let mut command = redis::cmd("HGET");
        command.arg(self.service_key("state")).arg("version");
        let version = match self.db.run(&command, "bans_version", Effect::Read).await? {
            Value::Nil => 0,
            value => Reply::of(Value::Array(vec![value]))?.count()?,
        };
        let (members, names) = self.service_ban_keys();
        let (mut after, mut known) = (None, HashMap::new());
        loop {
            let (bans, next) = self.list_bans(&names, &members, after.as_ref(), Limit::MOST).await?;
            known.extend(bans.into_iter().map(|ban| (String::from(ban.member), ban.severity)));
            if next.is_none() {
                self.bans.replace(before, version, known);
                return Ok(());
            }
            after = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(version: u64, member: &str, ban: Option<Severity>) -> Change {
        Change { version, member: member.to_owned(), ban }
    }

    fn of(known: &KnownBans, name: &str) -> Option<Severity> {
        let member = Member::try_from(name.to_owned()).expect("a member");
        known.of(std::iter::once(&member)).1[0]
    }

    #[test]
    fn changes_count_once_and_in_their_order() {
        let known = KnownBans::default();
        let changes = || vec![change(1, "ann", Some(Severity::Hard)), change(2, "bob", Some(Severity::Shadow))];
        assert_eq!(known.apply(3, changes()), Reached::Some);
        assert_eq!(known.apply(3, vec![change(3, "ann", None)]), Reached::Latest);
        assert_eq!(known.apply(3, changes()), Reached::Latest, "another task was slower");
        assert_eq!((of(&known, "ann"), of(&known, "bob"), known.version()), (None, Some(Severity::Shadow), 3));
    }

    #[test]
    fn a_gap_is_noticed() {
        let known = KnownBans::default();
        assert_eq!(known.apply(9, vec![change(7, "ann", Some(Severity::Hard))]), Reached::Gap);
        assert_eq!((of(&known, "ann"), known.version()), (None, 0));
    }

    #[test]
    fn what_was_read_late_does_not_take_the_place_of_what_is_newer() {
        let known = KnownBans::default();
        known.apply(2, vec![change(1, "ann", Some(Severity::Hard)), change(2, "bob", Some(Severity::Hard))]);
        known.replace(0, 1, HashMap::from([("ann".to_owned(), Severity::Hard)]));
        assert_eq!((of(&known, "bob"), known.version()), (Some(Severity::Hard), 2));
        known.replace(2, 1, HashMap::new());
        assert_eq!((of(&known, "bob"), known.version()), (None, 1), "another life of the data");
    }
}
