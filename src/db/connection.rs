//! Handles: calls of Redis, each over the connection to whichever server has to do with it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, IntoConnectionInfo as _, Value};
use tokio::time::sleep;

use super::cluster::{Cluster, Redirect, slot_of};
use super::failure::{Failure, NoConnection};
use super::line::Line;
use super::node::Node;
use super::replicated::Replicated;
use super::sentinel::Sentinel;
use super::server::Target;
use super::{Effect, Subscriber};
use crate::config::RedisTarget;
use crate::error::{Error, Result};
use crate::metrics::Metrics;

/// How long a call waits for half-moved keys of a Cluster before it tries again.
const TRY_AGAIN_PAUSE: Duration = Duration::from_millis(20);

/// A handle to Redis. Its clones share one multiplexed connection; [`Db::handle`] gives one with its own.
#[derive(Clone)]
pub struct Db {
    shared: Arc<Shared>,
    local: Arc<Local>,
}

pub(super) struct Shared {
    pub(super) way: Way,
    pub(super) timeout: Duration,
    pub(super) metrics: Metrics,
    /// Replicas that each write waits for.
    replicas: u32,
}

/// How the server of a call is found.
pub(super) enum Way {
    Server(Arc<Node>),
    Sentinel(Sentinel),
    Cluster(Cluster),
}

#[derive(Default)]
struct Local {
    /// To the only server, or to the master that Sentinels know.
    only: Lines,
    /// To the nodes of a Cluster, by their names.
    each: Mutex<HashMap<String, Arc<Lines>>>,
}

/// The connections of a handle to one server.
#[derive(Default)]
struct Lines {
    all: Line,
    /// What writes when each write waits for replicas: that waiting holds up all that is behind it on the connection.
    writes: Line,
    replicated: Replicated,
}

/// One of the servers that share the keys among them.
pub(super) struct Part(Option<Arc<Node>>);

type Answer = std::result::Result<Value, Failure>;

/// One command on its way.
#[derive(Clone, Copy)]
struct Call<'a> {
    command: &'a Cmd,
    effect: Effect,
    /// Whether the slot of its key is only moving to the node that it is sent to, which takes it this once.
    asking: bool,
}

impl<'a> Call<'a> {
    fn new(command: &'a Cmd, effect: Effect) -> Self {
        Self { command, effect, asking: false }
    }

    async fn send(&self, connection: &mut MultiplexedConnection) -> Answer {
        let answer = if self.asking {
            let mut both = redis::pipe();
            both.cmd("ASKING").add_command(self.command.clone());
            let answers = connection.send_packed_commands(&both, 1, 1).await;
            answers.map(|mut answers| answers.pop().unwrap_or(Value::Nil))
        } else {
            connection.send_packed_command(self.command).await
        };
        match answer {
            Ok(Value::ServerError(error)) => Err(Failure::Redis(error.into())),
            answer => answer.map_err(Failure::Redis),
        }
    }
}

impl Db {
    /// A handle to what `target` names. Nothing is connected before the first call.
    ///
    /// # Errors
    ///
    /// `StoreUnavailable` when the connection's parameters make no sense.
    pub fn open(target: impl Into<Target>, timeout: Duration, metrics: Metrics) -> Result<Self> {
        let way = match target.into() {
            Target::Server(info) => Way::Server(Arc::new(Node::new(info, timeout)?)),
            Target::Sentinel(target) => Way::Sentinel(Sentinel::new(target, timeout, metrics.clone())?),
            Target::Cluster(seeds) => Way::Cluster(Cluster::new(seeds, timeout)?),
        };
        Ok(Self { shared: Arc::new(Shared { way, timeout, metrics, replicas: 0 }), local: Arc::default() })
    }

    /// The same where a write is only acknowledged once so many replicas have it.
    #[must_use]
    pub fn with_replicas(self, replicas: u32) -> Self {
        // A handle that was just opened is shared with nobody.
        match Arc::try_unwrap(self.shared) {
            Ok(shared) => Self { shared: Arc::new(Shared { replicas, ..shared }), local: Arc::default() },
            Err(shared) => Self { shared, local: self.local },
        }
    }

    /// A handle to the Redis of the settings beside a service that runs: its private one is found by its data directory.
    ///
    /// # Errors
    ///
    /// As [`Db::open`].
    pub fn beside(target: &RedisTarget, timeout: Duration, metrics: Metrics) -> Result<Self> {
        let target = match target {
            RedisTarget::Embedded(directory) => {
                let socket = super::embedded::socket_of(directory).map_err(|error| {
                    Error::StoreUnavailable(format!("no service keeps its data in {}: {error}", directory.display()))
                })?;
                redis::ConnectionAddr::Unix(socket).into_connection_info().map_err(unavailable)?.into()
            }
            RedisTarget::Server(server) => Target::of(server).map_err(unavailable)?,
        };
        Self::open(target, timeout, metrics)
    }

