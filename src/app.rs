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

use crate::archive::{Archive, ArchivePeriods, Drain, Retain};
use crate::audit::AuditLog;
use crate::auth::{Gate, NoteUses, SweepTokens, Tokens};
use crate::config::{ArchiveSettings, Config, Durability, RedisTarget, WhenFull};
use crate::db::{Db, EmbeddedError, EmbeddedRedis, Format, Health, Keyspace, Target};
use crate::erase::{Erasure, FinishErasures};
use crate::http::{
    self, Certificate, Connections, Document, Draining, FollowCertificate, Live, Metering, Most, Outside, Refusals,
    Services, TrustedProxies,
};
use crate::leaderboard::{FinishBans, Leaderboards, Roll, TakeSnapshots};
use crate::limit::Limiter;
use crate::metrics::Metrics;
use crate::profile::{FetchProfiles, Profiles, Reach};
use crate::queue::{ListenForWakes, Outbox, Queues, Tend, WakeWaiters};
use crate::season::Pay;
use crate::task::Driver;
use crate::types::Clock;

/// Connections of a thread that are being closed because there are too many.
const REFUSED_AT_ONCE: usize = 1000;
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// When the format of what is stored is looked at again where Redis was away.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why the service could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The embedded Redis.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The Redis of the settings.
    #[error("the Redis of redis_url cannot be used: {0}")]
    Redis(String),
    /// The archive of the settings.
    #[error("the archive of archive_url cannot be used: {0}")]
    Archive(String),
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
    profiles: FetchProfiles,
    queues: Queues,
    archive: Option<(Archive, ArchiveSettings)>,
    erasure: Erasure,
    tokens: Tokens,
    live: Live,
    db: Db,
    durability: Durability,
    keyspace: Keyspace,
    clock: Clock,
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
        let (embedded, target) = match &config.redis {
            RedisTarget::Embedded(directory) => {
                let embedded = EmbeddedRedis::start(directory, config.durability, metrics.clone())?;
                let target = embedded.connection_info().map(Target::from).map_err(|error| error.to_string());
                (Some(embedded), target)
            }
            RedisTarget::Server(server) => (None, Target::of(server)),
        };
        let db = Db::open(target.map_err(StartError::Redis)?, config.redis_timeout, metrics.clone())
            .map_err(|error| StartError::Redis(error.to_string()))?;
        let db = match config.durability {
            Durability::Replicated(replicas) => db.with_replicas(replicas),
            Durability::Memory | Durability::Everysec | Durability::Always => db,
        };
        let keyspace = Keyspace::new(&config.key_prefix);
        let health = Health::new(db.handle(), &keyspace);
        let draining = Draining::default();
        let queues = Queues::new(db.handle(), keyspace.clone(), clock.clone(), metrics.clone(), config.auto_create);
        let (queues, archive) = match &config.archive {
            Some(settings) => {
                let place = (keyspace.clone(), config.key_prefix.as_str());
                let archive = Archive::open(settings, db.handle(), place, metrics.clone());
                let archive = archive.map_err(StartError::Archive)?;
                let outbox = Outbox { most: settings.outbox_max, when_full: settings.when_full };
                (queues.with_outbox(outbox), Some((archive, settings.clone())))
            }
            None => (queues, None),
        };
        let tokens = Tokens::new(db.handle(), keyspace.clone(), clock.clone());
        let limiter = Limiter::new(db.handle(), keyspace.clone(), clock.clone());
        let audit = AuditLog::new(db.handle(), &keyspace, clock.clone(), config.audit_entries);
        let reach = if config.profiles_allow_private { Reach::Anywhere } else { Reach::Public };
        let (profiles, fetch_profiles) = Profiles::new(&db, &keyspace, &clock, reach, &metrics);
        let leaderboards = Leaderboards::new(db.handle(), keyspace.clone(), clock.clone(), config.auto_create);
        let leaderboards = match &config.archive {
            Some(settings) => leaderboards.with_outbox(match settings.when_full {
                WhenFull::Block => None,
                WhenFull::DropOldest => Some(settings.outbox_max),
            }),
            None => leaderboards,
        };
        let archives = archive.as_ref().map(|(archive, _)| archive.clone()).unwrap_or_default();
        let (boards, holders) = (leaderboards.clone(), tokens.clone());
        let erasure = Erasure::new(db.handle(), keyspace.clone(), boards, holders, archives.clone());
        let live = Live::new(config.max_streams, config.stream_heartbeat, metrics.clone());
        let services = Services {
            leaderboards: leaderboards.clone(),
            profiles,
            queues: queues.clone(),
            archive: archives,
            erasure: erasure.clone(),
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
            document: Document::shared(),
        };
        // The factory runs once on each thread, so that each has a connection of its own.
        let connections = db.clone();
        let factory = move || {
            let own = connections.handle();
            let (leaderboards, queues) = (services.leaderboards.on(own.clone()), services.queues.on(own.clone()));
            let (gate, tokens) = (services.gate.on(own.clone()), services.tokens.on(own.clone()));
            let (audit, archive) = (services.audit.on(own.clone()), services.archive.on(own.clone()));
            let erasure = services.erasure.on(&own);
            let profiles = services.profiles.on(own.clone());
            let metering = Metering { limiter: services.metering.limiter.on(own), ..services.metering.clone() };
            http::app(Services {
                leaderboards,
                profiles,
                queues,
                archive,
                erasure,
                gate,
                tokens,
                audit,
                metering,
                ..services.clone()
            })
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
            profiles: fetch_profiles,
            queues,
            archive,
            erasure,
            tokens,
            live,
            db,
            durability: config.durability,
            keyspace,
            clock,
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
            profiles,
            queues,
            archive,
            erasure,
            tokens,
            live,
            db,
            durability,
            keyspace,
            clock,
            metrics,
            addresses: _,
        } = self;
        // Before anything is read or written. Where Redis is away it is looked at again until it answers.
        let format = Format::note(&db, &keyspace).await;
        if let Some(refusal) = format.as_ref().ok().and_then(|format| format.refusal()) {
            if let Some(embedded) = embedded {
                embedded.stop();
            }
            return Err(io::Error::other(refusal));
        }
        let handle = server.handle();
        let mut tasks = Driver::new(metrics.clone());
        tasks.start(Tend::new(queues.on(db.handle())));
        if let Some((archive, settings)) = &archive {
            tasks.start(Retain::new(archive.on(db.handle()), settings.retention, clock, metrics.clone()));
            let (boards, drained) = (leaderboards.on(db.handle()), queues.on(db.handle()));
            tasks.start(Drain::new(archive.on(db.handle()), (boards.clone(), drained), settings, metrics.clone()));
            tasks.start(ArchivePeriods::new(archive.on(db.handle()), boards, settings, metrics));
        }
        if let Some(certificate) = certificate {
            tasks.start(FollowCertificate::new(certificate));
        }
        let payer = tasks.start(Pay::new(leaderboards.on(db.handle()), queues.on(db.handle())));
        leaderboards.pay_with(payer);
        tasks.start(Roll::new(leaderboards.on(db.handle())));
        tasks.start(TakeSnapshots::new(leaderboards.on(db.handle())));
        tasks.start(FinishBans::new(leaderboards.on(db.handle())));
        tasks.start(FinishErasures::new(erasure.on(&db.handle())));
        tasks.start(WakeWaiters::new(queues.clone()));
        let tokens = tokens.on(db.handle());
        tasks.start(NoteUses::new(tokens.clone()));
        tasks.start(SweepTokens::new(tokens.clone()));
        let wakes = ListenForWakes::new(queues.clone(), &db);
        let stop = async {
            warn_of_loss(&health, durability).await;
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
            never = profiles.run() => match never {},
            never = db.follow_master() => match never {},
            refusal = newer_format(&db, &keyspace, format.is_ok()) => (Err(io::Error::other(refusal)), ()),
        };
        tasks.stop().await;
        if let Err(error) = tokens.write_uses().await {
            warn!(%error, "the last uses of tokens are not noted: {error}");
        }
        if let Some((archive, _)) = archive {
            archive.close().await;
        }
        if let Some(embedded) = embedded {
            embedded.stop();
        }
        info!("stopped");
        served
    }
}

