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
use super::measured::Measured;
use super::options::Options;
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
}

/// What the threads of one measurement share.
struct Course<'a> {
    target: &'a Target,
    watched: Watched,
    /// What each connection begins with.
    asker: &'a Asker<'a>,
    duration: Duration,
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
        }
    }

    /// Measures a workload. Requests that are on their way at its end are waited for and counted, and so is their time.
    pub fn measure(&self, control: &mut Control, name: &'static str, asker: &Asker<'_>) -> Result<Measured, Failure> {
        let threads = self.threads as usize;
        let course = Course {
            target: self.target,
            watched: self.watched,
            asker,
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
            let waited = self.wait(control, &running, name);
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

/// A connection, and where its conversation stands.
struct Client<'a> {
    connection: Connection,
    asker: Asker<'a>,
}

impl<'a> Course<'a> {
    fn run(&self, runtime: &Runtime, connections: u64) -> Result<Measured, Failure> {
        let opened = runtime.block_on(join_all((0..connections).map(|_| self.open())));
        // Before failures are looked at: the other threads wait for this one too.
        let looks = self.open.wait().is_leader();
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
    async fn open(&self) -> Result<Client<'a>, Failure> {
        let connection = Connection::open(self.target).await?;
        let mut client = Client { connection, asker: self.asker.clone() };
        match client.ask().await {
            // A refusal comes again, and is counted then.
            Ok(_) | Err(Failure::Refused { .. }) => Ok(client),
            Err(failure) => Err(failure),
        }
    }

    async fn drive(&self, mut client: Client<'a>, until: Instant, measured: &RefCell<Measured>) {
        let mut now = Instant::now();
        while now < until && !self.interrupted.load(Ordering::Relaxed) {
            let answer = client.ask().await;
            let answered = Instant::now();
            let answers = matches!(answer, Ok(_) | Err(Failure::Refused { .. } | Failure::NoJob));
            measured.borrow_mut().count(answer, answered - now);
            now = answered;
            if !answers || !client.connection.is_open() {
                match Connection::open(self.target).await {
                    Ok(again) => client.connection = again,
                    // One failure is enough to tell that the service is gone.
                    Err(failure) => return measured.borrow_mut().count(Err(failure), Duration::ZERO),
                }
            }
        }
    }
}

impl Client<'_> {
    async fn ask(&mut self) -> Result<u64, Failure> {
        match self.connection.send(self.asker.next()).await {
            Ok(answer) => self.asker.take(&answer),
            Err(failure) => {
                self.asker.restart();
                Err(failure)
            }
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
        };
        assert_eq!([0, 1, 2].map(|thread| load.share(thread)), [4, 3, 3]);
    }
}
