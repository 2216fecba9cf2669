//! A client of both instances.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::history::{At, History, Operation, Outcome};

/// Longer than any fault lasts: what a paused instance answers late is heard.
const TIMEOUT: Duration = Duration::from_secs(12);
/// How long a client sends the same again before it counts as unanswered.
const PERSISTENCE: Duration = Duration::from_secs(25);

/// An answer, or none.
pub struct Reply {
    pub outcome: Outcome,
    pub body: Value,
    pub sent: At,
    pub ended: At,
}

impl Reply {
    pub fn is_ok(&self) -> bool {
        matches!(self.outcome, Outcome::Status(200..=299))
    }

    /// Whether it may have happened or not.
    pub fn is_open(&self) -> bool {
        matches!(self.outcome, Outcome::Lost | Outcome::Status(503))
    }
}

/// What is asked for.
#[derive(Clone)]
pub struct Ask {
    pub what: &'static str,
    pub key: String,
    pub path: String,
    pub body: Value,
    pub idempotency_key: Option<String>,
    pub waits: Duration,
}

impl Ask {
    pub fn new(what: &'static str, key: impl Into<String>, path: impl Into<String>, body: Value) -> Self {
        let (key, path) = (key.into(), path.into());
        Self { what, key, path, body, idempotency_key: None, waits: Duration::ZERO }
    }

    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    pub fn waiting(mut self, waits: Duration) -> Self {
        self.waits = waits;
        self
    }
}

/// A client with connections of its own.
pub struct Client {
    pub number: usize,
    pub history: Arc<History>,
    pub random: fastrand::Rng,
    http: reqwest::Client,
    urls: Vec<String>,
}

impl Client {
    pub fn new(number: usize, urls: &[String], history: &Arc<History>, seed: u64) -> Self {
        // Another one may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().tls_certs_only([]).timeout(TIMEOUT).no_proxy().build();
        let random = fastrand::Rng::with_seed(seed.wrapping_mul(1000) + number as u64);
        let (http, urls) = (http.expect("a client"), urls.to_vec());
        Self { number, history: Arc::clone(history), random, http, urls }
    }

    /// Sends it to one of the instances.
    pub async fn send(&mut self, ask: &Ask) -> Reply {
        let instance = self.random.usize(..self.urls.len());
        self.send_to(instance, Method::POST, ask).await
    }

    pub async fn send_to(&self, instance: usize, method: Method, ask: &Ask) -> Reply {
        let timeout = TIMEOUT + ask.waits;
        let mut request = self.http.request(method.clone(), format!("{}{}", self.urls[instance], ask.path));
        request = request.timeout(timeout);
        if method != Method::GET {
            request = request.json(&ask.body);
        }
        if let Some(key) = &ask.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let sent = self.history.now();
        let mut why = String::new();
        let (outcome, body, has_advice) = match request.send().await {
            Err(error) => {
                why = format!("{error:?}");
                (Outcome::Lost, Value::Null, false)
            }
            Ok(response) => {
                let status = response.status().as_u16();
                let has_advice = response.headers().contains_key("retry-after");
                match response.bytes().await {
                    Ok(bytes) => {
                        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                        (Outcome::Status(status), body, has_advice)
                    }
                    Err(error) => {
                        why = format!("{error:?}");
                        (Outcome::Lost, Value::Null, false)
                    }
                }
            }
        };
        let ended = self.history.now();
        let (what, key, waits) = (ask.what, ask.key.clone(), ask.waits);
        let client = self.number;
        self.history.note(Operation { client, instance, what, key, sent, ended, outcome, waits, why });
        match outcome {
            Outcome::Status(503) if !has_advice => {
                self.history.violated(&ask.key, format!("{what}: 503 without Retry-After: {body}"), None);
            }
            Outcome::Status(status @ (500..=502 | 504..)) => {
                self.history.violated(&ask.key, format!("{what}: {status}: {body}"), None);
            }
            Outcome::Status(_) | Outcome::Lost => {}
        }
        Reply { outcome, body, sent, ended }
    }

    /// Sends it again and again, to either instance, until the answer says what became of it.
    pub async fn settle(&mut self, ask: &Ask) -> Option<Reply> {
        let begun = self.history.now();
        loop {
            let reply = self.send(ask).await;
            if !reply.is_open() {
                return Some(reply);
            }
            if self.history.now() > begun + PERSISTENCE {
                self.history.violated(&ask.key, format!("{}: no definite answer in {PERSISTENCE:?}", ask.what), None);
                return None;
            }
            self.pause(20, 60).await;
        }
    }

    /// Sends it until it is done; any refusal is a violation.
    pub async fn insist(&mut self, ask: &Ask) -> Option<Reply> {
        let reply = self.settle(ask).await?;
        if reply.is_ok() {
            return Some(reply);
        }
        self.history.violated(&ask.key, format!("{}: {:?}: {}", ask.what, reply.outcome, reply.body), None);
        None
    }

    pub async fn pause(&mut self, from_ms: u64, to_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.random.u64(from_ms..=to_ms))).await;
    }
}
