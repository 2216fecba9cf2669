//! Tokens in Redis: the only place of their keys. A method is one script or one read.

use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use redis::Value;

use super::secret::{MintKey, TokenDigest};
use super::token::{Token, TokenFacts};
use crate::db::{Db, Effect, Keyspace, Reply, Script, ScriptCall};
use crate::error::{Error, Result};
use crate::types::{Clock, IdempotencyKey, Limit, Timestamp, TokenId};

/// The hash tag of their keys.
const TAG_KIND: &str = "auth";
const TAG_NAME: &str = "tokens";
/// How long the first answer to an idempotency key is kept.
const RECORD_LIFETIME_MS: u64 = 24 * 3600 * 1000;
/// Changes read in one call.
const CHANGES_AT_ONCE: u64 = 1000;
/// Tokens that one script looks at.
const TOKENS_AT_ONCE: usize = 100;

const CLOCK: &str = include_str!("lua/_clock.lua");
const ONCE: &str = include_str!("lua/_once.lua");
const CHANGE: &str = include_str!("lua/_change.lua");

macro_rules! script {
    ($static:ident, $file:literal, $effect:ident, $($part:expr),*) => {
        static $static: LazyLock<Script> = LazyLock::new(|| {
            let parts = [$($part,)* include_str!(concat!("lua/", $file, ".lua"))];
            Script::new(concat!("token_", $file), Effect::$effect, &parts)
        });
    };
}

script!(CREATE, "create", Store, CLOCK, ONCE);
script!(READ, "read", Read, CLOCK);
script!(ROTATE, "rotate", Store, CLOCK, ONCE, CHANGE);
script!(REVOKE, "revoke", Free, CHANGE);
script!(CHANGES, "changes", Read,);
script!(USE, "use", Store,);
script!(SWEEP, "sweep", Free, CLOCK);

#[derive(Clone)]
pub(super) struct TokenStore {
    db: Db,
    keyspace: Keyspace,
    clock: Clock,
    mint: Arc<RwLock<Option<MintKey>>>,
}

/// A token as it is stored.
pub(super) struct Stored {
    pub(super) token: Token,
    pub(super) digest: Vec<u8>,
    /// The digest of the text before the last rotation, and until when that opens, in ms.
    pub(super) previous: Option<(Vec<u8>, i64)>,
    /// The store's time of the read, in µs.
    pub(super) now_us: i64,
}

/// What makes a request for a token's text count once.
pub(super) struct Once {
    /// The client's key, and whose it is.
    pub(super) key: IdempotencyKey,
    pub(super) caller: String,
    /// What tells the request from others with the same key.
    pub(super) fingerprint: String,
}

/// A text that is to be given to a token: the key of its tag, and its digest.
pub(super) struct Text<'a> {
    pub(super) mint: &'a MintKey,
    pub(super) digest: TokenDigest,
}

/// How giving a text ended.
pub(super) enum Given {
    /// The tag was made with another key than the one that counts.
    Stale,
    /// There is a token with this id already, or there is none to rotate.
    NotThere,
    /// It is kept, or was when the request was made first: with this digest then.
    Kept { token: Box<Token>, digest: Vec<u8>, replayed: bool },
}

/// What has changed of tokens.
pub(super) struct Changes {
    pub(super) version: u64,
    /// The key of the tags is another one than before.
    pub(super) other_data: bool,
    /// All ids that have changed; `None` where they are not known.
    pub(super) ids: Option<Vec<TokenId>>,
}

impl TokenStore {
    pub(super) fn new(db: Db, keyspace: Keyspace, clock: Clock) -> Self {
        Self { db, keyspace, clock, mint: Arc::default() }
    }

    /// The same store through another connection.
    pub(super) fn on(&self, db: Db) -> Self {
        Self { db, ..self.clone() }
    }

    fn key(&self, kind: &str) -> String {
        self.keyspace.tagged(TAG_KIND, TAG_NAME, kind)
    }

    fn token_key(&self, id: &TokenId) -> String {
        self.key(&format!("token:{id}"))
    }

    fn record_key(&self, once: &Once) -> String {
        self.key(&format!("idem:{}:{}", once.caller, once.key))
    }

    fn channel(&self) -> String {
        self.keyspace.global("wake")
    }

