//! The service in this process, with a Redis of its own and a clock that tests move.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ranq::app::App;
use ranq::config::{Certificates, Config, RedisServer, RedisTarget};
use ranq::db::{Db, Keyspace};
use ranq::leaderboard::Leaderboards;
use ranq::metrics::Metrics;
use ranq::queue::Queues;
use ranq::types::{Clock, Mend};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::deployment::{Lease, TestRedis};
use super::{Answer, client_builder, contract, eventually, raw, signal};

/// Where clocks stand at the start: 2026-11-23T05:40:00.000Z.
const START_MS: i64 = 1_795_412_400_000;

/// How to run the service.
#[derive(Default)]
pub struct Options {
    settings: BTreeMap<&'static str, String>,
    token: Option<String>,
    directory: Option<PathBuf>,
    server_clock: bool,
}

impl Options {
    /// Only this token opens; the app's own requests carry it.
    pub fn admin_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self.set("admin_token", token)
    }

    pub fn without_auto_create(self) -> Self {
        self.set("auto_create", "false")
    }

    /// Time is the Redis server's own.
    pub fn server_clock(mut self) -> Self {
        self.server_clock = true;
        self
    }

    /// Uses this data directory and leaves it there.
    pub fn data_dir(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Uses this Redis in place of an embedded one.
    pub fn redis_url(self, url: &str) -> Self {
        self.set("redis_url", url)
    }

    /// Any other setting.
    pub fn set(mut self, name: &'static str, value: &str) -> Self {
        self.settings.insert(name, value.to_owned());
        self
    }

    pub async fn spawn(self) -> TestApp {
        self.try_spawn().await.expect("the service starts")
    }

    /// The service, or why it could not be started.
    pub async fn try_spawn(self) -> Result<TestApp, String> {
        let own_directory = self.directory.is_none().then(|| Arc::new(TempDir::new().expect("a directory")));
        // A test that names a Redis, or how and where the private one keeps its data, means that.
        let of_redis = ["redis_url", "durability"];
        let is_free = self.directory.is_none() && !of_redis.iter().any(|name| self.settings.contains_key(name));
        let lease = if is_free { Lease::take() } else { None };
        TestApp::start(self, own_directory, lease, None).await
    }
}

