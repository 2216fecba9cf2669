//! The service put together: the only place that knows everyone.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::HttpServer;
use actix_web::dev::Server;
use actix_web::http::KeepAlive;
use actix_web::web::Data;
use tracing::{info, warn};

use crate::audit::AuditLog;
use crate::auth::{Gate, NoteUses, SweepTokens, Tokens};
use crate::config::{Config, RedisTarget};
use crate::db::{Db, EmbeddedError, EmbeddedRedis, Health, Keyspace, connection_to};
use crate::http::{
    self, Certificate, Connections, Document, Draining, FollowCertificate, Live, Metering, Most, Outside, Refusals,
    Services, TrustedProxies,
};
use crate::leaderboard::{FinishBans, Leaderboards, Roll, TakeSnapshots};
use crate::limit::Limiter;
use crate::metrics::Metrics;
use crate::queue::{ListenForWakes, Queues, Tend, WakeWaiters};
use crate::season::Pay;
use crate::task::Driver;
use crate::types::Clock;

/// Connections of a thread that are being closed because there are too many.
const REFUSED_AT_ONCE: usize = 1000;
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the service could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The embedded Redis.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The Redis of the settings.
    #[error("the Redis of redis_url cannot be used: {0}")]
    Redis(String),
    /// The certificate of the service itself.
    #[error("the service cannot speak TLS: {0}")]
    Tls(String),
    /// The address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A service that listens, and does not answer before [`App::run`].
pub struct App {
    server: Server,
    addresses: Vec<SocketAddr>,
    certificate: Option<Certificate>,
    embedded: Option<EmbeddedRedis>,
    health: Health,
    draining: Draining,
    leaderboards: Leaderboards,
    queues: Queues,
    tokens: Tokens,
    live: Live,
    db: Db,
    metrics: Metrics,
}

impl App {
    /// Starts what the settings ask for, and binds the address. Must be called inside an actix system.
    ///
    /// # Errors
    ///
    /// [`StartError`], one line each.
    pub fn build(config: &Config, clock: Clock) -> Result<Self, StartError> {
        let metrics = Metrics::default();
        let certificate = config.tls.as_ref().map(Certificate::read).transpose().map_err(StartError::Tls)?;
        let proxies = TrustedProxies::new(&config.trusted_proxies);
        let (embedded, connection) = match &config.redis {
            RedisTarget::Embedded(directory) => {
                let embedded = EmbeddedRedis::start(directory, config.durability, metrics.clone())?;
                let connection = embedded.connection_info().map_err(|error| error.to_string());
                (Some(embedded), connection)
            }
            RedisTarget::Server(server) => (None, connection_to(server)),
        };
        let connection = connection.map_err(StartError::Redis)?;
        let db = Db::open(connection, config.redis_timeout, metrics.clone())
            .map_err(|error| StartError::Redis(error.to_string()))?;
        let keyspace = Keyspace::new(&config.key_prefix);
        let health = Health::new(db.handle(), &keyspace);
        let draining = Draining::default();
        let queues = Queues::new(db.handle(), keyspace.clone(), clock.clone(), metrics.clone(), config.auto_create);
        let tokens = Tokens::new(db.handle(), keyspace.clone(), clock.clone());
        let limiter = Limiter::new(db.handle(), keyspace.clone(), clock.clone());
        let audit = AuditLog::new(db.handle(), &keyspace, clock.clone(), config.audit_entries);
        let leaderboards = Leaderboards::new(db.handle(), keyspace, clock, config.auto_create);
        let live = Live::new(config.max_streams, config.stream_heartbeat, metrics.clone());
        let services = Services {
            leaderboards: leaderboards.clone(),
            queues: queues.clone(),
            live: live.clone(),
            gate: Gate::new(config.admin_token.as_ref(), tokens.clone()),
            tokens: tokens.clone(),
            audit,
            metering: Metering { limits: config.limits, limiter },
            health: health.clone(),
            refusals: Refusals::default(),
            outside: Data::new(Outside::new(config)),
            proxies: proxies.clone(),
            draining: draining.clone(),
            metrics: metrics.clone(),
            document: Data::new(Document::new()),
        };
        // The factory runs once on each thread, so that each has a connection of its own.
        let connections = db.clone();
        let factory = move || {
            let own = connections.handle();
            let (leaderboards, queues) = (services.leaderboards.on(own.clone()), services.queues.on(own.clone()));
            let (gate, tokens) = (services.gate.on(own.clone()), services.tokens.on(own.clone()));
            let audit = services.audit.on(own.clone());
            let metering = Metering { limiter: services.metering.limiter.on(own), ..services.metering.clone() };
            http::app(Services { leaderboards, queues, gate, tokens, audit, metering, ..services.clone() })
        };
        let listen = |source| StartError::Listen { address: config.listen, source };
        let most = Most {
            in_all: config.max_connections,
            per_peer: config.max_connections_per_peer,
            client_timeout: config.client_timeout,
            keep_alive: config.keep_alive,
        };
        let clients = Connections::new(most, proxies, metrics.clone());
        let server = HttpServer::new(factory)
            .workers(config.threads)
            // Only a bound for each thread, behind that of the instance: it counts those that still shake hands.
            .max_connections(config.max_connections.saturating_add(REFUSED_AT_ONCE))
            .max_connection_rate(config.max_connections)
            .on_connect(move |connection, extensions| clients.begin(connection, extensions))
            .keep_alive(KeepAlive::Timeout(config.keep_alive))
            .tcp_nodelay(true)
            .client_request_timeout(config.client_timeout)
            .tls_handshake_timeout(config.client_timeout)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .h1_allow_half_closed(false)
            .shutdown_timeout(config.shutdown_timeout.as_secs().max(1))
            .disable_signals();
        let server = match &certificate {
            Some(certificate) => {
                let tls = certificate.server_config().map_err(|error| StartError::Tls(error.to_string()))?;
                server.bind_rustls_0_23(config.listen, tls)
            }
            None => server.bind(config.listen),
        };
        let server = server.map_err(listen)?;
        let addresses = server.addrs();
        Ok(Self {
            server: server.run(),
            addresses,
            certificate,
            embedded,
            health,
            draining,
            leaderboards,
            queues,
            tokens,
            live,
            db,
            metrics,
        })
    }

