//! Errors as clients see them: problem details (RFC 9457).

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, ErrorCode, Fault};

/// The media type of problem details.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// What a client waits before it asks again when Redis is away.
const STORE_RETRY_AFTER_S: u64 = 1;

/// An error on its way to the client.
#[derive(Debug)]
pub struct Problem(Error);

impl Problem {
    /// The error itself.
    pub fn error(&self) -> &Error {
        &self.0
    }

    /// The body for the request with this id.
    pub fn body(&self, request_id: Option<&str>) -> ProblemBody {
        ProblemBody::of(&self.0, request_id)
    }

    /// The whole answer to the request with this id.
    pub fn response(&self, request_id: Option<&str>) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CONTENT_TYPE, PROBLEM_JSON));
        match self.0.root() {
            Error::Unauthenticated => {
                response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"ranq\""));
            }
            Error::MethodNotAllowed(allowed) => {
                response.insert_header((header::ALLOW, allowed.as_str()));
            }
            Error::SubmissionLimit { retry_after_ms, .. } | Error::RateLimit { retry_after_ms, .. } => {
                response.insert_header((header::RETRY_AFTER, retry_after_ms.div_ceil(1000).max(1)));
            }
            Error::StoreUnavailable(_)
            | Error::OutcomeUnknown(_)
            | Error::DoneUnnoted
            | Error::ArchiveUnavailable { .. }
            | Error::TooManyStreams { .. } => {
                response.insert_header((header::RETRY_AFTER, STORE_RETRY_AFTER_S));
            }
            Error::ContentEncoding => {
                // RFC 7694: what would be taken.
                response.insert_header((header::ACCEPT_ENCODING, "identity"));
            }
            Error::RequestTimeout(_) | Error::PayloadTooLarge { .. } => {
                // The rest of the body may still come: the connection is of no more use.
                response.force_close();
            }
            _ => {}
        }
        response.json(self.body(request_id)).map_into_boxed_body()
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        status(self.0.code())
    }

    fn error_response(&self) -> HttpResponse {
        self.response(None)
    }
}

/// The status of each code.
pub fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::MalformedRequest => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden | ErrorCode::Banned => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::Conflict
        | ErrorCode::LeaseLost
        | ErrorCode::PeriodClosed
        | ErrorCode::IdempotencyMismatch
        | ErrorCode::ArchiveOff => StatusCode::CONFLICT,
        ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::OutcomeUnknown
        | ErrorCode::StoreUnavailable
        | ErrorCode::TooManyStreams
        | ErrorCode::ArchiveUnavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// An error as problem details (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// A reference to the page that explains this kind of problem.
    #[schema(example = "/problems/invalid", format = "uri-reference")]
    pub r#type: String,
    /// The kind of problem.
    #[schema(example = "The request breaks a rule")]
    pub title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599, example = 422)]
    pub status: u16,
    /// What happened this time.
    #[schema(example = "`/score`: must be a number")]
    pub detail: String,
    /// The id of the request, as in `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub instance: Option<String>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// What is wrong with the input, and where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FaultBody>,
}

/// One fault of an input.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Fault)]
pub struct FaultBody {
    /// A JSON pointer (RFC 6901) into the body, or the name of a parameter.
    #[schema(example = "/score")]
    pub pointer: String,
    /// What is wrong.
    #[schema(example = "must be a number")]
    pub detail: String,
}

impl ProblemBody {
    /// The body of an error.
    pub fn of(error: &Error, request_id: Option<&str>) -> Self {
        let code = error.code();
        let facts = code.facts();
        let faults: &[Fault] = if let Error::Invalid(faults) = error.root() { faults } else { &[] };
        Self {
            r#type: format!("/problems/{}", facts.slug),
            title: facts.title,
            status: status(code).as_u16(),
            detail: error.to_string(),
            instance: request_id.map(str::to_owned),
            retryable: facts.retryable,
            errors: faults
                .iter()
                .map(|fault| FaultBody { pointer: fault.pointer.clone(), detail: fault.detail.clone() })
                .collect(),
        }
    }
}
