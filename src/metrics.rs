//! What the service counts, in the Prometheus text format. docs/operations.md lists every metric.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds of the durations' buckets, in seconds.
const BUCKETS: [f64; 12] = [0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
}

/// The metrics of one service; clones count into the same ones.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    redis_calls: Family<CallLabels, Counter>,
    redis_errors: Family<CallLabels, Counter>,
    redis_seconds: Family<CallLabels, Histogram, fn() -> Histogram>,
    redis_connections: Counter,
    redis_restarts: Counter,
}

fn durations() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("ranq");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", build);
        let mut inner = Inner {
            registry,
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(durations),
            in_flight: Gauge::default(),
            redis_calls: Family::default(),
            redis_errors: Family::default(),
            redis_seconds: Family::new_with_constructor(durations),
            redis_connections: Counter::default(),
            redis_restarts: Counter::default(),
        };
        let registry = &mut inner.registry;
        registry.register("http_requests", "Requests answered", inner.requests.clone());
        registry.register("http_requests_in_flight", "Requests being answered", inner.in_flight.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            inner.request_seconds.clone(),
        );
        registry.register(
            "redis_calls",
            "Commands and scripts sent to Redis, a round trip each",
            inner.redis_calls.clone(),
        );
        registry.register("redis_errors", "Calls of Redis that failed", inner.redis_errors.clone());
        registry.register_with_unit(
            "redis_call_duration",
            "Time from a call of Redis to its answer",
            Unit::Seconds,
            inner.redis_seconds.clone(),
        );
        registry.register("redis_connections", "Connections made to Redis", inner.redis_connections.clone());
        registry.register("redis_restarts", "Restarts of the embedded Redis", inner.redis_restarts.clone());
        Self(Arc::new(inner))
    }
}

impl Metrics {
    /// Counts an answered request. `route` is the pattern of its path, never the path itself.
    pub fn request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let route = route.to_owned();
        self.0.requests.get_or_create(&RequestLabels { method, route: route.clone(), status }).inc();
        self.0.request_seconds.get_or_create(&RouteLabels { method, route }).observe(took.as_secs_f64());
    }

    /// Counts a request as in flight until the guard goes, which it also does when the client hangs up.
    pub fn in_flight(&self) -> InFlight {
        self.0.in_flight.inc();
        InFlight(self.clone())
    }

    /// Counts a call of Redis.
    pub fn redis_call(&self, call: &'static str, took: Duration, succeeded: bool) {
        let labels = CallLabels { call };
        self.0.redis_calls.get_or_create(&labels).inc();
        self.0.redis_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        if !succeeded {
            self.0.redis_errors.get_or_create(&labels).inc();
        }
    }

    /// Counts a connection made to Redis.
    pub fn redis_connected(&self) {
        self.0.redis_connections.inc();
    }

    /// Counts a restart of the embedded Redis.
    pub fn redis_restarted(&self) {
        self.0.redis_restarts.inc();
    }

    /// Everything, in the text format.
    ///
    /// # Errors
    ///
    /// When a value cannot be formatted, which writing to memory never meets.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}

/// A request in flight.
pub struct InFlight(Metrics);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.in_flight.dec();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
