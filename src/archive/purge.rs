//! What leaves the archive: on request, and by its age.

use std::time::{Duration, Instant};

use sqlx::QueryBuilder;

use super::Parts;
use super::row::IS_FINISHED;
use super::sink::{Pool, Sink, on};
use crate::error::{Error, Result};
use crate::queue::State;
use crate::types::{JobId, Member, QueueName, Timestamp};

/// The most rows that go in one statement: the writer waits for no more.
pub(super) const ROWS_AT_ONCE: usize = 1000;
/// Names that are looked through for old rows in one statement.
pub(super) const NAMES_AT_ONCE: usize = 100;
/// After so long a request is answered, and may be made again for the rest.
const REQUEST_LASTS: Duration = Duration::from_secs(4);

/// Which archived jobs of a queue are to go.
#[derive(Debug, Clone, Copy)]
pub struct Purge {
    /// Those that finished before.
    pub before: Timestamp,
    /// Only those in this state.
    pub state: Option<State>,
}

/// What a purge did.
#[derive(Debug, Default)]
pub struct Purged {
    /// How many jobs are gone.
    pub deleted: u64,
    /// Whether there may be more.
    pub more: bool,
}

/// A table whose rows go when they are old.
#[derive(Debug)]
pub(super) struct Ageing {
    pub(super) table: &'static str,
    /// The column of names that stands before the time in an index, so that nothing is looked through.
    pub(super) names: &'static str,
    /// The column of the time.
    pub(super) time: &'static str,
    /// Units of the time in a millisecond.
    pub(super) per_ms: i64,
    /// A further condition, of an index that has these rows alone; and how long they are kept, whatever the settings say.
    pub(super) only: Option<(&'static str, Duration)>,
}

impl Ageing {
    fn condition(&self) -> &'static str {
        self.only.map_or("", |(condition, _)| condition)
    }
}

/// A table with what is known of members.
pub(super) struct OfMembers {
    table: &'static str,
    /// The column of the member.
    member: &'static str,
    /// The column of the time.
    time: &'static str,
    /// Units of the time in a millisecond.
    per_ms: i64,
}

/// The tables that a member is removed from on request.
const OF_MEMBERS: [OfMembers; 1] = [OfMembers { table: "ranq_history", member: "member", time: "at_us", per_ms: 1000 }];

impl Parts {
    pub(super) async fn purge(&self, queue: &QueueName, what: Purge) -> Result<Purged> {
        let until = Instant::now() + REQUEST_LASTS;
        let mut purged = Purged::default();
        loop {
            let ids = match self.sink.purge(queue, what).await {
                Ok(ids) => ids,
                // What is gone is told; the same request goes on.
                Err(_) if purged.deleted > 0 => return Ok(Purged { more: true, ..purged }),
                Err(error) => return Err(error),
            };
            self.metrics.archive_purged(ids.len() as u64);
            purged.deleted += ids.len() as u64;
            purged.more = ids.len() == ROWS_AT_ONCE;
            // Behind the deletion: who reads at the moment may have read what was there before, and keeps nothing.
            self.forget_jobs(queue, &ids.iter().collect::<Vec<_>>()).await?;
            if !purged.more || Instant::now() >= until {
                return Ok(purged);
            }
        }
    }
}

impl Sink {
    /// The beginning and the end of the deletion of some rows of this service, whose prefix comes in between. They are told by their
    /// places in the table.
    fn deletion(&self, table: &str) -> (String, String) {
        let (place, begin, end) = match &self.pool {
            Pool::Sqlite(_) => ("rowid", "IN (", ")"),
            // As an array, so that they are looked up and not joined. A row that is written meanwhile has another place, and stays.
            Pool::Postgres(_) => ("ctid", "= ANY(ARRAY(", "))"),
        };
        let head = format!("DELETE FROM {table} WHERE {place} {begin}SELECT {place} FROM {table} WHERE prefix = ");
        (head, format!(" LIMIT {ROWS_AT_ONCE}{end}"))
    }

    /// Deletes some of the jobs that are to go; gives their ids.
    async fn purge(&self, queue: &QueueName, what: Purge) -> Result<Vec<JobId>> {
        let (head, tail) = self.deletion("ranq_jobs");
        let ids: Vec<String> = self
            .ask(async {
                on!(&self.pool, pool => {
                    let mut query = QueryBuilder::new(head);
                    query.push_bind(&self.prefix).push(" AND queue = ").push_bind(queue.as_str());
                    query.push(" AND finished_at < ").push_bind(what.before.as_millis());
                    match what.state {
                        Some(state) => query.push(" AND state = ").push_bind(state.name()),
                        None => query.push(IS_FINISHED),
                    };
                    query.push(" ORDER BY finished_at").push(tail).push(" RETURNING id");
                    query.build_query_scalar::<String>().fetch_all(pool).await
                })
            })
            .await?;
        let id =
            |text| JobId::try_from(text).map_err(|_| Error::Internal("an archived job has a strange id".to_owned()));
        ids.into_iter().map(id).collect()
    }