/// Waits until Redis turns out to hold what a newer version has written, where that is not known.
async fn newer_format(db: &Db, keyspace: &Keyspace, is_known: bool) -> String {
    let mut is_known = is_known;
    while !is_known {
        tokio::time::sleep(LOOK_AGAIN).await;
        match Format::note(db, keyspace).await.map(Format::refusal) {
            Ok(Some(refusal)) => return refusal,
            Ok(None) => is_known = true,
            Err(_) => {}
        }
    }
    std::future::pending().await
}

/// Says aloud what the Redis may lose of what was acknowledged.
async fn warn_of_loss(health: &Health, durability: Durability) {
    let redis = match health.check().await {
        Ok(redis) => redis,
        Err(detail) => return warn!("Redis does not take writes yet: {detail}"),
    };
    info!(redis.version = %redis.version, redis.deployment = redis.deployment, redis.persistence = %redis.persistence,
        "Redis {} answers ({}), persistence: {}", redis.version, redis.deployment, redis.persistence);
    if !matches!(redis.eviction_policy.as_str(), "noeviction" | "unknown") {
        warn!(
            "Redis evicts keys when its memory is full ({}): set maxmemory-policy to noeviction, or entries will be lost",
            redis.eviction_policy
        );
    }
    let promised = match durability {
        Durability::Memory => &["aof always", "aof everysec", "aof no", "rdb", "none", "unknown"][..],
        Durability::Everysec | Durability::Replicated(_) => &["aof always", "aof everysec", "unknown"],
        Durability::Always => &["aof always"],
    };
    if !promised.contains(&redis.persistence.as_str()) {
        warn!(
            "Redis keeps less than `durability` asks for ({}): a crash of it loses {}",
            redis.persistence,
            redis.loss_on_crash()
        );
    }
    if let (Durability::Replicated(wanted), Some(there)) = (durability, redis.replicas)
        && there < wanted
    {
        warn!(
            "each write waits for {wanted} replicas, and there are {there}: until there are more, none is acknowledged"
        );
    }
    if let (Some(loss), "sentinel" | "cluster") = (redis.loss_on_failover(), redis.deployment) {
        info!("a fail-over loses {loss}");
    }
}
