//! What a token allows: scopes, and the resources that they hold for.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Scope;
use crate::types::{LeaderboardName, Member, NameRange, QueueName};

/// What patterns match, as a regular expression.
pub const PATTERN_PATTERN: &str = r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]{0,63}\*?)$";

/// The name of a resource, or the beginning of names and then `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Whether the name is one of these.
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == self.0,
        }
    }

    /// Whether every name that `other` matches is one of these.
    pub fn covers(&self, other: &Self) -> bool {
        match (self.0.strip_suffix('*'), other.0.strip_suffix('*')) {
            (Some(beginning), Some(longer)) => longer.starts_with(beginning),
            (None, Some(_)) => false,
            (_, None) => self.matches(&other.0),
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let beginning = text.strip_suffix('*').unwrap_or(&text);
        let is_all = text == "*";
        if is_all || LeaderboardName::try_from(beginning.to_owned()).is_ok() {
            return Ok(Self(text));
        }
        Err("must be a name, or the beginning of names and then `*`".to_owned())
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a token allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// The kinds of operations.
    pub scopes: BTreeSet<Scope>,
    /// The leaderboards; all where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaderboards: Option<Vec<Pattern>>,
    /// The queues; all where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queues: Option<Vec<Pattern>>,
    /// The only member whose scores may be submitted: the token is that player's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<Member>,
}

impl Rights {
    /// Whether operations that need the scope are allowed.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// The leaderboards, in the order of their names.
    pub fn leaderboard_ranges(&self) -> Vec<NameRange> {
        ranges(self.leaderboards.as_deref())
    }

    /// The queues, in the order of their names.
    pub fn queue_ranges(&self) -> Vec<NameRange> {
        ranges(self.queues.as_deref())
    }

    /// Whether the leaderboard is one of those.
    pub fn reaches_leaderboard(&self, name: &LeaderboardName) -> bool {
        reaches(self.leaderboards.as_deref(), name.as_str())
    }

    /// Whether the queue is one of those.
    pub fn reaches_queue(&self, name: &QueueName) -> bool {
        reaches(self.queues.as_deref(), name.as_str())
    }

    /// Whether scores of the member may be submitted.
    pub fn may_submit_for(&self, member: &Member) -> bool {
        self.member.as_ref().is_none_or(|own| own == member)
    }

    /// Whether these allow all that `other` allows.
    pub fn cover(&self, other: &Self) -> bool {
        other.scopes.iter().all(|scope| self.may(*scope))
            && covers(self.leaderboards.as_deref(), other.leaderboards.as_deref())
            && covers(self.queues.as_deref(), other.queues.as_deref())
            && (self.member.is_none() || self.member == other.member)
    }
}

fn reaches(patterns: Option<&[Pattern]>, name: &str) -> bool {
    patterns.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(name)))
}

fn ranges(patterns: Option<&[Pattern]>) -> Vec<NameRange> {
    let Some(patterns) = patterns else { return NameRange::all() };
    let range = |Pattern(text): &Pattern| match text.strip_suffix('*') {
        Some(beginning) => NameRange::Beginning(beginning.to_owned()),
        None => NameRange::One(text.clone()),
    };
    NameRange::sorted(patterns.iter().map(range).collect())
}

fn covers(own: Option<&[Pattern]>, other: Option<&[Pattern]>) -> bool {
    match (own, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(own), Some(other)) => other.iter().all(|wanted| own.iter().any(|pattern| pattern.covers(wanted))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::try_from(text.to_owned()).expect(text)
    }

    #[test]
    fn a_pattern_is_a_name_or_a_beginning() {
        for bad in ["", "a*b", "**", "a**", "-a", "a b", ".*", &"x".repeat(65), "ä*"] {
            assert!(Pattern::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert!(pattern("race").matches("race") && !pattern("race").matches("race2"));
        assert!(
            pattern("race*").matches("race") && pattern("race*").matches("race.eu") && !pattern("race*").matches("rac")
        );
        assert!(pattern("*").matches("anything"));
    }

    #[test]
    fn what_covers_matches_all_that_the_other_matches() {
        for (wide, narrow) in [("*", "a"), ("*", "a*"), ("a*", "a"), ("a*", "ab*"), ("a*", "a*"), ("a", "a")] {
            assert!(pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
        }
        for (one, other) in [("a", "a*"), ("ab*", "a*"), ("a*", "*"), ("a", "b"), ("ab*", "a")] {
            assert!(!pattern(one).covers(&pattern(other)), "{one} {other}");
        }
    }

    #[test]
    fn no_token_gives_more_than_it_has() {
        let all = Rights { scopes: BTreeSet::from([Scope::Admin]), leaderboards: None, queues: None, member: None };
        let player = Rights {
            scopes: BTreeSet::from([Scope::ScoresWrite]),
            leaderboards: Some(vec![pattern("race.*")]),
            queues: None,
            member: Member::try_from("ann".to_owned()).ok(),
        };
        assert!(all.cover(&player) && !player.cover(&all));
        let for_all = Rights { member: None, ..player.clone() };
        assert!(for_all.cover(&player) && !player.cover(&for_all));
        let everywhere = Rights { leaderboards: None, ..player.clone() };
        assert!(everywhere.cover(&player) && !player.cover(&everywhere));
    }
}
