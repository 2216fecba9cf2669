//! The log of administrative acts.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, get};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{Admin, Allowed, OnEverything};
use super::headers::tagged;
use super::problem::Problem;
use super::query::{Query, name_cursor, next_name_cursor};
use crate::audit::{AuditLog, Author, Deed, Log, Noted, Wanted};
use crate::error::{Error, Result};
use crate::types::{AuditId, LeaderboardName, Limit, QueueName, Reason, Timestamp, TokenId};

const MAX_TEXT: usize = 128;

/// Which acts to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditLogParameters {
    /// How many to give.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 50, nullable = false)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// Which of the two logs: what administrators did (by default), or which players' tokens were made.
    #[serde(default)]
    #[param(inline, nullable = false)]
    log: Log,
    /// By whom: the id or the name of a token, `admin`, `anyone` or `operator`.
    #[param(nullable = false, min_length = 1, max_length = 128)]
    by: Option<String>,
    /// The operation, by its `operationId`.
    #[param(nullable = false, min_length = 1, max_length = 128)]
    operation: Option<String>,
    /// On which leaderboard.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", nullable = false)]
    leaderboard: Option<LeaderboardName>,
    /// On which queue.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", nullable = false)]
    queue: Option<QueueName>,
    /// Not before this time.
    #[param(value_type = Option<String>, format = DateTime, nullable = false)]
    since: Option<Timestamp>,
    /// Not after this time.
    #[param(value_type = Option<String>, format = DateTime, nullable = false)]
    until: Option<Timestamp>,
}

impl AuditLogParameters {
    fn wanted(self) -> Result<Wanted> {
        let Self { limit: _, cursor: _, log, by, operation, leaderboard, queue, since, until } = self;
        for (name, text) in [("by", &by), ("operation", &operation)] {
            if text.as_ref().is_some_and(|text| text.is_empty() || text.len() > MAX_TEXT) {
                return Err(Error::invalid(name, format!("must be 1 to {MAX_TEXT} bytes")));
            }
        }
        if since.zip(until).is_some_and(|(since, until)| since > until) {
            return Err(Error::invalid("since", "must not be after `until`"));
        }
        Ok(Wanted { log, by, operation, leaderboard, queue, since, until })
    }
}

/// Who did something.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditAuthor)]
pub struct AuthorView {
    /// The id of the token; absent for the admin token, for a service that needs none, and for commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, pattern = "^[0-9A-Za-z]{11}$", example = "8VxZ0a1bQ2c")]
    id: Option<TokenId>,
    /// The name of the token; without an `id` it is `admin`, `anyone` where the service needs no token, or `operator` for a
    /// command of the binary.
    #[schema(example = "back office")]
    name: String,
}

/// An administrative act.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditLogEntry)]
pub struct AuditLogEntryView {
    /// When it was done, by the clock of Redis.
    #[schema(value_type = String, format = DateTime, example = "2026-11-23T05:40:00.123Z")]
    at: Timestamp,
    /// Who did it.
    by: AuthorView,
    /// The operation, by its `operationId`.
    #[schema(example = "put_ban")]
    operation: String,
    /// The method; absent for a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "PUT")]
    method: Option<String>,
    /// The path, with the names of its parameters; absent for a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "/v1/leaderboards/{leaderboard}/bans/{member}")]
    path: Option<String>,
    /// The values of the parameters of path and query, and of what was made the `id`, `name` and `scopes`.
    #[schema(example = json!({"leaderboard": "race", "member": "mallory"}))]
    parameters: BTreeMap<String, String>,
    /// The status that it was answered with: one from 500 on leaves open whether it was done. Absent for a command, and where
    /// the caller hung up before the answer, which leaves it open, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 200, maximum = 599, example = 201)]
    status: Option<u16>,
    /// The id of the request, as in `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "0f2d9b1c5e7a4c3f8b6d2a1e9c7b5f30")]
    request_id: Option<String>,
    /// The address that the request came from: that of the last proxy, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "127.0.0.1")]
    peer: Option<String>,
    /// Why, where the request said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "speed hack")]
    reason: Option<Reason>,
    /// Whether the answer was one that had been given before, under the same idempotency key: nothing was done this time.
    replayed: bool,
}

impl From<Noted> for AuditLogEntryView {
    fn from(noted: Noted) -> Self {
        let Noted { id: _, at, deed } = noted;
        let Deed { log: _, by, operation, method, path, parameters, status, request_id, peer, reason, replayed } = deed;
        let Author { id, name } = by;
        let by = AuthorView { id, name };
        Self { at, by, operation, method, path, parameters, status, request_id, peer, reason, replayed }
    }
}

/// A page of administrative acts.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditLogPage)]
pub struct AuditLogView {
    /// The newest first.
    entries: Vec<AuditLogEntryView>,
    /// Give it as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

impl AuditLogView {
    fn new((entries, next): (Vec<Noted>, Option<AuditId>)) -> Self {
        Self {
            entries: entries.into_iter().map(AuditLogEntryView::from).collect(),
            next_cursor: next.map(|id| next_name_cursor(&id.to_string())),
        }
    }
}

/// Lists what administrators did, the newest first.
///
/// Every PUT, POST and DELETE that needs the scope `leaderboards:admin`, `queues:admin`, `tokens:admin` or `admin` stands here
/// before it is answered as done; what was refused does not. Players' tokens have a log of their own. About as many entries
/// of each are kept as the setting `audit_entries` says. A page looks at 1,000 entries: with a filter it may be short, or empty, and still have a `next_cursor`.
/// It tells of all leaderboards and queues, so a token that is held to some is refused.
#[utoipa::path(
    tag = "operations",
    security(("token" = ["admin"])),
    params(AuditLogParameters),
    responses(
        (status = 200, description = "A page of acts.", body = AuditLogView),
        (status = 304, description = "The client has it already, by `If-None-Match`."),
    ),
)]
#[get("/v1/audit")]
pub async fn list_audit_log(
    audit: Allowed<OnEverything<Admin>, AuditLog>,
    request: HttpRequest,
    parameters: Query<AuditLogParameters>,
) -> std::result::Result<HttpResponse, Problem> {
    let (limit, before) = (parameters.0.limit, name_cursor(parameters.0.cursor.as_deref())?);
    tagged(&request, &AuditLogView::new(audit.list(&parameters.0.wanted()?, before, limit).await?))
}
