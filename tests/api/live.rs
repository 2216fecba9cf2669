//! Following a ranking live.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::header::HeaderMap;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::support::{Events, OwnRedis, TestApp, entries, eventually, signal};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn members(data: &Value) -> Vec<&str> {
    entries(data).iter().filter_map(|entry| entry["member"].as_str()).collect()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
}

/// How often scripts have published something.
pub fn published(redis: &mut impl redis::ConnectionLike) -> u64 {
    let stats: String = redis::cmd("INFO").arg("commandstats").query(redis).expect("INFO works");
    let calls =
        stats.lines().find_map(|line| line.strip_prefix("cmdstat_publish:calls=")?.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}

#[tokio::test]
async fn a_snapshot_comes_first_and_then_what_changes() {
    let app = TestApp::spawn().await;
    app.fill("race", [("alice", 30), ("bob", 20), ("carol", 10)]).await;
    let mut events = app.events("race", "limit=2").await;
    assert_eq!(header(events.headers(), "content-type"), "text/event-stream");
    assert_eq!(header(events.headers(), "cache-control"), "no-store");
    assert_eq!(header(events.headers(), "x-accel-buffering"), "no");
    assert!(!header(events.headers(), "x-request-id").is_empty());
    assert_eq!(events.block().await.as_deref(), Some("retry: 2000"));

    let snapshot = events.expect("snapshot").await;
    assert_eq!(&snapshot.data, app.rankings("race", "limit=2").await.json());
    app.submit("race", "bob", 40).await;
    let changed = events.expect("rankings").await;
    assert_eq!(members(&changed.data), ["bob", "alice"]);
    assert_eq!(&changed.data, app.rankings("race", "limit=2").await.json());
    assert_ne!(changed.id, snapshot.id);

    app.delete("/v1/leaderboards/race/members/bob").await.is(204);
    assert_eq!(members(&events.expect("rankings").await.data), ["alice", "carol"]);
}

#[tokio::test]
async fn a_line_break_in_metadata_does_not_break_an_event() {
    let app = TestApp::spawn().await;
    app.submit_row("race", "{\"member\":\"alice\",\"score\":1,\"metadata\":{\"a\":\n\n1,\r\n\"b\":2}}").await.is(200);
    let snapshot = app.events("race", "").await.expect("snapshot").await;
    assert_eq!(entries(&snapshot.data)[0]["metadata"], json!({"a": 1, "b": 2}));
}

#[tokio::test]
async fn a_burst_is_few_events_and_the_last_has_the_final_state() {
    let app = TestApp::spawn().await;
    app.submit("race", "alice", 0).await;
    let mut events = app.events("race", "").await;
    events.expect("snapshot").await;
    let started = Instant::now();
    join_all((1..=200).map(|score| app.submit("race", "alice", score))).await;
    let (count, _) = events.until(|event| entries(&event.data)[0]["score"] == 200).await;
    // At most four a second, and the first at once.
    let most = started.elapsed().as_millis() as usize / 250 + 1;
    assert!(count <= most, "{count} events where {most} are allowed");
}

#[tokio::test]
async fn what_changes_nothing_that_is_shown_sends_nothing() {
    let app = TestApp::spawn().await;
    app.submit("race", "alice", 5).await;
    let mut events = app.events("race", "").await;
    events.expect("snapshot").await;
    // It is lower, so it changes nothing.
    app.submit("race", "alice", 4).await;
    app.submit("race", "bob", 1).await;
    assert_eq!(members(&events.expect("rankings").await.data), ["alice", "bob"]);
}

#[tokio::test]
async fn a_silent_stream_shows_signs_of_life() {
    let app = TestApp::with().set("stream_heartbeat_ms", "100").spawn().await;
    app.submit("race", "alice", 5).await;
    let mut events = app.events("race", "").await;
    assert_eq!(events.block().await.as_deref(), Some("retry: 2000"));
    assert!(events.block().await.is_some_and(|block| block.contains("event: snapshot")));
    for _ in 0..3 {
        assert_eq!(events.block().await.as_deref(), Some(": still here"));
    }
}

#[tokio::test]
async fn who_comes_back_gets_a_snapshot_only_if_something_changed() {
    let app = TestApp::spawn().await;
    app.submit("race", "alice", 5).await;
    let first = app.events("race", "").await.expect("snapshot").await;
    // The id is the same after a restart, since it names the content.
    let app = app.restart().await;
    let mut resumed = app.events_after("race", "", &first.id).await;
    assert_eq!(resumed.block().await.as_deref(), Some("retry: 2000"));
    app.submit("race", "alice", 6).await;
    let changed = resumed.expect("rankings").await;
    let again = app.events_after("race", "", &first.id).await.expect("snapshot").await;
    assert_eq!((&again.id, &again.data), (&changed.id, &changed.data));
}

#[tokio::test]
async fn a_member_s_surroundings_are_followed_and_who_passes_is_told() {
    let app = TestApp::spawn().await;
    app.fill("race", [("a", 90), ("b", 80), ("c", 70), ("d", 60), ("e", 50)]).await;
    let mut events = app.events("race", "member=c&radius=1").await;
    let snapshot = events.expect("snapshot").await;
    let around = app.get("/v1/leaderboards/race/members/c/around?radius=1").await;
    assert_eq!(&snapshot.data, around.json());
    assert_eq!(snapshot.data["next"], json!({"member": "b", "gap": 10}));

    app.submit("race", "e", 75).await;
    assert_eq!(members(&events.expect("rankings").await.data), ["e", "c", "d"]);
    let told = events.expect("overtaken").await;
    assert_eq!((&told.data["member"], &told.data["rank"]), (&json!("c"), &json!(4)));
    assert_eq!(told.data["previous_rank"], 3);
    assert_eq!(told.data["by"].as_array().expect("a list").len(), 1, "{told:?}");
    assert_eq!(told.data["by"][0]["member"], "e");
    assert!(told.id.is_empty(), "it is no state to come back to");

    // It passes others: that is no overtaking.
    app.submit("race", "c", 85).await;
    assert_eq!(members(&events.expect("rankings").await.data), ["a", "c", "b"]);
    app.submit("race", "d", 99).await;
    assert_eq!(members(&events.expect("rankings").await.data), ["a", "c", "b"]);
    assert_eq!(events.expect("overtaken").await.data["by"][0]["member"], "d");
}

#[tokio::test]
async fn a_member_without_an_entry_is_waited_for() {
    let app = TestApp::spawn().await;
    app.fill("race", [("a", 90), ("b", 80)]).await;
    let mut events = app.events("race", "member=late&radius=0").await;
    let snapshot = events.expect("snapshot").await;
    assert_eq!((members(&snapshot.data).len(), &snapshot.data["total"]), (0, &json!(2)));
    app.submit("race", "late", 85).await;
    let shown = events.expect("rankings").await;
    assert_eq!((members(&shown.data), &entries(&shown.data)[0]["rank"]), (vec!["late"], &json!(2)));
    app.delete("/v1/leaderboards/race/members/late").await.is(204);
    assert!(members(&events.expect("rankings").await.data).is_empty());
}

#[tokio::test]
async fn a_reset_goes_on_with_the_new_period() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"windows": [{"name": "daily", "reset": "daily"}, {"name": "all_time"}]})).await;
    app.submit("race", "alice", 5).await;
    let mut daily = app.events("race", "").await;
    let mut all_time = app.events("race", "window=all_time").await;
    assert_eq!(daily.expect("snapshot").await.data["period"], "2026-11-23T00:00:00.000Z");
    all_time.expect("snapshot").await;
    app.advance(DAY);
    // Nobody submits anything.
    let next = daily.expect("rankings").await;
    assert_eq!(next.data["period"], "2026-11-24T00:00:00.000Z");
    assert!(members(&next.data).is_empty());
    app.submit("race", "bob", 3).await;
    assert_eq!(members(&daily.expect("rankings").await.data), ["bob"]);
    assert_eq!(members(&all_time.expect("rankings").await.data), ["alice", "bob"]);
}

