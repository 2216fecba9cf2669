//! What tells of members, as a small HTTP server.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a request is answered.
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    pub after: Duration,
    pub header: &'static str,
}

impl Reply {
    pub fn json(body: &Value) -> Self {
        Self::text(body.to_string())
    }

    pub fn text(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into(), after: Duration::ZERO, header: "x: y" }
    }

    pub fn status(status: u16) -> Self {
        Self { status, ..Self::json(&json!({"of": "the status"})) }
    }

    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    pub fn header(self, header: &'static str) -> Self {
        Self { header, ..self }
    }
}

type Answers = Box<dyn Fn(&str) -> Reply + Send>;

struct State {
    answers: Answers,
    targets: Vec<String>,
    under_way: usize,
    most_under_way: usize,
}

/// An upstream. It ends with the value.
pub struct Upstream {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// One that answers a path's last segment as `{"name": segment}`.
    pub async fn spawn() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let answers = Box::new(|target: &str| Reply::json(&json!({"name": target.rsplit('/').next()})));
        let state = State { answers, targets: Vec::new(), under_way: 0, most_under_way: 0 };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(serve(client, Arc::clone(&shared)));
            }
        });
        Self { address, state, _tasks: tasks }
    }

    pub fn answers(&self, answers: impl Fn(&str) -> Reply + Send + 'static) {
        lock(&self.state).answers = Box::new(answers);
    }

    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// What was asked for, in order.
    pub fn targets(&self) -> Vec<String> {
        lock(&self.state).targets.clone()
    }

    pub fn count(&self) -> usize {
        lock(&self.state).targets.len()
    }

    /// The most requests that were under way at once.
    pub fn most_under_way(&self) -> usize {
        lock(&self.state).most_under_way
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request a connection.
async fn serve(mut client: TcpStream, state: Arc<Mutex<State>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).expect("heads are ASCII");
    let target = head.split(' ').nth(1).expect("a target").to_owned();
    assert!(!head.to_ascii_lowercase().contains("authorization"), "{head}");
    let reply = {
        let mut state = lock(&state);
        let reply = (state.answers)(&target);
        state.targets.push(target);
        state.under_way += 1;
        state.most_under_way = state.most_under_way.max(state.under_way);
        reply
    };
    tokio::time::sleep(reply.after).await;
    lock(&state).under_way -= 1;
    let head = format!(
        "HTTP/1.1 {} Answer\r\ncontent-length: {}\r\nconnection: close\r\n{}\r\n\r\n",
        reply.status,
        reply.body.len(),
        reply.header
    );
    // Who asks may have gone.
    let _ = client.write_all(&[head.as_bytes(), &reply.body].concat()).await;
    let _ = client.shutdown().await;
}
