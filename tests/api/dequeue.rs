//! Leasing jobs, of one queue and of several, and settling earlier ones in the same call.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use crate::support::{Answer, Leased, OwnRedis, TestApp, at, ids};

async fn dequeue_of(app: &TestApp, body: Value) -> Answer {
    app.post("/v1/dequeue", body).await
}

/// The payloads that a lease of up to 100 jobs gives.
async fn payloads(app: &TestApp, queue: &str) -> Vec<Value> {
    app.dequeue(queue, json!({"limit": 100})).await.is(200).payloads()
}

#[tokio::test]
async fn a_leased_job_tells_who_holds_it_and_until_when() {
    let app = TestApp::spawn().await;
    let id = app.enqueue("emails", json!({"to": "ann"})).await.id().to_owned();
    app.advance(Duration::from_millis(250));
    let answer = app.dequeue("emails", json!({"worker": "host 1/é"})).await.is(200);
    let lease = answer.jobs()[0]["lease"].as_str().expect("a lease");
    let mut job = json!({
        "id": id, "queue": "emails", "state": "active", "payload": {"to": "ann"}, "priority": 4, "attempt": 1,
        "max_attempts": 5, "enqueued_at": at(0), "started_at": at(250), "lease_expires_at": at(30_250),
        "worker": "host 1/é", "errors": [], "lease": lease,
    });
    assert_eq!(answer.json(), &json!({"jobs": [job]}));
    job.as_object_mut().expect("an object").remove("lease");
    assert_eq!(app.job("emails", &id).await.is(200).json(), &job, "the lease is told to its holder alone");
    assert_eq!(app.jobs("emails", "active").await.jobs(), [job]);
}

#[tokio::test]
async fn a_worker_need_not_have_a_name() {
    let app = TestApp::spawn().await;
    app.enqueue("emails", 1).await;
    assert_eq!(app.lease_one("emails").await.job["worker"], Value::Null);
}

