//! Background tasks: what is done again and again, and the driver that owns their time.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::error::Result;
use crate::metrics::Metrics;

/// How much a pause may be longer or shorter, so that instances do not keep step.
const JITTER: f64 = 0.1;
/// The longest pause after failures, for tasks that run more often than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a run may go on after the stop.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// Work that any instance may do at any time: a run is bounded and idempotent, and two at once do no harm.
pub trait Task: 'static {
    /// The name in logs and metrics, such as `queue.reap`.
    const NAME: &'static str;
    /// The pause between runs that found nothing more to do.
    const EVERY: Duration;

    /// The pause, where a setting says it.
    fn every(&self) -> Duration {
        Self::EVERY
    }

    /// Does one bounded batch.
    ///
    /// # Errors
    ///
    /// What stood in the way; the driver logs it and tries again later.
    fn run_once(&self) -> impl Future<Output = Result<Report>>;
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// How many things were done.
    pub done: u64,
    /// When to run next.
    pub again: Again,
}

/// When a task runs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// At once: more is waiting.
    Now,
    /// After [`Task::every`], or when woken.
    AfterTick,
}

/// Wakes one task before its tick; from any thread.
#[derive(Debug, Clone)]
pub struct TaskHandle(Arc<Notify>);

impl TaskHandle {
    /// Makes the task run soon; once more if it is running now. A failing task keeps to its pause.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Runs tasks on this thread until stopped. Dropped without [`Driver::stop`], it ends them in the middle.
#[derive(Default)]
pub struct Driver {
    metrics: Metrics,
    stopping: watch::Sender<bool>,
    running: JoinSet<()>,
}

impl Driver {
    /// A driver that counts runs into `metrics`.
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, ..Self::default() }
    }

    /// Starts a task, whose first run is at once. Must be called where local tasks can be spawned.
    pub fn start<T: Task>(&mut self, task: T) -> TaskHandle {
        let wake = Arc::new(Notify::new());
        let runner = Runner { task, metrics: self.metrics.clone(), wake: Arc::clone(&wake), failures: 0 };
        self.running.spawn_local(runner.run(self.stopping.subscribe()));
        TaskHandle(wake)
    }

    /// Starts no more runs, and waits up to two seconds for those that run now.
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        let ends = async {
            while let Some(ended) = self.running.join_next().await {
                if let Err(error) = ended {
                    error!(%error, "a background task had ended before its time: {error}");
                }
            }
        };
        if tokio::time::timeout(STOP_WAIT, ends).await.is_err() {
            warn!("{} background tasks did not end within {STOP_WAIT:?}", self.running.len());
            self.running.shutdown().await;
        }
    }
}

struct Runner<T> {
    task: T,
    metrics: Metrics,
    wake: Arc<Notify>,
    /// Failed runs since the last good one.
    failures: u32,
}

impl<T: Task> Runner<T> {
    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        while !*stopping.borrow() {
            let again = self.run_once().await;
            tokio::select! {
                // The sender outlives this, or the driver has ended it.
                _ = stopping.wait_for(|stop| *stop) => return,
                () = self.pause(again) => {}
            }
        }
    }

    async fn run_once(&mut self) -> Again {
        let started = Instant::now();
        let result = self.task.run_once().await;
        self.metrics.task_run(T::NAME, started.elapsed(), result.is_ok());
        match result {
            Ok(report) => {
                if self.failures > 0 {
                    info!(task.name = T::NAME, "{} works again after {} failed runs", T::NAME, self.failures);
                    self.failures = 0;
                }
                if report.done > 0 {
                    debug!(task.name = T::NAME, done = report.done, "{} did {}", T::NAME, report.done);
                }
                report.again
            }
            Err(error) => {
                if self.failures == 0 {
                    warn!(task.name = T::NAME, %error, "{} failed and will be tried again: {error}", T::NAME);
                }
                self.failures = self.failures.saturating_add(1);
                Again::AfterTick
            }
        }
    }

    async fn pause(&self, again: Again) {
        match again {
            // Lets the others of this thread have their turn.
            Again::Now => tokio::task::yield_now().await,
            // No wake-up cuts a pause after a failure short: it would make the task try without end.
            Again::AfterTick if self.failures > 0 => {
                tokio::time::sleep(pause_after(self.task.every(), self.failures)).await;
            }
            Again::AfterTick => tokio::select! {
                () = tokio::time::sleep(jittered(self.task.every())) => {}
                () = self.wake.notified() => {}
            },
        }
    }
}

