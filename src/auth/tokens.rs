//! The verbs of tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;
use tokio::sync::Notify;

use super::Scope;
use super::caller::Caller;
use super::known::{Known, KnownTokens};
use super::lasting::{Lasting, TokenUse, Uses};
use super::secret::{Secret, TokenDigest, TokenKey, TokenText, digest_of, process_key};
use super::store::{Given, Once, Text, TokenStore};
use super::token::{Maker, NewToken, Token, TokenFacts};
use crate::db::{Db, Keyspace};
use crate::error::{Error, Result};
use crate::types::{Clock, IdempotencyKey, Limit, Member, RateLimit, TokenId};

/// How often a new id is drawn, or the key read anew, before giving up.
const MOST_TRIES: usize = 4;
/// The longest lifetime that can be given: ten years.
const MAX_LIFETIME_MS: u64 = 10 * 366 * 24 * 3600 * 1000;
/// The longest lifetime of a player's token, and the one that it has without another.
const MAX_PLAYER_LIFETIME_MS: u64 = 30 * 24 * 3600 * 1000;
const PLAYER_LIFETIME_MS: u64 = 3600 * 1000;
/// What a player's token can allow.
const PLAYER_SCOPES: [Scope; 2] = [Scope::LeaderboardsRead, Scope::ScoresWrite];
const MAX_PATTERNS: usize = 100;
/// Uses of different tokens that wait to be noted: what is more is not noted.
const MOST_USES: usize = 100_000;
/// Pages of ids that are looked through for a page of tokens that the caller may see.
const MOST_PAGES: usize = 10;

/// The tokens of the service. Clones share what is known of them.
#[derive(Clone)]
pub struct Tokens {
    pub(super) store: TokenStore,
    pub(super) known: KnownTokens,
    pub(super) lasting: Uses,
    pub(super) clock: Clock,
    uses: Arc<Mutex<HashMap<TokenId, i64>>>,
    /// Told when something may have changed.
    pub(super) told: Arc<Notify>,
}

/// A request for a token's text: what makes it count once, and what that text is made from.
pub struct AskedOnce<'a> {
    /// The client's key.
    pub key: &'a IdempotencyKey,
    /// What tells the request from others with the same key.
    pub fingerprint: &'a str,
    /// The text of the caller's own token; empty where it has none.
    pub bearer: &'a [u8],
}

/// A token with its text, which is kept nowhere.
pub struct GivenToken {
    /// The text.
    pub text: SecretString,
    /// The token.
    pub token: Token,
    /// Whether this was answered before.
    pub replayed: bool,
}

impl Tokens {
    /// The tokens that this Redis keeps.
    pub fn new(db: Db, keyspace: Keyspace, clock: Clock) -> Self {
        let store = TokenStore::new(db, keyspace, clock.clone());
        let (known, lasting) = (KnownTokens::new(), Uses::default());
        Self { store, known, lasting, clock, uses: Arc::default(), told: Arc::default() }
    }

    /// The same tokens through another connection.
    pub fn on(&self, db: Db) -> Self {
        Self { store: self.store.on(db), ..self.clone() }
    }

    /// Makes a token.
    ///
    /// # Errors
    ///
    /// `Invalid`; `ForbiddenGrant` where the caller may do less than the token would allow; `IdempotencyMismatch`; `Conflict`
    /// where the text was given to somebody else and cannot be given again.
    pub async fn create(&self, caller: &Caller, new: NewToken, asked: Option<&AskedOnce<'_>>) -> Result<GivenToken> {
        check(&new)?;
        if !caller.may_grant(&new.rights) {
            return Err(Error::ForbiddenGrant);
        }
        let NewToken { name, rights, expires_in_ms, rate_limit } = new;
        let lifetime_ms = expires_in_ms.or(rights.member.as_ref().map(|_| PLAYER_LIFETIME_MS));
        let created_by = Maker { id: caller.id().cloned(), name: caller.name().to_owned() };
        let facts = TokenFacts { name, rights, rate_limit, created_by };
        let once = asked.map(|asked| once(caller, asked));
        for _ in 0..MOST_TRIES {
            let seconds = u32::try_from(self.clock.estimate_us() / 1_000_000).unwrap_or(u32::MAX);
            let key = TokenKey::new(seconds)?;
            let (mint, secret) = (self.store.mint_key().await?, secret_for(asked)?);
            let text = mint.mint(key, &secret);
            let kept = Text { mint: &mint, digest: digest_of(&text) };
            match self.store.create(&key.id()?, &facts, &kept, lifetime_ms, once.as_ref()).await? {
                Given::Stale => self.store.forget_mint_key(),
                Given::NotThere => {}
                Given::Kept { token, digest, replayed } => {
                    let key = TokenKey::of(&token.id).unwrap_or(key);
                    return given(mint.mint(key, &secret), *token, &digest, replayed);
                }
            }
        }
        Err(Error::StoreUnavailable("no id could be found for the token".to_owned()))
    }

