//! What a failed call of Redis means for the request that made it.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::Effect;
use crate::error::Error;

/// Answers of a server that takes no such command now, and has changed nothing.
const REFUSALS: [&str; 9] =
    ["OOM", "MISCONF", "LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS"];

/// Why a call of Redis gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no connection, so nothing was sent.
    NotConnected,
    /// Redis, or the way to it, said so.
    Redis(RedisError),
}

impl Failure {
    /// The error for the client of a call with this effect.
    pub(super) fn into_error(self, effect: Effect) -> Error {
        let error = match self {
            Self::NotConnected => return Error::StoreUnavailable("Redis cannot be reached".to_owned()),
            Self::Redis(error) => error,
        };
        if error.is_io_error() {
            return match effect {
                Effect::Read => Error::StoreUnavailable("Redis did not answer".to_owned()),
                Effect::Free | Effect::Store => Error::OutcomeUnknown(error.to_string()),
            };
        }
        match error.code() {
            Some(code) if REFUSALS.contains(&code) => {
                Error::StoreUnavailable(format!("Redis takes no such command now ({code})"))
            }
            Some("NOPERM" | "NOAUTH" | "WRONGPASS") => {
                Error::StoreUnavailable("Redis does not accept this service's user".to_owned())
            }
            Some(_) | None => Error::Internal(error.to_string()),
        }
    }

    /// Whether the connection went away, so that another one may do better.
    pub(super) fn is_lost_connection(&self) -> bool {
        matches!(self, Self::Redis(error) if error.is_connection_dropped())
    }

    /// Whether the connection is of no more use: it is gone, it hangs, or its server has become a replica.
    pub(super) fn spoils_connection(&self) -> bool {
        matches!(self, Self::Redis(error) if error.is_io_error()
            || matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly)))
    }

    /// Whether the server does not know the script yet.
    pub(super) fn is_unknown_script(&self) -> bool {
        matches!(self, Self::Redis(error) if matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoScript)))
    }
}
