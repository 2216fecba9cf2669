//! Long polls: who waits is answered when there is something, once, and at the end of the wait.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Answer, OwnRedis, Plain, Process, TestApp, eventually, signal, until_in_flight};

const WAIT_MS: u64 = 25_000;
/// A wait that ends sooner than this ended because of what happened, and not by itself.
const SOON: Duration = Duration::from_secs(8);

/// Dequeues one job of `work` and waits for it.
async fn wait(app: &TestApp) -> Answer {
    app.dequeue("work", json!({"wait_ms": WAIT_MS})).await.is(200)
}

/// Runs `act` once `waiter` is being answered, and gives its answer, which must come soon.
async fn while_waiting(app: &TestApp, waiter: impl Future<Output = Answer>, act: impl Future<Output = ()>) -> Answer {
    let acting = async {
        app.until_in_flight(1).await;
        act.await;
        Instant::now()
    };
    let (answer, acted) = join(
        async {
            let answer = waiter.await;
            (answer, Instant::now())
        },
        acting,
    )
    .await;
    let took = answer.1.saturating_duration_since(acted);
    assert!(took < SOON, "{took:?}");
    answer.0
}

async fn two_instances(redis: &OwnRedis) -> [TestApp; 2] {
    let spawn = || TestApp::with().redis_url(&redis.url()).spawn();
    [spawn().await, spawn().await]
}

#[tokio::test]
async fn a_waiting_dequeue_gets_a_job_that_is_enqueued_later() {
    let app = TestApp::spawn().await;
    app.create_queue("work", json!({})).await;
    let answer = while_waiting(&app, wait(&app), async { drop(app.enqueue("work", "late").await) }).await;
    assert_eq!(answer.payloads(), ["late"]);
    assert_eq!(app.count("work", "active").await, 1);
}

#[tokio::test]
async fn it_gets_a_job_that_another_instance_takes() {
    let redis = OwnRedis::spawn().await;
    let [one, other] = two_instances(&redis).await;
    let answer = while_waiting(&one, wait(&one), async { drop(other.enqueue("work", "from afar").await) }).await;
    assert_eq!(answer.payloads(), ["from afar"]);
}

#[tokio::test]
async fn it_may_wait_for_a_queue_that_does_not_exist() {
    let app = TestApp::spawn().await;
    let answer = while_waiting(&app, wait(&app), async { drop(app.enqueue("work", 1).await) }).await;
    assert_eq!(answer.jobs().len(), 1);
    let app = TestApp::spawn().await;
    let job = async {
        app.create_queue("work", json!({"lease_ms": 5000})).await;
        app.enqueue("work", 1).await;
    };
    let answer = while_waiting(&app, wait(&app), job).await;
    assert_eq!(answer.jobs()[0]["lease_expires_at"], "2026-11-23T05:40:05.000Z");
}

#[tokio::test]
async fn every_way_to_become_ready_ends_a_wait() {
    for way in ["batch", "nack", "retry", "redrive", "redrive to", "resume", "expiry"] {
        let app = TestApp::with().server_clock().spawn().await;
        let from = if way == "redrive to" { "other" } else { "work" };
        app.create_queue("work", json!({"paused": way == "resume"})).await;
        if way != "batch" {
            app.enqueue(from, 1).await;
        }
        let lease_ms = if way == "expiry" { 500 } else { 60_000 };
        let held = app.dequeue(from, json!({"lease_ms": lease_ms})).await.is(200).leased(from).pop();
        if way.starts_with("re") && way != "resume" {
            let fields = if way == "retry" { json!({"retry_in_ms": 3_600_000}) } else { json!({"dead": true}) };
            app.nack(held.as_ref().expect("a job"), fields).await.is(200);
        }
        let act = async {
            match way {
                "batch" => drop(app.enqueue_many("work", vec![json!({"payload": 1})]).await.is(200)),
                "nack" => drop(app.nack(held.as_ref().expect("a job"), json!({"retry_in_ms": 0})).await.is(200)),
                "retry" => {
                    let id = &held.as_ref().expect("a job").id;
                    app.post(format!("/v1/queues/work/jobs/{id}/retry"), json!({})).await.is(200);
                }
                "redrive" => drop(app.post("/v1/queues/work/redrive", json!({})).await.is(200)),
                "redrive to" => drop(app.post("/v1/queues/other/redrive", json!({"to": "work"})).await.is(200)),
                "resume" => drop(app.request("POST", "/v1/queues/work/resume").send().await.is(204)),
                _ => {}
            }
        };
        let answer = while_waiting(&app, wait(&app), act).await;
        assert_eq!(answer.jobs().len(), 1, "{way}");
    }
}

