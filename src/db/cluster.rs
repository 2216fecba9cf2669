//! Which node of a Redis Cluster has a key ("Redis cluster specification": key distribution, MOVED and ASK redirection).
//!
//! Calls are sent here and not by the client's own Cluster connection, which sends a call again whose answer was lost, and
//! does not look for the new master of a slot as long as the old one only hangs.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::{Arg, Cmd, ConnectionAddr, ConnectionInfo, RedisError, ServerErrorKind, Value};
use tracing::{debug, info, warn};

use super::line::RECONNECT_PAUSE;
use super::node::{Node, Nodes};
use super::reply::text_of;
use crate::error::Result;

/// How many slots a Cluster has.
const SLOTS: usize = 16384;
/// Commands that ask a server, and no key.
const OF_NO_KEY: [&[u8]; 4] = [b"INFO", b"CONFIG", b"TIME", b"PING"];

/// A Cluster as far as it is known.
pub(super) struct Cluster {
    seeds: Vec<Arc<Node>>,
    timeout: Duration,
    nodes: Nodes,
    map: RwLock<Arc<SlotMap>>,
    /// When the map was asked for last; held while it is asked for.
    asking: tokio::sync::Mutex<Option<Instant>>,
}

/// Which master has which slots.
#[derive(Default)]
struct SlotMap {
    /// The place in `masters`, by slot.
    owners: Vec<Option<u16>>,
    masters: Vec<Arc<Node>>,
    replicas: Vec<Arc<Node>>,
}

/// Where a call is to be sent instead.
pub(super) enum Redirect {
    /// To the node that has the slot now.
    Moved(String, u16),
    /// This once, to the node that the slot is moving to.
    Ask(String, u16),
    /// To the same once more: half of its keys have moved.
    Later,
}

impl Redirect {
    /// What an error answer says. In all these cases nothing was done.
    pub(super) fn of(error: &RedisError) -> Option<Self> {
        let address = || {
            let (address, _slot) = error.redirect_node()?;
            let (host, port) = address.rsplit_once(':')?;
            Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?))
        };
        match error.kind() {
            redis::ErrorKind::Server(ServerErrorKind::Moved) => address().map(|(host, port)| Self::Moved(host, port)),
            redis::ErrorKind::Server(ServerErrorKind::Ask) => address().map(|(host, port)| Self::Ask(host, port)),
            redis::ErrorKind::Server(ServerErrorKind::TryAgain) => Some(Self::Later),
            _ => None,
        }
    }
}

impl Cluster {
    pub(super) fn new(seeds: Vec<ConnectionInfo>, timeout: Duration) -> Result<Self> {
        let template = seeds
            .first()
            .cloned()
            .ok_or_else(|| crate::error::Error::StoreUnavailable("the URL of the Cluster names no node".to_owned()))?;
        let seeds: Result<_> = seeds.into_iter().map(|info| Node::new(info, timeout).map(Arc::new)).collect();
        Ok(Self {
            seeds: seeds?,
            timeout,
            nodes: Nodes::new(template, timeout),
            map: RwLock::default(),
            asking: tokio::sync::Mutex::default(),
        })
    }

    /// The master of a slot, or any for a call of no key; none as long as the Cluster is not known.
    pub(super) fn master_of(&self, slot: Option<u16>) -> Option<Arc<Node>> {
        let map = self.map();
        let place = match slot {
            Some(slot) => usize::from((*map.owners.get(usize::from(slot))?)?),
            None => 0,
        };
        map.masters.get(place).cloned()
    }

    /// All masters that have slots.
    pub(super) fn masters(&self) -> Vec<Arc<Node>> {
        self.map().masters.clone()
    }

    /// All nodes that are known, in no order.
    pub(super) fn everyone(&self) -> Vec<Arc<Node>> {
        let map = self.map();
        let mut all: Vec<Arc<Node>> = Vec::new();
        for node in map.masters.iter().chain(&map.replicas).chain(&self.seeds) {
            if !all.iter().any(|known| known.name == node.name) {
                all.push(Arc::clone(node));
            }
        }
        all
    }

