//! Connections: how many there are, and those that are given up because the client stands still.
//!
//! The framework waits for the head of a connection's first request for so long, and for no other; and for a client that reads
//! nothing for ever. So each connection says what it does ([`Pulse`]), and a task of its own looks whether it has stood still for too
//! long and then shuts its socket, which ends it wherever it stands.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use actix_web::rt::task::JoinHandle;
use actix_web::web::Bytes;
use rustix::net::{Shutdown, shutdown};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::peer::{TrustedProxies, household};
use crate::metrics::Metrics;

/// How many connections there may be, and how long they may stand still.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Of the instance.
    pub in_all: usize,
    /// Of one client's address; 0 for as many as there are.
    pub per_peer: usize,
    /// How long a client may take to go on where it is its turn.
    pub client_timeout: Duration,
    /// How long a connection without a request is kept.
    pub keep_alive: Duration,
}

/// The connections of an instance. Clones are the same.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    most: Most,
    proxies: TrustedProxies,
    open: Mutex<Open>,
    metrics: Metrics,
}

#[derive(Default)]
struct Open {
    in_all: usize,
    /// Nobody stands here with none, nor anybody where there is no limit.
    by_peer: HashMap<IpAddr, usize>,
}

impl Connections {
    /// There is none yet.
    pub fn new(most: Most, proxies: TrustedProxies, metrics: Metrics) -> Self {
        Self(Arc::new(Inner { most, proxies, open: Mutex::default(), metrics }))
    }

    /// Looks at a connection that has just been made, and shuts it where there are too many. Must be called where local tasks
    /// can be spawned.
    pub fn begin(&self, connection: &dyn Any, extensions: &mut Extensions) {
        let plain = connection.downcast_ref::<TcpStream>();
        let secured = || connection.downcast_ref::<TlsStream<TcpStream>>().map(|stream| stream.get_ref().0);
        let Some(stream) = plain.or_else(secured) else { return };
        // It may be gone already.
        let Ok(peer) = stream.peer_addr() else { return };
        let place = self.place_for(peer.ip());
        // A handle of its own, since the stream belongs to the framework from here on.
        match (place, stream.as_fd().try_clone_to_owned()) {
            (Some(place), Ok(socket)) => {
                extensions.insert(Connection::new(place, socket, self.0.most));
            }
            (Some(_), Err(_)) | (None, _) => {
                self.0.metrics.connection_refused();
                let _ = shutdown(stream, Shutdown::Both);
            }
        }
    }

    fn place_for(&self, address: IpAddr) -> Option<Place> {
        let most = self.0.most;
        let counted = (most.per_peer > 0 && !self.0.proxies.contain(address)).then(|| household(address));
        let mut open = self.open();
        if open.in_all >= most.in_all {
            return None;
        }
        if let Some(peer) = counted {
            let of_peer = open.by_peer.entry(peer).or_default();
            if *of_peer >= most.per_peer {
                return None;
            }
            *of_peer += 1;
        }
        open.in_all += 1;
        drop(open);
        self.0.metrics.connection_opened();
        Some(Place { connections: self.clone(), counted })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the connections, given back when dropped.
struct Place {
    connections: Connections,
    counted: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.in_all -= 1;
        if let Some(peer) = self.counted
            && let Some(of_peer) = open.by_peer.get_mut(&peer)
        {
            *of_peer -= 1;
            if *of_peer == 0 {
                open.by_peer.remove(&peer);
            }
        }
        drop(open);
        self.connections.0.metrics.connection_closed();
    }
}

/// A connection, for as long as it lasts.
pub struct Connection {
    pulse: Rc<Pulse>,
    watch: JoinHandle<()>,
    _place: Place,
}

impl Connection {
    fn new(place: Place, socket: OwnedFd, most: Most) -> Self {
        let pulse = Rc::new(Pulse { socket, doing: Cell::new(Doing::Nothing(Instant::now())) });
        let watch = actix_web::rt::spawn(watch(Rc::downgrade(&pulse), most));
        Self { pulse, watch, _place: place }
    }

    /// A request is being answered from now on.
    pub fn answer(&self) {
        self.pulse.doing.set(Doing::Answering);
    }

