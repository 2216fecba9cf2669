//! Headers that more than one resource reads or writes.

use std::future::{Ready, ready};
use std::hash::{DefaultHasher, Hasher as _};

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use serde::Serialize;

use super::problem::Problem;
use crate::error::{Error, Result};
use crate::types::IdempotencyKey;

/// The header that makes a POST count once.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The header of an answer that was given before.
pub const IDEMPOTENT_REPLAYED: &str = "Idempotent-Replayed";

/// The request's `Idempotency-Key`, if it has one.
pub struct IdempotencyHeader(pub Option<IdempotencyKey>);

impl FromRequest for IdempotencyHeader {
    type Error = Problem;
    type Future = Ready<std::result::Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read_key(request).map(Self).map_err(Problem::from))
    }
}

fn read_key(request: &HttpRequest) -> Result<Option<IdempotencyKey>> {
    let mut values = request.headers().get_all(IDEMPOTENCY_KEY);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::invalid(IDEMPOTENCY_KEY, "must be given once"));
    }
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    IdempotencyKey::try_from(text).map(Some).map_err(|detail| Error::invalid(IDEMPOTENCY_KEY, detail))
}

/// The answer to a POST that changes state.
pub fn once(body: &impl Serialize, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    if replayed {
        response.insert_header((IDEMPOTENT_REPLAYED, "true"));
    }
    response.json(body)
}

/// The answer to a read, with a weak `ETag` (RFC 9110, section 8.8.3), or 304 where the client has it already.
pub fn tagged(request: &HttpRequest, body: &impl Serialize) -> std::result::Result<HttpResponse, Problem> {
    let body = serde_json::to_vec(body).map_err(|error| Error::Internal(format!("an answer has no JSON: {error}")))?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&body);
    let tag = format!("W/\"{:016x}\"", hasher.finish());
    let known = request.headers().get_all(header::IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    let status = if known.flat_map(|list| list.split(',')).any(|known| matches(known.trim(), &tag)) {
        StatusCode::NOT_MODIFIED
    } else {
        StatusCode::OK
    };
    let mut response = HttpResponse::build(status);
    response.insert_header((header::ETAG, tag)).insert_header((header::CACHE_CONTROL, "no-cache"));
    if status == StatusCode::NOT_MODIFIED {
        return Ok(response.finish());
    }
    Ok(response.content_type("application/json").body(body))
}

/// The weak comparison of RFC 9110, section 8.8.3.2.
fn matches(known: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    known == "*" || opaque(known) == opaque(tag)
}
