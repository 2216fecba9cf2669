//! Closing windows, and what is to be paid for what is closed.

use super::super::board::{Board, RankingKeys};
use super::super::calendar::Span;
use super::super::reply::Reply;
use super::super::reward::Plan;
use super::super::submission::Fingerprint;
use super::{CLOSE, LeaderboardStore, PAY, RECORD_LIFETIME_MS, Versioned};
use crate::db::{Effect, ScriptCall};
use crate::error::{Error, Result};
use crate::types::{IdempotencyKey, Score, Timestamp, WindowName};

/// Entries that one payout looks at: under a millisecond of Redis.
const ENTRIES_A_PAYOUT: u64 = 100;

/// How a closing by hand ended.
pub(in crate::leaderboard) struct WindowClosed {
    pub(in crate::leaderboard) period: String,
    pub(in crate::leaderboard) replayed: bool,
}

/// A closed period that is to be paid.
pub(in crate::leaderboard) struct Closing {
    pub(in crate::leaderboard) window: WindowName,
    pub(in crate::leaderboard) period: String,
    pub(in crate::leaderboard) end_ms: i64,
    pub(in crate::leaderboard) plan: Plan,
}

impl Closing {
    /// Its field.
    pub(in crate::leaderboard) fn key(&self) -> String {
        closing_field(&self.window, &self.period)
    }
}

/// Rewards that are to be handed out.
pub(in crate::leaderboard) struct Rewards {
    pub(in crate::leaderboard) number: u64,
    /// The field of the period.
    pub(in crate::leaderboard) of: String,
    /// Entries of the period.
    pub(in crate::leaderboard) total: u64,
    /// Whether no others follow.
    pub(in crate::leaderboard) last: bool,
    /// Number of the reward from 1 on, rank, ZSET member and score of each.
    pub(in crate::leaderboard) entries: Vec<(usize, u64, Vec<u8>, Score)>,
}

/// What there is to hand out.
pub(in crate::leaderboard) enum Taken {
    /// Somebody else has finished it.
    Gone,
    /// All of the period is handed out.
    Done,
    Rewards(Rewards),
}

/// What a closed period is called where it is known what is to be paid.
pub(in crate::leaderboard) fn closing_field(window: &WindowName, period: &str) -> String {
    format!("{window}:{period}")
}

impl LeaderboardStore {
    /// Closes the period of this ranking.
    pub(in crate::leaderboard) async fn close(
        &self,
        board: &Board,
        open: &RankingKeys,
        once: Option<(&IdempotencyKey, &Fingerprint)>,
    ) -> Result<Versioned<WindowClosed>> {
        let windows = &board.settings.windows;
        let start_ms = open.span.map_or_else(|| board.began_ms(&open.window), |span| span.start_ms);
        let period = Timestamp::from_millis(start_ms).to_string();
        let mut keys = vec![board.key.clone(), board.closing_key()];
        keys.extend(once.map(|(key, _)| board.record_key(key, "close")));
        keys.extend(windows.iter().map(|window| board.periods_key(&window.name)));
        if open.span.is_none() {
            let ended = board.sections.ranking(&open.window, &period, None);
            for ranking in [open, &ended] {
                keys.extend(ranking.all().into_iter().map(str::to_owned).chain([ranking.snapshots.clone()]));
            }
        }
        let number = windows.iter().position(|window| window.name == open.window).map_or(0, |place| place + 1);
        let call = CLOSE
            .keys(&keys)
            .arg(self.asked(board, open.span.map(Span::bounds_us)))
            .arg(self.clock.to_argument())
            .arg(board.version.next().text())
            .arg(board.starts.only(|window| *window != open.window).text())
            .arg(once.map_or(&[][..], |(_, fingerprint)| fingerprint.as_bytes()))
            .number(RECORD_LIFETIME_MS)
            .arg(open.window.as_str())
            .arg(period)
            .arg(start_ms.to_string())
            .number(number as u64)
            .number(windows.len() as u64);
        let mut reply = Reply::of(with_lists(board, call).run(&self.db).await?)?;
        match reply.text()?.as_str() {
            "stale" => Ok(Versioned::Stale),
            "period" => self.learn(reply).map(|()| Versioned::Stale),
            "mismatch" => Err(Error::IdempotencyMismatch),
            word => Ok(Versioned::Current(WindowClosed { period: reply.text()?, replayed: word == "replayed" })),
        }
    }

    /// What is to be paid, the earliest end first.
    pub(in crate::leaderboard) async fn closings(&self, board: &Board) -> Result<Vec<Closing>> {
        let mut command = redis::cmd("HGETALL");
        command.arg(board.closing_key());
        let mut fields = Reply::of(self.db.run(&command, "list_closings", Effect::Read).await?)?;
        let mut closings = Vec::new();
        while !fields.is_empty() {
            let (field, value) = (fields.text()?, fields.bytes()?);
            let Some((window, period)) = field.split_once(':').filter(|_| !field.contains(' ')) else { continue };
            closings.push(read_closing(window, period, &value)?);
        }
        closings.sort_by(|a, b| (a.end_ms, &a.window).cmp(&(b.end_ms, &b.window)));
        Ok(closings)
    }

    /// The next rewards of a period; `handed_out` is the number of those that have been.
    pub(in crate::leaderboard) async fn pay(&self, board: &Board, closing: &Closing, handed_out: u64) -> Result<Taken> {
        let ranking = board.sections.ranking(&closing.window, &closing.period, None);
        let call = PAY
            .keys(&[&board.key, &board.closing_key(), &ranking.rank])
            .arg(closing.key())
            .number(handed_out)
            .arg(closing.plan.ranges())
            .arg(if closing.plan.on_close.is_some() { "1" } else { "" })
            .number(ENTRIES_A_PAYOUT);
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        match reply.text()?.as_str() {
            "gone" => return Ok(Taken::Gone),
            "done" => return Ok(Taken::Done),
            _ => {}
        }
        let (number, of, total, last) = (reply.count()?, reply.text()?, reply.count()?, reply.count()? == 1);
        let mut entries = Vec::new();
        while !reply.is_empty() {
            let number = usize::try_from(reply.count()?).unwrap_or(usize::MAX);
            entries.push((number, reply.count()?, reply.bytes()?, reply.score()?));
        }
        Ok(Taken::Rewards(Rewards { number, of, total, last, entries }))
    }
}

/// What the scripts that close what has ended are told of each window.
pub(super) fn with_lists<'a>(board: &Board, mut call: ScriptCall<'a>) -> ScriptCall<'a> {
    for window in &board.settings.windows {
        call = call
            .arg(board.sections.stem(&window.name))
            .number(window.kept().into())
            .arg(window.name.as_str())
            .arg(Plan::text(&board.settings, &window.name));
    }
    call
}

fn read_closing(window: &str, period: &str, value: &[u8]) -> Result<Closing> {
    let unreadable = || Error::Internal(format!("what is to be paid for `{window}` {period} cannot be read"));
    let (end, plan) = std::str::from_utf8(value).ok().and_then(|text| text.split_once(' ')).ok_or_else(unreadable)?;
    Ok(Closing {
        window: WindowName::try_from(window.to_owned()).map_err(|_| unreadable())?,
        period: period.to_owned(),
        end_ms: end.parse().map_err(|_| unreadable())?,
        plan: serde_json::from_str(plan).map_err(|_| unreadable())?,
    })
}
