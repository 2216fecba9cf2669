//! Subscribers to the events of a leaderboard, each on a connection of its own, and submissions that they see.
//!
//! Each submission puts one member further ahead, so that each changes what the subscribers are shown. The service shows
//! changes at most four times a second, the newest state each time: one event shows all submissions since the one before.
//! So a latency is that of one submission at one subscriber, from when it was due until the first event that shows
//! it or a later one. The wait for the service's next look is a part of it.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use indicatif::ProgressBar;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::board::Board;
use super::client::{Connection, Failure, Target};
use super::control::bar;
use super::measured::Measured;
use super::options::Options;
use super::pace::Pace;
use super::process::{Used, Watched};
use super::waiters::{FEEDERS, LOOK, OPEN_AT_ONCE, SETTLE_TIMEOUT, SETTLED, while_running};
use super::workload::Workload;

/// How long the last event may still be on its way when the last submission was answered.
const LAST_EVENT: Duration = Duration::from_secs(5);
/// Where a subscriber stands that is gone: nothing is behind it.
const GONE: u64 = u64::MAX;

/// What all subscribers and submissions share.
pub struct Subscribers<'a> {
    target: &'a Target,
    board: &'a Board,
    watched: Watched,
    duration: Duration,
    pace: Pace,
    /// The score of the first submission; the others follow it.
    first_score: u64,
    /// The number of the submission after the last one that was answered.
    sent: Cell<u64>,
    /// The number of the next submission that each subscriber is to see; none before its first event.
    seen: Vec<Cell<Option<u64>>>,
    is_measuring: Cell<bool>,
    measured: RefCell<Measured>,
    opening: Semaphore,
}

impl<'a> Subscribers<'a> {
    pub fn new(target: &'a Target, board: &'a Board, watched: Watched, options: &Options) -> Self {
        let duration = Duration::from_secs(options.seconds);
        Self {
            target,
            board,
            watched,
            duration,
            pace: Pace::new(options.slow_rate(), duration),
            first_score: board.leading_scores(options.slow_rate() * options.seconds),
            sent: Cell::new(0),
            seen: (0..options.waiters(Workload::Sse)).map(|_| Cell::new(None)).collect(),
            is_measuring: Cell::new(false),
            measured: RefCell::new(Measured::new()),
            opening: Semaphore::new(OPEN_AT_ONCE),
        }
    }

    /// Measures how long it takes until each subscriber sees a submission.
    pub async fn measure(self) -> Result<Measured, Failure> {
        let start = self.watched.read();
        let following = join_all(self.seen.iter().map(|seen| self.follow(seen)));
        let used = while_running(self.submit(), following).await;
        let mut measured = self.measured.into_inner();
        measured.keep_pace(&self.pace);
        measured.elapsed = used.elapsed;
        measured.held = Some(self.seen.len() as u64);
        measured.used = used.grown_from(&start);
        Ok(measured)
    }

    /// Reads events until the connection is lost.
    async fn follow(&self, seen: &Cell<Option<u64>>) {
        let opened = {
            let _permit = self.opening.acquire().await;
            Connection::open(self.target).await
        };
        let followed = match opened {
            Ok(mut connection) => match connection.follow(self.target.get(&self.board.events())).await {
                Ok(events) => self.read(events, seen).await,
                Err(failure) => Err(failure),
            },
            Err(failure) => Err(failure),
        };
        seen.set(Some(GONE));
        self.count(followed.and(Err(Failure::StreamEnded)));
    }

