//! Drives the connections through one workload.

use std::cell::RefCell;
use std::io;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};

use super::client::{Connection, Failure, Target};
use super::control::{Control, bar};
use super::direct::{Caller, Calls, Lines, Store};
use super::measured::Measured;
use super::options::Options;
use super::pace::Pace;
use super::process::Watched;
use super::requests::Asker;

/// How often the bar moves and Ctrl-C is looked for.
const TICK: Duration = Duration::from_millis(100);

/// How much is asked at once, and for how long.
pub struct Load<'a> {
    target: &'a Target,
    watched: Watched,
    connections: u64,
    threads: u64,
    duration: Duration,
    /// The requests a second of an open loop; a closed one without.
    rate: Option<u64>,
}

/// Who is asked.
pub enum Asked<'a> {
    /// The service; each connection begins with this.
    Service(&'a Asker<'a>),
    /// Its store, likewise.
    Store(&'a Store, Calls<'a>, Lines),
}

/// What the threads of one measurement share.
struct Course<'a> {
    target: &'a Target,
    watched: Watched,
    asked: &'a Asked<'a>,
    duration: Duration,
    pace: Option<Pace>,
    /// All connections are open: the clock starts.
    open: Barrier,
    interrupted: AtomicBool,
}

impl<'a> Load<'a> {
    pub fn new(target: &'a Target, watched: Watched, options: &Options) -> Self {
        Self {
            target,
            watched,
            connections: options.connections,
            threads: options.threads.min(options.connections),
            duration: Duration::from_secs(options.seconds),
            rate: options.rate,
        }
    }

    /// Measures a workload. Requests that are on their way at its end are waited for and counted, and so is their time.
    pub fn measure(&self, control: &mut Control, name: &'static str, asked: &Asked<'_>) -> Result<Measured, Failure> {
        let threads = self.threads as usize;
        let course = Course {
            target: self.target,
            watched: self.watched,
            asked,
            duration: self.duration,
            pace: self.rate.map(|rate| Pace::new(rate, self.duration)),
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
            let waited = self.wait(control, &running, name);
            if waited.is_err() {
                course.interrupt();
            }
            let joined = join(running);
            waited?;
            let mut measured = joined?;
            if let Some(pace) = &course.pace {
                measured.keep_pace(pace);
            }
            Ok(measured)
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
        name: &'static str,
    ) -> Result<(), Failure> {
        let bar = bar(name, self.duration);
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

/// One of those that ask at the same time, and where its conversation stands.
enum Client<'a> {
    Service { connection: Connection, asker: Asker<'a> },
    Store(Box<Caller<'a>>),
}

impl<'a> Course<'a> {
    fn run(&self, runtime: &Runtime, connections: u64) -> Result<Measured, Failure> {
        // The connection of this thread, where all its callers share one.
        let shared = match self.asked {
            Asked::Service(_) => None,
            Asked::Store(store, ..) => Some(store.handle()),
        };
        let opened = runtime.block_on(join_all((0..connections).map(|_| self.open(shared.as_ref()))));
        // Before failures are looked at: the other threads wait for this one too.
        let looks = self.open.wait().is_leader();
        if let Some(pace) = self.pace.as_ref().filter(|_| looks) {
            pace.begin();
        }
        let opened: Vec<Client<'_>> = opened.into_iter().collect::<Result<_, _>>()?;
        let before = looks.then(|| self.watched.read());
        let measured = RefCell::new(Measured::new());
        let begin = Instant::now();
        let until = begin + self.duration;
        runtime.block_on(join_all(opened.into_iter().map(|client| self.drive(client, until, &measured))));
        let mut measured = measured.into_inner();
        measured.elapsed = begin.elapsed();
        if let Some(before) = before {
            measured.used = before.until(&self.watched.read());
        }
        Ok(measured)
    }

    /// Opens a connection and asks once, so that no measured request pays for what happens only once.
    async fn open(&self, shared: Option<&Store>) -> Result<Client<'a>, Failure> {
        let mut client = match self.asked {
            Asked::Service(asker) => {
                Client::Service { connection: Connection::open(self.target).await?, asker: (*asker).clone() }
            }
            Asked::Store(store, calls, lines) => {
                let shared = shared.filter(|_| *lines == Lines::Shared).cloned();
                Client::Store(Box::new(Caller::new(shared.unwrap_or_else(|| store.handle()), calls.clone())))
            }
        };
        match client.ask().await {
            // A refusal comes again, and is counted then.
            Ok(_) | Err(Failure::Refused { .. }) => Ok(client),
            Err(failure) => Err(failure),
        }
    }

    /// When the next request begins: at once in a closed loop, and when it is due in an open one. `None` at the end.
    async fn next(&self, now: Instant, until: Instant) -> Option<Instant> {
        match &self.pace {
            Some(pace) => pace.next().await.map(|due| due.at),
            None => (now < until && !self.interrupted.load(Ordering::Relaxed)).then_some(now),
        }
    }

    fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
        if let Some(pace) = &self.pace {
            pace.stop();
        }
    }

    async fn drive(&self, mut client: Client<'a>, until: Instant, measured: &RefCell<Measured>) {
        let mut now = Instant::now();
        while let Some(asked) = self.next(now, until).await {
            let answer = client.ask().await;
            let answered = Instant::now();
            let answers = matches!(answer, Ok(_) | Err(Failure::Refused { .. } | Failure::NoJob | Failure::NotAcked));
            measured.borrow_mut().count(answer, answered - asked);
            now = answered;
            match &mut client {
                Client::Service { connection, .. } if !answers || !connection.is_open() => {
                    match Connection::open(self.target).await {
                        Ok(again) => *connection = again,
                        // One failure is enough to tell that the service is gone.
                        Err(failure) => return measured.borrow_mut().count(Err(failure), Duration::ZERO),
                    }
                }
                // Likewise.
                Client::Store(_) if !answers => return,
                Client::Service { .. } | Client::Store(_) => {}
            }
        }
    }
}

impl Client<'_> {
    async fn ask(&mut self) -> Result<u64, Failure> {
        match self {
            Self::Service { connection, asker } => match connection.send(asker.next()).await {
                Ok(answer) => asker.take(&answer),
                Err(failure) => {
                    asker.restart();
                    Err(failure)
                }
            },
            Self::Store(caller) => caller.call().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_evenly() {
        let target = Target::at(([127, 0, 0, 1], 1).into());
        let load = Load {
            target: &target,
            watched: Watched::default(),
            connections: 10,
            threads: 3,
            duration: Duration::ZERO,
            rate: None,
        };
        assert_eq!([0, 1, 2].map(|thread| load.share(thread)), [4, 3, 3]);
    }
}
