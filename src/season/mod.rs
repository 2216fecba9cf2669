//! Seasons: what closed periods of leaderboards pay, as jobs in queues.
//!
//! A leaderboard and a queue are two hash tags, so no script reaches both. The leaderboard hands out payouts by number, one at a
//! time, each the same until it is given back; the queue takes a number once. Each step may be repeated by any instance.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tracing::warn;

use crate::error::Result;
use crate::leaderboard::{Leaderboards, Payout};
use crate::queue::{Delivery, Queues};
use crate::task::{Again, Report, Task};
use crate::types::LeaderboardName;

/// Payouts of a leaderboard in one run, so that one with many does not keep the others waiting.
const PAYOUTS_A_RUN: usize = 20;
/// Leaderboards that are paid at once.
const AT_ONCE: usize = 8;

/// Pays what closed periods owe.
pub struct Pay {
    leaderboards: Leaderboards,
    queues: Queues,
}

impl Pay {
    /// The task for these.
    pub fn new(leaderboards: Leaderboards, queues: Queues) -> Self {
        Self { leaderboards, queues }
    }

    /// Pays some of what a leaderboard owes; tells how many jobs that were, and whether there is more.
    async fn pay(&self, name: &LeaderboardName) -> Result<(u64, bool)> {
        let (mut jobs, mut handed_out) = (0, 0);
        for _ in 0..PAYOUTS_A_RUN {
            let Some(payout) = self.leaderboards.payout(name, handed_out).await? else { return Ok((jobs, false)) };
            jobs += self.hand_out(&payout).await?;
            handed_out = payout.number;
        }
        Ok((jobs, true))
    }

    async fn hand_out(&self, payout: &Payout) -> Result<u64> {
        let (mut jobs, mut failure) = (0, None);
        for (queue, payloads) in &payout.jobs {
            let delivery = Delivery { source: &payout.source, number: payout.number, payloads };
            match self.queues.deliver(queue, &delivery).await {
                Ok(added) => jobs += added,
                // The others get theirs all the same.
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(jobs), Err)
    }
}

impl Task for Pay {
    const NAME: &'static str = "season.pay";
    const EVERY: Duration = Duration::from_secs(1);

    async fn run_once(&self) -> Result<Report> {
        let names = self.leaderboards.noted_closings();
        let pay = async |name: LeaderboardName| (self.pay(&name).await, name);
        let mut paying = stream::iter(names).map(pay).buffer_unordered(AT_ONCE);
        let (mut done, mut again) = (0, Again::AfterTick);
        while let Some((result, name)) = paying.next().await {
            match result {
                Ok((jobs, false)) => done += jobs,
                Ok((jobs, true)) => {
                    done += jobs;
                    again = Again::Now;
                    self.leaderboards.note_closing(&name);
                }
                // The next look at the leaderboard notes it again; the others go on.
                Err(error) => {
                    warn!(leaderboard.name = %name, %error, "the rewards of `{name}` could not be handed out yet: {error}");
                }
            }
        }
        Ok(Report { done, again })
    }
}
