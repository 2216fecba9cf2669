//! What was done, and by whom.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result};
use crate::types::{AuditId, LeaderboardName, QueueName, Reason, Timestamp, TokenId};

/// The most bytes that are kept of a parameter's value; no name is longer.
const MAX_VALUE: usize = 512;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The id of the token. None for the admin token, for an open service and for commands: a token may have any name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<TokenId>,
    /// The name of the token, `admin`, `anyone` where the service needs no token, or `operator` for a command of the binary.
    pub name: String,
}

/// Which list a deed stands in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Log {
    /// What administrators did.
    #[default]
    Acts,
    /// The making of players' tokens: backends do that all the time, and it must not push out the rest.
    PlayerTokens,
}

/// What was done, as it is kept. The script that keeps it adds the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// Where it stands.
    #[serde(skip)]
    pub log: Log,
    /// Who did it.
    pub by: Author,
    /// The operation, by its `operationId`.
    pub operation: String,
    /// The method; none for a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path, with the names of its parameters; none for a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The values of the parameters, decoded, and what else the operation tells.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The status that it was answered with; none where the caller had gone before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The address that the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Why, where the request said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Whether the answer was one that had been given before, under the same idempotency key.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replayed: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Deed {
    /// What an operator did by a command of the binary.
    pub fn of_command(operation: &str, parameters: BTreeMap<String, String>) -> Self {
        let by = Author { id: None, name: "operator".to_owned() };
        let mut deed = Self::new(by, operation.to_owned());
        parameters.into_iter().for_each(|(name, value)| deed.tell(&name, value));
        deed
    }

    /// The deed of which no more is known yet.
    pub fn new(by: Author, operation: String) -> Self {
        let parameters = BTreeMap::new();
        let (method, path, status, request_id, peer, reason) = (None, None, None, None, None, None);
        let log = Log::Acts;
        Self { log, by, operation, method, path, parameters, status, request_id, peer, reason, replayed: false }
    }

    /// Adds a parameter; one that is there already stays.
    pub fn tell(&mut self, name: &str, mut value: String) {
        if value.len() > MAX_VALUE {
            let end = (0..=MAX_VALUE).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
            value.truncate(end);
        }
        self.parameters.entry(name.to_owned()).or_insert(value);
    }

    /// The JSON that is kept.
    pub fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::Internal(format!("a deed has no JSON: {error}")))
    }
}

/// A deed in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Where it stands.
    pub id: AuditId,
    /// When it was done, by the store's clock.
    pub at: Timestamp,
    /// What was done.
    pub deed: Deed,
}

/// Which deeds are asked for: those that fit all that is named.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of which list.
    pub log: Log,
    /// By whom: the id or the name of a token, `admin`, `anyone` or `operator`.
    pub by: Option<String>,
    /// The operation.
    pub operation: Option<String>,
    /// On which leaderboard.
    pub leaderboard: Option<LeaderboardName>,
    /// On which queue.
    pub queue: Option<QueueName>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
}

impl Wanted {
    /// Whether all are.
    pub(super) fn is_all(&self) -> bool {
        let Self { log: _, by, operation, leaderboard, queue, since, until } = self;
        by.is_none()
            && operation.is_none()
            && leaderboard.is_none()
            && queue.is_none()
            && since.is_none()
            && until.is_none()
    }

    /// Whether this one is.
    pub(super) fn fits(&self, noted: &Noted) -> bool {
        let Noted { id: _, at, deed } = noted;
        let parameter = |name: &str| deed.parameters.get(name).map(String::as_str);
        let is_by = |by: &String| deed.by.name == *by || deed.by.id.as_ref().is_some_and(|id| id.as_str() == by);
        self.by.as_ref().is_none_or(is_by)
            && self.operation.as_ref().is_none_or(|operation| deed.operation == *operation)
            && self.leaderboard.as_ref().is_none_or(|name| parameter("leaderboard") == Some(name.as_str()))
            && self.queue.as_ref().is_none_or(|name| parameter("queue") == Some(name.as_str()))
            && self.since.is_none_or(|since| *at >= since)
            && self.until.is_none_or(|until| *at <= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_between_letters() {
        let mut deed = Deed::of_command("create_token", BTreeMap::new());
        deed.tell("reason", "ä".repeat(400) + "x");
        deed.tell("name", format!("a{}", "ä".repeat(400)));
        assert_eq!(deed.parameters["reason"], "ä".repeat(256));
        assert_eq!(deed.parameters["name"], format!("a{}", "ä".repeat(255)));
        deed.tell("name", "another".to_owned());
        assert_eq!(deed.parameters["name"].chars().next(), Some('a'), "the first one stays");
    }

    #[test]
    fn a_deed_is_read_as_it_was_kept() {
        let mut deed = Deed::of_command("revoke_token", BTreeMap::from([("id".to_owned(), "8VxZ0a1bQ2c".to_owned())]));
        assert_eq!(
            deed.text().expect("JSON"),
            r#"{"by":{"name":"operator"},"operation":"revoke_token","parameters":{"id":"8VxZ0a1bQ2c"}}"#
        );
        deed.status = Some(204);
        deed.replayed = true;
        assert_eq!(serde_json::from_str::<Deed>(&deed.text().expect("JSON")).expect("a deed"), deed);
    }
}
