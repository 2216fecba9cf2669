//! The snapshots of a ranking: who stood where at a time.
//!
//! One HASH holds them all. `list` names them, the oldest first, as `MS=ENTRIES` with spaces in between; the fields
//! `MS:BUCKET` hold one each in buckets of about 64 records `0x01 member 0x00 rank`, a member's bucket decided by the same
//! hash as in the directory.

use std::sync::LazyLock;

use redis::Value;

use super::{LeaderboardStore, PERIOD, STAMP, Versioned, directory_hash};
use crate::db::{Effect, Script, ScriptCall};
use crate::error::{Error, Result};
use crate::leaderboard::board::{Board, RankingKeys};
use crate::leaderboard::calendar::Span;
use crate::leaderboard::reply::Reply;
use crate::types::Member;

/// Records of a bucket.
const BUCKET_RECORDS: u64 = 64;
/// Snapshots dropped in one script call: at most 632 fields, under a millisecond.
const DROP_STEP: usize = 8;

static SNAPSHOT: LazyLock<Script> =
    LazyLock::new(|| Script::new("snapshot", Effect::Read, &[STAMP, PERIOD, include_str!("../lua/snapshot.lua")]));
static KEEP_SNAPSHOT: LazyLock<Script> = LazyLock::new(|| {
    Script::new("keep_snapshot", Effect::Store, &[STAMP, PERIOD, include_str!("../lua/keep_snapshot.lua")])
});

/// A snapshot that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::leaderboard) struct Kept {
    pub(in crate::leaderboard) taken_ms: i64,
    pub(in crate::leaderboard) entries: u64,
}

/// What a snapshot is to hold.
pub(in crate::leaderboard) struct Due {
    pub(in crate::leaderboard) now_ms: i64,
    /// The list as it was read.
    list: String,
    /// How often a member had been erased by then.
    erased: String,
    /// The ZSET members of the best entries; none where no snapshot is due.
    pub(in crate::leaderboard) best: Vec<Vec<u8>>,
}

impl Kept {
    fn buckets(self) -> u64 {
        self.entries.div_ceil(BUCKET_RECORDS).max(1)
    }

    fn bucket_of(self, member: &Member) -> u64 {
        u64::from(directory_hash(member)) % self.buckets()
    }

    fn field(self, bucket: u64) -> String {
        format!("{}:{bucket}", self.taken_ms)
    }

    fn read(text: &str) -> Option<Self> {
        let (taken, entries) = text.split_once('=')?;
        Some(Self { taken_ms: taken.parse().ok()?, entries: entries.parse().ok()? })
    }
}

impl LeaderboardStore {
    /// The time in ms as far as it is known here.
    pub(in crate::leaderboard) fn estimate_ms(&self) -> i64 {
        self.now_us().div_euclid(1000)
    }

    /// Reads the best `top` entries of an open ranking if a snapshot of it is due.
    pub(in crate::leaderboard) async fn due_snapshot(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        top: u32,
    ) -> Result<Versioned<Due>> {
        let since_ms = ranking.span.map_or(board.created_at.as_millis(), |span| span.start_ms);
        let call = SNAPSHOT
            .keys(&[&board.key, &ranking.rank, &ranking.snapshots])
            .arg(self.asked(board, ranking.span.map(Span::bounds_us)))
            .arg(self.clock.to_argument())
            .arg(since_ms.to_string())
            .number(top.into());
        let Versioned::Current(mut reply) = self.current(call.run(&self.db).await?)? else {
            return Ok(Versioned::Stale);
        };
        let (now_ms, list, erased) = (reply.integer()?, reply.text()?, reply.text()?);
        let mut found = reply.list()?;
        let mut best = Vec::new();
        while !found.is_empty() {
            best.push(found.bytes()?);
        }
        Ok(Versioned::Current(Due { now_ms, list, erased, best }))
    }

    /// Keeps what was read as a snapshot, and the `keep` latest ones with it; tells whether it was kept: another
    /// instance may have been first.
    pub(in crate::leaderboard) async fn keep_snapshot(
        &self,
        board: &Board,
        ranking: &RankingKeys,
        due: &Due,
        keep: u32,
    ) -> Result<Versioned<bool>> {
        let mut kept = read_list(&due.list)?;
        let new = Kept { taken_ms: due.now_ms, entries: due.best.len() as u64 };
        kept.push(new);
        let mut coming = packed(board, new, &due.best)?;
        let mut before = due.list.clone();
        loop {
            let surplus = kept.len().saturating_sub(keep as usize);
            let going: Vec<Kept> = kept.drain(..surplus.min(DROP_STEP)).collect();
            let after = written_list(&kept);
            let gone: Vec<String> =
                going.iter().flat_map(|old| (0..old.buckets()).map(|bucket| old.field(bucket))).collect();
            let mut call = KEEP_SNAPSHOT
                .keys(&[&board.key, &ranking.snapshots])
                .arg(self.asked(board, ranking.span.map(Span::bounds_us)))
                .arg(&before)
                .arg(&after)
                .arg(&due.erased)
                .number(gone.len() as u64);
            call = gone.iter().fold(call, ScriptCall::arg);
            for (field, records) in coming.drain(..) {
                call = call.arg(field).arg(records);
            }
            let Versioned::Current(mut reply) = self.current(call.run(&self.db).await?)? else {
                return Ok(Versioned::Stale);
            };
            if reply.count()? == 0 {
                return Ok(Versioned::Current(false));
            }
            if surplus <= DROP_STEP {
                return Ok(Versioned::Current(true));
            }
            before = after;
        }
    }

