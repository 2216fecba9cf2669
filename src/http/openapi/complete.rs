//! What the routes do not say themselves: the document's head, tags, the security scheme, and every error answer.

use serde_json::{Map, Value, json};
use utoipa::PartialSchema as _;

use crate::error::ErrorCode;
use crate::http::problem::{FaultBody, PROBLEM_JSON, ProblemBody, status};

const DESCRIPTION: &str = "Leaderboards and job queues over HTTP, on Redis.\n\nErrors are `application/problem+json` (RFC 9457); their \
    `type` is the address of a page that explains them. Times are RFC 3339 in UTC with milliseconds, durations are integers \
    in milliseconds. Unknown fields and, under `/v1`, unknown parameters are refused by name. Every answer has an `X-Request-Id`; a \
    client may send its own, and a `traceparent`. Where a limit counts for the caller, every answer under `/v1` has `RateLimit-Policy` and \
    `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10); a batch costs as many requests as it has items, everything else one.";

/// What answers carry where a limit counts for the caller.
const RATE_LIMIT_HEADERS: [(&str, &str); 2] = [
    (
        "RateLimit-Policy",
        "The limits that count for the caller: `\"token\";q=600;w=60` is 600 requests in 60 seconds for this token. `player` is a \
         limit of all tokens of a member, `peer` one of an address.",
    ),
    (
        "RateLimit",
        "What is left of each: `\"token\";r=599;t=1` is 599 requests now, and all of them again after a second.",
    ),
];

const TAGS: [(&str, &str); 11] = [
    ("scores", "Submitting scores."),
    ("rankings", "Reading rankings."),
    ("members", "Reading and removing members of a ranking."),
    ("moderation", "Banning members, setting and removing scores, and what was done of it."),
    ("leaderboards", "Creating, changing, listing and deleting leaderboards."),
    ("jobs", "Enqueuing jobs, reading them, and what operators do with them."),
    ("work", "What workers do: dequeue jobs, and settle their leases."),
    ("queues", "Creating, changing, listing, pausing and deleting queues; workers."),
    ("schedules", "Jobs that are enqueued again and again by the clock."),
    ("tokens", "Who may do what: making, listing, rotating and revoking tokens."),
    ("operations", "For operators: health, metrics, the pages that explain problems."),
];

/// The document with all that is the same for many operations.
pub(super) fn complete(mut document: Value) -> Value {
    document["openapi"] = json!("3.1.0");
    document["info"] = json!({
        "title": "ranq",
        "version": env!("CARGO_PKG_VERSION"),
        "description": DESCRIPTION,
        "license": {"name": "MIT", "identifier": "MIT"},
    });
    document["servers"] = json!([{"url": "/", "description": "This service"}]);
    document["tags"] = TAGS.iter().map(|(name, text)| json!({"name": name, "description": text})).collect();
    let components = &mut document["components"];
    components["securitySchemes"] = json!({
        "token": {"type": "http", "scheme": "bearer", "description": "Needed where the service has an admin token."},
    });
    components["schemas"]["Problem"] = json!(ProblemBody::schema());
    components["schemas"]["Fault"] = json!(FaultBody::schema());
    for group in ErrorAnswer::ALL {
        components["responses"][group.name] = group.response();
    }
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            add_errors(path, method, operation);
        }
    }
    document
}

/// The path that may be kept from others, or not be there.
const METRICS: &str = "/metrics";

/// One error answer: a status with the codes that it may stand for.
struct ErrorAnswer {
    name: &'static str,
    codes: &'static [ErrorCode],
    applies: fn(path: &str, method: &str, operation: &Value) -> bool,
}

