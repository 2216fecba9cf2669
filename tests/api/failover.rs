//! Redis with Sentinels, and as a Cluster: fail-overs, slots that move, and what stands after them.

use std::time::Duration;

use ranq::config::{Certificates, RedisServer, RedisTarget};
use ranq::db::{Db, Effect};
use ranq::error::Error;
use ranq::metrics::Metrics;
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::watch;

use crate::support::deployments::{ClusterSet, SentinelSet, Server, until};
use crate::support::{TestApp, eventually, signal};

const BOARDS: usize = 6;
const CLIENTS: usize = 4;

async fn app_on(url: &str) -> TestApp {
    TestApp::with().redis_url(url).set("redis_timeout_ms", "1000").server_clock().spawn().await
}

/// One whose writes wait for a replica: whoever asks Sentinels for a fail-over does not stop the old master before.
async fn replicated_app_on(url: &str) -> TestApp {
    let options = TestApp::with().redis_url(url).set("redis_timeout_ms", "1000").server_clock();
    options.set("durability", "replicated:1").spawn().await
}

/// What clients were told while something else happened.
#[derive(Default)]
struct Told {
    /// Scores that count, by leaderboard.
    counted: [u64; BOARDS],
    jobs: u64,
    refused: u64,
}

/// Clients that submit and enqueue, each the same until it counts, while `disturb` runs.
async fn under_load(app: &TestApp, disturb: impl AsyncFnOnce()) -> Told {
    for board in 0..BOARDS {
        app.create(&format!("race{board}"), json!({"operator": "sum"})).await;
    }
    let (stop, stopped) = watch::channel(false);
    let client = async |client: usize| {
        let (mut told, mut turn) = (Told::default(), 0);
        // What was begun is brought to its end, and on a slow machine too each comes to all of them.
        while !*stopped.borrow() || turn < 2 * BOARDS {
            turn += 1;
            let (board, key) = ((client + turn) % BOARDS, format!("{client}-{turn}"));
            let body = json!({"member": format!("m{client}"), "score": 1});
            let path = format!("/v1/leaderboards/race{board}/scores");
            told.refused += until_done(app, &path, &key, &body).await;
            told.counted[board] += 1;
            let body = json!({"payload": turn, "id": key});
            told.refused += until_done(app, &format!("/v1/queues/work{board}/jobs"), &key, &body).await;
            told.jobs += 1;
        }
        told
    };
    let disturbed = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        disturb().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.send(true).expect("the clients listen");
    };
    let (all, ()) = tokio::join!(futures_util::future::join_all((0..CLIENTS).map(client)), disturbed);
    all.into_iter().fold(Told::default(), |mut sum, told| {
        sum.counted.iter_mut().zip(told.counted).for_each(|(sum, count)| *sum += count);
        Told { jobs: sum.jobs + told.jobs, refused: sum.refused + told.refused, ..sum }
    })
}

