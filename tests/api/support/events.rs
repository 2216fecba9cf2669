//! Streams of server-sent events.

use std::net::SocketAddr;

use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::time::timeout;

use super::{PATIENCE, TestApp, client_builder};

/// A stream that a client reads.
pub struct Events {
    response: reqwest::Response,
    unread: Vec<u8>,
}

/// An event.
#[derive(Debug, Clone)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: Value,
}

impl Events {
    pub async fn open(address: SocketAddr, target: &str, last_event_id: Option<&str>) -> Self {
        Self::open_with(address, target, last_event_id, None).await
    }

    /// Opens it with a token.
    pub async fn open_with(
        address: SocketAddr,
        target: &str,
        last_event_id: Option<&str>,
        token: Option<&str>,
    ) -> Self {
        let client = client_builder().pool_max_idle_per_host(0).build().expect("a client");
        let mut request = client.get(format!("http://{address}{target}"));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.expect("the service answers");
        assert_eq!(response.status(), 200, "{target}");
        Self { response, unread: Vec::new() }
    }

    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The lines up to the next empty one; nothing at the end of the stream.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let block = self.unread.drain(..end + 2).collect();
                return Some(String::from_utf8(block).expect("UTF-8").trim_end().to_owned());
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("something comes in time");
            self.unread.extend_from_slice(&chunk.expect("the stream is whole")?);
        }
    }

    /// The next event; nothing at the end of the stream.
    pub async fn next_or_end(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| -> Vec<&str> {
                block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
            };
            if let [name] = field("event")[..] {
                let data = serde_json::from_str(&field("data").join("\n")).expect("the data is JSON");
                return Some(Event { name: name.to_owned(), id: field("id").concat(), data });
            }
        }
    }

    pub async fn next(&mut self) -> Event {
        self.next_or_end().await.expect("the stream goes on")
    }

    /// The next event, which must have this name.
    pub async fn expect(&mut self, name: &str) -> Event {
        let event = self.next().await;
        assert_eq!(event.name, name, "{event:?}");
        event
    }

    /// Reads on until an event shows what is wanted; gives how many there were, and the last.
    pub async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> (usize, Event) {
        for count in 1.. {
            let event = self.next().await;
            if wanted(&event) {
                return (count, event);
            }
        }
        unreachable!("there is no end of numbers")
    }
}

impl TestApp {
    /// Follows a leaderboard; `query` may be empty.
    pub async fn events(&self, board: &str, query: &str) -> Events {
        Events::open(self.address(), &format!("/v1/leaderboards/{board}/events?{query}"), None).await
    }

    /// Comes back with the id of the last event.
    pub async fn events_after(&self, board: &str, query: &str, id: &str) -> Events {
        Events::open(self.address(), &format!("/v1/leaderboards/{board}/events?{query}"), Some(id)).await
    }
}
