//! From the merged values to valid settings.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Map, Value};
use secrecy::{ExposeSecret as _, SecretString};

use super::archive::{parse_archive, parse_when_full};
use super::parse::{
    parse_address, parse_durability, parse_limit, parse_networks, parse_origins, parse_prefix, parse_redis_url,
    parse_token,
};
use super::redis_url::OVER_TLS;
use super::{
    ArchiveSettings, Certificates, ClientCertificate, Config, Durability, Limits, LogFormat, MetricsAccess, Mistakes,
    Origins, RedisServer, RedisTarget, TlsFiles, WhenFull,
};

const MAX_THREADS: u64 = 1024;
const MAX_TIMEOUT_MS: u64 = 60_000;
const MAX_STREAMS: u64 = 1_000_000;
const MAX_CONNECTIONS: u64 = 1_000_000;
/// Less would cut off clients on slow networks; the framework looks at its clock each half second.
const MIN_CLIENT_TIMEOUT_MS: u64 = 1000;
const MAX_KEEP_ALIVE_MS: u64 = 3_600_000;
/// Less would be no record, and more than a few GB.
const AUDIT_ENTRIES: (u64, u64) = (100, 10_000_000);
/// More would be more parameters than a statement of SQLite takes.
const MAX_ARCHIVE_BATCH: u64 = 1000;
const MAX_ARCHIVE_CACHE_MS: u64 = 3_600_000;
/// A hundred years.
const MAX_ARCHIVE_RETENTION_MS: u64 = 3_153_600_000_000;
const MAX_ARCHIVE_OUTBOX: u64 = 100_000_000;
const SHORT_TOKEN: usize = 16;

struct Reader<'a> {
    values: &'a Map<String, Value>,
    mistakes: Vec<String>,
}

impl Reader<'_> {
    /// The setting as text, parsed; a mistake and the fallback where that fails.
    fn read<T>(&mut self, name: &str, fallback: T, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        let text = self.values.get(name).map(|value| value.clone().into_string());
        let parsed = match text {
            Some(Ok(text)) => parse(text.trim()),
            Some(Err(_)) | None => Err("must be a single value".to_owned()),
        };
        parsed.unwrap_or_else(|detail| {
            self.mistakes.push(format!("`{name}` {detail}"));
            fallback
        })
    }

    fn number(&mut self, name: &str, from: u64, to: u64) -> u64 {
        self.read(name, from, |text| match text.parse() {
            Ok(number) if (from..=to).contains(&number) => Ok(number),
            _ => Err(format!("must be a whole number from {from} to {to}")),
        })
    }

    fn is_set(&mut self, name: &str, fallback: bool) -> bool {
        self.read(name, fallback, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        })
    }

    fn millis(&mut self, name: &str, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.number(name, from, to))
    }

    fn tls(&mut self) -> Option<TlsFiles> {
        match (self.file("tls_cert"), self.file("tls_key")) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                self.mistakes.push("`tls_cert` and `tls_key` need each other".to_owned());
                None
            }
        }
    }

    fn file(&mut self, name: &str) -> Option<PathBuf> {
        self.read(name, None, |text| Ok((!text.is_empty()).then(|| PathBuf::from(text))))
    }

    /// The archive; a file of its own stands with the data of the private Redis.
    fn archive(&mut self, data_dir: Option<&Path>) -> Option<ArchiveSettings> {
        let target = self.read("archive_url", None, |text| parse_archive(text, data_dir));
        let batch = self.number("archive_batch", 1, MAX_ARCHIVE_BATCH);
        let every = self.millis("archive_every_ms", 10, MAX_TIMEOUT_MS);
        let outbox_max = self.number("archive_outbox_max", 1, MAX_ARCHIVE_OUTBOX);
        let when_full = self.read("archive_when_full", WhenFull::Block, parse_when_full);
        let cache = self.millis("archive_cache_ms", 0, MAX_ARCHIVE_CACHE_MS);
        let retention =
            Some(self.millis("archive_retention_ms", 0, MAX_ARCHIVE_RETENTION_MS)).filter(|kept| !kept.is_zero());
        target.map(|target| ArchiveSettings { target, batch, every, outbox_max, when_full, cache, retention })
    }

    /// The files of a connection over TLS, which only a URL that asks for one may have.
    fn certificates(&mut self, url: Option<&SecretString>) -> Certificates {
        let [authority, certificate, key] =
            ["redis_ca_cert", "redis_client_cert", "redis_client_key"].map(|name| (name, self.file(name)));
        if !url.is_some_and(|url| url.expose_secret().starts_with(OVER_TLS)) {
            let of_no_use = [&authority, &certificate, &key].into_iter().filter(|(_, path)| path.is_some());
            let mistakes =
                of_no_use.map(|(name, _)| format!("`{name}` needs a `redis_url` that begins with {OVER_TLS}"));
            self.mistakes.extend(mistakes);
        }
        let client = match (certificate.1, key.1) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                self.mistakes.push("`redis_client_cert` and `redis_client_key` need each other".to_owned());
                None
            }
        };
        Certificates { authority: authority.1, client }
    }
}

