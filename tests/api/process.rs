//! The built binary: how it starts, and how it ends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{OwnRedis, Process, TestApp, client_builder, eventually, is_alive};

/// The process of the Redis that keeps its data in `directory`.
fn redis_pid(directory: &TempDir) -> i32 {
    let url = format!("redis+unix://{}", directory.path().join("redis/redis.sock").display());
    let mut redis = redis::Client::open(url).and_then(|client| client.get_connection()).expect("Redis answers");
    let info: String = redis::cmd("INFO").arg("server").query(&mut redis).expect("INFO works");
    let line = info.lines().find_map(|line| line.strip_prefix("process_id:")).expect("a process id");
    line.trim().parse().expect("a number")
}

#[tokio::test]
async fn a_killed_service_takes_its_redis_along_and_keeps_its_data() {
    let directory = TempDir::new().expect("a directory");
    let mut service = Process::spawn(directory.path()).await;
    service.submit("race", "alice", 5).await;
    let redis = redis_pid(&directory);
    service.signal(Signal::KILL);
    service.ended().await;
    eventually("its Redis ends", async || (!is_alive(redis)).then_some(())).await;

    let service = Process::spawn(directory.path()).await;
    assert_eq!(service.get("/v1/leaderboards/race/members/alice").await["score"], 5);
}

#[tokio::test]
async fn a_service_has_an_archive_beside_its_private_redis_by_itself() {
    const HISTORY: &str = "/v1/leaderboards/race/members/alice/history";
    let directory = TempDir::new().expect("a directory");
    let scores = async |service: &Process| {
        let history = service.get(HISTORY).await;
        history["history"].as_array().map(Vec::len).filter(|count| *count > 0)
    };
    let service = Process::spawn(directory.path()).await;
    service.submit("race", "alice", 5).await;
    eventually("it is archived", async || scores(&service).await).await;
    assert!(directory.path().join("archive.db").is_file());
    drop(service);
    // The archive has it whatever becomes of Redis.
    std::fs::remove_dir_all(directory.path().join("redis")).expect("its data goes");
    let service = Process::spawn(directory.path()).await;
    assert_eq!(scores(&service).await, Some(1));
    drop(service);

    let without = TestApp::with().data_dir(directory.path()).set("archive_url", "none").spawn().await;
    without.get(HISTORY).await.fails_with(409, "archive-off");
    let redis = OwnRedis::spawn().await;
    let of_many = TestApp::with().redis_url(&redis.url()).set("archive_url", "auto").spawn().await;
    of_many.get(HISTORY).await.fails_with(409, "archive-off");
}

#[tokio::test]
async fn a_killed_service_can_be_started_again_at_once() {
    let directory = TempDir::new().expect("a directory");
    for round in 1..=3 {
        let service = Process::spawn(directory.path()).await;
        service.submit("race", &format!("m{round}"), round).await;
        assert_eq!(service.get("/v1/leaderboards/race").await["entries"], round);
        drop(service);
    }
}

#[tokio::test]
async fn sigterm_ends_the_service_with_code_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let directory = TempDir::new().expect("a directory");
        let mut service = Process::spawn(directory.path()).await;
        service.submit("race", "alice", 5).await;
        let redis = redis_pid(&directory);
        let started = Instant::now();
        service.signal(signal);
        let status = service.ended().await;
        assert_eq!(status.code(), Some(0), "{}", service.log());
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        assert!(!is_alive(redis));
    }
}

