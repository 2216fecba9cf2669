//! One Redis server, and the pool that makes connections to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::{Manager, Pool, Runtime};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ConnectionInfo, Value};

use super::failure::{Failure, NoConnection};
use super::server::moved_to;
use crate::error::{Error, Result};

/// Commands that may wait for one connection's writer.
const PIPELINE_DEPTH: usize = 4096;
/// Connections that the pool may hand out for use of their own.
const POOL_SIZE: usize = 64;

/// A server that can be connected to.
pub(super) struct Node {
    /// `host:port`, for logs and to know it again.
    pub(super) name: String,
    pub(super) info: ConnectionInfo,
    pool: Pool,
}

/// Servers that are only known by their addresses: Sentinels or a Cluster named them.
pub(super) struct Nodes {
    /// How each is connected to, but for its address.
    template: ConnectionInfo,
    timeout: Duration,
    known: Mutex<HashMap<(String, u16), Arc<Node>>>,
}

impl Nodes {
    pub(super) fn new(template: ConnectionInfo, timeout: Duration) -> Self {
        Self { template, timeout, known: Mutex::default() }
    }

    /// The node at an address, the same each time.
    ///
    /// # Errors
    ///
    /// As [`Node::new`].
    pub(super) fn at(&self, host: &str, port: u16) -> Result<Arc<Node>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let address = (host.to_owned(), port);
        if let Some(node) = known.get(&address) {
            return Ok(Arc::clone(node));
        }
        let node = Arc::new(Node::new(moved_to(&self.template, host, port), self.timeout)?);
        known.insert(address, Arc::clone(&node));
        Ok(node)
    }
}

impl Node {
    /// # Errors
    ///
    /// `StoreUnavailable` when the connection's parameters make no sense.
    pub(super) fn new(info: ConnectionInfo, timeout: Duration) -> Result<Self> {
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
        Ok(Self { name: info.addr().to_string(), info, pool })
    }

    /// A connection for long use; it does not go back to the pool.
    pub(super) async fn connect(&self) -> std::result::Result<MultiplexedConnection, NoConnection> {
        match self.pool.get().await {
            Ok(pooled) => Ok(deadpool_redis::Connection::take(pooled)),
            Err(error) => {
                let why = NoConnection::of(&error);
                tracing::warn!(error = %error, node = %self.name, "{why}: {error}");
                Err(why)
            }
        }
    }

    /// Asks once, over a connection of the pool.
    pub(super) async fn ask(&self, command: &Cmd) -> std::result::Result<Value, Failure> {
        let mut pooled = self.pool.get().await.map_err(|error| Failure::NotConnected(NoConnection::of(&error)))?;
        match redis::aio::ConnectionLike::req_packed_command(&mut pooled, command).await {
            Ok(Value::ServerError(error)) => Err(Failure::Redis(error.into())),
            answer => answer.map_err(Failure::Redis),
        }
    }
}

fn unavailable(error: impl std::fmt::Display) -> Error {
    Error::StoreUnavailable(error.to_string())
}
