//! What the holder of a lease may do, and what happens when it ends.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use crate::support::{Answer, Leased, TestApp, assert_prompt, at, eventually, ids};

/// A service with one job of `emails` leased for a second.
async fn with_one_lease() -> (TestApp, Leased) {
    let app = TestApp::spawn().await;
    app.enqueue_as("emails", "job").await;
    let leased = app.dequeue("emails", json!({"lease_ms": 1000, "worker": "w"})).await.leased("emails").remove(0);
    (app, leased)
}

async fn acks(app: &TestApp, items: &[Value]) -> Answer {
    app.post("/v1/queues/emails/acks", json!({"acks": items})).await
}

/// Asserts that a lease is worth nothing: whoever shows it changes nothing.
async fn assert_lost(app: &TestApp, leased: &Leased) {
    let before = app.job("emails", &leased.id).await.is(200);
    app.ack(leased).await.fails_with(409, "lease-lost");
    app.nack(leased, json!({})).await.fails_with(409, "lease-lost");
    app.extend(leased, json!({"progress": 1})).await.fails_with(409, "lease-lost");
    let batch = acks(app, &[leased.to_ack()]).await.is(200);
    assert_eq!(batch.results()[0]["problem"]["type"], "/problems/lease-lost");
    assert_eq!(app.job("emails", &leased.id).await.is(200).text(), before.text());
}

#[tokio::test]
async fn an_ack_completes_the_job() {
    let (app, leased) = with_one_lease().await;
    app.advance(Duration::from_millis(500));
    let done = app.settle(&leased, "ack", json!({"result": {"sent": true}})).await.is(200);
    for (field, value) in [
        ("id", json!("job")),
        ("state", json!("completed")),
        ("attempt", json!(1)),
        ("started_at", json!(at(0))),
        ("finished_at", json!(at(500))),
        ("result", json!({"sent": true})),
        ("errors", json!([])),
        ("lease_expires_at", Value::Null),
        ("lease", Value::Null),
    ] {
        assert_eq!(done[field], value, "{field}");
    }
    assert_eq!(app.job("emails", "job").await.is(200).text(), done.text());
    let without_result = {
        app.enqueue("emails", 1).await;
        app.ack(&app.lease_one("emails").await).await.is(200)
    };
    assert!(without_result.json().get("result").is_none(), "{}", without_result.text());
}

#[tokio::test]
async fn the_same_ack_again_counts_once_and_keeps_the_first_result() {
    let (app, leased) = with_one_lease().await;
    let first = app.settle(&leased, "ack", json!({"result": 1})).await.is(200);
    app.advance(Duration::from_hours(1));
    for result in [1, 2] {
        let again = app.settle(&leased, "ack", json!({"result": result})).await.is(200);
        assert_eq!(again.text(), first.text());
    }
    assert_eq!(acks(&app, &[leased.to_ack(), leased.to_ack()]).await.is(200).statuses(), [200, 200]);
    let job = app.job("emails", "job").await.is(200);
    assert_eq!((&job["result"], app.count("emails", "completed").await), (&json!(1), 1));
}

#[tokio::test]
async fn twenty_acks_at_once_count_once() {
    let (app, leased) = with_one_lease().await;
    let answers = join_all((0..20).map(|number| app.settle(&leased, "ack", json!({"result": number})))).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == answers[0].text()));
    assert_eq!(app.count("emails", "completed").await, 1);
}

#[tokio::test]
async fn a_lease_is_good_until_its_deadline_and_not_at_it() {
    for verb in ["ack", "nack", "extend"] {
        let (app, leased) = with_one_lease().await;
        app.advance(Duration::from_millis(999));
        app.settle(&leased, verb, json!({})).await.is(200);
        let (app, leased) = with_one_lease().await;
        app.advance(Duration::from_secs(1));
        app.settle(&leased, verb, json!({})).await.fails_with(409, "lease-lost");
    }
}

