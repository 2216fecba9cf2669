//! One connection of one handle: made when it is needed, kept while it works.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;

use super::failure::{Failure, NoConnection};

/// The pause after a connection could not be made, during which calls fail at once.
pub(super) const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// A connection that all calls of one handle to one server share.
#[derive(Default)]
pub(super) struct Line {
    current: Mutex<Current>,
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that a late error of an old one does not drop its successor.
    generation: u64,
    /// Who was the master when the connection was made.
    era: u64,
    failed: Option<(Instant, NoConnection)>,
}

impl Line {
    /// The connection of this era, and its generation. It is made by `connect` where there is none.
    pub(super) async fn connection(
        &self,
        era: u64,
        connect: impl AsyncFnOnce() -> Result<MultiplexedConnection, NoConnection>,
    ) -> Result<(MultiplexedConnection, u64), Failure> {
        match self.standing(era)? {
            Some(found) => Ok(found),
            // In a box, since it is rare, and the futures of all calls would be as large as it.
            None => Box::pin(self.connect(era, connect)).await,
        }
    }

    async fn connect(
        &self,
        era: u64,
        connect: impl AsyncFnOnce() -> Result<MultiplexedConnection, NoConnection>,
    ) -> Result<(MultiplexedConnection, u64), Failure> {
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(found) = self.standing(era)? {
            return Ok(found);
        }
        let connected = connect().await;
        let mut current = self.lock();
        match connected {
            Ok(connection) => {
                let generation = current.generation + 1;
                *current = Current { connection: Some(connection.clone()), generation, era, failed: None };
                Ok((connection, generation))
            }
            Err(why) => {
                current.failed = Some((Instant::now(), why));
                Err(Failure::NotConnected(why))
            }
        }
    }

    /// The connection that stands, if any; an error while the pause after a failure lasts.
    fn standing(&self, era: u64) -> Result<Option<(MultiplexedConnection, u64)>, Failure> {
        let mut current = self.lock();
        if current.era != era {
            current.connection = None;
        }
        if let Some(connection) = &current.connection {
            return Ok(Some((connection.clone(), current.generation)));
        }
        match current.failed {
            Some((at, why)) if at.elapsed() < RECONNECT_PAUSE => Err(Failure::NotConnected(why)),
            Some(_) | None => Ok(None),
        }
    }

    pub(super) fn drop_connection(&self, generation: u64) {
        let mut current = self.lock();
        if current.generation == generation {
            current.connection = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
