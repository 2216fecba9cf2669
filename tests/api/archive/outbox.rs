//! On the way: what waits while the archive is away, and what becomes of it.

use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::{Database, LONG, away, with_archive};
use crate::support::{TestApp, eventually};

/// Lets the archive be reached.
pub(super) fn arrive(path: &std::path::Path) {
    std::fs::create_dir(path).expect("made");
}

pub(super) async fn until_waiting(app: &TestApp, queue: &str, count: u64) {
    let line = format!("ranq_archive_waiting{{queue=\"{queue}\"}} {count}\n");
    let counted = async || app.get("/metrics").await.text().contains(&line).then_some(());
    eventually(&format!("{count} jobs of {queue} wait for the archive"), counted).await;
}

#[tokio::test]
async fn jobs_go_on_finishing_while_the_archive_is_away_and_all_rows_arrive() {
    let directory = TempDir::new().expect("a directory");
    let (url, path) = away(&directory);
    // Room for two: the others wait in their queue.
    let app = with_archive(&url).set("archive_outbox_max", "2").spawn().await;
    app.create_queue("q", json!({"retention_ms": 0, "retention_count": 1, "dead_retention_ms": 0})).await;
    let ids = app.finish_some("q").await;
    app.complete("q", "last").await;
    app.advance(LONG);
    until_waiting(&app, "q", 5).await;
    let failures = async || app.scrape().await.sum("ranq_archive_failures_total", &[]).filter(|count| *count > 0.0);
    eventually("it is tried", failures).await;
    // Nothing has left Redis that is nowhere else.
    for id in ids.into_iter().chain(["last"]) {
        assert_eq!(app.job("q", id).await.is(200).header("cache-status"), "ranq; hit", "{id}");
    }
    let unavailable = app.job("q", "never").await.fails_with(503, "archive-unavailable");
    assert_eq!(unavailable.header("retry-after"), "1");
    app.history("q", "").await.fails_with(503, "archive-unavailable");
    arrive(&path);
    app.until_archived("q", 5).await;
    for id in ids.into_iter().chain(["last"]) {
        let left = async || (app.job("q", id).await.is(200).header("cache-status") == "ranq; fwd=miss").then_some(());
        eventually(&format!("{id} leaves Redis"), left).await;
    }
    until_waiting(&app, "q", 0).await;
}

async fn many_are_written_in_statements_of_a_few(database: Database) {
    const JOBS: usize = 90;
    let app = with_archive(&database.url()).set("archive_batch", "4").spawn().await;
    let jobs: Vec<_> = (0..JOBS).map(|number| json!({"id": format!("job-{number}"), "payload": number})).collect();
    app.post("/v1/queues/q/jobs/batch", json!({"jobs": jobs})).await.is(200);
    let leased = app.dequeue("q", json!({"limit": JOBS})).await.leased("q");
    let acks: Vec<_> = leased.iter().map(|job| json!({"id": job.id, "lease": job.lease})).collect();
    // All are on their way at once.
    app.post("/v1/queues/q/acks", json!({"acks": acks})).await.is(200);
    let archived = app.until_archived("q", JOBS).await;
    let mut payloads: Vec<_> = archived.iter().filter_map(|job| job["payload"].as_u64()).collect();
    payloads.sort_unstable();
    assert_eq!(payloads, (0..JOBS as u64).collect::<Vec<_>>());
    until_waiting(&app, "q", 0).await;
    assert_eq!(database.rows().await, JOBS as i64);
}

#[tokio::test]
async fn many_are_written_in_statements_of_a_few_to_sqlite() {
    many_are_written_in_statements_of_a_few(Database::sqlite()).await;
}

#[tokio::test]
async fn many_are_written_in_statements_of_a_few_to_postgres() {
    many_are_written_in_statements_of_a_few(Database::postgres().await).await;
}

#[tokio::test]
async fn the_oldest_makes_room_where_the_settings_say_so() {
    let directory = TempDir::new().expect("a directory");
    let (url, path) = away(&directory);
    let settings = [("archive_outbox_max", "2"), ("archive_when_full", "drop-oldest")];
    let app = settings.into_iter().fold(with_archive(&url), |app, (name, value)| app.set(name, value)).spawn().await;
    for id in ["a", "b", "c", "d", "e"] {
        app.complete("q", id).await;
    }
    // The retention does not wait: what is not in the archive may go.
    app.advance(LONG);
    app.until_count("q", "completed", 0).await;
    arrive(&path);
    let archived = app.until_archived("q", 2).await;
    let mut ids: Vec<&str> = archived.iter().filter_map(|job| job["id"].as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["d", "e"]);
    let counted = async || app.get("/metrics").await.text().contains("dropped_total{queue=\"q\"} 3\n").then_some(());
    eventually("three are counted as dropped", counted).await;
    let metrics = app.scrape().await;
    assert_eq!(metrics.sum("ranq_archive_rows_total", &[]), Some(2.0));
}

#[tokio::test]
async fn what_was_deleted_with_its_queue_meanwhile_arrives_all_the_same() {
    let directory = TempDir::new().expect("a directory");
    let (url, path) = away(&directory);
    let app = with_archive(&url).spawn().await;
    app.complete("gone", "b").await;
    app.delete("/v1/queues/gone").await.is(204);
    arrive(&path);
    app.until_archived("gone", 1).await;
    assert_eq!(app.job("gone", "b").await.is(200)["state"], "completed");
    let unlisted = async || {
        let listed: bool = redis::cmd("EXISTS").arg("ranq:archiving").query(&mut app.redis()).expect("EXISTS works");
        (!listed).then_some(())
    };
    eventually("the deleted queue is looked at no more", unlisted).await;
}

#[tokio::test]
async fn a_job_that_ends_again_has_its_last_end() {
    let directory = TempDir::new().expect("a directory");
    let (url, path) = away(&directory);
    let app = with_archive(&url).set("archive_outbox_max", "3").spawn().await;
    // The first end of `a` is on its way when it is tried again, that of `b` still waits for its place.
    for id in ["a", "other", "another", "b"] {
        app.enqueue_as("q", id).await;
        let leased = app.lease_one("q").await;
        app.nack(&leased, json!({"dead": true, "error": "no"})).await.is(200);
    }
    app.advance(Duration::from_millis(5));
    for id in ["a", "b"] {
        app.post(format!("/v1/queues/q/jobs/{id}/retry"), json!({})).await.is(200);
        let leased = app.lease_one("q").await;
        app.ack(&leased).await.is(200);
    }
    arrive(&path);
    let archived = app.until_archived("q", 4).await;
    let state = |id: &str| archived.iter().find(|job| job["id"] == id).map(|job| job["state"].clone());
    assert_eq!((state("a"), state("b")), (Some(json!("completed")), Some(json!("completed"))));
    assert_eq!((state("other"), state("another")), (Some(json!("dead")), Some(json!("dead"))));
    // And again, now that it is there.
    app.post("/v1/queues/q/jobs/other/retry", json!({})).await.is(200);
    app.delete("/v1/queues/q/jobs/other").await.is(204);
    let ends = async || {
        let jobs = app.history("q", "state=cancelled").await.is(200);
        (jobs.jobs().len() == 1).then_some(())
    };
    eventually("the last end arrives", ends).await;
}
