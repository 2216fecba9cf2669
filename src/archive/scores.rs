//! What happened to members: written once, read the latest first, forgotten.

use serde::{Deserialize, Serialize};
use sqlx::QueryBuilder;
use tracing::error;

use super::sink::{Pool, Sink, insert_all, on};
use crate::error::{Error, Result};
use crate::leaderboard::{EventKind, MemberEvent, Origin};
use crate::types::{LeaderboardName, Limit, Member, Raw, Reason, Timestamp, WindowName};

/// Which events of a member are wanted.
#[derive(Debug, Default)]
pub struct EventFilter {
    /// Only those that changed this window, and acts on all windows.
    pub window: Option<WindowName>,
    /// Only those of then or later.
    pub from: Option<Timestamp>,
    /// Only those of before.
    pub to: Option<Timestamp>,
    /// Whether bans, and what is hidden because of them, are wanted too.
    pub with_bans: bool,
    /// Only what comes after this place.
    pub after: Option<EventPlace>,
}

/// A place in the history of a member: when, in µs, and the leaderboard's epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPlace(pub i64, pub String);

/// An event as it was archived.
#[derive(Debug)]
pub struct ArchivedEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// See [`MemberEvent::is_hidden`].
    pub is_hidden: bool,
    /// Whether it met all leaderboards.
    pub is_service_wide: bool,
    /// The windows that changed, as JSON.
    pub windows: Raw,
    /// Who did it.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// A page of events.
#[derive(Debug)]
pub struct EventPage {
    /// The latest first.
    pub events: Vec<ArchivedEvent>,
    /// The last of them, where there are more.
    pub next: Option<EventPlace>,
}

/// Time, epoch, kind, whether it is hidden, scores, actor and reason.
type Columns = (i64, String, String, i64, String, Option<String>, Option<String>);

/// What stands in the table of an event.
struct Row {
    is_service_wide: bool,
    at_us: i64,
    epoch: String,
    kind: String,
    hidden: i64,
    scores: String,
    actor: Option<String>,
    reason: Option<String>,
}

impl Row {
    fn of(is_service_wide: bool, (at_us, epoch, kind, hidden, scores, actor, reason): Columns) -> Self {
        Self { is_service_wide, at_us, epoch, kind, hidden, scores, actor, reason }
    }

    fn read(self) -> Result<ArchivedEvent> {
        let unreadable = || Error::Internal("an archived event cannot be read".to_owned());
        Ok(ArchivedEvent {
            at: Timestamp::from_millis(self.at_us.div_euclid(1000)),
            kind: EventKind::of_name(&self.kind).ok_or_else(unreadable)?,
            is_hidden: self.hidden == 1,
            is_service_wide: self.is_service_wide,
            windows: Raw::from_stored(self.scores).ok_or_else(unreadable)?,
            by: self.actor,
            reason: self.reason,
        })
    }
}

/// The name in the table; none has all leaderboards.
fn leaderboard_of(origin: &Origin) -> &str {
    match origin {
        Origin::Shard(name, _) => name.as_str(),
        Origin::Service => "",
    }
}

/// The names of the windows that an event changed, so that one is found as a part of it.
fn windows_of(event: &MemberEvent) -> String {
    let names: Vec<&str> = event.windows.iter().map(|window| window.window.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(",{},", names.join(",")) }
}

/// PostgreSQL has no NUL in texts.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