    /// The token of this id.
    ///
    /// # Errors
    ///
    /// `NoToken`, also for one that allows more than the caller may.
    pub async fn get(&self, caller: &Caller, id: &TokenId) -> Result<Token> {
        let found = self.store.read(id).await?.filter(|stored| caller.may_grant(&stored.token.facts.rights));
        let is_over = |token: &Token, now_us: i64| token.expires_at.is_some_and(|end| now_us / 1000 >= end.as_millis());
        let found = found.filter(|stored| !is_over(&stored.token, stored.now_us));
        found.map(|stored| stored.token).ok_or_else(|| Error::NoToken(id.clone()))
    }

    /// The tokens that allow no more than the caller may, by age, after `after`; and the id to go on after, if there are more.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn list(
        &self,
        caller: &Caller,
        after: Option<TokenId>,
        limit: Limit,
    ) -> Result<(Vec<Token>, Option<TokenId>)> {
        let (mut found, mut after, most) = (Vec::new(), after, limit.get() as usize);
        for _ in 0..MOST_PAGES {
            let (ids, more) = self.store.ids(after.as_ref(), limit).await?;
            for stored in self.store.read_some(&ids).await? {
                let is_over = stored.token.expires_at.is_some_and(|end| stored.now_us / 1000 >= end.as_millis());
                if !is_over && caller.may_grant(&stored.token.facts.rights) {
                    found.push(stored.token);
                    if found.len() == most {
                        // What comes after the last one shown may still be on this page.
                        let last = found.last().map(|token| token.id.clone());
                        let is_end = !more && ids.last() == last.as_ref();
                        return Ok((found, last.filter(|_| !is_end)));
                    }
                }
            }
            if !more {
                return Ok((found, None));
            }
            after = ids.last().cloned();
        }
        Ok((found, after))
    }

    /// Gives a token another text; the present one opens for `overlap_ms` more, the one before not any more.
    ///
    /// # Errors
    ///
    /// `NoToken`; those of an idempotency key as in [`Tokens::create`].
    pub async fn rotate(
        &self,
        caller: &Caller,
        id: &TokenId,
        overlap_ms: u64,
        asked: Option<&AskedOnce<'_>>,
    ) -> Result<GivenToken> {
        let no_token = || Error::NoToken(id.clone());
        let key = TokenKey::of(id).ok_or_else(no_token)?;
        let once = asked.map(|asked| once(caller, asked));
        // One that has gone or ended is left to the script: this request may have rotated it before.
        let found = self.store.read(id).await?;
        if found.is_some_and(|stored| !caller.may_grant(&stored.token.facts.rights)) {
            return Err(no_token());
        }
        for _ in 0..MOST_TRIES {
            let (mint, secret) = (self.store.mint_key().await?, secret_for(asked)?);
            let text = mint.mint(key, &secret);
            let kept = Text { mint: &mint, digest: digest_of(&text) };
            match self.store.rotate(id, &kept, overlap_ms, once.as_ref()).await? {
                Given::Stale => self.store.forget_mint_key(),
                Given::NotThere => return Err(no_token()),
                Given::Kept { token, digest, replayed } => {
                    self.forget(key).await;
                    return given(text, *token, &digest, replayed);
                }
            }
        }
        Err(Error::StoreUnavailable("the key of tokens changes too often at the moment".to_owned()))
    }

    /// Ends a token: at once here, within a second everywhere.
    ///
    /// # Errors
    ///
    /// `NoToken`, also for one that allows more than the caller may.
    pub async fn revoke(&self, caller: &Caller, id: &TokenId) -> Result<()> {
        self.get(caller, id).await?;
        let revoked = self.store.revoke(id).await?;
        if let Some(key) = TokenKey::of(id) {
            self.forget(key).await;
        }
        if revoked { Ok(()) } else { Err(Error::NoToken(id.clone())) }
    }

    /// Ends all tokens of a member; gives how many there were. It looks at every token.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn revoke_of(&self, member: &Member) -> Result<u64> {
        let (mut revoked, mut after) = (0, None);
        loop {
            let (ids, more) = self.store.ids(after.as_ref(), Limit::MOST).await?;
            for stored in self.store.read_some(&ids).await? {
                let Token { id, facts, .. } = stored.token;
                if facts.rights.member.as_ref() == Some(member) && self.store.revoke(&id).await? {
                    revoked += 1;
                    if let Some(key) = TokenKey::of(&id) {
                        self.forget(key).await;
                    }
                }
            }
            if !more {
                return Ok(revoked);
            }
            after = ids.last().cloned();
        }
    }

    async fn forget(&self, key: TokenKey) {
        self.known.note_change();
        self.known.forget(&[key]).await;
        self.told.notify_one();
    }

    /// The token whose text this is; `None` for any that does not count. What is known is not asked for, and a forged text asks
    /// for nothing.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn find(&self, presented: &[u8], digest: &TokenDigest) -> Result<Option<Arc<Token>>> {
        let Some(text) = TokenText::parse(presented) else { return Ok(None) };
        let key = text.key();
        let known = match self.known.get(key).await {
            Some(known) => known,
            None if !self.store.mint_key().await?.has_made(&text) => return Ok(None),
            None => self.read(key).await?,
        };
        let Some(opened) = known.open(digest, &self.clock) else { return Ok(None) };
        if let Some(at) = opened.use_ms {
            self.note_use(&opened.token.id, at);
        }
        Ok(Some(opened.token))
    }

    async fn read(&self, key: TokenKey) -> Result<Arc<Known>> {
        let id = key.id()?;
        self.known.read(key, &self.clock, || self.store.read(&id)).await
    }

    /// A use of the token with this text that goes on, and ends when the text opens no more.
    pub(super) fn begin_use(&self, presented: &[u8], digest: TokenDigest) -> Lasting {
        let text = TokenText::parse(presented);
        text.map(|text| self.lasting.begin(TokenUse { key: text.key(), digest })).unwrap_or_default()
    }

    /// Until when the text opens, in µs of this process' clock; nothing where it does not.
    pub(super) async fn opens_until_us(&self, token: &TokenUse) -> Result<Option<i64>> {
        let known = match self.known.get(token.key).await {
            Some(known) => known,
            None => self.read(token.key).await?,
        };
        Ok(known.opens_until_us(&token.digest, &self.clock))
    }

    fn note_use(&self, id: &TokenId, at_ms: i64) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if uses.len() < MOST_USES {
            uses.insert(id.clone(), at_ms);
        }
    }

    /// Writes down when tokens were last used; gives how many.
    ///
    /// # Errors
    ///
    /// Those of the store; what could not be written is tried again.
    pub async fn write_uses(&self) -> Result<u64> {
        let taken = std::mem::take(&mut *self.uses.lock().unwrap_or_else(PoisonError::into_inner));
        let uses: Vec<(TokenId, i64)> = taken.into_iter().collect();
        if let Err(error) = self.store.note_uses(&uses).await {
            for (id, at) in uses {
                self.note_use(&id, at);
            }
            return Err(error);
        }
        Ok(uses.len() as u64)
    }
}

