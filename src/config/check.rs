//! From the merged values to valid settings.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use config::{Map, Value};
use ipnet::IpNet;
use redis::IntoConnectionInfo;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Certificates, ClientCertificate, Config, Durability, Limits, LogFormat, Mistakes, RedisServer, RedisTarget,
};

use crate::types::RateLimit;

const MAX_THREADS: u64 = 1024;
const MAX_TIMEOUT_MS: u64 = 60_000;
const MAX_STREAMS: u64 = 1_000_000;
/// Less would be no record, and more than a few GB.
const AUDIT_ENTRIES: (u64, u64) = (100, 10_000_000);
const SHORT_TOKEN: usize = 16;
/// How the URL of a Redis begins that is reached over TLS.
const OVER_TLS: &str = "rediss://";

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

    fn file(&mut self, name: &str) -> Option<PathBuf> {
        self.read(name, None, |text| Ok((!text.is_empty()).then(|| PathBuf::from(text))))
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
    let audit_entries = reader.number("audit_entries", AUDIT_ENTRIES.0, AUDIT_ENTRIES.1);
    let auto_create = reader.read("auto_create", true, |text| match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    });
    let key_prefix = reader.read("key_prefix", String::new(), parse_prefix);
    let durability = reader.read("durability", Durability::Everysec, |text| match text {
        "everysec" => Ok(Durability::Everysec),
        "always" => Ok(Durability::Always),
        _ => Err("must be everysec or always".to_owned()),
    });
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
        redis: match url {
            Some(url) => RedisTarget::Server(RedisServer { url, certificates }),
            None => RedisTarget::Embedded(data_dir),
        },
        durability,
        redis_timeout,
        admin_token: token.map(|(_, token)| token),
        limits,
        audit_entries,
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

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map_or(text.to_owned(), |port| format!("127.0.0.1:{port}"));
    numeric.parse().map_err(|_| "must be an IP address and a port such as 127.0.0.1:8080".to_owned())
}

/// Addresses and networks of proxies. IPv4 that is written as IPv6 is taken for what it is.
fn parse_networks(text: &str) -> Result<Vec<IpNet>, String> {
    let parse = |item: &str| {
        let network = match item.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => item.parse().map_err(|_| {
                format!(
                    "must be IP addresses and networks such as 10.0.0.1, 10.0.0.0/8, 2001:db8::/32: `{item}` is none"
                )
            })?,
        };
        if network.addr() != network.network() {
            return Err(format!("has an address where a network should stand: {item} means {}", network.trunc()));
        }
        Ok(match network {
            IpNet::V6(mapped) if mapped.prefix_len() >= 96 => match mapped.addr().to_ipv4_mapped() {
                Some(address) => IpNet::new(address.into(), mapped.prefix_len() - 96).unwrap_or(network),
                None => network,
            },
            IpNet::V4(_) | IpNet::V6(_) => network,
        })
    };
    items(text).map(parse).collect()
}

/// The items of a list with commas.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn parse_redis_url(text: &str) -> Result<Option<SecretString>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.contains('#') {
        return Err("must have no `#`: certificates are always checked, and in a password it is written %23".to_owned());
    }
    let known = ["redis://", OVER_TLS, "unix://", "redis+unix://"].iter().any(|scheme| text.starts_with(scheme));
    // The parser's own words may repeat the URL, password included.
    if !known || text.into_connection_info().is_err() {
        return Err("must be redis://[user:password@]host[:port][/db], the same with rediss:// for TLS, or unix:///path/to/redis.sock".to_owned());
    }
    Ok(Some(SecretString::from(text.to_owned())))
}

fn parse_token(text: &str) -> Result<Option<(usize, SecretString)>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must be visible ASCII characters without spaces".to_owned());
    }
    Ok(Some((text.len(), SecretString::from(text.to_owned()))))
}

fn parse_limit(text: &str) -> Result<Option<RateLimit>, String> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

fn parse_prefix(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if text.is_empty() || text.len() > 32 || !text.bytes().all(plain) {
        return Err("must be 1 to 32 of A-Z a-z 0-9 _ - .".to_owned());
    }
    Ok(text.to_owned())
}