#[tokio::test]
async fn a_reset_by_the_server_s_clock_is_prompt() {
    let app = TestApp::with().server_clock().spawn().await;
    app.create("race", json!({"windows": [{"name": "short", "reset": "* * * * * *"}]})).await;
    let mut events = app.events("race", "").await;
    let mut last = events.expect("snapshot").await.data["period"].as_str().expect("a name").to_owned();
    for _ in 0..3 {
        let event = events.expect("rankings").await;
        let period = event.data["period"].as_str().expect("a name").to_owned();
        let began: jiff::Timestamp = period.parse().expect("a time");
        let late = jiff::Timestamp::now().duration_since(began).as_secs_f64();
        assert!(period > last && late < 1.0, "{period} after {last} came {late} s late");
        last = period;
    }
}

#[tokio::test]
async fn the_end_of_a_leaderboard_ends_its_streams() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"windows": [{"name": "one"}, {"name": "two"}]})).await;
    let (mut one, mut two) = (app.events("race", "").await, app.events("race", "window=two").await);
    one.expect("snapshot").await;
    two.expect("snapshot").await;
    app.put("/v1/leaderboards/race", json!({"windows": [{"name": "one"}]})).await.is(200);
    assert_eq!(two.expect("end").await.data, json!({"reason": "deleted"}));
    assert!(two.next_or_end().await.is_none());
    app.delete("/v1/leaderboards/race").await.is(204);
    assert_eq!(one.expect("end").await.data, json!({"reason": "deleted"}));
    assert!(one.next_or_end().await.is_none());
    assert_eq!(app.scrape().await.sum("ranq_streams", &[]), Some(0.0));
    assert!(app.keys().is_empty(), "{:?}", app.keys());
}

