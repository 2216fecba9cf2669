//! Enqueuing jobs, one by one and in batches.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, TEN_YEARS_MS, TestApp, assert_prompt, at, encoded, ids, millis};

/// The most bytes of a payload.
const MAX_PAYLOAD: usize = 256 * 1024;

#[tokio::test]
async fn a_job_is_answered_as_it_stands() {
    let app = TestApp::spawn().await;
    let job = app.enqueue("emails", json!({"to": "ann"})).await;
    assert!(!job.id().is_empty());
    let expected = json!({
        "id": job.id(), "queue": "emails", "state": "ready", "payload": {"to": "ann"}, "priority": 4, "attempt": 0,
        "max_attempts": 5, "enqueued_at": at(0), "errors": [],
    });
    assert_eq!(job.json(), &expected);
    assert_eq!(app.job("emails", job.id()).await.is(200).text(), job.text());
}

#[tokio::test]
async fn a_job_keeps_all_that_it_is_given() {
    let app = TestApp::spawn().await;
    app.advance(Duration::from_millis(7));
    let fields = json!({
        "payload": [1], "id": "job 1", "priority": 9, "delay_ms": 60_000, "max_attempts": 7, "key": "tenant/1",
        "unique_key": "once", "unique_until": "started", "unique_for_ms": 1000, "on_duplicate": "keep",
        "expires_in_ms": 3_600_000, "headers": {"trace": "00-é", "b": ""},
    });
    let job = app.enqueue_job("emails", fields).await.is(201);
    let expected = json!({
        "id": "job 1", "queue": "emails", "state": "scheduled", "payload": [1], "priority": 9, "attempt": 0,
        "max_attempts": 7, "enqueued_at": at(7), "run_at": at(60_007), "expires_at": at(3_600_007), "errors": [],
        "unique_key": "once", "key": "tenant/1", "headers": {"trace": "00-é", "b": ""},
    });
    assert_eq!(job.json(), &expected);
    assert_eq!(app.job("emails", "job 1").await.is(200).text(), job.text());
}

#[tokio::test]
async fn ids_made_by_the_service_differ() {
    let app = TestApp::spawn().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(app.enqueue("emails", 1).await.id().to_owned());
    }
    let batch = app.enqueue_many("emails", vec![json!({"payload": 1}); 500]).await.is(200);
    made.extend(ids(batch.results()).into_iter().map(str::to_owned));
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 505);
}

