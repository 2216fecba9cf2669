//! Nobody outside writes lines of their own into the log.

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Plain, Process, eventually};

/// What would pass for an event, in both forms.
const FORGED: &str = "FORGED";

/// Requests that carry line breaks, escapes and JSON wherever a client can put them.
async fn forge(service: &Process) {
    let heads = [
        "GET /v1/leaderboards/a%0aERROR%20FORGED%1b%5b31m HTTP/1.1",
        "GET /v1/leaderboards/race/members/a%0d%0aERROR%20FORGED HTTP/1.1",
        "GET /v1/leaderboards/race/members/%E2%80%A8ERROR%20FORGED HTTP/1.1",
        "GET /%0a%7b%22level%22:%22FORGED%22%7d?a=%0aFORGED HTTP/1.1",
        "GET /\x1b[31mFORGED HTTP/1.1",
        "FORGED\x1b[31m / HTTP/1.1",
        "GET /v1/leaderboards HTTP/1.1\r\nX-Request-Id: a\tERROR FORGED",
        "GET /v1/leaderboards HTTP/1.1\r\nX-Request-Id: \",\"level\":\"FORGED",
        "GET /v1/leaderboards HTTP/1.1\r\nX-Request-Id: \x1b[31mFORGED",
        "GET /v1/leaderboards HTTP/1.1\r\nX-Request-Id: \u{2028}ERROR FORGED\u{85}",
        "GET /v1/leaderboards HTTP/1.1\r\nX-Request-Id: a\nERROR FORGED",
        "GET /v1/leaderboards HTTP/1.1\r\ntraceparent: 00-\x1b[31mFORGED-b-01",
        "GET /v1/leaderboards HTTP/1.1\r\ntraceparent: 00-FORGED0af7651916cd43dd8448eb211c8-b7ad6b7169203331-01",
        "GET /v1/leaderboards HTTP/1.1\r\nAuthorization: Bearer \x1b[31mFORGED",
        "GET /v1/leaderboards HTTP/1.1\r\nContent-Length: \x1b[31mFORGED",
        "GET /v1/leaderboards HTTP/1.1\r\nIf-None-Match: \x1b[31mFORGED",
    ];
    for head in heads {
        let request = format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n");
        let address = service.address();
        let sent = tokio::task::spawn_blocking(move || {
            use std::io::{Read as _, Write as _};
            let mut stream = std::net::TcpStream::connect(address).expect("it listens");
            stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).expect("a timeout");
            stream.write_all(request.as_bytes()).expect("sent");
            // Some are cut off without an answer.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        sent.await.expect("no panic");
    }
    let client = Plain::to(service.address());
    let names = ["a\u{2028}ERROR FORGED", "{\"level\":\"FORGED\"}", "a\nERROR FORGED", "\u{1b}[31mFORGED"];
    for name in names {
        let row = serde_json::json!({"member": name, "score": 1, "metadata": name});
        client.post("/v1/leaderboards/race/scores", row).await;
        client.post("/v1/queues/emails/jobs", serde_json::json!({"payload": name, "id": name, "key": name})).await;
        let (_, leased) = client.post("/v1/queues/emails/dequeue", serde_json::json!({"worker": name})).await;
        let lease = &leased["jobs"][0]["lease"];
        let id = crate::support::encoded(leased["jobs"][0]["id"].as_str().unwrap_or("none"));
        let body = serde_json::json!({"lease": lease, "error": format!("\n{name}\r\n")});
        client.post(&format!("/v1/queues/emails/jobs/{id}/nack"), body).await;
    }
}

async fn log_of(format: &str) -> String {
    let directory = TempDir::new().expect("a directory");
    let arguments = ["--log", "trace,actix_http=trace", "--log-format", format];
    let service = Process::spawn_with(directory.path(), &arguments).await;
    forge(&service).await;
    Plain::to(service.address()).get("/v1/queues/the-last-one").await;
    let last = async || (service.log().matches("/v1/queues/{queue}").count() > 0).then_some(());
    eventually("the last request is logged", last).await;
    service.log()
}

#[tokio::test]
async fn a_line_of_text_is_an_event_of_the_service() {
    let log = log_of("text").await;
    for line in log.lines() {
        let (time, rest) = line.split_at_checked(27).unwrap_or_else(|| panic!("no event: {line:?}"));
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "no event: {line:?}");
        let level = rest.split_whitespace().next().unwrap_or_default();
        assert!(["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&level), "no event: {line:?}");
        assert!(!line.chars().any(|character| character.is_control() || character == '\u{2028}'), "{line:?}");
    }
}

#[tokio::test]
async fn a_line_of_json_is_an_object_with_the_levels_of_the_service() {
    let log = log_of("json").await;
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(event["timestamp"].is_string(), "{line:?}");
        let level = event["level"].as_str().unwrap_or_default();
        assert!(["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&level) && level != FORGED, "{line:?}");
    }
}