#[tokio::test]
async fn a_stop_ends_streams_at_once() {
    let app = TestApp::with().set("shutdown_timeout_ms", "20000").spawn().await;
    app.submit("race", "alice", 5).await;
    let mut events = app.events("race", "").await;
    events.expect("snapshot").await;
    let started = Instant::now();
    let app = app.restart().await;
    assert_eq!(events.expect("end").await.data, json!({"reason": "stopping"}));
    assert!(events.next_or_end().await.is_none());
    assert!(started.elapsed() < Duration::from_secs(15), "the stream held the stop up");
    drop(app);
}

#[tokio::test]
async fn a_submission_to_one_instance_is_seen_at_the_other() {
    let redis = OwnRedis::spawn().await;
    let (here, there) =
        (TestApp::with().redis_url(&redis.url()).spawn().await, TestApp::with().redis_url(&redis.url()).spawn().await);
    here.submit("race", "alice", 5).await;
    let (mut near, mut far) = (here.events("race", "").await, there.events("race", "").await);
    assert_eq!(near.expect("snapshot").await.id, far.expect("snapshot").await.id);
    here.submit("race", "bob", 6).await;
    let (near, far) = (near.expect("rankings").await, far.expect("rankings").await);
    assert_eq!((members(&far.data), near.id), (vec!["bob", "alice"], far.id));
}

#[tokio::test]
async fn whoever_reads_slowly_holds_nobody_up_and_sees_the_newest_state() {
    const CHANGES: i64 = 12;
    // It reads nothing until all changes are made, which is not what this is about.
    let app = TestApp::with().set("client_timeout_ms", "60000").spawn().await;
    let text = "x".repeat(2000);
    for from in [0, 500] {
        let rows = (from..from + 500).map(|n| json!({"member": format!("m{n}"), "score": n, "metadata": text}));
        app.batch("race", rows.collect()).await.is(200);
    }
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut slow = socket.connect(app.address()).await.expect("the service listens");
    let request = "GET /v1/leaderboards/race/events?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n";
    slow.write_all(request.as_bytes()).await.expect("sent");
    let mut quick = app.events("race", "limit=1000").await;
    quick.expect("snapshot").await;
    for change in 1..=CHANGES {
        app.submit("race", "best", 10_000 + change).await;
        quick.until(|event| entries(&event.data)[0]["score"] == 10_000 + change).await;
    }
    // It is two megabytes an event. What the service and the two systems keep for it is far less than all of them.
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 1 << 20]);
    let newest = format!("\"score\":{}", 10_000 + CHANGES);
    let mut looked = 0;
    while !bytes[looked..].windows(newest.len()).any(|window| window == newest.as_bytes()) {
        looked = bytes.len().saturating_sub(newest.len());
        let read = timeout(Duration::from_secs(20), slow.read(&mut chunk)).await.expect("more comes");
        bytes.extend_from_slice(&chunk[..read.expect("the stream stands")]);
    }
    let shown = String::from_utf8_lossy(&bytes).matches("\nevent: ").count();
    assert!((2..8).contains(&shown), "{shown} events of {CHANGES}");
}

#[tokio::test]
async fn streams_go_on_after_redis_was_killed() {
    // What was acknowledged is there after the kill, however slow the disk is at the moment.
    let app = TestApp::with().set("durability", "always").spawn().await;
    app.submit("race", "alice", 5).await;
    let mut events = app.events("race", "").await;
    events.expect("snapshot").await;
    signal(app.redis_pid(), Signal::KILL);
    eventually("a submission counts again", async || {
        (app.submit_row("race", json!({"member": "bob", "score": 6})).await.status == 200).then_some(())
    })
    .await;
    let (_, shown) = events.until(|event| members(&event.data) == ["bob", "alice"]).await;
    assert_eq!(shown.name, "rankings");
    app.submit("race", "alice", 7).await;
    assert_eq!(members(&events.expect("rankings").await.data), ["alice", "bob"]);
}