impl Sink {
    /// Writes events, `at_once` in a statement; gives how many are new. Several statements are one transaction.
    pub(super) async fn write_events(&self, events: &[(Origin, MemberEvent)], at_once: usize) -> Result<u64> {
        let with_json = events.iter().filter_map(|(origin, event)| match serde_json::to_string(&event.windows) {
            Ok(scores) => Some((origin, event, scores)),
            Err(reason) => {
                error!("a change of scores has no JSON and is left out: {reason}");
                None
            }
        });
        let rows: Vec<_> = with_json.collect();
        if rows.is_empty() {
            return Ok(0);
        }
        self.ask(async {
            on!(&self.pool, pool => {
                let insert = |rows| {
                    let mut statement = QueryBuilder::new(
                        "INSERT INTO ranq_history (prefix, member, leaderboard, at_us, epoch, kind, hidden, windows, scores, actor, \
                         reason) ",
                    );
                    statement.push_values(rows, |mut values, (origin, event, scores): &(&Origin, &MemberEvent, String)| {
                        values
                            .push_bind(&self.prefix)
                            .push_bind(event.member.as_str())
                            .push_bind(leaderboard_of(origin))
                            .push_bind(event.at_us)
                            .push_bind(&event.epoch)
                            .push_bind(event.kind.name())
                            .push_bind(i64::from(event.is_hidden))
                            .push_bind(windows_of(event))
                            .push_bind(scores)
                            .push_bind(event.by.as_deref().map(without_nul))
                            .push_bind(event.reason.as_ref().map(Reason::as_str).map(without_nul));
                    });
                    // What comes again is there.
                    statement.push(" ON CONFLICT (prefix, member, leaderboard, at_us, epoch) DO NOTHING");
                    statement
                };
                insert_all!(pool, rows.chunks(at_once), insert)
            })
        })
        .await
    }

    /// What happened to a member on a leaderboard, the latest first.
    pub(super) async fn events(
        &self,
        (leaderboard, member): (&LeaderboardName, &Member),
        filter: &EventFilter,
        limit: Limit,
    ) -> Result<EventPage> {
        // One more tells whether there is more.
        let most = limit.get() as usize;
        let mut rows = self.rows(leaderboard.as_str(), member, filter, most + 1).await?;
        if filter.with_bans {
            rows.extend(self.rows("", member, filter, most + 1).await?);
            rows.sort_by(|a, b| (b.at_us, &b.epoch).cmp(&(a.at_us, &a.epoch)));
        }
        let has_more = rows.len() > most;
        rows.truncate(most);
        let next = rows.last().filter(|_| has_more).map(|row| EventPlace(row.at_us, row.epoch.clone()));
        Ok(EventPage { events: rows.into_iter().map(Row::read).collect::<Result<_>>()?, next })
    }

    async fn rows(&self, leaderboard: &str, member: &Member, filter: &EventFilter, most: usize) -> Result<Vec<Row>> {
        self.ask(async {
            on!(&self.pool, pool => {
                let mut query = QueryBuilder::new(
                    "SELECT at_us, epoch, kind, hidden, scores, actor, reason FROM ranq_history WHERE prefix = ",
                );
                query.push_bind(&self.prefix).push(" AND member = ").push_bind(member.as_str());
                query.push(" AND leaderboard = ").push_bind(leaderboard);
                if let Some(window) = &filter.window {
                    let position = match &self.pool {
                        Pool::Sqlite(_) => " AND (windows = '' OR instr(windows, ",
                        Pool::Postgres(_) => " AND (windows = '' OR strpos(windows, ",
                    };
                    query.push(position).push_bind(format!(",{window},")).push(") > 0)");
                }
                if !filter.with_bans {
                    query.push(" AND hidden = 0 AND kind NOT IN ('ban', 'unban')");
                }
                if let Some(from) = filter.from {
                    query.push(" AND at_us >= ").push_bind(from.as_millis().saturating_mul(1000));
                }
                if let Some(to) = filter.to {
                    query.push(" AND at_us < ").push_bind(to.as_millis().saturating_mul(1000));
                }
                if let Some(EventPlace(at_us, epoch)) = &filter.after {
                    query.push(" AND (at_us, epoch) < (").push_bind(*at_us).push(", ").push_bind(epoch).push(")");
                }
                query.push(" ORDER BY at_us DESC, epoch DESC LIMIT ").push_bind(i64::try_from(most).unwrap_or(i64::MAX));
                let rows: Vec<Columns> = query.build_query_as().fetch_all(pool).await?;
                Ok(rows.into_iter().map(|columns| Row::of(leaderboard.is_empty(), columns)).collect())
            })
        })
        .await
    }
}
