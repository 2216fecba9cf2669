//! Waiting until replicas have what was written (Redis documentation: WAIT).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::sync::Mutex;

use super::failure::Failure;

/// Waits on one connection. What was written while another wait was under way shares the next one.
#[derive(Default)]
pub(super) struct Replicated {
    /// How many writes have asked.
    asked: AtomicU64,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    /// Up to which of those who asked the last wait counts.
    up_to: u64,
    replicas: u32,
}

impl Replicated {
    /// Returns when so many replicas have all that was written over the connection so far.
    ///
    /// # Errors
    ///
    /// `NotReplicated` where they have it not in time: it is written, and may be lost with the master.
    pub(super) async fn wait(
        &self,
        connection: &mut MultiplexedConnection,
        replicas: u32,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut done = self.done.lock().await;
        if done.up_to < mine {
            // All who have asked by now had their answers before.
            let up_to = self.asked.load(Ordering::SeqCst);
            let mut wait = redis::cmd("WAIT");
            // Ends before the client gives up, so that the connection stays whole.
            wait.arg(replicas).arg((timeout / 2).as_millis() as u64);
            let reached = match connection.send_packed_command(&wait).await {
                Ok(Value::Int(reached)) => reached,
                Err(error) if error.is_io_error() => return Err(Failure::Redis(error)),
                // A master that becomes a replica ends all waits with an error.
                Ok(_) | Err(_) => 0,
            };
            *done = Done { up_to, replicas: u32::try_from(reached).unwrap_or(0) };
        }
        if done.replicas < replicas {
            Err(Failure::NotReplicated { wanted: replicas, reached: done.replicas })
        } else {
            Ok(())
        }
    }
}
