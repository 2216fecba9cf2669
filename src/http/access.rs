//! Who may call an operation: part of its signature.
//!
//! A handler comes by its service only as [`Allowed`], which names the scope that it needs: without a scope there is nothing
//! that it could call.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};

use super::Services;
use super::limits::Meter;
use super::noting::Noting;
use super::problem::Problem;
use crate::archive::Archive;
use crate::audit::{AuditLog, Log};
use crate::auth::{Caller, Gate, Lasting, Scope, Tokens};
use crate::erase::Erasure;
use crate::error::{Error, Result};
use crate::leaderboard::{Act, Leaderboards};
use crate::profile::Profiles;
use crate::queue::Queues;
use crate::types::Reason;

/// A scope as a type.
pub trait Needs {
    /// The scope.
    const SCOPE: Scope;
    /// Of what the caller must reach everything, where the path names none of it.
    const ALL_OF: &'static [Resources] = &[];
    /// Whether what an operation changes with it is noted in the audit log.
    const IS_NOTED: bool = Self::SCOPE.is_administrative();
}

/// What patterns of tokens hold for.
#[derive(Debug, Clone, Copy)]
pub enum Resources {
    /// Leaderboards.
    Leaderboards,
    /// Queues.
    Queues,
}

/// Needs the scope, and a caller who reaches every leaderboard.
pub struct OnAllLeaderboards<S>(PhantomData<S>);

impl<S: Needs> Needs for OnAllLeaderboards<S> {
    const SCOPE: Scope = S::SCOPE;
    const ALL_OF: &'static [Resources] = &[Resources::Leaderboards];
}

/// Needs the scope, and a caller who reaches every leaderboard and queue.
pub struct OnEverything<S>(PhantomData<S>);

impl<S: Needs> Needs for OnEverything<S> {
    const SCOPE: Scope = S::SCOPE;
    const ALL_OF: &'static [Resources] = &[Resources::Leaderboards, Resources::Queues];
}

macro_rules! needs {
    ($($name:ident),*) => {$(
        #[doc = concat!("Needs [`Scope::", stringify!($name), "`].")]
        pub struct $name;

        impl Needs for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )*};
}

needs!(
    LeaderboardsRead,
    ScoresWrite,
    LeaderboardsAdmin,
    JobsEnqueue,
    JobsWork,
    QueuesRead,
    QueuesAdmin,
    TokensAdmin,
    Admin
);

/// The services behind the operations. Nobody else has them, and nobody else can name this type.
struct Guarded {
    leaderboards: Data<Leaderboards>,
    profiles: Data<Profiles>,
    queues: Data<Queues>,
    archive: Data<Archive>,
    erasure: Data<Erasure>,
    tokens: Data<Tokens>,
    audit: Data<AuditLog>,
}

/// The services of the thread that serves, as data of the application.
pub fn guarded(services: &Services) -> impl Sized + 'static {
    Guarded {
        leaderboards: Data::new(services.leaderboards.clone()),
        profiles: Data::new(services.profiles.clone()),
        queues: Data::new(services.queues.clone()),
        archive: Data::new(services.archive.clone()),
        erasure: Data::new(services.erasure.clone()),
        tokens: Data::new(services.tokens.clone()),
        audit: Data::new(services.audit.clone()),
    }
}

/// A service that operations call.
trait Service: Sized + 'static {
    /// That of the thread.
    fn of(guarded: &Guarded) -> &Data<Self>;
}

macro_rules! services {
    ($($service:ident $field:ident),*) => {$(
        impl Service for $service {
            fn of(guarded: &Guarded) -> &Data<Self> {
                &guarded.$field
            }
        }
    )*};
}

services!(Leaderboards leaderboards, Profiles profiles, Queues queues, Archive archive, Erasure erasure, Tokens tokens, AuditLog audit);

/// A service for a caller who has the scope that the operation needs. It stands first in a handler, so that nothing else of
/// the request is looked at before.
pub struct Allowed<S, T> {
    caller: Caller,
    service: Data<T>,
    noting: Noting,
    meter: Option<Meter>,
    scope: PhantomData<S>,
}

impl<S, T> Allowed<S, T> {
    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What the caller does, for lists of what was done.
    pub fn act(&self, reason: Option<Reason>) -> Act {
        self.noting.because(reason.as_ref());
        Act { by: self.caller.name().to_owned(), reason }
    }

    /// Counts what a request with so many items costs: see [`Meter::charge_items`].
    ///
    /// # Errors
    ///
    /// Those of the limits that count for the caller.
    pub async fn charge_items(&self, pointer: &str, items: usize) -> Result<()> {
        match &self.meter {
            Some(meter) => meter.charge_items(pointer, items).await,
            None => Ok(()),
        }
    }

    /// Tells the audit log more of what is done than the request's parameters do.
    pub fn tell(&self, name: &str, value: impl Into<String>) {
        self.noting.tell(name, value.into());
    }

    /// Says which log it stands in.
    pub fn tell_log(&self, log: Log) {
        self.noting.change(|deed| deed.log = log);
    }
}

impl<S, T> Deref for Allowed<S, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.service
    }
}

impl<S: Needs, T: Service> FromRequest for Allowed<S, T> {
    type Error = Problem;
    type Future = Ready<std::result::Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(allow(request).map_err(Problem::from))
    }
}

fn allow<S: Needs, T: Service>(request: &HttpRequest) -> Result<Allowed<S, T>> {
    let caller = caller_of(request)?;
    caller.check_scope(S::SCOPE)?;
    for resources in S::ALL_OF {
        match resources {
            Resources::Leaderboards => caller.check_all_leaderboards()?,
            Resources::Queues => caller.check_all_queues()?,
        }
    }
    let guarded = request.app_data::<Guarded>().ok_or_else(|| Error::Internal("no services".to_owned()))?;
    let noting = if S::IS_NOTED { Noting::begin(&guarded.audit, &caller, request)? } else { Noting::default() };
    let meter = request.extensions().get::<Meter>().cloned();
    Ok(Allowed { caller, service: T::of(guarded).clone(), noting, meter, scope: PhantomData })
}

/// What goes on after this request's caller was let in, and ends with the caller's token.
///
/// # Errors
///
/// `Internal` for a service without a gate.
pub fn lasting(request: &HttpRequest) -> Result<Lasting> {
    let gate = request.app_data::<Data<Gate>>().ok_or_else(|| Error::Internal("no gate".to_owned()))?;
    Ok(gate.lasting(request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes)))
}

/// Who makes the request, as the guard has found.
pub fn caller_of(request: &HttpRequest) -> Result<Caller> {
    request.extensions().get::<Caller>().cloned().ok_or(Error::Unauthenticated)
}
