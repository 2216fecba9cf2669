//! Finished jobs and scores in the archive: on their way, there, and read back.

mod faults;
mod history;
mod outbox;
mod periods;
mod purge;
mod reads;
mod scores;
mod withdrawn;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Answer, Options, Postgres, TestApp, eventually};

/// Longer than anything is kept by default.
const LONG: Duration = Duration::from_secs(60 * 86_400);

/// A database for an archive.
enum Database {
    Sqlite(TempDir),
    Postgres(Box<Postgres>),
}

impl Database {
    fn sqlite() -> Self {
        Self::Sqlite(TempDir::new().expect("a directory"))
    }

    async fn postgres() -> Self {
        Self::Postgres(Box::new(Postgres::spawn().await))
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(directory) => format!("sqlite:{}", file(directory.path()).display()),
            Self::Postgres(server) => server.url(),
        }
    }

    /// How many finished jobs there are; none while there is no table.
    async fn rows(&self) -> i64 {
        self.count("SELECT COUNT(*) FROM ranq_jobs").await
    }

    /// How many events of members there are, likewise.
    async fn events(&self) -> i64 {
        self.count("SELECT COUNT(*) FROM ranq_history").await
    }

    /// What a query counts; none while there is no table.
    async fn count(&self, query: &'static str) -> i64 {
        let counted = match self {
            Self::Sqlite(directory) => sqlx::query_scalar(query).fetch_one(&sqlite(directory)).await,
            Self::Postgres(server) => sqlx::query_scalar(query).fetch_one(&server.pool().await).await,
        };
        counted.unwrap_or(0)
    }

    /// Changes it behind the back of the service.
    async fn change(&self, text: &'static str) {
        let changed = match self {
            Self::Sqlite(directory) => sqlx::raw_sql(text).execute(&sqlite(directory)).await.map(drop),
            Self::Postgres(server) => sqlx::raw_sql(text).execute(&server.pool().await).await.map(drop),
        };
        changed.expect("it is changed");
    }
}

fn sqlite(directory: &TempDir) -> sqlx::SqlitePool {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file(directory.path()));
    sqlx::SqlitePool::connect_lazy_with(options.busy_timeout(Duration::from_secs(10)))
}

/// The file of an archive that is kept beside other things.
fn file(directory: &Path) -> PathBuf {
    directory.join("jobs.db")
}

fn with_archive(url: &str) -> Options {
    TestApp::with().set("archive_url", url).set("archive_every_ms", "10")
}

/// An archive that cannot be reached until its directory is made.
fn away(directory: &TempDir) -> (String, PathBuf) {
    let path = directory.path().join("later");
    (format!("sqlite:{}", file(&path).display()), path)
}

impl TestApp {
    async fn history(&self, queue: &str, query: &str) -> Answer {
        self.get(format!("/v1/queues/{queue}/history?{query}")).await
    }

    /// Waits until so many jobs of a queue are archived.
    async fn until_archived(&self, queue: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} jobs of {queue} are archived"), async || {
            let page = self.history(queue, "limit=1000").await;
            (page.status == 200 && page.jobs().len() == count).then(|| page.jobs().to_vec())
        })
        .await
    }

    /// Enqueues a job and completes it.
    async fn complete(&self, queue: &str, id: &str) {
        self.enqueue_as(queue, id).await;
        let leased = self.lease_one(queue).await;
        self.ack(&leased).await.is(200);
    }

    /// A job of each final state, with whatever a job may have; gives their ids.
    async fn finish_some(&self, queue: &str) -> [&'static str; 4] {
        let full = json!({"id": "full", "payload": {"to": "ann \u{0}", "n": 12345678901234567890_u64}, "key": "tenant-7",
            "unique_key": "only", "headers": {"trace": "1"}, "priority": 7, "expires_in_ms": 60000});
        self.enqueue_job(queue, full).await.is(201);
        let leased = self.lease_one(queue).await;
        self.nack(&leased, json!({"error": "refused: \u{0}100 %", "retry_in_ms": 0})).await.is(200);
        let leased = self.dequeue(queue, json!({"limit": 1, "worker": "w-1"})).await.leased(queue).remove(0);
        self.extend(&leased, json!({"progress": [1, 2]})).await.is(200);
        self.settle(&leased, "ack", json!({"result": {"sent": 1.50}})).await.is(200);
        self.complete(queue, "plain").await;
        self.enqueue_as(queue, "dead").await;
        let leased = self.lease_one(queue).await;
        self.nack(&leased, json!({"dead": true, "error": "never"})).await.is(200);
        self.enqueue_as(queue, "cancelled").await;
        self.delete(format!("/v1/queues/{queue}/jobs/cancelled")).await.is(204);
        ["full", "plain", "dead", "cancelled"]
    }
}

/// What has left Redis reads as it did there.
async fn jobs_read_back_the_same(database: Database) {
    let app = with_archive(&database.url()).spawn().await;
    app.create_queue("q", json!({})).await;
    let ids = app.finish_some("q").await;
    let mut live = Vec::new();
    for id in ids {
        let answer = app.job("q", id).await.is(200);
        assert_eq!(answer.header("cache-status"), "ranq; hit", "{id}");
        live.push(answer.text().to_owned());
    }
    app.until_archived("q", 4).await;
    app.advance(LONG);
    for (id, text) in ids.iter().zip(live) {
        let archived = eventually("the job has left Redis", async || {
            let answer = app.job("q", id).await.is(200);
            (answer.header("cache-status") == "ranq; fwd=miss").then_some(answer)
        })
        .await;
        assert_eq!(archived.text(), text);
    }
    assert_eq!(database.rows().await, 4);
    app.job("q", "never").await.is(404);
}

#[tokio::test]
async fn jobs_read_back_the_same_from_sqlite() {
    jobs_read_back_the_same(Database::sqlite()).await;
}

#[tokio::test]
async fn jobs_read_back_the_same_from_postgres() {
    jobs_read_back_the_same(Database::postgres().await).await;
}

#[tokio::test]
async fn without_an_archive_nothing_is_kept_for_one() {
    let app = TestApp::spawn().await;
    app.complete("q", "a").await;
    assert!(app.keys().iter().all(|key| !key.contains("archive")), "{:?}", app.keys());
    assert_eq!(app.job("q", "a").await.is(200).header("cache-status"), "");
    app.history("q", "").await.fails_with(409, "archive-off");
    app.job("q", "never").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn a_url_that_is_none_stops_the_start() {
    let refused = TestApp::with().set("archive_url", "mysql://x").try_spawn().await.err().expect("refused");
    assert!(refused.contains("`archive_url`"), "{refused}");
}

#[tokio::test]
async fn a_relative_path_is_one_in_the_data_directory() {
    let directory = TempDir::new().expect("a directory");
    let app = with_archive("sqlite:jobs.db").data_dir(directory.path()).spawn().await;
    app.complete("q", "a").await;
    app.until_archived("q", 1).await;
    let readable = std::fs::metadata(file(directory.path())).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(readable, 0o600);
}