/// Sends the same until it is done; how often it was refused.
async fn until_done(app: &TestApp, path: &str, key: &str, body: &serde_json::Value) -> u64 {
    let mut refused = 0;
    loop {
        let answer = app.request("POST", path).key(key).body(body.clone()).send().await;
        if answer.status < 300 {
            return refused;
        }
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.text());
        refused += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Told {
    /// Everything that clients were told stands, once.
    async fn stands(&self, app: &TestApp) {
        let (mut ready, mut clients_jobs) = (0, 0);
        for (board, counted) in self.counted.iter().enumerate() {
            let rankings = app.rankings(&format!("race{board}"), "").await.is(200);
            let scores = rankings["entries"].as_array().expect("entries").iter();
            let sum: u64 = scores.map(|entry| entry["score"].as_f64().expect("a score") as u64).sum();
            assert_eq!(sum, *counted, "race{board}");
            ready += app.count(&format!("work{board}"), "ready").await;
            clients_jobs += counted;
        }
        assert_eq!((ready, clients_jobs), (self.jobs, self.jobs));
        assert!(self.jobs > 10, "the clients did only {} jobs", self.jobs);
    }
}

fn stop_and_go(server: &Server, signals: Signal) {
    signal(server.pid(), signals);
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinel_a_planned_fail_over_loses_nothing_that_waited_and_is_followed() {
    let set = SentinelSet::start(1, 3, &[]);
    let app = replicated_app_on(&set.url()).await;
    let told = under_load(&app, async || {
        let now = set.fail_over();
        assert_eq!(now, 1);
        // The old master has become its replica.
        until("two servers again", || (set.servers[0].role()? == "slave").then_some(()));
    })
    .await;
    told.stands(&app).await;
    assert!(app.get("/metrics").await.text().contains("ranq_redis_failovers_total 1\n"));
    let ready = app.get("/health/ready").await.is(200);
    assert_eq!((&ready["redis"]["deployment"], &ready["redis"]["replicas"]), (&json!("sentinel"), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinel_a_killed_master_loses_nothing_that_waited_for_a_replica() {
    let mut set = SentinelSet::start(2, 3, &[]);
    let app = replicated_app_on(&set.url()).await;
    let waiter = app.dequeue("later", json!({"wait_ms": 20000}));
    let told = async {
        let told = under_load(&app, async || {
            let old = set.master();
            set.servers[old].kill();
            set.replaced(old);
            set.servers[old].start_again();
        })
        .await;
        // The server that comes back may still be copying, and a write waits for it.
        let enqueue = async || {
            let call = app.request("POST", "/v1/queues/later/jobs").key("once").body(json!({"payload": "after all"}));
            (call.send().await.status != 503).then_some(())
        };
        eventually("a job gets in again", enqueue).await;
        told
    };
    let (leased, told) = futures_util::future::join(waiter, told).await;
    assert!(told.refused > 0, "nobody noticed");
    // Who waited over the fail-over is woken after it.
    assert_eq!(leased.payloads(), ["after all"]);
    told.stands(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinel_a_master_that_hung_and_was_replaced_takes_no_more_writes() {
    let set = SentinelSet::start(1, 3, &[]);
    let app = replicated_app_on(&set.url()).await;
    let told = under_load(&app, async || {
        let old = set.master();
        stop_and_go(&set.servers[old], Signal::STOP);
        set.replaced(old);
        stop_and_go(&set.servers[old], Signal::CONT);
        until("it is a replica", || (set.servers[old].role()? == "slave").then_some(()));
    })
    .await;
    told.stands(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinel_without_a_replica_no_write_is_acknowledged_that_waits_for_one() {
    let mut set = SentinelSet::start(1, 1, &[]);
    let app = TestApp::with()
        .redis_url(&set.url())
        .set("redis_timeout_ms", "3000")
        .set("durability", "replicated:1")
        .spawn()
        .await;
    app.create("race", json!({"operator": "sum"})).await;
    app.submit("race", "ann", 1).await;
    set.servers[1].kill();
    let submit = async || {
        let request = app.request("POST", "/v1/leaderboards/race/scores").key("k");
        request.body(json!({"member": "ann", "score": 10})).send().await
    };
    submit().await.fails_with(503, "outcome-unknown");
    // Reads do not wait.
    app.member("race", "ann").await.is(200);
    set.servers[1].start_again();
    eventually("the same submission is acknowledged", async || (submit().await.status == 200).then_some(())).await;
    assert_eq!(app.member("race", "ann").await["score"], 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinel_without_a_master_all_is_unavailable_until_there_is_one() {
    let mut set = SentinelSet::start(0, 1, &["--appendonly", "yes"]);
    let app = app_on(&set.url()).await;
    app.submit("race", "ann", 1).await;
    set.servers[0].kill();
    for _ in 0..5 {
        app.rankings("race", "").await.fails_with(503, "store-unavailable");
    }
    eventually("it is not ready", async || (app.get("/health/ready").await.status == 503).then_some(())).await;
    set.servers[0].start_again();
    eventually("it is back", async || (app.rankings("race", "").await.status == 200).then_some(())).await;
    assert_eq!(app.rankings("race", "").await.members(), ["ann"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_slots_that_move_under_load_lose_nothing() {
    let mut set = ClusterSet::start(3, 0, &[]);
    let app = app_on(&set.url()).await;
    let new = set.add();
    let set = &set;
    let told = under_load(&app, async || {
        let slots: Vec<u16> = (0..BOARDS)
            .flat_map(|board| [format!("{{lb:race{board}}}"), format!("{{q:work{board}}}")])
            .map(|tag| set.slot(&tag))
            .collect();
        tokio::task::block_in_place(|| {
            for (place, slot) in slots.into_iter().enumerate() {
                let to = if place % 2 == 0 { new } else { place % 3 };
                set.move_slot(slot, to, 1, || std::thread::sleep(Duration::from_millis(5)));
            }
        });
    })
    .await;
    told.stands(&app).await;
    let ready = app.get("/health/ready").await.is(200);
    assert_eq!((&ready["redis"]["masters"], &ready["redis"]["masters_ok"]), (&json!(4), &json!(4)));
}

/// What has one key, since of several each must be there already: else a slot that moves takes no call at all.
#[tokio::test(flavor = "multi_thread")]
async fn cluster_what_is_written_while_its_slot_moves_waits_for_a_replica_too() {
    let mut set = ClusterSet::start(3, 1, &[]);
    let server = RedisServer { url: set.url().into(), certificates: Certificates::default() };
    let timeout = Duration::from_millis(1000);
    let db = Db::beside(&RedisTarget::Server(server), timeout, Metrics::default()).expect("an address");
    let db = db.with_replicas(1);
    let write = async |value: u64| {
        let mut command = redis::cmd("SET");
        command.arg("{moves}").arg(value);
        db.run(&command, "set", Effect::Store).await
    };
    write(1).await.expect("its master has a replica");
    let slot = set.slot("{moves}");
    let from = set.owner(slot);
    let to = (from + 1) % 3;
    set.move_keys(slot, (from, to), 10, || ());
    write(2).await.expect("the other master has one too");
    // Replicas stand behind their masters, in the same order.
    set.nodes[3 + to].kill();
    let lost = write(3).await;
    assert!(matches!(lost, Err(Error::OutcomeUnknown(_))), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_a_planned_fail_over_loses_nothing_and_is_followed() {
    let set = ClusterSet::start(3, 1, &[]);
    let app = app_on(&set.url()).await;
    let told = under_load(&app, async || {
        for replica in 3..6 {
            tokio::task::block_in_place(|| set.fail_over_to(replica));
        }
    })
    .await;
    told.stands(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_a_killed_master_is_replaced_and_others_are_not_disturbed() {
    let mut set = ClusterSet::start(3, 1, &["--cluster-require-full-coverage", "no"]);
    let app = replicated_app_on(&set.url()).await;
    let slot = set.slot("{lb:race0}");
    let mut others = (0..100).map(|number| format!("calm{number}"));
    let other = others.find(|name| set.owner(set.slot(&format!("{{lb:{name}}}"))) != set.owner(slot));
    let other = other.expect("one of a hundred is elsewhere");
    app.create(&other, json!({})).await;
    let told = under_load(&app, async || {
        let old = set.owner(slot);
        set.nodes[old].kill();
        let slowest = async {
            let mut slowest = Duration::ZERO;
            for _ in 0..20 {
                let since = std::time::Instant::now();
                app.rankings(&other, "").await.is(200);
                slowest = slowest.max(since.elapsed());
            }
            slowest
        };
        assert!(slowest.await < Duration::from_millis(900), "others wait for what is away");
        let new = tokio::task::block_in_place(|| set.replaced(slot, old));
        set.nodes[old].start_again();
        assert_ne!(new, old);
        tokio::task::block_in_place(|| set.is_whole());
    })
    .await;
    assert!(told.refused > 0, "nobody noticed");
    told.stands(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_a_hung_master_is_replaced() {
    let set = ClusterSet::start(3, 1, &[]);
    let app = replicated_app_on(&set.url()).await;
    let slot = set.slot("{lb:race0}");
    let told = under_load(&app, async || {
        let old = set.owner(slot);
        stop_and_go(&set.nodes[old], Signal::STOP);
        let runs: Vec<&Server> =
            set.nodes.iter().enumerate().filter(|(place, _)| *place != old).map(|(_, node)| node).collect();
        tokio::task::block_in_place(|| {
            until("a replica takes over", || {
                let masters: Vec<String> =
                    runs.iter().filter_map(|node| node.role()).filter(|role| role == "master").collect();
                (masters.len() == 3).then_some(())
            });
        });
        eventually("its slots work again", async || (app.rankings("race0", "").await.status == 200).then_some(()))
            .await;
        stop_and_go(&set.nodes[old], Signal::CONT);
        tokio::task::block_in_place(|| set.is_whole());
    })
    .await;
    told.stands(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_one_node_of_the_url_is_enough_and_scripts_may_be_forgotten_anywhere() {
    let set = ClusterSet::start(3, 0, &[]);
    let one = format!("redis+cluster://127.0.0.1:{}", set.nodes[2].port());
    let app = app_on(&one).await;
    for round in 0..3 {
        for board in 0..10 {
            app.submit(&format!("race{board}"), "ann", round).await;
        }
        for node in &set.nodes {
            let () = node.ask(&["SCRIPT", "FLUSH"]).expect("it answers");
        }
    }
    let sizes: Vec<u64> = set.nodes.iter().map(|node| node.ask(&["DBSIZE"]).expect("it answers")).collect();
    assert!(sizes.iter().all(|size| *size > 0), "{sizes:?}");
    assert_eq!(app.get("/v1/leaderboards").await["leaderboards"].as_array().map(Vec::len), Some(10));
}
