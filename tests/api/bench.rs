//! `ranq bench` against services of the tests' own.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::{Process, TestApp};

const SMALL: [&str; 4] = ["--seconds", "1", "--entries", "100"];

/// What a run came to.
struct Done {
    succeeded: bool,
    stdout: String,
    stderr: String,
    /// The report; `null` where there is none.
    report: Value,
}

impl Done {
    /// The figures of a workload, in a run that has succeeded.
    fn of(&self, workload: &str) -> &Value {
        assert!(self.succeeded, "{}{}", self.stdout, self.stderr);
        let workloads = self.report["workloads"].as_array().expect("a list");
        workloads.iter().find(|figures| figures["workload"] == workload).expect("it was measured")
    }
}

async fn bench(address: SocketAddr, arguments: &[&str]) -> Done {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("report.json");
    let url = format!("http://{address}");
    let given = ["--url", &url, "--json", file.to_str().expect("UTF-8")];
    let few: &[&str] = if arguments.contains(&"--connections") { &[] } else { &["--connections", "4"] };
    let mut command = Process::command("bench", &[&SMALL[..], &given, few, arguments].concat());
    command.stdout(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || command.output().expect("the binary runs")).await;
    let output = output.expect("no panic");
    let report = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Done { succeeded: output.status.success(), stdout: text(output.stdout), stderr: text(output.stderr), report }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The requests of an open loop that were due.
fn due(figures: &Value) -> u64 {
    let of = |name| figures[name].as_u64().unwrap_or_else(|| panic!("{figures} has no {name}"));
    of("requests") + of("not_sent")
}

/// What passes everything on, the answers late.
async fn slow_proxy(service: SocketAddr, delay: Duration) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(pass_on(client, service, delay));
        }
    });
    (address, tasks)
}

async fn pass_on(mut client: TcpStream, service: SocketAddr, delay: Duration) {
    let mut server = TcpStream::connect(service).await.expect("the service listens");
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.split(), server.split());
    let answers = async {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            tokio::time::sleep(delay).await;
            if to_client.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => {}
        () = answers => {}
    }
}

#[tokio::test]
async fn a_closed_loop_is_what_there_is_without_a_rate() {
    let app = TestApp::with().server_clock().spawn().await;
    let done = bench(app.address(), &["--workloads", "submit,mixed,jobs"]).await;
    for workload in ["live", "submit", "mixed", "jobs"] {
        let figures = done.of(workload);
        assert_eq!((&figures["loop"], &figures["asked_per_s"]), (&json!("closed"), &Value::Null), "{figures}");
        assert!(number(&figures["ratio_to_live"]) > 0.0 && number(&figures["requests"]) > 0.0, "{figures}");
    }
    assert!(done.stdout.contains("1 s each, a closed loop\n"), "{}", done.stdout);
    // Four reads to a submission.
    let mixed = done.of("mixed");
    let submitted = number(&mixed["scores_per_s"]) / number(&mixed["requests_per_s"]);
    assert!((0.05..0.4).contains(&submitted), "{mixed}");
    assert_eq!(app.keys(), Vec::<String>::new(), "what it made is gone");
}

#[tokio::test]
async fn an_open_loop_sends_what_is_due_and_no_more() {
    let app = TestApp::with().server_clock().spawn().await;
    let workloads = ["submit", "submit-batch", "top", "rank", "around", "mixed", "enqueue", "jobs", "jobs-next"];
    let done = bench(app.address(), &["--rate", "50", "--workloads", &workloads.join(",")]).await;
    for workload in workloads.into_iter().chain(["live"]) {
        let figures = done.of(workload);
        assert_eq!((&figures["loop"], &figures["asked_per_s"]), (&json!("open"), &json!(50)), "{figures}");
        assert_eq!((due(figures), &figures["failed"]), (50, &json!(0)), "{figures}");
        assert_eq!(figures["ratio_to_live"], Value::Null, "{figures}");
    }
    assert!(done.stdout.contains("an open loop of 50 requests/s\n"), "{}", done.stdout);
}

#[tokio::test]
async fn a_request_that_waits_for_a_connection_waits_since_it_was_due() {
    let app = TestApp::with().server_clock().spawn().await;
    let (address, _tasks) = slow_proxy(app.address(), Duration::from_millis(100)).await;
    let done = bench(address, &["--rate", "100", "--connections", "1", "--workloads", "rank"]).await;
    let rank = done.of("rank");
    // One connection gets at most ten answers in the second.
    assert!(number(&rank["requests"]) <= 11.0 && number(&rank["not_sent"]) >= 89.0, "{rank}");
    assert!(number(&rank["requests_per_s"]) < 12.0, "{rank}");
    assert!(number(&rank["p50_ms"]) > 300.0 && number(&rank["max_ms"]) > 700.0, "{rank}");
}