/// The pause after so many failures in a row: it doubles up to [`LONGEST_PAUSE`], and is `every` at least.
fn pause_after(every: Duration, failures: u32) -> Duration {
    let doubled = every.saturating_mul(2_u32.saturating_pow(failures));
    jittered(doubled.min(LONGEST_PAUSE.max(every)))
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + JITTER * (2.0 * fastrand::f64() - 1.0))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use tokio::task::LocalSet;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::error::Error;

    const TICK: Duration = Duration::from_millis(2);
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Does as the list says, and then nothing.
    #[derive(Clone, Default)]
    struct Scripted<const EVERY_MS: u64> {
        answers: Rc<RefCell<Vec<Result<Again>>>>,
        runs: Rc<Cell<u32>>,
        takes: Duration,
        ended: Rc<Cell<u32>>,
    }

    impl<const EVERY_MS: u64> Task for Scripted<EVERY_MS> {
        const NAME: &'static str = "test.scripted";
        const EVERY: Duration = Duration::from_millis(EVERY_MS);

        async fn run_once(&self) -> Result<Report> {
            self.runs.set(self.runs.get() + 1);
            sleep(self.takes).await;
            self.ended.set(self.ended.get() + 1);
            let next = self.answers.borrow_mut().pop().unwrap_or(Ok(Again::AfterTick));
            next.map(|again| Report { done: 1, again })
        }
    }

    async fn runs<const EVERY_MS: u64>(task: &Scripted<EVERY_MS>, count: u32) {
        let reached = async {
            while task.runs.get() < count {
                sleep(TICK).await;
            }
        };
        timeout(PATIENCE, reached).await.expect("so many runs");
    }

    fn failure() -> Result<Again> {
        Err(Error::StoreUnavailable("Redis cannot be reached".to_owned()))
    }

    #[tokio::test]
    async fn a_task_runs_at_once_and_at_each_tick() {
        let work = async {
            let (task, mut driver) = (Scripted::<5>::default(), Driver::default());
            let _handle = driver.start(task.clone());
            runs(&task, 4).await;
            driver.stop().await;
            let after = task.runs.get();
            sleep(TICK * 10).await;
            assert_eq!((task.runs.get(), task.ended.get()), (after, after));
        };
        LocalSet::new().run_until(work).await;
    }

    #[tokio::test]
    async fn more_work_runs_at_once_and_a_wake_up_before_the_tick() {
        let work = async {
            let (task, mut driver) = (Scripted::<3_600_000>::default(), Driver::default());
            task.answers.borrow_mut().extend([Ok(Again::Now), Ok(Again::Now)]);
            let handle = driver.start(task.clone());
            runs(&task, 3).await;
            sleep(TICK * 10).await;
            assert_eq!(task.runs.get(), 3);
            std::thread::spawn(move || handle.wake()).join().expect("no panic");
            runs(&task, 4).await;
            driver.stop().await;
        };
        LocalSet::new().run_until(work).await;
    }

    #[tokio::test]
    async fn a_failing_task_goes_on_and_is_counted() {
        let work = async {
            let metrics = Metrics::default();
            let (task, mut driver) = (Scripted::<1>::default(), Driver::new(metrics.clone()));
            task.answers.borrow_mut().extend([failure(), failure(), failure()]);
            let handle = driver.start(task.clone());
            handle.wake();
            runs(&task, 5).await;
            driver.stop().await;
            let text = metrics.render().expect("text");
            assert!(text.contains("ranq_task_errors_total{task=\"test.scripted\"} 3"), "{text}");
            assert!(text.contains("ranq_task_runs_total{task=\"test.scripted\"} "), "{text}");
        };
        LocalSet::new().run_until(work).await;
    }

    #[tokio::test]
    async fn a_run_may_end_after_the_stop() {
        let work = async {
            let mut driver = Driver::default();
            let task = Scripted::<1> { takes: TICK * 20, ..Scripted::default() };
            let _handle = driver.start(task.clone());
            runs(&task, 1).await;
            driver.stop().await;
            assert_eq!((task.runs.get(), task.ended.get()), (1, 1));
        };
        LocalSet::new().run_until(work).await;
    }

    #[tokio::test]
    async fn a_run_that_does_not_end_is_cut_off() {
        let work = async {
            let mut driver = Driver::default();
            let task = Scripted::<1> { takes: Duration::from_secs(3600), ..Scripted::default() };
            let _handle = driver.start(task.clone());
            runs(&task, 1).await;
            timeout(PATIENCE, driver.stop()).await.expect("it stops");
            assert_eq!((task.ended.get(), Rc::strong_count(&task.runs)), (0, 1));
        };
        LocalSet::new().run_until(work).await;
    }

    #[test]
    fn pauses_after_failures_double_up_to_a_limit() {
        let near = |pause: Duration, millis: f64| {
            let share = pause.as_secs_f64() * 1000.0 / millis;
            assert!((0.9..=1.1).contains(&share), "{pause:?} for {millis}");
        };
        near(pause_after(Duration::from_millis(100), 1), 200.0);
        near(pause_after(Duration::from_millis(100), 4), 1600.0);
        near(pause_after(Duration::from_millis(100), 40), 5000.0);
        near(pause_after(Duration::from_secs(60), 1), 60_000.0);
        near(pause_after(Duration::from_secs(60), u32::MAX), 60_000.0);
    }
}
