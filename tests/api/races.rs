//! Many at once, and ends in the middle: no job is lost, run twice at a time, or in two states.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Leased, OwnRedis, Plain, Process, TestApp, eventually, signal};

const STATES: [&str; 6] = ["active", "ready", "scheduled", "dead", "completed", "cancelled"];

#[derive(Debug, Deserialize)]
struct Dequeued {
    jobs: Vec<Held>,
    #[serde(default)]
    acked: Vec<Settled>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Held {
    id: String,
    lease: String,
}

#[derive(Debug, Deserialize)]
struct Settled {
    status: u16,
}

const JOBS: usize = 100_000;
const WORKERS: usize = 50;

#[tokio::test]
async fn fifty_workers_lease_each_of_a_hundred_thousand_jobs_once() {
    let redis = OwnRedis::spawn().await;
    let spawn = || TestApp::with().redis_url(&redis.url()).server_clock().spawn();
    let apps = [spawn().await, spawn().await];
    apps[0].create_queue("work", json!({"lease_ms": 600_000})).await;
    let clients = apps.each_ref().map(|app| Plain::to(app.address()));
    let produce = |producer: usize| {
        let client = &clients[producer % 2];
        async move {
            for _ in 0..JOBS / 1000 / 4 {
                let jobs: Vec<Value> = (0..1000).map(|number| json!({"payload": number})).collect();
                let _: Value = client.post_for("/v1/queues/work/jobs/batch", &json!({"jobs": jobs})).await;
            }
        }
    };
    let acked = AtomicUsize::new(0);
    let consume = |worker: usize| {
        let (client, acked) = (&clients[worker % 2], &acked);
        async move {
            let (mut held, mut seen) = (Vec::<Held>::new(), Vec::new());
            while acked.load(Ordering::Relaxed) < JOBS {
                let body = json!({"limit": 20 + worker * 80 / WORKERS, "wait_ms": 500, "ack": held});
                let answer: Dequeued = client.post_for("/v1/queues/work/dequeue", &body).await;
                assert!(answer.acked.len() == held.len() && answer.acked.iter().all(|one| one.status == 200));
                acked.fetch_add(held.len(), Ordering::Relaxed);
                seen.extend(answer.jobs.iter().map(|job| job.id.clone()));
                held = answer.jobs;
            }
            assert!(held.is_empty());
            seen
        }
    };
    let (_, seen) = join(join_all((0..4).map(produce)), join_all((0..WORKERS).map(consume))).await;
    let ids: HashSet<&String> = seen.iter().flatten().collect();
    let leased: usize = seen.iter().map(Vec::len).sum();
    assert_eq!((leased, ids.len()), (JOBS, JOBS));
    let counts = apps[1].queue("work").await.is(200)["counts"].clone();
    let expected = json!({"ready": 0, "scheduled": 0, "active": 0, "completed": JOBS, "dead": 0, "cancelled": 0});
    assert_eq!(counts, expected);
}

/// What the tasks of a mixed run share.
#[derive(Default)]
struct Shared {
    ids: Mutex<Vec<String>>,
    held: Mutex<Vec<Leased>>,
}

impl Shared {
    fn some_id(&self, random: &mut fastrand::Rng) -> Option<String> {
        random.choice(self.ids.lock().expect("no panic").iter()).cloned()
    }

    /// A lease that somebody took. It may be used already or over, and most stay for others.
    fn some_lease(&self, random: &mut fastrand::Rng) -> Option<Leased> {
        let mut held = self.held.lock().expect("no panic");
        let place = random.choice(0..held.len())?;
        Some(if random.u8(..4) == 0 { held[place].clone() } else { held.swap_remove(place) })
    }

