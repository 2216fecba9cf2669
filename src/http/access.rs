//! Who may call an operation: part of its signature.

use std::future::{Ready, ready};
use std::marker::PhantomData;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};

use super::problem::Problem;
use crate::auth::{Caller, Gate, Scope};
use crate::error::{Error, Result};
use crate::leaderboard::Act;
use crate::types::Reason;

/// A scope as a type.
pub trait Needs {
    /// The scope.
    const SCOPE: Scope;
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

needs!(LeaderboardsRead, ScoresWrite, LeaderboardsAdmin, JobsEnqueue, JobsWork, QueuesRead, QueuesAdmin);

/// The caller, who has the scope that the operation needs. It stands first in a handler, so that nothing else of the
/// request is looked at before.
pub struct Allowed<S>(Caller, PhantomData<S>);

impl<S> Allowed<S> {
    /// What the caller does, for lists of what was done.
    pub fn act(&self, reason: Option<Reason>) -> Act {
        Act { by: self.0.name().to_owned(), reason }
    }
}

impl<S: Needs> FromRequest for Allowed<S> {
    type Error = Problem;
    type Future = Ready<std::result::Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(allow(request, S::SCOPE).map(|caller| Self(caller, PhantomData)).map_err(Problem::from))
    }
}

fn allow(request: &HttpRequest, scope: Scope) -> Result<Caller> {
    let gate = request.app_data::<Data<Gate>>().ok_or_else(|| Error::Internal("no gate".to_owned()))?;
    let authorization = request.headers().get(header::AUTHORIZATION);
    let caller = gate.caller(authorization.map(header::HeaderValue::as_bytes))?;
    if caller.may(scope) { Ok(caller) } else { Err(Error::Forbidden(scope.name())) }
}