/// Asserts that an answer has the payload with these very bytes.
#[track_caller]
fn assert_payload(answer: &Answer, payload: &str) {
    let field = format!(r#""payload":{payload}"#);
    let followed = answer.text().split_once(&field).is_some_and(|(_, rest)| rest.starts_with([',', '}']));
    assert!(followed, "no {} in {}", &field[..field.len().min(200)], &answer.text()[..answer.text().len().min(900)]);
}

/// Enqueues a payload and looks for its bytes in every answer that a job has in its life.
async fn assert_kept(app: &TestApp, payload: &str) {
    let jobs = "/v1/queues/emails/jobs";
    let lease = async || {
        let leased = app.wire("POST", "/v1/queues/emails/dequeue", "{}").await.is(200);
        assert_payload(&leased, payload);
        let (_, rest) = leased.text().rsplit_once(r#""lease":""#).expect("a lease");
        rest.split('"').next().expect("its end").to_owned()
    };
    let body = format!(r#"{{"id":"job","payload":{payload}}}"#);
    for status in [201, 200] {
        assert_payload(&app.wire("POST", jobs, &body).await.is(status), payload);
    }
    for list in ["", "?state=ready", "/job"] {
        assert_payload(&app.wire("GET", &format!("{jobs}{list}"), "").await.is(200), payload);
    }
    let nack = format!(r#"{{"lease":"{}","retry_in_ms":60000}}"#, lease().await);
    assert_payload(&app.wire("POST", &format!("{jobs}/job/nack"), &nack).await.is(200), payload);
    assert_payload(&app.wire("GET", &format!("{jobs}?state=scheduled"), "").await.is(200), payload);
    assert_payload(&app.wire("POST", &format!("{jobs}/job/retry"), "").await.is(200), payload);
    let ack = format!(r#"{{"lease":"{}","result":{payload}}}"#, lease().await);
    let done = app.wire("POST", &format!("{jobs}/job/ack"), &ack).await.is(200);
    assert_payload(&done, payload);
    for list in ["?state=completed", "/job"] {
        let read = app.wire("GET", &format!("{jobs}{list}"), "").await.is(200);
        assert_payload(&read, payload);
        assert!(read.text().contains(&format!(r#""result":{payload}"#)), "a result is kept as well");
    }
    app.delete(format!("{jobs}?state=completed")).await.is(200);
}

#[tokio::test]
async fn payloads_and_results_come_back_byte_for_byte() {
    let app = TestApp::spawn().await;
    for payload in [
        "123456789012345678901234567890",
        "-0.0",
        "0.10",
        "1E5",
        "1e400",
        "[-1e-400,3.99]",
        r#"{"z":1,"a":2,"m":{"y":[],"b":{}}}"#,
        r#"{"twice":1,"twice":2,"":3}"#,
        "{ \"spaced\" :\t[ 1 ,\r\n 2 ] }",
        r#""\u00e9é\/\"\\\b\f\n\r\t\u0000""#,
        r#""\ud83c\udf88🎈""#,
        r#""\ud800""#,
        r#"{"\udfff":"\ud800 "}"#,
        "\"\u{7f}\u{2028}\u{feff}\"",
        "null",
        "false",
        "[]",
        "{}",
        "\"\"",
    ] {
        assert_kept(&app, payload).await;
    }
}

#[tokio::test]
async fn a_payload_may_be_nested_deep() {
    let app = TestApp::spawn().await;
    assert_kept(&app, &format!("{}{}", "[".repeat(100), "]".repeat(100))).await;
    assert_kept(&app, &format!("{}1{}", r#"{"a":"#.repeat(100), "}".repeat(100))).await;
}

#[tokio::test]
async fn a_payload_nested_without_measure_does_no_harm() {
    let app = TestApp::spawn().await;
    let deepest = format!("{}{}", "[".repeat(MAX_PAYLOAD / 2), "]".repeat(MAX_PAYLOAD / 2));
    let answer = app.wire("POST", "/v1/queues/emails/jobs", &format!(r#"{{"payload":{deepest}}}"#)).await;
    assert!(matches!(answer.status, 201 | 422), "{}", answer.status);
    app.get("/health/live").await.is(200);
}

#[tokio::test]
async fn headers_come_back_byte_for_byte() {
    let app = TestApp::spawn().await;
    let headers =
        r#"{"z":"1","a":"é\/\u0000","":"","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;
    let body = format!(r#"{{"id":"job","payload":1,"headers":{headers}}}"#);
    let enqueued = app.enqueue_job("emails", body).await.is(201);
    let leased = app.dequeue("emails", json!({})).await;
    for answer in [enqueued, leased, app.job("emails", "job").await, app.jobs("emails", "active").await] {
        assert!(answer.text().contains(&format!(r#""headers":{headers}"#)), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_payload_has_at_most_256_kib_as_it_is_sent() {
    let app = TestApp::spawn().await;
    assert_kept(&app, &format!(r#""{}""#, "x".repeat(MAX_PAYLOAD - 2))).await;
    assert_kept(&app, &format!(r#"["{}" ,  1 ]"#, "é".repeat((MAX_PAYLOAD - 10) / 2))).await;
    for payload in [
        format!(r#""{}""#, "x".repeat(MAX_PAYLOAD - 1)),
        format!(r#""{}""#, "é".repeat(MAX_PAYLOAD / 2)),
        format!("[{}1]", " ".repeat(MAX_PAYLOAD - 2)),
    ] {
        let refused = app.enqueue_job("emails", format!(r#"{{"id":"more","payload":{payload}}}"#)).await;
        let refused = refused.fails_with(413, "payload-too-large");
        assert!(
            refused.detail().contains(&MAX_PAYLOAD.to_string()),
            "the limit is in the detail: {}",
            refused.detail()
        );
    }
    app.job("emails", "more").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_body_has_a_size_too() {
    let app = TestApp::spawn().await;
    let head = "HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length:";
    for (path, length) in [("jobs", 99_999_999), ("jobs/batch", 16 * 1024 * 1024 + 1)] {
        let answer = app.raw(format!("POST /v1/queues/emails/{path} {head} {length}\r\n\r\n")).await;
        answer.fails_with(413, "payload-too-large");
    }
    app.enqueue_job("emails", "{").await.fails_with(400, "malformed-request");
    app.enqueue_job("emails", b"{\"payload\":\"\xff\"}".to_vec()).await.fails_with(400, "malformed-request");
    let text = app.request("POST", "/v1/queues/emails/jobs").header("content-type", "text/plain");
    text.body(json!({"payload": 1})).send().await.fails_with(415, "unsupported-media-type");
}

#[tokio::test]
async fn a_delayed_job_is_leased_when_it_is_due_and_not_before() {
    let app = TestApp::spawn().await;
    for (id, delay_ms) in [("third", 3000), ("first", 1000), ("second", 2000)] {
        let job = json!({"id": id, "payload": 1, "delay_ms": delay_ms});
        let job = app.enqueue_job("emails", job).await.is(201);
        assert_eq!((&job["state"], &job["run_at"]), (&json!("scheduled"), &json!(at(delay_ms))));
    }
    app.advance(Duration::from_millis(999));
    assert_eq!(app.dequeue("emails", json!({"limit": 10, "wait_ms": 600})).await.jobs(), [""; 0]);
    app.advance(Duration::from_millis(1));
    let first = app.lease_soon("emails").await;
    assert_eq!((first.id.as_str(), app.lease("emails", 10).await.len()), ("first", 0));
    app.ack(&first).await.is(200);
    app.advance(Duration::from_secs(60));
    let due = app.lease_many("emails", 2).await;
    assert_eq!([&due[0].id, &due[1].id], ["second", "third"], "in the order of their time");
}

#[tokio::test]
async fn a_due_job_becomes_ready_by_itself() {
    let app = TestApp::spawn().await;
    app.fill_queue("emails", 1500, &json!({"delay_ms": 1000})).await;
    app.advance(Duration::from_secs(1));
    app.until_count("emails", "ready", 1500).await;
    assert_eq!(app.count("emails", "scheduled").await, 0);
}

#[tokio::test]
async fn a_due_job_is_ready_within_a_quarter_of_a_second() {
    let app = TestApp::with().server_clock().spawn().await;
    assert_prompt(Duration::from_millis(250), async |round| {
        let (queue, mut due) = (format!("q{round}"), Vec::new());
        for delay_ms in (500..1500).step_by(70) {
            app.enqueue_job(&queue, json!({"payload": 1, "delay_ms": delay_ms})).await.is(201);
            due.push(Instant::now() + Duration::from_millis(delay_ms));
        }
        app.lateness(&queue, &due).await
    })
    .await;
    for job in app.dequeue("q0", json!({"limit": 100})).await.jobs() {
        assert!(millis(&job["started_at"]) >= millis(&job["run_at"]), "{job}");
    }
}

#[tokio::test]
async fn a_job_runs_at_the_time_given() {
    let app = TestApp::spawn().await;
    for (run_at, state, kept) in [
        ("2026-11-23T05:40:00.001Z", "scheduled", at(1)),
        ("2026-11-23T05:41:00Z", "scheduled", at(60_000)),
        ("2036-11-20T05:40:00.000Z", "scheduled", at(TEN_YEARS_MS.cast_signed())),
        ("2026-11-23T05:40:00.000Z", "ready", String::new()),
        ("2020-01-01T00:00:00.000Z", "ready", String::new()),
    ] {
        let job = app.enqueue_job("emails", json!({"payload": 1, "run_at": run_at})).await.is(201);
        assert_eq!(job["state"], state, "{run_at}");
        assert!(state == "ready" || job["run_at"] == kept, "{run_at}: {}", job.text());
    }
    let undelayed = app.enqueue_job("emails", json!({"payload": 1, "delay_ms": 0})).await.is(201);
    assert_eq!(undelayed["state"], "ready");
    let latest = json!({"payload": 1, "delay_ms": TEN_YEARS_MS});
    assert_eq!(app.enqueue_job("emails", latest).await.is(201)["run_at"], at(TEN_YEARS_MS.cast_signed()));
}

#[tokio::test]
async fn an_id_may_be_any_text() {
    let app = TestApp::spawn().await;
    for id in [
        "a",
        "a b",
        "a/b/../c",
        "100%",
        "%2F",
        "a+b?c=d&e#f",
        "{job}",
        "名前",
        "é🎈",
        "batch",
        "0",
        " ",
        &"x".repeat(128),
    ] {
        app.advance(Duration::from_millis(1));
        let path = format!("/v1/queues/emails/jobs/{}", encoded(id));
        assert_eq!(app.enqueue_as("emails", id).await["id"], id);
        assert_eq!(app.enqueue_job("emails", json!({"id": id, "payload": 2})).await.is(200)["duplicate"], true);
        assert_eq!(app.get(&path).await.is(200)["id"], id);
        let leased = app.lease_one("emails").await;
        assert_eq!(leased.id, id);
        app.extend(&leased, json!({})).await.is(200);
        app.nack(&leased, json!({"dead": true})).await.is(200);
        assert_eq!(app.request("POST", format!("{path}/retry")).send().await.is(200)["id"], id);
        let leased = app.lease_one("emails").await;
        assert_eq!(app.ack(&leased).await.is(200)["id"], id);
        app.delete(&path).await.fails_with(409, "conflict");
    }
}

#[tokio::test]
async fn an_id_that_is_there_gives_the_existing_job() {
    let app = TestApp::spawn().await;
    app.one_in_each_state("emails").await;
    for state in ["ready", "scheduled", "active", "completed", "dead", "cancelled"] {
        let standing = app.job("emails", state).await.is(200);
        let again = json!({"id": state, "payload": "other", "priority": 9, "headers": {"a": "b"}});
        let again = app.enqueue_job("emails", again).await.is(200);
        let mut expected = standing.json().clone();
        expected["duplicate"] = json!(true);
        assert_eq!(again.json(), &expected);
        assert_eq!(app.job("emails", state).await.is(200).text(), standing.text(), "nothing was changed");
    }
    let other = app.enqueue_as("other", "ready").await;
    assert_eq!(other["duplicate"], Value::Null, "an id belongs to its queue");
}

#[tokio::test]
async fn a_unique_key_that_is_held_gives_the_existing_job() {
    let app = TestApp::spawn().await;
    let send = async |payload: i64| app.enqueue_job("emails", json!({"payload": payload, "unique_key": "k"})).await;
    let first = send(1).await.is(201);
    let again = send(2).await.is(200);
    assert_eq!((&again["id"], &again["payload"], &again["duplicate"]), (&first["id"], &json!(1), &json!(true)));
    assert_eq!(app.count("emails", "ready").await, 1);
}

#[tokio::test]
async fn thirty_enqueues_of_one_id_at_once_make_one_job() {
    let app = TestApp::spawn().await;
    let job = |number: i64| json!({"id": "once", "payload": number});
    let answers = join_all((0..30).map(|number| app.enqueue_job("emails", job(number)))).await;
    let payload = &app.job("emails", "once").await.is(200)["payload"];
    assert!(answers.iter().all(|answer| &answer["payload"] == payload));
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200 && answer["duplicate"] == true).count(), 29);
    assert_eq!(app.count("emails", "ready").await, 1);
}

#[tokio::test]
async fn a_bad_field_is_named() {
    let app = TestApp::spawn().await;
    app.create_queue("emails", json!({})).await;
    let before = app.keys();
    let long = "x".repeat(129);
    for (fields, pointer) in [
        (r#""colour":1"#, "/colour"),
        (r#""state":"dead""#, "/state"),
        (r#""payload":2"#, "/payload"),
        (r#""id":"""#, "/id"),
        (r#""id":5"#, "/id"),
        (r#""id":null"#, "/id"),
        (r#""id":"a\u0000b""#, "/id"),
        (r#""id":"a\u007f""#, "/id"),
        (&format!(r#""id":"{long}""#), "/id"),
        (&format!(r#""id":"{}""#, "é".repeat(65)), "/id"),
        (r#""priority":-1"#, "/priority"),
        (r#""priority":10"#, "/priority"),
        (r#""priority":4.5"#, "/priority"),
        (r#""priority":"4""#, "/priority"),
        (r#""priority":null"#, "/priority"),
        (r#""delay_ms":-1"#, "/delay_ms"),
        (r#""delay_ms":315360000001"#, "/delay_ms"),
        (r#""delay_ms":"5""#, "/delay_ms"),
        (r#""delay_ms":0.5"#, "/delay_ms"),
        (r#""run_at":"tomorrow""#, "/run_at"),
        (r#""run_at":"2026-11-23""#, "/run_at"),
        (r#""run_at":1795412400000"#, "/run_at"),
        (r#""run_at":"2036-11-20T05:40:00.001Z""#, "/run_at"),
        (r#""run_at":"2026-11-23T06:00:00.000Z","delay_ms":1"#, "/run_at"),
        (r#""max_attempts":0"#, "/max_attempts"),
        (r#""max_attempts":1001"#, "/max_attempts"),
        (r#""max_attempts":null"#, "/max_attempts"),
        (r#""key":"""#, "/key"),
        (r#""key":null"#, "/key"),
        (r#""key":"a\nb""#, "/key"),
        (&format!(r#""key":"{long}""#), "/key"),
        (r#""unique_key":"""#, "/unique_key"),
        (r#""unique_key":7"#, "/unique_key"),
        (&format!(r#""unique_key":"{long}""#), "/unique_key"),
        (r#""unique_until":"done""#, "/unique_until"),
        (r#""unique_key":"k","unique_until":"never""#, "/unique_until"),
        (r#""unique_for_ms":1000"#, "/unique_for_ms"),
        (r#""unique_key":"k","unique_for_ms":0"#, "/unique_for_ms"),
        (r#""unique_key":"k","unique_for_ms":315360000001"#, "/unique_for_ms"),
        (r#""on_duplicate":"keep""#, "/on_duplicate"),
        (r#""unique_key":"k","on_duplicate":"drop""#, "/on_duplicate"),
        (r#""expires_in_ms":-1"#, "/expires_in_ms"),
        (r#""expires_in_ms":315360000001"#, "/expires_in_ms"),
        (r#""expires_in_ms":null"#, "/expires_in_ms"),
        (r#""headers":null"#, "/headers"),
        (r#""headers":[]"#, "/headers"),
        (r#""headers":{"a":1}"#, "/headers/a"),
        (r#""headers":{"a":null}"#, "/headers/a"),
        (&format!(r#""headers":{{"a":"{}"}}"#, "x".repeat(5000)), "/headers"),
    ] {
        let refused = app.enqueue_job("emails", format!(r#"{{"payload":1,{fields}}}"#)).await;
        let refused = refused.fails_with(422, "invalid");
        assert_eq!(refused.pointers(), [pointer], "{fields}: {}", refused.text());
        let batch = app.post("/v1/queues/emails/jobs/batch", format!(r#"{{"jobs":[{{"payload":1,{fields}}}]}}"#)).await;
        let batch = batch.is(200);
        assert_eq!(batch.results()[0]["problem"]["errors"][0]["pointer"], format!("/jobs/0{pointer}"), "{fields}");
    }
    for (body, pointer) in [("{}", "/payload"), (r#"{"id":"a"}"#, "/payload"), ("[1]", ""), ("null", "")] {
        app.enqueue_job("emails", body).await.fails_at(&[pointer]);
    }
    let twice = r#"{"payload":1,"headers":{"a":"1","a":"2"}}"#;
    app.enqueue_job("emails", twice).await.fails_with(422, "invalid");
    app.post("/v1/queues/emails/jobs?colour=1", json!({"payload": 1})).await.fails_at(&["colour"]);
    assert_eq!(app.keys(), before);
}

#[tokio::test]
async fn fields_at_their_bounds_are_taken() {
    let app = TestApp::spawn().await;
    for fields in [
        json!({"priority": 0, "max_attempts": 1, "delay_ms": 0}),
        json!({"priority": 9, "max_attempts": 1000, "delay_ms": TEN_YEARS_MS, "expires_in_ms": TEN_YEARS_MS}),
        json!({"key": "k".repeat(128), "unique_key": "u".repeat(128), "unique_for_ms": 1}),
        json!({"unique_key": "é".repeat(64), "unique_for_ms": TEN_YEARS_MS, "unique_until": "done"}),
        json!({"unique_key": "k", "unique_until": "started", "on_duplicate": "replace"}),
        json!({"headers": {}}),
        json!({"headers": {"a": "x".repeat(4000)}}),
    ] {
        let mut job = fields.clone();
        job["payload"] = Value::Null;
        app.enqueue_job("emails", job).await.is(201);
    }
}

#[tokio::test]
async fn a_batch_keeps_its_order() {
    let app = TestApp::spawn().await;
    let jobs: Vec<Value> = (0..1000).map(|number| json!({"id": format!("j{number}"), "payload": number})).collect();
    let answer = app.enqueue_many("emails", jobs).await.is(200);
    let expected: Vec<String> = (0..1000).map(|number| format!("j{number}")).collect();
    assert_eq!(ids(answer.results()), expected);
    assert_eq!(answer.results()[7], json!({"status": 201, "id": "j7"}));
    let leased = app.lease_many("emails", 1000).await;
    assert_eq!(leased.into_iter().map(|job| job.id).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn bad_jobs_of_a_batch_fail_alone() {
    let app = TestApp::spawn().await;
    app.enqueue_as("emails", "there").await;
    let too_large = "x".repeat(MAX_PAYLOAD - 1);
    let jobs = vec![
        json!({"id": "a", "payload": 1}),
        json!({"id": "b"}),
        json!({"id": "there", "payload": 2}),
        json!({"id": "c", "payload": too_large}),
        json!({"id": "", "payload": 3}),
        json!(5),
        json!({"id": "d", "payload": 4, "delay_ms": 1000, "run_at": at(5)}),
        json!({"id": "a", "payload": 5}),
        json!({"id": "e", "payload": 6}),
    ];
    let answer = app.enqueue_many("emails", jobs).await.is(200);
    assert_eq!(answer.statuses(), [201, 422, 200, 413, 422, 422, 422, 200, 201]);
    let results = answer.results();
    for (number, pointer) in [(1, "/jobs/1/payload"), (4, "/jobs/4/id"), (5, "/jobs/5"), (6, "/jobs/6/run_at")] {
        assert_eq!(results[number]["problem"]["errors"][0]["pointer"], pointer, "{}", results[number]);
    }
    assert_eq!(results[2], json!({"status": 200, "id": "there", "duplicate": true}));
    assert_eq!(results[3]["problem"]["type"], "/problems/payload-too-large");
    assert_eq!(results[7], json!({"status": 200, "id": "a", "duplicate": true}), "the first of two is made");
    let leased = app.lease("emails", 10).await;
    assert_eq!(
        leased.iter().map(|job| &job.job["payload"]).collect::<Vec<_>>(),
        [&json!("there"), &json!(1), &json!(6)]
    );
}

#[tokio::test]
async fn a_unique_key_given_twice_in_a_batch_makes_one_job() {
    let app = TestApp::spawn().await;
    let job = |payload: i64| json!({"payload": payload, "unique_key": "k"});
    let answer = app.enqueue_many("emails", vec![job(1), job(2)]).await.is(200);
    assert_eq!(answer.statuses(), [201, 200]);
    assert_eq!(answer.results()[0]["id"], answer.results()[1]["id"]);
    assert_eq!(app.lease_one("emails").await.job["payload"], 1);
}

#[tokio::test]
async fn a_batch_has_at_most_1000_jobs() {
    let app = TestApp::spawn().await;
    app.enqueue_many("emails", vec![json!({"payload": 1}); 1001]).await.fails_at(&["/jobs"]);
    app.queue("emails").await.fails_with(404, "not-found");
    assert_eq!(app.enqueue_many("emails", Vec::new()).await.is(200).json(), &json!({"results": []}));
    app.fill_queue("emails", 1000, &json!({})).await;
    assert_eq!(app.count("emails", "ready").await, 1000);
}

#[tokio::test]
async fn a_batch_names_what_is_wrong_with_itself() {
    let app = TestApp::spawn().await;
    for (body, pointer) in [
        (json!({}), "/jobs"),
        (json!({"jobs": null}), "/jobs"),
        (json!({"jobs": {}}), "/jobs"),
        (json!({"jobs": [], "colour": 1}), "/colour"),
        (json!([]), ""),
    ] {
        app.post("/v1/queues/emails/jobs/batch", body).await.fails_at(&[pointer]);
    }
    app.queue("emails").await.fails_with(404, "not-found");
}

async fn send(app: &TestApp, path: &str, key: &str, body: &Value) -> Answer {
    app.request("POST", format!("/v1/queues/emails/{path}")).key(key).body(body.clone()).send().await
}

#[tokio::test]
async fn a_job_sent_twice_is_made_once_and_answered_as_at_first() {
    let app = TestApp::spawn().await;
    let job = json!({"payload": {"to": "ann"}, "delay_ms": 0});
    let first = send(&app, "jobs", "k1", &job).await.is(201);
    assert!(!first.was_replayed());
    app.ack(&app.lease_one("emails").await).await.is(200);
    app.advance(Duration::from_secs(60));
    let again = send(&app, "jobs", "k1", &job).await.is(201);
    assert_eq!((again.was_replayed(), again.text()), (true, first.text()));
    send(&app, "jobs", "k1", &json!({"payload": {"to": "bob"}})).await.fails_with(409, "idempotency-mismatch");
    assert_eq!(app.lease("emails", 10).await.len(), 0);
    let other = app.request("POST", "/v1/queues/other/jobs").key("k1").body(json!({"payload": 1})).send().await;
    assert!(!other.is(201).was_replayed(), "a key belongs to its queue");
}

#[tokio::test]
async fn a_duplicate_is_replayed_as_a_duplicate() {
    let app = TestApp::spawn().await;
    app.enqueue_as("emails", "a").await;
    let job = json!({"id": "a", "payload": 2});
    let first = send(&app, "jobs", "k1", &job).await.is(200);
    app.delete("/v1/queues/emails/jobs?state=ready").await.is(200);
    let again = send(&app, "jobs", "k1", &job).await.is(200);
    assert_eq!((again.was_replayed(), again.text()), (true, first.text()));
}

#[tokio::test]
async fn a_batch_sent_twice_is_made_once_and_answered_as_at_first() {
    let app = TestApp::spawn().await;
    let mut jobs = vec![json!({"payload": "some payload"}); 998];
    jobs.extend([json!({"priority": 4}), json!({"id": "a", "payload": 1})]);
    let body = json!({"jobs": jobs});
    let first = send(&app, "jobs/batch", "k1", &body).await.is(200);
    assert!(!first.was_replayed());
    let again = send(&app, "jobs/batch", "k1", &body).await.is(200);
    assert_eq!((again.was_replayed(), again.text() == first.text()), (true, true));
    assert_eq!(app.count("emails", "ready").await, 999);
    let other = json!({"jobs": [{"id": "a", "payload": 1}]});
    send(&app, "jobs/batch", "k1", &other).await.fails_with(409, "idempotency-mismatch");
}

#[tokio::test]
async fn twenty_requests_at_once_with_one_key_make_one_job() {
    let app = TestApp::spawn().await;
    let job = json!({"payload": 1});
    let answers = join_all((0..20).map(|_| send(&app, "jobs", "k1", &job))).await;
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.text() == answers[0].text()));
    assert_eq!(answers.iter().filter(|answer| !answer.was_replayed()).count(), 1);
    assert_eq!(app.count("emails", "ready").await, 1);
}

#[tokio::test]
async fn a_job_that_was_refused_may_be_sent_again_corrected() {
    let app = TestApp::spawn().await;
    send(&app, "jobs", "k1", &json!({"payload": 1, "priority": 10})).await.fails_at(&["/priority"]);
    assert!(!send(&app, "jobs", "k1", &json!({"payload": 1, "priority": 9})).await.is(201).was_replayed());
    for path in ["jobs", "jobs/batch"] {
        send(&app, path, "with space", &json!({"payload": 1})).await.fails_at(&["Idempotency-Key"]);
    }
}
