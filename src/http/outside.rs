//! How the service meets the outside: what it allows clients, and what it tells browsers.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::web::Data;

use super::cors::Cors;
use crate::config::{Config, MetricsAccess};

const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// A year, as is usual; nothing is said of other services on the same domain.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// What Swagger UI needs: its own scripts, styles that it sets itself, images in its style sheet, calls of this service.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// The other pages are text with a style.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const DOCS: &str = "/docs";
/// The paths whose answers are nobody's but the caller's.
const API: &str = "/v1/";
const HTML: &[u8] = b"text/html";

/// What the settings say of clients.
pub struct Outside {
    /// How long a client may take to send the head, or the body, of a request.
    pub client_timeout: Duration,
    /// Who may read `/metrics`.
    pub metrics: MetricsAccess,
    /// Which pages of other sites may call.
    pub cors: Cors,
    over_tls: bool,
}

impl Outside {
    /// As the settings have it.
    pub fn new(config: &Config) -> Self {
        Self {
            client_timeout: config.client_timeout,
            metrics: config.metrics_access,
            cors: Cors::new(&config.cors_origins),
            over_tls: config.tls.is_some(),
        }
    }

    /// That of the service which the request came to.
    pub fn of(request: &HttpRequest) -> Option<&Self> {
        request.app_data::<Data<Self>>().map(Data::get_ref)
    }

    /// Puts on an answer what browsers should know.
    pub fn guard(&self, path: &str, headers: &mut HeaderMap) {
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        if self.over_tls {
            headers.insert(STRICT_TRANSPORT_SECURITY, HSTS);
        }
        if path.starts_with(API) {
            if !headers.contains_key(CACHE_CONTROL) {
                headers.insert(CACHE_CONTROL, NO_STORE);
            }
            return;
        }
        if headers.get(CONTENT_TYPE).is_some_and(|media_type| media_type.as_bytes().starts_with(HTML)) {
            let policy = if path.starts_with(DOCS) { DOCS_POLICY } else { PAGE_POLICY };
            for (name, value) in [
                (CONTENT_SECURITY_POLICY, policy),
                (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
                (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
                (CROSS_ORIGIN_OPENER_POLICY, HeaderValue::from_static("same-origin")),
                (CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin")),
            ] {
                headers.insert(name, value);
            }
        }
    }
}
