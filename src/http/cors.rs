//! Pages of other sites: which of them may call (the CORS protocol of the Fetch standard).
//!
//! Never with credentials: a browser sends no cookies, and the service has none. What an origin that is not listed sends is answered
//! as if this was off, so that its browser keeps the answer from the page.

use actix_web::HttpResponse;
use actix_web::dev::RequestHead;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue,
    ORIGIN, VARY,
};

use crate::config::Origins;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE");
/// What the operations read of a request.
const TAKEN: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-Request-Id, traceparent",
);
/// What the operations say in headers, beside what every page may read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Cache-Status, ETag, Idempotent-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id",
);
/// How long a browser may remember a preflight, in seconds: no browser does for more than two hours.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const BY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");
const BY_PREFLIGHT: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The origins that may call.
pub struct Cors {
    any: bool,
    listed: Vec<HeaderValue>,
}

impl Cors {
    /// Those of the settings.
    pub fn new(origins: &Origins) -> Self {
        match origins {
            Origins::Any => Self { any: true, listed: Vec::new() },
            Origins::Listed(origins) => {
                let listed = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
                Self { any: false, listed }
            }
        }
    }

    /// Whether nobody may.
    fn is_off(&self) -> bool {
        !self.any && self.listed.is_empty()
    }

    /// What an answer to this request says of who may read it; nothing where the origin may not.
    pub fn allowed(&self, head: &RequestHead) -> Option<HeaderValue> {
        if self.is_off() {
            return None;
        }
        let origin = head.headers.get(ORIGIN)?;
        if self.any { Some(ANY) } else { self.listed.iter().find(|listed| *listed == origin).cloned() }
    }

    /// The answer to a browser that asks whether it may send a request.
    pub fn preflight(head: &RequestHead, allowed: Option<&HeaderValue>) -> Option<HttpResponse> {
        let asks = head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || allowed.is_none() {
            return None;
        }
        let mut response = HttpResponse::NoContent();
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (ACCESS_CONTROL_ALLOW_HEADERS, TAKEN),
            (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
            (VARY, BY_PREFLIGHT),
        ] {
            response.insert_header((name, value));
        }
        Some(response.finish())
    }

    /// Says on an answer who may read it.
    pub fn tell(&self, allowed: Option<HeaderValue>, headers: &mut HeaderMap) {
        if self.is_off() {
            return;
        }
        if !self.any && !headers.contains_key(VARY) {
            headers.insert(VARY, BY_ORIGIN);
        }
        if let Some(allowed) = allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}