#[tokio::test]
async fn a_lease_that_ends_gives_the_job_back_and_counts_an_attempt() {
    let (app, leased) = with_one_lease().await;
    assert_eq!(leased.attempt(), 1);
    app.advance(Duration::from_secs(1));
    let back = app.until_state("emails", "job", "ready").await;
    assert_eq!(back["attempt"], 1);
    assert_eq!(back["errors"], json!([{"at": at(1000), "attempt": 1, "error": "the lease ran out"}]));
    assert_eq!(back["lease_expires_at"], Value::Null);
    assert_lost(&app, &leased).await;
    let again = app.lease_one("emails").await;
    assert_eq!((again.id.as_str(), again.attempt()), ("job", 2));
    assert_ne!(again.lease, leased.lease);
    assert_lost(&app, &leased).await;
    app.ack(&again).await.is(200);
    assert_lost(&app, &leased).await;
}

#[tokio::test]
async fn a_late_worker_cannot_finish_the_run_of_another() {
    let (app, late) = with_one_lease().await;
    app.advance(Duration::from_secs(1));
    let current = app.lease_soon("emails").await;
    app.settle(&late, "ack", json!({"result": "late"})).await.fails_with(409, "lease-lost");
    app.settle(&late, "nack", json!({"dead": true})).await.fails_with(409, "lease-lost");
    app.extend(&current, json!({"progress": 50})).await.is(200);
    app.extend(&late, json!({"progress": 10, "lease_ms": 100})).await.fails_with(409, "lease-lost");
    let job = app.job("emails", "job").await;
    assert_eq!((&job["state"], &job["progress"]), (&json!("active"), &json!(50)));
    assert_eq!(app.settle(&current, "ack", json!({"result": "mine"})).await.is(200)["result"], "mine");
}

#[tokio::test]
async fn a_job_that_comes_back_joins_the_end_of_its_priority() {
    let app = TestApp::spawn().await;
    for (id, priority) in [("expires", 5), ("second", 5), ("low", 4)] {
        app.enqueue_job("emails", json!({"id": id, "payload": 1, "priority": priority})).await.is(201);
    }
    app.dequeue("emails", json!({"lease_ms": 100})).await.is(200);
    app.advance(Duration::from_millis(100));
    app.until_count("emails", "ready", 3).await;
    let order: Vec<String> = app.lease("emails", 3).await.into_iter().map(|job| job.id).collect();
    assert_eq!(order, ["second", "expires", "low"]);
}

#[tokio::test]
async fn a_job_whose_attempts_run_out_with_its_lease_is_dead() {
    let app = TestApp::spawn().await;
    app.enqueue_job("emails", json!({"id": "job", "payload": 1, "max_attempts": 2})).await.is(201);
    for attempt in 1..=2 {
        assert_eq!(app.lease_soon("emails").await.attempt(), attempt);
        app.advance(Duration::from_secs(30));
    }
    let dead = app.until_state("emails", "job", "dead").await;
    assert_eq!((&dead["attempt"], &dead["finished_at"]), (&json!(2), &json!(at(60_000))));
    assert_eq!(dead["errors"].as_array().expect("a list").len(), 2);
    assert_eq!(app.lease("emails", 1).await.len(), 0);
}

#[tokio::test]
async fn many_leases_that_end_at_once_all_come_back() {
    let app = TestApp::spawn().await;
    app.create_queue("emails", json!({"lease_ms": 1000})).await;
    app.fill_queue("emails", 1200, &json!({})).await;
    app.lease_many("emails", 1200).await;
    app.advance(Duration::from_secs(1));
    app.until_count("emails", "ready", 1200).await;
    assert!(app.lease_many("emails", 1200).await.iter().all(|job| job.attempt() == 2));
}

