//! `unique_key`: one job at a time, until it is done, until it starts, or for a time.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Answer, Leased, OwnRedis, Plain, Process, TestApp, eventually};

const KEY: &str = "user-7";
const MINUTE_MS: u64 = 60_000;

/// Enqueues a job with the unique key and `fields`.
async fn unique(app: &TestApp, queue: &str, fields: Value) -> Answer {
    let mut job = json!({"payload": 1, "unique_key": KEY});
    job.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    app.enqueue_job(queue, job).await
}

/// Asserts that the key is taken by this job.
async fn assert_taken(app: &TestApp, queue: &str, id: &str) {
    let answer = unique(app, queue, json!({})).await.is(200);
    assert_eq!((answer.id(), &answer["duplicate"]), (id, &json!(true)));
}

/// Asserts that the key is free, by taking it.
async fn assert_free(app: &TestApp, queue: &str) -> String {
    let answer = unique(app, queue, json!({})).await.is(201);
    assert_eq!((&answer["unique_key"], &answer["duplicate"]), (&json!(KEY), &Value::Null));
    answer.id().to_owned()
}

#[tokio::test]
async fn a_second_job_with_the_same_unique_key_is_the_first() {
    let app = TestApp::spawn().await;
    let first = unique(&app, "emails", json!({"payload": "first"})).await.is(201);
    assert_eq!((&first["unique_key"], &first["duplicate"]), (&json!(KEY), &Value::Null));
    let second = unique(&app, "emails", json!({"payload": "second", "priority": 9})).await.is(200);
    assert_eq!((second.id(), &second["duplicate"]), (first.id(), &json!(true)));
    assert_eq!((&second["payload"], &second["priority"]), (&json!("first"), &json!(4)));
    assert_eq!(app.count("emails", "ready").await, 1);
}

#[tokio::test]
async fn a_unique_key_is_one_of_its_queue() {
    let app = TestApp::spawn().await;
    let first = assert_free(&app, "emails").await;
    let other = assert_free(&app, "reports").await;
    assert_ne!(first, other);
    app.enqueue_job("emails", json!({"payload": 1, "unique_key": "user-8"})).await.is(201);
    app.enqueue("emails", 1).await;
    assert_eq!(app.count("emails", "ready").await, 3);
}

#[tokio::test]
async fn of_one_batch_with_the_same_key_one_job_is_made() {
    let app = TestApp::spawn().await;
    let job = json!({"payload": 1, "unique_key": KEY});
    let answer = app.enqueue_many("emails", vec![job.clone(), json!({"payload": 2}), job]).await.is(200);
    let results = answer["results"].as_array().expect("results");
    let statuses: Vec<&Value> = results.iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, [201, 201, 200]);
    assert_eq!((&results[2]["id"], &results[2]["duplicate"]), (&results[0]["id"], &json!(true)));
    assert_eq!(app.count("emails", "ready").await, 2);
}

#[tokio::test]
async fn until_done_the_key_is_taken_through_every_state_before() {
    let app = TestApp::spawn().await;
    let id = unique(&app, "emails", json!({"delay_ms": 1000})).await.is(201).id().to_owned();
    assert_taken(&app, "emails", &id).await;
    app.advance(Duration::from_secs(1));
    let leased = app.lease_soon("emails").await;
    assert_taken(&app, "emails", &id).await;
    app.nack(&leased, json!({"retry_in_ms": 1000})).await.is(200);
    assert_taken(&app, "emails", &id).await;
    app.advance(Duration::from_secs(1));
    let leased = app.lease_soon("emails").await;
    app.advance(Duration::from_secs(30));
    app.until_count("emails", "ready", 1).await;
    assert_taken(&app, "emails", &id).await;
    assert_eq!(leased.id, id);
    let leased = app.lease_one("emails").await;
    app.ack(&leased).await.is(200);
    let next = assert_free(&app, "emails").await;
    app.ack(&leased).await.is(200);
    assert_taken(&app, "emails", &next).await;
}

