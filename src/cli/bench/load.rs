//! Drives the connections through one workload.

use std::cell::RefCell;
use std::io;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::{Builder, Runtime};

use super::client::{Connection, Failure};
use super::control::Control;
use super::measured::Measured;
use super::options::Options;
use super::requests::{Requests, Workload};

/// How often the bar moves and Ctrl-C is looked for.
const TICK: Duration = Duration::from_millis(100);
const BAR: &str = "{msg:13} {wide_bar} {eta:>4}";

/// How much is asked at once, and for how long.
pub struct Load {
    connections: u64,
    threads: u64,
    duration: Duration,
}

/// What the threads of one measurement share.
struct Course<'a> {
    requests: &'a Requests<'a>,
    workload: Workload,
    duration: Duration,
    /// All connections are open: the clock starts.
    open: Barrier,
    interrupted: AtomicBool,
}

impl Load {
    pub fn new(options: &Options) -> Self {
        Self {
            connections: options.connections,
            threads: options.threads.min(options.connections),
            duration: Duration::from_secs(options.seconds),
        }
    }

    /// Measures a workload. Requests that are on their way at its end are waited for and counted, and so is their time.
    pub fn measure(
        &self,
        control: &mut Control,
        requests: &Requests<'_>,
        workload: Workload,
    ) -> Result<Measured, Failure> {
        let threads = self.threads as usize;
        let course = Course {
            requests,
            workload,
            duration: self.duration,
            open: Barrier::new(threads),
            interrupted: AtomicBool::new(false),
        };
        let runtimes: io::Result<Vec<Runtime>> =
            (0..threads).map(|_| Builder::new_current_thread().enable_all().build()).collect();
        let runtimes = runtimes.map_err(Failure::Start)?;
        thread::scope(|scope| {
            let run = |(number, runtime)| {
                let (course, connections) = (&course, self.share(number));
                scope.spawn(move || course.run(&runtime, connections))
            };
            let running: Vec<_> = (0..self.threads).zip(runtimes).map(run).collect();
            let waited = self.wait(control, &running, workload);
            course.interrupted.store(waited.is_err(), Ordering::Relaxed);
            let measured = join(running);
            waited.and(measured)
        })
    }

    /// The connections of one thread: they are spread evenly.
    fn share(&self, thread: u64) -> u64 {
        self.connections / self.threads + u64::from(thread < self.connections % self.threads)
    }

    /// Shows a bar, where there is a terminal, until all threads have ended.
    fn wait<T>(
        &self,
        control: &mut Control,
        running: &[ScopedJoinHandle<'_, T>],
        workload: Workload,
    ) -> Result<(), Failure> {
        let style = ProgressStyle::with_template(BAR).expect("the template is a constant, and a test parses it");
        let bar = ProgressBar::new(self.duration.as_millis() as u64).with_style(style).with_message(workload.name());
        let begin = Instant::now();
        while !running.iter().all(ScopedJoinHandle::is_finished) {
            control.pause(TICK)?;
            bar.set_position(begin.elapsed().as_millis() as u64);
        }
        bar.finish_and_clear();
        Ok(())
    }
}

fn join(running: Vec<ScopedJoinHandle<'_, Result<Measured, Failure>>>) -> Result<Measured, Failure> {
    let mut all = Measured::new();
    for thread in running {
        all.add(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    Ok(all)
}

impl Course<'_> {
    fn run(&self, runtime: &Runtime, connections: u64) -> Result<Measured, Failure> {
        let opened = runtime.block_on(join_all((0..connections).map(|_| self.open())));
        // Before failures are looked at: the other threads wait for this one too.
        self.open.wait();
        let opened: Vec<Connection> = opened.into_iter().collect::<Result<_, _>>()?;
        let measured = RefCell::new(Measured::new());
        let begin = Instant::now();
        let until = begin + self.duration;
        runtime.block_on(join_all(opened.into_iter().map(|connection| self.drive(connection, until, &measured))));
        let mut measured = measured.into_inner();
        measured.elapsed = begin.elapsed();
        Ok(measured)
    }

    /// Opens a connection and asks once, so that no measured request pays for what happens only once.
    async fn open(&self) -> Result<Connection, Failure> {
        let mut connection = Connection::open(self.requests.target).await?;
        match self.ask(&mut connection).await {
            // A refusal comes again, and is counted then.
            Ok(()) | Err(Failure::Refused { .. }) => Ok(connection),
            Err(failure) => Err(failure),
        }
    }

    async fn drive(&self, mut connection: Connection, until: Instant, measured: &RefCell<Measured>) {
        let mut now = Instant::now();
        while now < until && !self.interrupted.load(Ordering::Relaxed) {
            let answer = self.ask(&mut connection).await;
            let answered = Instant::now();
            let goes_on = matches!(answer, Ok(()) | Err(Failure::Refused { .. })) && connection.is_open();
            measured.borrow_mut().count(answer, answered - now);
            now = answered;
            if !goes_on {
                match Connection::open(self.requests.target).await {
                    Ok(again) => connection = again,
                    // One failure is enough to tell that the service is gone.
                    Err(failure) => return measured.borrow_mut().count(Err(failure), Duration::ZERO),
                }
            }
        }
    }

    async fn ask(&self, connection: &mut Connection) -> Result<(), Failure> {
        let answer = connection.send(self.requests.next(self.workload)).await?;
        if self.workload.accepts(&answer) { Ok(()) } else { Err(Failure::refused(hyper::StatusCode::OK, &answer)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_evenly() {
        let load = Load { connections: 10, threads: 3, duration: Duration::ZERO };
        assert_eq!([0, 1, 2].map(|thread| load.share(thread)), [4, 3, 3]);
    }

    #[test]
    fn the_template_of_the_bar_is_one() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