    /// The key of the tags, made where there is none yet.
    pub(super) async fn mint_key(&self) -> Result<MintKey> {
        if let Some(known) = &*self.mint.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(known.clone());
        }
        // Whoever is first makes it. To send this once more does no harm, as with a read.
        let mut set = redis::cmd("SET");
        set.arg(self.key("mint")).arg(MintKey::generate()?.as_bytes()).arg("NX");
        self.db.run(&set, "make_mint_key", Effect::Read).await?;
        let mut get = redis::cmd("GET");
        get.arg(self.key("mint"));
        let mut reply = Reply::of(Value::Array(vec![self.db.run(&get, "mint_key", Effect::Read).await?]))?;
        let key = MintKey::from_stored(&reply.bytes()?)?;
        *self.mint.write().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        Ok(key)
    }

    /// Forgets the key of the tags, so that the next use reads it.
    pub(super) fn forget_mint_key(&self) {
        *self.mint.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Keeps a new token, of whose text only the digest comes here.
    pub(super) async fn create(
        &self,
        id: &TokenId,
        facts: &TokenFacts,
        text: &Text<'_>,
        lifetime_ms: Option<u64>,
        once: Option<&Once>,
    ) -> Result<Given> {
        let json = serde_json::to_string(facts).map_err(|error| Error::Internal(format!("no JSON: {error}")))?;
        let mut keys = vec![self.key("mint"), self.token_key(id), self.key("ids"), self.key("ends")];
        keys.extend(once.map(|once| self.record_key(once)));
        let call = CREATE
            .keys(&keys)
            .arg(self.clock.to_argument())
            .arg(text.mint.as_bytes())
            .arg(id.as_str())
            .arg(json)
            .arg(text.digest.as_bytes())
            .arg(lifetime_ms.map_or(String::new(), |lifetime| lifetime.to_string()));
        let mut reply = Reply::of(with_record(call, once).run(&self.db).await?)?;
        let Some(replayed) = is_replayed(&reply.text()?)? else { return Ok(Given::Stale) };
        if reply.is_empty() {
            return Ok(Given::NotThere);
        }
        let id = TokenId::try_from(reply.text()?).map_err(Error::Internal)?;
        let facts = read_facts(&id, &reply.text()?)?;
        let digest = reply.bytes()?;
        let (created_at, expires_at) = (Timestamp::from_millis(reply.integer()?), read_time(&reply.text()?)?);
        let token = Token { id, facts, created_at, expires_at, last_used_at: None, overlaps_until: None };
        Ok(Given::Kept { token: Box::new(token), digest, replayed })
    }

    /// Gives a token another text.
    pub(super) async fn rotate(
        &self,
        id: &TokenId,
        text: &Text<'_>,
        overlap_ms: u64,
        once: Option<&Once>,
    ) -> Result<Given> {
        let mut keys = vec![self.key("mint"), self.token_key(id), self.key("changes"), self.key("version")];
        keys.extend(once.map(|once| self.record_key(once)));
        let call = ROTATE
            .keys(&keys)
            .arg(self.clock.to_argument())
            .arg(text.mint.as_bytes())
            .arg(id.as_str())
            .arg(text.digest.as_bytes())
            .number(overlap_ms)
            .arg(self.channel());
        let mut reply = Reply::of(with_record(call, once).run(&self.db).await?)?;
        let Some(replayed) = is_replayed(&reply.text()?)? else { return Ok(Given::Stale) };
        if reply.is_empty() {
            return Ok(Given::NotThere);
        }
        let facts = read_facts(id, &reply.text()?)?;
        let digest = reply.bytes()?;
        let (created_at, expires_at) = (Timestamp::from_millis(reply.integer()?), read_time(&reply.text()?)?);
        let (overlaps_until, last_used_at) = (read_time(&reply.text()?)?, read_time(&reply.text()?)?);
        let token = Token { id: id.clone(), facts, created_at, expires_at, last_used_at, overlaps_until };
        Ok(Given::Kept { token: Box::new(token), digest, replayed })
    }

    /// Ends a token; false where there is none.
    pub(super) async fn revoke(&self, id: &TokenId) -> Result<bool> {
        let keys = [self.token_key(id), self.key("ids"), self.key("ends"), self.key("changes"), self.key("version")];
        let value = REVOKE.keys(&keys).arg(id.as_str()).arg(self.channel()).run(&self.db).await?;
        Ok(value == Value::Int(1))
    }

    /// The token of this id.
    pub(super) async fn read(&self, id: &TokenId) -> Result<Option<Stored>> {
        Ok(self.read_some(std::slice::from_ref(id)).await?.pop())
    }

    /// The tokens of these ids, without those that are not there.
    pub(super) async fn read_some(&self, ids: &[TokenId]) -> Result<Vec<Stored>> {
        let mut found = Vec::new();
        for ids in ids.chunks(TOKENS_AT_ONCE) {
            let keys: Vec<String> = ids.iter().map(|id| self.token_key(id)).collect();
            let mut reply = Reply::of(READ.keys(&keys).arg(self.clock.to_argument()).run(&self.db).await?)?;
            let now_us = reply.integer()?;
            for id in ids {
                let fields = reply.list()?;
                if !fields.is_empty() {
                    found.push(read_token(id, fields, now_us)?);
                }
            }
        }
        Ok(found)
    }

    /// Ids in their order after `after`, and whether there are more.
    pub(super) async fn ids(&self, after: Option<&TokenId>, limit: Limit) -> Result<(Vec<TokenId>, bool)> {
        let from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut command = redis::cmd("ZRANGEBYLEX");
        command.arg(self.key("ids")).arg(from).arg("+").arg("LIMIT").arg(0).arg(limit.get() + 1);
        let mut ids = read_ids(self.db.run(&command, "token_ids", Effect::Read).await?)?;
        let more = ids.len() > limit.get() as usize;
        ids.truncate(limit.get() as usize);
        Ok((ids, more))
    }

    /// What has changed since this version was known; from then on the key of the tags is the one that stands.
    pub(super) async fn changes(&self, since: u64) -> Result<Changes> {
        let keys = [self.key("mint"), self.key("changes"), self.key("version")];
        let mut reply = Reply::of(CHANGES.keys(&keys).number(since).number(CHANGES_AT_ONCE).run(&self.db).await?)?;
        let stored = reply.bytes()?;
        let version = reply.count()?;
        let mut ids = Vec::new();
        while !reply.is_empty() {
            ids.push(TokenId::try_from(reply.text()?).map_err(Error::Internal)?);
        }
        let stands = if stored.is_empty() { None } else { Some(MintKey::from_stored(&stored)?) };
        let mut known = self.mint.write().unwrap_or_else(PoisonError::into_inner);
        let other_data = known.is_some() && *known != stands;
        *known = stands;
        let all = version >= since && ids.len() as u64 == version - since;
        Ok(Changes { version, other_data, ids: all.then_some(ids) })
    }

    /// Notes when tokens were last used, in ms.
    pub(super) async fn note_uses(&self, uses: &[(TokenId, i64)]) -> Result<()> {
        for uses in uses.chunks(TOKENS_AT_ONCE) {
            let keys: Vec<String> = uses.iter().map(|(id, _)| self.token_key(id)).collect();
            let call = uses.iter().fold(USE.keys(&keys), |call, (_, at)| call.arg(at.to_string()));
            call.run(&self.db).await?;
        }
        Ok(())
    }

    /// Removes some tokens that have ended; tells how many, and whether there are more.
    pub(super) async fn sweep(&self) -> Result<(u64, bool)> {
        let now_ms = self.clock.estimate_us() / 1000;
        let mut command = redis::cmd("ZRANGEBYSCORE");
        command.arg(self.key("ends")).arg("-inf").arg(now_ms).arg("LIMIT").arg(0).arg(TOKENS_AT_ONCE);
        let ids = read_ids(self.db.run(&command, "ended_tokens", Effect::Read).await?)?;
        if ids.is_empty() {
            return Ok((0, false));
        }
        let mut keys = vec![self.key("ids"), self.key("ends")];
        keys.extend(ids.iter().map(|id| self.token_key(id)));
        let call = SWEEP.keys(&keys).arg(self.clock.to_argument());
        let call = ids.iter().fold(call, |call, id| call.arg(id.as_str()));
        let swept = Reply::of(Value::Array(vec![call.run(&self.db).await?]))?.count()?;
        Ok((swept, swept > 0 && ids.len() == TOKENS_AT_ONCE))
    }
}