#[tokio::test]
async fn the_end_of_a_leased_job_frees_its_key() {
    for end in ["ack", "ack in a dequeue", "ack in a list", "dead", "attempts", "expiry", "cancel"] {
        let app = TestApp::spawn().await;
        app.create_queue("emails", json!({"max_attempts": 1})).await;
        assert_free(&app, "emails").await;
        let leased = app.lease_one("emails").await;
        match end {
            "ack" => drop(app.ack(&leased).await.is(200)),
            "ack in a dequeue" => drop(app.dequeue("emails", json!({"ack": [leased.to_ack()]})).await.is(200)),
            "ack in a list" => {
                app.post("/v1/queues/emails/acks", json!({"acks": [leased.to_ack()]})).await.is(200);
            }
            "dead" => drop(app.nack(&leased, json!({"dead": true})).await.is(200)),
            "attempts" => drop(app.nack(&leased, json!({"error": "no"})).await.is(200)),
            "expiry" => {
                app.advance(Duration::from_secs(30));
                app.until_count("emails", "dead", 1).await;
            }
            _ => drop(app.delete(format!("/v1/queues/emails/jobs/{}", leased.id)).await.is(204)),
        }
        let next = assert_free(&app, "emails").await;
        assert_ne!(next, leased.id, "{end}");
        assert_taken(&app, "emails", &next).await;
    }
}

#[tokio::test]
async fn a_job_that_goes_before_it_starts_frees_its_key() {
    for end in ["cancel", "cancel scheduled", "purge", "purge scheduled", "expires", "queue"] {
        let app = TestApp::spawn().await;
        let later = end.ends_with("scheduled");
        let fields = if later { json!({"delay_ms": 1000}) } else { json!({"expires_in_ms": 1000}) };
        let id = unique(&app, "emails", fields).await.is(201).id().to_owned();
        match end {
            "cancel" | "cancel scheduled" => drop(app.delete(format!("/v1/queues/emails/jobs/{id}")).await.is(204)),
            "purge" => assert_eq!(app.delete("/v1/queues/emails/jobs?state=ready").await.is(200)["deleted"], 1),
            "purge scheduled" => {
                assert_eq!(app.delete("/v1/queues/emails/jobs?state=scheduled").await.is(200)["deleted"], 1);
            }
            "expires" => {
                app.advance(Duration::from_secs(1));
                app.until_count("emails", "cancelled", 1).await;
            }
            _ => drop(app.delete("/v1/queues/emails").await.is(204)),
        }
        assert_ne!(assert_free(&app, "emails").await, id, "{end}");
        assert_eq!(app.count("emails", "ready").await, 1, "{end}");
    }
}

#[tokio::test]
async fn until_started_the_key_is_free_from_the_first_lease_on() {
    let app = TestApp::spawn().await;
    let started = json!({"unique_until": "started"});
    let first = unique(&app, "emails", started.clone()).await.is(201).id().to_owned();
    assert_taken(&app, "emails", &first).await;
    let leased = app.lease_one("emails").await;
    let second = unique(&app, "emails", started).await.is(201).id().to_owned();
    assert_ne!(second, first);

    // What becomes of the first job is nothing to the key that the second holds.
    app.nack(&leased, json!({"retry_in_ms": 0})).await.is(200);
    assert_taken(&app, "emails", &second).await;
    let mut both = vec![app.lease_soon("emails").await, app.lease_soon("emails").await];
    both.sort_by_key(Leased::attempt);
    assert_eq!([&both[0].id, &both[1].id], [&second, &first]);
    let third = assert_free(&app, "emails").await;
    for leased in &both {
        app.ack(leased).await.is(200);
        assert_taken(&app, "emails", &third).await;
    }
}

#[tokio::test]
async fn for_a_time_the_key_is_taken_whatever_becomes_of_the_job() {
    for end in ["ready", "active", "completed", "dead", "cancelled"] {
        let app = TestApp::spawn().await;
        let id = unique(&app, "emails", json!({"unique_for_ms": MINUTE_MS})).await.is(201).id().to_owned();
        if end != "ready" {
            let leased = app.dequeue("emails", json!({"lease_ms": 600_000})).await.is(200).leased("emails").remove(0);
            match end {
                "completed" => drop(app.ack(&leased).await.is(200)),
                "dead" => drop(app.nack(&leased, json!({"dead": true})).await.is(200)),
                "cancelled" => drop(app.delete(format!("/v1/queues/emails/jobs/{id}")).await.is(204)),
                _ => {}
            }
        }
        app.advance(Duration::from_millis(MINUTE_MS - 1));
        assert_taken(&app, "emails", &id).await;
        assert_eq!(app.job("emails", &id).await.is(200)["state"], end);
        app.advance(Duration::from_millis(1));
        let next = assert_free(&app, "emails").await;
        assert_ne!(next, id, "{end}");
        assert_taken(&app, "emails", &next).await;
    }
}

