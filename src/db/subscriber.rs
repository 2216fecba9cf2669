//! A Pub/Sub subscription that comes back by itself.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::aio::PubSubSink;
use redis::{Client, ConnectionInfo, ErrorKind, RedisError, RedisResult, Value};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::connection::{Shared, Way};
use crate::metrics::Metrics;

/// How often the server is asked whether it is still there: a peer that died without a word sends nothing, as an idle one.
const PING_EVERY: Duration = Duration::from_secs(10);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// One channel's messages, over a connection of its own.
pub struct Subscriber {
    source: Source,
    channel: String,
    /// How long connecting, subscribing and each ping may take.
    timeout: Duration,
    ping_every: Duration,
    metrics: Metrics,
}

/// Whom to ask for messages.
enum Source {
    /// One server.
    At(Box<ConnectionInfo>),
    /// Whichever server is the right one.
    Behind(Arc<Shared>),
}

impl Subscriber {
    /// To one server.
    pub(super) fn to(info: ConnectionInfo, channel: String, timeout: Duration, metrics: Metrics) -> Self {
        Self { source: Source::At(Box::new(info)), channel, timeout, ping_every: PING_EVERY, metrics }
    }

    /// To the Redis of a handle.
    pub(super) fn of(shared: Arc<Shared>, channel: String) -> Self {
        let (timeout, metrics) = (shared.timeout, shared.metrics.clone());
        Self { source: Source::Behind(shared), channel, timeout, ping_every: PING_EVERY, metrics }
    }

