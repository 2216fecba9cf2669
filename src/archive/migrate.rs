//! The tables, brought to what this version knows. Two instances that start at once wait for each other.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sqlx::{Connection as _, PgPool, Postgres, Sqlite, SqlitePool, Transaction};

/// What was added to the tables, version by version.
const MIGRATIONS: [&str; 4] = [
    include_str!("migrations/1.sql"),
    include_str!("migrations/2.sql"),
    include_str!("migrations/3.sql"),
    include_str!("migrations/4.sql"),
];
/// The name of the lock in PostgreSQL: `ranq` in ASCII.
const LOCK: i64 = 0x7261_6e71;

const FORMAT_TABLE: &str = "CREATE TABLE IF NOT EXISTS ranq_format (version BIGINT NOT NULL)";
const FORMAT: &str = "SELECT COALESCE(MAX(version), 0) FROM ranq_format";
const NOTE_FORMAT: &str = "INSERT INTO ranq_format (version) VALUES ($1)";

macro_rules! migrate {
    ($name:ident, $database:ty) => {
        async fn $name(mut transaction: Transaction<'_, $database>) -> sqlx::Result<()> {
            sqlx::raw_sql(FORMAT_TABLE).execute(&mut *transaction).await?;
            let there: i64 = sqlx::query_scalar(FORMAT).fetch_one(&mut *transaction).await?;
            if usize::try_from(there).is_ok_and(|there| there > MIGRATIONS.len()) {
                return Err(sqlx::Error::Configuration("a newer version has written it".into()));
            }
            for (version, migration) in (1_i64..).zip(MIGRATIONS) {
                if version > there {
                    sqlx::raw_sql(migration).execute(&mut *transaction).await?;
                    sqlx::query(NOTE_FORMAT).bind(version).execute(&mut *transaction).await?;
                }
            }
            transaction.commit().await
        }
    };
}

migrate!(apply_sqlite, Sqlite);
migrate!(apply_postgres, Postgres);

/// Makes a file that only its owner reads, since jobs may carry secrets. Those that SQLite puts beside it are like it.
fn make_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

pub(super) async fn sqlite(pool: &SqlitePool) -> sqlx::Result<()> {
    make_private(pool.connect_options().get_filename())?;
    let mut connection = pool.acquire().await?;
    apply_sqlite(connection.begin_with("BEGIN IMMEDIATE").await?).await
}

pub(super) async fn postgres(pool: &PgPool) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    apply_postgres(transaction).await
}