#[tokio::test]
async fn jobs_of_one_priority_are_leased_in_their_order() {
    let app = TestApp::spawn().await;
    for number in 0..5 {
        app.enqueue("emails", number).await;
    }
    let batch = (5..10).map(|number| json!({"payload": number})).collect();
    app.enqueue_many("emails", batch).await.is(200);
    for number in 0..3 {
        assert_eq!(app.lease_one("emails").await.job["payload"], number);
    }
    assert_eq!(payloads(&app, "emails").await, (3..10).map(Value::from).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_higher_priority_goes_first() {
    let app = TestApp::spawn().await;
    for round in 0..3 {
        for priority in [3, 9, 0, 7, 1, 8, 2, 6, 5, 4] {
            let job = json!({"payload": [priority, round], "priority": priority});
            app.enqueue_job("emails", job).await.is(201);
        }
    }
    let expected: Vec<Value> =
        (0..10).rev().flat_map(|priority| (0..3).map(move |round| json!([priority, round]))).collect();
    assert_eq!(payloads(&app, "emails").await, expected);
}

#[tokio::test]
async fn a_limit_is_kept() {
    let app = TestApp::spawn().await;
    app.fill_queue("emails", 150, &json!({})).await;
    assert_eq!(app.dequeue("emails", json!({})).await.is(200).jobs().len(), 1);
    assert_eq!(app.lease("emails", 7).await.len(), 7);
    assert_eq!(app.lease("emails", 100).await.len(), 100);
    assert_eq!(app.lease("emails", 100).await.len(), 42, "what there is");
    assert_eq!(app.dequeue("emails", json!({})).await.is(200).json(), &json!({"jobs": []}));
}

#[tokio::test]
async fn each_lease_has_a_token_of_its_own() {
    let app = TestApp::spawn().await;
    app.fill_queue("emails", 100, &json!({})).await;
    let mut tokens: Vec<String> = app.lease("emails", 100).await.into_iter().map(|job| job.lease).collect();
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 100);
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_it_is_asked_for() {
    let app = TestApp::spawn().await;
    app.fill_queue("emails", 3, &json!({})).await;
    for lease_ms in [100, 43_200_000] {
        let leased = app.dequeue("emails", json!({"lease_ms": lease_ms})).await.is(200);
        assert_eq!(leased.jobs()[0]["lease_expires_at"], at(lease_ms));
    }
    let of_several = dequeue_of(&app, json!({"queues": ["emails"], "lease_ms": 1000})).await.is(200);
    assert_eq!(of_several.jobs()[0]["lease_expires_at"], at(1000));
}

#[tokio::test]
async fn who_waits_gets_the_job_that_comes() {
    let app = TestApp::spawn().await;
    let enqueue = async |payload: i64| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        app.enqueue("emails", payload).await
    };
    let (answer, _) = join(app.dequeue("emails", json!({"wait_ms": 15_000})), enqueue(1)).await;
    assert_eq!(answer.is(200).payloads(), [1], "though the queue was not there");
    let several = json!({"queues": ["other", "emails"], "wait_ms": 15_000});
    let (answer, _) = join(dequeue_of(&app, several), enqueue(2)).await;
    assert_eq!(answer.is(200).payloads(), [2]);
}

#[tokio::test]
async fn a_wait_ends_with_nothing_when_nothing_comes() {
    let app = TestApp::spawn().await;
    app.create_queue("emails", json!({})).await;
    for queue in ["emails", "unknown"] {
        let began = Instant::now();
        assert_eq!(app.dequeue(queue, json!({"wait_ms": 300})).await.is(200).json(), &json!({"jobs": []}));
        assert!(began.elapsed() >= Duration::from_millis(300), "{queue}");
    }
    app.queue("unknown").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn who_waits_at_a_queue_that_is_made_anew_gets_its_job() {
    let app = TestApp::spawn().await;
    app.create_queue("emails", json!({})).await;
    let renew = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        app.delete("/v1/queues/emails").await.is(204);
        app.enqueue("emails", "new").await
    };
    let (answer, _) = join(app.dequeue("emails", json!({"wait_ms": 15_000})), renew).await;
    assert_eq!(answer.is(200).payloads(), ["new"]);
}

#[tokio::test]
async fn strict_empties_the_queues_in_the_order_given() {
    let app = TestApp::spawn().await;
    for queue in ["low", "high"] {
        app.fill_queue(queue, 4, &json!({"priority": if queue == "low" { 9 } else { 0 }})).await;
    }
    let of = async |queues: [&str; 3], limit: usize| {
        let answer = dequeue_of(&app, json!({"queues": queues, "limit": limit, "order": "strict"})).await.is(200);
        answer.jobs().iter().map(|job| format!("{}{}", job["queue"].as_str().expect("text"), job["payload"])).collect()
    };
    let leased: Vec<String> = of(["unknown", "high", "low"], 3).await;
    assert_eq!(leased, ["high0", "high1", "high2"]);
    let leased: Vec<String> = of(["unknown", "high", "low"], 3).await;
    assert_eq!(leased, ["high3", "low0", "low1"], "the limit is over all of them");
    let unordered = dequeue_of(&app, json!({"queues": ["high", "low"], "limit": 10})).await.is(200);
    assert_eq!(unordered.payloads(), [2, 3]);
    app.queue("unknown").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn weighted_gives_every_queue_its_share() {
    let app = TestApp::spawn().await;
    for queue in ["heavy", "light"] {
        app.fill_queue(queue, 400, &json!({})).await;
    }
    let body = json!({"queues": ["light", "heavy"], "order": "weighted", "weights": {"heavy": 9}, "limit": 1});
    let mut shares: HashMap<String, usize> = HashMap::new();
    for _ in 0..200 {
        let answer = dequeue_of(&app, body.clone()).await.is(200);
        *shares.entry(answer.jobs()[0]["queue"].as_str().expect("text").to_owned()).or_default() += 1;
    }
    // 180 and 20 are due; twice the light share is eight standard deviations away.
    assert!((140..=199).contains(&shares["heavy"]), "{shares:?}");
}

#[tokio::test]
async fn weighted_takes_from_any_queue_rather_than_nothing() {
    let app = TestApp::spawn().await;
    app.fill_queue("light", 30, &json!({})).await;
    app.create_queue("heavy", json!({})).await;
    let body =
        json!({"queues": ["heavy", "light", "unknown"], "order": "weighted", "weights": {"heavy": 1000}, "limit": 10});
    for _ in 0..3 {
        assert_eq!(dequeue_of(&app, body.clone()).await.is(200).jobs().len(), 10);
    }
    assert_eq!(dequeue_of(&app, body).await.is(200).jobs().len(), 0);
}

#[tokio::test]
async fn a_job_of_several_queues_is_settled_at_its_own() {
    let app = TestApp::spawn().await;
    app.create_queue("slow", json!({"lease_ms": 60_000})).await;
    app.enqueue("slow", 1).await;
    let answer = dequeue_of(&app, json!({"queues": ["quick", "slow"], "worker": "w"})).await.is(200);
    assert_eq!(answer.jobs()[0]["lease_expires_at"], at(60_000), "by the settings of its queue");
    let leased = &answer.leased("slow")[0];
    app.ack(&Leased { queue: "quick".to_owned(), ..leased.clone() }).await.fails_with(404, "not-found");
    app.ack(leased).await.is(200);
}

#[tokio::test]
async fn one_call_settles_jobs_and_leases_the_next() {
    let app = TestApp::spawn().await;
    app.fill_queue("emails", 4, &json!({})).await;
    let held = app.lease("emails", 2).await;
    let acks = json!([{"id": held[0].id, "lease": held[0].lease, "result": {"n": 1}}, held[1].to_ack()]);
    let answer = app.dequeue("emails", json!({"limit": 5, "ack": acks})).await.is(200);
    assert_eq!(answer["acked"], json!([{"id": held[0].id, "status": 200}, {"id": held[1].id, "status": 200}]));
    assert_eq!(answer.payloads(), [2, 3]);
    let done = app.job("emails", &held[0].id).await.is(200);
    assert_eq!((&done["state"], &done["result"]), (&json!("completed"), &json!({"n": 1})));
    let again = app.dequeue("emails", json!({"ack": acks})).await.is(200);
    assert_eq!((&again["acked"], again.jobs().len()), (&answer["acked"], 0), "settled though nothing is leased");
    assert_eq!(app.count("emails", "completed").await, 2, "and once");
}

#[tokio::test]
async fn what_cannot_be_settled_is_told_and_holds_nothing_up() {
    let app = TestApp::spawn().await;
    app.fill_queue("emails", 3, &json!({})).await;
    let held = app.lease("emails", 2).await;
    app.nack(&held[0], json!({})).await.is(200);
    let acks = json!([
        held[0].to_ack(),
        {"id": "unknown", "lease": held[0].lease},
        {"id": held[1].id},
        {"id": held[1].id, "lease": held[1].lease, "colour": 1},
        5,
        {"id": held[1].id, "lease": "of-another"},
        held[1].to_ack(),
    ]);
    for (path, body) in [
        ("/v1/queues/emails/dequeue", json!({"ack": acks})),
        ("/v1/dequeue", json!({"queues": ["none", "emails"], "ack": acks})),
    ] {
        let answer = app.post(path, body).await.is(200);
        let acked = answer["acked"].as_array().expect("a list");
        let statuses: Vec<&Value> = acked.iter().map(|item| &item["status"]).collect();
        assert_eq!(statuses, [409, 404, 422, 422, 422, 409, 200], "{path}");
        assert_eq!(acked[0]["problem"]["type"], "/problems/lease-lost");
        assert_eq!(acked[1]["problem"]["type"], "/problems/not-found");
        for (number, pointer) in [(2, "/ack/2/lease"), (3, "/ack/3/colour"), (4, "/ack/4")] {
            assert_eq!(acked[number]["problem"]["errors"][0]["pointer"], pointer, "{}", acked[number]);
        }
        assert_eq!(answer.jobs().len(), usize::from(!path.ends_with("v1/dequeue")), "{path}");
    }
    assert_eq!(app.count("emails", "completed").await, 1);
}

#[tokio::test]
async fn jobs_are_settled_before_the_next_are_leased() {
    let app = TestApp::spawn().await;
    app.create_queue("emails", json!({"max_concurrency": 1})).await;
    app.fill_queue("emails", 3, &json!({})).await;
    let mut held = app.lease_one("emails").await;
    assert_eq!(app.lease("emails", 1).await.len(), 0);
    for number in 1..3 {
        let answer = app.dequeue("emails", json!({"ack": [held.to_ack()], "limit": 10})).await.is(200);
        assert_eq!(answer.payloads(), [number]);
        held = answer.leased("emails").remove(0);
    }
}

#[tokio::test]
async fn jobs_are_settled_at_once_though_the_call_waits() {
    let app = TestApp::spawn().await;
    app.enqueue("emails", 1).await;
    let held = app.lease_one("emails").await;
    let wait = app.dequeue("emails", json!({"ack": [held.to_ack()], "wait_ms": 15_000}));
    let meanwhile = async {
        app.until_count("emails", "completed", 1).await;
        app.enqueue("emails", 2).await
    };
    let (answer, _) = join(wait, meanwhile).await;
    assert_eq!((answer["acked"][0]["status"].clone(), answer.payloads()), (json!(200), vec![json!(2)]));
}

#[tokio::test]
async fn a_thousand_jobs_are_settled_in_a_call() {
    let app = TestApp::spawn().await;
    app.fill_queue("emails", 1001, &json!({})).await;
    let held: Vec<Value> = app.lease_many("emails", 1001).await.iter().map(Leased::to_ack).collect();
    app.dequeue("emails", json!({"ack": held})).await.fails_at(&["/ack"]);
    assert_eq!(app.count("emails", "completed").await, 0);
    let answer = app.dequeue("emails", json!({"ack": held[..1000]})).await.is(200);
    let acked = answer["acked"].as_array().expect("a list");
    assert_eq!(ids(acked), ids(&held[..1000]));
    assert_eq!(app.count("emails", "completed").await, 1000);
    let none = app.dequeue("emails", json!({"ack": []})).await.is(200);
    assert!(none["acked"].as_array().is_none_or(Vec::is_empty), "{}", none.text());
}

#[tokio::test]
async fn a_bad_field_is_named_and_nothing_is_leased() {
    let app = TestApp::spawn().await;
    app.enqueue("emails", 1).await;
    let long = "x".repeat(129);
    for (fields, pointer) in [
        (r#""limit":0"#, "/limit"),
        (r#""limit":101"#, "/limit"),
        (r#""limit":"1""#, "/limit"),
        (r#""limit":1.5"#, "/limit"),
        (r#""limit":null"#, "/limit"),
        (r#""limit":1,"limit":1"#, "/limit"),
        (r#""wait_ms":-1"#, "/wait_ms"),
        (r#""wait_ms":30001"#, "/wait_ms"),
        (r#""lease_ms":99"#, "/lease_ms"),
        (r#""lease_ms":43200001"#, "/lease_ms"),
        (r#""worker":"""#, "/worker"),
        (r#""worker":null"#, "/worker"),
        (r#""worker":"a\u0000""#, "/worker"),
        (&format!(r#""worker":"{long}""#), "/worker"),
        (r#""ack":null"#, "/ack"),
        (r#""ack":{}"#, "/ack"),
        (r#""colour":1"#, "/colour"),
    ] {
        let one = app.dequeue("emails", format!("{{{fields}}}")).await.fails_with(422, "invalid");
        assert_eq!(one.pointers(), [pointer], "{fields}: {}", one.text());
        let several = app.post("/v1/dequeue", format!(r#"{{"queues":["emails"],{fields}}}"#)).await;
        let several = several.fails_with(422, "invalid");
        assert_eq!(several.pointers(), [pointer], "{fields}: {}", several.text());
    }
    for field in ["queues", "order", "weights"] {
        app.dequeue("emails", json!({field: 1})).await.fails_at(&[&format!("/{field}")]);
    }
    app.dequeue("emails", "[]").await.fails_at(&[""]);
    app.post("/v1/queues/emails/dequeue?limit=1", json!({})).await.fails_at(&["limit"]);
    assert_eq!(app.lease_one("emails").await.attempt(), 1, "it was not leased before");
}

#[tokio::test]
async fn several_queues_are_named_well() {
    let app = TestApp::spawn().await;
    app.enqueue("emails", 1).await;
    let many: Vec<String> = (0..101).map(|number| format!("q{number}")).collect();
    for (body, pointer) in [
        (json!({}), "/queues"),
        (json!({"queues": []}), "/queues"),
        (json!({"queues": many}), "/queues"),
        (json!({"queues": "emails"}), "/queues"),
        (json!({"queues": ["emails", "a b"]}), "/queues/1"),
        (json!({"queues": ["emails", 5]}), "/queues/1"),
        (json!({"queues": ["emails"], "order": "random"}), "/order"),
        (json!({"queues": ["emails"], "order": null}), "/order"),
        (json!({"queues": ["emails"], "weights": {"emails": 1}}), "/weights"),
        (json!({"queues": ["emails"], "order": "strict", "weights": {"emails": 1}}), "/weights"),
        (json!({"queues": ["emails"], "order": "weighted", "weights": {"other": 1}}), "/weights/other"),
        (json!({"queues": ["emails"], "order": "weighted", "weights": {"emails": 0}}), "/weights/emails"),
        (json!({"queues": ["emails"], "order": "weighted", "weights": {"emails": 1001}}), "/weights/emails"),
        (json!({"queues": ["emails"], "order": "weighted", "weights": []}), "/weights"),
    ] {
        let refused = dequeue_of(&app, body.clone()).await.fails_with(422, "invalid");
        assert_eq!(refused.pointers(), [pointer], "{body}: {}", refused.text());
    }
    let twice = dequeue_of(&app, json!({"queues": ["emails", "other", "emails"]})).await.fails_with(422, "invalid");
    assert!(twice.pointers()[0].starts_with("/queues"), "{}", twice.text());
    let most = json!({"queues": many[..100], "order": "weighted", "weights": {"q1": 1, "q2": 1000}});
    assert_eq!(dequeue_of(&app, most).await.is(200).jobs(), [""; 0]);
    assert_eq!(app.count("emails", "ready").await, 1);
}

#[tokio::test]
async fn a_get_takes_no_job() {
    let app = TestApp::spawn().await;
    app.enqueue("emails", 1).await;
    for path in ["/v1/queues/emails/dequeue", "/v1/dequeue"] {
        let refused = app.get(path).await.fails_with(405, "method-not-allowed");
        assert_eq!(refused.header("allow"), "POST");
    }
    assert_eq!(app.count("emails", "ready").await, 1);
}

async fn keyed(app: &TestApp, key: &str, body: Value) -> Answer {
    app.request("POST", "/v1/queues/emails/dequeue").key(key).body(body).send().await
}

#[tokio::test]
async fn a_dequeue_sent_twice_leases_once_and_is_answered_as_at_first() {
    let app = TestApp::spawn().await;
    app.fill_queue("emails", 5, &json!({})).await;
    let held = app.lease_one("emails").await;
    let body = || json!({"limit": 2, "worker": "w", "ack": [held.to_ack()]});
    let first = keyed(&app, "k1", body()).await.is(200);
    assert_eq!((first.was_replayed(), first.jobs().len()), (false, 2));
    let again = keyed(&app, "k1", body()).await.is(200);
    assert_eq!((again.was_replayed(), again.text()), (true, first.text()));
    assert_eq!(app.count("emails", "active").await, 2);
    app.ack(&again.leased("emails")[0]).await.is(200);
    keyed(&app, "k1", json!({"limit": 1})).await.fails_with(409, "idempotency-mismatch");
    keyed(&app, "with space", body()).await.fails_at(&["Idempotency-Key"]);
    let several = || app.request("POST", "/v1/dequeue").key("k9").body(json!({"queues": ["emails"]})).send();
    let (first, again) = (several().await.is(200), several().await.is(200));
    assert_eq!((again.was_replayed(), again.text(), first.jobs().len()), (true, first.text(), 1));
}

#[tokio::test]
async fn a_dequeue_that_did_nothing_is_not_remembered() {
    let app = TestApp::spawn().await;
    assert_eq!(keyed(&app, "k1", json!({})).await.is(200).jobs().len(), 0);
    app.enqueue("emails", 1).await;
    let leased = keyed(&app, "k1", json!({})).await.is(200);
    assert_eq!((leased.was_replayed(), leased.jobs().len()), (false, 1));
}

#[tokio::test]
async fn a_job_that_is_not_started_in_time_is_dropped() {
    let app = TestApp::spawn().await;
    for (id, fields) in [
        ("in-time", json!({"expires_in_ms": 1000})),
        ("ready", json!({"expires_in_ms": 1000})),
        ("scheduled", json!({"expires_in_ms": 1000, "delay_ms": 5000})),
        ("for-ever", json!({})),
    ] {
        let mut job = fields;
        (job["id"], job["payload"]) = (json!(id), json!(1));
        app.enqueue_job("emails", job).await.is(201);
    }
    app.advance(Duration::from_millis(999));
    let in_time = app.lease_one("emails").await;
    assert_eq!(in_time.id, "in-time");
    app.advance(Duration::from_millis(1));
    assert_eq!(app.lease_soon("emails").await.id, "for-ever");
    for id in ["ready", "scheduled"] {
        app.until_state("emails", id, "cancelled").await;
    }
    app.nack(&in_time, json!({"retry_in_ms": 0})).await.is(200);
    assert_eq!(app.lease_soon("emails").await.id, "in-time", "what has started does not expire");
}

/// Takes all that there is, as several workers at both instances at once, and gives back the ids.
async fn take_all(apps: [&TestApp; 2], count: usize) -> Vec<String> {
    let began = Instant::now();
    let worker = async |number: usize| {
        let mut taken = Vec::new();
        loop {
            let body = json!({"queues": ["a", "b"], "limit": 1 + number * 3, "worker": format!("w{number}")});
            let app = apps[number % 2];
            let answer = match number % 4 {
                0 | 1 => app.dequeue(if number == 0 { "a" } else { "b" }, json!({"limit": 1 + number})).await,
                _ => dequeue_of(app, body).await,
            };
            let jobs = answer.is(200).jobs().to_vec();
            let all =
                jobs.is_empty() && app.count("a", "active").await + app.count("b", "active").await == count as u64;
            if all {
                return taken;
            }
            assert!(began.elapsed() < Duration::from_mins(2), "some are never leased");
            taken.extend(jobs.iter().map(|job| job["id"].as_str().expect("an id").to_owned()));
        }
    };
    join_all((0..8).map(worker)).await.concat()
}

#[tokio::test]
async fn no_job_is_leased_twice_however_many_take_them() {
    let redis = OwnRedis::spawn().await;
    let one = TestApp::with().redis_url(&redis.url()).server_clock().spawn().await;
    let other = TestApp::with().redis_url(&redis.url()).server_clock().spawn().await;
    for queue in ["a", "b"] {
        // Nothing comes back before the end of the test.
        one.create_queue(queue, json!({"lease_ms": 3_600_000})).await;
        one.fill_queue(queue, 1000, &json!({})).await;
    }
    let mut taken = take_all([&one, &other], 2000).await;
    taken.sort();
    let count = taken.len();
    taken.dedup();
    assert_eq!((count, taken.len()), (2000, 2000));
}