    /// Where the service listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether it speaks TLS.
    pub fn is_over_tls(&self) -> bool {
        self.certificate.is_some()
    }

    /// The process id of the embedded Redis, if there is one and it runs.
    pub fn redis_pid(&self) -> Option<i32> {
        self.embedded.as_ref().and_then(EmbeddedRedis::pid)
    }

    /// Serves until `shutdown` is done; then finishes what is in flight and stops the embedded Redis last.
    ///
    /// # Errors
    ///
    /// What the server meets.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Self {
            server,
            certificate,
            embedded,
            health,
            draining,
            leaderboards,
            queues,
            tokens,
            live,
            db,
            metrics,
            addresses: _,
        } = self;
        let handle = server.handle();
        let mut tasks = Driver::new(metrics);
        tasks.start(Tend::new(queues.on(db.handle())));
        if let Some(certificate) = certificate {
            tasks.start(FollowCertificate::new(certificate));
        }
        let payer = tasks.start(Pay::new(leaderboards.on(db.handle()), queues.on(db.handle())));
        leaderboards.pay_with(payer);
        tasks.start(Roll::new(leaderboards.on(db.handle())));
        tasks.start(TakeSnapshots::new(leaderboards.on(db.handle())));
        tasks.start(FinishBans::new(leaderboards.on(db.handle())));
        tasks.start(WakeWaiters::new(queues.clone()));
        let tokens = tokens.on(db.handle());
        tasks.start(NoteUses::new(tokens.clone()));
        tasks.start(SweepTokens::new(tokens.clone()));
        let wakes = ListenForWakes::new(queues.clone(), &db);
        let stop = async {
            warn_of_loss(&health).await;
            shutdown.await;
            info!("stopping: finishing the requests in flight");
            draining.begin();
            queues.close();
            live.close();
            handle.stop(true).await;
        };
        let serving = futures_util::future::join(server, stop);
        let (served, ()) = tokio::select! {
            ended = serving => ended,
            never = wakes.run(
                |message| {
                    live.hear(message);
                    tokens.hear(message);
                },
                || {
                    live.look_at_all();
                    tokens.look_at_all();
                },
            ) => match never {},
            never = tokens.follow_changes() => match never {},
        };
        tasks.stop().await;
        if let Err(error) = tokens.write_uses().await {
            warn!(%error, "the last uses of tokens are not noted: {error}");
        }
        if let Some(embedded) = embedded {
            embedded.stop();
        }
        info!("stopped");
        served
    }
}

/// Says aloud where the Redis may lose what was acknowledged.
async fn warn_of_loss(health: &Health) {
    match health.check().await {
        Ok(redis) => {
            info!(redis.version = %redis.version, redis.persistence = %redis.persistence,
                "Redis {} answers, persistence: {}", redis.version, redis.persistence);
            if !matches!(redis.eviction_policy.as_str(), "noeviction" | "unknown") {
                warn!(
                    "Redis evicts keys when its memory is full ({}): set maxmemory-policy to noeviction, or entries will be lost",
                    redis.eviction_policy
                );
            }
            if matches!(redis.persistence.as_str(), "none" | "rdb") {
                warn!(
                    "Redis keeps no append-only file ({}): a crash of it loses what was acknowledged",
                    redis.persistence
                );
            }
        }
        Err(detail) => warn!("Redis does not take writes yet: {detail}"),
    }
}
