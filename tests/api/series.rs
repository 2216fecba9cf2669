//! Whatever clients send, `/metrics` stays within the bounds of docs/operations.md.

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};

use crate::support::{Plain, Scrape, TestApp, document, eventually};

/// Series of requests: the bound of docs/operations.md.
const MOST_OF_REQUESTS: usize = 5000;
/// Series of one queue.
const MOST_OF_A_QUEUE: usize = 50;
/// Series of everything else: calls of Redis, tasks, streams.
const MOST_OF_THE_REST: usize = 3000;
const NAMED_QUEUES: usize = 1000;
const AT_ONCE: usize = 16;

fn series<'a>(scrape: &'a Scrape, having: &str) -> Vec<&'a str> {
    scrape.text().lines().filter(|line| !line.starts_with('#') && line.contains(having)).collect()
}

/// The methods that the document has, and some that nobody has.
const METHODS: [&str; 10] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW", "X-1"];

#[tokio::test]
async fn paths_and_methods_at_will_make_no_series() {
    let app = TestApp::spawn().await;
    let plain = Plain::to(app.address());
    let templates = document()["paths"].as_object().expect("paths").keys();
    // Not a stream that does not end.
    let mut paths: Vec<String> = templates.filter(|path| !path.ends_with("/events")).cloned().collect();
    for path in &mut paths {
        for name in ["leaderboard", "queue", "member", "window", "segment", "schedule", "id", "slug"] {
            *path = path.replace(&format!("{{{name}}}"), &format!("x{}", fastrand::u32(..)));
        }
    }
    paths.extend((0..1000).map(|number| format!("/{:x}/{number}?{number}={number}", fastrand::u64(..))));
    let requests = paths.iter().flat_map(|path| METHODS.iter().map(move |method| (*method, path)));
    stream::iter(requests)
        .for_each_concurrent(AT_ONCE, async |(method, path)| {
            // An unknown length may end the connection, which makes no series either.
            let _ = plain.try_send(method, path, &Value::Null).await;
        })
        .await;
    let first = app.scrape().await;
    let count = series(&first, "ranq_http_").len();
    assert!(count <= MOST_OF_REQUESTS, "{count} series");
    assert!(series(&first, "").len() - count <= MOST_OF_THE_REST);
    for number in 0..500 {
        plain.try_send(&format!("M{number}"), &format!("/v2/{number}"), &Value::Null).await;
    }
    let second = app.scrape().await;
    let of_requests = |scrape: &Scrape| series(scrape, "ranq_http_").len();
    assert!(of_requests(&second) <= of_requests(&first) + MOST_OF_A_QUEUE, "more requests make no more series");
    let known = document()["paths"].as_object().expect("paths");
    for line in series(&second, "route=") {
        let route = line.split("route=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a route");
        let is_known = known.contains_key(route)
            || route == "none"
            || ["/", "/docs", "/openapi"].iter().any(|start| route.starts_with(start));
        assert!(is_known, "{line}");
    }
}

#[tokio::test]
async fn queues_at_will_make_no_series_beyond_the_bound_and_leave_none() {
    let app = TestApp::spawn().await;
    let plain = Plain::to(app.address());
    let queues: Vec<String> = (0..NAMED_QUEUES + 50).map(|number| format!("q{number}")).collect();
    stream::iter(&queues)
        .for_each_concurrent(AT_ONCE, async |queue| {
            let (status, _) = plain
                .post(&format!("/v1/queues/{queue}/jobs/batch"), json!({"jobs": [{"payload": 1}, {"payload": 2}]}))
                .await;
            assert_eq!(status, 200);
            let (_, leased) = plain.post(&format!("/v1/queues/{queue}/dequeue"), json!({"limit": 2})).await;
            for (number, end) in ["ack", "nack"].iter().enumerate() {
                let job = &leased["jobs"][number];
                let path = format!("/v1/queues/{queue}/jobs/{}/{end}", job["id"].as_str().expect("an id"));
                assert_eq!(plain.post(&path, json!({"lease": job["lease"]})).await.0, 200);
            }
        })
        .await;
    let scrape = app.scrape().await;
    let count = series(&scrape, "queue=\"").len();
    assert!(count <= (NAMED_QUEUES + 1) * MOST_OF_A_QUEUE, "{count} series");
    assert!(scrape.sum("ranq_jobs_enqueued_total", &[("queue", "_other")]).is_some());

    let (gone, left) = queues.split_at(NAMED_QUEUES + 49);
    stream::iter(gone)
        .for_each_concurrent(AT_ONCE, async |queue| {
            assert_eq!(plain.send("DELETE", &format!("/v1/queues/{queue}"), &Value::Null).await.0, 204);
        })
        .await;
    eventually("only the queue that is left has series", async || {
        let scrape = app.scrape().await;
        let others = series(&scrape, "queue=\"")
            .into_iter()
            .filter(|line| !line.contains("queue=\"_other\"") && !line.contains(&format!("queue=\"{}\"", left[0])));
        (others.count() == 0).then_some(())
    })
    .await;
    // There is room again for names.
    app.enqueue("fresh", 1).await;
    assert_eq!(app.scrape().await.sum("ranq_jobs_enqueued_total", &[("queue", "fresh")]), Some(1.0));
}

#[tokio::test]
async fn a_queue_that_another_instance_deletes_leaves_no_series_here() {
    let redis = crate::support::OwnRedis::spawn().await;
    let (one, other) = (TestApp::with().redis_url(&redis.url()), TestApp::with().redis_url(&redis.url()));
    let (one, other) = (one.spawn().await, other.spawn().await);
    one.enqueue("emails", 1).await;
    assert!(!series(&one.scrape().await, "queue=\"emails\"").is_empty());
    other.delete("/v1/queues/emails").await.is(204);
    let forgotten = async || series(&one.scrape().await, "queue=\"emails\"").is_empty().then_some(());
    eventually("it is forgotten", forgotten).await;
}
