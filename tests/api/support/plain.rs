//! Requests that are not held against the document: to processes, and by the ten thousand.

use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::client_builder;

/// A client of one instance, which keeps its connections.
#[derive(Clone)]
pub struct Plain {
    base: String,
    client: reqwest::Client,
}

impl Plain {
    pub fn to(address: SocketAddr) -> Self {
        Self { base: format!("http://{address}"), client: client_builder().build().expect("a client") }
    }

    /// Sends a request; `None` where the connection ends without an answer.
    pub async fn try_send(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let method = method.parse().expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if !body.is_null() {
            request = request.json(body);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    pub async fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.try_send(method, path, body).await;
        answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send("POST", path, &body).await
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, &Value::Null).await
    }

    /// POSTs and reads only what `T` names; the answer must be a 200.
    pub async fn post_for<T: DeserializeOwned>(&self, path: &str, body: &Value) -> T {
        let response = self.client.post(format!("{}{path}", self.base)).json(body).send().await;
        let response = response.unwrap_or_else(|error| panic!("no answer to POST {path}: {error:?}"));
        let status = response.status().as_u16();
        let bytes = response.bytes().await.expect("the body arrives");
        assert_eq!(status, 200, "POST {path}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }
}