#[tokio::test]
async fn jobs_wake_workers_at_a_rate_of_their_own() {
    let app = TestApp::with().server_clock().spawn().await;
    let done = bench(app.address(), &["--waiters", "5", "--workloads", "wake"]).await;
    let (wake, live) = (done.of("wake"), done.of("live"));
    assert_eq!((&live["loop"], &wake["loop"], &wake["asked_per_s"]), (&json!("closed"), &json!("open"), &json!(200)));
    assert_eq!((due(wake), &wake["failed"]), (200, &json!(0)), "{wake}");
}

#[tokio::test]
async fn what_the_processes_use_is_told_of_every_workload() {
    let app = TestApp::with().server_clock().spawn().await;
    let pid = std::process::id().to_string();
    let done = bench(app.address(), &["--service-pid", &pid, "--redis-pid", &pid, "--workloads", "top,enqueue"]).await;
    for workload in ["live", "top", "enqueue"] {
        for process in ["service", "redis"] {
            assert!(number(&done.of(workload)[process]["rss_mb"]) > 0.0, "{workload}, {process}");
        }
    }
    assert!(done.stdout.contains("service MB") && done.stdout.contains("redis MB"), "{}", done.stdout);
}

#[tokio::test]
async fn subscribers_see_submissions() {
    let app = TestApp::with().server_clock().spawn().await;
    let pid = std::process::id().to_string();
    let arguments = ["--waiters", "5", "--rate", "20", "--service-pid", &pid, "--workloads", "sse"];
    let done = bench(app.address(), &arguments).await;
    let sse = done.of("sse");
    assert_eq!((&sse["loop"], &sse["asked_per_s"], &sse["held"]), (&json!("open"), &json!(20), &json!(5)), "{sse}");
    assert_eq!((due(sse), &sse["failed"]), (20, &json!(0)), "{sse}");
    // Each of the five is told of changes some times, the service's pause between them included.
    let events = number(&sse["events_per_s"]) * number(&sse["seconds"]);
    assert!((9.9..=5.0 * 20.0).contains(&events), "{sse}");
    assert!(number(&sse["max_ms"]) > 0.0 && number(&sse["service"]["rss_mb"]) > 0.0, "{sse}");
    assert!(done.stdout.contains("sse, with 5 subscribers"), "{}", done.stdout);
    assert_eq!(app.keys(), Vec::<String>::new(), "what it made is gone");
}

/// Measures workloads, and the calls behind them.
async fn measure_limit(workloads: &[&str]) {
    let app = TestApp::with().server_clock().spawn().await;
    let done = bench(app.address(), &["--redis-url", &app.redis_url(), "--workloads", &workloads.join(",")]).await;
    for workload in workloads {
        let figures = done.of(workload);
        let limit = &figures["limit"];
        for way in ["pipelined", "one_by_one"] {
            assert!(number(&limit[way]["calls_per_s"]) > 0.0 && limit[way]["failed"] == 0, "{figures}");
        }
        let ratio = number(&figures["requests_per_s"]) / number(&limit["pipelined"]["calls_per_s"]);
        assert!((number(&figures["ratio_to_limit"]) / ratio - 1.0).abs() < 1e-6, "{figures}");
    }
    assert_eq!(done.of("live")["limit"], Value::Null);
    assert!(done.stdout.contains("of limit"), "{}", done.stdout);
    assert_eq!(app.keys(), Vec::<String>::new(), "what it made is gone");
}

#[tokio::test]
async fn the_limit_of_a_leaderboard_is_measured_by_the_same_calls_without_http() {
    measure_limit(&["submit", "submit-batch", "mixed", "submit-2-segments"]).await;
}

#[tokio::test]
async fn the_limit_of_a_queue_is_measured_by_the_same_calls_without_http() {
    measure_limit(&["enqueue", "enqueue-batch", "jobs", "jobs-batch"]).await;
}

#[tokio::test]
async fn another_redis_than_the_services_is_refused() {
    let app = TestApp::with().server_clock().spawn().await;
    for workload in ["top", "enqueue"] {
        let arguments = ["--redis-url", &app.redis_url(), "--key-prefix", "other", "--workloads", workload];
        let done = bench(app.address(), &arguments).await;
        assert!(!done.succeeded && done.stderr.contains("--redis-url") && done.stderr.contains("--key-prefix"));
        assert_eq!(app.keys(), Vec::<String>::new(), "what it made is gone");
    }
    let done = bench(app.address(), &["--redis-url", "redis://:secret@nowhere:x"]).await;
    assert!(
        !done.succeeded && done.stderr.contains("--redis-url") && !done.stderr.contains("secret"),
        "{}",
        done.stderr
    );
}

#[tokio::test]
async fn a_backlog_stands_in_the_queue_before_jobs_are_measured() {
    let app = TestApp::with().server_clock().spawn().await;
    let arguments = ["--workloads", "jobs", "--backlog", "250", "--queue", "measured", "--keep"];
    let done = bench(app.address(), &arguments).await;
    assert!(number(&done.of("jobs")["requests"]) > 0.0);
    // As many are leased as were enqueued, so the backlog is left.
    let left = app.get("/v1/queues/measured-jobs").await.is(200);
    assert!((240..=254).contains(&(number(&left["counts"]["ready"]) as u64)), "{}", left.text());
}
