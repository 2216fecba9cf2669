//! Jobs that were read lately are kept in Redis, and are never older than the archive.

use futures_util::future::join_all;
use serde_json::json;

use super::{Database, LONG, with_archive};
use crate::support::{OwnRedis, TestApp, eventually};

const MISS: &str = "ranq; fwd=miss";
const HIT: &str = "ranq; hit; detail=archived";

impl TestApp {
    /// Enqueues a job, completes it, and waits until it has left Redis, without a read of it.
    async fn complete_and_leave(&self, queue: &str, id: &str) {
        let rows = self.history(queue, "limit=1000").await.is(200).jobs().len();
        self.complete(queue, id).await;
        // One that was there before has one row all the same.
        eventually("the job is archived", async || {
            let page = self.history(queue, "limit=1000").await.is(200);
            let waiting = self.scrape().await.sum("ranq_archive_waiting", &[("queue", queue)]);
            (page.jobs().len() >= rows && waiting == Some(0.0)).then_some(())
        })
        .await;
        self.advance(LONG);
        self.until_count(queue, "completed", 0).await;
    }

    async fn reads_of(&self, source: &str) -> f64 {
        self.scrape().await.sum("ranq_archive_reads_total", &[("source", source)]).unwrap_or(0.0)
    }
}

#[tokio::test]
async fn the_second_read_does_not_ask_the_database() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    app.complete_and_leave("q", "a").await;
    let first = app.job("q", "a").await.is(200);
    let second = app.job("q", "a").await.is(200);
    assert_eq!((first.header("cache-status"), second.header("cache-status")), (MISS, HIT));
    assert_eq!(first.text(), second.text());
    app.job("q", "never").await.is(404);
    app.job("q", "never").await.is(404);
    assert_eq!((app.reads_of("database").await, app.reads_of("cache").await), (2.0, 2.0));
}

#[tokio::test]
async fn a_job_that_is_written_anew_is_read_anew() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    app.complete_and_leave("q", "a").await;
    let first = app.job("q", "a").await.is(200);
    app.job("q", "b").await.is(404);
    app.complete_and_leave("q", "a").await;
    app.complete_and_leave("q", "b").await;
    let again = app.job("q", "a").await.is(200);
    assert!(again["finished_at"].as_str() > first["finished_at"].as_str(), "{}", again.text());
    assert_eq!(again.header("cache-status"), MISS);
    app.job("q", "b").await.is(200);
}

#[tokio::test]
async fn one_reader_of_all_instances_asks_the_database() {
    let (database, redis) = (Database::sqlite(), OwnRedis::spawn().await);
    let app = async || with_archive(&database.url()).redis_url(&redis.url()).spawn().await;
    let (one, other) = (app().await, app().await);
    one.complete("q", "a").await;
    one.until_archived("q", 1).await;
    one.advance(LONG);
    other.advance(LONG);
    one.until_count("q", "completed", 0).await;
    let reads = (0..40).map(|number| if number % 2 == 0 { &one } else { &other }).map(|app| app.job("q", "a"));
    assert!(join_all(reads).await.iter().all(|answer| answer.status == 200));
    assert_eq!(one.reads_of("database").await + other.reads_of("database").await, 1.0);
}

#[tokio::test]
async fn nothing_is_kept_where_the_settings_say_so() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).set("archive_cache_ms", "0").spawn().await;
    app.complete_and_leave("q", "a").await;
    for _ in 0..2 {
        assert_eq!(app.job("q", "a").await.is(200).header("cache-status"), MISS);
    }
    // One that is large is not kept either.
    let app = with_archive(&database.url()).spawn().await;
    app.enqueue_job("large", json!({"id": "a", "payload": "x".repeat(70_000)})).await.is(201);
    let leased = app.lease_one("large").await;
    app.ack(&leased).await.is(200);
    app.until_archived("large", 1).await;
    app.advance(LONG);
    app.until_count("large", "completed", 0).await;
    for _ in 0..2 {
        assert_eq!(app.job("large", "a").await.is(200).header("cache-status"), MISS);
    }
}

#[tokio::test]
async fn a_job_keeps_its_tag_when_it_leaves_redis_and_a_known_one_gives_304() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    app.complete("q", "a").await;
    let tag = app.job("q", "a").await.is(200).header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let known = async |target: &str, tag: &str| app.request("GET", target).header("if-none-match", tag).send().await;
    let job = "/v1/queues/q/jobs/a";
    assert_eq!(known(job, &tag).await.is(304).header("cache-status"), "ranq; hit");
    app.until_archived("q", 1).await;
    app.advance(LONG);
    app.until_count("q", "completed", 0).await;
    for status in [MISS, HIT] {
        let same = known(job, &tag).await.is(304);
        assert_eq!((same.header("cache-status"), same.header("etag")), (status, &*tag));
    }
    known(job, "W/\"other\"").await.is(200);

    let page = "/v1/queues/q/history?limit=1";
    let tag = app.get(page).await.is(200).header("etag").to_owned();
    known(page, &tag).await.is(304);
    app.complete("q", "b").await;
    app.until_archived("q", 2).await;
    known(page, &tag).await.is(200);
}
