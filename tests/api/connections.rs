//! How many connections there may be.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::{TestApp, eventually};

/// Connections that say nothing. The service may close some of them, at a time of its own.
fn connect(address: SocketAddr, number: usize) -> Vec<TcpStream> {
    (0..number).map(|_| TcpStream::connect(address).expect("the service listens")).collect()
}

/// Whether the service has not closed it so far.
fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let seen = stream.peek(&mut [0; 1]);
    stream.set_nonblocking(false).expect("a socket");
    matches!(seen, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// What is answered to a connection's last request; nothing where the service closes it instead.
fn ask(mut stream: TcpStream, target: &str) -> Option<String> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200 ").then_some(answer)
}

/// As many of the connections as are served.
async fn count_served(streams: Vec<TcpStream>) -> usize {
    let served = move || streams.into_iter().filter_map(|stream| ask(stream, "/health/live")).count();
    tokio::task::spawn_blocking(served).await.expect("no panic")
}

/// Opens so many of which the service lets `most` be, and gives those.
async fn until_held(app: &TestApp, number: usize, most: usize) -> Vec<TcpStream> {
    eventually("as many are held as may be", async || {
        let mut held = connect(app.address(), number);
        eventually("no more are held than may be", async || {
            held.retain(is_open);
            (held.len() <= most).then_some(())
        })
        .await;
        // Fewer where the service has not yet noticed that those of before are gone.
        (held.len() == most).then_some(held)
    })
    .await
}

/// The metrics as soon as there is room to ask for them and `is_so` of them.
async fn metrics_once(app: &TestApp, is_so: impl Fn(&str) -> bool) -> String {
    let address = app.address();
    eventually("the metrics say so", async || {
        let asked = move || ask(TcpStream::connect(address).expect("the service listens"), "/metrics");
        let metrics = tokio::task::spawn_blocking(asked).await.expect("no panic");
        metrics.filter(|metrics| is_so(metrics))
    })
    .await
}

fn refused(metrics: &str) -> Option<u64> {
    metrics.lines().find_map(|line| line.strip_prefix("ranq_connections_refused_total "))?.parse().ok()
}

#[tokio::test]
async fn an_instance_has_so_many_connections_though_they_say_nothing() {
    let app = TestApp::with().set("max_connections", "4").spawn().await;
    let mut held = until_held(&app, 10, 4).await;
    held.pop();
    let metrics = metrics_once(&app, |metrics| metrics.contains("ranq_connections 4\n")).await;
    assert!(refused(&metrics).is_some_and(|count| count >= 6), "{metrics}");
    assert_eq!(count_served(held).await, 3, "those that are there are served");
    metrics_once(&app, |metrics| metrics.contains("ranq_connections 1\n")).await;
}

#[tokio::test]
async fn an_address_has_so_many() {
    let app = TestApp::with().set("max_connections_per_peer", "3").spawn().await;
    drop(until_held(&app, 8, 3).await);
    let metrics = metrics_once(&app, |metrics| metrics.contains("ranq_connections 1\n")).await;
    assert!(refused(&metrics).is_some_and(|count| count >= 5), "{metrics}");
}

#[tokio::test]
async fn a_trusted_proxy_has_as_many_as_it_likes() {
    let options = TestApp::with().set("max_connections_per_peer", "2").set("trusted_proxies", "127.0.0.1");
    let app = options.spawn().await;
    assert_eq!(count_served(connect(app.address(), 8)).await, 8);
}

#[tokio::test]
async fn without_a_limit_an_address_has_all() {
    let app = TestApp::spawn().await;
    assert_eq!(count_served(connect(app.address(), 20)).await, 20);
}
