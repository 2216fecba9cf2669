//! Long-lived connections, taken through the pool and shared by all calls of one handle.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_redis::{Manager, Pool, Runtime};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ConnectionInfo, IntoConnectionInfo as _, Value};

use super::failure::{Failure, NoConnection};
use super::{Effect, Subscriber};
use crate::config::RedisTarget;
use crate::error::{Error, Result};
use crate::metrics::Metrics;

/// Commands that may wait for one connection's writer.
const PIPELINE_DEPTH: usize = 4096;
/// Connections that the pool may hand out for use of their own.
const POOL_SIZE: usize = 64;
/// The pause after a connection could not be made, during which calls fail at once.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// A handle to Redis. Its clones share one multiplexed connection; [`Db::handle`] gives one with its own.
#[derive(Clone)]
pub struct Db {
    shared: Arc<Shared>,
    local: Arc<Local>,
}

struct Shared {
    pool: Pool,
    info: ConnectionInfo,
    timeout: Duration,
    metrics: Metrics,
}

#[derive(Default)]
struct Local {
    current: Mutex<Current>,
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that a late error of an old one does not drop its successor.
    generation: u64,
    failed: Option<(Instant, NoConnection)>,
}

impl Db {
    /// A handle to the server of `info`. Nothing is connected before the first call.
    ///
    /// # Errors
    ///
    /// `StoreUnavailable` when the connection's parameters make no sense.
    pub fn open(info: ConnectionInfo, timeout: Duration, metrics: Metrics) -> Result<Self> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout))
            .set_pipeline_buffer_size(PIPELINE_DEPTH);
        let manager = Manager::new_with_config(info.clone(), config).map_err(unavailable)?;
        let pool = Pool::builder(manager)
            .max_size(POOL_SIZE)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(timeout))
            .wait_timeout(Some(timeout))
            .recycle_timeout(Some(timeout))
            .build()
            .map_err(unavailable)?;
        Ok(Self { shared: Arc::new(Shared { pool, info, timeout, metrics }), local: Arc::default() })
    }

    /// A handle to the Redis of the settings beside a service that runs: its private one is found by its data directory.
    ///
    /// # Errors
    ///
    /// As [`Db::open`].
    pub fn beside(target: &RedisTarget, timeout: Duration, metrics: Metrics) -> Result<Self> {
        let info = match target {
            RedisTarget::Embedded(directory) => {
                let socket = super::embedded::socket_of(directory).map_err(|error| {
                    Error::StoreUnavailable(format!("no service keeps its data in {}: {error}", directory.display()))
                })?;
                redis::ConnectionAddr::Unix(socket).into_connection_info().map_err(unavailable)?
            }
            RedisTarget::Server(server) => super::connection_to(server).map_err(unavailable)?,
        };
        Self::open(info, timeout, metrics)
    }

    /// A handle with a connection of its own, for another thread: its commands share pipelines among themselves.
    pub fn handle(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), local: Arc::default() }
    }

    /// A subscription to one channel of the same server, on a connection of its own.
    pub fn subscriber(&self, channel: &str) -> Subscriber {
        let Shared { info, timeout, metrics, .. } = &*self.shared;
        Subscriber::new(info.clone(), channel.to_owned(), *timeout, metrics.clone())
    }

    /// Sends one command and gives its answer. A read whose connection was gone is sent once more on a new one.
    pub(super) async fn command(
        &self,
        command: &Cmd,
        name: &'static str,
        effect: Effect,
    ) -> std::result::Result<Value, Failure> {
        let started = Instant::now();
        let mut result = self.send(command).await;
        if effect == Effect::Read && result.as_ref().is_err_and(Failure::is_lost_connection) {
            result = self.send(command).await;
        }
        // A script that the server does not know yet is loaded and called again: nothing has failed.
        let has_failed = result.as_ref().is_err_and(|failure| !failure.is_unknown_script());
        self.shared.metrics.redis_call(name, started.elapsed(), !has_failed);
        result
    }

    async fn send(&self, command: &Cmd) -> std::result::Result<Value, Failure> {
        let (mut connection, generation) = self.connection().await?;
        let result = match connection.send_packed_command(command).await {
            Ok(Value::ServerError(error)) => Err(Failure::Redis(error.into())),
            answer => answer.map_err(Failure::Redis),
        };
        if result.as_ref().is_err_and(Failure::spoils_connection) {
            self.drop_connection(generation);
        }
        result
    }

    async fn connection(&self) -> std::result::Result<(MultiplexedConnection, u64), Failure> {
        if let Some(found) = self.current()? {
            return Ok(found);
        }
        let _one_at_a_time = self.local.connecting.lock().await;
        if let Some(found) = self.current()? {
            return Ok(found);
        }
        let connected = self.shared.pool.get().await;
        let mut current = self.local.current.lock().unwrap_or_else(PoisonError::into_inner);
        match connected {
            Ok(pooled) => {
                let connection = deadpool_redis::Connection::take(pooled);
                current.generation += 1;
                current.connection = Some(connection.clone());
                current.failed = None;
                self.shared.metrics.redis_connected();
                Ok((connection, current.generation))
            }
            Err(error) => {
                let why = NoConnection::of(&error);
                current.failed = Some((Instant::now(), why));
                tracing::warn!(error = %error, "{why}: {error}");
                Err(Failure::NotConnected(why))
            }
        }
    }

    /// The connection that stands, if any; an error while the pause after a failure lasts.
    fn current(&self) -> std::result::Result<Option<(MultiplexedConnection, u64)>, Failure> {
        let current = self.local.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = &current.connection {
            return Ok(Some((connection.clone(), current.generation)));
        }
        match current.failed {
            Some((at, why)) if at.elapsed() < RECONNECT_PAUSE => Err(Failure::NotConnected(why)),
            Some(_) | None => Ok(None),
        }
    }

    fn drop_connection(&self, generation: u64) {
        let mut current = self.local.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.generation == generation {
            current.connection = None;
        }
    }

    /// Runs a plain command.
    ///
    /// # Errors
    ///
    /// As [`super::ScriptCall::run`].
    pub async fn run(&self, command: &Cmd, name: &'static str, effect: Effect) -> Result<Value> {
        self.command(command, name, effect).await.map_err(|failure| failure.into_error(effect))
    }
}

fn unavailable(error: impl std::fmt::Display) -> Error {
    Error::StoreUnavailable(error.to_string())
}
