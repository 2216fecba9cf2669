//! What waits: for the service, for the load, and for Ctrl-C.

use std::io;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::client::Failure;

const BAR: &str = "{msg:13} {wide_bar} {eta:>4}";

/// Waits on the main thread, and ends the waiting at Ctrl-C, so that what was created is deleted then too.
pub struct Control {
    runtime: Runtime,
    interrupt: Signal,
}

impl Control {
    pub fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let interrupt = runtime.block_on(async { signal(SignalKind::interrupt()) })?;
        Ok(Self { runtime, interrupt })
    }

    /// Does some work, unless it is interrupted.
    pub fn run<T>(&mut self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.runtime.block_on(async {
            tokio::select! {
                done = work => done,
                _ = self.interrupt.recv() => Err(Failure::Interrupted),
            }
        })
    }

    /// Does some work to its end.
    pub fn finish<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.runtime.block_on(work)
    }

    /// Waits a moment, unless it is interrupted.
    pub fn pause(&mut self, moment: Duration) -> Result<(), Failure> {
        self.run(async {
            tokio::time::sleep(moment).await;
            Ok(())
        })
    }
}

/// Shows how far a measurement is, where there is a terminal. It counts milliseconds.
pub fn bar(name: &'static str, duration: Duration) -> ProgressBar {
    let style = ProgressStyle::with_template(BAR).expect("the template is a constant, and a test parses it");
    ProgressBar::new(duration.as_millis() as u64).with_style(style).with_message(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_of_the_bar_is_one() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