    fn take(&self, leased: Vec<Leased>) {
        self.held.lock().expect("no panic").extend(leased);
    }
}

fn random_job(random: &mut fastrand::Rng) -> Value {
    if random.u8(..3) == 0 {
        return json!({"payload": 1});
    }
    let mut job = json!({"payload": 1, "priority": random.u8(..10), "max_attempts": random.u8(1..4)});
    if random.bool() {
        job["delay_ms"] = json!(random.u32(..300));
    }
    if random.u8(..4) == 0 {
        job["expires_in_ms"] = json!(random.u32(100..600));
    }
    if random.bool() {
        job["key"] = json!(random.alphabetic().to_string());
    }
    job
}

/// One random operation.
async fn act(app: &TestApp, shared: &Shared, random: &mut fastrand::Rng) {
    let settled = [200, 404, 409];
    match random.u8(..12) {
        0..3 => {
            let jobs = (0..random.u8(1..6)).map(|_| random_job(random)).collect();
            let answer = app.enqueue_many("work", jobs).await.is(200);
            let results = answer["results"].as_array().expect("results");
            let ids = results.iter().map(|result| result["id"].as_str().expect("an id").to_owned());
            shared.ids.lock().expect("no panic").extend(ids);
        }
        3..6 => {
            let mut body = json!({"limit": random.u8(1..6), "lease_ms": random.u32(100..1000)});
            if let Some(leased) = shared.some_lease(random) {
                body["ack"] = json!([leased.to_ack()]);
            }
            shared.take(app.dequeue("work", body).await.is(200).leased("work"));
        }
        verb @ 6..9 => {
            let Some(leased) = shared.some_lease(random) else { return };
            let (verb, fields) = match verb {
                6 => ("ack", json!({"result": verb})),
                7 if random.u8(..4) == 0 => ("nack", json!({"dead": true})),
                7 => ("nack", json!({"retry_in_ms": random.u32(..300)})),
                _ => ("extend", json!({"lease_ms": random.u32(100..500), "progress": 1})),
            };
            let answer = app.settle(&leased, verb, fields).await;
            assert!(settled.contains(&answer.status), "{verb}: {}", answer.text());
        }
        verb @ (9 | 10) => {
            let Some(id) = shared.some_id(random) else { return };
            let path = format!("/v1/queues/work/jobs/{id}");
            let answer = match verb {
                9 => app.delete(path).await,
                _ => app.post(format!("{path}/retry"), json!({})).await,
            };
            assert!(matches!(answer.status, 200 | 204 | 409), "{}", answer.text());
        }
        _ => drop(app.post("/v1/queues/work/redrive", json!({"limit": 3})).await.is(200)),
    }
}

/// The ids of a state's list, read by pages.
async fn listed(app: &TestApp, state: &str) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(format!("/v1/queues/work/jobs?state={state}&limit=100{cursor}")).await.is(200);
        for job in page.jobs() {
            assert_eq!(job["state"], state, "{job}");
            ids.push(job["id"].as_str().expect("an id").to_owned());
        }
        match page.next_cursor() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn whatever_happens_at_once_each_job_is_in_one_state_and_the_counts_agree() {
    mix(json!({})).await;
}

#[tokio::test]
async fn with_keys_and_limits_too_each_job_is_in_one_state_and_the_counts_agree() {
    let keys = json!({"max_concurrency": 2, "fair": true});
    mix(json!({"keys": keys, "max_concurrency": 40})).await;
}

async fn mix(settings: Value) {
    let redis = OwnRedis::spawn().await;
    let spawn = || TestApp::with().redis_url(&redis.url()).server_clock().spawn();
    let apps = [spawn().await, spawn().await];
    apps[0].create_queue("work", settings).await;
    let shared = Shared::default();
    join_all((0..20).map(|task| {
        let (app, shared) = (&apps[task % 2], &shared);
        async move {
            let mut random = fastrand::Rng::with_seed(task as u64);
            for _ in 0..80 {
                act(app, shared, &mut random).await;
            }
        }
    }))
    .await;
    let app = &apps[0];
    app.request("POST", "/v1/queues/work/pause").send().await.is(204);
    app.until_count("work", "active", 0).await;
    app.until_count("work", "scheduled", 0).await;
    // What has not started by its time is cancelled meanwhile.
    tokio::time::sleep(Duration::from_millis(700)).await;

    let ids: BTreeSet<String> = shared.ids.lock().expect("no panic").iter().cloned().collect();
    let counts = app.queue("work").await["counts"].clone();
    let mut places: BTreeMap<String, &str> = BTreeMap::new();
    for state in STATES {
        let found = listed(app, state).await;
        assert_eq!(counts[state], found.len(), "{state}");
        for id in found {
            let before = places.insert(id.clone(), state);
            assert_eq!(before, None, "{id} is {state} too");
        }
    }
    assert_eq!(places.keys().cloned().collect::<BTreeSet<_>>(), ids);
    for (id, state) in &places {
        assert_eq!(app.job("work", id).await.is(200)["state"], **state, "{id}");
    }

    // Nothing is stuck: all that is ready can be worked off.
    app.request("POST", "/v1/queues/work/resume").send().await.is(204);
    let ready = counts["ready"].as_u64().expect("a number");
    let mut done = 0;
    while done < ready {
        let leased = app.dequeue("work", json!({"limit": 100, "wait_ms": 10_000})).await.is(200).leased("work");
        assert!(!leased.is_empty(), "{}", app.queue("work").await.text());
        for leased in &leased {
            app.ack(leased).await.is(200);
            done += 1;
        }
    }
    assert_eq!((app.count("work", "ready").await, app.count("work", "active").await), (0, 0));
}

/// Producers and workers that go on through whatever ends in the middle.
struct Work {
    /// Where the service answers now.
    client: Mutex<Plain>,
    enqueued: Mutex<BTreeSet<String>>,
    done: Mutex<BTreeSet<String>>,
}

const PRODUCERS: usize = 4;
const JOBS_EACH: usize = 100;

impl Work {
    fn at(client: Plain) -> Self {
        Self { client: Mutex::new(client), enqueued: Mutex::default(), done: Mutex::default() }
    }

