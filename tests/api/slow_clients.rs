//! Clients that stand still: the service waits for so long, and then has its memory and its connection back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{TestApp, eventually};

/// The framework looks at its clock each half second.
const SHORT: &str = "1000";
/// Where a large request must arrive in it.
const LONGER: &str = "3000";
/// Much longer than what the tests set, on a machine that has other things to do.
const BY_NOW: Duration = Duration::from_secs(15);

async fn impatient() -> TestApp {
    TestApp::with().set("client_timeout_ms", SHORT).set("keep_alive_ms", SHORT).spawn().await
}

async fn connect(app: &TestApp) -> TcpStream {
    TcpStream::connect(app.address()).await.expect("the service listens")
}

/// What comes until the service hangs up.
async fn rest_of(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(BY_NOW, stream.read_to_end(&mut bytes)).await;
    // Hanging up on what was not read is a reset.
    let _ = read.expect("the service hangs up");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits until the one who asks is alone.
async fn until_alone(app: &TestApp) {
    eventually("no other connection is open", async || {
        app.get("/metrics").await.text().contains("ranq_connections 1\n").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let app = impatient().await;
    for sent in ["", "GET /health/li", "GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let mut stream = connect(&app).await;
        stream.write_all(sent.as_bytes()).await.expect("sent");
        let answer = rest_of(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 ") || answer.is_empty(), "{answer}");
    }
    until_alone(&app).await;
}

#[tokio::test]
async fn nor_does_a_second_head_come_for_ever() {
    let app = impatient().await;
    let mut stream = connect(&app).await;
    stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.expect("an answer");
    assert!(answer[..length].starts_with(b"HTTP/1.1 200 "));
    // The framework waits for no head but the first, as long as something comes.
    stream.write_all(b"GET /health/live HTTP/1.1\r\nX-Slow: ").await.expect("sent");
    let (mut reading, mut writing) = stream.into_split();
    let drip = tokio::spawn(async move {
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut rest = Vec::new();
    // Hanging up on what was not read is a reset.
    let _ = tokio::time::timeout(BY_NOW, reading.read_to_end(&mut rest)).await.expect("the service hangs up");
    assert!(rest.is_empty(), "{rest:?}");
    drip.await.expect("it ends with the connection");
    until_alone(&app).await;
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_in_time() {
    let app = impatient().await;
    let mut stream = connect(&app).await;
    stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    assert!(rest_of(&mut stream).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_body_has_a_deadline_however_it_drips() {
    let app = impatient().await;
    let mut stream = connect(&app).await;
    let head = "POST /v1/leaderboards/race/scores HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    stream.write_all(format!("{head}Content-Length: 1000\r\n\r\n{{").as_bytes()).await.expect("sent");
    let (mut reading, mut writing) = stream.into_split();
    let drip = tokio::spawn(async move {
        while writing.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = vec![0; 4096];
    let length = tokio::time::timeout(BY_NOW, reading.read(&mut answer)).await.expect("an answer").expect("bytes");
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("/problems/request-timeout"), "{answer}");
    assert!(answer.contains("within 1s") && answer.to_lowercase().contains("connection: close"), "{answer}");
    drip.await.expect("no panic");
    until_alone(&app).await;
}

#[tokio::test]
async fn whoever_is_answered_may_wait_longer() {
    let app = TestApp::with().set("client_timeout_ms", LONGER).set("keep_alive_ms", LONGER).spawn().await;
    app.create_queue("work", json!({})).await;
    let started = Instant::now();
    let answer = app.post("/v1/queues/work/dequeue", json!({"wait_ms": 4000})).await.is(200);
    assert_eq!(answer["jobs"], json!([]));
    assert!(started.elapsed() >= Duration::from_millis(4000), "a wait is not the client's fault");
}

/// A client with little room, which asks and never reads.
async fn deaf(app: &TestApp, requests: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a size");
    let mut stream = socket.connect(app.address()).await.expect("the service listens");
    // It stops reading when its answers are not read.
    let _ = tokio::time::timeout(Duration::from_millis(200), stream.write_all(requests.as_bytes())).await;
    stream
}

#[tokio::test]
async fn whoever_reads_no_answers_is_given_up() {
    let app = impatient().await;
    let requests = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
    let held = deaf(&app, &requests).await;
    until_alone(&app).await;
    drop(held);
}

#[tokio::test]
async fn whoever_reads_no_export_is_given_up() {
    let app = TestApp::with().set("client_timeout_ms", LONGER).set("keep_alive_ms", "600000").spawn().await;
    app.create("race", json!({})).await;
    let metadata = json!({"text": "x".repeat(900)});
    for batch in 0..8 {
        let rows =
            (0..1000).map(|row| json!({"member": format!("m{batch}-{row}"), "score": row, "metadata": metadata}));
        app.batch("race", rows.collect::<Vec<Value>>()).await.is(200);
    }
    let held = deaf(&app, "GET /v1/leaderboards/race/export HTTP/1.1\r\nHost: x\r\n\r\n").await;
    until_alone(&app).await;
    drop(held);
}

#[tokio::test]
async fn a_slow_reader_who_goes_on_gets_all() {
    let app = TestApp::with().set("client_timeout_ms", LONGER).spawn().await;
    app.create("race", json!({})).await;
    let rows =
        (0..1000).map(|row| json!({"member": format!("m{row}"), "score": row, "metadata": {"text": "x".repeat(900)}}));
    app.batch("race", rows.collect::<Vec<Value>>()).await.is(200);
    let request = "GET /v1/leaderboards/race/export HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut stream = deaf(&app, request).await;
    let (mut all, mut part) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let length = stream.read(&mut part).await.expect("it goes on");
        if length == 0 {
            break;
        }
        all.extend_from_slice(&part[..length]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let text = String::from_utf8_lossy(&all);
    assert!(text.ends_with("0\r\n\r\n") && text.matches("\"rank\"").count() == 1000, "{} bytes", all.len());
}
