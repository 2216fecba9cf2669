//! Recurring jobs: each tick once, however many instances run and whatever happens to them.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Answer, OwnRedis, Plain, Process, TestApp, eventually};

/// The clock's start, 2026-11-23T05:40:00Z.
const START: &str = "2026-11-23T05:40:00Z";
const MINUTE: Duration = Duration::from_secs(60);

fn millis(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().expect("RFC 3339").as_millisecond()
}

/// The id of a schedule's job.
fn tick(schedule: &str, time: &str) -> String {
    format!("{schedule}@{}", millis(time))
}

async fn put(app: &TestApp, schedule: &str, fields: Value) -> Answer {
    let mut body = json!({"payload": 1});
    body.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    app.put(format!("/v1/queues/work/schedules/{schedule}"), body).await
}

async fn get(app: &TestApp, schedule: &str) -> Answer {
    app.get(format!("/v1/queues/work/schedules/{schedule}")).await
}

/// The ids of the ready jobs, in the order of leasing.
async fn ready(app: &TestApp) -> Vec<String> {
    app.jobs("work", "ready").await.jobs().iter().map(|job| job["id"].as_str().expect("an id").to_owned()).collect()
}

/// A service whose clock stands at `time`.
async fn app_at(time: &str) -> TestApp {
    let app = TestApp::spawn().await;
    let ahead = millis(time) - millis(START);
    app.advance(Duration::from_millis(ahead.try_into().expect("later than the start")));
    app
}

