//! Tokens as the service knows them.

use serde::{Deserialize, Serialize};

use super::Rights;
use crate::types::{RateLimit, Timestamp, TokenId, TokenName};

/// A token to make.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is for.
    pub name: TokenName,
    /// What it allows.
    pub rights: Rights,
    /// After how many milliseconds it ends; never where there is none.
    pub expires_in_ms: Option<u64>,
    /// How much may be asked for with it.
    pub rate_limit: Option<RateLimit>,
}

/// A token, without its secret.
#[derive(Debug, Clone)]
pub struct Token {
    /// What names it.
    pub id: TokenId,
    /// What was said of it when it was made.
    pub facts: TokenFacts,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// Until when the text that it had before its last rotation opens, too.
    pub overlaps_until: Option<Timestamp>,
}

/// What is said of a token when it is made; as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenFacts {
    /// What it is for.
    pub name: TokenName,
    /// What it allows.
    #[serde(flatten)]
    pub rights: Rights,
    /// How much may be asked for with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Who made it.
    pub created_by: Maker,
}

/// Who made a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    /// The id of the maker's token, if it was one that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<TokenId>,
    /// The name of the token, `admin` for that of the settings, `anyone` of an open service.
    pub name: String,
}