#[tokio::test]
async fn a_lease_that_ends_reaches_a_waiting_dequeue_within_500_ms() {
    let app = TestApp::with().server_clock().spawn().await;
    app.enqueue("work", 1).await;
    let millis = |time: &Value| {
        let time = time.as_str().expect("a time").parse::<jiff::Timestamp>().expect("RFC 3339");
        time.as_millisecond()
    };
    let mut late = Vec::new();
    // A machine that is busy with other things may be late; a service that is late by itself always is.
    for _ in 0..4 {
        let held =
            app.dequeue("work", json!({"lease_ms": 400, "wait_ms": WAIT_MS})).await.is(200).leased("work").remove(0);
        let again = wait(&app).await.leased("work").remove(0);
        assert_eq!(again.id, held.id);
        late.push(millis(&again.job["started_at"]) - millis(&held.job["lease_expires_at"]));
        assert!(late.iter().all(|ms| *ms >= 0), "{late:?}");
        if late.iter().any(|ms| *ms <= 500) {
            return;
        }
        app.nack(&again, json!({"retry_in_ms": 0})).await.is(200);
    }
    panic!("late by {late:?} ms");
}

#[tokio::test]
async fn without_a_job_the_answer_is_empty_at_the_end_of_the_wait() {
    let app = TestApp::spawn().await;
    app.create_queue("work", json!({})).await;
    for (path, wait_ms) in [("queues/work/dequeue", 300), ("queues/none/dequeue", 300), ("queues/work/dequeue", 0)] {
        let started = Instant::now();
        let answer = app.post(format!("/v1/{path}"), json!({"wait_ms": wait_ms})).await.is(200);
        assert_eq!(answer.jobs().len(), 0);
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(wait_ms) && took < SOON, "{path} {wait_ms}: {took:?}");
    }
    let started = Instant::now();
    let several = app.post("/v1/dequeue", json!({"queues": ["work", "none"], "wait_ms": 300})).await.is(200);
    assert!(several.jobs().is_empty() && started.elapsed() >= Duration::from_millis(300));
    app.queue("none").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_dequeue_of_many_does_not_wait_until_it_has_them_all() {
    let app = TestApp::spawn().await;
    app.enqueue("work", 1).await;
    let started = Instant::now();
    let answer = app.dequeue("work", json!({"limit": 10, "wait_ms": WAIT_MS})).await.is(200);
    assert_eq!(answer.jobs().len(), 1);
    assert!(started.elapsed() < SOON);
}

#[tokio::test]
async fn acks_are_settled_before_the_wait() {
    let app = TestApp::spawn().await;
    app.enqueue("work", 1).await;
    let held = app.lease_one("work").await;
    let waiting = app.dequeue("work", json!({"wait_ms": WAIT_MS, "ack": [held.to_ack()]}));
    let answer = while_waiting(&app, waiting, async {
        app.until_count("work", "completed", 1).await;
        app.enqueue("work", 2).await;
    })
    .await;
    assert_eq!((answer.payloads(), &answer["acked"][0]["status"]), (vec![json!(2)], &json!(200)));
}

#[tokio::test]
async fn one_wait_may_be_for_several_queues() {
    for order in [json!({"order": "strict"}), json!({"order": "weighted", "weights": {"a": 5}})] {
        let app = TestApp::spawn().await;
        app.create_queue("a", json!({})).await;
        for queue in ["a", "b", "c"] {
            let mut body = json!({"queues": ["a", "b", "c"], "wait_ms": WAIT_MS});
            body.as_object_mut().expect("an object").extend(order.as_object().expect("an object").clone());
            let waiting = app.post("/v1/dequeue", body);
            let answer = while_waiting(&app, waiting, async { drop(app.enqueue(queue, queue).await) }).await.is(200);
            assert_eq!((answer.payloads(), &answer.jobs()[0]["queue"]), (vec![json!(queue)], &json!(queue)));
        }
    }
}

#[tokio::test]
async fn one_job_wakes_one_waiter() {
    let app = TestApp::spawn().await;
    app.create_queue("work", json!({})).await;
    let waiters = join_all((0..50).map(|_| wait(&app)));
    let acting = async {
        app.until_in_flight(50).await;
        let before = eventually("all have looked", async || {
            let calls = app.scrape().await.dequeue_calls();
            tokio::time::sleep(Duration::from_millis(100)).await;
            (app.scrape().await.dequeue_calls() == calls).then_some(calls)
        })
        .await;
        app.enqueue("work", 0).await;
        app.until_count("work", "active", 1).await;
        app.until_in_flight(49).await;
        let calls = app.scrape().await.dequeue_calls() - before;
        assert!((1.0..=5.0).contains(&calls), "{calls} looks for one job");
        for number in 1..50 {
            app.enqueue("work", number).await;
        }
    };
    let (answers, ()) = join(waiters, acting).await;
    let payloads: BTreeSet<u64> =
        answers.iter().map(|answer| answer.payloads()[0].as_u64().expect("a number")).collect();
    assert!(answers.iter().all(|answer| answer.jobs().len() == 1));
    assert_eq!(payloads.len(), 50);
}

