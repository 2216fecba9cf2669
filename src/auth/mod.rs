//! Who may do what: the admin token of the settings, and tokens that are made, held to scopes, resources and members.

mod caller;
mod follow;
mod known;
mod lasting;
mod rights;
mod scope;
mod secret;
mod store;
mod token;
mod tokens;

use secrecy::{ExposeSecret, SecretString};

pub use self::caller::Caller;
pub use self::follow::{NoteUses, SweepTokens};
pub use self::lasting::Lasting;
pub use self::rights::{PATTERN_PATTERN, Pattern, Rights};
pub use self::scope::Scope;
use self::secret::TokenDigest;
pub use self::token::{Maker, NewToken, Token, TokenFacts};
pub use self::tokens::{AskedOnce, GivenToken, Tokens};

use crate::db::Db;
use crate::error::{Error, Result};

/// Tells callers by their tokens. It keeps digests only.
#[derive(Clone)]
pub struct Gate {
    admin: Option<TokenDigest>,
    tokens: Tokens,
}

impl Gate {
    /// A gate that opens to the admin token and to tokens, or to anyone where there is no admin token.
    pub fn new(admin_token: Option<&SecretString>, tokens: Tokens) -> Self {
        Self { admin: admin_token.map(|token| TokenDigest::of(token.expose_secret().as_bytes())), tokens }
    }

    /// The same gate through another connection.
    pub fn on(&self, db: Db) -> Self {
        Self { admin: self.admin, tokens: self.tokens.on(db) }
    }

    /// Who presents this `Authorization` header.
    ///
    /// # Errors
    ///
    /// `Unauthenticated`, the same for a missing, wrong, expired and revoked token; those of the store.
    pub async fn caller(&self, authorization: Option<&[u8]>) -> Result<Caller> {
        let Some(admin) = &self.admin else { return Ok(Caller::Anyone) };
        let presented = authorization.and_then(bearer).unwrap_or_default();
        let digest = TokenDigest::of(presented);
        if digest.is(admin.as_bytes()) {
            return Ok(Caller::Admin);
        }
        self.tokens.find(presented, &digest).await?.map(Caller::Token).ok_or(Error::Unauthenticated)
    }
}

impl Gate {
    /// What goes on after the caller with this header was let in: it is told when the token was revoked or has ended. Who was let
    /// in by no token that can end is told nothing, whatever the header says.
    pub fn lasting(&self, authorization: Option<&[u8]>) -> Lasting {
        let Some(admin) = &self.admin else { return Lasting::default() };
        let presented = authorization.and_then(bearer).unwrap_or_default();
        let digest = TokenDigest::of(presented);
        if digest.is(admin.as_bytes()) {
            return Lasting::default();
        }
        self.tokens.begin_use(presented, digest)
    }
}

/// The token of `Bearer <token>` (RFC 6750; the scheme's case does not count, RFC 9110).
pub fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        assert_eq!(bearer(b"Bearer right"), Some(&b"right"[..]));
        assert_eq!(bearer(b"bEARER  right "), Some(&b"right"[..]));
        for wrong in [&b"right"[..], b"Basic right", b"Bearer", b"", b"Bearerright"] {
            assert_eq!(bearer(wrong), None, "{wrong:?}");
        }
    }
}
