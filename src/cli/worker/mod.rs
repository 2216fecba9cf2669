//! `ranq worker`

mod exec;
mod options;
mod output;
mod watcher;

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{info, warn};

pub(super) use self::options::Options;

use self::exec::Exec;
use super::Outcome;
use crate::telemetry;
use crate::worker::Worker;

pub(super) fn run(options: Options) -> Outcome {
    telemetry::start(&options.log, options.log_format)?;
    let program = exec::find(&options.exec)?;
    let (worker, arguments) = options.into_worker()?;
    // One thread: a child is told to end when the *thread* that forked it ends, and this one lives as long as the process.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work(worker, program, arguments))
}

async fn work(worker: Worker, program: std::path::PathBuf, arguments: Vec<std::ffi::OsString>) -> Outcome {
    let mut signals =
        Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    let exec = Arc::new(Exec::new(program, arguments, worker.name())?);
    info!(worker = %worker.name(), "worker {} takes jobs", worker.name());

    let (stop, stopped) = oneshot::channel();
    let at_once = async move {
        signals.next().await;
        // The worker may have ended by itself in the same moment.
        let _ = stop.send(());
        signals.next().await;
    };
    let handler = move |job| {
        let exec = Arc::clone(&exec);
        async move { exec.run(job).await }
    };
    tokio::select! {
        summary = worker.run(handler, async { drop(stopped.await) }) => {
            info!("stopped; {}", summary?);
            Ok(())
        }
        // The commands that run are killed with the value that ran them.
        () = at_once => {
            warn!("a second signal: what runs is killed, and its jobs come back when their leases end");
            Err("stopped before the running jobs were done".into())
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
