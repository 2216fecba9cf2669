//! Patterns hold wherever a name stands: in queries and bodies, in settings, and in lists.

use serde_json::{Value, json};

use super::assert_unchanged;
use crate::support::{Answer, TestApp};

fn names(answer: &Answer, list: &str, name: &str) -> Vec<String> {
    let entries = answer[list].as_array().expect("a list");
    entries.iter().map(|entry| entry[name].as_str().expect("a name").to_owned()).collect()
}

impl TestApp {
    /// Every page of a list: the names on each.
    async fn pages(&self, list: &str, name: &str, limit: usize, token: &str) -> Vec<Vec<String>> {
        let (mut pages, mut target) = (Vec::new(), format!("/v1/{list}?limit={limit}"));
        loop {
            let page = self.request("GET", &target).token(token).send().await.is(200);
            pages.push(names(&page, list, name));
            let Some(cursor) = page.next_cursor() else { return pages };
            target = format!("/v1/{list}?limit={limit}&cursor={cursor}");
        }
    }
}

#[tokio::test]
async fn lists_show_what_the_token_reaches_in_full_pages() {
    let app = TestApp::guarded().await;
    let all = ["a", "b.1", "b.2", "b2", "c", "c1", "d", "d.9"];
    for name in all {
        app.create(name, json!({})).await;
        app.create_queue(name, json!({})).await;
    }
    for (list, kind, scope) in
        [("leaderboards", "leaderboard", "leaderboards:read"), ("queues", "queue", "queues:read")]
    {
        for (patterns, expected) in [
            (json!(["b*"]), vec!["b.1", "b.2", "b2"]),
            (json!(["d.*", "c", "b.*", "c"]), vec!["b.1", "b.2", "c", "d.9"]),
            (json!(["b.2", "b.*", "none", "e*"]), vec!["b.1", "b.2"]),
            (json!(["d", "a"]), vec!["a", "d"]),
            (json!(["e*"]), vec![]),
            (json!(["*"]), all.to_vec()),
        ] {
            let token = app.token_of(&[scope], json!({list: patterns})).await;
            for limit in [1, 2, 3, 8] {
                let pages = app.pages(list, kind, limit, &token).await;
                assert_eq!(pages.concat(), expected, "{patterns} {limit}");
                // None is empty or short but the last.
                let full = pages.iter().rev().skip(1).all(|page| page.len() == limit);
                assert!(
                    full && (expected.is_empty() || pages.last().is_some_and(|page| !page.is_empty())),
                    "{pages:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn workers_are_shown_with_what_they_do_in_queues_that_the_token_reaches() {
    let app = TestApp::guarded().await;
    app.enqueue("mail.eu", 1).await;
    app.enqueue("video", 1).await;
    for (queue, worker) in
        [("mail.eu", "both"), ("video", "both"), ("video", "other"), ("mail.early", "early"), ("later", "late")]
    {
        app.dequeue(queue, json!({"worker": worker})).await.is(200);
    }
    let token = app.token_of(&["queues:read"], json!({"queues": ["mail.*"]})).await;
    let workers = app.request("GET", "/v1/workers").token(&token).send().await.is(200);
    let shown: Vec<(&Value, &Value, &Value)> = workers["workers"]
        .as_array()
        .expect("workers")
        .iter()
        .map(|worker| (&worker["worker"], &worker["queues"], &worker["active"]))
        .collect();
    let (both, early) =
        ((json!("both"), json!(["mail.eu"]), json!(1)), (json!("early"), json!(["mail.early"]), json!(0)));
    assert_eq!(shown, [(&both.0, &both.1, &both.2), (&early.0, &early.1, &early.2)]);
    assert_eq!(names(&app.get("/v1/workers").await.is(200), "workers", "worker"), ["both", "early", "late", "other"]);
}

#[tokio::test]
async fn a_dequeue_of_several_queues_needs_all_of_them() {
    let app = TestApp::guarded().await;
    app.enqueue("mail.eu", 1).await;
    app.enqueue("video", 2).await;
    let token = app.token_of(&["jobs:work"], json!({"queues": ["mail.*"]})).await;
    let dequeue = async |queues: &[&str]| {
        let body = json!({"queues": queues, "limit": 9, "worker": "w", "order": "weighted"});
        app.request("POST", "/v1/dequeue").token(&token).body(body).send().await
    };
    let before = app.dump();
    for queues in [&["video"][..], &["mail.eu", "video"], &["mail.eu", "none"], &["none"]] {
        dequeue(queues).await.fails_with(403, "forbidden");
    }
    assert_unchanged(&before, &app.dump());
    assert_eq!(dequeue(&["mail.eu", "mail.us"]).await.is(200).payloads(), [json!(1)]);
}

#[tokio::test]
async fn a_members_rankings_need_all_leaderboards_that_are_asked_for() {
    let app = TestApp::guarded().await;
    app.submit("race.eu", "ann", 1).await;
    app.submit("golf", "ann", 1).await;
    let token = app.token_of(&["leaderboards:read"], json!({"leaderboards": ["race.*"]})).await;
    let read = async |boards: &str| {
        let target = format!("/v1/members/ann/rankings?leaderboards={boards}");
        app.request("GET", target).token(&token).send().await
    };
    for boards in ["golf", "race.eu,golf", "race.eu,none"] {
        read(boards).await.fails_with(403, "forbidden");
    }
    let found = read("race.eu,race.us").await.is(200);
    assert_eq!(
        (names(&found, "rankings", "leaderboard"), &found["missing"]),
        (vec!["race.eu".to_owned()], &json!(["race.us"]))
    );
}

#[tokio::test]
async fn a_redrive_needs_both_queues() {
    let app = TestApp::guarded().await;
    app.create_queue("mail.dead", json!({"max_attempts": 1})).await;
    app.enqueue("mail.dead", 1).await;
    let leased = app.lease_one("mail.dead").await;
    app.nack(&leased, json!({})).await.is(200);
    let token = app.token_of(&["queues:admin"], json!({"queues": ["mail.*"]})).await;
    let redrive = async |to: &str| {
        app.request("POST", "/v1/queues/mail.dead/redrive").token(&token).body(json!({"to": to})).send().await
    };
    let before = app.dump();
    for to in ["video", "none"] {
        redrive(to).await.fails_with(403, "forbidden");
    }
    assert_unchanged(&before, &app.dump());
    assert_eq!(redrive("mail.again").await.is(200)["moved"], 1);
}

#[tokio::test]
async fn settings_pay_into_no_queue_that_the_token_does_not_reach() {
    let app = TestApp::guarded().await;
    let token = app.token_of(&["leaderboards:admin"], json!({"queues": ["prizes.*"]})).await;
    let put =
        async |settings: Value| app.request("PUT", "/v1/leaderboards/race").token(&token).body(settings).send().await;
    let reward = |queue: &str| json!({"window": "all_time", "to_rank": 1, "queue": queue});
    let window = |queue: &str| json!({"name": "all_time", "on_close": {"queue": queue}});
    let before = app.dump();
    for foreign in ["payments", "none"] {
        for settings in [
            json!({"rewards": [reward("prizes.eu"), reward(foreign)]}),
            json!({"on_close": {"queue": foreign}}),
            json!({"windows": [window(foreign)]}),
            json!({"windows": [window("prizes.eu")], "on_close": {"queue": foreign}}),
        ] {
            put(settings).await.fails_with(403, "forbidden");
        }
    }
    assert_unchanged(&before, &app.dump());
    let all =
        json!({"rewards": [reward("prizes.eu")], "windows": [window("prizes.us")], "on_close": {"queue": "prizes.eu"}});
    put(all).await.is(201);
    // Settings that name a foreign queue already are not replaced by ones that name it again.
    app.put("/v1/leaderboards/race", json!({"rewards": [reward("payments")]})).await.is(200);
    put(json!({"rewards": [reward("payments")]})).await.fails_with(403, "forbidden");
    put(json!({})).await.is(200);
}

#[tokio::test]
async fn service_wide_bans_are_for_who_reaches_all_leaderboards() {
    let app = TestApp::guarded().await;
    app.submit("race", "ann", 1).await;
    app.put("/v1/bans/bob", json!({})).await.is(201);
    let some = app.token_of(&["leaderboards:admin"], json!({"leaderboards": ["race", "golf*"]})).await;
    let before = app.dump();
    for member in ["ann", "bob"] {
        let target = format!("/v1/bans/{member}");
        for method in ["PUT", "GET", "DELETE"] {
            app.request(method, &target).token(&some).send().await.fails_with(403, "forbidden");
        }
    }
    app.request("GET", "/v1/bans").token(&some).send().await.fails_with(403, "forbidden");
    assert_unchanged(&before, &app.dump());
    let all = app.token_of(&["leaderboards:admin"], json!({"leaderboards": ["race", "*"], "queues": ["none"]})).await;
    app.request("PUT", "/v1/bans/ann").token(&all).body(json!({})).send().await.is(201);
}
