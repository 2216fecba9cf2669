//! The master that Sentinels know (Redis documentation: "High availability with Redis Sentinel", "Sentinel client spec").
//!
//! A client that only connects by Sentinel goes on writing to a master that has been replaced, for as long as its connection
//! stands, and what it is acknowledged there is lost. So a change is listened for, and asked for each second; each
//! change begins an era, and connections of earlier eras are used no more.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::failure::NoConnection;
use super::node::{Node, Nodes};
use super::reply::text_of;
use super::server::SentinelTarget;
use super::subscriber::Subscriber;
use crate::error::Result;
use crate::metrics::Metrics;

/// The channel on which a Sentinel tells that a master was replaced.
const SWITCH: &str = "+switch-master";
/// How often Sentinels are asked though none has told of a change.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long the others may take to answer once most of the Sentinels have.
const STRAGGLERS: Duration = Duration::from_millis(50);

/// A master, and who watches over it.
pub(super) struct Sentinel {
    sentinels: Vec<Arc<Node>>,
    name: String,
    timeout: Duration,
    nodes: Nodes,
    known: watch::Sender<Known>,
    metrics: Metrics,
}

/// Who is the master, as far as is known.
#[derive(Clone, Default)]
struct Known {
    /// Counts the masters that this process has seen.
    era: u64,
    /// The Sentinels' own count of fail-overs (`config-epoch`).
    epoch: u64,
    node: Option<Arc<Node>>,
}

/// What a Sentinel says.
struct Word {
    epoch: u64,
    host: String,
    port: u16,
}

impl Sentinel {
    pub(super) fn new(target: SentinelTarget, timeout: Duration, metrics: Metrics) -> Result<Self> {
        let SentinelTarget { sentinels, name, master } = target;
        let sentinels: Result<_> = sentinels.into_iter().map(|info| Node::new(info, timeout).map(Arc::new)).collect();
        let (nodes, known) = (Nodes::new(master, timeout), watch::Sender::new(Known::default()));
        Ok(Self { sentinels: sentinels?, name, timeout, nodes, known, metrics })
    }

    /// Which master's time it is.
    pub(super) fn era(&self) -> u64 {
        self.known.borrow().era
    }

    /// A connection to the master, which says itself that it is one.
    pub(super) async fn connect(&self) -> std::result::Result<MultiplexedConnection, NoConnection> {
        let node = self.master().await?;
        let mut connection = node.connect().await?;
        let role = redis::cmd("ROLE").query_async::<Value>(&mut connection).await;
        match role.as_ref().map(first_text) {
            Ok(role) if role == "master" => Ok(connection),
            Ok(role) => {
                warn!(node = %node.name, "{} is called the master of {} and is a {role}", node.name, self.name);
                Err(NoConnection::Unreachable)
            }
            Err(error) => {
                warn!(node = %node.name, %error, "{} does not say whether it is a master: {error}", node.name);
                Err(NoConnection::Unreachable)
            }
        }
    }

    /// Where the master is now. The Sentinels are asked anew: whoever needs a connection has just lost one.
    pub(super) async fn master(&self) -> std::result::Result<Arc<Node>, NoConnection> {
        self.ask().await;
        self.known.borrow().node.clone().ok_or_else(|| {
            warn!("no Sentinel knows a master of the name {}", self.name);
            NoConnection::Unreachable
        })
    }

    /// Returns when the master is another one than in this era.
    pub(super) async fn changed_since(&self, era: u64) {
        // The sender lives as long as `self`.
        let _ = self.known.subscribe().wait_for(|known| known.era != era).await;
    }

    /// Asks all Sentinels at once, and believes the one that has seen the most fail-overs.
    async fn ask(&self) {
        let mut asked: FuturesUnordered<_> = self.sentinels.iter().map(|sentinel| self.word_of(sentinel)).collect();
        let (mut words, mut heard) = (Vec::new(), 0);
        let most = self.sentinels.len() / 2 + 1;
        while heard < self.sentinels.len() {
            let patience = if words.len() >= most { STRAGGLERS } else { self.timeout };
            match timeout(patience, asked.next()).await {
                Ok(Some(word)) => words.extend(word),
                Ok(None) | Err(_) => break,
            }
            heard += 1;
        }
        let all_agree_it_is_older = words.len() == self.sentinels.len();
        if let Some(newest) = words.into_iter().max_by_key(|word| word.epoch) {
            self.learn(&newest, all_agree_it_is_older);
        }
    }

    async fn word_of(&self, sentinel: &Node) -> Option<Word> {
        let mut command = redis::cmd("SENTINEL");
        command.arg("MASTER").arg(&self.name);
        let answer = timeout(self.timeout, sentinel.ask(&command)).await.ok()?.ok()?;
        let fields = fields_of(&answer);
        let field = |name: &str| fields.get(name).map(String::as_str);
        Some(Word {
            epoch: field("config-epoch")?.parse().ok()?,
            host: field("ip")?.to_owned(),
            port: field("port")?.parse().ok()?,
        })
    }

    /// Takes the word of a Sentinel, unless it has slept through a fail-over.
    fn learn(&self, word: &Word, even_if_older: bool) {
        let Ok(node) = self.nodes.at(&word.host, word.port) else { return };
        self.known.send_if_modified(|known| {
            let is_same = known.node.as_ref().is_some_and(|known| known.name == node.name);
            if is_same || (word.epoch < known.epoch && !even_if_older) {
                known.epoch = known.epoch.max(word.epoch);
                return false;
            }
            if let Some(old) = &known.node {
                info!(master = %node.name, "the master of {} is {} now, and no more {}", self.name, node.name, old.name);
                self.metrics.redis_failed_over();
            }
            *known = Known { era: known.era + 1, epoch: word.epoch, node: Some(node) };
            true
        });
    }

    /// Listens to all Sentinels, and asks them each second, for ever.
    pub(super) async fn follow(&self) -> Infallible {
        let told = Notify::new();
        let subscribers: Vec<Subscriber> = self
            .sentinels
            .iter()
            .map(|sentinel| {
                Subscriber::to(sentinel.info.clone(), SWITCH.to_owned(), self.timeout, self.metrics.clone())
            })
            .collect();
        let listen = join_all(subscribers.iter().map(|subscriber| subscriber.run(|_| told.notify_one(), || {})));
        let ask = async {
            loop {
                self.ask().await;
                tokio::select! {
                    () = told.notified() => {}
                    () = sleep(ASK_EVERY) => {}
                }
            }
        };
        tokio::select! {
            _ = listen => std::future::pending().await,
            never = ask => never,
        }
    }
}

/// The pairs of an answer, whichever protocol it came by.
fn fields_of(answer: &Value) -> HashMap<String, String> {
    match answer {
        Value::Map(pairs) => pairs.iter().map(|(name, value)| (text_of(name), text_of(value))).collect(),
        Value::Array(flat) => flat.chunks_exact(2).map(|pair| (text_of(&pair[0]), text_of(&pair[1]))).collect(),
        _ => HashMap::new(),
    }
}

fn first_text(answer: &Value) -> String {
    match answer {
        Value::Array(values) => values.first().map(text_of).unwrap_or_default(),
        _ => String::new(),
    }
}