    /// The snapshots of a ranking that are kept, the oldest first.
    pub(in crate::leaderboard) async fn snapshots(&self, ranking: &RankingKeys) -> Result<Vec<Kept>> {
        let mut command = redis::cmd("HGET");
        command.arg(&ranking.snapshots).arg("list");
        match self.db.run(&command, "list_snapshots", Effect::Read).await? {
            Value::Nil => Ok(Vec::new()),
            value => read_list(&Reply::of(Value::Array(vec![value]))?.text()?),
        }
    }

    /// The ranks of members in a snapshot, `None` for each that it does not hold; `None` where it is kept no longer.
    pub(in crate::leaderboard) async fn snapshot_ranks(
        &self,
        ranking: &RankingKeys,
        snapshot: Kept,
        members: &[&Member],
    ) -> Result<Option<Vec<Option<u64>>>> {
        let mut buckets: Vec<u64> = members.iter().map(|member| snapshot.bucket_of(member)).collect();
        buckets.sort_unstable();
        buckets.dedup();
        let mut command = redis::cmd("HMGET");
        command.arg(&ranking.snapshots).arg("list");
        for bucket in &buckets {
            command.arg(snapshot.field(*bucket));
        }
        let mut reply = Reply::of(self.db.run(&command, "read_snapshot", Effect::Read).await?)?;
        let mut next = || match reply.value()? {
            Value::Nil => Ok(Vec::new()),
            value => Reply::of(Value::Array(vec![value]))?.bytes(),
        };
        let list = String::from_utf8(next()?).map_err(|_| unreadable())?;
        if !read_list(&list)?.contains(&snapshot) {
            return Ok(None);
        }
        let records: Vec<Vec<u8>> = buckets.iter().map(|_| next()).collect::<Result<_>>()?;
        let rank_of = |member: &&Member| {
            let bucket = buckets.binary_search(&snapshot.bucket_of(member)).ok()?;
            rank_in(records.get(bucket)?, member)
        };
        Ok(Some(members.iter().map(rank_of).collect()))
    }
}

fn unreadable() -> Error {
    Error::Internal("the snapshots of a ranking cannot be read".to_owned())
}

fn read_list(text: &str) -> Result<Vec<Kept>> {
    text.split_terminator(' ').map(|part| Kept::read(part).ok_or_else(unreadable)).collect()
}

fn written_list(kept: &[Kept]) -> String {
    let parts: Vec<String> = kept.iter().map(|kept| format!("{}={}", kept.taken_ms, kept.entries)).collect();
    parts.join(" ")
}

/// The fields of a snapshot of these ZSET members, which stand in their order.
fn packed(board: &Board, snapshot: Kept, best: &[Vec<u8>]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut buckets: Vec<Vec<u8>> = (0..snapshot.buckets()).map(|_| Vec::new()).collect();
    for (rank, element) in (1_u64..).zip(best) {
        let member = element.get(board.width..).and_then(|id| String::from_utf8(id.to_vec()).ok());
        let member = member.and_then(|id| Member::try_from(id).ok()).ok_or_else(unreadable)?;
        let bucket = usize::try_from(snapshot.bucket_of(&member)).ok().and_then(|at| buckets.get_mut(at));
        let bucket = bucket.ok_or_else(unreadable)?;
        bucket.extend_from_slice(format!("\u{1}{member}\0{rank}").as_bytes());
    }
    Ok((0..).zip(buckets).map(|(bucket, records)| (snapshot.field(bucket), records)).collect())
}

/// The rank that a bucket has for a member.
fn rank_in(records: &[u8], member: &Member) -> Option<u64> {
    let mut runs = records.split(|byte| *byte == 1);
    let rank = runs.find_map(|record| record.strip_prefix(member.as_str().as_bytes())?.strip_prefix(&[0]))?;
    std::str::from_utf8(rank).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str) -> Member {
        Member::try_from(id.to_owned()).expect("a member")
    }

    #[test]
    fn a_member_is_found_by_its_whole_name() {
        let records = b"\x01ann\x0012\x01anna\x007\x01bob\x00345";
        let found = |id: &str| rank_in(records, &member(id));
        assert_eq!((found("ann"), found("anna"), found("bob")), (Some(12), Some(7), Some(345)));
        assert_eq!((found("an"), found("nn"), found("7"), found("eve")), (None, None, None, None));
    }

    #[test]
    fn a_list_is_read_as_it_is_written() {
        let kept = [Kept { taken_ms: 5, entries: 0 }, Kept { taken_ms: 1_795_478_400_000, entries: 5000 }];
        assert_eq!(written_list(&kept), "5=0 1795478400000=5000");
        assert_eq!(read_list(&written_list(&kept)).expect("a list"), kept);
        assert_eq!(read_list("").expect("a list"), []);
        for bad in ["5", "x=1", "5=", "5=1  6=1"] {
            assert!(read_list(bad).is_err(), "{bad}");
        }
    }
}