#[tokio::test]
async fn fifty_waiters_of_two_instances_and_fifty_jobs_at_once_make_fifty_answers() {
    let redis = OwnRedis::spawn().await;
    let instances = two_instances(&redis).await;
    instances[0].create_queue("work", json!({})).await;
    let started = Instant::now();
    let waiters = join_all((0..50).map(|number| wait(&instances[number % 2])));
    let acting = async {
        instances[0].until_in_flight(25).await;
        instances[1].until_in_flight(25).await;
        let jobs = (0..50).map(|number| json!({"payload": number})).collect();
        instances[0].enqueue_many("work", jobs).await.is(200);
    };
    let (answers, ()) = join(waiters, acting).await;
    let payloads: BTreeSet<u64> =
        answers.iter().flat_map(Answer::payloads).map(|payload| payload.as_u64().expect("a number")).collect();
    assert!(answers.iter().all(|answer| answer.jobs().len() == 1));
    assert_eq!(payloads.len(), 50);
    assert!(started.elapsed() < SOON * 2, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_read_that_waits_for_a_job_is_answered_when_the_job_is_finished() {
    let redis = OwnRedis::spawn().await;
    let [one, other] = two_instances(&redis).await;
    for (end, state) in [("ack", "completed"), ("dead", "dead"), ("cancel", "cancelled")] {
        let id = one.enqueue("work", 1).await.id().to_owned();
        let held = one.lease_one("work").await;
        let path = format!("/v1/queues/work/jobs/{id}");
        let waiting = one.get(format!("{path}?wait_ms={WAIT_MS}"));
        let answer = while_waiting(&one, waiting, async {
            match end {
                "ack" => drop(other.settle(&held, "ack", json!({"result": {"sum": 3}})).await.is(200)),
                "dead" => drop(other.nack(&held, json!({"dead": true})).await.is(200)),
                _ => drop(other.delete(&path).await.is(204)),
            }
        })
        .await
        .is(200);
        assert_eq!(answer["state"], state);
        assert_eq!(answer["result"], if end == "ack" { json!({"sum": 3}) } else { Value::Null });
    }
    let id = one.enqueue("work", 1).await.id().to_owned();
    let started = Instant::now();
    let answer = one.get(format!("/v1/queues/work/jobs/{id}?wait_ms=300")).await.is(200);
    assert_eq!(answer["state"], "ready");
    assert!(started.elapsed() >= Duration::from_millis(300));
    one.get("/v1/queues/work/jobs/unknown?wait_ms=25000").await.fails_with(404, "not-found");
    one.get(format!("/v1/queues/work/jobs/{id}?wait_ms=30001")).await.fails_at(&["wait_ms"]);
}

#[tokio::test]
async fn who_waits_when_the_service_stops_is_answered_at_once() {
    let directory = TempDir::new().expect("a directory");
    let mut service = Process::spawn(directory.path()).await;
    let client = Plain::to(service.address());
    let waiter = client.clone();
    let waiting = join_all((0..10).map(|_| waiter.post("/v1/queues/work/dequeue", json!({"wait_ms": WAIT_MS}))));
    let stopping = async {
        until_in_flight(service.address(), 10).await;
        service.signal(Signal::TERM);
        Instant::now()
    };
    let (answers, stopped) = join(waiting, stopping).await;
    assert!(stopped.elapsed() < Duration::from_secs(4), "{:?}", stopped.elapsed());
    for (status, answer) in answers {
        assert_eq!((status, &answer["jobs"]), (200, &json!([])));
    }
    assert_eq!(service.ended().await.code(), Some(0), "{}", service.log());
    assert!(stopped.elapsed() < SOON, "{:?}", stopped.elapsed());
}

#[tokio::test]
async fn a_subscription_that_is_lost_delays_a_job_by_little() {
    let app = TestApp::spawn().await;
    app.create_queue("work", json!({})).await;
    // The second time it is lost as well, whatever the first one has left.
    for number in 0..2 {
        let (answer, enqueued) = join(wait(&app), async {
            app.until_in_flight(1).await;
            let kill = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").clone();
            eventually("a subscription is killed", async || {
                (kill.query::<u32>(&mut app.redis()).expect("CLIENT KILL works") > 0).then_some(())
            })
            .await;
            app.enqueue("work", number).await;
            Instant::now()
        })
        .await;
        assert_eq!(answer.payloads(), [number]);
        assert!(enqueued.elapsed() < Duration::from_secs(5), "{:?}", enqueued.elapsed());
    }
}

/// Waits until this key of `work` says that somebody waits, and the look that it was made by has ended.
async fn until_noted(redis: impl redis::ConnectionLike, key: &str) {
    let (redis, key) = (std::sync::Mutex::new(redis), format!("ranq:{{q:work}}:{key}"));
    eventually("somebody waits", async || {
        let mut redis = redis.lock().expect("no panic");
        redis::cmd("EXISTS").arg(&key).query::<bool>(&mut *redis).expect("EXISTS works").then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
}

#[tokio::test]
async fn who_waits_for_a_job_outlives_a_redis_that_is_killed() {
    let app = TestApp::with().set("durability", "always").spawn().await;
    app.create_queue("work", json!({})).await;
    let answer = while_waiting(&app, wait(&app), async {
        until_noted(app.redis(), "waiters").await;
        signal(app.redis_pid(), Signal::KILL);
        let job = json!({"payload": 1, "id": "only"});
        eventually("the job is taken", async || {
            matches!(app.enqueue_job("work", job.clone()).await.status, 200 | 201).then_some(())
        })
        .await;
    })
    .await;
    assert_eq!(answer.payloads(), [1]);
}

#[tokio::test]
async fn who_waits_for_the_end_of_a_job_outlives_a_redis_that_is_killed() {
    let app = TestApp::with().set("durability", "always").spawn().await;
    app.enqueue("work", 1).await;
    let leased = app.lease_one("work").await;
    let end = async { app.get(format!("/v1/queues/work/jobs/{}?wait_ms={WAIT_MS}", leased.id)).await.is(200) };
    let answer = while_waiting(&app, end, async {
        until_noted(app.redis(), "watchers").await;
        signal(app.redis_pid(), Signal::KILL);
        eventually("the job is acked", async || (app.ack(&leased).await.status == 200).then_some(())).await;
    })
    .await;
    assert_eq!(answer["state"], "completed");
}

#[tokio::test]
async fn a_wait_that_ends_while_redis_is_away_says_so() {
    let mut redis = OwnRedis::spawn().await;
    let app = TestApp::with().redis_url(&redis.url()).spawn().await;
    app.create_queue("work", json!({})).await;
    let waiting = app.dequeue("work", json!({"wait_ms": 2500}));
    let (answer, ()) = join(waiting, async {
        until_noted(redis.connect().expect("it runs"), "waiters").await;
        redis.kill();
    })
    .await;
    answer.fails_with(503, "store-unavailable");
}

#[tokio::test]
async fn a_job_lives_through_the_loss_of_all_scripts_at_each_step() {
    let app = TestApp::spawn().await;
    let flush = || {
        let () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut app.redis()).expect("SCRIPT works");
    };
    flush();
    app.create_queue("work", json!({"keys": {"max_concurrency": 1}})).await;
    flush();
    app.enqueue_job("work", json!({"payload": 1, "key": "a", "unique_key": "u", "delay_ms": 1000})).await.is(201);
    flush();
    app.advance(Duration::from_secs(1));
    let leased = app.lease_soon("work").await;
    flush();
    app.extend(&leased, json!({"lease_ms": 5000, "progress": 50})).await.is(200);
    flush();
    app.advance(Duration::from_secs(5));
    app.until_count("work", "ready", 1).await;
    flush();
    let leased = app.lease_one("work").await;
    flush();
    app.nack(&leased, json!({"dead": true, "error": "no"})).await.is(200);
    flush();
    assert_eq!(app.jobs("work", "dead").await.jobs().len(), 1);
    flush();
    app.post(format!("/v1/queues/work/jobs/{}/retry", leased.id), json!({})).await.is(200);
    flush();
    let (answer, ()) = join(wait(&app), async {
        flush();
        app.enqueue("work", 2).await;
    })
    .await;
    flush();
    let acks = json!({"acks": [answer.leased("work")[0].to_ack()]});
    let results = app.post("/v1/queues/work/acks", acks).await.is(200);
    assert_eq!(results["results"][0]["status"], 200);
    flush();
    let last = app.lease_one("work").await;
    flush();
    app.delete(format!("/v1/queues/work/jobs/{}", last.id)).await.is(204);
    flush();
    app.delete("/v1/queues/work").await.is(204);
}