    /// Hands each message to `on_message`, for ever; to stop, drop the future.
    ///
    /// `on_connected` is called whenever the subscription begins to stand: messages from before it are lost, so what they
    /// would have told must be looked up then. A message that is not UTF-8 comes with replacement characters.
    pub async fn run(&self, mut on_message: impl FnMut(&str), mut on_connected: impl FnMut()) -> Infallible {
        let mut pause = SHORTEST_PAUSE;
        let mut lost = false;
        loop {
            let mut stood = || {
                if lost {
                    info!(channel = %self.channel, "messages of `{}` arrive again", self.channel);
                }
                (lost, pause) = (false, SHORTEST_PAUSE);
                on_connected();
            };
            let error = match self.follow(&mut on_message, &mut stood).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            if !lost {
                warn!(channel = %self.channel, %error, "messages of `{}` do not arrive: {error}", self.channel);
                lost = true;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Connects, subscribes and hands on messages until something fails.
    async fn follow(&self, on_message: &mut impl FnMut(&str), stood: &mut impl FnMut()) -> RedisResult<Infallible> {
        let (info, era) = self.place().await?;
        let client = Client::open(info)?;
        let (mut sink, mut messages) = self.in_time(client.get_async_pubsub()).await?.split();
        self.in_time(sink.subscribe(&self.channel)).await?;
        self.metrics.redis_connected();
        stood();
        let hand_on = async {
            while let Some(message) = messages.next().await {
                on_message(&String::from_utf8_lossy(message.get_payload_bytes()));
            }
            RedisError::from((ErrorKind::Io, "Redis closed the subscription"))
        };
        // Side by side: messages must not wait for the answer of a ping.
        tokio::select! {
            error = hand_on => Err(error),
            error = self.ping(&mut sink) => Err(error),
            () = self.replaced(era) => Err(RedisError::from((ErrorKind::Io, "another Redis has become the master"))),
        }
    }

    /// Where to subscribe, and in which master's time that is so. In a Cluster every node has all messages.
    async fn place(&self) -> RedisResult<(ConnectionInfo, u64)> {
        let nobody = || RedisError::from((ErrorKind::Io, "no Redis can be found"));
        match &self.source {
            Source::At(info) => Ok((ConnectionInfo::clone(info), 0)),
            Source::Behind(shared) => match &shared.way {
                Way::Server(node) => Ok((node.info.clone(), 0)),
                Way::Sentinel(sentinel) => {
                    let master = sentinel.master().await.map_err(|_| nobody())?;
                    Ok((master.info.clone(), sentinel.era()))
                }
                Way::Cluster(cluster) => {
                    cluster.look().await;
                    let masters = cluster.masters();
                    let node = fastrand::choice(&masters).ok_or_else(nobody)?;
                    Ok((node.info.clone(), 0))
                }
            },
        }
    }

    /// Returns when the master of that time is one no more.
    async fn replaced(&self, era: u64) {
        match &self.source {
            Source::Behind(shared) if let Way::Sentinel(sentinel) = &shared.way => sentinel.changed_since(era).await,
            Source::At(_) | Source::Behind(_) => std::future::pending().await,
        }
    }

    /// Returns when the server does not answer any more.
    async fn ping(&self, sink: &mut PubSubSink) -> RedisError {
        loop {
            sleep(self.ping_every).await;
            if let Err(error) = self.in_time(sink.ping::<Value>()).await {
                return error;
            }
        }
    }

    async fn in_time<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let in_time = timeout(self.timeout, answer).await;
        in_time.unwrap_or_else(|_| Err(RedisError::from((ErrorKind::Io, "Redis did not answer in time"))))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::time::Instant;

    use redis::Commands as _;
    use rustix::process::{Pid, Signal, kill_process};
    use tempfile::TempDir;

    use super::*;
    use crate::config::Durability;
    use crate::db::{Db, EmbeddedRedis};

    const PATIENCE: Duration = Duration::from_secs(20);

    struct Heard {
        redis: EmbeddedRedis,
        subscriptions: Cell<u32>,
        messages: RefCell<Vec<String>>,
        _directory: TempDir,
    }

    impl Heard {
        /// Does `work` while a subscriber with short time-outs listens to a server of its own.
        async fn during(work: impl AsyncFnOnce(&Self)) {
            let directory = TempDir::new().expect("a directory");
            let redis = EmbeddedRedis::start(directory.path(), Durability::Everysec, Metrics::default());
            let (redis, subscriptions, messages) = (redis.expect("it starts"), Cell::default(), RefCell::default());
            let heard = Self { redis, subscriptions, messages, _directory: directory };
            let info = heard.redis.connection_info().expect("a path");
            let db = Db::open(info, Duration::from_millis(300), Metrics::default()).expect("a handle");
            let subscriber = Subscriber { ping_every: Duration::from_millis(50), ..db.subscriber("news") };
            let run = subscriber.run(
                |message| heard.messages.borrow_mut().push(message.to_owned()),
                || heard.subscriptions.set(heard.subscriptions.get() + 1),
            );
            tokio::select! {
                never = run => match never {},
                () = work(&heard) => {}
            }
            heard.redis.stop();
        }

        async fn subscribed(&self, times: u32) {
            let give_up = Instant::now() + PATIENCE;
            while self.subscriptions.get() < times {
                assert!(Instant::now() < give_up, "not subscribed {times} times");
                sleep(Duration::from_millis(5)).await;
            }
        }

        async fn hears(&self, text: &str) {
            let client = Client::open(self.redis.connection_info().expect("a path")).expect("a client");
            let listeners: u32 = client.get_connection().expect("Redis").publish("news", text).expect("an answer");
            assert_eq!(listeners, 1);
            let give_up = Instant::now() + PATIENCE;
            while self.messages.borrow().last().is_none_or(|last| last != text) {
                assert!(Instant::now() < give_up, "`{text}` does not come");
                sleep(Duration::from_millis(5)).await;
            }
        }

        fn signal(&self, signal: Signal) {
            let pid = self.redis.pid().and_then(Pid::from_raw).expect("it runs");
            kill_process(pid, signal).expect("it runs");
        }
    }

    #[tokio::test]
    async fn messages_come_in_order_and_pings_do_them_no_harm() {
        Heard::during(async |heard| {
            heard.subscribed(1).await;
            for text in ["one", "zwei drei", "四", ""] {
                heard.hears(text).await;
                sleep(Duration::from_millis(80)).await;
            }
            assert_eq!(*heard.messages.borrow(), ["one", "zwei drei", "四", ""]);
            assert_eq!(heard.subscriptions.get(), 1);
        })
        .await;
    }

    #[tokio::test]
    async fn the_subscription_comes_back_after_the_server_was_killed() {
        Heard::during(async |heard| {
            heard.subscribed(1).await;
            heard.hears("before").await;
            heard.signal(Signal::KILL);
            heard.subscribed(2).await;
            heard.hears("after").await;
            assert_eq!(*heard.messages.borrow(), ["before", "after"]);
        })
        .await;
    }

    #[tokio::test]
    async fn a_server_that_answers_no_more_is_noticed() {
        Heard::during(async |heard| {
            heard.subscribed(1).await;
            heard.signal(Signal::STOP);
            // A ping is due, does not come back, and a new connection gets no answer either.
            sleep(Duration::from_millis(900)).await;
            heard.signal(Signal::CONT);
            heard.subscribed(2).await;
            heard.hears("after").await;
        })
        .await;
    }
}
