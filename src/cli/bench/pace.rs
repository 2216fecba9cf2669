//! An open loop: the times at which requests are due, whatever became of those before.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// How long what was due at the very end may still be taken.
const LAST: Duration = Duration::from_millis(10);

/// Hands out requests when they are due: to whoever waits, or to the next that is free.
///
/// A thread of its own keeps the time, since the runtimes' timers tick once a millisecond. At each of its turns it hands out
/// all that is due by then. The thread ends with the value.
pub struct Pace {
    times: Arc<Times>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// A request that is due.
pub struct Due {
    /// From 0.
    pub number: u64,
    pub at: Instant,
}

struct Times {
    per_s: u64,
    total: u64,
    duration: Duration,
    begin: OnceLock<Instant>,
    /// As many permits as requests are due and not taken. Closed at the end.
    due: Semaphore,
    taken: AtomicU64,
    is_stopped: AtomicBool,
}

impl Pace {
    /// So many requests a second, evenly spread.
    pub fn new(per_s: u64, duration: Duration) -> Self {
        let times = Times {
            per_s,
            total: per_s * duration.as_secs(),
            duration,
            begin: OnceLock::new(),
            due: Semaphore::new(0),
            taken: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
        };
        Self { times: Arc::new(times), keeper: Mutex::new(None) }
    }

    pub fn per_s(&self) -> u64 {
        self.times.per_s
    }

    /// The first request is due now.
    pub fn begin(&self) {
        let begin = *self.times.begin.get_or_init(Instant::now);
        let times = Arc::clone(&self.times);
        let keeper = thread::spawn(move || times.keep(begin));
        *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
    }

    /// Waits for a request to be due; `None` when no more are to be sent.
    pub async fn next(&self) -> Option<Due> {
        self.times.due.acquire().await.ok()?.forget();
        let number = self.times.taken.fetch_add(1, Ordering::Relaxed);
        Some(Due { number, at: self.due_at(number) })
    }

    /// When a request is due; once it has begun.
    pub fn due_at(&self, number: u64) -> Instant {
        *self.times.begin.get_or_init(Instant::now) + self.times.after(number)
    }

    /// No more requests are due.
    pub fn stop(&self) {
        self.times.is_stopped.store(true, Ordering::Relaxed);
        self.times.due.close();
        if let Some(keeper) = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            keeper.thread().unpark();
        }
    }

    /// How long the requests that nobody has taken had been due at the end.
    pub fn left(&self) -> impl Iterator<Item = Duration> {
        let times = &self.times;
        (times.taken.load(Ordering::Relaxed)..times.total).map(|number| times.duration - times.after(number))
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.stop();
        let keeper = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(panic)) = keeper.map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Times {
    /// When a request is due, from the beginning.
    fn after(&self, number: u64) -> Duration {
        Duration::from_nanos(number * 1_000_000_000 / self.per_s)
    }

    /// How many are due after so long.
    fn due_after(&self, elapsed: Duration) -> u64 {
        let due = 1 + elapsed.as_nanos() * u128::from(self.per_s) / 1_000_000_000;
        u64::try_from(due).unwrap_or(u64::MAX).min(self.total)
    }

    fn keep(&self, begin: Instant) {
        let (end, mut handed_out) = (self.duration + LAST, 0);
        while !self.is_stopped.load(Ordering::Relaxed) && begin.elapsed() < end {
            let due = self.due_after(begin.elapsed());
            self.due.add_permits((due - handed_out) as usize);
            handed_out = due;
            let next = if due < self.total { self.after(due) } else { end };
            // It may return early, and then finds nothing to do.
            thread::park_timeout(next.saturating_sub(begin.elapsed()));
        }
        self.due.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
    }

    #[test]
    fn requests_are_due_at_fixed_times_however_late_they_are_taken() {
        let pace = Pace::new(500, Duration::from_secs(1));
        pace.begin();
        let (numbers, offsets): (Vec<u64>, Vec<Duration>) = runtime().block_on(async {
            let mut seen = Vec::new();
            while let Some(due) = pace.next().await {
                assert!(due.at <= Instant::now(), "it is early");
                seen.push((due.number, due.at - *pace.times.begin.get().expect("it has begun")));
            }
            seen.into_iter().unzip()
        });
        assert_eq!(numbers, (0..500).collect::<Vec<_>>());
        assert!(offsets.iter().zip(0..).all(|(offset, number)| *offset == Duration::from_millis(2) * number));
        assert_eq!(pace.left().count(), 0);
    }

    #[test]
    fn what_nobody_takes_is_left_with_the_time_that_it_waited() {
        let pace = Pace::new(4, Duration::from_secs(1));
        pace.begin();
        runtime().block_on(pace.next()).expect("the first is due at once");
        pace.stop();
        assert!(runtime().block_on(pace.next()).is_none());
        assert_eq!(pace.left().collect::<Vec<_>>(), [750, 500, 250].map(Duration::from_millis));
    }

    #[test]
    fn all_that_is_due_at_once_is_handed_out_at_once() {
        let times = Pace::new(1_000_000, Duration::from_secs(3600)).times.clone();
        assert_eq!(times.due_after(Duration::ZERO), 1);
        assert_eq!(times.due_after(Duration::from_micros(150)), 151);
        assert_eq!(times.due_after(Duration::MAX), 3_600_000_000);
        assert_eq!(times.after(3_600_000_000), Duration::from_secs(3600));
    }
}