#[tokio::test]
async fn with_a_state_and_a_time_the_key_is_free_at_what_comes_first() {
    for until in ["done", "started"] {
        let app = TestApp::spawn().await;
        let both = json!({"unique_until": until, "unique_for_ms": MINUTE_MS});
        unique(&app, "emails", both.clone()).await.is(201);
        let leased = app.lease_one("emails").await;
        if until == "done" {
            assert_taken(&app, "emails", &leased.id).await;
            app.ack(&leased).await.is(200);
        }
        let second = unique(&app, "emails", both).await.is(201).id().to_owned();
        app.advance(Duration::from_millis(MINUTE_MS - 1));
        assert_taken(&app, "emails", &second).await;
        app.advance(Duration::from_millis(1));
        let third = assert_free(&app, "emails").await;

        // The second job has lost the key to time, and cannot free the third's.
        app.delete(format!("/v1/queues/emails/jobs/{second}")).await.is(204);
        assert_taken(&app, "emails", &third).await;
    }
}

#[tokio::test]
async fn keep_is_the_default_and_replace_puts_the_new_job_in_place_of_one_that_waits() {
    let app = TestApp::spawn().await;
    let replace = |payload: &str| json!({"payload": payload, "on_duplicate": "replace"});
    let first = unique(&app, "emails", replace("one")).await.is(201).id().to_owned();
    let kept = unique(&app, "emails", json!({"payload": "two", "on_duplicate": "keep"})).await.is(200);
    assert_eq!((kept.id(), &kept["payload"]), (first.as_str(), &json!("one")));

    let third = unique(&app, "emails", replace("three")).await.is(201);
    assert_ne!(third.id(), first);
    assert_eq!((&third["payload"], &third["duplicate"]), (&json!("three"), &Value::Null));
    app.job("emails", &first).await.fails_with(404, "not-found");
    assert_taken(&app, "emails", third.id()).await;
    assert_eq!(app.count("emails", "ready").await, 1);

    let mut later = replace("four");
    later["delay_ms"] = json!(1000);
    unique(&app, "emails", later.clone()).await.is(201);
    assert_eq!((app.count("emails", "ready").await, app.count("emails", "scheduled").await), (0, 1));
    later["payload"] = json!("five");
    unique(&app, "emails", later).await.is(201);
    assert_eq!((app.count("emails", "ready").await, app.count("emails", "scheduled").await), (0, 1));
    app.advance(Duration::from_secs(1));
    assert_eq!(app.lease_soon("emails").await.job["payload"], "five");
}

#[tokio::test]
async fn an_active_job_is_not_replaced_and_one_that_waits_for_its_retry_is() {
    let app = TestApp::spawn().await;
    unique(&app, "emails", json!({})).await.is(201);
    let leased = app.lease_one("emails").await;
    let kept = unique(&app, "emails", json!({"on_duplicate": "replace"})).await.is(200);
    assert_eq!((kept.id(), &kept["duplicate"], &kept["state"]), (leased.id.as_str(), &json!(true), &json!("active")));
    app.nack(&leased, json!({"retry_in_ms": 60_000})).await.is(200);
    let next = unique(&app, "emails", json!({"payload": 2, "on_duplicate": "replace"})).await.is(201);
    app.job("emails", &leased.id).await.fails_with(404, "not-found");
    let leased = app.lease_one("emails").await;
    assert_eq!(leased.id, next.id());
    app.ack(&leased).await.is(200);
    app.advance(Duration::from_secs(60));
    app.enqueue("emails", "the last").await;
    assert_eq!(app.lease_soon("emails").await.job["payload"], "the last");
}

#[tokio::test]
async fn a_dead_job_whose_key_is_taken_cannot_be_retried_until_the_key_is_free() {
    let app = TestApp::spawn().await;
    let dead = assert_free(&app, "emails").await;
    let leased = app.lease_one("emails").await;
    app.nack(&leased, json!({"dead": true})).await.is(200);
    let second = assert_free(&app, "emails").await;
    let retry = async || app.post(format!("/v1/queues/emails/jobs/{dead}/retry"), json!({})).await;
    retry().await.fails_with(409, "conflict");
    assert_eq!(app.post("/v1/queues/emails/redrive", json!({})).await.is(200)["moved"], 0);
    assert_eq!(app.job("emails", &dead).await["state"], "dead");
    assert_taken(&app, "emails", &second).await;

    let leased = app.lease_one("emails").await;
    app.ack(&leased).await.is(200);
    assert_eq!(retry().await.is(200)["state"], "ready");
    assert_taken(&app, "emails", &dead).await;
}

