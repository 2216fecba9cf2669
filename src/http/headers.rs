//! Headers that more than one resource reads or writes.

use std::future::{Ready, ready};
use std::hash::{DefaultHasher, Hasher as _};

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::problem::Problem;
use crate::error::{Error, Result};
use crate::queue::Once;
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

impl IdempotencyHeader {
    /// What makes this request count once: the key, and a digest of the request, so that another one with it is told.
    pub fn once(&self, request: &HttpRequest, body: &[u8]) -> Option<Once> {
        let key = self.0.as_ref()?;
        let mut digest = Sha256::new();
        for part in [request.method().as_str().as_bytes(), request.uri().to_string().as_bytes(), body] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let fingerprint = URL_SAFE_NO_PAD.encode(&digest.finalize()[..16]);
        Some(Once { key: key.as_str().to_owned(), fingerprint })
    }
}

/// The answer to a POST that changes state.
pub fn once(body: &impl Serialize, replayed: bool) -> HttpResponse {
    answered(StatusCode::OK, body, replayed)
}

/// An answer that may have been given before.
pub fn answered(status: StatusCode, body: &impl Serialize, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if replayed {
        response.insert_header((IDEMPOTENT_REPLAYED, "true"));
    }
    response.json(body)
}

/// The answer to a read, with a weak `ETag` (RFC 9110, section 8.8.3), or 304 where the client has it already.
pub fn tagged(request: &HttpRequest, body: &impl Serialize) -> std::result::Result<HttpResponse, Problem> {
    let body = serde_json::to_vec(body).map_err(|error| Error::Internal(format!("an answer has no JSON: {error}")))?;
    Ok(tagged_text(request, body))
}

/// The same of JSON that is written already.
pub fn tagged_text(request: &HttpRequest, body: Vec<u8>) -> HttpResponse {
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
    response.insert_header((header::ETAG, tag)).insert_header((header::CACHE_CONTROL, "private, no-cache"));
    if status == StatusCode::NOT_MODIFIED {
        return response.finish();
    }
    response.content_type("application/json").body(body)
}

/// The weak comparison of RFC 9110, section 8.8.3.2.
fn matches(known: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    known == "*" || opaque(known) == opaque(tag)
}
