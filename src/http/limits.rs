//! What a request costs, and what answers say of the limits it counts for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Data;

use super::peer;
use crate::auth::{Caller, Token};
use crate::config::Limits;
use crate::error::{Error, Result};
use crate::limit::{Bucket, Limiter, Policy, Quota, Refusal};
use crate::types::TokenId;

/// The fields of draft-ietf-httpapi-ratelimit-headers-10: the limits that count, and what is left of each.
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The limits of the settings, and who counts them on this thread.
#[derive(Clone)]
pub struct Metering {
    /// How much may be asked for.
    pub limits: Limits,
    /// Who counts.
    pub limiter: Limiter,
}

/// Tokens whose limits a thread knows; all are forgotten when there are more.
const MOST_KNOWN: usize = 1024;

/// What counts for the callers of a thread.
pub struct Meters {
    metering: Metering,
    /// Put together once for each token, for as long as it is the same.
    of_tokens: RefCell<HashMap<TokenId, OfToken>>,
}

struct OfToken {
    /// Which one it is: after a change it is another one of the same id.
    token: Weak<Token>,
    counted: Option<Rc<Counted>>,
}

impl Meters {
    /// Those of these limits.
    pub fn new(metering: Metering) -> Self {
        Self { metering, of_tokens: RefCell::default() }
    }

    fn of_token(&self, token: &Arc<Token>) -> Option<Rc<Counted>> {
        let mut known = self.of_tokens.borrow_mut();
        if let Some(OfToken { token: same, counted }) = known.get(&token.id)
            && same.as_ptr() == Arc::as_ptr(token)
        {
            return counted.clone();
        }
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        let counted = Counted::new(buckets_of(token, &self.metering.limits));
        known.insert(token.id.clone(), OfToken { token: Arc::downgrade(token), counted: counted.clone() });
        counted
    }
}

/// The limits that count for a caller.
struct Counted {
    buckets: Arc<[Bucket]>,
    /// As answers name them.
    policies: HeaderValue,
}

impl Counted {
    /// Nothing where there is none.
    fn new(buckets: Vec<Bucket>) -> Option<Rc<Self>> {
        let policies: Vec<String> = buckets.iter().map(policy_item).collect();
        // It is of visible ASCII.
        let policies = HeaderValue::try_from(policies.join(", ")).ok()?;
        (!buckets.is_empty()).then(|| Rc::new(Self { buckets: buckets.into(), policies }))
    }
}

/// A limit as an item of `RateLimit-Policy`.
fn policy_item(bucket: &Bucket) -> String {
    let rate = bucket.rate();
    // The field counts in whole seconds.
    let window = if rate.per_ms.is_multiple_of(1000) { format!(";w={}", rate.per_ms / 1000) } else { String::new() };
    format!("\"{}\";q={}{window}", bucket.policy(), rate.limit)
}

/// Counts what one request costs. Clones share what was found.
#[derive(Clone)]
pub struct Meter(Rc<Counting>);

struct Counting {
    meters: Data<Meters>,
    counted: Rc<Counted>,
    /// What was left of each limit after the latest count.
    quotas: RefCell<Vec<Quota>>,
}

impl Meter {
    /// The meter of a request of this caller, where a limit counts for it.
    pub fn of(request: &ServiceRequest, caller: &Caller) -> Option<Self> {
        match caller {
            Caller::Admin => None,
            Caller::Anyone => Self::of_peer(request),
            Caller::Token(token) => {
                let meters = request.app_data::<Data<Meters>>()?;
                Some(Self::new(meters, meters.of_token(token)?))
            }
        }
    }

    /// The meter of a request without a token that counts, where there is a limit for these.
    pub fn of_peer(request: &ServiceRequest) -> Option<Self> {
        let meters = request.app_data::<Data<Meters>>()?;
        let rate = meters.metering.limits.peer?;
        let household = peer::household(peer::address_of(request.request())?);
        Some(Self::new(meters, Counted::new(vec![Bucket::new(Policy::Peer, household, rate)])?))
    }

    fn new(meters: &Data<Meters>, counted: Rc<Counted>) -> Self {
        Self(Rc::new(Counting { meters: meters.clone(), counted, quotas: RefCell::default() }))
    }

    /// Counts so many requests, or none of them.
    ///
    /// # Errors
    ///
    /// `RateLimit` where they do not fit now; those of the store.
    pub async fn charge(&self, cost: u64) -> Result<()> {
        let Counting { meters, counted, quotas } = &*self.0;
        let taken = meters.metering.limiter.take(&counted.buckets, cost).await?;
        *quotas.borrow_mut() = taken.quotas;
        let Some(Refusal { policy, rate, retry_after_ms }) = taken.refused else { return Ok(()) };
        let whose = match policy {
            Policy::Token => "this token",
            Policy::Player => "this player",
            Policy::Peer => "this address",
        };
        Err(Error::RateLimit { whose, limit: rate.limit, per_ms: rate.per_ms, retry_after_ms })
    }

    /// Counts what a request costs beyond the one that every request does, where it holds so many items.
    ///
    /// # Errors
    ///
    /// `Invalid` at `pointer` where they are more than a limit takes at once; as [`Meter::charge`].
    pub async fn charge_items(&self, pointer: &str, items: usize) -> Result<()> {
        let items = items as u64;
        let too_small = self.0.counted.buckets.iter().find(|bucket| items > bucket.most());
        if let Some(bucket) = too_small {
            let detail = format!(
                "costs {items} requests, and the limit of the {} takes {} at once: send fewer at a time",
                bucket.policy(),
                bucket.most()
            );
            return Err(Error::invalid(pointer, detail));
        }
        match items.saturating_sub(1) {
            0 => Ok(()),
            more => self.charge(more).await,
        }
    }

    /// Writes what was found into an answer.
    pub fn tell(&self, headers: &mut HeaderMap) {
        let quotas = self.0.quotas.borrow();
        if quotas.is_empty() {
            return;
        }
        headers.insert(RATELIMIT_POLICY, self.0.counted.policies.clone());
        let mut left = String::with_capacity(64);
        for Quota { policy, remaining, reset_ms, .. } in quotas.iter() {
            let comma = if left.is_empty() { "" } else { ", " };
            // Writing to memory never fails.
            let _ = write!(left, "{comma}\"{policy}\";r={remaining};t={}", reset_ms.div_ceil(1000));
        }
        if let Ok(value) = HeaderValue::try_from(left) {
            headers.insert(RATELIMIT, value);
        }
    }
}

/// A token's own limit, or the one for those without; and that of its player.
fn buckets_of(token: &Token, limits: &Limits) -> Vec<Bucket> {
    let own = token.facts.rate_limit.or(limits.token);
    let own = own.map(|rate| Bucket::new(Policy::Token, &token.id, rate));
    let member = token.facts.rights.member.as_ref();
    let players = member.zip(limits.player).map(|(member, rate)| Bucket::new(Policy::Player, member, rate));
    own.into_iter().chain(players).collect()
}
