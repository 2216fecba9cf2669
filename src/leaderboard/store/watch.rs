//! Who watches a leaderboard: noted where the scripts that change it see it.

use std::sync::LazyLock;
use std::time::Duration;

use super::super::board::board_key;
use super::super::reply::Reply;
use super::super::watch::change_message;
use super::{LeaderboardStore, STAMP};
use crate::db::{Effect, Keyspace, Script};
use crate::error::Result;
use crate::types::{Clock, LeaderboardName};

static WATCH: LazyLock<Script> =
    LazyLock::new(|| Script::new("watch", Effect::Store, &[STAMP, include_str!("../lua/watch.lua")]));

/// For a clock that is moved: it says nothing of how long ago somebody looked.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl LeaderboardStore {
    /// Notes that somebody watches for so long. False where there is no such leaderboard.
    pub(in crate::leaderboard) async fn watch(
        &self,
        keyspace: &Keyspace,
        name: &LeaderboardName,
        lasts: Duration,
    ) -> Result<bool> {
        let lasts = match self.clock {
            Clock::Server => lasts,
            Clock::Fixed(_) => FOR_EVER,
        };
        let call = WATCH
            .keys(&[board_key(keyspace, name)])
            .arg(self.clock.to_argument())
            .number(u64::try_from(lasts.as_micros()).unwrap_or(u64::MAX))
            .arg(self.keyspace.global("wake"))
            .arg(change_message(name));
        let mut reply = Reply::of(call.run(&self.db).await?)?;
        Ok(reply.text()? == "ok")
    }
}
