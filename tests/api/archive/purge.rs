//! What leaves the archive: on request, and by its age.

use std::time::Duration;

use serde_json::json;

use super::{Database, LONG, with_archive};
use crate::support::{Answer, TestApp, at, encoded, eventually, ids};

const DAY: Duration = Duration::from_secs(86_400);

/// Rows of many queues, more than are deleted and looked through at once; all finished in 2001.
const OLD_ROWS: &str = "
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2500)
    INSERT INTO ranq_jobs (prefix, queue, id, version, state, enqueued_at, finished_at, attempt, job)
    SELECT 'ranq', CASE WHEN n <= 250 THEN 'queue-' || n ELSE 'large' END, 'job-' || n, 1, 'completed', 1000000000000,
        1000000000000, 1, '{}' FROM numbers;";
/// Rows of queues before those, more than are looked through at once; they finish in 2100.
const FRESH_ROWS: &str = "
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 150)
    INSERT INTO ranq_jobs (prefix, queue, id, version, state, enqueued_at, finished_at, attempt, job)
    SELECT 'ranq', 'fresh-' || n, 'job', 1, 'completed', 1000000000000, 4102444800000, 1, '{}' FROM numbers;";
/// A row of another service.
const OTHER_ROW: &str = "
    INSERT INTO ranq_jobs (prefix, queue, id, version, state, enqueued_at, finished_at, attempt, job)
    VALUES ('other', 'large', 'job-1', 1, 'completed', 1000000000000, 1000000000000, 1, '{}');";

impl TestApp {
    async fn purge_history(&self, queue: &str, query: &str) -> Answer {
        self.delete(format!("/v1/queues/{queue}/history?{query}")).await
    }

    async fn left(&self, queue: &str) -> Vec<String> {
        let page = self.history(queue, "limit=1000").await.is(200);
        ids(page.jobs()).into_iter().map(str::to_owned).collect()
    }
}

async fn a_purge_deletes_what_it_names(database: Database) {
    let app = with_archive(&database.url()).spawn().await;
    app.create_queue("q", json!({"retention_ms": 864_000_000})).await;
    for (queue, id) in [("q", "a"), ("q", "b"), ("other", "a")] {
        app.complete(queue, id).await;
    }
    app.enqueue_as("q", "dead").await;
    let leased = app.lease_one("q").await;
    app.nack(&leased, json!({"dead": true, "error": "never"})).await.is(200);
    app.advance(DAY);
    app.complete("q", "late").await;
    app.until_archived("q", 4).await;
    app.until_archived("other", 1).await;

    let purge = async |queue: &str, query: String| app.purge_history(queue, &query).await.is(200).json().clone();
    let (noon, now) = (format!("before={}", encoded(&at(3_600_000))), format!("before={}", encoded(&at(86_400_000))));
    let deleted = |count: u64| json!({"deleted": count, "more": false});
    assert_eq!(purge("q", format!("before={}", encoded(&at(0)))).await, deleted(0), "what finished then stays");
    assert_eq!(purge("q", format!("{noon}&state=dead")).await, deleted(1));
    assert_eq!(app.left("q").await, ["late", "b", "a"]);
    assert_eq!(purge("q", now.clone()).await, deleted(2));
    assert_eq!((app.left("q").await, app.left("other").await), (vec!["late".to_owned()], vec!["a".to_owned()]));
    assert_eq!(purge("none", now.clone()).await, deleted(0));
    // What has not left Redis is still there.
    assert_eq!(app.job("q", "a").await.is(200).header("cache-status"), "ranq; hit");

    database.change(OLD_ROWS).await;
    database.change(OTHER_ROW).await;
    assert_eq!(purge("large", now).await, deleted(2250));
    assert_eq!(database.rows().await, 250 + 2 + 1);
    assert_eq!(app.scrape().await.sum("ranq_archive_purged_total", &[]), Some(2253.0));
}

#[tokio::test]
async fn a_purge_deletes_what_it_names_in_sqlite() {
    a_purge_deletes_what_it_names(Database::sqlite()).await;
}

#[tokio::test]
async fn a_purge_deletes_what_it_names_in_postgres() {
    a_purge_deletes_what_it_names(Database::postgres().await).await;
}

#[tokio::test]
async fn what_is_purged_is_not_read_any_more() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    app.complete("q", "a").await;
    app.until_archived("q", 1).await;
    app.advance(LONG);
    app.until_count("q", "completed", 0).await;
    app.job("q", "a").await.is(200);
    assert_eq!(app.job("q", "a").await.is(200).header("cache-status"), "ranq; hit; detail=archived");
    // Somebody reads it at the moment, and keeps it only if this still stands.
    let reader = "ranq:{archive:q}:reader:a";
    redis::cmd("SET").arg(reader).arg("another").arg("PX").arg(60_000).exec(&mut app.redis()).expect("SET works");
    let before = encoded(&at(LONG.as_millis().try_into().expect("a time")));
    app.purge_history("q", &format!("before={before}")).await.is(200);
    assert!(!app.keys().contains(&reader.to_owned()), "{:?}", app.keys());
    app.job("q", "a").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn what_is_no_purge_is_refused_and_one_without_archive() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    app.complete("q", "a").await;
    app.until_archived("q", 1).await;
    for (query, parameter) in [
        ("", "before"),
        ("state=dead", "before"),
        ("before=yesterday", "before"),
        ("before=2030-01-01T00:00:00Z&state=ready", "state"),
        ("before=2030-01-01T00:00:00Z&limit=1", "limit"),
    ] {
        app.purge_history("q", query).await.fails_with(422, "invalid").fails_at(&[parameter]);
    }
    assert_eq!(app.left("q").await, ["a"]);
    let without = TestApp::spawn().await;
    without.purge_history("q", "before=2030-01-01T00:00:00Z").await.fails_with(409, "archive-off");
}

async fn what_is_old_goes_by_itself(database: Database) {
    let app = with_archive(&database.url()).set("archive_retention_ms", "86400000").spawn().await;
    app.complete("q", "a").await;
    app.complete("q", "b").await;
    app.until_archived("q", 2).await;
    app.put("/v1/bans/ann", json!({})).await.is(201);
    eventually("the ban is archived", async || (database.events().await == 1).then_some(())).await;
    app.advance(DAY);
    app.complete("q", "late").await;
    app.until_archived("q", 3).await;
    for rows in [FRESH_ROWS, OLD_ROWS, OTHER_ROW] {
        database.change(rows).await;
    }
    eventually("what is old has gone", async || (database.rows().await == 150 + 4).then_some(())).await;
    assert_eq!(app.left("q").await, ["late", "b", "a"], "what is a day old is not older");
    app.advance(Duration::from_millis(1));
    eventually("the next ones have gone", async || (app.left("q").await == ["late"]).then_some(())).await;
    eventually("the ban has gone", async || (database.events().await == 0).then_some(())).await;
    assert_eq!(app.scrape().await.sum("ranq_archive_purged_total", &[]), Some(2503.0));
}

#[tokio::test]
async fn what_is_old_goes_by_itself_from_sqlite() {
    what_is_old_goes_by_itself(Database::sqlite()).await;
}

#[tokio::test]
async fn what_is_old_goes_by_itself_from_postgres() {
    what_is_old_goes_by_itself(Database::postgres().await).await;
}
