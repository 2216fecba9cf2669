//! The two databases, behind one set of verbs.

use std::str::FromStr as _;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, PgPool, QueryBuilder, SqlitePool};
use tokio::sync::OnceCell;

use super::row::IS_FINISHED;
use super::{Row, migrate};
use crate::config::ArchiveTarget;
use crate::error::{Error, Result};
use crate::types::{JobId, QueueName, Raw};

const MOST_CONNECTIONS: u32 = 4;
/// How long a connection is waited for, and how long a writer of SQLite for another one.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a statement may take, the wait for its connection included.
const DEADLINE: Duration = Duration::from_secs(10);

/// A database with finished jobs and scores.
pub(super) struct Sink {
    pub(super) pool: Pool,
    /// What the keys of the service begin with.
    pub(super) prefix: String,
    migrated: OnceCell<()>,
}

pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// The same for either database: their statements are written alike.
macro_rules! on {
    ($pool:expr, $name:ident => $what:expr) => {
        match $pool {
            Pool::Sqlite($name) => $what,
            Pool::Postgres($name) => $what,
        }
    };
}
pub(super) use on;

/// Executes what `insert` makes of each part, several parts in one transaction; gives how many rows are new or other.
macro_rules! insert_all {
    ($pool:expr, $parts:expr, $insert:expr) => {{
        let (mut parts, mut written) = ($parts, 0);
        if parts.len() == 1 {
            // As many texts as there are sizes of batches: none is kept.
            written = match parts.next() {
                Some(part) => $insert(part).build().persistent(false).execute($pool).await?.rows_affected(),
                None => 0,
            };
        } else {
            let mut transaction = $pool.begin().await?;
            for part in parts {
                let mut statement = $insert(part);
                written += statement.build().persistent(false).execute(&mut *transaction).await?.rows_affected();
            }
            transaction.commit().await?;
        }
        Ok(written)
    }};
}
pub(super) use insert_all;

impl Sink {
    pub(super) fn open(target: &ArchiveTarget, prefix: &str) -> std::result::Result<Self, String> {
        let pool = match target {
            ArchiveTarget::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .journal_mode(SqliteJournalMode::Wal)
                    // What is written is taken out of Redis: it must be on the disk by then.
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(PATIENCE)
                    .disable_statement_logging();
                let pool = SqlitePoolOptions::new().max_connections(MOST_CONNECTIONS).acquire_timeout(PATIENCE);
                Pool::Sqlite(pool.connect_lazy_with(options))
            }
            ArchiveTarget::Postgres(url) => {
                let options = PgConnectOptions::from_str(url.expose_secret())
                    .map_err(|_| "its URL cannot be read".to_owned())?
                    .options([("statement_timeout", DEADLINE.as_millis().to_string())])
                    .disable_statement_logging();
                let pool = PgPoolOptions::new().max_connections(MOST_CONNECTIONS).acquire_timeout(PATIENCE);
                Pool::Postgres(pool.connect_lazy_with(options))
            }
        };
        Ok(Self { pool, prefix: prefix.to_owned(), migrated: OnceCell::new() })
    }

    /// Does something with the database as this version knows it.
    pub(super) async fn ask<T>(&self, what: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
        self.ask_within(DEADLINE, what).await
    }

    /// The same within another time.
    pub(super) async fn ask_within<T>(
        &self,
        deadline: Duration,
        what: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T> {
        let asked = async {
            let migrate = async || match &self.pool {
                Pool::Sqlite(pool) => migrate::sqlite(pool).await,
                Pool::Postgres(pool) => migrate::postgres(pool).await,
            };
            self.migrated.get_or_try_init(migrate).await?;
            what.await
        };
        match tokio::time::timeout(deadline, asked).await {
            Ok(answer) => answer.map_err(|error| unavailable(&error)),
            Err(_) => Err(unavailable(&sqlx::Error::PoolTimedOut)),
        }
    }

    /// How a read begins that sees what stands at one time.
    pub(super) fn snapshot(&self) -> &'static str {
        match &self.pool {
            Pool::Sqlite(_) => "BEGIN",
            Pool::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    pub(super) async fn close(&self) {
        on!(&self.pool, pool => pool.close().await);
    }

    /// Writes rows, `at_once` in a statement. Several statements are one transaction.
    pub(super) async fn write(&self, rows: &[Row], at_once: usize) -> Result<u64> {
        self.ask(async {
            on!(&self.pool, pool => {
                let insert = |rows| {
                    let mut statement = QueryBuilder::new(
                        "INSERT INTO ranq_jobs (prefix, queue, id, version, state, enqueued_at, started_at, finished_at, attempt, \
                         job_key, error, job) ",
                    );
                    statement.push_values(rows, |mut values, row: &Row| {
                        values
                            .push_bind(&self.prefix)
                            .push_bind(&row.queue)
                            .push_bind(&row.id)
                            .push_bind(row.version)
                            .push_bind(row.state)
                            .push_bind(row.enqueued_at)
                            .push_bind(row.started_at)
                            .push_bind(row.finished_at)
                            .push_bind(row.attempt)
                            .push_bind(&row.key)
                            .push_bind(&row.error)
                            .push_bind(&row.job);
                    });
                    // A row that comes again, or late, changes nothing.
                    statement.push(
                        " ON CONFLICT (prefix, queue, id) DO UPDATE SET version = excluded.version, state = excluded.state, \
                         enqueued_at = excluded.enqueued_at, started_at = excluded.started_at, finished_at = excluded.finished_at, \
                         attempt = excluded.attempt, job_key = excluded.job_key, error = excluded.error, job = excluded.job \
                         WHERE excluded.version > ranq_jobs.version",
                    );
                    statement
                };
                insert_all!(pool, rows.chunks(at_once), insert)
            })
        })
        .await
    }

    pub(super) async fn job(&self, queue: &QueueName, id: &JobId) -> Result<Option<Raw>> {
        const JOB: &str = "SELECT job FROM ranq_jobs WHERE prefix = $1 AND queue = $2 AND id = $3";
        let text: Option<String> = self
            .ask(async {
                on!(&self.pool, pool => {
                    let query = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("{JOB}{IS_FINISHED}"))).bind(&self.prefix).bind(queue.as_str()).bind(id.as_str());
                    query.fetch_optional(pool).await
                })
            })
            .await?;
        text.map(read_job).transpose()
    }
}

/// Reads back the JSON of a job.
pub(super) fn read_job(text: String) -> Result<Raw> {
    Raw::from_stored(text).ok_or_else(|| Error::Internal("an archived job is no JSON".to_owned()))
}

/// What clients are told, and what the log is.
fn unavailable(error: &sqlx::Error) -> Error {
    let told = match error {
        sqlx::Error::PoolTimedOut => "the archive does not answer in time",
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) => "the archive cannot be reached",
        _ => "the archive does not take requests now",
    };
    Error::ArchiveUnavailable { told, cause: error.to_string() }
}
