//! Live rankings: who watches what in this process, and the one look that all who watch the same share.

mod frame;
mod group;
mod stream;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_web::rt::task::JoinHandle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use self::frame::Frame;
use self::group::Looker;
pub use self::stream::events;
use crate::error::{Error, Result};
use crate::leaderboard::{Leaderboards, View, changed_leaderboard};
use crate::metrics::Metrics;
use crate::types::{LeaderboardName, Limit, Member, Radius};

/// How often it is made known again that a leaderboard is watched: a third of the time for which that is noted.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// Looks of this process under way at once, so that thousands of groups do not flood Redis when a leaderboard changes.
const LOOKS_AT_ONCE: usize = 16;

/// What a subscriber watches.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The leaderboard.
    pub leaderboard: LeaderboardName,
    /// Which ranking of it; the open period.
    pub view: View,
    /// Which entries of it.
    pub subject: Subject,
}

/// The entries that a subscriber watches.
#[derive(Debug, Clone)]
pub enum Subject {
    /// The best.
    Top(Limit),
    /// Those around a member.
    Around(Member, Radius),
}

impl Watched {
    /// The same text for those who watch the same. None of its parts has control characters.
    fn key(&self) -> String {
        let window = self.view.window.as_ref().map_or(String::new(), ToString::to_string);
        let segment = self.view.segment.as_deref().unwrap_or_default();
        let subject = match &self.subject {
            Subject::Top(limit) => limit.get().to_string(),
            Subject::Around(member, radius) => format!("{}\n{member}", radius.get()),
        };
        format!("{window}\n{segment}\n{}\n{subject}", self.view.ranking.name())
    }
}

/// What a group of subscribers is to be shown.
#[derive(Clone)]
enum State {
    /// Nobody has looked yet.
    Unknown,
    /// What the last look that found something new has found.
    Shown(Arc<Frame>),
    /// Nothing more is to come.
    Ended(End),
}

/// Why nothing more is to come.
#[derive(Clone)]
enum End {
    /// There was nothing to begin with.
    Failed(Error),
    /// The leaderboard, or what was watched of it, is gone.
    Deleted,
    /// The service stops.
    Stopping,
    /// The subscriber's token was revoked or has ended.
    Unauthenticated,
}

/// The live rankings of a process. Clones are the same, on any thread.
#[derive(Clone)]
pub struct Live(Arc<Inner>);

struct Inner {
    boards: Mutex<Boards>,
    streams: Arc<Semaphore>,
    most_streams: usize,
    heartbeat: Duration,
    looks: Semaphore,
    metrics: Metrics,
}

#[derive(Default)]
struct Boards {
    closed: bool,
    next_ticket: u64,
    /// No board is without groups.
    by_name: HashMap<LeaderboardName, WatchedBoard>,
}

struct WatchedBoard {
    /// Counts the messages of changes.
    changes: watch::Sender<u64>,
    /// When it was last made known that somebody watches.
    renewed: Option<Instant>,
    groups: HashMap<String, Group>,
}