/// The secret of a text: the same again for the same request.
fn secret_for(asked: Option<&AskedOnce<'_>>) -> Result<Secret> {
    let Some(AskedOnce { key, fingerprint, bearer }) = asked else { return Secret::random() };
    let bearer = if bearer.is_empty() { process_key()? } else { bearer };
    Ok(Secret::derived(bearer, &format!("{key} {fingerprint}")))
}

fn once(caller: &Caller, asked: &AskedOnce<'_>) -> Once {
    let caller = caller.id().map_or_else(|| caller.name(), TokenId::as_str).to_owned();
    Once { key: asked.key.clone(), caller, fingerprint: asked.fingerprint.to_owned() }
}

fn given(text: SecretString, token: Token, digest: &[u8], replayed: bool) -> Result<GivenToken> {
    if digest_of(&text).is(digest) {
        return Ok(GivenToken { text, token, replayed });
    }
    Err(Error::Conflict(
        "this idempotency key has given a token whose text cannot be given again here: revoke it, and use a new key"
            .to_owned(),
    ))
}

fn check(new: &NewToken) -> Result<()> {
    let rights = &new.rights;
    if rights.scopes.is_empty() {
        return Err(Error::invalid("/scopes", "must name at least one scope"));
    }
    for (pointer, patterns) in [("/leaderboards", &rights.leaderboards), ("/queues", &rights.queues)] {
        if patterns.as_ref().is_some_and(|patterns| !(1..=MAX_PATTERNS).contains(&patterns.len())) {
            return Err(Error::invalid(pointer, format!("must be 1 to {MAX_PATTERNS} patterns; leave it out for all")));
        }
    }
    let is_player = rights.member.is_some();
    if is_player && rights.scopes.iter().any(|scope| !PLAYER_SCOPES.contains(scope)) {
        let names = PLAYER_SCOPES.map(Scope::name).join("` and `");
        return Err(Error::invalid("/scopes", format!("of a member's token can be `{names}` only")));
    }
    let longest = if is_player { MAX_PLAYER_LIFETIME_MS } else { MAX_LIFETIME_MS };
    if new.expires_in_ms.is_some_and(|lifetime| !(1..=longest).contains(&lifetime)) {
        let whose = if is_player { " for a member's token" } else { "" };
        return Err(Error::invalid("/expires_in_ms", format!("must be 1 to {longest}{whose}")));
    }
    if let Some(RateLimit { limit, per_ms }) = new.rate_limit {
        if !(1..=RateLimit::MAX_LIMIT).contains(&limit) {
            return Err(Error::invalid("/rate_limit/limit", format!("must be 1 to {}", RateLimit::MAX_LIMIT)));
        }
        if !(1..=RateLimit::MAX_PER_MS).contains(&per_ms) {
            return Err(Error::invalid("/rate_limit/per_ms", format!("must be 1 to {}", RateLimit::MAX_PER_MS)));
        }
    }
    Ok(())
}
