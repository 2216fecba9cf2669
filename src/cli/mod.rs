//! The commands of the binary.

mod bench;
mod check;
mod export;
mod healthcheck;
mod import;
mod openapi;
mod serve;
mod token;
mod transfer;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::{Config, Mistakes};

/// Leaderboards and job queues over HTTP, on Redis.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service.
    Serve(Settings),
    /// Asks a running service whether it is ready: exit code 0 if so, 1 if not.
    Healthcheck(Settings),
    /// Makes, lists, rotates and revokes tokens.
    Token(token::Options),
    /// Looks whether what Redis keeps of the queues holds together: exit code 0 if so, 1 if not.
    Check(check::Options),
    /// Runs a command for each job of a queue.
    Worker(worker::Options),
    /// Writes a ranking of a running service to a file.
    Export(export::Options),
    /// Sets rows of a ranking of a running service from a file.
    Import(import::Options),
    /// Measures a running service.
    Bench(bench::Options),
    /// Prints the OpenAPI document.
    Openapi(openapi::Options),
}

/// Every setting as a flag; RANQ_* and a file set them too, see src/config/default.toml.
#[derive(Debug, Args)]
struct Settings {
    /// A TOML file with settings.
    #[arg(long, env = "RANQ_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The proxies whose `X-Forwarded-For` counts: addresses and networks, with commas between.
    #[arg(long, value_name = "LIST")]
    trusted_proxies: Option<String>,
    /// The certificate that the service shows: it then speaks HTTPS.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Its private key.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// How long a client may take to send a head or a body, or to read on [default: 15000].
    #[arg(long, value_name = "MS")]
    client_timeout_ms: Option<String>,
    /// How long a connection without a request is kept [default: 75000].
    #[arg(long, value_name = "MS")]
    keep_alive_ms: Option<String>,
    /// Connections open at once [default: 25000].
    #[arg(long, value_name = "NUMBER")]
    max_connections: Option<String>,
    /// Connections of one address; 0 for no limit [default: 0].
    #[arg(long, value_name = "NUMBER")]
    max_connections_per_peer: Option<String>,
    /// Origins whose pages may call, with commas between, or * [default: none].
    #[arg(long, value_name = "LIST")]
    cors_origins: Option<String>,
    /// Who may read /metrics: open, admin or off [default: open].
    #[arg(long, value_name = "WHO")]
    metrics_access: Option<String>,
    /// The Redis to use; a private one is started without it. With a password better set by RANQ_REDIS_URL.
    #[arg(long, value_name = "URL")]
    redis_url: Option<SecretString>,
    /// The authorities that vouch for a Redis over TLS [default: those of the system].
    #[arg(long, value_name = "FILE")]
    redis_ca_cert: Option<String>,
    /// The certificate that is shown to a Redis over TLS.
    #[arg(long, value_name = "FILE")]
    redis_client_cert: Option<String>,
    /// Its private key.
    #[arg(long, value_name = "FILE")]
    redis_client_key: Option<String>,
    /// Where the private Redis keeps its data [default: ./data].
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<String>,
    /// How the private Redis keeps what is written: everysec or always [default: everysec].
    #[arg(long, value_name = "WHEN")]
    durability: Option<String>,
    /// The token that every call under /v1 must carry; better set by RANQ_ADMIN_TOKEN.
    #[arg(long, value_name = "TOKEN")]
    admin_token: Option<SecretString>,
    /// Requests with one token that has no limit of its own, such as 600/1m [default: no limit].
    #[arg(long, value_name = "LIMIT/TIME")]
    token_limit: Option<String>,
    /// Requests with all tokens of one member [default: no limit].
    #[arg(long, value_name = "LIMIT/TIME")]
    player_limit: Option<String>,
    /// Requests of one address without a valid token [default: no limit].
    #[arg(long, value_name = "LIMIT/TIME")]
    peer_limit: Option<String>,
    /// Where finished jobs, scores and periods are kept: auto (sqlite with the private Redis, else none), none, sqlite, sqlite:PATH or postgres://… [default: auto]. With a password better set by RANQ_ARCHIVE_URL.
    #[arg(long, value_name = "URL")]
    archive_url: Option<SecretString>,
    /// Jobs written to the archive at once [default: 500].
    #[arg(long, value_name = "NUMBER")]
    archive_batch: Option<String>,
    /// How often the archive is written [default: 200].
    #[arg(long, value_name = "MS")]
    archive_every_ms: Option<String>,
    /// Finished jobs of a queue on their way to the archive [default: 100000].
    #[arg(long, value_name = "NUMBER")]
    archive_outbox_max: Option<String>,
    /// What becomes of one more: block or drop-oldest [default: block].
    #[arg(long, value_name = "WHAT")]
    archive_when_full: Option<String>,
    /// How long a job that was read from the archive is kept in Redis [default: 60000].
    #[arg(long, value_name = "MS")]
    archive_cache_ms: Option<String>,
    /// How long what is archived is kept; 0 for ever [default: 0].
    #[arg(long, value_name = "MS")]
    archive_retention_ms: Option<String>,
    /// About how many administrative acts the audit log keeps [default: 100000].
    #[arg(long, value_name = "NUMBER")]
    audit_entries: Option<String>,
    /// Whether upstreams of profiles may be at addresses that are not public [default: false].
    #[arg(long, value_name = "BOOL")]
    profiles_allow_private: Option<String>,
    /// Whether the first score creates its leaderboard [default: true].
    #[arg(long, value_name = "BOOL")]
    auto_create: Option<String>,
    /// What every Redis key begins with [default: ranq].
    #[arg(long, value_name = "PREFIX")]
    key_prefix: Option<String>,
    /// What to log [default: info].
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How to log: text or json [default: text].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Threads that serve requests [default: one a core].
    #[arg(long, value_name = "NUMBER")]
    threads: Option<String>,
    /// How long a call to Redis may take [default: 1000].
    #[arg(long, value_name = "MS")]
    redis_timeout_ms: Option<String>,
    /// How long requests in flight may take at a stop [default: 5000].
    #[arg(long, value_name = "MS")]
    shutdown_timeout_ms: Option<String>,
    /// Streams of live rankings open at once [default: 10000].
    #[arg(long, value_name = "NUMBER")]
    max_streams: Option<String>,
    /// How long a stream is silent before a sign of life [default: 15000].
    #[arg(long, value_name = "MS")]
    stream_heartbeat_ms: Option<String>,
}