#[tokio::test]
async fn a_redriven_job_holds_its_key_again_until_it_is_done() {
    for to in ["emails", "rescue"] {
        let app = TestApp::spawn().await;
        let id = assert_free(&app, "emails").await;
        let leased = app.lease_one("emails").await;
        app.nack(&leased, json!({"dead": true})).await.is(200);
        assert_eq!(app.post("/v1/queues/emails/redrive", json!({"to": to})).await.is(200)["moved"], 1);
        assert_taken(&app, to, &id).await;
        let leased = app.lease_one(to).await;
        app.ack(&leased).await.is(200);
        assert_free(&app, to).await;
        if to == "rescue" {
            assert_free(&app, "emails").await;
        }
    }
}

#[tokio::test]
async fn a_dead_job_whose_key_is_taken_in_the_other_queue_stays_dead() {
    let app = TestApp::spawn().await;
    assert_free(&app, "rescue").await;
    let id = assert_free(&app, "emails").await;
    let leased = app.lease_one("emails").await;
    app.nack(&leased, json!({"dead": true})).await.is(200);
    assert_eq!(app.post("/v1/queues/emails/redrive", json!({"to": "rescue"})).await.is(200)["moved"], 0);
    assert_eq!(app.job("emails", &id).await.is(200)["state"], "dead");
    assert_eq!(app.count("rescue", "ready").await, 1);
}

#[tokio::test]
async fn racing_enqueues_of_one_key_make_one_job() {
    let redis = OwnRedis::spawn().await;
    let instances =
        [TestApp::with().redis_url(&redis.url()).spawn().await, TestApp::with().redis_url(&redis.url()).spawn().await];
    for round in 1..=5 {
        let answers = join_all((0..30).map(|number| unique(&instances[number % 2], "emails", json!({})))).await;
        let made = answers.iter().filter(|answer| answer.status == 201).count();
        for answer in &answers {
            assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        }
        let ids: BTreeSet<&str> = answers.iter().map(Answer::id).collect();
        assert_eq!((made, ids.len()), (1, 1));
        let leased = instances[round % 2].lease_one("emails").await;
        instances[0].ack(&leased).await.is(200);
        assert_eq!(instances[1].count("emails", "completed").await, round as u64);
    }
}

#[tokio::test]
async fn a_kill_in_the_middle_leaves_no_key_behind() {
    let directory = TempDir::new().expect("a directory");
    let always = ["--durability", "always"];
    let job = json!({"payload": 1, "unique_key": KEY, "max_attempts": 1});
    let mut service = Process::spawn_with(directory.path(), &always).await;
    let client = Plain::to(service.address());
    assert_eq!(client.post("/v1/queues/emails/jobs", job.clone()).await.0, 201);
    let (_, answer) = client.post("/v1/queues/emails/dequeue", json!({"lease_ms": 500})).await;
    assert_eq!(answer["jobs"].as_array().map(Vec::len), Some(1));
    service.signal(Signal::KILL);
    service.ended().await;

    let service = Process::spawn_with(directory.path(), &always).await;
    let client = Plain::to(service.address());
    let next = eventually("the key is free", async || {
        let (status, answer) = client.post("/v1/queues/emails/jobs", job.clone()).await;
        (status == 201).then_some(answer["id"].clone())
    })
    .await;
    assert_ne!(next, answer["jobs"][0]["id"]);
    let (status, again) = client.post("/v1/queues/emails/jobs", job.clone()).await;
    assert_eq!((status, &again["id"]), (200, &next));
}

#[tokio::test]
async fn what_belongs_to_a_unique_key_is_refused_without_one() {
    let app = TestApp::spawn().await;
    for (field, value) in
        [("unique_until", json!("done")), ("unique_for_ms", json!(1)), ("on_duplicate", json!("keep"))]
    {
        app.enqueue_job("emails", json!({"payload": 1, field: value})).await.fails_at(&[&format!("/{field}")]);
    }
    for (field, value) in [
        ("unique_key", json!("")),
        ("unique_key", json!("x".repeat(129))),
        ("unique_key", json!("a\nb")),
        ("unique_until", json!("never")),
        ("unique_for_ms", json!(0)),
        ("unique_for_ms", json!(315_360_000_001_u64)),
        ("on_duplicate", json!("fail")),
    ] {
        unique(&app, "emails", json!({field: value})).await.fails_at(&[&format!("/{field}")]);
    }
    app.queue("emails").await.fails_with(404, "not-found");
}