/// A running service. It ends with the value.
pub struct TestApp {
    address: SocketAddr,
    clock: Clock,
    token: Option<String>,
    client: reqwest::Client,
    options: Options,
    own_directory: Option<Arc<TempDir>>,
    lease: Option<Arc<Lease>>,
    redis_pid: Option<i32>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TestApp {
    pub async fn spawn() -> Self {
        Self::with().spawn().await
    }

    pub fn with() -> Options {
        Options::default()
    }

    async fn start(
        options: Options,
        own_directory: Option<Arc<TempDir>>,
        lease: Option<Arc<Lease>>,
        clock: Option<Clock>,
    ) -> Result<Self, String> {
        let directory = match (&options.directory, &own_directory) {
            (Some(given), _) => given.clone(),
            (None, own) => own.as_ref().expect("a directory of its own").path().to_owned(),
        };
        let clock = clock.unwrap_or(if options.server_clock { Clock::Server } else { Clock::fixed(START_MS) });
        let mut settings = BTreeMap::from([
            ("listen", "127.0.0.1:0".to_owned()),
            ("data_dir", directory.to_str().expect("a UTF-8 path").to_owned()),
            ("threads", "2".to_owned()),
            ("shutdown_timeout_ms", "1000".to_owned()),
            // What is about it says so.
            ("archive_url", "none".to_owned()),
            // A busy machine is not what a test is about.
            ("redis_timeout_ms", "5000".to_owned()),
        ]);
        settings.extend(lease.as_ref().map(|lease| ("redis_url", lease.url())));
        settings.extend(options.settings.clone());
        let environment = settings.into_iter().map(|(name, value)| (format!("RANQ_{}", name.to_uppercase()), value));
        let config = Config::load(None, environment, BTreeMap::new()).map_err(|error| error.to_string())?;

        let (started, starting) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let its_clock = clock.clone();
        let thread = std::thread::spawn(move || serve(&config, its_clock, started, stopped));
        let outcome = starting.await.expect("the service does not panic at its start");
        let (address, redis_pid) = outcome.inspect_err(|_| assert!(stop.is_closed(), "a service that failed runs"))?;
        Ok(Self {
            address,
            clock,
            token: options.token.clone(),
            // A connection a request: the end of the service then waits for none.
            client: client_builder()
                .pool_max_idle_per_host(0)
                .redirect(reqwest::redirect::Policy::none())
                .default_headers([(reqwest::header::CONNECTION, "close".parse().expect("valid"))].into_iter().collect())
                .build()
                .expect("a client"),
            options,
            own_directory,
            lease,
            redis_pid,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Stops the service and starts it again with the same data.
    pub async fn restart(mut self) -> Self {
        self.end();
        let (options, directory) = (std::mem::take(&mut self.options), self.own_directory.take());
        Self::start(options, directory, self.lease.take(), Some(self.clock.clone()))
            .await
            .expect("the service starts again")
    }

    /// Stops every Redis behind it, or lets them go on.
    pub fn signal_redis(&self, to_send: Signal) {
        match &self.lease {
            Some(lease) => lease.pids().into_iter().for_each(|pid| signal(pid, to_send)),
            None => signal(self.redis_pid(), to_send),
        }
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Nobody listens only where the service has ended already.
            let _ = stop.send(());
        }
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()) || std::thread::panicking(), "the service panicked");
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Moves the clock to a time in RFC 3339.
    pub fn advance_to(&self, time: &str) {
        let time: jiff::Timestamp = time.parse().expect("RFC 3339");
        match &self.clock {
            Clock::Fixed(millis) => millis.store(time.as_millisecond(), std::sync::atomic::Ordering::SeqCst),
            Clock::Server => panic!("the server's clock cannot be moved"),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process of the embedded Redis that the service started with.
    pub fn redis_pid(&self) -> i32 {
        self.redis_pid.expect("there is an embedded Redis")
    }

    pub fn data_dir(&self) -> &Path {
        self.own_directory.as_ref().expect("a directory of its own").path()
    }

    /// A connection to the Redis behind it.
    pub fn redis(&self) -> TestRedis {
        if let Some(lease) = &self.lease {
            return lease.connect();
        }
        let client = redis::Client::open(self.redis_url());
        client.and_then(|client| client.get_connection()).map(TestRedis::Single).expect("the private Redis answers")
    }

    /// The URL of the Redis behind it, for another service beside it.
    pub fn redis_url(&self) -> String {
        if let Some(url) = self.options.settings.get("redis_url") {
            return url.clone();
        }
        if let Some(lease) = &self.lease {
            return lease.url();
        }
        let directory = self.options.directory.as_deref().or(self.own_directory.as_ref().map(|own| own.path()));
        format!("redis+unix://{}", directory.expect("a directory").join("redis/redis.sock").display())
    }

    /// The URL of what the test runs on in place of a private Redis.
    pub fn leased_url(&self) -> Option<String> {
        self.lease.as_ref().map(|lease| lease.url())
    }

    /// The keys of the private Redis, sorted, without those that no leaderboard owns.
    pub fn keys(&self) -> Vec<String> {
        let keys: Vec<String> = redis::cmd("KEYS").arg("ranq:{*").query(&mut self.redis()).expect("KEYS works");
        let of_none = ["ranq:{audit:", "ranq:{probe:"];
        let mut keys: Vec<String> =
            keys.into_iter().filter(|key| !of_none.iter().any(|start| key.starts_with(start))).collect();
        keys.sort();
        keys
    }

    pub fn request(&self, method: &'static str, target: impl Display) -> Request<'_> {
        Request {
            app: self,
            method,
            target: target.to_string(),
            headers: Vec::new(),
            body: None,
            token: self.token.clone(),
        }
    }

    pub async fn get(&self, target: impl Display) -> Answer {
        self.request("GET", target).send().await
    }

    pub async fn delete(&self, target: impl Display) -> Answer {
        self.request("DELETE", target).send().await
    }

    pub async fn put(&self, target: impl Display, body: impl Into<Body>) -> Answer {
        self.request("PUT", target).body(body).send().await
    }

    pub async fn post(&self, target: impl Display, body: impl Into<Body>) -> Answer {
        self.request("POST", target).body(body).send().await
    }

    /// Sends bytes as they are and reads the first answer. Of the contract only the form of problems is checked, since
    /// bytes need not be a request.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let answer = raw::exchange(self.address, bytes.as_ref()).await;
        contract::check_problem_of(&answer);
        answer
    }

    /// Sends bytes as they are, hangs up, and waits until the service has noticed.
    pub async fn cut_off(&self, bytes: impl AsRef<[u8]>) {
        raw::cut_off(self.address, bytes.as_ref());
        let in_flight = async || {
            let metrics = self.get("/metrics").await;
            metrics.text().contains("ranq_http_requests_in_flight 1\n").then_some(())
        };
        eventually("the service notices the end of the connection", in_flight).await;
    }

    /// Makes a token and gives its text.
    pub async fn mint(&self, token: Value) -> String {
        let made = self.post("/v1/tokens", token).await.is(201);
        made.json()["token"].as_str().expect("the text").to_owned()
    }

    /// Creates a leaderboard.
    pub async fn create(&self, board: &str, settings: Value) -> Answer {
        self.put(format!("/v1/leaderboards/{board}"), settings).await.is(201)
    }

    /// Submits a score, which must count as a request.
    pub async fn submit(&self, board: &str, member: &str, score: impl Into<Value>) -> Answer {
        self.submit_row(board, json!({"member": member, "score": score.into()})).await.is(200)
    }

    pub async fn submit_row(&self, board: &str, row: impl Into<Body>) -> Answer {
        self.post(format!("/v1/leaderboards/{board}/scores"), row).await
    }

    /// Submits members with their scores as one batch.
    pub async fn fill<'a>(&self, board: &str, rows: impl IntoIterator<Item = (&'a str, i64)>) -> Answer {
        let rows = rows.into_iter().map(|(member, score)| json!({"member": member, "score": score}));
        self.batch(board, rows.collect::<Vec<Value>>()).await.is(200)
    }

    pub async fn batch(&self, board: &str, items: Vec<Value>) -> Answer {
        self.post(format!("/v1/leaderboards/{board}/scores/batch"), json!({"scores": items})).await
    }

    /// Reads a ranking; `query` may be empty.
    pub async fn rankings(&self, board: &str, query: &str) -> Answer {
        self.get(format!("/v1/leaderboards/{board}/rankings?{query}")).await
    }

    pub async fn member(&self, board: &str, member: &str) -> Answer {
        self.get(format!("/v1/leaderboards/{board}/members/{}", encoded(member))).await
    }
}

impl TestApp {
    /// Every queue and leaderboard holds together, whatever a test has done to it.
    fn check_all(&self) {
        let url = self.redis_url();
        let prefix = self.options.settings.get("key_prefix").map_or("ranq", String::as_str).to_owned();
        let clock = self.clock.clone();
        let server = RedisServer { url: url.into(), certificates: Certificates::default() };
        let checked = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let target = RedisTarget::Server(server);
                let db = Db::beside(&target, Duration::from_secs(20), Metrics::default()).expect("an address");
                let keyspace = Keyspace::new(&prefix);
                let boards = Leaderboards::new(db.handle(), keyspace.clone(), clock.clone(), false);
                let queues = Queues::new(db, keyspace, clock, Metrics::default(), false);
                // A test may have ended its Redis.
                let Ok(names) = queues.names().await else { return };
                for name in names {
                    if let Ok(report) = queues.check(&name).await {
                        assert_eq!(report.faults, [], "queue {name}");
                    }
                }
                let Ok((names, _)) = boards.check_names(Mend::Nothing).await else { return };
                for name in names {
                    if let Ok(report) = boards.check(&name).await {
                        assert_eq!(report.faults, [], "leaderboard {name}");
                    }
                }
            });
        });
        checked.join().expect("everything holds together");
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // What was restarted has nothing left to check.
        if !std::thread::panicking() && self.stop.is_some() {
            self.check_all();
        }
        self.end();
    }
}

