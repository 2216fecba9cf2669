//! Who may do what.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::{Error, Result};

/// What an operation needs of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Reading leaderboards and rankings.
    LeaderboardsRead,
    /// Submitting scores.
    ScoresWrite,
    /// Creating, changing and deleting leaderboards and entries.
    LeaderboardsAdmin,
    /// Enqueuing jobs.
    JobsEnqueue,
    /// Dequeuing jobs and settling their leases.
    JobsWork,
    /// Reading queues, jobs, schedules and workers.
    QueuesRead,
    /// Creating, changing and deleting queues and schedules; cancelling, retrying and deleting jobs.
    QueuesAdmin,
}

impl Scope {
    /// Its name in tokens.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeaderboardsRead => "leaderboards:read",
            Self::ScoresWrite => "scores:write",
            Self::LeaderboardsAdmin => "leaderboards:admin",
            Self::JobsEnqueue => "jobs:enqueue",
            Self::JobsWork => "jobs:work",
            Self::QueuesRead => "queues:read",
            Self::QueuesAdmin => "queues:admin",
        }
    }
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Anyone: the service has no admin token, and listens on loopback only.
    Anyone,
    /// The holder of the admin token.
    Admin,
}

impl Caller {
    /// The name that is noted of what it does.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Admin => "admin",
        }
    }

    /// Whether the caller may do what needs `scope`.
    pub fn may(self, scope: Scope) -> bool {
        match self {
            Self::Anyone | Self::Admin => match scope {
                Scope::LeaderboardsRead
                | Scope::ScoresWrite
                | Scope::LeaderboardsAdmin
                | Scope::JobsEnqueue
                | Scope::JobsWork
                | Scope::QueuesRead
                | Scope::QueuesAdmin => true,
            },
        }
    }
}

/// Tells callers by their tokens. It keeps digests only.
#[derive(Clone)]
pub struct Gate {
    admin: Option<[u8; 32]>,
}

impl Gate {
    /// A gate that opens to the admin token, or to anyone where there is none.
    pub fn new(admin_token: Option<&SecretString>) -> Self {
        Self { admin: admin_token.map(|token| Sha256::digest(token.expose_secret()).into()) }
    }

    /// Who presents this `Authorization` header.
    ///
    /// # Errors
    ///
    /// `Unauthenticated`, the same for a missing and a wrong token, after a comparison in constant time.
    pub fn caller(&self, authorization: Option<&[u8]>) -> Result<Caller> {
        let Some(admin) = &self.admin else { return Ok(Caller::Anyone) };
        let presented: [u8; 32] = Sha256::digest(authorization.and_then(bearer).unwrap_or_default()).into();
        if bool::from(presented.ct_eq(admin)) { Ok(Caller::Admin) } else { Err(Error::Unauthenticated) }
    }
}

/// The token of `Bearer <token>` (RFC 6750; the scheme's case does not count, RFC 9110).
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_admin_token_opens() {
        let gate = Gate::new(Some(&SecretString::from("right")));
        assert_eq!(gate.caller(Some(b"Bearer right")).expect("opens"), Caller::Admin);
        assert_eq!(gate.caller(Some(b"bearer right")).expect("opens"), Caller::Admin);
        for wrong in [None, Some(&b"Bearer wrong"[..]), Some(b"right"), Some(b"Basic right"), Some(b"Bearer ")] {
            assert!(gate.caller(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(Gate::new(None).caller(None).expect("open"), Caller::Anyone);
    }
}