    fn map(&self) -> Arc<SlotMap> {
        Arc::clone(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The node at an address.
    pub(super) fn node(&self, host: &str, port: u16) -> Result<Arc<Node>> {
        self.nodes.at(host, port)
    }

    /// Notes that a slot is elsewhere, and asks for the rest.
    pub(super) async fn moved(&self, slot: Option<u16>, host: &str, port: u16) {
        let (Some(slot), Ok(node)) = (slot, self.node(host, port)) else { return };
        {
            let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
            let SlotMap { owners, masters, replicas } = &**map;
            let (mut owners, mut masters, replicas) = (owners.clone(), masters.clone(), replicas.clone());
            let place = masters.iter().position(|known| known.name == node.name).unwrap_or_else(|| {
                masters.push(node);
                masters.len() - 1
            });
            if let Some(owner) = owners.get_mut(usize::from(slot)) {
                *owner = u16::try_from(place).ok();
            }
            *map = Arc::new(SlotMap { owners, masters, replicas });
        }
        self.look().await;
    }

    /// Asks all nodes at once who has which slots, and believes the first answer; not again right after it was asked.
    pub(super) async fn look(&self) {
        let mut asked_at = self.asking.lock().await;
        if asked_at.is_some_and(|at| at.elapsed() < RECONNECT_PAUSE) {
            return;
        }
        let everyone = self.everyone();
        let mut asked: FuturesUnordered<_> = everyone.iter().map(|node| self.ask(node)).collect();
        while let Some(answer) = asked.next().await {
            let Some(map) = answer else { continue };
            let mut known = self.map.write().unwrap_or_else(PoisonError::into_inner);
            let names = |map: &SlotMap| map.masters.iter().map(|node| node.name.clone()).collect::<Vec<_>>().join(", ");
            let (before, now) = (names(&known), names(&map));
            if before == now {
                debug!("the masters of the Cluster were asked for, and are the same");
            } else {
                info!(masters = %now, "the masters of the Cluster are {now}");
            }
            *known = Arc::new(map);
            *asked_at = Some(Instant::now());
            return;
        }
        warn!("no node of the Cluster tells who has which slots");
        *asked_at = Some(Instant::now());
    }

    async fn ask(&self, node: &Node) -> Option<SlotMap> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let answer = tokio::time::timeout(self.timeout, node.ask(&command)).await.ok()?;
        match answer {
            Ok(answer) => self.read(&answer, node),
            Err(failure) => {
                debug!(node = %node.name, "{} does not tell who has which slots: {failure:?}", node.name);
                None
            }
        }
    }

    /// Ranges of slots: first, last, master, replicas; a node: host, port, …
    fn read(&self, answer: &Value, asked: &Node) -> Option<SlotMap> {
        let Value::Array(ranges) = answer else { return None };
        let mut map = SlotMap { owners: vec![None; SLOTS], ..SlotMap::default() };
        for range in ranges {
            let Value::Array(fields) = range else { return None };
            let [Value::Int(first), Value::Int(last), master, replicas @ ..] = fields.as_slice() else { return None };
            let master = self.read_node(master, asked)?;
            let place = map.masters.iter().position(|known| known.name == master.name).unwrap_or_else(|| {
                map.masters.push(master);
                map.masters.len() - 1
            });
            let span = usize::try_from(*first).ok()?..=usize::try_from(*last).ok()?;
            map.owners.get_mut(span)?.fill(u16::try_from(place).ok());
            map.replicas.extend(replicas.iter().filter_map(|replica| self.read_node(replica, asked)));
        }
        (!map.masters.is_empty()).then_some(map)
    }

    fn read_node(&self, node: &Value, asked: &Node) -> Option<Arc<Node>> {
        let Value::Array(fields) = node else { return None };
        let [host, Value::Int(port), ..] = fields.as_slice() else { return None };
        let mut host = text_of(host);
        // A node that does not know its own address means the one that it was asked at.
        if let (true, ConnectionAddr::Tcp(own, _) | ConnectionAddr::TcpTls { host: own, .. }) =
            (host.is_empty() || host == "?", asked.info.addr())
        {
            host.clone_from(own);
        }
        self.node(&host, u16::try_from(*port).ok()?).ok()
    }
}

/// The slot of the key that a command is about; none for one that asks a server.
pub(super) fn slot_of(command: &Cmd) -> Option<u16> {
    let mut arguments = command.args_iter().map(|argument| match argument {
        Arg::Simple(bytes) => bytes,
        _ => b"",
    });
    let name = arguments.next()?;
    if OF_NO_KEY.contains(&name) {
        return None;
    }
    let is_script = matches!(name, b"EVALSHA" | b"EVAL");
    let key = if is_script { arguments.nth(2) } else { arguments.next() };
    key.map(slot_of_key)
}

/// CRC16 of the key, or of its hash tag: what stands between the first brace and the next one, if anything does.
pub(super) fn slot_of_key(key: &[u8]) -> u16 {
    let tag = || {
        let open = key.iter().position(|byte| *byte == b'{')?;
        let length = key.get(open + 1..)?.iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &key[open + 1..=open + length])
    };
    crc16::State::<crc16::XMODEM>::calculate(tag().unwrap_or(key)) % SLOTS as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // From the specification, and `CLUSTER KEYSLOT` of Redis 7.0.15.
        for (key, slot) in
            [("123456789", 12739), ("foo", 12182), ("{foo}.bar", 12182), ("a{}foo", 16292), ("", 0), ("a{b", 13340)]
        {
            assert_eq!(slot_of_key(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn a_command_goes_where_its_first_key_is() {
        let mut script = redis::cmd("EVALSHA");
        script.arg("digest").arg(2).arg("ranq:{lb:race}:board").arg("ranq:{lb:race}:free").arg("foo");
        assert_eq!(slot_of(&script), Some(slot_of_key(b"lb:race")));
        let mut read = redis::cmd("HGET");
        read.arg("foo").arg("field");
        assert_eq!(slot_of(&read), Some(12182));
        assert_eq!(slot_of(&redis::cmd("TIME")), None);
    }
}
