//! Paying for closed periods: which jobs are to be handed out next.

use serde_json::{Map, Value, json};

use super::board::Board;
use super::reply;
use super::reward::Plan;
use super::store::{Closing, Taken};
use super::{Leaderboards, MOST_TRIES, changing};
use crate::error::{Error, Result};
use crate::types::{LeaderboardName, Payload, QueueName, Timestamp};

/// Some jobs of a closed period, to be handed out at once.
#[derive(Debug)]
pub struct Payout {
    /// Tells this leaderboard, in this life, from all others.
    pub source: String,
    /// Rises with each payout of the source: one with the same number is the same.
    pub number: u64,
    /// The payloads for each queue, in the order of the ranks.
    pub jobs: Vec<(QueueName, Vec<Payload>)>,
}

impl Leaderboards {
    /// What is to be handed out next; `handed_out` is the number of the payout that has been, 0 for none. The answer stays the
    /// same until its number is given back. None where nothing is to be paid.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn payout(&self, name: &LeaderboardName, handed_out: u64) -> Result<Option<Payout>> {
        let board = match self.find(name).await {
            Err(Error::NoLeaderboard(_)) => return Ok(None),
            board => board?,
        };
        let mut closings = self.store.closings(&board).await?;
        for _ in 0..MOST_TRIES {
            let Some(first) = closings.first() else { return Ok(None) };
            match self.store.pay(&board, first, handed_out).await? {
                Taken::Gone => closings = self.store.closings(&board).await?,
                Taken::Done => {
                    closings.remove(0);
                }
                Taken::Rewards(rewards) => {
                    // Another closing may have been at it.
                    let closing = closings.iter().find(|closing| closing.key() == rewards.of);
                    let Some(closing) = closing else {
                        closings = self.store.closings(&board).await?;
                        continue;
                    };
                    return payout_of(&board, closing, &rewards).map(Some);
                }
            }
        }
        Err(changing(name))
    }
}

fn payout_of(board: &Board, closing: &Closing, rewards: &super::store::Rewards) -> Result<Payout> {
    let Plan { rewards: planned, on_close } = &closing.plan;
    let mut payout =
        Payout { source: format!("{}:{}", board.name, board.version.epoch), number: rewards.number, jobs: Vec::new() };
    for (number, rank, element, ranked) in &rewards.entries {
        let reward = number.checked_sub(1).and_then(|place| planned.get(place));
        let reward = reward.ok_or_else(|| Error::Internal(format!("there is no reward {number}")))?;
        let entry = reply::entry(board, element, *ranked, None, None)?;
        let end_us = closing.end_ms.saturating_mul(1000);
        let score = board.decay().map_or(entry.score, |decay| decay.shown(entry.score, end_us));
        let mut fields = reward.fields();
        let own = json!({"leaderboard": board.name, "window": closing.window, "period": closing.period,
            "member": entry.member, "rank": rank, "score": score});
        extend(&mut fields, own);
        payout.add(&reward.queue, fields)?;
    }
    if rewards.last
        && let Some(on_close) = on_close
    {
        let mut fields = Map::new();
        let started_at: Value = json!(closing.period);
        let own = json!({"type": "period.closed", "leaderboard": board.name, "window": closing.window,
            "period": closing.period, "started_at": started_at,
            "ended_at": Timestamp::from_millis(closing.end_ms), "entries": rewards.total});
        extend(&mut fields, own);
        payout.add(&on_close.queue, fields)?;
    }
    Ok(payout)
}

fn extend(fields: &mut Map<String, Value>, own: Value) {
    if let Value::Object(own) = own {
        fields.extend(own);
    }
}

impl Payout {
    fn add(&mut self, queue: &QueueName, fields: Map<String, Value>) -> Result<()> {
        let text = Value::Object(fields).to_string();
        let payload = Payload::from_stored(text).ok_or_else(|| Error::Internal("a payload is not JSON".to_owned()))?;
        match self.jobs.iter_mut().find(|(known, _)| known == queue) {
            Some((_, payloads)) => payloads.push(payload),
            None => self.jobs.push((queue.clone(), vec![payload])),
        }
        Ok(())
    }
}
