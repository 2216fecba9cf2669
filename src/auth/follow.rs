//! What keeps this process' knowledge of tokens true, and their records tidy.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tracing::warn;

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
            match follower.look().await {
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

struct Follower<'a> {
    tokens: &'a Tokens,
    /// The version of the changes that is known; `None` before the first look.
    version: Option<u64>,
    /// What changed in the round before, forgotten once more: a read that was under way then may have been kept since.
    again: Vec<TokenKey>,
}

impl Follower<'_> {
    async fn look(&mut self) -> Result<()> {
        let known = &self.tokens.known;
        let changes = self.tokens.store.changes(self.version.unwrap_or(0)).await?;
        let keys: Option<Vec<TokenKey>> =
            changes.ids.map(|ids: Vec<TokenId>| ids.iter().filter_map(TokenKey::of).collect());
        known.forget(&self.again).await;
        self.again.clear();
        match keys {
            Some(keys) if !changes.other_data => {
                if !keys.is_empty() {
                    known.note_change();
                    known.forget(&keys).await;
                    self.again = keys;
                }
            }
            Some(_) | None => known.forget_all(),
        }
        self.version = Some(changes.version);
        Ok(())
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
