//! How a worker is set up.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;

use super::Worker;
use super::service::Service;
use super::wire::Order;

const MAX_CONCURRENCY: usize = 1000;
const MAX_QUEUES: usize = 100;
const MAX_WEIGHT: u32 = 1000;
const LEASE_MS: std::ops::RangeInclusive<u128> = 100..=43_200_000;
const MAX_WAIT: Duration = Duration::from_secs(30);
const MAX_NAME_BYTES: usize = 128;
const MAX_QUEUE_BYTES: usize = 64;
/// Below the thirty seconds after which many proxies give up a request.
const DEFAULT_WAIT: Duration = Duration::from_secs(20);
/// Below the thirty seconds that Kubernetes gives a process to end.
const DEFAULT_GRACE: Duration = Duration::from_secs(25);

/// Why a worker cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The address of the service.
    #[error("`{0}` is no address of a service; it looks like http://127.0.0.1:8080")]
    Url(String),
    /// The token has a character that no token has.
    #[error("the token must be visible ASCII characters")]
    Token,
    /// The name of the worker.
    #[error("a worker's name is 1 to {MAX_NAME_BYTES} bytes without control characters")]
    Name,
    /// The queues.
    #[error("a worker needs 1 to {MAX_QUEUES} different queues")]
    Queues,
    /// The name of a queue.
    #[error("`{0}` is no name of a queue: 1 to {MAX_QUEUE_BYTES} of A-Z a-z 0-9 . _ -, the first a letter or digit")]
    Queue(String),
    /// The weight of a queue.
    #[error("a weight is 1 to {MAX_WEIGHT}, and is of use with the order `weighted` alone")]
    Weight,
    /// How many jobs at once.
    #[error("the concurrency is 1 to {MAX_CONCURRENCY}")]
    Concurrency,
    /// How long a lease is.
    #[error("a lease is {} to {} ms", LEASE_MS.start(), LEASE_MS.end())]
    Lease,
    /// How long a request waits for jobs.
    #[error("a request waits for jobs {MAX_WAIT:?} at most")]
    Wait,
    /// The HTTP client, for want of certificates of the system for example.
    #[error("HTTPS cannot be set up: {0}")]
    Client(String),
}

/// What a worker runs with; all of it valid.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub name: String,
    pub queues: Vec<String>,
    pub order: Order,
    pub weights: BTreeMap<String, u32>,
    pub concurrency: usize,
    pub lease: Option<Duration>,
    pub wait: Duration,
    pub timeout: Option<Duration>,
    pub grace: Duration,
    pub cleanup: Duration,
}

/// Sets up a [`Worker`].
#[derive(Debug)]
#[must_use]
pub struct WorkerBuilder {
    url: String,
    token: Option<SecretString>,
    settings: Settings,
}

impl Worker {
    /// A worker for the service at this address, such as `http://127.0.0.1:8080`.
    pub fn builder(url: impl Into<String>) -> WorkerBuilder {
        WorkerBuilder {
            url: url.into(),
            token: None,
            settings: Settings {
                name: default_name(),
                queues: Vec::new(),
                order: Order::Strict,
                weights: BTreeMap::new(),
                concurrency: 1,
                lease: None,
                wait: DEFAULT_WAIT,
                timeout: None,
                grace: DEFAULT_GRACE,
                cleanup: Duration::ZERO,
            },
        }
    }

    /// What the service calls this worker.
    pub fn name(&self) -> &str {
        &self.settings.name
    }
}

impl WorkerBuilder {
    /// The token that every request carries; it needs the scope `jobs:work`.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(SecretString::from(token.into()));
        self
    }

    /// A queue to take jobs from. Called again, it adds another one; see [`WorkerBuilder::order`].
    pub fn queue(mut self, name: impl Into<String>) -> Self {
        self.settings.queues.push(name.into());
        self
    }

    /// A queue with its share among several; for [`Order::Weighted`]. Without a weight, it is 1.
    pub fn weighted_queue(mut self, name: impl Into<String>, weight: u32) -> Self {
        let name = name.into();
        self.settings.weights.insert(name.clone(), weight);
        self.queue(name)
    }

    /// In which order several queues are asked. By default strictly as they were named.
    pub fn order(mut self, order: Order) -> Self {
        self.settings.order = order;
        self
    }

    /// What the service calls this worker. By default the host, the process id and something at random.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// How many jobs run at once. By default 1.
    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.settings.concurrency = jobs;
        self
    }

    /// How long a lease holds; it is extended at a third of that for as long as the job runs. A job of a worker that
    /// dies is run again after this time. By default what its queue says.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = Some(lease);
        self
    }

    /// How long a request waits for a job to come. By default 20 s.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings.wait = wait;
        self
    }

    /// How long a job may take. One that takes longer is stopped and has failed. By default without an end.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }

    /// How long jobs may still run once the worker has been told to stop. By default 25 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// How long a handler may take to end by itself after [`Job::stop_requested`](super::Job::stop_requested); then its
    /// future is dropped. By default not at all.
    pub fn cleanup(mut self, cleanup: Duration) -> Self {
        self.settings.cleanup = cleanup;
        self
    }

    /// The worker. Nothing is sent before [`Worker::run`].
    ///
    /// # Errors
    ///
    /// [`BuildError`], for the first of the settings that is not valid.
    pub fn build(self) -> Result<Worker, BuildError> {
        let Self { url, token, settings } = self;
        let base = Url::parse(&url).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.host().is_some()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        let base = base.ok_or(BuildError::Url(url))?;
        let token = token.filter(|token| !secrecy::ExposeSecret::expose_secret(token).is_empty());
        if let Some(token) = &token
            && !secrecy::ExposeSecret::expose_secret(token).bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(BuildError::Token);
        }
        settings.check()?;
        let service =
            Service::new(&base, token).map_err(|error| BuildError::Client(super::job::with_causes(&error)))?;
        Ok(Worker { settings, service })
    }
}

