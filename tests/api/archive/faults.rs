//! Kills and databases that go away: every finished job is there in the end, once.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Database, with_archive};
use crate::support::{OwnRedis, Process, TestApp, client_builder, eventually};

/// Enqueues so many jobs and completes them.
async fn complete_many(client: &reqwest::Client, service: &Process, count: usize) {
    let url = |rest: &str| format!("http://{}/v1/queues/q/{rest}", service.address());
    let jobs: Vec<Value> = (0..count).map(|number| json!({"payload": number})).collect();
    let send = async |rest: &str, body: Value| {
        let answer = client.post(url(rest)).json(&body).send().await.expect("the service answers");
        assert_eq!(answer.status(), 200, "{rest}");
        answer.json::<Value>().await.expect("JSON")
    };
    send("jobs/batch", json!({"jobs": jobs})).await;
    let mut left = count;
    while left > 0 {
        let leased = send("dequeue", json!({"limit": 100})).await;
        let leased = leased["jobs"].as_array().expect("jobs");
        let acks: Vec<Value> = leased.iter().map(|job| json!({"id": job["id"], "lease": job["lease"]})).collect();
        send("acks", json!({"acks": acks})).await;
        left -= acks.len();
    }
}

/// Rounds of work, each of which ends with a kill in the middle of what is written.
async fn no_kill_loses_or_doubles_a_row(database: Database) {
    const ROUNDS: usize = 6;
    const JOBS: usize = 300;
    let (redis, directory) = (OwnRedis::spawn().await, TempDir::new().expect("a directory"));
    let (redis_url, url) = (redis.url(), database.url());
    let arguments =
        ["--redis-url", &redis_url, "--archive-url", &url, "--archive-batch", "20", "--archive-every-ms", "10"];
    let client = client_builder().build().expect("a client");
    for round in 0..ROUNDS {
        let mut service = Process::spawn_with(directory.path(), &arguments).await;
        let before = database.rows().await;
        complete_many(&client, &service, JOBS).await;
        // Whose turn it is writes the first rows when the turn of the one before has run out.
        eventually("it writes", async || (database.rows().await > before).then_some(())).await;
        tokio::time::sleep(Duration::from_millis(20 * round as u64)).await;
        service.signal(Signal::KILL);
        service.ended().await;
    }
    let _service = Process::spawn_with(directory.path(), &arguments).await;
    let wanted = i64::try_from(ROUNDS * JOBS).expect("a number");
    eventually("all rows are there", async || (database.rows().await == wanted).then_some(())).await;
    let emptied = async || {
        let mut connection = redis.connect().expect("it runs");
        let left: u64 = redis::cmd("XLEN").arg("ranq:{q:q}:to_archive").query(&mut connection).expect("XLEN works");
        (left == 0).then_some(())
    };
    eventually("nothing is on its way", emptied).await;
    assert_eq!(database.rows().await, wanted);
}

#[tokio::test]
async fn no_kill_loses_or_doubles_a_row_in_sqlite() {
    no_kill_loses_or_doubles_a_row(Database::sqlite()).await;
}

#[tokio::test]
async fn no_kill_loses_or_doubles_a_row_in_postgres() {
    no_kill_loses_or_doubles_a_row(Database::postgres().await).await;
}

#[tokio::test]
async fn a_server_that_goes_away_and_comes_back_gets_all_rows() {
    let Database::Postgres(mut server) = Database::postgres().await else { panic!("it is one") };
    let app = with_archive(&server.url()).spawn().await;
    app.complete("q", "before").await;
    app.until_archived("q", 1).await;
    server.stop();
    for id in ["a", "b", "c"] {
        app.complete("q", id).await;
    }
    app.history("q", "").await.fails_with(503, "archive-unavailable");
    server.start().await;
    app.until_archived("q", 4).await;
}

#[tokio::test]
async fn instances_take_turns_and_take_over() {
    for database in [Database::sqlite(), Database::postgres().await] {
        let redis = OwnRedis::spawn().await;
        let app = async || with_archive(&database.url()).redis_url(&redis.url()).server_clock().spawn().await;
        let (one, other) = tokio::join!(app(), app());
        for number in 0..20 {
            one.complete("q", &format!("one-{number}")).await;
            other.complete("q", &format!("other-{number}")).await;
        }
        one.until_archived("q", 40).await;
        other.until_archived("q", 40).await;
        assert_eq!(database.rows().await, 40);
        let written = async |app: &TestApp| app.scrape().await.sum("ranq_archive_rows_total", &[]).unwrap_or(0.0);
        let (by_one, by_other) = (written(&one).await, written(&other).await);
        assert!((by_one, by_other) == (40.0, 0.0) || (by_one, by_other) == (0.0, 40.0), "{by_one}, {by_other}");
        let (writer, left) = if by_one > 0.0 { (one, other) } else { (other, one) };
        drop(writer);
        left.complete("q", "after").await;
        left.until_archived("q", 41).await;
    }
}