pub(super) fn check(
    values: &Map<String, Value>,
    mistakes: Vec<String>,
    mut warnings: Vec<String>,
) -> Result<Config, Mistakes> {
    let mut reader = Reader { values, mistakes };
    let listen = reader.read("listen", SocketAddr::from(([127, 0, 0, 1], 8080)), parse_address);
    let trusted_proxies = reader.read("trusted_proxies", Vec::new(), parse_networks);
    let tls = reader.tls();
    let client_timeout = reader.millis("client_timeout_ms", MIN_CLIENT_TIMEOUT_MS, MAX_TIMEOUT_MS);
    let keep_alive = reader.millis("keep_alive_ms", MIN_CLIENT_TIMEOUT_MS, MAX_KEEP_ALIVE_MS);
    let max_connections = reader.number("max_connections", 1, MAX_CONNECTIONS);
    let max_connections_per_peer = reader.number("max_connections_per_peer", 0, MAX_CONNECTIONS);
    let cors_origins = reader.read("cors_origins", Origins::Listed(Vec::new()), parse_origins);
    let metrics_access = reader.read("metrics_access", MetricsAccess::Open, |text| match text {
        "open" => Ok(MetricsAccess::Open),
        "admin" => Ok(MetricsAccess::Admin),
        "off" => Ok(MetricsAccess::Off),
        _ => Err("must be open, admin or off".to_owned()),
    });
    let url = reader.read("redis_url", None, parse_redis_url);
    let certificates = reader.certificates(url.as_ref());
    let data_dir = reader.read("data_dir", PathBuf::new(), |text| match text {
        "" => Err("must name a directory".to_owned()),
        path => Ok(PathBuf::from(path)),
    });
    let token = reader.read("admin_token", None, parse_token);
    let limits = Limits {
        token: reader.read("token_limit", None, parse_limit),
        player: reader.read("player_limit", None, parse_limit),
        peer: reader.read("peer_limit", None, parse_limit),
    };
    let archive = reader.archive(url.is_none().then_some(data_dir.as_path()));
    let audit_entries = reader.number("audit_entries", AUDIT_ENTRIES.0, AUDIT_ENTRIES.1);
    let profiles_allow_private = reader.is_set("profiles_allow_private", false);
    let auto_create = reader.is_set("auto_create", true);
    let key_prefix = reader.read("key_prefix", String::new(), parse_prefix);
    let durability = reader.read("durability", Durability::Everysec, parse_durability);
    if matches!(durability, Durability::Replicated(_)) && url.is_none() {
        reader.mistakes.push(
            "`durability` can be replicated: only with a `redis_url`: the private one has no replicas".to_owned(),
        );
    }
    let log = reader.read("log", String::new(), |text| {
        let checked: Result<tracing_subscriber::EnvFilter, _> = text.parse();
        checked.map(|_| text.to_owned()).map_err(|_| "must be a tracing filter such as info,ranq=debug".to_owned())
    });
    let log_format = reader.read("log_format", LogFormat::Text, |text| match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be text or json".to_owned()),
    });
    let threads = reader.number("threads", 0, MAX_THREADS);
    let redis_timeout = Duration::from_millis(reader.number("redis_timeout_ms", 10, MAX_TIMEOUT_MS));
    let max_streams = reader.number("max_streams", 0, MAX_STREAMS);
    let stream_heartbeat = Duration::from_millis(reader.number("stream_heartbeat_ms", 100, MAX_TIMEOUT_MS));
    let shutdown_timeout = Duration::from_millis(reader.number("shutdown_timeout_ms", 0, MAX_TIMEOUT_MS));

    if token.is_none() && reader.mistakes.is_empty() && !listen.ip().is_loopback() {
        reader.mistakes.push(format!(
            "`listen` {listen} is not a loopback address, and without an `admin_token` the service is open to all: set \
             RANQ_ADMIN_TOKEN, or listen on 127.0.0.1"
        ));
    }
    if token.as_ref().is_some_and(|(length, _)| *length < SHORT_TOKEN) {
        warnings.push(format!("`admin_token` is shorter than {SHORT_TOKEN} characters and easy to guess"));
    }
    if trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
        warnings.push("`trusted_proxies` trusts every address: whoever connects can claim any other".to_owned());
    }
    if !reader.mistakes.is_empty() {
        return Err(Mistakes(reader.mistakes));
    }
    Ok(Config {
        listen,
        trusted_proxies,
        tls,
        client_timeout,
        keep_alive,
        max_connections: usize::try_from(max_connections).unwrap_or(usize::MAX),
        max_connections_per_peer: usize::try_from(max_connections_per_peer).unwrap_or(usize::MAX),
        cors_origins,
        metrics_access,
        redis: match url {
            Some(url) => RedisTarget::Server(RedisServer { url, certificates }),
            None => RedisTarget::Embedded(data_dir),
        },
        durability,
        redis_timeout,
        admin_token: token.map(|(_, token)| token),
        limits,
        archive,
        audit_entries,
        profiles_allow_private,
        auto_create,
        key_prefix,
        log,
        log_format,
        threads: match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => usize::try_from(threads).unwrap_or(1),
        },
        shutdown_timeout,
        max_streams: usize::try_from(max_streams).unwrap_or(usize::MAX),
        stream_heartbeat,
        warnings,
    })
}