impl Settings {
    fn check(&self) -> Result<(), BuildError> {
        if self.name.is_empty() || self.name.len() > MAX_NAME_BYTES || self.name.chars().any(char::is_control) {
            return Err(BuildError::Name);
        }
        let different: std::collections::BTreeSet<&String> = self.queues.iter().collect();
        if self.queues.is_empty() || self.queues.len() > MAX_QUEUES || different.len() != self.queues.len() {
            return Err(BuildError::Queues);
        }
        if let Some(bad) = self.queues.iter().find(|name| !is_queue_name(name)) {
            return Err(BuildError::Queue(bad.clone()));
        }
        let in_bounds = self.weights.values().all(|weight| (1..=MAX_WEIGHT).contains(weight));
        if !in_bounds || (self.order == Order::Strict && !self.weights.is_empty()) {
            return Err(BuildError::Weight);
        }
        if !(1..=MAX_CONCURRENCY).contains(&self.concurrency) {
            return Err(BuildError::Concurrency);
        }
        if self.lease.is_some_and(|lease| !LEASE_MS.contains(&lease.as_millis())) {
            return Err(BuildError::Lease);
        }
        if self.wait > MAX_WAIT {
            return Err(BuildError::Wait);
        }
        Ok(())
    }

    pub(super) fn lease_ms(&self) -> Option<u64> {
        self.lease.map(in_ms)
    }
}

/// Whole milliseconds; more than there are in half a billion years are as many as fit.
pub(super) fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn is_queue_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.len() <= MAX_QUEUE_BYTES
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(plain)
}

fn default_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}-{:06x}", std::process::id(), fastrand::u32(..1 << 24))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> WorkerBuilder {
        Worker::builder("http://127.0.0.1:8080").queue("emails")
    }

    #[test]
    fn what_is_not_valid_is_said() {
        let cases: [(WorkerBuilder, &str); 13] = [
            (Worker::builder("127.0.0.1:8080").queue("a"), "no address"),
            (Worker::builder("ftp://host").queue("a"), "no address"),
            (Worker::builder("http://host?x=1").queue("a"), "no address"),
            (builder().token("two words"), "token"),
            (builder().name(""), "name is"),
            (Worker::builder("http://host"), "1 to 100 different queues"),
            (builder().queue("emails"), "1 to 100 different queues"),
            (builder().queue("-x"), "`-x` is no name of a queue"),
            (builder().weighted_queue("a", 2), "weight"),
            (builder().order(Order::Weighted).weighted_queue("a", 0), "weight"),
            (builder().concurrency(0), "concurrency"),
            (builder().lease(Duration::from_millis(99)), "100 to 43200000 ms"),
            (builder().wait(Duration::from_secs(31)), "30s at most"),
        ];
        for (builder, words) in cases {
            let error = builder.build().expect_err(words).to_string();
            assert!(error.contains(words), "{error} has no {words}");
        }
    }

    #[test]
    fn the_defaults_make_a_worker_with_a_name() {
        let (one, other) = (builder().build().expect("valid"), builder().token("").build().expect("valid"));
        assert!(one.name().contains(&format!("-{}-", std::process::id())), "{}", one.name());
        assert_ne!(one.name(), other.name());
        assert!(Worker::builder("https://example.com/ranq/").queue("a").build().is_ok());
    }

    #[test]
    fn a_token_is_never_shown() {
        let worker = builder().token("rq_hunter2").build().expect("valid");
        assert!(!format!("{worker:?}").contains("hunter2"));
    }
}