impl ErrorAnswer {
    const ALL: [Self; 12] = [
        Self { name: "MalformedRequest", codes: &[ErrorCode::MalformedRequest], applies: |path, _, _| is_api(path) },
        Self {
            name: "Unauthenticated",
            codes: &[ErrorCode::Unauthenticated],
            applies: |path, _, _| is_api(path) || path == METRICS,
        },
        Self {
            name: "Forbidden",
            codes: &[ErrorCode::Forbidden, ErrorCode::Banned],
            applies: |path, _, _| is_api(path) || path == METRICS,
        },
        Self {
            name: "NotFound",
            codes: &[ErrorCode::NotFound],
            applies: |path, _, operation| {
                let never = [
                    "put_leaderboard",
                    "get_member_rankings",
                    "get_member_history",
                    "put_service_ban",
                    "get_history",
                    "purge_history",
                    "erase_member",
                ];
                path == METRICS || path.contains('{') && !never.iter().any(|known| operation["operationId"] == *known)
            },
        },
        Self {
            name: "RequestTimeout",
            codes: &[ErrorCode::RequestTimeout],
            applies: |_, method, operation| reads_body(method, operation),
        },
        Self {
            name: "Conflict",
            codes: &[
                ErrorCode::Conflict,
                ErrorCode::LeaseLost,
                ErrorCode::PeriodClosed,
                ErrorCode::IdempotencyMismatch,
                ErrorCode::ArchiveOff,
            ],
            applies: |path, method, _| match method {
                "put" => true,
                "post" => !path.ends_with("/lookup"),
                "delete" => path.ends_with("/jobs/{id}") || path.ends_with("/history"),
                "get" => path.ends_with("/history"),
                _ => false,
            },
        },
        Self {
            name: "PayloadTooLarge",
            codes: &[ErrorCode::PayloadTooLarge],
            applies: |_, method, operation| reads_body(method, operation),
        },
        Self {
            name: "UnsupportedMediaType",
            codes: &[ErrorCode::UnsupportedMediaType],
            applies: |_, method, operation| reads_body(method, operation),
        },
        Self { name: "Invalid", codes: &[ErrorCode::Invalid], applies: |path, _, _| is_api(path) },
        Self { name: "RateLimited", codes: &[ErrorCode::RateLimited], applies: |path, _, _| is_api(path) },
        Self { name: "Internal", codes: &[ErrorCode::Internal], applies: |path, _, _| is_api(path) || path == METRICS },
        Self {
            name: "Unavailable",
            codes: &[
                ErrorCode::StoreUnavailable,
                ErrorCode::OutcomeUnknown,
                ErrorCode::TooManyStreams,
                ErrorCode::ArchiveUnavailable,
            ],
            applies: |path, _, _| is_api(path),
        },
    ];

    fn status(&self) -> u16 {
        self.codes.first().map_or(500, |code| status(*code).as_u16())
    }

    fn response(&self) -> Value {
        let texts: Vec<String> =
            self.codes.iter().map(|code| format!("`{}`: {}", code.facts().slug, code.facts().explanation)).collect();
        let examples: Map<String, Value> = self.codes.iter().map(|code| example(*code)).collect();
        let mut response = json!({
            "description": texts.join("\n\n"),
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}},
        });
        if matches!(self.status(), 429 | 503) {
            response["headers"]["Retry-After"] = json!({
                "description": "After how many seconds to try again.",
                "schema": {"type": "integer", "minimum": 1},
            });
        }
        if self.status() == 429 {
            for (name, text) in RATE_LIMIT_HEADERS {
                response["headers"][name] =
                    json!({"description": text, "required": false, "schema": {"type": "string"}});
            }
        }
        response
    }
}

fn example(code: ErrorCode) -> (String, Value) {
    let facts = code.facts();
    let mut value = json!({
        "type": format!("/problems/{}", facts.slug),
        "title": facts.title,
        "status": status(code).as_u16(),
        "detail": facts.title,
        "instance": "0f2d9b1c5e7a4c3f8b6d2a1e9c7b5f30",
        "retryable": facts.retryable,
    });
    if code == ErrorCode::Invalid {
        value["detail"] = json!("`/score`: must be a number");
        value["errors"] = json!([{"pointer": "/score", "detail": "must be a number"}]);
    }
    (facts.slug.to_owned(), json!({"value": value}))
}

fn is_api(path: &str) -> bool {
    path.starts_with("/v1/")
}

/// Whether the operation reads a body. One without any still reads it, to refuse what it does not know.
fn reads_body(method: &str, operation: &Value) -> bool {
    method == "post" || operation.get("requestBody").is_some()
}

fn add_errors(path: &str, method: &str, operation: &mut Value) {
    let applying = ErrorAnswer::ALL.into_iter().filter(|answer| (answer.applies)(path, method, operation));
    for answer in applying.collect::<Vec<_>>() {
        let reference = json!({"$ref": format!("#/components/responses/{}", answer.name)});
        operation["responses"][answer.status().to_string()] = reference;
    }
}