#[tokio::test]
async fn a_lease_that_ends_gives_the_job_back_within_half_a_second_with_no_other_traffic() {
    let app = TestApp::with().server_clock().spawn().await;
    assert_prompt(Duration::from_millis(500), async |round| {
        let (queue, mut due) = (format!("q{round}"), Vec::new());
        app.fill_queue(&queue, 15, &json!({})).await;
        for lease_ms in (500..1500).step_by(70) {
            app.dequeue(&queue, json!({"lease_ms": lease_ms})).await.is(200);
            due.push(Instant::now() + Duration::from_millis(lease_ms));
        }
        app.lateness(&queue, &due).await
    })
    .await;
}

#[tokio::test]
async fn extending_moves_the_deadline_both_ways() {
    let (app, leased) = with_one_lease().await;
    app.advance(Duration::from_millis(500));
    let extended = app.extend(&leased, json!({"lease_ms": 60_000})).await.is(200);
    assert_eq!(extended.json(), &json!({"lease_expires_at": at(60_500), "cancelled": false}));
    assert_eq!(app.job("emails", "job").await["lease_expires_at"], at(60_500));
    app.advance(Duration::from_secs(30));
    app.extend(&leased, json!({"lease_ms": 100})).await.is(200);
    app.advance(Duration::from_millis(100));
    app.extend(&leased, json!({"lease_ms": 60_000})).await.fails_with(409, "lease-lost");
    let back = app.until_state("emails", "job", "ready").await;
    assert_eq!(back["errors"][0]["attempt"], 1);
}

#[tokio::test]
async fn extending_without_a_time_takes_that_of_the_queue() {
    let (app, leased) = with_one_lease().await;
    assert_eq!(app.extend(&leased, json!({})).await.is(200)["lease_expires_at"], at(30_000));
    app.change_queue("emails", json!({"lease_ms": 5000})).await;
    assert_eq!(app.extend(&leased, json!({})).await.is(200)["lease_expires_at"], at(5000));
    for _ in 0..20 {
        app.advance(Duration::from_millis(4999));
        app.extend(&leased, json!({})).await.is(200);
    }
    assert_eq!(app.ack(&leased).await.is(200)["attempt"], 1);
}

