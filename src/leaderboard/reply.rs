//! Reading what the scripts answer.

use std::collections::BTreeMap;

use super::board::{AnswerLabel, Board};
use super::cursor::Position;
use super::entry::{Distribution, Entry};
use super::order_key;
use super::store::{Answered, Submitted};
use super::submission::WindowStanding;
pub(super) use crate::db::Reply;
use crate::error::{Error, Result};
use crate::types::{Member, Metadata, Score, Timestamp};

impl Reply {
    pub(super) fn score(&mut self) -> Result<Score> {
        let bytes = self.bytes()?;
        Score::from_redis(&bytes)
            .ok_or_else(|| Error::Internal(format!("{:?} is not a score", String::from_utf8_lossy(&bytes))))
    }

    /// A score as the eight bytes that sort as it does.
    pub(super) fn sortable_score(&mut self) -> Result<Score> {
        let bytes = <[u8; 8]>::try_from(self.bytes()?).ok().and_then(order_key::score_of);
        bytes.ok_or_else(|| Error::Internal("an entry of a segment cannot be read".to_owned()))
    }

    /// A score, or `None` for an empty text.
    pub(super) fn optional_score(&mut self) -> Result<Option<Score>> {
        let bytes = self.bytes()?;
        if bytes.is_empty() { Ok(None) } else { Ok(Score::from_redis(&bytes)) }
    }

    /// The rest as texts.
    pub(super) fn texts(self) -> Result<Vec<String>> {
        let mut rest = self;
        let mut texts = Vec::new();
        while !rest.is_empty() {
            texts.push(rest.text()?);
        }
        Ok(texts)
    }

    /// The rest as scores of the leaderboard.
    pub(super) fn scores(self, board: &Board) -> Result<Vec<Score>> {
        let mut rest = self;
        let mut scores = Vec::new();
        while !rest.is_empty() {
            scores.push(board.settings.turned(rest.score()?));
        }
        Ok(scores)
    }
}

/// The entry of a ZSET member.
///
/// `parts` say what describes the member.
pub(super) fn entry(
    board: &Board,
    element: &[u8],
    ranked: Score,
    metadata: Option<String>,
    parts: Option<&str>,
) -> Result<Entry> {
    let unreadable = || Error::Internal(format!("an entry of `{}` cannot be read", board.name));
    let (key, member) = element.split_at_checked(board.width).ok_or_else(unreadable)?;
    let (subscores, achieved_exactly) = order_key::decode(key, &board.settings).ok_or_else(unreadable)?;
    let member = String::from_utf8(member.to_vec()).map_err(|_| unreadable())?;
    Ok(Entry {
        rank: 0,
        member: Member::try_from(member).map_err(|_| unreadable())?,
        score: board.settings.turned(ranked),
        subscores,
        achieved_at: achieved_exactly.map(Timestamp::from),
        achieved_exactly,
        segments: parts.map_or_else(BTreeMap::new, |parts| board.dimensions.unpack(parts)),
        metadata: metadata.filter(|text| !text.is_empty()).and_then(Metadata::from_stored),
        previous_rank: None,
    })
}

/// A distribution, its buckets rising by true score.
pub(super) fn distribution(board: &Board, mut reply: Reply) -> Result<Distribution> {
    let total = reply.count()?;
    if total == 0 {
        return Ok(Distribution { total, edges: Vec::new(), counts: Vec::new(), quantiles: Vec::new() });
    }
    let mut edges = reply.list()?.scores(board)?;
    let mut counting = reply.list()?;
    let mut counts = Vec::new();
    while !counting.is_empty() {
        counts.push(counting.count()?);
    }
    if edges.first() > edges.last() {
        edges.reverse();
        counts.reverse();
    }
    Ok(Distribution { total, edges, counts, quantiles: reply.list()?.scores(board)? })
}

/// A moment stored as a text of milliseconds.
pub(super) fn millis(text: &str) -> Result<Timestamp> {
    text.parse().map(Timestamp::from_millis).map_err(|_| Error::Internal(format!("{text:?} is not a time")))
}

pub(super) fn label(text: &str) -> Result<AnswerLabel> {
    AnswerLabel::parse(text).ok_or_else(|| Error::Internal(format!("{text:?} is not a label")))
}

/// A call's first answer: its label, then the results.
pub(super) fn first_call(mut reply: Reply) -> Result<Answered> {
    let text = reply.text()?;
    let (label_text, note) = text.split_once('\n').unwrap_or((&text, ""));
    let results = results(&label(label_text)?, reply)?;
    Ok(Answered { results, note: Some(note.to_owned()) })
}

