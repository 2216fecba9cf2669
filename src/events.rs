//! Waiters of this process: long polls and waits for results stand in line here until something is told to them.
//!
//! The way to wait without missing anything: register, look, wait, look again.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

/// The lines of waiters, one a topic. Clones share them, on any thread.
#[derive(Clone, Default)]
pub struct Waiters(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    closed: bool,
    next_ticket: u64,
    /// Who waits and was not woken yet, by ticket. No line is empty.
    by_topic: HashMap<Arc<str>, BTreeMap<u64, Arc<Entry>>>,
}

struct Entry {
    ticket: u64,
    topics: Box<[Arc<str>]>,
    wake: OnceLock<Wake>,
    /// Whether the waiter knows that it was woken.
    seen: AtomicBool,
    notify: Notify,
}

/// What woke a waiter.
#[derive(Clone, Copy)]
enum Wake {
    /// A wake-up for one, of the topic at this place in the waiter's list.
    One(usize),
    /// Everyone in the line was woken.
    All,
}

impl Lines {
    fn add(&mut self, topics: &[String]) -> Arc<Entry> {
        let topics: Box<[Arc<str>]> = topics
            .iter()
            .map(|topic| match self.by_topic.get_key_value(topic.as_str()) {
                Some((known, _)) => Arc::clone(known),
                None => Arc::from(topic.as_str()),
            })
            .collect();
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let (wake, seen, notify) = (OnceLock::new(), AtomicBool::new(false), Notify::new());
        let entry = Arc::new(Entry { ticket, topics, wake, seen, notify });
        if self.closed {
            entry.wake(Wake::All);
            return entry;
        }
        for topic in &entry.topics {
            self.by_topic.entry(Arc::clone(topic)).or_default().insert(ticket, Arc::clone(&entry));
        }
        entry
    }

    /// Takes the entry out of all its lines, so that it stands in nobody's way.
    fn remove(&mut self, entry: &Entry) {
        for topic in &entry.topics {
            if let Some(line) = self.by_topic.get_mut(topic) {
                line.remove(&entry.ticket);
                if line.is_empty() {
                    self.by_topic.remove(topic);
                }
            }
        }
    }

    /// Wakes the first in line; false when nobody waits.
    fn wake_first(&mut self, topic: &str) -> bool {
        let Some((_, entry)) = self.by_topic.get(topic).and_then(BTreeMap::first_key_value) else { return false };
        let entry = Arc::clone(entry);
        self.remove(&entry);
        let place = entry.topics.iter().position(|known| **known == *topic);
        entry.wake(place.map_or(Wake::All, Wake::One));
        true
    }

    fn wake_line(&mut self, topic: &str) {
        for entry in self.by_topic.remove(topic).unwrap_or_default().values() {
            self.remove(entry);
            entry.wake(Wake::All);
        }
    }
}

impl Entry {
    /// Called under the lock, by whoever has just taken the entry out of its lines.
    fn wake(&self, wake: Wake) {
        // Taken out once, so it is set once.
        let _ = self.wake.set(wake);
        self.notify.notify_waiters();
    }
}

impl Waiters {
    /// No lines yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the end of each topic's line. Look for what is waited for only after this, so that nothing is missed.
    pub fn on(&self, topics: &[String]) -> Waiting {
        let entry = self.lines().add(topics);
        Waiting { waiters: self.clone(), entry, settled: false }
    }

    /// Wakes the first `count` of the topic's line, or all when there are fewer.
    pub fn wake(&self, topic: &str, count: usize) {
        let mut lines = self.lines();
        for _ in 0..count {
            if !lines.wake_first(topic) {
                return;
            }
        }
    }

    /// Wakes all of the topic's line. Such a wake-up is never passed on.
    pub fn wake_all(&self, topic: &str) {
        self.lines().wake_line(topic);
    }

    /// The topics that somebody waits on, in no order.
    pub fn topics(&self) -> Vec<String> {
        self.lines().by_topic.keys().map(ToString::to_string).collect()
    }

