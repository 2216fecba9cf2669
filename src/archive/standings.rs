//! Archived periods in the database: written whole, read from any place, and changed where a member goes.

use std::time::Duration;

use sqlx::QueryBuilder;

use super::sink::{Pool, Sink, on};
use crate::error::Result;
use crate::leaderboard::{PeriodName, Placed, Surplus};
use crate::types::{Member, Timestamp};

/// How long a statement may take that goes through all entries of a period.
const LONG: Duration = Duration::from_secs(300);
const LONG_IN_POSTGRES: &str = "SET LOCAL statement_timeout = 300000";

/// A period that is complete.
pub(super) struct PeriodRow {
    pub(super) id: i64,
    pub(super) ended_ms: i64,
    pub(super) board: String,
}

/// A period in a list.
pub(super) type ListedRow = (String, i64, i64, i64);

impl Sink {
    /// Whether statements that take long must say so.
    fn has_time_limits(&self) -> bool {
        match &self.pool {
            Pool::Postgres(_) => true,
            Pool::Sqlite(_) => false,
        }
    }

    /// Begins to write a period, after it has removed what others have begun and not completed; gives its id.
    pub(super) async fn begin_period(&self, period: &Surplus, board: &str) -> Result<i64> {
        const CLEAR: &str = "DELETE FROM ranq_periods WHERE prefix = $1 AND archived_at IS NULL";
        const BEGIN: &str = "INSERT INTO ranq_periods (id, prefix, leaderboard, epoch, window_name, period, started_at, ended_at, \
            entries, board) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9)";
        let id = fastrand::i64(1..);
        self.ask_within(LONG, async {
            on!(&self.pool, pool => {
                let mut transaction = pool.begin().await?;
                if self.has_time_limits() {
                    sqlx::query(LONG_IN_POSTGRES).execute(&mut *transaction).await?;
                }
                sqlx::query(CLEAR).bind(&self.prefix).execute(&mut *transaction).await?;
                let begin = sqlx::query(BEGIN)
                    .bind(id)
                    .bind(&self.prefix)
                    .bind(period.leaderboard().as_str())
                    .bind(period.epoch())
                    .bind(period.window.as_str())
                    .bind(&period.period)
                    .bind(period.started_ms)
                    .bind(period.ended_ms)
                    .bind(board);
                begin.execute(&mut *transaction).await?;
                transaction.commit().await
            })
        })
        .await?;
        Ok(id)
    }

    /// Writes rows of a period, so many in one statement. Fails where another one has begun it anew.
    pub(super) async fn write_standings(&self, id: i64, rows: &[Placed], batch: usize) -> Result<()> {
        self.ask(async {
            on!(&self.pool, pool => {
                let mut transaction = pool.begin().await?;
                for rows in rows.chunks(batch.max(1)) {
                    let mut statement = QueryBuilder::new(
                        "INSERT INTO ranq_standings (period, part, place, competition, dense, member, score, subscores, achieved_at, \
                         metadata, segments, ranked, element) ",
                    );
                    statement.push_values(rows, |mut values, row| {
                        values
                            .push_bind(id)
                            .push_bind(&row.part)
                            .push_bind(row.place)
                            .push_bind(row.competition)
                            .push_bind(row.dense)
                            .push_bind(row.entry.member.as_str())
                            .push_bind(row.entry.score.value())
                            .push_bind(&row.subscores)
                            .push_bind(row.entry.achieved_at.map(Timestamp::as_millis))
                            .push_bind(&row.belongings.0)
                            .push_bind(&row.belongings.1)
                            .push_bind(row.ranked.value())
                            .push_bind(&row.element);
                    });
                    statement.build().persistent(false).execute(&mut *transaction).await?;
                }
                transaction.commit().await
            })
        })
        .await
    }

    /// Completes a period; from then on it is read. Tells whether it was still there.
    pub(super) async fn complete_period(&self, id: i64, name: &PeriodName) -> Result<bool> {
        // Holds up whoever removes a member, so that the count is right.
        const LOCK: &str = "UPDATE ranq_periods SET entries = entries WHERE id = $1";
        const REPLACE: &str = "DELETE FROM ranq_periods WHERE prefix = $1 AND leaderboard = $2 AND epoch = $3 AND window_name = $4 \
            AND period = $5 AND archived_at IS NOT NULL";
        const COMPLETE: &str = "UPDATE ranq_periods SET archived_at = $2, entries = (SELECT COALESCE(MAX(place), 0) FROM \
            ranq_standings WHERE period = $1 AND part = '') WHERE id = $1";
        let now = jiff::Timestamp::now().as_millisecond();
        let completed = self.ask_within(LONG, async {
            on!(&self.pool, pool => {
                let mut transaction = pool.begin().await?;
                if self.has_time_limits() {
                    sqlx::query(LONG_IN_POSTGRES).execute(&mut *transaction).await?;
                }
                sqlx::query(LOCK).bind(id).execute(&mut *transaction).await?;
                let replace = sqlx::query(REPLACE)
                    .bind(&self.prefix)
                    .bind(name.leaderboard.as_str())
                    .bind(&name.epoch)
                    .bind(name.window.as_str())
                    .bind(&name.period);
                replace.execute(&mut *transaction).await?;
                let completed = sqlx::query(COMPLETE).bind(id).bind(now).execute(&mut *transaction).await?;
                transaction.commit().await?;
                Ok(completed.rows_affected())
            })
        });
        Ok(completed.await? == 1)
    }