pub(super) fn results(label: &AnswerLabel, mut reply: Reply) -> Result<Vec<Submitted>> {
    let mut read = Vec::new();
    while !reply.is_empty() {
        read.push(submitted(label, reply.list()?)?);
    }
    Ok(read)
}

fn submitted(label: &AnswerLabel, mut reply: Reply) -> Result<Submitted> {
    match reply.text()?.as_str() {
        "replayed" => {
            let first = self::label(&reply.text()?)?;
            windows(&first, reply, true)
        }
        "ok" => windows(label, reply, false),
        other => refused(label, other, reply),
    }
}

fn refused(label: &AnswerLabel, verdict: &str, mut reply: Reply) -> Result<Submitted> {
    match verdict {
        "mismatch" => Ok(Submitted::Mismatch),
        "closed" => Ok(Submitted::Closed { open: label.windows.clone() }),
        "banned" => Ok(Submitted::Banned),
        "overflow" => Ok(Submitted::Overflow),
        "crowded" => Ok(Submitted::Crowded { dimension: reply.count()? }),
        "limited" => Ok(Submitted::Limited { retry_after_ms: reply.count()? }),
        other => Err(Error::Internal(format!("a submission was answered with `{other}`"))),
    }
}

pub(super) fn windows(label: &AnswerLabel, mut reply: Reply, replayed: bool) -> Result<Submitted> {
    let mut standings = Vec::with_capacity(label.windows.len());
    let one_based = |place: Option<u64>| place.map(|place| place + 1);
    for (window, period) in &label.windows {
        let updated = reply.integer()? == 1;
        let score = label.order.turned(reply.score()?);
        let rank = one_based(reply.place()?);
        let previous = reply.optional_score()?.map(|ranked| label.order.turned(ranked));
        let previous_rank = one_based(reply.place()?);
        standings.push(WindowStanding {
            window: window.clone(),
            period: period.clone(),
            score,
            rank,
            updated,
            previous: previous.map(|score| (score, previous_rank)),
        });
    }
    Ok(Submitted::Counted { windows: standings, replayed })
}

/// What a shard made of one submission: ranks are still to be told from the positions.
pub(super) enum ShardSubmitted {
    /// It counted, or not, as in a leaderboard that is whole.
    Other(Submitted),
    /// It counted.
    Counted(Positions),
}

/// Where a submission put its member, and where it had stood, in each window: as the score that is ranked and ZSET member.
pub(super) struct Positions {
    pub(super) windows: Vec<(WindowStanding, Option<Position>, Option<Position>)>,
    pub(super) replayed: bool,
}

impl Positions {
    /// The answer where no ranks are told.
    pub(super) fn without_ranks(self) -> Submitted {
        let windows = self.windows.into_iter().map(|(standing, _, _)| standing).collect();
        Submitted::Counted { windows, replayed: self.replayed }
    }
}

/// The results of a shard's call.
pub(super) fn shard_results(label: &AnswerLabel, mut reply: Reply) -> Result<Vec<ShardSubmitted>> {
    let mut read = Vec::new();
    while !reply.is_empty() {
        let mut result = reply.list()?;
        read.push(match result.text()?.as_str() {
            "replayed" => {
                let first = self::label(&result.text()?)?;
                ShardSubmitted::Counted(positions(&first, result, true)?)
            }
            "ok" => ShardSubmitted::Counted(positions(label, result, false)?),
            other => ShardSubmitted::Other(refused(label, other, result)?),
        });
    }
    Ok(read)
}

pub(super) fn positions(label: &AnswerLabel, mut reply: Reply, replayed: bool) -> Result<Positions> {
    let mut windows = Vec::with_capacity(label.windows.len());
    let position = |ranked: Score, element: Vec<u8>| (!element.is_empty()).then_some(Position { ranked, element });
    for (window, period) in &label.windows {
        let updated = reply.integer()? == 1;
        let ranked = reply.score()?;
        let now = position(ranked, reply.bytes()?);
        let previous = reply.optional_score()?;
        let element = reply.bytes()?;
        let before = previous.and_then(|ranked| position(ranked, element));
        let standing = WindowStanding {
            window: window.clone(),
            period: period.clone(),
            score: label.order.turned(ranked),
            rank: None,
            updated,
            previous: previous.map(|ranked| (label.order.turned(ranked), None)),
        };
        windows.push((standing, now, before));
    }
    Ok(Positions { windows, replayed })
}
