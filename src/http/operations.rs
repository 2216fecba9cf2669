//! For operators: health, metrics, the pages that explain problems.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::{StatusCode, header};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::caller_of;
use super::outside::Outside;
use super::problem::{Problem, status};
use crate::auth::Scope;
use crate::config::MetricsAccess;
use crate::db::{Health, RedisKind};
use crate::error::{Error, ErrorCode};
use crate::metrics::Metrics;

/// Whether the service is about to stop.
#[derive(Clone, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    /// From now on the service is not ready.
    pub fn begin(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// That the process answers.
#[derive(Serialize, ToSchema)]
#[schema(as = Live)]
pub struct LiveView {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
    /// The version that runs.
    #[schema(example = "0.1.0")]
    version: &'static str,
}

/// Tells that the process answers.
#[utoipa::path(
    tag = "operations",
    security(()),
    responses((status = 200, description = "The process answers.", body = LiveView)),
)]
#[get("/health/live")]
pub async fn health_live() -> HttpResponse {
    HttpResponse::Ok().json(LiveView { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Whether the service can do its work.
#[derive(Serialize, ToSchema)]
#[schema(as = Ready)]
pub struct ReadyView {
    /// `ready`, `draining` or `unavailable`.
    #[schema(example = "ready")]
    status: &'static str,
    /// The Redis behind it.
    redis: RedisView,
}

/// The state of Redis.
#[derive(Serialize, ToSchema)]
#[schema(as = RedisState)]
pub struct RedisView {
    /// `ok` when it takes writes, or `unavailable`.
    #[schema(example = "ok")]
    status: &'static str,
    /// Why it is unavailable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "7.0.15")]
    version: Option<String>,
    /// How it is found: `single`, `sentinel` or `cluster`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "single")]
    deployment: Option<&'static str>,
    /// How it keeps writes: `aof always`, `aof everysec`, `aof no`, `rdb`, `none` or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "aof everysec")]
    persistence: Option<String>,
    /// What it does when its memory is full.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "noeviction")]
    eviction_policy: Option<String>,
    /// What a crash of it may lose of what was acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        nullable = false,
        example = "nothing if redis-server is killed and its disk keeps up; else up to 2 seconds"
    )]
    loss_on_crash: Option<&'static str>,
    /// What a fail-over may lose of it, where another server can take over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "what the replica that takes over had not yet received")]
    loss_on_failover: Option<&'static str>,
    /// How many replicas the server has that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 1)]
    replicas: Option<u32>,
    /// How many masters a Cluster has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 3)]
    masters: Option<u32>,
    /// How many of them take writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 3)]
    masters_ok: Option<u32>,
}

impl From<Result<RedisKind, String>> for RedisView {
    fn from(checked: Result<RedisKind, String>) -> Self {
        let (kind, detail) = match checked {
            Ok(kind) => (Some(kind), None),
            Err(detail) => (None, Some(detail)),
        };
        Self {
            status: if kind.is_some() { "ok" } else { "unavailable" },
            detail,
            version: kind.as_ref().map(|kind| kind.version.clone()),
            persistence: kind.as_ref().map(|kind| kind.persistence.clone()),
            deployment: kind.as_ref().map(|kind| kind.deployment),
            loss_on_crash: kind.as_ref().map(RedisKind::loss_on_crash),
            loss_on_failover: kind.as_ref().and_then(RedisKind::loss_on_failover),
            replicas: kind.as_ref().and_then(|kind| kind.replicas),
            masters: kind.as_ref().and_then(|kind| kind.masters).map(|(_, all)| all),
            masters_ok: kind.as_ref().and_then(|kind| kind.masters).map(|(reached, _)| reached),
            eviction_policy: kind.map(|kind| kind.eviction_policy),
        }
    }
}

/// Tells whether the service can do its work: Redis takes writes, and no stop has begun.
#[utoipa::path(
    tag = "operations",
    security(()),
    responses(
        (status = 200, description = "The service is ready.", body = ReadyView),
        (status = 503, description = "Redis takes no writes, or the service is stopping.", body = ReadyView),
    ),
)]
#[get("/health/ready")]
pub async fn health_ready(health: Data<Health>, draining: Data<Draining>) -> HttpResponse {
    let redis = RedisView::from(health.check().await);
    let (status, word) = match (draining.has_begun(), redis.detail.is_none()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, true) => (StatusCode::OK, "ready"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    HttpResponse::build(status).json(ReadyView { status: word, redis })
}

/// Gives the metrics in the Prometheus text format.
///
/// Where the setting `metrics_access` is `admin`, it needs the admin token or a token with the scope `admin`; where it is `off`, there is no
/// such path.
#[utoipa::path(
    tag = "operations",
    security(()),
    responses((status = 200, description = "The metrics.", body = String, content_type = "application/openmetrics-text")),
)]
#[get("/metrics")]
pub async fn metrics(
    request: HttpRequest,
    metrics: Data<Metrics>,
    outside: Data<Outside>,
) -> Result<HttpResponse, Problem> {
    match outside.metrics {
        MetricsAccess::Open => {}
        MetricsAccess::Admin => caller_of(&request)?.check_scope(Scope::Admin)?,
        MetricsAccess::Off => return Err(Error::NoRoute.into()),
    }
    let text = metrics.render().map_err(|error| Error::Internal(error.to_string()))?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, media_type)).body(text))
}

/// Explains a kind of problem.
#[utoipa::path(
    tag = "operations",
    security(()),
    params(("slug" = String, Path, description = "The last part of the problem's `type`.", example = "invalid")),
    responses((status = 200, description = "A page about it.", body = String, content_type = "text/html")),
)]
#[get("/problems/{slug}")]
pub async fn get_problem(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let slug = request.match_info().get("slug").unwrap_or_default();
    let code = ErrorCode::ALL.into_iter().find(|code| code.facts().slug == slug).ok_or(Error::NoRoute)?;
    let facts = code.facts();
    let retry = if facts.retryable { "The same request may succeed later." } else { "The same request fails again." };
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{slug} – ranq</title>\n<style>body{{font:1rem/1.5 \
         system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}}</style></head>\n<body>\n\
         <h1>{title}</h1>\n<p><code>{slug}</code>, status {status}. {retry}</p>\n<p>{explanation}</p>\n\
         <p><a href=\"/docs/\">API documentation</a></p>\n</body>\n</html>\n",
        title = facts.title,
        status = status(code).as_u16(),
        explanation = facts.explanation,
    );
    Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").body(page))
}