#[tokio::test]
async fn a_request_in_flight_at_sigterm_is_finished() {
    let directory = TempDir::new().expect("a directory");
    let mut service = Process::spawn(directory.path()).await;
    let mut slow = TcpStream::connect(service.address()).expect("it listens");
    slow.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let row = r#"{"member":"alice","score":5}"#;
    let head = "POST /v1/leaderboards/race/scores HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let (now, later) = row.split_at(10);
    write!(slow, "{head}Content-Length: {}\r\n\r\n{now}", row.len()).expect("sent");
    is_in_flight(&service).await;
    let started = Instant::now();
    service.signal(Signal::TERM);
    eventually("the stop begins", async || service.log().contains("stopping").then_some(())).await;
    slow.write_all(later.as_bytes()).expect("the connection stands");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(service.ended().await.code(), Some(0), "{}", service.log());
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());

    let service = Process::spawn(directory.path()).await;
    assert_eq!(service.get("/v1/leaderboards/race/members/alice").await["score"], 5);
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_up_the_stop() {
    let directory = TempDir::new().expect("a directory");
    let mut service = Process::spawn(directory.path()).await;
    let mut stuck = TcpStream::connect(service.address()).expect("it listens");
    let head = "POST /v1/leaderboards/race/scores HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    write!(stuck, "{head}Content-Length: 100\r\n\r\n{{").expect("sent");
    let idle = TcpStream::connect(service.address()).expect("it listens");
    is_in_flight(&service).await;
    let started = Instant::now();
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await.code(), Some(0), "{}", service.log());
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    drop((stuck, idle));
}

#[tokio::test]
async fn an_open_service_refuses_to_listen_beyond_loopback() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().to_str().expect("UTF-8");
    for address in ["0.0.0.0:0", "[::]:0"] {
        let (code, message) = Process::run("serve", &["--listen", address, "--data-dir", path], &[]).await;
        assert_eq!(code, 1, "{message}");
        assert!(message.contains("admin_token") && message.contains("RANQ_ADMIN_TOKEN"), "{message}");
    }
    assert!(!directory.path().join("redis").exists(), "nothing was started");
}

#[tokio::test]
async fn without_a_redis_server_the_reason_is_one_line() {
    let (directory, empty) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let path = directory.path().to_str().expect("UTF-8");
    let nowhere = empty.path().to_str().expect("UTF-8");
    let (code, message) =
        Process::run("serve", &["--listen", "127.0.0.1:0", "--data-dir", path], &[("PATH", nowhere)]).await;
    assert_eq!(code, 1, "{message}");
    let lines: Vec<&str> = message.lines().filter(|line| line.starts_with("ranq: ")).collect();
    assert!(
        matches!(lines[..], [line] if line.contains("no redis-server") && line.contains("RANQ_REDIS_URL")),
        "{message}"
    );
    assert!(!message.contains("panicked"), "{message}");
}

#[tokio::test]
async fn every_mistake_of_the_settings_is_told_at_once() {
    let arguments = ["--listen", "nowhere", "--threads", "many"];
    let (code, message) = Process::run("serve", &arguments, &[("RANQ_AUTO_CREATE", "perhaps")]).await;
    assert_eq!(code, 1, "{message}");
    for name in ["`listen`", "`threads`", "`auto_create`"] {
        assert!(message.contains(name), "{name} in {message}");
    }
}

#[tokio::test]
async fn the_health_check_tells_by_its_exit_code() {
    let directory = TempDir::new().expect("a directory");
    let mut service = Process::spawn(directory.path()).await;
    let address = service.address().to_string();
    let (code, message) = Process::run("healthcheck", &["--listen", &address], &[]).await;
    assert_eq!(code, 0, "{message}");
    service.signal(Signal::TERM);
    service.ended().await;
    let (code, message) = Process::run("healthcheck", &["--listen", &address], &[]).await;
    assert_eq!((code, message.lines().count()), (1, 1), "{message}");
}

/// Waits until the service counts a request beside the one that asks.
async fn is_in_flight(service: &Process) {
    eventually("the request is in flight", async || {
        let client = client_builder().build().ok()?;
        let text = client.get(format!("http://{}/metrics", service.address())).send().await.ok()?.text().await.ok()?;
        text.contains("ranq_http_requests_in_flight 2").then_some(())
    })
    .await;
}
