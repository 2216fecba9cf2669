//! Who calls, and what they may do.

use std::sync::Arc;

use super::token::Token;
use super::{Rights, Scope};
use crate::error::{Error, Result};
use crate::types::{IdempotencyKey, LeaderboardName, Member, NameRange, QueueName, TokenId};

/// Who calls.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Anyone: the service has no admin token, and listens on loopback only.
    Anyone,
    /// The holder of the admin token.
    Admin,
    /// The holder of a token.
    Token(Arc<Token>),
}

impl Caller {
    /// The name that is noted of what it does.
    pub fn name(&self) -> &str {
        match self {
            Self::Anyone => "anyone",
            Self::Admin => "admin",
            Self::Token(token) => token.facts.name.as_str(),
        }
    }

    /// The id of its token, if it is one that was made.
    pub fn id(&self) -> Option<&TokenId> {
        match self {
            Self::Anyone | Self::Admin => None,
            Self::Token(token) => Some(&token.id),
        }
    }

    /// What it is held to; nothing for who may do everything.
    pub fn rights(&self) -> Option<&Rights> {
        match self {
            Self::Anyone | Self::Admin => None,
            Self::Token(token) => Some(&token.facts.rights),
        }
    }

    /// Refuses what needs a scope that the caller does not have.
    ///
    /// # Errors
    ///
    /// `Forbidden`.
    pub fn check_scope(&self, scope: Scope) -> Result<()> {
        let may = self.rights().is_none_or(|rights| rights.may(scope));
        if may { Ok(()) } else { Err(Error::Forbidden(scope.name())) }
    }

    /// Refuses a leaderboard that the caller does not reach, whether it exists or not.
    ///
    /// # Errors
    ///
    /// `ForbiddenLeaderboard`.
    pub fn check_leaderboard(&self, name: &LeaderboardName) -> Result<()> {
        let reaches = self.rights().is_none_or(|rights| rights.reaches_leaderboard(name));
        if reaches { Ok(()) } else { Err(Error::ForbiddenLeaderboard(name.clone())) }
    }

    /// Refuses a queue that the caller does not reach, whether it exists or not.
    ///
    /// # Errors
    ///
    /// `ForbiddenQueue`.
    pub fn check_queue(&self, name: &QueueName) -> Result<()> {
        let reaches = self.rights().is_none_or(|rights| rights.reaches_queue(name));
        if reaches { Ok(()) } else { Err(Error::ForbiddenQueue(name.clone())) }
    }

    /// Refuses what goes over all leaderboards where the caller reaches some only.
    ///
    /// # Errors
    ///
    /// `ForbiddenBeyond`.
    pub fn check_all_leaderboards(&self) -> Result<()> {
        let reaches = self.leaderboards() == NameRange::all();
        if reaches { Ok(()) } else { Err(Error::ForbiddenBeyond("leaderboards")) }
    }

    /// Refuses what goes over all queues where the caller reaches some only.
    ///
    /// # Errors
    ///
    /// `ForbiddenBeyond`.
    pub fn check_all_queues(&self) -> Result<()> {
        let reaches = self.queues() == NameRange::all();
        if reaches { Ok(()) } else { Err(Error::ForbiddenBeyond("queues")) }
    }

    /// The leaderboards that the caller reaches, for lists.
    pub fn leaderboards(&self) -> Vec<NameRange> {
        self.rights().map_or_else(NameRange::all, Rights::leaderboard_ranges)
    }

    /// The queues that the caller reaches, for lists.
    pub fn queues(&self) -> Vec<NameRange> {
        self.rights().map_or_else(NameRange::all, Rights::queue_ranges)
    }

    /// The idempotency key as it counts: each player has keys of its own, so that nobody takes or learns those of others.
    pub fn own_key(&self, key: IdempotencyKey) -> IdempotencyKey {
        match self.rights().and_then(|rights| rights.member.as_ref()) {
            Some(member) => key.of_member(member),
            None => key,
        }
    }

    /// Refuses a score of a member that the caller is not.
    ///
    /// # Errors
    ///
    /// `ForbiddenMember`.
    pub fn check_submission_of(&self, member: &Member) -> Result<()> {
        let may = self.rights().is_none_or(|rights| rights.may_submit_for(member));
        if may { Ok(()) } else { Err(Error::ForbiddenMember(member.clone())) }
    }

    /// Whether the caller may do all that the rights allow.
    pub fn may_grant(&self, rights: &Rights) -> bool {
        self.rights().is_none_or(|own| own.cover(rights))
    }
}