impl Settings {
    fn load(self) -> Result<Config, Mistakes> {
        let text = |secret: SecretString| secret.expose_secret().to_owned();
        let flags = [
            ("listen", self.listen),
            ("trusted_proxies", self.trusted_proxies),
            ("tls_cert", self.tls_cert),
            ("tls_key", self.tls_key),
            ("client_timeout_ms", self.client_timeout_ms),
            ("keep_alive_ms", self.keep_alive_ms),
            ("max_connections", self.max_connections),
            ("max_connections_per_peer", self.max_connections_per_peer),
            ("cors_origins", self.cors_origins),
            ("metrics_access", self.metrics_access),
            ("redis_url", self.redis_url.map(text)),
            ("redis_ca_cert", self.redis_ca_cert),
            ("redis_client_cert", self.redis_client_cert),
            ("redis_client_key", self.redis_client_key),
            ("data_dir", self.data_dir),
            ("durability", self.durability),
            ("admin_token", self.admin_token.map(text)),
            ("token_limit", self.token_limit),
            ("player_limit", self.player_limit),
            ("peer_limit", self.peer_limit),
            ("archive_url", self.archive_url.map(text)),
            ("archive_batch", self.archive_batch),
            ("archive_every_ms", self.archive_every_ms),
            ("archive_outbox_max", self.archive_outbox_max),
            ("archive_when_full", self.archive_when_full),
            ("archive_cache_ms", self.archive_cache_ms),
            ("archive_retention_ms", self.archive_retention_ms),
            ("audit_entries", self.audit_entries),
            ("profiles_allow_private", self.profiles_allow_private),
            ("auto_create", self.auto_create),
            ("key_prefix", self.key_prefix),
            ("log", self.log),
            ("log_format", self.log_format),
            ("threads", self.threads),
            ("redis_timeout_ms", self.redis_timeout_ms),
            ("shutdown_timeout_ms", self.shutdown_timeout_ms),
            ("max_streams", self.max_streams),
            ("stream_heartbeat_ms", self.stream_heartbeat_ms),
        ];
        let flags: BTreeMap<_, _> = flags.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
            .filter(|(name, _)| name != "RANQ_CONFIG");
        Config::load(self.config.as_deref(), environment, flags)
    }
}

/// Runs the command of the command line; what goes wrong is told on standard error in a few lines.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(settings) => serve::serve(settings),
        Command::Healthcheck(settings) => healthcheck::check(settings),
        Command::Check(options) => check::check(options),
        Command::Token(options) => token::run(options),
        Command::Worker(options) => worker::run(options),
        Command::Export(options) => export::export(&options),
        Command::Import(options) => import::import(&options),
        Command::Bench(options) => bench::run(options),
        Command::Openapi(options) => openapi::print(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ranq: {error}");
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<(), Box<dyn std::error::Error>>;
