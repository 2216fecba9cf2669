//! A service for tests that answers as it was told beforehand, for failures that the real one does not give on demand.

use std::sync::{Arc, Mutex};

use reqwest::Url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::service::Service;

/// What happens to one request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    /// A status line and a body.
    Answer(&'static str, &'static str),
    /// The request is read, and the connection ends.
    HangUp,
}

pub(super) struct Scripted {
    url: Url,
    requests: Arc<Mutex<Vec<String>>>,
    /// Ends with the value.
    _server: JoinSet<()>,
}

impl Scripted {
    /// Each request takes the next of the turns, on a connection of its own.
    pub(super) async fn start(turns: Vec<Turn>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let mut server = JoinSet::new();
        server.spawn(async move {
            for turn in turns {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let request = read(&mut stream).await;
                seen.lock().expect("no panic").push(request);
                if let Turn::Answer(status, body) = turn {
                    let length = body.len();
                    let answer =
                        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
                    stream.write_all(answer.as_bytes()).await.expect("the client reads");
                }
            }
        });
        Self { url: format!("http://{address}").parse().expect("a URL"), requests, _server: server }
    }

    pub(super) fn service(&self) -> Service {
        Service::new(&self.url, None).expect("a client")
    }

    /// Method, path and body of each request.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                let target = head.split(" HTTP/").next().expect("a request line");
                return format!("{target} {body}");
            }
        }
        assert!(stream.read_buf(&mut bytes).await.expect("the client writes") > 0, "the request ends early");
    }
}