    /// Deletes what is kept of a member from before; gives how many rows.
    pub(super) async fn forget_member(&self, member: &Member, before: Timestamp) -> Result<u64> {
        self.forget_member_in(&OF_MEMBERS, member, before).await
    }

    async fn forget_member_in(&self, tables: &[OfMembers], member: &Member, before: Timestamp) -> Result<u64> {
        // Where there are none, it is known all the same that the archive is there.
        let mut deleted = self.ask(async { Ok(0) }).await?;
        for OfMembers { table, member: column, time, per_ms } in tables {
            loop {
                let (head, tail) = self.deletion(table);
                let rows = self.ask(async {
                    on!(&self.pool, pool => {
                        let mut query = QueryBuilder::new(head);
                        query.push_bind(&self.prefix).push(format!(" AND {column} = ")).push_bind(member.as_str());
                        query.push(format!(" AND {time} < ")).push_bind(before.as_millis().saturating_mul(*per_ms));
                        query.push(tail);
                        Ok(query.build().execute(pool).await?.rows_affected())
                    })
                });
                let rows = rows.await?;
                deleted += rows;
                if rows < ROWS_AT_ONCE as u64 {
                    break;
                }
            }
        }
        Ok(deleted)
    }

    /// The names after `after` under which a table has rows; the first ones without it.
    pub(super) async fn names(&self, ageing: &Ageing, after: Option<&str>) -> Result<Vec<String>> {
        let Ageing { table, names, .. } = ageing;
        let only = ageing.condition();
        // A look into the index for each name, and not one at each row.
        let next =
            |beyond: &str| format!("SELECT MIN({names}) FROM {table} WHERE prefix = $1{only} AND {names} {beyond}");
        // A name may be empty.
        let first = if after.is_some() { "> $2" } else { ">= $2" };
        let text = format!(
            "WITH RECURSIVE found(name) AS ({} UNION ALL SELECT ({}) FROM found WHERE name IS NOT NULL) \
             SELECT name FROM found WHERE name IS NOT NULL LIMIT {NAMES_AT_ONCE}",
            next(first),
            next("> found.name"),
        );
        self.ask(async {
            on!(&self.pool, pool => {
                sqlx::query_scalar(sqlx::AssertSqlSafe(text)).bind(&self.prefix).bind(after.unwrap_or_default()).fetch_all(pool).await
            })
        })
        .await
    }

    /// Deletes some of the rows under these names that are older; gives how many.
    pub(super) async fn age_out(&self, ageing: &Ageing, names: &[String], before: Timestamp) -> Result<u64> {
        let Ageing { table, names: column, time, per_ms, .. } = ageing;
        let only = ageing.condition();
        let (head, tail) = self.deletion(table);
        self.ask(async {
            on!(&self.pool, pool => {
                let mut query = QueryBuilder::new(head);
                query.push_bind(&self.prefix).push(format!("{only} AND {column} IN ("));
                let mut list = query.separated(", ");
                for name in names {
                    list.push_bind(name);
                }
                query.push(format!(") AND {time} < ")).push_bind(before.as_millis().saturating_mul(*per_ms));
                query.push(tail);
                // As many texts as there are lengths of the list: none is kept.
                Ok(query.build().persistent(false).execute(pool).await?.rows_affected())
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use sqlx::SqlitePool;

    use super::*;
    use crate::config::ArchiveTarget;

    const NOTES: [OfMembers; 1] = [OfMembers { table: "notes", member: "whose", time: "at_us", per_ms: 1000 }];
    const ROWS: &str = "CREATE TABLE notes (prefix TEXT, whose TEXT, at_us BIGINT);
        WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2500)
        INSERT INTO notes SELECT 'ranq', 'ann', n FROM numbers;
        INSERT INTO notes VALUES ('ranq', 'ann', 3000), ('ranq', 'anna', 1), ('other', 'ann', 1);";

    async fn left(pool: &SqlitePool) -> Vec<String> {
        let rows = sqlx::query_scalar("SELECT prefix || ' ' || whose || ' ' || at_us FROM notes ORDER BY 1");
        rows.fetch_all(pool).await.expect("rows")
    }

    #[tokio::test]
    async fn what_is_known_of_a_member_goes_up_to_a_time() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let sink = Sink::open(&ArchiveTarget::Sqlite(directory.path().join("jobs.db")), "ranq").expect("a target");
        sink.ask(async { Ok(()) }).await.expect("it is there");
        let Pool::Sqlite(pool) = &sink.pool else { panic!("it is no file") };
        sqlx::raw_sql(ROWS).execute(pool).await.expect("rows");
        let ann = Member::try_from("ann".to_owned()).expect("a member");
        let before = Timestamp::from_millis(3);
        assert_eq!(sink.forget_member_in(&NOTES, &ann, before).await.expect("they go"), 2500);
        assert_eq!(left(pool).await, ["other ann 1", "ranq ann 3000", "ranq anna 1"]);
        assert_eq!(sink.forget_member_in(&NOTES, &ann, before).await.expect("none"), 0);
    }
}