    /// Whether somebody waits on the topic.
    pub fn has_waiters(&self, topic: &str) -> bool {
        self.lines().by_topic.contains_key(topic)
    }

    /// Wakes all for good: whoever comes later is woken at once.
    pub fn close(&self) {
        let mut lines = self.lines();
        lines.closed = true;
        for line in std::mem::take(&mut lines.by_topic).into_values() {
            for entry in line.into_values().filter(|entry| entry.wake.get().is_none()) {
                entry.wake(Wake::All);
            }
        }
    }

    /// Whether [`Waiters::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.lines().closed
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiters")
    }
}

/// A place in the lines, left when dropped.
///
/// A wake-up that was not settled passes to the next in the line of the topic that it came for: so a waiter whose client
/// has gone takes nothing away.
#[must_use = "who drops it waits no more"]
pub struct Waiting {
    waiters: Waiters,
    entry: Arc<Entry>,
    settled: bool,
}

impl Waiting {
    /// Returns once woken, also when that was before the call. May be dropped and called again.
    pub async fn woken(&self) {
        // Made before the look: it hears of a wake-up from here on, before it is first polled too.
        let notified = self.entry.notify.notified();
        if self.entry.wake.get().is_none() {
            notified.await;
        }
        self.entry.seen.store(true, Ordering::Relaxed);
    }

    /// The topic whose single wake-up came here; none before it, and when everyone was woken.
    pub fn woken_by(&self) -> Option<&str> {
        match self.entry.wake.get()? {
            Wake::One(place) => Some(&self.entry.topics[*place]),
            Wake::All => None,
        }
    }

