//! Bans of members on all leaderboards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use crate::support::{Answer, TestApp, TestRedis, eventually};

impl TestApp {
    async fn ban_everywhere(&self, member: &str, body: Value) -> Answer {
        self.put(format!("/v1/bans/{member}"), body).await
    }

    async fn unban_everywhere(&self, member: &str) -> Answer {
        self.delete(format!("/v1/bans/{member}")).await
    }

    /// Two instances on one Redis, with some leaderboards that hold `ann` and `bob`.
    async fn two(boards: &[&str]) -> (Self, Self) {
        let one = Self::spawn().await;
        let socket = one.redis_url();
        let other = Self::with().redis_url(&socket).spawn().await;
        for board in boards {
            one.fill(board, [("ann", 30), ("bob", 20)]).await;
            other.submit(board, "cid", 10).await;
        }
        (one, other)
    }

    async fn names(&self, board: &str) -> Vec<String> {
        self.rankings(board, "").await.is(200).members().into_iter().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn a_member_banned_everywhere_vanishes_everywhere_at_once() {
    let (one, other) = TestApp::two(&["race", "chess", "golf"]).await;
    let ban = one.ban_everywhere("ann", json!({"reason": "bought account"})).await.is(201);
    assert_eq!(
        (&ban["member"], &ban["reason"], &ban["shadow"]),
        (&json!("ann"), &json!("bought account"), &json!(false))
    );
    for board in ["race", "chess", "golf"] {
        for app in [&one, &other] {
            assert_eq!(app.names(board).await, ["bob", "cid"]);
            app.submit_row(board, json!({"member": "ann", "score": 99})).await.fails_with(403, "banned");
        }
    }
    other.submit_row("new", json!({"member": "ann", "score": 99})).await.fails_with(403, "banned");
    other.unban_everywhere("ann").await.is(204);
    for board in ["race", "chess", "golf"] {
        for app in [&one, &other] {
            assert_eq!(app.names(board).await, ["ann", "bob", "cid"]);
        }
    }
    assert_eq!(one.submit("race", "ann", 99).await["rank"], 1);
    one.submit("new", "ann", 99).await;
    let keys = one.keys();
    let left = keys.iter().find(|key| key.contains(":hidden:") || key.contains(":bans:") || key.contains(":pending"));
    assert_eq!(left, None);
}

#[tokio::test]
async fn a_shadow_ban_everywhere_hides_what_is_submitted() {
    let (one, other) = TestApp::two(&["race"]).await;
    one.ban_everywhere("ann", json!({"shadow": true})).await.is(201);
    let answer = other.submit("race", "ann", 40).await;
    assert_eq!((&answer["rank"], &answer["previous"]["score"]), (&json!(1), &json!(30)));
    other.submit("new", "ann", 5).await;
    assert_eq!((one.names("race").await, one.names("new").await), (vec!["bob".to_owned(), "cid".to_owned()], vec![]));
    one.ban_everywhere("ann", json!({})).await.is(200);
    other.submit_row("new", json!({"member": "ann", "score": 9})).await.fails_with(403, "banned");
    one.unban_everywhere("ann").await.is(204);
    assert_eq!(one.member("race", "ann").await["score"], 40);
    assert_eq!(one.member("new", "ann").await["score"], 5);
}

#[tokio::test]
async fn who_is_banned_in_both_ways_is_back_when_both_are_lifted() {
    for everywhere_first in [true, false] {
        let app = TestApp::spawn().await;
        app.fill("race", [("ann", 30), ("bob", 20)]).await;
        if everywhere_first {
            app.ban_everywhere("ann", json!({"shadow": true})).await.is(201);
            app.ban("race", "ann", json!({})).await.is(201);
        } else {
            app.ban("race", "ann", json!({})).await.is(201);
            app.ban_everywhere("ann", json!({"shadow": true})).await.is(201);
        }
        app.submit_row("race", json!({"member": "ann", "score": 50})).await.fails_with(403, "banned");
        if everywhere_first {
            app.unban("race", "ann").await.is(204);
            assert_eq!(app.submit("race", "ann", 50).await["rank"], 1, "the other ban takes scores");
            assert_eq!(app.names("race").await, ["bob"]);
            app.unban_everywhere("ann").await.is(204);
        } else {
            app.unban_everywhere("ann").await.is(204);
            app.submit_row("race", json!({"member": "ann", "score": 50})).await.fails_with(403, "banned");
            assert_eq!(app.names("race").await, ["bob"]);
            app.unban("race", "ann").await.is(204);
        }
        assert_eq!(app.names("race").await, ["ann", "bob"]);
    }
}

#[tokio::test]
async fn a_submission_made_before_a_ban_everywhere_keeps_its_answer() {
    let app = TestApp::spawn().await;
    let send = async |score| {
        let request = app.request("POST", "/v1/leaderboards/race/scores").key("k1");
        request.body(json!({"member": "ann", "score": score})).send().await
    };
    let first = send(7).await.is(200);
    app.ban_everywhere("ann", json!({})).await.is(201);
    assert_eq!(send(7).await.is(200).json(), first.json());
    send(8).await.fails_with(409, "idempotency-mismatch");
}

#[tokio::test]
async fn service_wide_bans_are_listed_read_and_audited() {
    let app = TestApp::spawn().await;
    for member in ["bob", "ann"] {
        app.ban_everywhere(member, json!({"reason": format!("because of {member}")})).await.is(201);
        app.advance(Duration::from_secs(1));
    }
    let list = app.get("/v1/bans").await.is(200);
    let members: Vec<&Value> = list["bans"].as_array().expect("bans").iter().map(|ban| &ban["member"]).collect();
    assert_eq!(members, ["ann", "bob"]);
    assert_eq!(app.get("/v1/bans/bob").await.is(200)["reason"], "because of bob");
    app.unban_everywhere("bob").await.is(204);
    app.unban_everywhere("bob").await.fails_with(404, "not-found");
    app.get("/v1/bans/bob").await.fails_with(404, "not-found");
    let log = app.get("/v1/audit").await.is(200);
    let entries = log["entries"].as_array().expect("entries").iter();
    let told = |entry: &Value| ["at", "operation", "parameters", "reason"].map(|field| entry[field].clone());
    let expected = [
        ("2026-11-23T05:40:02.000Z", "delete_service_ban", "bob", Value::Null),
        ("2026-11-23T05:40:01.000Z", "put_service_ban", "ann", json!("because of ann")),
        ("2026-11-23T05:40:00.000Z", "put_service_ban", "bob", json!("because of bob")),
    ];
    let expected = expected
        .map(|(at, operation, member, reason)| [json!(at), json!(operation), json!({"member": member}), reason]);
    assert_eq!(entries.map(told).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn an_instance_that_starts_late_reads_all_bans_though_their_changes_are_listed_no_more() {
    let app = TestApp::spawn().await;
    app.submit("race", "ann", 30).await;
    for member in ["ann", "bob", "cid"] {
        app.ban_everywhere(member, json!({})).await.is(201);
    }
    app.unban_everywhere("bob").await.is(204);
    let trimmed: u64 = redis::cmd("XTRIM")
        .arg(&["ranq:{bans:service}:audit", "MAXLEN", "1"])
        .query(&mut app.redis())
        .expect("XTRIM works");
    assert_eq!(trimmed, 3);
    let app = app.restart().await;
    for member in ["ann", "cid"] {
        app.submit_row("race", json!({"member": member, "score": 1})).await.fails_with(403, "banned");
    }
    app.submit("race", "bob", 1).await;
}

/// A leaderboard whose settings cannot be read stops the walk over all of them in the middle.
#[tokio::test]
async fn a_ban_that_was_cut_off_is_finished_by_the_background_task() {
    let app = TestApp::spawn().await;
    for board in ["a", "b"] {
        app.submit(board, "ann", 30).await;
    }
    // So that nothing of `b` is cached.
    let app = app.restart().await;
    let mut redis = app.redis();
    let key = "ranq:{lb:b}:board";
    let settings: String = redis::cmd("HGET").arg(&[key, "settings"]).query(&mut redis).expect("HGET works");
    let broken = |text: &str, redis: &mut TestRedis| {
        redis::cmd("HSET").arg(&[key, "settings", text]).exec(redis).expect("HSET works");
    };
    broken("{", &mut redis);
    app.ban_everywhere("ann", json!({})).await.fails_with(503, "outcome-unknown");
    assert_eq!(app.get("/v1/bans/ann").await.is(200)["shadow"], false);
    broken(&settings, &mut redis);
    assert_eq!(app.names("b").await, ["ann"]);
    app.advance(Duration::from_secs(10));
    let hidden = async || app.names("b").await.is_empty().then_some(());
    eventually("the ban reaches the other leaderboard", hidden).await;
    app.submit_row("b", json!({"member": "ann", "score": 31})).await.fails_with(403, "banned");
}

/// Submits again and again through an instance until told to stop.
async fn keep_submitting(app: &TestApp, board: &str, stop: &AtomicBool) {
    let mut score = 100;
    while !stop.load(Ordering::SeqCst) {
        score += 1;
        let answer = app.submit_row(board, json!({"member": "ann", "score": score})).await;
        assert!(answer.status == 200 || answer.slug() == "banned", "{}", answer.text());
    }
}

#[tokio::test]
async fn nothing_of_a_banned_member_is_seen_after_the_ban_though_it_submits_elsewhere() {
    let (one, other) = TestApp::two(&["race"]).await;
    let stop = AtomicBool::new(false);
    let work = async {
        for round in 0..12 {
            let (shadow, board) = (round % 2 == 0, format!("new{round}"));
            let body = json!({"shadow": shadow});
            let everywhere = round % 3 != 0;
            let banned =
                if everywhere { one.ban_everywhere("ann", body).await } else { one.ban("race", "ann", body).await };
            banned.is(201);
            for _ in 0..4 {
                assert_eq!(one.names("race").await, ["bob", "cid"], "round {round}");
                let made = other.submit_row(&board, json!({"member": "ann", "score": 1})).await;
                assert_eq!(made.status, if !everywhere || shadow { 200 } else { 403 });
            }
            assert!(!everywhere || one.names(&board).await.is_empty(), "round {round}");
            let lifted = if everywhere { one.unban_everywhere("ann").await } else { one.unban("race", "ann").await };
            lifted.is(204);
            assert_eq!(one.names("race").await, ["ann", "bob", "cid"], "round {round}");
        }
        stop.store(true, Ordering::SeqCst);
    };
    let submitting = join_all((0..3).map(|_| keep_submitting(&other, "race", &stop)));
    join(work, submitting).await;
}

#[tokio::test]
async fn bans_set_at_the_same_time_all_hold() {
    let (one, other) = TestApp::two(&["race"]).await;
    let members: Vec<String> = (0..20).map(|number| format!("m{number}")).collect();
    one.fill("race", members.iter().map(|member| (member.as_str(), 5))).await;
    let bans = members.iter().enumerate().map(async |(number, member)| {
        let app = if number % 2 == 0 { &one } else { &other };
        app.ban_everywhere(member, json!({"shadow": number % 3 == 0})).await.is(201);
    });
    join_all(bans).await;
    assert_eq!(other.names("race").await, ["ann", "bob", "cid"]);
    join_all(members.iter().map(async |member| one.unban_everywhere(member).await.is(204))).await;
    assert_eq!(other.rankings("race", "").await["total"], 23);
}