#[tokio::test]
async fn progress_is_kept_byte_for_byte() {
    let (app, leased) = with_one_lease().await;
    let largest = format!(r#""{}""#, "x".repeat(2046));
    for progress in
        [r#"{"b" :1e400, "a":123456789012345678901234567890,"b":2}"#, r#""\ud800\/""#, "null", "0.50", &largest]
    {
        let body = format!(r#"{{"lease":"{}","progress":{progress}}}"#, leased.lease);
        app.post("/v1/queues/emails/jobs/job/extend", body).await.is(200);
        app.extend(&leased, json!({})).await.is(200);
        let read = app.wire("GET", "/v1/queues/emails/jobs/job", "").await.is(200);
        assert!(read.text().contains(&format!(r#""progress":{progress}"#)), "kept when another beat has none");
    }
    app.extend(&leased, json!({"progress": "x".repeat(2047)})).await.fails_at(&["/progress"]);
    assert_eq!(app.ack(&leased).await.is(200)["progress"].to_string(), largest, "the last one stays");
}

#[tokio::test]
async fn a_result_has_at_most_256_kib() {
    let (app, leased) = with_one_lease().await;
    let more = json!({"result": "x".repeat(256 * 1024 - 1)});
    app.settle(&leased, "ack", more.clone()).await.fails_with(413, "payload-too-large");
    let item = json!({"id": leased.id, "lease": leased.lease, "result": more["result"]});
    assert_eq!(acks(&app, &[item]).await.is(200).statuses(), [413]);
    let most = json!({"result": "x".repeat(256 * 1024 - 2)});
    assert_eq!(app.settle(&leased, "ack", most.clone()).await.is(200)["result"], most["result"]);
}

#[tokio::test]
async fn only_the_current_lease_counts() {
    let (app, leased) = with_one_lease().await;
    app.enqueue_as("emails", "never-leased").await;
    for (id, lease) in [("job", "never-given"), ("never-leased", &leased.lease), ("job", &"x".repeat(128))] {
        let shown = Leased { id: id.to_owned(), lease: lease.to_owned(), ..leased.clone() };
        assert_lost(&app, &shown).await;
    }
    for (queue, id) in [("emails", "unknown"), ("unknown", "job"), ("emails", "job/ack")] {
        let shown = Leased { queue: queue.to_owned(), id: id.to_owned(), ..leased.clone() };
        for verb in ["ack", "nack", "extend"] {
            app.settle(&shown, verb, json!({})).await.fails_with(404, "not-found");
        }
    }
    app.ack(&leased).await.is(200);
    app.nack(&leased, json!({})).await.fails_with(409, "lease-lost");
    app.extend(&leased, json!({})).await.fails_with(409, "lease-lost");
    assert_eq!(app.job("emails", "job").await["state"], "completed");
}

#[tokio::test]
async fn what_was_given_back_cannot_be_settled() {
    let (app, leased) = with_one_lease().await;
    app.nack(&leased, json!({"retry_in_ms": 60_000})).await.is(200);
    assert_lost(&app, &leased).await;
    app.request("POST", "/v1/queues/emails/jobs/job/retry").send().await.is(200);
    assert_lost(&app, &leased).await;
    let again = app.lease_one("emails").await;
    app.nack(&again, json!({"dead": true})).await.is(200);
    assert_lost(&app, &again).await;
    assert_lost(&app, &leased).await;
}

#[tokio::test]
async fn a_running_job_is_told_of_its_cancelling_when_it_extends() {
    let (app, leased) = with_one_lease().await;
    app.delete("/v1/queues/emails/jobs/job").await.is(204);
    let cancelled = app.job("emails", "job").await;
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(app.extend(&leased, json!({"progress": 1})).await.is(200)["cancelled"], true);
    app.ack(&leased).await.fails_with(409, "lease-lost");
    app.nack(&leased, json!({})).await.fails_with(409, "lease-lost");
    assert_eq!(acks(&app, &[leased.to_ack()]).await.is(200).statuses(), [409]);
    let stranger = Leased { lease: "another".to_owned(), ..leased.clone() };
    app.extend(&stranger, json!({})).await.fails_with(409, "lease-lost");
    app.advance(Duration::from_mins(1));
    assert_eq!(app.lease("emails", 1).await.len(), 0);
    assert_eq!(app.job("emails", "job").await.text(), cancelled.text(), "and it stays cancelled");
}

#[tokio::test]
async fn many_acks_are_answered_in_their_order() {
    let app = TestApp::spawn().await;
    app.fill_queue("emails", 1000, &json!({})).await;
    let held = app.lease_many("emails", 1000).await;
    let items: Vec<Value> = held
        .iter()
        .enumerate()
        .map(|(number, job)| json!({"id": job.id, "lease": job.lease, "result": [number]}))
        .rev()
        .collect();
    let answer = acks(&app, &items).await.is(200);
    assert_eq!(ids(answer.results()), ids(&items));
    assert!(answer.statuses().iter().all(|status| *status == 200));
    assert_eq!(answer.results()[0], json!({"id": held[999].id, "status": 200}));
    assert_eq!(app.job("emails", &held[123].id).await["result"], json!([123]));
    assert_eq!(app.count("emails", "completed").await, 1000);
}

#[tokio::test]
async fn bad_acks_fail_alone() {
    let app = TestApp::spawn().await;
    app.fill_queue("emails", 2, &json!({})).await;
    let held = app.lease("emails", 2).await;
    let items = [
        json!({"id": "unknown", "lease": "x"}),
        held[0].to_ack(),
        json!({"id": held[1].id, "lease": held[0].lease}),
        json!({"id": held[1].id}),
        json!({"id": held[1].id, "lease": 5}),
        json!({"lease": held[1].lease}),
        json!(null),
        json!({"id": held[1].id, "lease": held[1].lease, "error": "x"}),
        held[1].to_ack(),
    ];
    let answer = acks(&app, &items).await.is(200);
    assert_eq!(answer.statuses(), [404, 200, 409, 422, 422, 422, 422, 422, 200]);
    for (number, pointer) in
        [(3, "/acks/3/lease"), (4, "/acks/4/lease"), (5, "/acks/5/id"), (6, "/acks/6"), (7, "/acks/7/error")]
    {
        assert_eq!(answer.results()[number]["problem"]["errors"][0]["pointer"], pointer, "{}", answer.text());
    }
    assert_eq!(app.count("emails", "completed").await, 2);
    acks(&app, &vec![json!({"id": "a", "lease": "x"}); 1001]).await.fails_at(&["/acks"]);
    assert_eq!(acks(&app, &[]).await.is(200).json(), &json!({"results": []}));
    app.post("/v1/queues/emails/acks", json!({})).await.fails_at(&["/acks"]);
}

#[tokio::test]
async fn a_bad_field_is_named_and_the_job_stays_leased() {
    let (app, leased) = with_one_lease().await;
    let before = app.job("emails", "job").await;
    for (verb, fields, pointer) in [
        ("ack", r#""colour":1"#, "/colour"),
        ("ack", r#""error":"x""#, "/error"),
        ("ack", r#""lease":"again""#, "/lease"),
        ("nack", r#""colour":1"#, "/colour"),
        ("nack", r#""error":5"#, "/error"),
        ("nack", r#""error":null"#, "/error"),
        ("nack", r#""retry_in_ms":-1"#, "/retry_in_ms"),
        ("nack", r#""retry_in_ms":315360000001"#, "/retry_in_ms"),
        ("nack", r#""retry_in_ms":"1""#, "/retry_in_ms"),
        ("nack", r#""dead":1"#, "/dead"),
        ("nack", r#""dead":true,"retry_in_ms":1"#, "/retry_in_ms"),
        ("extend", r#""lease_ms":99"#, "/lease_ms"),
        ("extend", r#""lease_ms":43200001"#, "/lease_ms"),
        ("extend", r#""lease_ms":null"#, "/lease_ms"),
        ("extend", r#""result":1"#, "/result"),
    ] {
        let path = format!("/v1/queues/emails/jobs/job/{verb}");
        let refused = app.post(&path, format!(r#"{{"lease":"{}",{fields}}}"#, leased.lease)).await;
        let refused = refused.fails_with(422, "invalid");
        assert_eq!(refused.pointers(), [pointer], "{verb} {fields}: {}", refused.text());
        app.post(&path, json!({})).await.fails_at(&["/lease"]);
        app.post(&path, json!({"lease": 5})).await.fails_at(&["/lease"]);
        app.post(&path, json!({"lease": null})).await.fails_at(&["/lease"]);
        app.post(&path, "[]").await.fails_at(&[""]);
    }
    let long = format!("/v1/queues/emails/jobs/{}/ack", "x".repeat(129));
    assert_eq!(app.post(&long, json!({"lease": "x"})).await.fails_with(422, "invalid").pointers().len(), 1);
    assert_eq!(app.job("emails", "job").await.text(), before.text());
    app.ack(&leased).await.is(200);
}

#[tokio::test]
async fn settling_twice_under_one_key_counts_once_and_is_answered_as_at_first() {
    let app = TestApp::spawn().await;
    app.fill_queue("emails", 4, &json!({})).await;
    let held = app.lease("emails", 4).await;
    for (job, verb, fields) in [
        (&held[0], "ack", json!({"result": 1})),
        (&held[1], "nack", json!({"error": "x"})),
        (&held[2], "extend", json!({"progress": 1})),
    ] {
        let send = async |fields: &Value| {
            let mut body = fields.clone();
            body["lease"] = json!(job.lease);
            let target = format!("/v1/queues/emails/jobs/{}/{verb}", job.id);
            app.request("POST", target).key(&format!("k-{verb}")).body(body).send().await
        };
        let first = send(&fields).await.is(200);
        app.advance(Duration::from_millis(10));
        let again = send(&fields).await.is(200);
        assert_eq!((first.was_replayed(), again.was_replayed(), again.text()), (false, true, first.text()), "{verb}");
        send(&json!({})).await.fails_with(409, "idempotency-mismatch");
    }
    assert_eq!(app.job("emails", &held[1].id).await["errors"].as_array().expect("a list").len(), 1);
    let body = json!({"acks": [held[3].to_ack()]});
    let send = || app.request("POST", "/v1/queues/emails/acks").key("k-acks").body(body.clone()).send();
    let (first, again) = (send().await.is(200), send().await.is(200));
    assert_eq!((first.was_replayed(), again.was_replayed(), again.text()), (false, true, first.text()));
}

/// Acks a hundred leased jobs, ten at a time, while the clock reaches their deadline after some of them. Gives the ids
/// of those that were told that their lease was lost.
async fn ack_against_expiry(app: &TestApp, held: &[Leased], after: usize) -> BTreeSet<String> {
    let acked = AtomicUsize::new(0);
    let acking = join_all(held.chunks(10).map(async |jobs| {
        let mut lost = Vec::new();
        for job in jobs {
            let answer = app.ack(job).await;
            if answer.status != 200 {
                answer.fails_with(409, "lease-lost");
                lost.push(job.id.clone());
            }
            acked.fetch_add(1, Ordering::Relaxed);
        }
        lost
    }));
    let moving = async {
        app.advance(Duration::from_millis(999));
        eventually("some are acked", async || (acked.load(Ordering::Relaxed) >= after).then_some(())).await;
        app.advance(Duration::from_millis(1));
    };
    let (lost, ()) = join(acking, moving).await;
    lost.into_iter().flatten().collect()
}

#[tokio::test]
async fn an_ack_against_expiry_ends_in_done_once_or_run_again() {
    let app = TestApp::spawn().await;
    app.create_queue("emails", json!({"lease_ms": 1000})).await;
    let mut came_back = 0;
    for wave in 0..10 {
        app.fill_queue("emails", 100, &json!({})).await;
        let held = app.lease_many("emails", 100).await;
        let lost = ack_against_expiry(&app, &held, wave * 10).await;
        app.until_count("emails", "active", 0).await;
        assert_eq!(app.count("emails", "ready").await, lost.len() as u64);
        let again = app.lease("emails", 100).await;
        assert_eq!(again.iter().map(|job| job.id.clone()).collect::<BTreeSet<_>>(), lost, "those and no others");
        assert!(again.iter().all(|job| job.attempt() == 2));
        for job in &again {
            app.ack(job).await.is(200);
        }
        came_back += lost.len();
    }
    assert!((1..1000).contains(&came_back), "both ends were seen: {came_back}");
    assert_eq!(app.count("emails", "completed").await, 1000);
    assert_eq!(app.all_jobs("emails", "limit=1000").await.len(), 1000);
}

#[tokio::test]
async fn a_job_lives_on_though_redis_forgets_every_script() {
    let app = TestApp::spawn().await;
    let forget = || redis::cmd("SCRIPT").arg("FLUSH").query::<()>(&mut app.redis()).expect("SCRIPT FLUSH works");
    forget();
    app.enqueue_as("emails", "job").await;
    forget();
    let leased = app.lease_one("emails").await;
    forget();
    app.extend(&leased, json!({"progress": 1})).await.is(200);
    forget();
    app.nack(&leased, json!({"dead": true})).await.is(200);
    forget();
    app.request("POST", "/v1/queues/emails/jobs/job/retry").send().await.is(200);
    forget();
    let again = app.lease_one("emails").await;
    forget();
    app.ack(&again).await.is(200);
    forget();
    assert_eq!(app.job("emails", "job").await["state"], "completed");
    forget();
    assert_eq!(app.delete("/v1/queues/emails/jobs?state=completed").await.is(200)["deleted"], 1);
}