    fn done(&self) -> usize {
        self.done.lock().expect("no panic").len()
    }

    /// POSTs; `None` where it is not known whether it took effect.
    async fn post(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let client = self.client.lock().expect("no panic").clone();
        let answer = client.try_send("POST", path, body).await;
        let answer = answer.filter(|(status, _)| *status < 500);
        if answer.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        answer
    }

    async fn produce(&self, producer: usize) {
        for number in 0..JOBS_EACH {
            let id = format!("{producer}-{number}");
            let job = json!({"payload": number, "id": id});
            eventually("the job is taken", async || {
                let (status, answer) = self.post("/v1/queues/work/jobs", &job).await?;
                assert!(matches!(status, 200 | 201), "{answer}");
                Some(())
            })
            .await;
            self.enqueued.lock().expect("no panic").insert(id);
        }
    }

    async fn consume(&self) {
        while self.done() < PRODUCERS * JOBS_EACH {
            let before = self.done.lock().expect("no panic").clone();
            let body = json!({"limit": 3, "wait_ms": 500, "lease_ms": 2000});
            let Some((_, answer)) = self.post("/v1/queues/work/dequeue", &body).await else { continue };
            for job in answer["jobs"].as_array().unwrap_or_else(|| panic!("no jobs in {answer}")) {
                let id = job["id"].as_str().expect("an id");
                assert!(!before.contains(id), "{id} was done and runs again");
                let path = format!("/v1/queues/work/jobs/{id}/ack");
                let lease = json!({"lease": job["lease"]});
                let status = eventually("the ack is answered", async || Some(self.post(&path, &lease).await?.0)).await;
                match status {
                    200 => drop(self.done.lock().expect("no panic").insert(id.to_owned())),
                    _ => assert_eq!(status, 409, "its lease may have ended meanwhile, the job may not"),
                }
            }
        }
    }

    /// Runs all of it beside `middle`.
    async fn run(&self, middle: impl Future<Output = ()>) {
        let producing = join_all((0..PRODUCERS).map(|producer| self.produce(producer)));
        let consuming = join_all((0..4).map(|_| self.consume()));
        join(join(producing, consuming), middle).await;
    }

    /// Waits until so many jobs are done.
    async fn until_done(&self, jobs: usize) {
        eventually("some jobs are done", async || (self.done() >= jobs).then_some(())).await;
    }

    async fn assert_nothing_is_lost(&self) {
        let client = self.client.lock().expect("no panic").clone();
        let counts = client.get("/v1/queues/work").await.1["counts"].clone();
        let jobs = PRODUCERS * JOBS_EACH;
        let expected = json!({"ready": 0, "scheduled": 0, "active": 0, "completed": jobs, "dead": 0, "cancelled": 0});
        assert_eq!(counts, expected);
        let enqueued = self.enqueued.lock().expect("no panic").clone();
        assert_eq!(enqueued, self.done.lock().expect("no panic").clone());
    }
}

#[tokio::test]
async fn a_service_that_is_killed_in_the_middle_loses_nothing_that_it_acknowledged() {
    let directory = TempDir::new().expect("a directory");
    let always = ["--durability", "always"];
    let mut service = Process::spawn_with(directory.path(), &always).await;
    let work = Work::at(Plain::to(service.address()));
    work.run(async {
        for jobs in [60, 180] {
            work.until_done(jobs).await;
            service.signal(Signal::KILL);
            service.ended().await;
            service = Process::spawn_with(directory.path(), &always).await;
            *work.client.lock().expect("no panic") = Plain::to(service.address());
        }
    })
    .await;
    work.assert_nothing_is_lost().await;
}

#[tokio::test]
async fn a_redis_that_is_killed_in_the_middle_loses_nothing_that_was_acknowledged() {
    let app = TestApp::with().set("durability", "always").server_clock().spawn().await;
    let work = Work::at(Plain::to(app.address()));
    work.run(async {
        work.until_done(100).await;
        signal(app.redis_pid(), Signal::KILL);
        work.until_done(300).await;
    })
    .await;
    work.assert_nothing_is_lost().await;
}