type Started = Result<(SocketAddr, Option<i32>), String>;

fn serve(config: &Config, clock: Clock, started: oneshot::Sender<Started>, stopped: oneshot::Receiver<()>) {
    actix_web::rt::System::new().block_on(async {
        let app = match App::build(config, clock) {
            Ok(app) => app,
            Err(error) => {
                drop(stopped);
                started.send(Err(error.to_string())).expect("the test waits");
                return;
            }
        };
        let address = *app.addresses().first().expect("an address");
        started.send(Ok((address, app.redis_pid()))).expect("the test waits");
        // An error means that the test has ended, which is what is waited for.
        app.run(async { drop(stopped.await) }).await.expect("the service runs");
    });
}

/// What a request carries.
pub struct Body(Vec<u8>);

impl From<Value> for Body {
    fn from(value: Value) -> Self {
        Self(value.to_string().into_bytes())
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// A request that is being put together.
pub struct Request<'a> {
    app: &'a TestApp,
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Body>,
    token: Option<String>,
}

impl Request<'_> {
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sends it under this idempotency key.
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// A body, sent as JSON unless a header says otherwise.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends it with this token in place of the app's own.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub fn without_token(mut self) -> Self {
        self.token = None;
        self
    }

    /// Sends it and checks the answer against the OpenAPI document.
    pub async fn send(self) -> Answer {
        let method = self.method.parse().expect("a method");
        let mut request = self.app.client.request(method, format!("http://{}{}", self.app.address, self.target));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if self.body.is_some() && !self.headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in self.headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, value);
        }
        if let Some(Body(bytes)) = self.body {
            request = request.body(bytes);
        }
        let response =
            request.send().await.unwrap_or_else(|error| panic!("{} {}: {error:?}", self.method, self.target));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("the body arrives").to_vec();
        let answer = Answer::new(status, headers, body);
        contract::check(self.method, &self.target, &answer);
        answer
    }
}

/// A text as one segment of a path, or a value in a query.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
