//! What this process knows of tokens: the look-aside cache, and the word of what has changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;

use super::secret::{TokenDigest, TokenKey};
use super::store::Stored;
use super::token::Token;
use crate::error::{Error, Result};
use crate::types::Clock;

/// Tokens that a process knows at once: each takes under a kilobyte.
const MOST_KNOWN: u64 = 200_000;
/// After how long without use a token is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// How exactly the last use of a token is noted, in ms.
const USE_NOTED_EVERY_MS: i64 = 60_000;
/// How often a token is read again because something changed meanwhile.
const MOST_READS: usize = 4;

/// The tokens that this process knows, and ids that it knows to name none. Clones share them.
#[derive(Clone)]
pub(super) struct KnownTokens {
    by_key: Cache<TokenKey, Arc<Known>>,
    /// Counts the changes that were heard of, so that a read that began before one does not count after it.
    heard: Arc<AtomicU64>,
}

/// What is known of an id.
pub(super) struct Known(Option<KnownToken>);

struct KnownToken {
    token: Arc<Token>,
    digest: Vec<u8>,
    /// The digest of the text before the last rotation, and until when that opens, in ms.
    previous: Option<(Vec<u8>, i64)>,
    /// What Redis' clock was ahead of this process' when the token was read, in µs.
    ahead_us: i64,
    /// When a use was last noted, in ms.
    use_noted: AtomicI64,
}

/// What a look at a token gives.
pub(super) struct Opened {
    pub(super) token: Arc<Token>,
    /// The time of this use, in ms, where it is to be noted.
    pub(super) use_ms: Option<i64>,
}

/// Why a read was not kept.
#[derive(Clone)]
enum NotKept {
    /// Something has changed since it began.
    Changed,
    Failed(Error),
}

impl KnownTokens {
    pub(super) fn new() -> Self {
        let by_key = Cache::builder().max_capacity(MOST_KNOWN).time_to_idle(FORGOTTEN_AFTER).build();
        Self { by_key, heard: Arc::default() }
    }

    /// What is known of an id, without a look at Redis.
    pub(super) async fn get(&self, key: TokenKey) -> Option<Arc<Known>> {
        self.by_key.get(&key).await
    }

    /// What is known of an id, after one read for all who ask at once.
    pub(super) async fn read<F: Future<Output = Result<Option<Stored>>>>(
        &self,
        key: TokenKey,
        clock: &Clock,
        read: impl Fn() -> F,
    ) -> Result<Arc<Known>> {
        for _ in 0..MOST_READS {
            let init = async {
                let heard = self.heard.load(Ordering::SeqCst);
                // Before the question: that its answer takes a while makes no token last longer.
                let asked_us = clock.estimate_us();
                let stored = read().await.map_err(NotKept::Failed)?;
                if self.heard.load(Ordering::SeqCst) != heard {
                    return Err(NotKept::Changed);
                }
                Ok(Arc::new(Known(stored.map(|stored| KnownToken::new(stored, asked_us)))))
            };
            match self.by_key.try_get_with(key, init).await {
                Ok(known) => return Ok(known),
                Err(not_kept) => match (*not_kept).clone() {
                    NotKept::Changed => {}
                    NotKept::Failed(error) => return Err(error),
                },
            }
        }
        Err(Error::StoreUnavailable("tokens change too often at the moment".to_owned()))
    }

    /// Notes that something has changed: what is being read now is not kept.
    pub(super) fn note_change(&self) {
        self.heard.fetch_add(1, Ordering::SeqCst);
    }

    /// Forgets these.
    pub(super) async fn forget(&self, keys: &[TokenKey]) {
        for key in keys {
            self.by_key.invalidate(key).await;
        }
    }

    /// Forgets everything.
    pub(super) fn forget_all(&self) {
        self.note_change();
        self.by_key.invalidate_all();
    }
}

impl Known {
    /// The token, if this digest is that of its text and it has not ended.
    pub(super) fn open(&self, digest: &TokenDigest, clock: &Clock) -> Option<Opened> {
        let known = self.0.as_ref()?;
        let now_ms = (clock.estimate_us() + known.ahead_us) / 1000;
        let is_over = known.token.expires_at.is_some_and(|end| now_ms >= end.as_millis());
        let is_previous = known.previous.as_ref().is_some_and(|(old, until)| digest.is(old) && now_ms < *until);
        if is_over || !(digest.is(&known.digest) || is_previous) {
            return None;
        }
        let noted = known.use_noted.load(Ordering::Relaxed);
        let is_due = now_ms - noted >= USE_NOTED_EVERY_MS;
        let exchange =
            is_due && known.use_noted.compare_exchange(noted, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        Some(Opened { token: Arc::clone(&known.token), use_ms: exchange.then_some(now_ms) })
    }
}

impl Known {
    /// Until when this digest opens, in µs of this process' clock; nothing where it does not.
    pub(super) fn opens_until_us(&self, digest: &TokenDigest, clock: &Clock) -> Option<i64> {
        let known = self.0.as_ref()?;
        let end_ms = known.token.expires_at.map_or(i64::MAX, crate::types::Timestamp::as_millis);
        let overlap_ms = known.previous.as_ref().filter(|(old, _)| digest.is(old)).map(|(_, until)| *until);
        let opens_until_ms = if digest.is(&known.digest) { end_ms } else { overlap_ms?.min(end_ms) };
        let until_us = opens_until_ms.saturating_mul(1000).saturating_sub(known.ahead_us);
        (clock.estimate_us() < until_us).then_some(until_us)
    }
}

impl KnownToken {
    fn new(stored: Stored, asked_us: i64) -> Self {
        let Stored { token, digest, previous, now_us } = stored;
        let use_noted = token.last_used_at.map_or(0, crate::types::Timestamp::as_millis);
        Self {
            token: Arc::new(token),
            digest,
            previous,
            ahead_us: now_us - asked_us,
            use_noted: AtomicI64::new(use_noted),
        }
    }
}
