//! Stops, starts and crashes: what was acknowledged stays.

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Process, TestApp, eventually, is_alive, signal};

#[tokio::test]
async fn everything_survives_a_stop_and_a_start() {
    let app = TestApp::spawn().await;
    let settings = json!({"operator": "sum", "ties": "latest", "subscores": [{"name": "time"}], "max_entries": 100});
    app.create("race", settings).await;
    for (member, score) in [("alice", 5), ("bob", 5), ("名前", 0)] {
        let row =
            json!({"member": member, "score": score, "subscores": {"time": 0.1}, "metadata": {"b": 1, "a": member}});
        app.submit_row("race", row).await.is(200);
    }
    let row = json!({"member": "alice", "score": 1, "subscores": {"time": 1}});
    let send = async |app: &TestApp| {
        app.request("POST", "/v1/leaderboards/race/scores").key("k1").body(row.clone()).send().await.is(200)
    };
    let first = send(&app).await;
    let reads = ["", "/rankings?limit=2", "/rankings?ranking=dense", "/members/alice", "/distribution"];
    let read = async |app: &TestApp| {
        let mut texts = Vec::new();
        for path in reads {
            texts.push(app.get(format!("/v1/leaderboards/race{path}")).await.is(200).text().to_owned());
        }
        texts
    };
    let before = read(&app).await;
    let app = app.restart().await;
    assert_eq!(read(&app).await, before);
    let again = send(&app).await;
    assert_eq!((again.was_replayed(), again.text()), (true, first.text()));
    app.submit_row("race", json!({"member": "carol", "score": 5, "subscores": {"time": 0.1}})).await.is(200);
    assert_eq!(app.rankings("race", "").await.members()[0], "alice");
}

#[tokio::test]
async fn a_cursor_survives_a_restart() {
    let app = TestApp::spawn().await;
    app.fill("race", [("a", 3), ("b", 2), ("c", 1)]).await;
    let page = app.rankings("race", "limit=1").await;
    let cursor = page.next_cursor().expect("there is more").to_owned();
    let app = app.restart().await;
    assert_eq!(app.rankings("race", &format!("cursor={cursor}")).await.is(200).members(), ["b", "c"]);
}

#[tokio::test]
async fn a_stopped_service_leaves_no_redis() {
    let app = TestApp::spawn().await;
    let pid = app.redis_pid();
    assert!(is_alive(pid));
    drop(app);
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_killed_redis_comes_back_with_all_that_was_acknowledged() {
    // With `everysec` a kill of Redis may take what a slow disk has not taken yet.
    let app = TestApp::with().set("durability", "always").spawn().await;
    app.create("race", json!({"operator": "sum"})).await;
    for score in 1..=50 {
        app.submit("race", &format!("m{}", score % 5), score).await;
    }
    let before = app.rankings("race", "").await.text().to_owned();
    signal(app.redis_pid(), Signal::KILL);
    let after = eventually("the service recovers by itself", async || {
        let answer = app.rankings("race", "").await;
        match answer.status {
            200 => Some(answer),
            _ => {
                answer.fails_with(503, "store-unavailable");
                None
            }
        }
    })
    .await;
    assert_eq!(after.text(), before);
    eventually("it takes scores again", async || {
        let request = app.request("POST", "/v1/leaderboards/race/scores").key("after");
        let answer = request.body(json!({"member": "new", "score": 1})).send().await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(app.member("race", "new").await["score"], 1);
    let text = app.get("/metrics").await.text().to_owned();
    assert!(text.contains("ranq_redis_restarts_total 1"), "{text}");
}

#[tokio::test]
async fn scores_in_flight_while_redis_is_killed_count_once_with_a_key() {
    // With `everysec` a kill of Redis may take what a slow disk has not taken yet.
    let app = TestApp::with().set("durability", "always").spawn().await;
    app.create("race", json!({"operator": "sum"})).await;
    let pid = app.redis_pid();
    let submits = (0..40).map(|number| {
        let app = &app;
        async move {
            if number == 20 {
                signal(pid, Signal::KILL);
            }
            eventually("the score is acknowledged", async || {
                let request = app.request("POST", "/v1/leaderboards/race/scores").key(&format!("k{number}"));
                let answer = request.body(json!({"member": "alice", "score": 1})).send().await;
                assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
                (answer.status == 200).then_some(())
            })
            .await;
        }
    });
    futures_util::future::join_all(submits).await;
    assert_eq!(app.member("race", "alice").await["score"], 40);
}

#[tokio::test]
async fn a_second_service_on_the_same_data_is_refused() {
    let directory = TempDir::new().expect("a directory");
    let app = TestApp::with().data_dir(directory.path()).spawn().await;
    app.submit("race", "alice", 5).await;
    let path = directory.path().to_str().expect("UTF-8");
    let (code, message) = Process::run("serve", &["--listen", "127.0.0.1:0", "--data-dir", path], &[]).await;
    assert_eq!(code, 1, "{message}");
    let lines: Vec<&str> = message.lines().filter(|line| line.starts_with("ranq: ")).collect();
    let expected = format!("/redis is in use by another ranq (process {})", std::process::id());
    assert!(matches!(lines[..], [line] if line.contains(path) && line.ends_with(&expected)), "{message}");
    app.member("race", "alice").await.is(200);
    drop(app);
    let next = TestApp::with().data_dir(directory.path()).spawn().await;
    assert_eq!(next.member("race", "alice").await["score"], 5);
}

#[tokio::test]
async fn an_address_in_use_is_said_in_one_line() {
    let app = TestApp::spawn().await;
    let refused = TestApp::with().set("listen", &app.address().to_string()).try_spawn().await;
    let message = refused.err().expect("it is refused");
    assert!(message.starts_with(&format!("cannot listen on {}", app.address())), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}