    /// Leaves, and keeps the wake-up: its topic was looked at after it, so nobody else needs it.
    ///
    /// One that came unseen, after the last [`Waiting::woken`], is passed on all the same: the look may have been before it.
    pub fn settle(mut self) {
        self.settled = self.entry.seen.load(Ordering::Relaxed);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut lines = self.waiters.lines();
        match self.entry.wake.get() {
            None => lines.remove(&self.entry),
            Some(Wake::One(place)) if !self.settled => {
                lines.wake_first(&self.entry.topics[*place]);
            }
            Some(Wake::One(_) | Wake::All) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;
    use tokio::time::timeout;

    use super::*;

    fn on(waiters: &Waiters, topics: &[&str]) -> Waiting {
        waiters.on(&topics.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn is_woken(waiting: &Waiting) -> bool {
        waiting.woken().now_or_never().is_some()
    }

    #[test]
    fn who_came_first_is_woken_first() {
        let waiters = Waiters::new();
        let line: Vec<Waiting> = (0..4).map(|_| on(&waiters, &["a"])).collect();
        waiters.wake("a", 1);
        assert_eq!(line.iter().map(is_woken).collect::<Vec<_>>(), [true, false, false, false]);
        waiters.wake("a", 2);
        assert_eq!(line.iter().map(is_woken).collect::<Vec<_>>(), [true, true, true, false]);
        waiters.wake("b", 9);
        assert!(!is_woken(&line[3]));
        waiters.wake("a", 9);
        assert!(is_woken(&line[3]) && is_woken(&line[3]));
    }

    #[tokio::test]
    async fn a_waiter_sleeps_until_it_is_woken() {
        let waiters = Waiters::new();
        let waiting = on(&waiters, &["a"]);
        let waker = async {
            tokio::task::yield_now().await;
            waiters.wake("a", 1);
        };
        // Two that wait on one place both hear of it, and one that gave up does no harm.
        assert!(waiting.woken().now_or_never().is_none());
        let all = futures_util::future::join3(waiting.woken(), waiting.woken(), waker);
        timeout(Duration::from_secs(5), all).await.expect("woken");
    }

    #[test]
    fn a_waiter_of_many_topics_is_woken_once() {
        let waiters = Waiters::new();
        let (both, other) = (on(&waiters, &["a", "b", "b"]), on(&waiters, &["b"]));
        waiters.wake("a", 1);
        assert!(is_woken(&both));
        assert_eq!(both.woken_by(), Some("a"));
        waiters.wake("b", 1);
        assert!(is_woken(&other));
        assert!(waiters.topics().is_empty());
    }

    #[test]
    fn a_dropped_wake_up_passes_on_and_a_settled_one_does_not() {
        let waiters = Waiters::new();
        let (first, second, third) = (on(&waiters, &["b", "a"]), on(&waiters, &["a"]), on(&waiters, &["a", "b"]));
        waiters.wake("a", 1);
        drop(first);
        assert!(is_woken(&second));
        assert_eq!(second.woken_by(), Some("a"));
        second.settle();
        assert!(!is_woken(&third));
    }

    #[test]
    fn a_wake_up_that_comes_after_the_look_cannot_be_settled() {
        let waiters = Waiters::new();
        let (first, second) = (on(&waiters, &["a"]), on(&waiters, &["a"]));
        waiters.wake("a", 1);
        first.settle();
        assert!(is_woken(&second));
    }

    #[test]
    fn waking_all_passes_nothing_on() {
        let waiters = Waiters::new();
        let line: Vec<Waiting> = (0..3).map(|_| on(&waiters, &["a", "b"])).collect();
        waiters.wake_all("a");
        assert!(line.iter().all(is_woken));
        let late = on(&waiters, &["a"]);
        drop(line);
        assert!(!is_woken(&late));
        assert_eq!(waiters.topics(), ["a"]);
    }

    #[test]
    fn who_leaves_is_forgotten() {
        let waiters = Waiters::new();
        let waiting = on(&waiters, &["a", "b"]);
        let mut topics = waiters.topics();
        topics.sort();
        assert_eq!(topics, ["a", "b"]);
        assert!(waiters.has_waiters("b") && !waiters.has_waiters("c"));
        drop(waiting);
        assert!(waiters.topics().is_empty() && !waiters.has_waiters("b"));
    }

    #[test]
    fn closing_wakes_all_now_and_later() {
        let waiters = Waiters::new();
        let early = on(&waiters, &["a", "b"]);
        assert!(!waiters.is_closed());
        waiters.close();
        assert!(waiters.is_closed() && is_woken(&early));
        assert!(is_woken(&on(&waiters, &["c"])));
        assert!(waiters.topics().is_empty());
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(work)
    }

    /// Every wake-up must end at one that stays, however many stood before it and left.
    #[test]
    fn no_wake_up_is_lost_among_threads() {
        const STAY: usize = 400;
        let waiters = Waiters::new();
        let (mut leaving, mut staying) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for _ in 0..STAY {
            for place in 0..2 {
                leaving[place].extend([on(&waiters, &["a", "b"]), on(&waiters, &["b", "a"])]);
                staying[place].push(on(&waiters, &[["a", "b"][place]]));
            }
        }
        let stay = |line: Vec<Waiting>| {
            let all = async { timeout(Duration::from_secs(20), join_all(line.iter().map(Waiting::woken))).await };
            block_on(all).is_ok()
        };
        let leave = async |mut line: Vec<Waiting>| {
            fastrand::shuffle(&mut line);
            for waiting in line {
                match fastrand::u8(0..8) {
                    0..4 => {}
                    4..7 => drop(waiting.woken().now_or_never()),
                    _ => drop(timeout(Duration::from_micros(50), waiting.woken()).await),
                }
            }
        };
        let wake = |topic: &str| {
            for _ in 0..STAY {
                waiters.wake(topic, 1);
                std::thread::yield_now();
            }
        };
        std::thread::scope(|threads| {
            let stayed = staying.map(|line| threads.spawn(|| stay(line)));
            for (line, topic) in leaving.into_iter().zip(["a", "b"]) {
                threads.spawn(|| block_on(leave(line)));
                threads.spawn(move || wake(topic));
            }
            let woken = stayed.map(|thread| thread.join().is_ok_and(|woken| woken));
            assert_eq!(woken, [true, true], "a wake-up was lost");
        });
        assert!(waiters.topics().is_empty());
    }
}
