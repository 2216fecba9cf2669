//! What goes on after its caller was let in: streams and waits. They end with the token.
//!
//! One entry stands for all uses of a token's text that are under way in this process. The task that follows the changes looks
//! at an entry again where its token was changed, where it is new (the token may have ended between the gate and here), and
//! where its time has come. So a waiter has no timer of its own, and costs a pointer.

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::secret::{TokenDigest, TokenKey};

/// The uses of tokens that are under way in a process. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Uses(Arc<Mutex<HashMap<TokenUse, Arc<Entry>>>>);

/// A text of a token: after a rotation it has two for a while.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenUse {
    pub(super) key: TokenKey,
    pub(super) digest: TokenDigest,
}

struct Entry {
    token: TokenUse,
    uses: Uses,
    is_over: AtomicBool,
    /// Whether it is to be looked at in the next round.
    is_new: AtomicBool,
    /// When the text opens no more, in µs of this process' clock.
    ends_us: AtomicI64,
    told: Notify,
}

/// Which uses to look at again.
pub(super) enum Changed {
    /// Those of these tokens.
    Some(HashSet<TokenKey>),
    /// All.
    All,
}

impl Uses {
    fn entries(&self) -> MutexGuard<'_, HashMap<TokenUse, Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A use begins.
    pub(super) fn begin(&self, token: TokenUse) -> Lasting {
        let mut entries = self.entries();
        let entry = entries.entry(token).or_insert_with(|| {
            let (is_over, is_new) = (AtomicBool::new(false), AtomicBool::new(true));
            let (ends_us, told) = (AtomicI64::new(i64::MAX), Notify::new());
            Arc::new(Entry { token, uses: self.clone(), is_over, is_new, ends_us, told })
        });
        entry.is_new.store(true, Ordering::SeqCst);
        Lasting(Some(Arc::clone(entry)))
    }

    /// Ends those whose time has come; gives those that are to be looked at. Nothing is known of changes where nobody answered.
    pub(super) fn due(&self, changed: Option<&Changed>, now_us: i64) -> Vec<TokenUse> {
        let mut due = Vec::new();
        for (token, entry) in &*self.entries() {
            let is_changed = match changed {
                Some(Changed::Some(keys)) => keys.contains(&token.key),
                Some(Changed::All) => true,
                None => false,
            };
            if entry.ends_us.load(Ordering::SeqCst) <= now_us {
                entry.end();
            } else if is_changed || entry.is_new.load(Ordering::SeqCst) {
                // Until it is known what has become of it, it stays new.
                entry.is_new.store(true, Ordering::SeqCst);
                due.push(*token);
            }
        }
        due
    }

    /// What a look has found: when the text opens no more; nothing where it does so already.
    pub(super) fn found(&self, token: &TokenUse, ends_us: Option<i64>) {
        let entries = self.entries();
        let Some(entry) = entries.get(token) else { return };
        match ends_us {
            Some(ends_us) => {
                entry.ends_us.store(ends_us, Ordering::SeqCst);
                entry.is_new.store(false, Ordering::SeqCst);
            }
            None => entry.end(),
        }
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.entries().len()
    }
}

impl Entry {
    fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.told.notify_waiters();
    }
}

/// A use of a token that is under way.
#[must_use = "the use ends with it"]
#[derive(Default)]
pub struct Lasting(Option<Arc<Entry>>);

impl Lasting {
    /// Returns once the token was revoked or has ended; never for callers who need none.
    pub async fn ended(&self) {
        let Some(entry) = &self.0 else { return pending().await };
        // Made before the look: it hears of an end from here on.
        let told = entry.told.notified();
        if !entry.is_over.load(Ordering::SeqCst) {
            told.await;
        }
    }

    /// Whether the token was revoked or has ended.
    pub fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|entry| entry.is_over.load(Ordering::SeqCst))
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        let Some(entry) = self.0.take() else { return };
        let mut entries = entry.uses.entries();
        // The last but for the list itself; new ones come about under the lock alone.
        if Arc::strong_count(&entry) == 2 {
            entries.remove(&entry.token);
        }
        drop(entries);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn token(text: &str) -> TokenUse {
        TokenUse { key: TokenKey::new(7).expect("random bytes"), digest: TokenDigest::of(text.as_bytes()) }
    }

    fn has_ended(lasting: &Lasting) -> bool {
        lasting.ended().now_or_never().is_some()
    }

    #[test]
    fn a_new_use_is_looked_at_until_it_is_known() {
        let (uses, one) = (Uses::default(), token("one"));
        let lasting = uses.begin(one);
        for _ in 0..2 {
            assert!(uses.due(None, 0) == [one]);
        }
        uses.found(&one, Some(100));
        assert!(uses.due(None, 99).is_empty() && !has_ended(&lasting));
        assert!(uses.due(Some(&Changed::Some(HashSet::from([one.key]))), 99) == [one]);
        assert!(uses.due(None, 99) == [one], "a look that failed is made again");
        uses.found(&one, None);
        assert!(has_ended(&lasting) && lasting.is_over());
    }

    #[test]
    fn a_use_ends_by_the_clock() {
        let (uses, one) = (Uses::default(), token("one"));
        let lasting = uses.begin(one);
        uses.found(&one, Some(100));
        assert!(uses.due(Some(&Changed::All), 100).is_empty() && has_ended(&lasting));
    }

    #[test]
    fn texts_of_a_token_end_apart_and_uses_of_a_text_together() {
        let (uses, one) = (Uses::default(), token("one"));
        let other = TokenUse { digest: TokenDigest::of(b"other"), ..one };
        let (first, second, third) = (uses.begin(one), uses.begin(one), uses.begin(other));
        uses.found(&one, None);
        assert!(has_ended(&first) && has_ended(&second) && !has_ended(&third));
        assert!(has_ended(&uses.begin(one)), "whoever comes late hears of it");
        assert!(!has_ended(&Lasting::default()));
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let (uses, one) = (Uses::default(), token("one"));
        let (first, second) = (uses.begin(one), uses.begin(one));
        drop(first);
        assert_eq!(uses.count(), 1);
        drop(second);
        assert_eq!(uses.count(), 0);
    }
}