#[tokio::test]
async fn nothing_is_published_where_nobody_watches() {
    let app = TestApp::with().server_clock().spawn().await;
    app.submit("race", "alice", 5).await;
    app.submit("other", "alice", 5).await;
    assert_eq!(published(&mut app.redis()), 0);
    let mut events = app.events("race", "").await;
    events.expect("snapshot").await;
    app.submit("race", "alice", 6).await;
    events.expect("rankings").await;
    assert_eq!(published(&mut app.redis()), 1);
    // What is not changed is not told, and another leaderboard is not watched.
    app.submit("race", "alice", 1).await;
    app.submit("other", "alice", 6).await;
    assert_eq!(published(&mut app.redis()), 1);
    drop(events);
    // As if the time for which it was noted were over.
    let field: String =
        redis::cmd("HGET").arg("ranq:{lb:race}:board").arg("watched").query(&mut app.redis()).expect("it is there");
    let (_, rest) = field.split_once(' ').expect("a time first");
    let over = format!("1 {rest}");
    let _: i64 = redis::cmd("HSET")
        .arg("ranq:{lb:race}:board")
        .arg("watched")
        .arg(over)
        .query(&mut app.redis())
        .expect("it works");
    app.submit("race", "alice", 9).await;
    assert_eq!(published(&mut app.redis()), 1);
}

#[tokio::test]
async fn those_who_watch_the_same_share_one_look() {
    const SUBSCRIBERS: usize = 100;
    let app = TestApp::spawn().await;
    app.submit("race", "alice", 5).await;
    let mut streams: Vec<Events> = join_all((0..SUBSCRIBERS).map(|_| app.events("race", ""))).await;
    for events in &mut streams {
        events.expect("snapshot").await;
    }
    let before = app.scrape().await;
    assert_eq!(before.sum("ranq_streams", &[]), Some(SUBSCRIBERS as f64));
    app.submit("race", "bob", 6).await;
    for events in &mut streams {
        events.expect("rankings").await;
    }
    let after = app.scrape().await;
    let looks =
        |scrape: &crate::support::Scrape| scrape.sum("ranq_redis_calls_total", &[("call", "pages")]).unwrap_or(0.0);
    // One for the change, and perhaps one that was due.
    assert!(looks(&after) - looks(&before) <= 2.0);
    assert_eq!(after.sum("ranq_stream_events_total", &[("event", "rankings")]), Some(SUBSCRIBERS as f64));
    drop(streams);
    eventually("the streams are given up", async || {
        (app.scrape().await.sum("ranq_streams", &[]) == Some(0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused_before_the_stream() {
    let app = TestApp::with().without_auto_create().spawn().await;
    app.get("/v1/leaderboards/none/events").await.fails_with(404, "not-found");
    app.create("race", json!({})).await;
    for query in ["window=none", "window=none&member=a"] {
        app.get(format!("/v1/leaderboards/race/events?{query}")).await.fails_with(404, "not-found");
    }
    for (query, pointer) in [
        ("limit=0", "limit"),
        ("limit=5&member=a", "limit"),
        ("radius=5", "radius"),
        ("radius=101&member=a", "radius"),
        ("member=", "member"),
        ("period=open", "period"),
        ("ranking=other", "ranking"),
    ] {
        app.get(format!("/v1/leaderboards/race/events?{query}")).await.fails_at(&[pointer]);
    }
    // Answered at once: there is no body that would not end.
    let head = "HEAD /v1/leaderboards/race/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = app.raw(head).await;
    assert_eq!((answer.status, answer.header("content-type"), answer.text()), (200, "text/event-stream", ""));
    assert_eq!(app.scrape().await.sum("ranq_streams", &[]), Some(0.0));
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused() {
    let app = TestApp::with().set("max_streams", "1").spawn().await;
    app.submit("race", "alice", 5).await;
    let mut events = app.events("race", "").await;
    events.expect("snapshot").await;
    let refused = app.get("/v1/leaderboards/race/events").await.fails_with(503, "too-many-streams");
    assert_eq!(refused.header("retry-after"), "1");
    drop(events);
    eventually("there is room again", async || {
        let metrics = app.scrape().await;
        (metrics.sum("ranq_streams", &[]) == Some(0.0)).then_some(())
    })
    .await;
    app.events("race", "").await.expect("snapshot").await;
}