    /// The head of its answer is there: what follows is the body.
    pub fn send(&self, body: BoxBody) -> BoxBody {
        match body.size() {
            BodySize::None | BodySize::Sized(_) => {
                self.pulse.doing.set(Doing::Nothing(Instant::now()));
                body
            }
            BodySize::Stream => BoxBody::new(Sent { body, pulse: Rc::clone(&self.pulse) }),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// What a connection does.
#[derive(Debug, Clone, Copy)]
enum Doing {
    /// It has no request, or the rest of an answer is on its way.
    Nothing(Instant),
    /// It is the service's turn, or the body of a request is read, which has a deadline of its own.
    Answering,
    /// The client has been given a part of an answer, and must make room for the next one.
    Sending(Instant),
}

struct Pulse {
    socket: OwnedFd,
    doing: Cell<Doing>,
}

impl Pulse {
    /// When it will have stood still for too long; nothing where the client need not do anything.
    fn ends(&self, most: Most) -> Option<Instant> {
        match self.doing.get() {
            Doing::Nothing(since) => Some(since + most.keep_alive + most.client_timeout),
            Doing::Answering => None,
            Doing::Sending(since) => Some(since + most.client_timeout),
        }
    }
}

/// Ends the connection where it stands still for too long.
async fn watch(pulse: Weak<Pulse>, most: Most) {
    let mut next = Instant::now() + most.client_timeout;
    loop {
        sleep_until(next).await;
        let Some(pulse) = pulse.upgrade() else { return };
        let now = Instant::now();
        match pulse.ends(most) {
            Some(end) if end <= now => {
                debug!("a connection stood still for too long: {:?}", pulse.doing.get());
                let _ = shutdown(&pulse.socket, Shutdown::Both);
                return;
            }
            Some(end) => next = end,
            None => next = now + most.client_timeout,
        }
        // What is begun in between has as long from then on, and is found in time.
        next = next.min(now + most.client_timeout);
    }
}

/// The body of an answer that is sent part by part.
struct Sent {
    body: BoxBody,
    pulse: Rc<Pulse>,
}

impl MessageBody for Sent {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    /// It is asked for the next part when there is room for one.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = Pin::new(&mut self.body).poll_next(context);
        self.pulse.doing.set(match &next {
            Poll::Pending => Doing::Answering,
            Poll::Ready(Some(_)) => Doing::Sending(Instant::now()),
            Poll::Ready(None) => Doing::Nothing(Instant::now()),
        });
        next
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.pulse.doing.set(Doing::Nothing(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(in_all: usize, per_peer: usize) -> Connections {
        let second = Duration::from_secs(1);
        let most = Most { in_all, per_peer, client_timeout: second, keep_alive: second };
        let proxies = TrustedProxies::new(&["10.0.0.0/8".parse().expect("a network")]);
        Connections::new(most, proxies, Metrics::default())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_has_ended() {
        let connections = connections(2, 0);
        let first = connections.place_for(ip("192.0.2.1"));
        let second = connections.place_for(ip("192.0.2.1"));
        assert!(first.is_some() && second.is_some() && connections.place_for(ip("192.0.2.2")).is_none());
        drop(first);
        assert!(connections.place_for(ip("192.0.2.2")).is_some());
    }

    #[test]
    fn an_address_has_so_many_and_a_proxy_all() {
        let connections = connections(100, 1);
        let _held = connections.place_for(ip("192.0.2.1")).expect("the first");
        assert!(connections.place_for(ip("192.0.2.1")).is_none());
        assert!(connections.place_for(ip("::ffff:192.0.2.1")).is_none());
        assert!(connections.place_for(ip("192.0.2.2")).is_some());
        let _v6 = connections.place_for(ip("2001:db8::1")).expect("the first");
        assert!(connections.place_for(ip("2001:db8::ffff:2")).is_none(), "the same network");
        assert!(connections.place_for(ip("2001:db8:0:1::1")).is_some());
        let proxies: Vec<_> = (0..5).filter_map(|_| connections.place_for(ip("10.0.0.1"))).collect();
        assert_eq!(proxies.len(), 5);
        drop((_held, _v6));
        assert!(connections.open().by_peer.is_empty(), "nobody stays who has none");
    }
}
