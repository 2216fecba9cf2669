//! What a failed call of Redis means for the request that made it.

use std::fmt;
use std::sync::Arc;

use deadpool_redis::PoolError;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use tracing::warn;

use super::Effect;
use super::cluster::Redirect;
use crate::error::Error;

/// Answers of a server that takes no such command now, and has changed nothing.
const REFUSALS: [&str; 11] = [
    "OOM",
    "MISCONF",
    "LOADING",
    "READONLY",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "BUSY",
    "NOREPLICAS",
];

/// Answers of a server that does not know who calls.
const STRANGERS: [&str; 2] = ["NOAUTH", "WRONGPASS"];
/// The answer to a command that the user has no right to.
const FORBIDDEN: &str = "NOPERM";
/// How Redis 7.0 begins where the command is one of a script, under the code of all errors.
const FORBIDDEN_IN_SCRIPT: &str = "The user executing the script can't";
const MISSING_RIGHT: &str = "Redis' user has not all rights that this service needs";

/// Why a call of Redis gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no connection, so nothing was sent.
    NotConnected(NoConnection),
    /// Redis, or the way to it, said so.
    Redis(RedisError),
    /// It is done, and not on as many replicas as it should be.
    NotReplicated {
        /// How many should have it.
        wanted: u32,
        /// How many had it in time.
        reached: u32,
    },
}

/// Why there is no connection, as far as clients may know; the log has the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoConnection {
    /// Nobody answers, or not in time.
    Unreachable,
    /// Somebody answers whose certificate is not trusted, or who does not trust the service's.
    Untrusted,
    /// The user or password of the settings is not the server's.
    Refused,
}

impl NoConnection {
    /// What the failed attempt says.
    pub(super) fn of(error: &PoolError) -> Self {
        let PoolError::Backend(error) = error else { return Self::Unreachable };
        if error.kind() == ErrorKind::AuthenticationFailed || error.code().is_some_and(|code| STRANGERS.contains(&code))
        {
            return Self::Refused;
        }
        // The client shares the causes of its errors, and the handshake's is in one of input and output.
        let shared = std::error::Error::source(error)
            .and_then(|cause| cause.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>());
        let input_output = shared.and_then(|cause| cause.downcast_ref::<std::io::Error>());
        match input_output.and_then(std::io::Error::get_ref) {
            Some(inner) if inner.is::<rustls::Error>() => Self::Untrusted,
            Some(_) | None => Self::Unreachable,
        }
    }
}

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "Redis cannot be reached",
            Self::Untrusted => "Redis cannot be reached over TLS",
            Self::Refused => "Redis does not accept this service's user or password",
        })
    }
}

impl Failure {
    /// The error for the client of a call with this effect.
    pub(super) fn into_error(self, effect: Effect) -> Error {
        let error = match self {
            Self::NotConnected(why) => return Error::StoreUnavailable(why.to_string()),
            Self::NotReplicated { wanted, reached } => {
                return Error::OutcomeUnknown(format!("it is on {reached} of {wanted} replicas so far"));
            }
            Self::Redis(error) => error,
        };
        if error.is_io_error() {
            return match effect {
                Effect::Read => Error::StoreUnavailable("Redis did not answer".to_owned()),
                Effect::Free | Effect::Pass | Effect::Store => Error::OutcomeUnknown(error.to_string()),
            };
        }
        match error.code() {
            Some(code) if REFUSALS.contains(&code) => {
                Error::StoreUnavailable(format!("Redis takes no such command now ({code})"))
            }
            _ if matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoScript)) => {
                Error::StoreUnavailable("Redis forgets the scripts of this service".to_owned())
            }
            Some(code) if STRANGERS.contains(&code) => Error::StoreUnavailable(NoConnection::Refused.to_string()),
            Some(FORBIDDEN) => {
                warn!("Redis forbids a call: {error}");
                Error::StoreUnavailable(MISSING_RIGHT.to_owned())
            }
            // What the script did before stays.
            Some(_) | None if is_forbidden_in_script(&error) => {
                warn!("Redis forbids a part of a call: {error}");
                match effect {
                    Effect::Read => Error::StoreUnavailable(MISSING_RIGHT.to_owned()),
                    Effect::Free | Effect::Pass | Effect::Store => Error::OutcomeUnknown(MISSING_RIGHT.to_owned()),
                }
            }
            Some(_) | None => Error::Internal(error.to_string()),
        }
    }

    /// Whether the connection went away, so that another one may do better.
    pub(super) fn is_lost_connection(&self) -> bool {
        matches!(self, Self::Redis(error) if error.is_connection_dropped())
    }

    /// Where a node of a Cluster sends the caller to.
    pub(super) fn redirect(&self) -> Option<Redirect> {
        match self {
            Self::Redis(error) => Redirect::of(error),
            Self::NotConnected(_) | Self::NotReplicated { .. } => None,
        }
    }

    /// Whether a node of a Cluster may have been replaced.
    pub(super) fn may_mean_another_master(&self) -> bool {
        match self {
            Self::NotConnected(_) => true,
            Self::Redis(error) => {
                error.is_io_error()
                    || error.code().is_some_and(|code| matches!(code, "CLUSTERDOWN" | "READONLY" | "MASTERDOWN"))
            }
            Self::NotReplicated { .. } => false,
        }
    }

    /// Whether the connection is of no more use: it is gone, it hangs, its server has become a replica, or knows it no more.
    pub(super) fn spoils_connection(&self) -> bool {
        matches!(self, Self::Redis(error) if error.is_io_error()
            || matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly))
            || error.code().is_some_and(|code| STRANGERS.contains(&code)))
    }

    /// Whether the user of the settings may not do this.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Redis(error) if error.code() == Some(FORBIDDEN))
    }

    /// Whether the server does not know the script yet.
    pub(super) fn is_unknown_script(&self) -> bool {
        matches!(self, Self::Redis(error) if matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoScript)))
    }
}

/// Whether a command of a script was one that the user has no right to.
fn is_forbidden_in_script(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.starts_with(FORBIDDEN_IN_SCRIPT) || detail.starts_with(FORBIDDEN))
}