fn with_record<'a>(call: ScriptCall<'a>, once: Option<&Once>) -> ScriptCall<'a> {
    call.arg(once.map_or("", |once| once.fingerprint.as_str())).number(RECORD_LIFETIME_MS)
}

/// Whether an answer was given before; `None` where the key of the tags is another one. What follows is empty where the token
/// is not as it must be.
fn is_replayed(verdict: &str) -> Result<Option<bool>> {
    match verdict {
        "stale" => Ok(None),
        "mismatch" => Err(Error::IdempotencyMismatch),
        verdict => Ok(Some(verdict == "replayed")),
    }
}

fn read_token(id: &TokenId, mut fields: Reply, now_us: i64) -> Result<Stored> {
    let facts = read_facts(id, &fields.text()?)?;
    let digest = fields.bytes()?;
    let (created_at, expires_at) = (Timestamp::from_millis(fields.integer()?), read_time(&fields.text()?)?);
    let previous = fields.bytes()?;
    let overlap = read_time(&fields.text()?)?.filter(|end| end.as_millis() > now_us / 1000);
    let last_used_at = read_time(&fields.text()?)?;
    let token = Token { id: id.clone(), facts, created_at, expires_at, last_used_at, overlaps_until: overlap };
    Ok(Stored { token, digest, previous: overlap.map(|end| (previous, end.as_millis())), now_us })
}

fn read_facts(id: &TokenId, json: &str) -> Result<TokenFacts> {
    serde_json::from_str(json).map_err(|_| Error::Internal(format!("token {id} cannot be read")))
}

fn read_ids(value: Value) -> Result<Vec<TokenId>> {
    let mut reply = Reply::of(value)?;
    let mut ids = Vec::new();
    while !reply.is_empty() {
        ids.push(TokenId::try_from(reply.text()?).map_err(Error::Internal)?);
    }
    Ok(ids)
}

/// Milliseconds, or nothing.
fn read_time(text: &str) -> Result<Option<Timestamp>> {
    if text.is_empty() {
        return Ok(None);
    }
    let millis = text.parse().map_err(|_| Error::Internal("the time of a token cannot be read".to_owned()))?;
    Ok(Some(Timestamp::from_millis(millis)))
}