/// Those who watch the same. Its task goes with it.
struct Group {
    ticket: u64,
    subscribers: usize,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Live {
    /// Nobody watches yet. At most so many streams are open at once.
    pub fn new(most_streams: usize, heartbeat: Duration, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            boards: Mutex::default(),
            streams: Arc::new(Semaphore::new(most_streams)),
            most_streams,
            heartbeat,
            looks: Semaphore::new(LOOKS_AT_ONCE),
            metrics,
        }))
    }

    fn boards(&self) -> MutexGuard<'_, Boards> {
        self.0.boards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins those who watch the same. Must be called where local tasks can be spawned.
    ///
    /// # Errors
    ///
    /// `TooManyStreams`; `StoreUnavailable` where the service stops.
    fn join(&self, leaderboards: &Leaderboards, watched: Watched) -> Result<Subscription> {
        let permit = Arc::clone(&self.0.streams).try_acquire_owned();
        let permit = permit.map_err(|_| Error::TooManyStreams { most: self.0.most_streams })?;
        let mut boards = self.boards();
        if boards.closed {
            return Err(Error::StoreUnavailable("the service is stopping".to_owned()));
        }
        boards.next_ticket += 1;
        let ticket = boards.next_ticket;
        let (leaderboard, key) = (watched.leaderboard.clone(), watched.key());
        let board = boards.by_name.entry(leaderboard.clone()).or_insert_with(|| WatchedBoard {
            changes: watch::Sender::new(0),
            renewed: None,
            groups: HashMap::new(),
        });
        let changes = &board.changes;
        let group = board.groups.entry(key.clone()).or_insert_with(|| {
            let state = watch::Sender::new(State::Unknown);
            let looker = Looker {
                live: self.clone(),
                leaderboards: leaderboards.clone(),
                watched,
                key: key.clone(),
                ticket,
                state: state.clone(),
                changes: changes.subscribe(),
            };
            Group { ticket, subscribers: 0, state, task: actix_web::rt::spawn(looker.run()) }
        });
        group.subscribers += 1;
        let (ticket, state) = (group.ticket, group.state.subscribe());
        Ok(Subscription { live: self.clone(), leaderboard, key, ticket, state, _permit: permit })
    }

    /// Takes one subscriber from a group, which ends with the last one; `all` ends it in any case.
    fn leave(&self, leaderboard: &LeaderboardName, key: &str, ticket: u64, all: bool) {
        let mut boards = self.boards();
        let Some(board) = boards.by_name.get_mut(leaderboard) else { return };
        // Another group may have begun since.
        let Some(group) = board.groups.get_mut(key).filter(|group| group.ticket == ticket) else { return };
        group.subscribers -= 1;
        if all || group.subscribers == 0 {
            board.groups.remove(key);
        }
        if board.groups.is_empty() {
            boards.by_name.remove(leaderboard);
        }
    }

    /// Whether it is time to make known again that a leaderboard is watched. It then counts as done.
    fn is_to_be_renewed(&self, leaderboard: &LeaderboardName) -> bool {
        let mut boards = self.boards();
        let Some(board) = boards.by_name.get_mut(leaderboard) else { return false };
        let due = board.renewed.is_none_or(|renewed| renewed.elapsed() >= RENEW_EVERY);
        if due {
            board.renewed = Some(Instant::now());
        }
        due
    }

    /// Hands a message of a change to those who watch that leaderboard.
    pub fn hear(&self, message: &str) {
        let Some(leaderboard) = changed_leaderboard(message) else { return };
        if let Some(board) = self.boards().by_name.get(&leaderboard) {
            board.changes.send_modify(|count| *count += 1);
        }
    }

    /// Has everything looked at: messages may have been lost, and what was noted with them.
    pub fn look_at_all(&self) {
        for board in self.boards().by_name.values_mut() {
            board.renewed = None;
            board.changes.send_modify(|count| *count += 1);
        }
    }

    /// Ends every stream for good: the service stops.
    pub fn close(&self) {
        let mut boards = self.boards();
        boards.closed = true;
        for board in std::mem::take(&mut boards.by_name).into_values() {
            for group in board.groups.values() {
                group.state.send_replace(State::Ended(End::Stopping));
            }
        }
    }
}

/// A place in a group, left when dropped.
struct Subscription {
    live: Live,
    leaderboard: LeaderboardName,
    key: String,
    ticket: u64,
    state: watch::Receiver<State>,
    _permit: OwnedSemaphorePermit,
}

impl Subscription {
    /// What is to be shown first.
    async fn first(&mut self) -> State {
        let looked = self.state.wait_for(|state| !matches!(state, State::Unknown)).await.map(|state| state.clone());
        // Without a sender the group has been closed.
        looked.unwrap_or(State::Ended(End::Stopping))
    }

    /// What is to be shown next; waits until there is something new.
    async fn change(&mut self) -> State {
        match self.state.changed().await {
            Ok(()) => self.state.borrow_and_update().clone(),
            Err(_) => State::Ended(End::Stopping),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.live.leave(&self.leaderboard, &self.key, self.ticket, false);
    }
}