    /// A handle with connections of its own, for another thread: its commands share pipelines among themselves.
    pub fn handle(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), local: Arc::default() }
    }

    /// A subscription to one channel of the same Redis, on a connection of its own.
    pub fn subscriber(&self, channel: &str) -> Subscriber {
        Subscriber::of(Arc::clone(&self.shared), channel.to_owned())
    }

    /// Follows what Sentinels tell of their master, for ever. Without it, a master that was replaced is only noticed when it
    /// refuses a write or ends a connection.
    pub async fn follow_master(&self) -> Infallible {
        match &self.shared.way {
            Way::Sentinel(sentinel) => sentinel.follow().await,
            Way::Server(_) | Way::Cluster(_) => std::future::pending().await,
        }
    }

    /// What all handles of this Redis share.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// How many replicas each write waits for.
    pub fn replicas(&self) -> u32 {
        self.shared.replicas
    }

    /// Sends one command and gives its answer. A read whose connection was gone is sent once more on a new one.
    pub(super) async fn command(&self, command: &Cmd, name: &'static str, effect: Effect) -> Answer {
        let started = Instant::now();
        let mut result = self.send(command, effect).await;
        if effect == Effect::Read && result.as_ref().is_err_and(Failure::is_lost_connection) {
            result = self.send(command, effect).await;
        }
        // A script that the server does not know yet is sent as a whole: nothing has failed.
        let has_failed = result.as_ref().is_err_and(|failure| !failure.is_unknown_script());
        self.shared.metrics.redis_call(name, started.elapsed(), !has_failed);
        result
    }

    async fn send(&self, command: &Cmd, effect: Effect) -> Answer {
        match &self.shared.way {
            Way::Server(node) => {
                self.send_on(&self.local.only, 0, Call::new(command, effect), async || node.connect().await).await
            }
            Way::Sentinel(sentinel) => {
                let connect = async || Box::pin(sentinel.connect()).await;
                self.send_on(&self.local.only, sentinel.era(), Call::new(command, effect), connect).await
            }
            // In a box: the futures of all calls would be as large as this one.
            Way::Cluster(cluster) => Box::pin(self.send_within(cluster, Call::new(command, effect))).await,
        }
    }

    /// Sends over one server's connection, made where there is none.
    async fn send_on(
        &self,
        lines: &Lines,
        era: u64,
        call: Call<'_>,
        connect: impl AsyncFnOnce() -> std::result::Result<MultiplexedConnection, NoConnection>,
    ) -> Answer {
        let waits = self.shared.replicas > 0 && call.effect.must_last();
        let line = if waits { &lines.writes } else { &lines.all };
        let in_time = async || {
            let connected = tokio::time::timeout(self.shared.timeout, connect()).await;
            let connected = connected.unwrap_or(Err(NoConnection::Unreachable));
            connected.inspect(|_| self.shared.metrics.redis_connected())
        };
        let (mut connection, generation) = line.connection(era, in_time).await?;
        let mut result = call.send(&mut connection).await;
        if waits && result.is_ok() {
            let replicated = lines.replicated.wait(&mut connection, self.shared.replicas, self.shared.timeout).await;
            result = replicated.and(result);
        }
        if result.as_ref().is_err_and(Failure::spoils_connection) {
            line.drop_connection(generation);
        }
        result
    }

    /// Sends to the node that has the key, and after it where it has moved.
    async fn send_within(&self, cluster: &Cluster, call: Call<'_>) -> Answer {
        let slot = slot_of(call.command);
        let give_up = Instant::now() + self.shared.timeout;
        loop {
            if cluster.master_of(slot).is_none() {
                cluster.look().await;
            }
            let node = cluster.master_of(slot).ok_or(Failure::NotConnected(NoConnection::Unreachable))?;
            let result = self.send_to(&node, call).await;
            let failure = match result {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            match failure.redirect() {
                Some(Redirect::Moved(host, port)) => cluster.moved(slot, &host, port).await,
                Some(Redirect::Ask(host, port)) => {
                    let target =
                        cluster.node(&host, port).map_err(|_| Failure::NotConnected(NoConnection::Unreachable))?;
                    match self.send_to(&target, Call { asking: true, ..call }).await {
                        Err(failure) if failure.redirect().is_some() => sleep(TRY_AGAIN_PAUSE).await,
                        answer => return answer,
                    }
                }
                Some(Redirect::Later) => sleep(TRY_AGAIN_PAUSE).await,
                None if failure.may_mean_another_master() => {
                    cluster.look().await;
                    // Nothing was sent, so another master may have it.
                    let has_moved = cluster.master_of(slot).is_some_and(|now| now.name != node.name);
                    if !(has_moved && matches!(failure, Failure::NotConnected(_))) {
                        return Err(failure);
                    }
                }
                None => return Err(failure),
            }
            if Instant::now() > give_up {
                return Err(failure);
            }
        }
    }

    /// Sends to one node of a Cluster.
    async fn send_to(&self, node: &Node, call: Call<'_>) -> Answer {
        let lines = self.lines_to(node);
        self.send_on(&lines, 0, call, async || node.connect().await).await
    }

    fn lines_to(&self, node: &Node) -> Arc<Lines> {
        let mut each = self.local.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lines) = each.get(&node.name) {
            return Arc::clone(lines);
        }
        Arc::clone(each.entry(node.name.clone()).or_default())
    }

    /// The servers that share the keys among them: the only one, or the masters of a Cluster.
    pub(super) async fn parts(&self) -> Vec<Part> {
        let Way::Cluster(cluster) = &self.shared.way else { return vec![Part(None)] };
        cluster.look().await;
        cluster.masters().into_iter().map(|node| Part(Some(node))).collect()
    }

    /// Reads from one of the servers.
    pub(super) async fn read_at(&self, part: &Part, command: &Cmd, name: &'static str) -> Result<Value> {
        let answer = match &part.0 {
            None => self.command(command, name, Effect::Read).await,
            Some(node) => Box::pin(self.send_to(node, Call::new(command, Effect::Read))).await,
        };
        answer.map_err(|failure| failure.into_error(Effect::Read))
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
