//! How many connections there may be.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::{TestApp, eventually};

/// Whether a new connection is closed at once; else it comes back, and has sent nothing yet.
fn attempt(address: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).expect("the service listens");
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    match stream.read(&mut [0; 1]) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Some(stream),
        Ok(_) | Err(_) => None,
    }
}

fn is_served(stream: &mut TcpStream) -> bool {
    stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let mut answer = [0; 64];
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    matches!(stream.read(&mut answer), Ok(length) if answer[..length].starts_with(b"HTTP/1.1 200 "))
}

/// As many as are not closed at once of `number` that say nothing.
async fn attempts(address: SocketAddr, number: usize) -> Vec<TcpStream> {
    let all = tokio::task::spawn_blocking(move || {
        let threads: Vec<_> = (0..number).map(|_| std::thread::spawn(move || attempt(address))).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("no panic")).collect()
    });
    all.await.expect("no panic")
}

/// Tries until so many of `number` are not closed at once. A service that has just begun takes its time for the first ones.
async fn until_held(app: &TestApp, number: usize, most: usize) -> Vec<TcpStream> {
    app.get("/health/live").await.is(200);
    eventually("as many are held as may be", async || {
        let held = attempts(app.address(), number).await;
        assert!(held.len() <= most, "{} are held", held.len());
        (held.len() == most).then_some(held)
    })
    .await
}

async fn until_there_is_room(app: &TestApp) {
    let address = app.address();
    eventually("there is room", async || {
        tokio::task::spawn_blocking(move || attempt(address)).await.expect("no panic")
    })
    .await;
}

#[tokio::test]
async fn an_instance_has_so_many_connections_though_they_say_nothing() {
    let app = TestApp::with().set("max_connections", "4").spawn().await;
    let mut held = until_held(&app, 10, 4).await;
    assert!(held.iter_mut().all(is_served), "those that are there are served");
    held.pop();
    until_there_is_room(&app).await;
    drop(held);
    let metrics = eventually("there is room to ask", async || {
        let alone = app.get("/metrics").await;
        alone.text().contains("ranq_connections 1\n").then(|| alone.text().to_owned())
    });
    assert!(metrics.await.contains("ranq_connections_refused_total "));
}

#[tokio::test]
async fn an_address_has_so_many() {
    let app = TestApp::with().set("max_connections_per_peer", "3").spawn().await;
    let held = until_held(&app, 8, 3).await;
    drop(held);
    until_there_is_room(&app).await;
    let metrics = eventually("there is room to ask", async || {
        let metrics = app.get("/metrics").await;
        metrics.text().contains("ranq_connections 1\n").then(|| metrics.text().to_owned())
    });
    let metrics = metrics.await;
    let refused = metrics.lines().find_map(|line| line.strip_prefix("ranq_connections_refused_total "));
    assert!(refused.and_then(|count| count.parse::<u64>().ok()).is_some_and(|count| count >= 5), "{metrics}");
}

#[tokio::test]
async fn a_trusted_proxy_has_as_many_as_it_likes() {
    let options = TestApp::with().set("max_connections_per_peer", "2").set("trusted_proxies", "127.0.0.1");
    let app = options.spawn().await;
    assert_eq!(attempts(app.address(), 8).await.len(), 8);
}

#[tokio::test]
async fn without_a_limit_an_address_has_all() {
    let app = TestApp::spawn().await;
    assert_eq!(attempts(app.address(), 20).await.len(), 20);
}