    /// Removes a period that was begun and is not complete.
    pub(super) async fn drop_period(&self, id: i64) -> Result<()> {
        const DROP: &str = "DELETE FROM ranq_periods WHERE id = $1 AND archived_at IS NULL";
        self.ask_within(LONG, async {
            on!(&self.pool, pool => {
                let mut transaction = pool.begin().await?;
                if self.has_time_limits() {
                    sqlx::query(LONG_IN_POSTGRES).execute(&mut *transaction).await?;
                }
                sqlx::query(DROP).bind(id).execute(&mut *transaction).await?;
                transaction.commit().await
            })
        })
        .await
    }

    /// The period of this name, if it is complete.
    pub(super) async fn find_period(&self, name: &PeriodName) -> Result<Option<PeriodRow>> {
        const FIND: &str = "SELECT id, ended_at, board FROM ranq_periods WHERE prefix = $1 AND leaderboard = $2 AND epoch = $3 \
            AND window_name = $4 AND period = $5 AND archived_at IS NOT NULL";
        let found: Option<(i64, i64, String)> = self
            .ask(async {
                on!(&self.pool, pool => {
                    let query = sqlx::query_as(FIND)
                        .bind(&self.prefix)
                        .bind(name.leaderboard.as_str())
                        .bind(&name.epoch)
                        .bind(name.window.as_str())
                        .bind(&name.period);
                    query.fetch_optional(pool).await
                })
            })
            .await?;
        Ok(found.map(|(id, ended_ms, board)| PeriodRow { id, ended_ms, board }))
    }

    /// Periods of a window that began before `before`, the newest first: name, start, end, entries.
    pub(super) async fn list_periods(&self, of: &PeriodName, before: i64, limit: i64) -> Result<Vec<ListedRow>> {
        const LIST: &str = "SELECT period, started_at, ended_at, entries FROM ranq_periods WHERE prefix = $1 AND leaderboard = $2 \
            AND epoch = $3 AND window_name = $4 AND archived_at IS NOT NULL AND started_at < $5 ORDER BY started_at DESC LIMIT $6";
        self.ask(async {
            on!(&self.pool, pool => {
                let query = sqlx::query_as(LIST)
                    .bind(&self.prefix)
                    .bind(of.leaderboard.as_str())
                    .bind(&of.epoch)
                    .bind(of.window.as_str())
                    .bind(before)
                    .bind(limit);
                query.fetch_all(pool).await
            })
        })
        .await
    }

    /// Leaderboards with periods that have entries of a member and ended before, complete or not, each with its periods.
    pub(super) async fn periods_of_member(
        &self,
        leaderboard: Option<&str>,
        member: &Member,
        before: Option<Timestamp>,
    ) -> Result<Vec<(String, i64)>> {
        const PERIODS: &str = "SELECT leaderboard, id FROM ranq_periods p WHERE prefix = $1 AND ($2 = '' OR leaderboard = $2) AND \
            ended_at < $4 AND EXISTS (SELECT 1 FROM ranq_standings s WHERE s.period = p.id AND s.member = $3) ORDER BY leaderboard, id";
        self.ask_within(LONG, async {
            on!(&self.pool, pool => {
                let query = sqlx::query_as(PERIODS)
                    .bind(&self.prefix)
                    .bind(leaderboard.unwrap_or_default())
                    .bind(member.as_str())
                    .bind(before.map_or(i64::MAX, Timestamp::as_millis));
                query.fetch_all(pool).await
            })
        })
        .await
    }

    /// Removes a member from a period in one transaction: who stood behind it moves up. Gives how many rows it had.
    pub(super) async fn remove_standings(&self, id: i64, member: &Member) -> Result<u64> {
        // One after another: who comes second must see the places that the first one has made.
        const LOCK: &str = "UPDATE ranq_periods SET entries = entries WHERE id = $1";
        const FIND: &str =
            "SELECT part, place, competition, dense FROM ranq_standings WHERE period = $1 AND member = $2";
        const REMOVE: &str = "DELETE FROM ranq_standings WHERE period = $1 AND member = $2";
        const EQUALS: &str =
            "SELECT COUNT(*) FROM ranq_standings WHERE period = $1 AND part = $2 AND dense = $3 AND place IN ($4, $5)";
        const MOVE_UP: &str = "UPDATE ranq_standings SET place = place - 1, \
            competition = competition - (CASE WHEN competition > $4 THEN 1 ELSE 0 END), dense = dense - $5 \
            WHERE period = $1 AND part = $2 AND place > $3";
        const COUNT: &str = "UPDATE ranq_periods SET entries = entries - 1 WHERE id = $1 AND archived_at IS NOT NULL";
        self.ask_within(LONG, async {
            on!(&self.pool, pool => {
                let mut transaction = pool.begin().await?;
                if self.has_time_limits() {
                    sqlx::query(LONG_IN_POSTGRES).execute(&mut *transaction).await?;
                }
                sqlx::query(LOCK).bind(id).execute(&mut *transaction).await?;
                let rows: Vec<(String, i64, i64, i64)> =
                    sqlx::query_as(FIND).bind(id).bind(member.as_str()).fetch_all(&mut *transaction).await?;
                sqlx::query(REMOVE).bind(id).bind(member.as_str()).execute(&mut *transaction).await?;
                for (part, place, competition, dense) in &rows {
                    let equals: i64 = sqlx::query_scalar(EQUALS)
                        .bind(id)
                        .bind(part)
                        .bind(dense)
                        .bind(place - 1)
                        .bind(place + 1)
                        .fetch_one(&mut *transaction)
                        .await?;
                    let move_up = sqlx::query(MOVE_UP)
                        .bind(id)
                        .bind(part)
                        .bind(place)
                        .bind(competition)
                        .bind(i64::from(equals == 0));
                    move_up.execute(&mut *transaction).await?;
                    if part.is_empty() {
                        sqlx::query(COUNT).bind(id).execute(&mut *transaction).await?;
                    }
                }
                transaction.commit().await?;
                Ok(rows.len() as u64)
            })
        })
        .await
    }
}
