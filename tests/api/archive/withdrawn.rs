//! Finished jobs that are deleted leave the archive as well, and queues that stay out of it.

use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::outbox::{arrive, until_waiting};
use super::{Database, LONG, away, with_archive};
use crate::support::{TestApp, eventually};

impl TestApp {
    /// Waits until the archive knows what was deleted.
    async fn until_withdrawn(&self, queue: &str) {
        let mark = format!("ranq:{{q:{queue}}}:withdrawn");
        let known = async || (!self.keys().contains(&mark)).then_some(());
        eventually("the archive knows", known).await;
    }

    async fn delete_jobs(&self, queue: &str, state: &str) -> u64 {
        let deleted = self.delete(format!("/v1/queues/{queue}/jobs?state={state}")).await.is(200);
        deleted["deleted"].as_u64().expect("a number")
    }
}

async fn what_is_deleted_leaves_the_archive(database: Database) {
    let app = with_archive(&database.url()).spawn().await;
    let ids = app.finish_some("q").await;
    app.complete("other", "plain").await;
    app.until_archived("q", 4).await;
    app.until_archived("other", 1).await;
    for (state, gone) in [("completed", 2), ("dead", 3), ("cancelled", 4)] {
        app.delete_jobs("q", state).await;
        // At once, though the archive may not have heard of it.
        for id in &ids[..gone] {
            app.job("q", id).await.fails_with(404, "not-found");
        }
    }
    app.until_archived("q", 0).await;
    app.until_withdrawn("q").await;
    for id in ids {
        app.job("q", id).await.fails_with(404, "not-found");
    }
    assert_eq!(app.history("other", "").await.is(200).jobs().len(), 1, "jobs of other queues stay");
    // A job with its id is another one.
    app.complete("q", "plain").await;
    app.until_archived("q", 1).await;
    app.advance(LONG);
    app.until_count("q", "completed", 0).await;
    assert_eq!(app.job("q", "plain").await.is(200)["state"], "completed");

    // What stands for them goes in time, and counts for nothing until then.
    let before = "before=2100-01-01T00:00:00Z";
    let purged = app.delete(format!("/v1/queues/q/history?{before}")).await.is(200);
    assert_eq!(purged.json(), &json!({"deleted": 1, "more": false}));
    eventually("nothing stands for them", async || (database.rows().await == 1).then_some(())).await;
    assert_eq!(app.scrape().await.sum("ranq_archive_purged_total", &[]), Some(1.0));
}

#[tokio::test]
async fn what_is_deleted_leaves_the_archive_in_sqlite() {
    what_is_deleted_leaves_the_archive(Database::sqlite()).await;
}

#[tokio::test]
async fn what_is_deleted_leaves_the_archive_in_postgres() {
    what_is_deleted_leaves_the_archive(Database::postgres().await).await;
}

#[tokio::test]
async fn what_was_read_lately_is_forgotten_when_it_is_deleted() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    app.create_queue("q", json!({"retention_ms": 1000})).await;
    app.complete("q", "a").await;
    app.until_archived("q", 1).await;
    app.advance(Duration::from_secs(2));
    app.until_count("q", "completed", 0).await;
    app.job("q", "a").await.is(200);
    assert_eq!(app.job("q", "a").await.is(200).header("cache-status"), "ranq; hit; detail=archived");
    // Another job with its id is deleted: neither is found.
    app.complete("q", "a").await;
    assert_eq!(app.delete_jobs("q", "completed").await, 1);
    app.job("q", "a").await.fails_with(404, "not-found");
    app.until_withdrawn("q").await;
    app.job("q", "a").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn what_is_deleted_while_the_archive_is_away_is_gone_all_the_same() {
    let directory = TempDir::new().expect("a directory");
    let (url, path) = away(&directory);
    // Room for one: the others wait in their queue, and what they leave behind finds room.
    let app = with_archive(&url).set("archive_outbox_max", "1").spawn().await;
    for id in ["a", "b", "c"] {
        app.complete("q", id).await;
    }
    assert_eq!(app.delete_jobs("q", "completed").await, 3);
    for id in ["a", "b", "c"] {
        app.job("q", id).await.fails_with(404, "not-found");
    }
    app.job("q", "never").await.fails_with(503, "archive-unavailable");
    app.complete("q", "later").await;
    arrive(&path);
    let archived = app.until_archived("q", 1).await;
    assert_eq!(archived[0]["id"], "later");
    app.until_withdrawn("q").await;
    app.job("q", "a").await.fails_with(404, "not-found");
    until_waiting(&app, "q", 0).await;
}

#[tokio::test]
async fn many_are_deleted_and_leave_the_archive() {
    const JOBS: usize = 2500;
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    app.create_queue("q", json!({})).await;
    for part in 0..JOBS / 500 {
        let jobs: Vec<_> = (0..500).map(|number| json!({"id": format!("job-{part}-{number}"), "payload": 1})).collect();
        app.post("/v1/queues/q/jobs/batch", json!({"jobs": jobs})).await.is(200);
        for _ in 0..5 {
            let leased = app.dequeue("q", json!({"limit": 100})).await.leased("q");
            let acks: Vec<_> = leased.iter().map(|job| json!({"id": job.id, "lease": job.lease})).collect();
            app.post("/v1/queues/q/acks", json!({"acks": acks})).await.is(200);
        }
    }
    eventually("all are archived", async || (database.rows().await == 2500).then_some(())).await;
    assert_eq!(app.delete_jobs("q", "completed").await, 2500);
    app.job("q", "job-4-499").await.fails_with(404, "not-found");
    app.until_withdrawn("q").await;
    app.until_archived("q", 0).await;
}

#[tokio::test]
async fn a_queue_may_stay_out_of_the_archive() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    let kept_out = json!({"archive": false, "retention_ms": 0, "dead_retention_ms": 0});
    let created = app.create_queue("private", kept_out).await;
    assert_eq!(created["settings"]["archive"], false);
    app.create_queue("q", json!({})).await;
    for queue in ["private", "q"] {
        for id in app.finish_some(queue).await {
            app.job(queue, id).await.is(if queue == "q" { 200 } else { 404 });
        }
    }
    app.until_archived("q", 4).await;
    until_waiting(&app, "private", 0).await;
    assert_eq!(database.rows().await, 4);
    // What it has from now on is archived.
    let settings = app.put("/v1/queues/private", json!({"archive": true, "retention_ms": 0})).await.is(200);
    assert_eq!(settings["settings"]["archive"], true);
    app.complete("private", "known").await;
    app.until_archived("private", 1).await;
    // And again not, which leaves what is there.
    app.put("/v1/queues/private", json!({"archive": false})).await.is(200);
    app.complete("private", "unknown").await;
    app.complete("q", "last").await;
    app.until_archived("q", 5).await;
    assert_eq!(app.history("private", "").await.is(200).jobs().len(), 1);
    app.put("/v1/queues/private", json!({"archive": "no"})).await.fails_with(422, "invalid").fails_at(&["/archive"]);
}