#[tokio::test]
async fn a_schedule_is_made_changed_read_and_deleted() {
    let app = TestApp::spawn().await;
    let fields = json!({"cron": "0 6 * * *", "payload": {"report": "daily"}, "priority": 7});
    let made = put(&app, "daily", fields.clone()).await.is(201);
    let expected = json!({
        "schedule": "daily", "queue": "work", "cron": "0 6 * * *", "timezone": "UTC", "payload": {"report": "daily"},
        "priority": 7, "catch_up": false, "next_run_at": "2026-11-23T06:00:00.000Z",
        "created_at": "2026-11-23T05:40:00.000Z",
    });
    assert_eq!(made.json(), &expected);
    assert_eq!(get(&app, "daily").await.is(200).json(), &expected);
    app.queue("work").await.is(200);

    app.advance(MINUTE);
    let changed = json!({"cron": "0 6 * * *", "timezone": "Asia/Seoul", "catch_up": true});
    let changed = put(&app, "daily", changed).await.is(200);
    assert_eq!((&changed["next_run_at"], &changed["catch_up"]), (&json!("2026-11-23T21:00:00.000Z"), &json!(true)));
    assert_eq!((&changed["priority"], &changed["payload"]), (&json!(4), &json!(1)));
    assert_eq!(changed["created_at"], "2026-11-23T05:40:00.000Z");
    assert_eq!(get(&app, "daily").await.json(), changed.json());

    app.delete("/v1/queues/work/schedules/daily").await.is(204);
    get(&app, "daily").await.fails_with(404, "not-found");
    app.delete("/v1/queues/work/schedules/daily").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn schedules_are_listed_by_pages() {
    let app = TestApp::spawn().await;
    app.get("/v1/queues/work/schedules").await.fails_with(404, "not-found");
    for number in 0..5 {
        put(&app, &format!("s{number}"), json!({"cron": "@daily"})).await.is(201);
    }
    let (mut names, mut query) = (Vec::new(), "limit=2".to_owned());
    for _ in 0..3 {
        let page = app.get(format!("/v1/queues/work/schedules?{query}")).await.is(200);
        let found = page["schedules"].as_array().expect("schedules");
        names.extend(found.iter().map(|schedule| schedule["schedule"].as_str().expect("a name").to_owned()));
        match page.next_cursor() {
            Some(cursor) => query = format!("limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(names, ["s0", "s1", "s2", "s3", "s4"]);
}

#[tokio::test]
async fn lines_have_five_or_six_fields_or_a_nickname() {
    let app = TestApp::spawn().await;
    for (cron, next) in [
        ("* * * * *", "2026-11-23T05:41:00.000Z"),
        ("*/15 * * * *", "2026-11-23T05:45:00.000Z"),
        ("30 9-17 * * 1-5", "2026-11-23T09:30:00.000Z"),
        ("0 0 * * SUN", "2026-11-29T00:00:00.000Z"),
        ("0 0 1 1 *", "2027-01-01T00:00:00.000Z"),
        ("0 0 29 2 *", "2028-02-29T00:00:00.000Z"),
        ("0 12 1,15 dec *", "2026-12-01T12:00:00.000Z"),
        ("* * * * * *", "2026-11-23T05:40:01.000Z"),
        ("*/20 * * * * *", "2026-11-23T05:40:20.000Z"),
        ("15 30 6 * * *", "2026-11-23T06:30:15.000Z"),
        ("@hourly", "2026-11-23T06:00:00.000Z"),
        ("@daily", "2026-11-24T00:00:00.000Z"),
        ("@weekly", "2026-11-29T00:00:00.000Z"),
        ("@monthly", "2026-12-01T00:00:00.000Z"),
        ("@yearly", "2027-01-01T00:00:00.000Z"),
    ] {
        let answer = put(&app, "line", json!({"cron": cron})).await;
        assert!(matches!(answer.status, 200 | 201), "{cron}: {}", answer.text());
        assert_eq!(answer["next_run_at"], next, "{cron}");
    }
}

#[tokio::test]
async fn bad_schedules_are_refused_by_field() {
    let app = TestApp::spawn().await;
    for cron in
        ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "a b c d e", "* * * * * * * *", "@often", "0 0 30 2 *"]
    {
        put(&app, "bad", json!({"cron": cron})).await.fails_at(&["/cron"]);
    }
    for zone in ["", "Mars/Olympus", "+25:00", "europe berlin"] {
        put(&app, "bad", json!({"cron": "@daily", "timezone": zone})).await.fails_at(&["/timezone"]);
    }
    for (field, value) in [
        ("cron", json!(5)),
        ("timezone", json!(1)),
        ("priority", json!(10)),
        ("priority", json!(-1)),
        ("catch_up", json!("yes")),
        ("max_attempts", json!(1)),
    ] {
        let mut fields = json!({"cron": "@daily"});
        fields[field] = value;
        put(&app, "bad", fields).await.fails_at(&[&format!("/{field}")]);
    }
    let path = "/v1/queues/work/schedules/bad";
    app.put(path, json!({"payload": 1})).await.fails_at(&["/cron"]);
    app.put(path, json!({"cron": "@daily"})).await.fails_at(&["/payload"]);
    app.put("/v1/queues/work/schedules/a%20b", json!({"cron": "@daily", "payload": 1}))
        .await
        .fails_with(422, "invalid");
    let long = json!({"cron": "@daily", "payload": "x".repeat(256 * 1024)});
    app.put(path, long).await.fails_with(413, "payload-too-large");
    app.queue("work").await.fails_with(404, "not-found");
}

/// Asserts what `next_run_at` is for a schedule that is put at `from`.
async fn assert_next(from: &str, cron: &str, zone: &str, expected: &str) {
    let app = app_at(from).await;
    let answer = put(&app, "dst", json!({"cron": cron, "timezone": zone})).await.is(201);
    assert_eq!(answer["next_run_at"], expected, "`{cron}` of {zone} after {from}");
}

#[tokio::test]
async fn a_local_time_that_is_skipped_runs_at_the_end_of_the_gap() {
    // Berlin goes from 02:00 to 03:00 at 01:00Z, New York at 07:00Z, Santiago from midnight to 01:00 at 04:00Z, Lord
    // Howe from 02:00 to 02:30 at 15:30Z of the day before.
    let berlin = "Europe/Berlin";
    assert_next("2027-03-27T12:00:00Z", "30 2 * * *", berlin, "2027-03-28T01:00:00.000Z").await;
    assert_next("2027-03-27T12:00:00Z", "30 2 28 3 *", berlin, "2027-03-28T01:00:00.000Z").await;
    assert_next("2027-03-27T12:00:00Z", "15 30 2 * * *", berlin, "2027-03-28T01:00:00.000Z").await;
    assert_next("2027-03-28T01:00:00Z", "30 2 * * *", berlin, "2027-03-29T00:30:00.000Z").await;
    assert_next("2027-03-13T12:00:00Z", "30 2 * * *", "America/New_York", "2027-03-14T07:00:00.000Z").await;
    assert_next("2027-09-04T12:00:00Z", "0 0 * * *", "America/Santiago", "2027-09-05T04:00:00.000Z").await;
    assert_next("2027-10-02T12:00:00Z", "15 2 * * *", "Australia/Lord_Howe", "2027-10-02T15:30:00.000Z").await;
}

#[tokio::test]
async fn a_local_time_that_comes_twice_runs_the_first_time() {
    // Berlin goes from 03:00 back to 02:00 at 01:00Z, New York from 02:00 to 01:00 at 06:00Z.
    let berlin = "Europe/Berlin";
    assert_next("2027-10-30T12:00:00Z", "30 2 * * *", berlin, "2027-10-31T00:30:00.000Z").await;
    assert_next("2027-10-31T00:30:00Z", "30 2 * * *", berlin, "2027-11-01T01:30:00.000Z").await;
    assert_next("2027-10-31T00:45:00Z", "30 2 * * *", berlin, "2027-11-01T01:30:00.000Z").await;
    assert_next("2027-11-06T12:00:00Z", "30 1 * * *", "America/New_York", "2027-11-07T05:30:00.000Z").await;
    assert_next("2027-11-07T05:30:00Z", "30 1 * * *", "America/New_York", "2027-11-08T06:30:00.000Z").await;
}

#[tokio::test]
async fn lines_of_every_hour_run_each_real_hour() {
    let berlin = "Europe/Berlin";
    assert_next("2027-03-28T00:30:00Z", "30 * * * *", berlin, "2027-03-28T01:30:00.000Z").await;
    assert_next("2027-10-31T00:30:00Z", "30 * * * *", berlin, "2027-10-31T01:30:00.000Z").await;
    assert_next("2027-10-31T01:30:00Z", "30 * * * *", berlin, "2027-10-31T02:30:00.000Z").await;
    assert_next("2027-10-31T00:59:00Z", "* * * * *", berlin, "2027-10-31T01:00:00.000Z").await;
}

#[tokio::test]
async fn through_a_change_of_the_clocks_each_day_has_one_job() {
    for (from, expected) in [
        ("2027-03-27T00:00:00Z", ["2027-03-27T01:30:00Z", "2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"]),
        ("2027-10-30T00:00:00Z", ["2027-10-30T00:30:00Z", "2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"]),
    ] {
        let app = app_at(from).await;
        put(&app, "daily", json!({"cron": "30 2 * * *", "timezone": "Europe/Berlin"})).await.is(201);
        for hour in 0..50 {
            app.advance(Duration::from_secs(3600));
            let now = millis(from) + (hour + 1) * 3_600_000;
            let due = expected.iter().filter(|time| millis(time) <= now).count();
            app.until_count("work", "ready", due as u64).await;
        }
        assert_eq!(ready(&app).await, expected.map(|time| tick("daily", time)));
    }
}

#[tokio::test]
async fn a_tick_enqueues_a_job_with_all_that_was_asked_for() {
    let app = TestApp::spawn().await;
    app.create_queue("work", json!({"max_attempts": 3})).await;
    let payload = r#"{"z": 123456789012345678901234567890, "a":1.50, "a":  "A\/", "list":[ ]}"#;
    let body = format!(r#"{{"cron":"* * * * *","priority":6,"payload":{payload}}}"#);
    let made = app.put("/v1/queues/work/schedules/each", body).await.is(201);
    assert!(made.text().contains(payload), "{}", made.text());
    app.advance(MINUTE);
    app.until_count("work", "ready", 1).await;
    let id = tick("each", "2026-11-23T05:41:00Z");
    let job = app.job("work", &id).await.is(200);
    assert!(job.text().contains(payload), "{}", job.text());
    assert_eq!((&job["priority"], &job["max_attempts"], &job["attempt"]), (&json!(6), &json!(3), &json!(0)));
    assert_eq!((&job["enqueued_at"], &job["state"]), (&json!("2026-11-23T05:41:00.000Z"), &json!("ready")));
    assert_eq!(get(&app, "each").await["next_run_at"], "2026-11-23T05:42:00.000Z");
    let leased = app.lease_one("work").await;
    assert_eq!(leased.id, id);
    app.ack(&leased).await.is(200);
}

#[tokio::test]
async fn a_schedule_lives_with_no_worker_and_on_a_paused_queue() {
    let app = TestApp::spawn().await;
    put(&app, "each", json!({"cron": "* * * * *"})).await.is(201);
    app.request("POST", "/v1/queues/work/pause").send().await.is(204);
    for minutes in 1..=5 {
        app.advance(MINUTE);
        app.until_count("work", "ready", minutes).await;
    }
    let expected: Vec<String> = (41..=45).map(|minute| tick("each", &format!("2026-11-23T05:{minute}:00Z"))).collect();
    assert_eq!(ready(&app).await, expected);
}

#[tokio::test]
async fn of_missed_ticks_the_latest_runs_or_each_in_order() {
    let app = TestApp::spawn().await;
    put(&app, "last", json!({"cron": "* * * * *"})).await.is(201);
    app.advance(Duration::from_secs(10 * 60 + 30));
    app.until_count("work", "ready", 1).await;
    put(&app, "last", json!({"cron": "* * * * *"})).await.is(200);
    assert_eq!(get(&app, "last").await["next_run_at"], "2026-11-23T05:51:00.000Z");
    assert_eq!(ready(&app).await, [tick("last", "2026-11-23T05:50:00Z")]);

    let app = TestApp::spawn().await;
    put(&app, "each", json!({"cron": "* * * * *", "catch_up": true})).await.is(201);
    app.advance(Duration::from_secs(10 * 60 + 30));
    app.until_count("work", "ready", 10).await;
    let expected: Vec<String> = (41..=50).map(|minute| tick("each", &format!("2026-11-23T05:{minute}:00Z"))).collect();
    assert_eq!(ready(&app).await, expected);
    assert_eq!(get(&app, "each").await["next_run_at"], "2026-11-23T05:51:00.000Z");
}

#[tokio::test]
async fn hours_of_missed_ticks_are_caught_up_in_full() {
    let app = TestApp::spawn().await;
    put(&app, "each", json!({"cron": "*/10 * * * * *", "catch_up": true})).await.is(201);
    app.advance(Duration::from_secs(2 * 3600));
    app.until_count("work", "ready", 2 * 360).await;
    let first = tick("each", "2026-11-23T05:40:10Z");
    assert_eq!(app.lease_one("work").await.id, first);
}

#[tokio::test]
async fn two_instances_make_one_job_a_tick() {
    let redis = OwnRedis::spawn().await;
    let instances =
        [TestApp::with().redis_url(&redis.url()).spawn().await, TestApp::with().redis_url(&redis.url()).spawn().await];
    put(&instances[0], "each", json!({"cron": "* * * * *"})).await.is(201);
    put(&instances[1], "half", json!({"cron": "30 * * * * *"})).await.is(201);
    for minutes in 1..=10 {
        instances[minutes % 2].advance(MINUTE);
        instances[(minutes + 1) % 2].advance(MINUTE);
        instances[0].until_count("work", "ready", 2 * minutes as u64).await;
    }
    let found = ready(&instances[0]).await;
    let ids: BTreeSet<&String> = found.iter().collect();
    assert_eq!((found.len(), ids.len()), (20, 20));
    let each = found.iter().filter(|id| id.starts_with("each@")).count();
    assert_eq!(each, 10, "{found:?}");
}

#[tokio::test]
async fn a_tick_whose_job_is_gone_already_is_not_made_again() {
    let redis = OwnRedis::spawn().await;
    let [one, other] =
        [TestApp::with().redis_url(&redis.url()).spawn().await, TestApp::with().redis_url(&redis.url()).spawn().await];
    one.create_queue("work", json!({"retention_ms": 0})).await;
    put(&one, "each", json!({"cron": "* * * * *"})).await.is(201);
    one.advance(MINUTE);
    let leased = one.lease_soon("work").await;
    one.ack(&leased).await.is(200);
    eventually("the job is gone", async || (one.job("work", &leased.id).await.status == 404).then_some(())).await;
    // The instance that comes late to the tick sees that it was made.
    other.advance(MINUTE);
    put(&other, "witness", json!({"cron": "30 * * * * *"})).await.is(201);
    other.advance(Duration::from_secs(30));
    let next = other.lease_soon("work").await;
    assert_eq!(next.id, tick("witness", "2026-11-23T05:41:30Z"));
    assert_eq!(other.lease("work", 1).await.len(), 0);
}

/// Asserts that these are the ids of consecutive seconds of a schedule, each once.
#[track_caller]
fn assert_every_second(ids: &[String], schedule: &str) {
    let second = |id: &String| {
        let ms: i64 =
            id.strip_prefix(schedule).and_then(|rest| rest.strip_prefix('@')).expect("its tick").parse().expect("ms");
        assert_eq!(ms % 1000, 0, "{id}");
        ms / 1000
    };
    let mut seconds: Vec<i64> = ids.iter().map(second).collect();
    seconds.sort_unstable();
    assert!(seconds.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seconds:?}");
}

#[tokio::test]
async fn two_instances_with_real_clocks_make_one_job_a_second_through_the_end_of_one() {
    let redis = OwnRedis::spawn().await;
    let spawn = || TestApp::with().server_clock().redis_url(&redis.url()).spawn();
    let (one, other) = (spawn().await, spawn().await);
    put(&one, "each", json!({"cron": "* * * * * *", "catch_up": true})).await.is(201);
    eventually("some ticks", async || (other.count("work", "ready").await >= 2).then_some(())).await;
    drop(one);
    let before = other.count("work", "ready").await;
    eventually("more ticks", async || (other.count("work", "ready").await >= before + 2).then_some(())).await;
    assert_every_second(&ready(&other).await, "each");
}

#[tokio::test]
async fn a_service_that_is_killed_goes_on_with_the_ticks_that_it_missed() {
    let directory = TempDir::new().expect("a directory");
    let always = ["--durability", "always"];
    let mut service = Process::spawn_with(directory.path(), &always).await;
    let client = Plain::to(service.address());
    let body = json!({"cron": "* * * * * *", "payload": 1, "catch_up": true});
    assert_eq!(client.send("PUT", "/v1/queues/work/schedules/each", &body).await.0, 201);
    let ready = async |client: &Plain| {
        let (status, answer) = client.get("/v1/queues/work/jobs?state=ready&limit=1000").await;
        assert_eq!(status, 200, "{answer}");
        let jobs = answer["jobs"].as_array().expect("jobs").clone();
        jobs.iter().map(|job| job["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    eventually("some ticks", async || (ready(&client).await.len() >= 2).then_some(())).await;
    let before = ready(&client).await;
    service.signal(Signal::KILL);
    service.ended().await;
    // So that ticks are missed.
    tokio::time::sleep(Duration::from_millis(2100)).await;

    let service = Process::spawn_with(directory.path(), &always).await;
    let client = Plain::to(service.address());
    let wanted = before.len() + 4;
    eventually("more ticks", async || (ready(&client).await.len() >= wanted).then_some(())).await;
    let after = ready(&client).await;
    assert_eq!(after[..before.len()], before);
    assert_every_second(&after, "each");
}

#[tokio::test]
async fn a_hundred_puts_at_once_leave_one_schedule() {
    let redis = OwnRedis::spawn().await;
    let instances =
        [TestApp::with().redis_url(&redis.url()).spawn().await, TestApp::with().redis_url(&redis.url()).spawn().await];
    let puts = (0..100).map(|number| {
        let fields = json!({"cron": "* * * * *", "payload": number});
        let app = &instances[number % 2];
        async move { put(app, "each", fields).await }
    });
    let answers = join_all(puts).await;
    for answer in &answers {
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    }
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    let list = instances[1].get("/v1/queues/work/schedules").await.is(200);
    assert_eq!(list["schedules"].as_array().map(Vec::len), Some(1));
    for app in &instances {
        app.advance(MINUTE);
    }
    let leased = instances[0].lease_soon("work").await;
    assert_eq!(leased.id, tick("each", "2026-11-23T05:41:00Z"));
    assert_eq!(leased.job["payload"], list["schedules"][0]["payload"]);
    instances[0].ack(&leased).await.is(200);
    for app in &instances {
        app.advance(MINUTE);
    }
    let next = instances[1].lease_soon("work").await;
    assert_eq!(next.id, tick("each", "2026-11-23T05:42:00Z"));
    assert_eq!(instances[0].count("work", "ready").await, 0);
}

#[tokio::test]
async fn a_deleted_schedule_makes_no_more_jobs_and_leaves_those_it_made() {
    let app = TestApp::spawn().await;
    put(&app, "gone", json!({"cron": "* * * * *"})).await.is(201);
    put(&app, "stays", json!({"cron": "* * * * *"})).await.is(201);
    app.advance(MINUTE);
    app.until_count("work", "ready", 2).await;
    app.delete("/v1/queues/work/schedules/gone").await.is(204);
    app.advance(MINUTE);
    app.until_count("work", "ready", 3).await;
    app.advance(MINUTE);
    app.until_count("work", "ready", 4).await;
    let found: BTreeSet<String> = ready(&app).await.into_iter().collect();
    let stays = (41..=43).map(|minute| tick("stays", &format!("2026-11-23T05:{minute}:00Z")));
    assert_eq!(found, stays.chain([tick("gone", "2026-11-23T05:41:00Z")]).collect());
}

#[tokio::test]
async fn a_deleted_queue_takes_its_schedules_along() {
    let app = TestApp::spawn().await;
    put(&app, "each", json!({"cron": "* * * * *"})).await.is(201);
    app.put("/v1/queues/witness/schedules/each", json!({"cron": "* * * * *", "payload": 1})).await.is(201);
    app.delete("/v1/queues/work").await.is(204);
    for minutes in 1..=2 {
        app.advance(MINUTE);
        app.until_count("witness", "ready", minutes).await;
    }
    app.queue("work").await.fails_with(404, "not-found");
    get(&app, "each").await.fails_with(404, "not-found");
    app.enqueue("work", 1).await;
    get(&app, "each").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_put_with_the_same_line_keeps_the_next_tick_and_another_line_starts_from_now() {
    let app = TestApp::spawn().await;
    put(&app, "each", json!({"cron": "* * * * *"})).await.is(201);
    app.advance(Duration::from_secs(45));
    let same = put(&app, "each", json!({"cron": "* * * * *", "payload": "new"})).await.is(200);
    assert_eq!(same["next_run_at"], "2026-11-23T05:41:00.000Z");
    app.advance(Duration::from_secs(15));
    let leased = app.lease_soon("work").await;
    assert_eq!((&leased.id, &leased.job["payload"]), (&tick("each", "2026-11-23T05:41:00Z"), &json!("new")));
    app.ack(&leased).await.is(200);

    // The minute's tick that has not come yet is gone with its line.
    let other = put(&app, "each", json!({"cron": "30 */2 * * * *"})).await.is(200);
    assert_eq!(other["next_run_at"], "2026-11-23T05:42:30.000Z");
    app.advance(Duration::from_secs(90));
    assert_eq!(app.lease_soon("work").await.id, tick("each", "2026-11-23T05:42:30Z"));
    assert_eq!(app.count("work", "ready").await, 0);
}

#[tokio::test]
async fn schedules_survive_a_restart() {
    let app = TestApp::spawn().await;
    put(&app, "each", json!({"cron": "* * * * *", "timezone": "Asia/Seoul"})).await.is(201);
    let before = get(&app, "each").await;
    let app = app.restart().await;
    assert_eq!(get(&app, "each").await.is(200).text(), before.text());
    app.advance(MINUTE);
    assert_eq!(app.lease_soon("work").await.id, tick("each", "2026-11-23T05:41:00Z"));
}
