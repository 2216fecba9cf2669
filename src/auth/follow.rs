//! What keeps this process' knowledge of tokens true, and their records tidy.

use std::convert::Infallible;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::lasting::{Changed, TokenUse};
use super::secret::TokenKey;
use super::tokens::Tokens;
use crate::error::Result;
use crate::task::{Again, Report, Task};
use crate::types::TokenId;

/// How often it is asked what has changed, whether something was told or not: a revocation is in force everywhere within
/// a second, even where every message is lost.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// After how long without an answer nothing counts that was known.
const TRUSTED_FOR: Duration = Duration::from_secs(10);
/// Uses under way that are looked at at once.
const USES_AT_ONCE: usize = 16;
/// The message that something has changed.
const MESSAGE: &str = "tokens";

impl Tokens {
    /// Hears a message of the instance's subscription.
    pub fn hear(&self, message: &str) {
        if message == MESSAGE {
            self.told.notify_one();
        }
    }

    /// Has it asked at once what has changed.
    pub fn look_at_all(&self) {
        self.told.notify_one();
    }

    /// Forgets what has changed elsewhere, for ever; to stop, drop the future.
    pub async fn follow_changes(&self) -> Infallible {
        let mut follower = Follower { tokens: self, version: None, again: Vec::new() };
        let (mut answered, mut trusted) = (Instant::now(), true);
        loop {
            let looked = follower.look().await;
            // Which tokens end by themselves is known without Redis.
            let due = self.lasting.due(looked.as_ref().ok(), self.clock.estimate_us());
            if looked.is_ok() {
                self.look_at_uses(due).await;
            }
            match looked.map(drop) {
                Ok(()) => (answered, trusted) = (Instant::now(), true),
                Err(error) if trusted && answered.elapsed() > TRUSTED_FOR => {
                    warn!(%error, "it is not known which tokens were revoked, so none is trusted: {error}");
                    self.known.forget_all();
                    trusted = false;
                }
                Err(_) if !trusted => self.known.forget_all(),
                Err(_) => {}
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = self.told.notified(), if trusted => {}
            }
        }
    }
}

impl Tokens {
    /// Looks whether these uses may go on. What could not be looked at is due in the next round as well.
    async fn look_at_uses(&self, due: Vec<TokenUse>) {
        let looks = stream::iter(due).map(async |token| (token, self.opens_until_us(&token).await));
        let mut looks = pin!(looks.buffer_unordered(USES_AT_ONCE));
        while let Some((token, found)) = looks.next().await {
            match found {
                Ok(until) => self.lasting.found(&token, until),
                Err(error) => return debug!(%error, "whether open streams and waits may go on is not known: {error}"),
            }
        }
    }
}

struct Follower<'a> {
    tokens: &'a Tokens,
    /// The version of the changes that is known; `None` before the first look.
    version: Option<u64>,
    /// What changed in the round before, forgotten once more: a read that was under way then may have been kept since.
    again: Vec<TokenKey>,
}

impl Follower<'_> {
    /// Forgets what has changed; gives it, with what had changed in the round before.
    async fn look(&mut self) -> Result<Changed> {
        let known = &self.tokens.known;
        let changes = self.tokens.store.changes(self.version.unwrap_or(0)).await?;
        let keys: Option<Vec<TokenKey>> =
            changes.ids.map(|ids: Vec<TokenId>| ids.iter().filter_map(TokenKey::of).collect());
        known.forget(&self.again).await;
        let before = std::mem::take(&mut self.again);
        self.version = Some(changes.version);
        let Some(keys) = keys.filter(|_| !changes.other_data) else {
            known.forget_all();
            return Ok(Changed::All);
        };
        if !keys.is_empty() {
            known.note_change();
            known.forget(&keys).await;
            self.again.clone_from(&keys);
        }
        Ok(Changed::Some(before.into_iter().chain(keys).collect()))
    }
}

/// Writes down when tokens were last used.
pub struct NoteUses(Tokens);

impl NoteUses {
    /// The task for these tokens.
    pub fn new(tokens: Tokens) -> Self {
        Self(tokens)
    }
}

impl Task for NoteUses {
    const NAME: &'static str = "auth.note_uses";
    const EVERY: Duration = Duration::from_secs(10);

    async fn run_once(&self) -> Result<Report> {
        Ok(Report { done: self.0.write_uses().await?, again: Again::AfterTick })
    }
}

/// Removes tokens that have ended.
pub struct SweepTokens(Tokens);

impl SweepTokens {
    /// The task for these tokens.
    pub fn new(tokens: Tokens) -> Self {
        Self(tokens)
    }
}

impl Task for SweepTokens {
    const NAME: &'static str = "auth.sweep";
    const EVERY: Duration = Duration::from_secs(5);

    async fn run_once(&self) -> Result<Report> {
        let (done, more) = self.0.store.sweep().await?;
        Ok(Report { done, again: if more { Again::Now } else { Again::AfterTick } })
    }
}
