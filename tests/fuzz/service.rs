//! A service to send things to.

use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::exchange::{Outcome, exchange, exchange_and_close};
use crate::support::{Answer, TestApp};

/// A service with something in it, and what its answers have told.
pub struct Service {
    pub app: TestApp,
    runtime: Runtime,
    /// The latest cursor, lease, id, period, tag and event, by their names in [`Service::told`].
    seen: RefCell<HashMap<&'static str, String>>,
}

/// Fields whose values are noted.
const NOTED: [(&str, &str); 5] =
    [("next_cursor", "@cursor@"), ("lease", "@lease@"), ("id", "@id@"), ("period", "@period@"), ("member", "@member@")];

impl Service {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let app = runtime.block_on(async {
            let app = TestApp::spawn().await;
            fill(&app).await;
            app
        });
        Self { app, runtime, seen: RefCell::default() }
    }

    /// Sends bytes and notes what the answer tells.
    pub fn send(&self, bytes: &[u8]) -> Outcome {
        let outcome = self.runtime.block_on(exchange(self.app.address(), bytes));
        if let Outcome::Answered(answer) = &outcome {
            self.note(answer);
        }
        outcome
    }

    /// Sends bytes after which nothing follows.
    pub fn send_and_close(&self, bytes: &[u8]) -> Outcome {
        self.runtime.block_on(exchange_and_close(self.app.address(), bytes))
    }

    /// Sends a request that is in order.
    pub fn request(&self, method: &str, target: &str, media_type: &str, body: &[u8]) -> Answer {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: ranq\r\nContent-Type: {media_type}\r\n");
        let mut bytes = format!("{head}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        match self.send(&bytes) {
            Outcome::Answered(answer) => answer,
            other => unreachable!("{method} {target}: {other:?}"),
        }
    }

    fn note(&self, answer: &Answer) {
        let mut seen = self.seen.borrow_mut();
        for (name, placeholder) in NOTED {
            if let Some(text) = found(answer.json(), name) {
                seen.insert(placeholder, text.to_owned());
            }
        }
        let tag = answer.header("etag");
        if !tag.is_empty() {
            seen.insert("@tag@", tag.to_owned());
        }
    }

    /// The text with what answers have told in place of `@cursor@` and the like.
    pub fn told(&self, text: &str, encode: fn(&str) -> String) -> String {
        let seen = self.seen.borrow();
        let placeholders = NOTED.iter().map(|(_, placeholder)| *placeholder).chain(["@tag@"]);
        placeholders.fold(text.to_owned(), |text, placeholder| {
            let told = seen.get(placeholder).map_or("none", String::as_str);
            text.replace(placeholder, &encode(told))
        })
    }

    /// Ends it: nothing went wrong inside, and (when the app is dropped) every queue holds together.
    pub fn end(self) {
        let scrape = self.runtime.block_on(self.app.scrape());
        for name in ["ranq_task_errors_total", "ranq_redis_errors_total"] {
            let errors: Vec<&str> = scrape.text().lines().filter(|line| line.starts_with(name)).collect();
            assert!(errors.is_empty(), "{errors:?}");
        }
        let Self { app, runtime, .. } = self;
        runtime.block_on(async { drop(app) });
    }
}

/// The first text under this name.
fn found<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    match value {
        Value::Object(fields) => {
            let own = fields.get(name).and_then(Value::as_str);
            own.or_else(|| fields.values().find_map(|inner| found(inner, name)))
        }
        Value::Array(items) => items.iter().find_map(|inner| found(inner, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

async fn fill(app: &TestApp) {
    app.create(
        "race",
        json!({"segments": ["country"], "windows": [{"name": "all_time"}, {"name": "weekly", "reset": "weekly"}]}),
    )
    .await;
    app.fill("race", [("alice", 5), ("bob", 4), ("carol", 3), ("dan", 3)]).await;
    app.fill("laps", [("alice", 1), ("bob", 2)]).await;
    for number in 0..5 {
        app.enqueue("emails", number).await;
    }
    let held = app.lease("emails", 3).await;
    app.ack(&held[0]).await.is(200);
    app.nack(&held[1], json!({"dead": true})).await.is(200);
    app.put("/v1/queues/emails/schedules/nightly", json!({"cron": "0 3 * * *", "payload": 1})).await.is(201);
}
