//! Two instances of the service on one Redis and one clock, and a client for which they take turns.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ranq::app::App;
use ranq::config::{Certificates, Config, RedisServer, RedisTarget};
use ranq::db::{Db, Keyspace};
use ranq::metrics::Metrics;
use ranq::queue::Queues;
use ranq::types::{Clock, QueueName};
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::wire::Refusal;

/// Milliseconds since 1970, or a span of them.
pub type Ms = i64;

/// 2026-11-23T05:40:00.123Z
const BEGIN_MS: Ms = 1_795_412_400_123;
const KEY_PREFIX: &str = "t";
/// Enough for a machine that is busy with other things.
const REDIS_TIMEOUT: Duration = Duration::from_secs(20);

/// Both instances. They end with the value.
pub struct Service {
    pub clock: TestClock,
    queues: Queues,
    second: Instance,
    first: Instance,
    _directory: TempDir,
}

/// The clock that both instances go by.
pub struct TestClock(Clock);

impl TestClock {
    pub fn now(&self) -> Ms {
        let micros: Ms = self.0.to_argument().parse().expect("a fixed clock says its time");
        micros / 1000
    }

    pub fn move_to(&self, moment: Ms) {
        let by = u64::try_from(moment - self.now()).expect("time goes on");
        self.0.advance(Duration::from_millis(by));
    }
}

impl Service {
    pub fn start() -> Self {
        let clock = Clock::fixed(BEGIN_MS);
        let directory = TempDir::new().expect("a directory");
        let first = Instance::start(&clock, directory.path(), "");
        let socket = format!("redis+unix://{}/redis/redis.sock", directory.path().display());
        let second = Instance::start(&clock, directory.path(), &socket);
        let target = RedisTarget::Server(RedisServer { url: socket.into(), certificates: Certificates::default() });
        let db = Db::beside(&target, REDIS_TIMEOUT, Metrics::default()).expect("a handle");
        let queues = Queues::new(db, Keyspace::new(KEY_PREFIX), clock.clone(), Metrics::default(), false);
        Self { clock: TestClock(clock), queues, first, second, _directory: directory }
    }

    /// Whether what is kept of a queue holds together.
    pub async fn check(&self, queue: &str) -> Result<(), String> {
        let name = QueueName::try_from(queue.to_owned())?;
        let report = self.queues.check(&name).await.map_err(|error| error.to_string())?;
        if report.faults.is_empty() { Ok(()) } else { Err(format!("{queue} has faults: {:?}", report.faults)) }
    }

    pub fn client(&self) -> Client {
        Client { addresses: [self.first.address, self.second.address], connections: [None, None], turn: 0 }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The first has the Redis.
        self.second.stop();
        self.first.stop();
    }
}

struct Instance {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Instance {
    /// Without a URL it has a private Redis in the directory.
    fn start(clock: &Clock, directory: &Path, redis_url: &str) -> Self {
        let settings = [
            ("RANQ_LISTEN", "127.0.0.1:0"),
            ("RANQ_DATA_DIR", directory.to_str().expect("a UTF-8 path")),
            ("RANQ_REDIS_URL", redis_url),
            ("RANQ_THREADS", "1"),
            ("RANQ_SHUTDOWN_TIMEOUT_MS", "1000"),
            ("RANQ_KEY_PREFIX", KEY_PREFIX),
            // What has left the queue is gone.
            ("RANQ_ARCHIVE_URL", "none"),
            ("RANQ_REDIS_TIMEOUT_MS", &REDIS_TIMEOUT.as_millis().to_string()),
        ];
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::load(None, settings, BTreeMap::new()).expect("valid settings");
        let clock = clock.clone();
        let (started, starting) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                let app = App::build(&config, clock).expect("the service starts");
                started.send(*app.addresses().first().expect("an address")).expect("the test waits");
                // An error means that the test has ended, which is what is waited for.
                app.run(async { drop(stopped.await) }).await.expect("the service runs");
            });
        });
        let address = starting.blocking_recv().expect("the service does not panic at its start");
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Nobody listens only where the service has ended already.
            let _ = stop.send(());
        }
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()) || std::thread::panicking(), "the service panicked");
    }
}

/// What was answered.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// The body of an answer with this status; else, or where it has another form, what is wrong.
    pub fn read<T: DeserializeOwned>(&self, status: u16) -> Result<T, String> {
        if self.status != status {
            return Err(format!("expected status {status}, got {self}"));
        }
        serde_json::from_str(&self.body).map_err(|error| format!("{error} in {self}"))
    }

    /// Nothing, as it should be.
    pub fn read_nothing(&self) -> Result<(), String> {
        if (self.status, self.body.as_str()) == (204, "") { Ok(()) } else { Err(format!("expected 204, got {self}")) }
    }

    /// Whether it is a problem with this status and slug.
    pub fn refuses(&self, (status, slug): (u16, &str)) -> Result<(), String> {
        let refusal: Refusal = self.read(status)?;
        if refusal.is(status, slug) { Ok(()) } else { Err(format!("expected {slug}, got {self}")) }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.body)
    }
}

/// Sends every other request to the second instance.
pub struct Client {
    addresses: [SocketAddr; 2],
    connections: [Option<SendRequest<Full<Bytes>>>; 2],
    turn: usize,
}

impl Client {
    pub async fn send(&mut self, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.turn ^= 1;
        let address = self.addresses[self.turn];
        let mut request = Request::builder().method(method).uri(path).header(HOST, address.to_string());
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::copy_from_slice(body.unwrap_or_default().as_bytes()));
        let request = request.body(body).expect("a request");
        let mut connection = match self.connections[self.turn].take() {
            Some(connection) => connection,
            None => connect(address).await,
        };
        if connection.ready().await.is_err() {
            connection = connect(address).await;
        }
        let answer = connection.send_request(request).await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("the body arrives").to_bytes();
        self.connections[self.turn] = Some(connection);
        Answer { status, body: String::from_utf8(body.to_vec()).expect("answers are UTF-8") }
    }
}

async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.expect("the service listens");
    stream.set_nodelay(true).expect("a TCP stream");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(async {
        // It ends with its sender; an error shows in the request that meets it.
        let _ = connection.await;
    });
    sender
}

/// A text as one segment of a path, or a value in a query.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