    async fn read(&self, mut events: Incoming, seen: &Cell<Option<u64>>) -> Result<(), Failure> {
        let mut text = Vec::new();
        while let Some(frame) = events.frame().await {
            let Ok(piece) = frame?.into_data() else { continue };
            text.extend_from_slice(&piece);
            while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
                self.see(&text[..end], seen);
                text.drain(..end + 2);
            }
        }
        Ok(())
    }

    /// Notes which submissions an event is the first to show.
    fn see(&self, event: &[u8], seen: &Cell<Option<u64>>) {
        let Some(score) = best_score(event) else { return };
        let Some(next) = seen.get() else { return seen.set(Some(0)) };
        let (arrival, mut measured) = (Instant::now(), self.measured.borrow_mut());
        if self.is_measuring.get() {
            measured.items += 1;
        }
        let shown = (score + 1).saturating_sub(self.first_score);
        for number in next..shown {
            measured.saw(arrival.saturating_duration_since(self.pace.due_at(number)));
        }
        seen.set(Some(next.max(shown)));
    }

    fn count(&self, done: Result<(), Failure>) {
        if let Err(failure) = done {
            self.measured.borrow_mut().count(Err(failure), Duration::ZERO);
        }
    }

    /// Submits at the rate, and waits until all subscribers have seen the last submission. Gives what was used until that was
    /// sent.
    async fn submit(&self) -> Used {
        self.wait_while(SETTLE_TIMEOUT, |seen| seen.is_none()).await;
        sleep(SETTLED).await;
        let (begin, started, bar) = (self.watched.read(), Instant::now(), bar("sse", self.duration));
        self.is_measuring.set(true);
        self.pace.begin();
        join_all((0..self.pace.per_s().min(FEEDERS)).map(|_| self.submit_some(&bar))).await;
        self.is_measuring.set(false);
        let mut used = begin.until(&self.watched.read());
        used.elapsed = started.elapsed();
        let sent = self.sent.get();
        let is_behind = |seen: Option<u64>| seen.is_none_or(|seen| seen < sent);
        self.wait_while(LAST_EVENT, is_behind).await;
        bar.finish_and_clear();
        for _ in self.seen.iter().filter(|seen| is_behind(seen.get())) {
            self.count(Err(Failure::NoEvent));
        }
        used
    }

    /// Waits while this is so of any subscriber; not for ever.
    async fn wait_while(&self, limit: Duration, of: impl Fn(Option<u64>) -> bool) {
        let asked = Instant::now();
        while asked.elapsed() < limit && self.seen.iter().any(|seen| of(seen.get())) {
            sleep(LOOK).await;
        }
    }

    /// Submits what is due, until the end or until the connection is lost for good.
    async fn submit_some(&self, bar: &ProgressBar) {
        let mut connection = None;
        while let Some(due) = self.pace.next().await {
            bar.set_position(due.number * 1000 / self.pace.per_s());
            let body = self.board.leading_submission(self.first_score + due.number);
            match self.submit_one(&mut connection, body).await {
                Ok(()) => {
                    self.measured.borrow_mut().requests += 1;
                    self.sent.set(self.sent.get().max(due.number + 1));
                }
                Err(failure) => {
                    let is_gone = matches!(failure, Failure::Connect { .. });
                    self.count(Err(failure));
                    connection = None;
                    if is_gone {
                        return;
                    }
                }
            }
        }
    }

    async fn submit_one(&self, connection: &mut Option<Connection>, body: String) -> Result<(), Failure> {
        let open = match connection.take().filter(Connection::is_open) {
            Some(open) => open,
            None => Connection::open(self.target).await?,
        };
        connection.insert(open).send(self.target.post(&self.board.scores(), body)).await.map(|_| ())
    }
}

/// The score of the first entry that an event shows.
fn best_score(event: &[u8]) -> Option<u64> {
    let (_, rest) = std::str::from_utf8(event).ok()?.split_once(r#""score":"#)?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_score_is_that_of_the_first_entry() {
        let event = br#"id: x
event: rankings
data: {"leaderboard":"b","entries":[{"rank":1,"member":"a","score":1000000000000007},{"rank":2,"score":5}]}"#;
        assert_eq!(best_score(event), Some(1_000_000_000_000_007));
        assert_eq!(best_score(b": still here"), None);
    }
}
