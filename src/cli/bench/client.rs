//! One HTTP/1.1 connection that is kept alive.

use std::io;
use std::net::{SocketAddr, TcpStream as BlockingStream, ToSocketAddrs as _};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::options::ServiceUrl;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Long enough for any answer that is worth waiting for, short enough to see that a service hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Ten times the answer to a full batch.
const MAX_ANSWER: usize = 2 * 1024 * 1024;
/// How much of a bad answer is shown.
const MAX_SHOWN: usize = 500;

/// Why a request did not get a good answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("cannot connect to {address}: {cause}")]
    Connect { address: String, cause: io::Error },
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the answer cannot be read: {0}")]
    Unreadable(Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("status {status}: {body}")]
    Refused { status: StatusCode, body: String },
    #[error("a job that was enqueued did not come")]
    NoJob,
    #[error("an ack was refused")]
    NotAcked,
    #[error("an event that shows the last submission did not come")]
    NoEvent,
    #[error("the stream of events ended")]
    StreamEnded,
    #[error("Redis: {0}")]
    Store(#[from] crate::error::Error),
    #[error("--redis-url: {0}")]
    OtherRedis(String),
    #[error("what is to be sent cannot be made: {0}")]
    NotMade(String),
    #[error("leaderboard `{0}` is there already, and this command would write to it: name another one")]
    LeaderboardExists(String),
    #[error("queue `{0}` is there already, and this command would write to it: name another one")]
    QueueExists(String),
    #[error("cannot start: {0}")]
    Start(io::Error),
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// An answer that is not what was asked for.
    pub fn refused(status: StatusCode, body: &[u8]) -> Self {
        let shown = body.get(..MAX_SHOWN).unwrap_or(body);
        Self::Refused { status, body: String::from_utf8_lossy(shown).into_owned() }
    }
}

/// The service, and what every request to it carries.
#[derive(Debug, Clone)]
pub struct Target {
    address: SocketAddr,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

impl Target {
    /// The first address of the service that takes a connection.
    pub fn reach(url: &ServiceUrl, token: Option<&SecretString>) -> Result<Self, Box<dyn std::error::Error>> {
        let authorization = token.map(SecretString::expose_secret).filter(|token| !token.is_empty()).map(bearer);
        let authorization =
            authorization.transpose().map_err(|_| "the token has characters that no header may have")?;
        let failed = |cause| Failure::Connect { address: url.authority.clone(), cause };
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in url.authority.to_socket_addrs().map_err(failed)? {
            match BlockingStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(_) => return Ok(Self { address, host: url.authority.parse()?, authorization }),
                Err(error) => last = error,
            }
        }
        Err(failed(last).into())
    }

    #[cfg(test)]
    pub fn at(address: SocketAddr) -> Self {
        Self { address, host: HeaderValue::from_static("localhost"), authorization: None }
    }

    pub fn get(&self, path: &str) -> Request<Full<Bytes>> {
        self.request(Method::GET, path, Bytes::new())
    }

    pub fn post(&self, path: &str, json: impl Into<Bytes>) -> Request<Full<Bytes>> {
        self.request(Method::POST, path, json.into())
    }

    pub fn put(&self, path: &str, json: impl Into<Bytes>) -> Request<Full<Bytes>> {
        self.request(Method::PUT, path, json.into())
    }

    pub fn delete(&self, path: &str) -> Request<Full<Bytes>> {
        self.request(Method::DELETE, path, Bytes::new())
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let has_body = !body.is_empty();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("paths are made of checked names and numbers");
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request
    }
}

fn bearer(token: &str) -> Result<HeaderValue, hyper::header::InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// An open connection. What it runs in the background ends with it.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<Result<(), hyper::Error>>,
}

impl Connection {
    pub async fn open(target: &Target) -> Result<Self, Failure> {
        let failed = |cause| Failure::Connect { address: target.address.to_string(), cause };
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(target.address))
            .await
            .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Ok(Self { sender, _driver: driver })
    }

    /// Whether another request can be sent.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// The body of a good answer; any status but 2xx is a failure.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Bytes, Failure> {
        self.send_within(request, ANSWER_TIMEOUT).await
    }

    /// The same for an answer that takes its time.
    pub async fn send_within(&mut self, request: Request<Full<Bytes>>, limit: Duration) -> Result<Bytes, Failure> {
        let (status, body) = timeout(limit, self.exchange(request)).await.map_err(|_| Failure::TimedOut(limit))??;
        if status.is_success() { Ok(body) } else { Err(Failure::refused(status, &body)) }
    }

    /// The body of a good answer that goes on for as long as the service sends. It ends with the connection.
    pub async fn follow(&mut self, request: Request<Full<Bytes>>) -> Result<Incoming, Failure> {
        let begun = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let answer = timeout(ANSWER_TIMEOUT, begun).await.map_err(|_| Failure::TimedOut(ANSWER_TIMEOUT))??;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(Failure::Unreadable)?;
        Err(Failure::refused(status, &body.to_bytes()))
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(Failure::Unreadable)?;
        Ok((status, body.to_bytes()))
    }
}
