//! What a request costs, and what answers say of the limits it counts for.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Data;

use super::peer;
use crate::auth::{Caller, Token};
use crate::config::Limits;
use crate::error::{Error, Result};
use crate::limit::{Bucket, Limiter, Policy, Quota, Refusal};

/// The fields of draft-ietf-httpapi-ratelimit-headers-10: the limits that count, and what is left of each.
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// What of an IPv6 address is one subscriber's as a rule, who may change the rest at will (RFC 6177).
const NETWORK_OF_V6: u32 = 64;

/// The limits of the settings, and who counts them on this thread.
#[derive(Clone)]
pub struct Metering {
    /// How much may be asked for.
    pub limits: Limits,
    /// Who counts.
    pub limiter: Limiter,
}

/// Counts what one request costs. Clones share what was found.
#[derive(Clone)]
pub struct Meter(Rc<Counting>);

struct Counting {
    metering: Data<Metering>,
    buckets: Arc<[Bucket]>,
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
                let metering = request.app_data::<Data<Metering>>()?;
                Self::new(metering, buckets_of(token, &metering.limits))
            }
        }
    }

    /// The meter of a request without a token that counts, where there is a limit for these.
    pub fn of_peer(request: &ServiceRequest) -> Option<Self> {
        let metering = request.app_data::<Data<Metering>>()?;
        let rate = metering.limits.peer?;
        let network = network(peer::address_of(request.request())?);
        Self::new(metering, vec![Bucket::new(Policy::Peer, network, rate)])
    }

    fn new(metering: &Data<Metering>, buckets: Vec<Bucket>) -> Option<Self> {
        let counting = |buckets: Vec<Bucket>| Counting {
            metering: metering.clone(),
            buckets: buckets.into(),
            quotas: RefCell::default(),
        };
        (!buckets.is_empty()).then(|| Self(Rc::new(counting(buckets))))
    }

    /// Counts so many requests, or none of them.
    ///
    /// # Errors
    ///
    /// `RateLimit` where they do not fit now; those of the store.
    pub async fn charge(&self, cost: u64) -> Result<()> {
        let Counting { metering, buckets, quotas } = &*self.0;
        let taken = metering.limiter.take(buckets, cost).await?;
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
        let too_small = self.0.buckets.iter().find(|bucket| items > bucket.most());
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
        let (mut policies, mut left) = (String::new(), String::new());
        for Quota { policy, rate, remaining, reset_ms } in quotas.iter() {
            let comma = if policies.is_empty() { "" } else { ", " };
            // Writing to memory never fails.
            let _ = write!(policies, "{comma}\"{policy}\";q={}", rate.limit);
            // The field counts in whole seconds.
            if rate.per_ms.is_multiple_of(1000) {
                let _ = write!(policies, ";w={}", rate.per_ms / 1000);
            }
            let _ = write!(left, "{comma}\"{policy}\";r={remaining};t={}", reset_ms.div_ceil(1000));
        }
        for (name, text) in [(RATELIMIT_POLICY, policies), (RATELIMIT, left)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
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

/// Whom an address belongs to.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mask = u128::MAX << (u128::BITS - NETWORK_OF_V6);
            IpAddr::from((u128::from(address) & mask).to_be_bytes())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_counts_with_its_network() {
        let of = |text: &str| network(text.parse().expect("an address")).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:2::"), of("2001:db8:1:2:ffff::1"));
        assert_eq!((of("::ffff:192.0.2.7"), of("192.0.2.7")), ("192.0.2.7".to_owned(), "192.0.2.7".to_owned()));
    }
}
