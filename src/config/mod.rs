//! Settings: `default.toml` ← a file ← `RANQ_*` ← flags, validated once, with every mistake said at once.

mod archive;
mod check;
mod parse;
mod redis_url;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{FileFormat, Map, Source, Value};
use ipnet::IpNet;
use secrecy::SecretString;

pub use self::archive::{ArchiveSettings, ArchiveTarget, WhenFull};
pub use self::redis_url::RedisUrl;
use crate::types::RateLimit;

/// Every setting with its comment and default.
pub const DEFAULTS: &str = include_str!("default.toml");

const ENVIRONMENT_PREFIX: &str = "RANQ_";
/// Variables that `ranq worker` knows, and the service does not.
const OF_WORKERS: [&str; 2] = ["RANQ_URL", "RANQ_TOKEN"];

/// The settings of a service, all of them valid.
#[derive(Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The proxies whose word on the address of a client counts.
    pub trusted_proxies: Vec<IpNet>,
    /// The certificate for TLS; without one the service speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// How long a client may take to send the head, or the body, of a request, and to make room for more of an answer.
    pub client_timeout: Duration,
    /// How long a connection without a request is kept.
    pub keep_alive: Duration,
    /// Connections that may be open at once.
    pub max_connections: usize,
    /// Those of one address; 0 for as many as there are.
    pub max_connections_per_peer: usize,
    /// Pages of which sites may call.
    pub cors_origins: Origins,
    /// Who may read `/metrics`.
    pub metrics_access: MetricsAccess,
    /// Which Redis to use.
    pub redis: RedisTarget,
    /// How what is written is kept.
    pub durability: Durability,
    /// How long one call to Redis may take.
    pub redis_timeout: Duration,
    /// The token that may do everything; without one the service is open.
    pub admin_token: Option<SecretString>,
    /// How much may be asked for.
    pub limits: Limits,
    /// Where finished jobs go for good; nowhere without one.
    pub archive: Option<ArchiveSettings>,
    /// About how many entries the audit log keeps.
    pub audit_entries: u64,
    /// Whether upstreams of profiles may be at addresses that are not public.
    pub profiles_allow_private: bool,
    /// Whether the first score creates its leaderboard.
    pub auto_create: bool,
    /// What every Redis key begins with.
    pub key_prefix: String,
    /// The tracing filter.
    pub log: String,
    /// The form of the log.
    pub log_format: LogFormat,
    /// Threads that serve requests.
    pub threads: usize,
    /// How long requests in flight may take to finish at a stop.
    pub shutdown_timeout: Duration,
    /// Streams of events that may be open at once.
    pub max_streams: usize,
    /// After how long without an event a stream carries a sign of life.
    pub stream_heartbeat: Duration,
    /// What was noticed and does no harm, to be logged once logging runs.
    pub warnings: Vec<String>,
}

/// How much may be asked for; without a limit as much as there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// With one token that has no limit of its own.
    pub token: Option<RateLimit>,
    /// With all tokens of one member together.
    pub player: Option<RateLimit>,
    /// From one address, without a token that counts.
    pub peer: Option<RateLimit>,
}

/// Which Redis the service uses.
#[derive(Debug)]
pub enum RedisTarget {
    /// A private redis-server with its data in this directory.
    Embedded(PathBuf),
    /// Another one.
    Server(RedisServer),
}

/// A Redis that is not the service's own.
#[derive(Debug)]
pub struct RedisServer {
    /// Where it is, and who the service is there: it may carry a password.
    pub url: SecretString,
    /// What a connection over TLS needs.
    pub certificates: Certificates,
}

/// PEM files of a connection over TLS.
#[derive(Debug, Default)]
pub struct Certificates {
    /// Who vouches for the server; the authorities of the system without one.
    pub authority: Option<PathBuf>,
    /// What the service shows, if the server wants to see something.
    pub client: Option<ClientCertificate>,
}

/// A certificate that is shown to a server.
#[derive(Debug)]
pub struct ClientCertificate {
    /// The chain, the service's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// PEM files of the service's own certificate.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The chain, the service's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Pages of which sites may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Of every site.
    Any,
    /// Of these origins, as browsers write them.
    Listed(Vec<String>),
}

/// Who may read `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsAccess {
    /// Whoever reaches the service.
    Open,
    /// Who has the scope `admin`.
    Admin,
    /// Nobody.
    Off,
}

/// What a write must have reached before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The memory of Redis alone.
    Memory,
    /// The memory, and the disk within a second or two.
    Everysec,
    /// The disk.
    Always,
    /// The memory of so many replicas.
    Replicated(u32),
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// All the mistakes of a configuration, a line each.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration has mistakes:")?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  - {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

impl Config {
    /// Reads the file, the environment and the flags (setting name → text) over the defaults.
    ///
    /// # Errors
    ///
    /// All mistakes together. None of them shows the value of a secret.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: BTreeMap<&'static str, String>,
    ) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let mut warnings = Vec::new();
        let defaults = toml(DEFAULTS).expect("default.toml is valid: a test reads it");
        let mut values = defaults.clone();
        if let Some(path) = file {
            match std::fs::read_to_string(path).map_err(|error| error.to_string()).and_then(|text| toml(&text)) {
                Ok(given) => {
                    for (name, value) in given {
                        if defaults.contains_key(&name) {
                            values.insert(name, value);
                        } else {
                            mistakes.push(format!("`{name}` in {} is not a setting", path.display()));
                        }
                    }
                }
                Err(error) => mistakes.push(format!("{} cannot be read: {error}", path.display())),
            }
        }
        for (variable, text) in environment {
            let Some(name) = variable.strip_prefix(ENVIRONMENT_PREFIX).map(str::to_lowercase) else { continue };
            if defaults.contains_key(&name) {
                values.insert(name, Value::new(Some(&variable), text));
            } else if !OF_WORKERS.contains(&variable.as_str()) {
                warnings.push(format!("the environment variable {variable} is not a setting and is ignored"));
            }
        }
        for (name, text) in flags {
            values.insert(name.to_owned(), Value::new(Some(&"a flag".to_owned()), text));
        }
        check::check(&values, mistakes, warnings)
    }
}

fn toml(text: &str) -> Result<Map<String, Value>, String> {
    config::File::from_str(text, FileFormat::Toml).collect().map_err(|error| misplaced(&error.to_string()))
}

/// Where a text is no TOML. The parser's own words show the line, which may hold a secret.
fn misplaced(error: &str) -> String {
    let place = error.lines().next().and_then(|line| line.split_once(" at ")).map_or("somewhere", |(_, place)| place);
    format!("it is no TOML at {place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Config, Mistakes> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(None, environment, flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect())
    }

    #[test]
    fn the_defaults_are_valid() {
        let config = load(&[], &[]).expect("valid");
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert!(matches!(config.redis, RedisTarget::Embedded(_)));
        assert!(config.auto_create && config.admin_token.is_none());
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_a_file() {
        let file = std::env::temp_dir().join(format!("ranq-config-{}.toml", std::process::id()));
        std::fs::write(&file, "listen = \"127.0.0.1:1\"\nkey_prefix = \"file\"\nlog = \"debug\"\n").expect("written");
        let environment = [("RANQ_LISTEN", "127.0.0.1:2"), ("RANQ_KEY_PREFIX", "env")];
        let config = Config::load(
            Some(&file),
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
            BTreeMap::from([("listen", "127.0.0.1:3".to_owned())]),
        );
        std::fs::remove_file(&file).expect("removed");
        let config = config.expect("valid");
        assert_eq!(config.listen.port(), 3);
        assert_eq!((config.key_prefix.as_str(), config.log.as_str()), ("env", "debug"));
    }

    #[test]
    fn every_mistake_is_named_at_once_and_secrets_are_not_shown() {
        let mistakes = load(
            &[
                ("RANQ_LISTEN", "nowhere"),
                ("RANQ_REDIS_URL", "http://user:hunter2@host"),
                ("RANQ_AUTO_CREATE", "maybe"),
                ("RANQ_ADMIN_TOKEN", "with space hunter2"),
            ],
            &[("threads", "-1"), ("key_prefix", "a:b")],
        )
        .expect_err("six mistakes");
        assert_eq!(mistakes.0.len(), 6, "{mistakes}");
        for name in ["listen", "redis_url", "auto_create", "admin_token", "threads", "key_prefix"] {
            assert!(mistakes.to_string().contains(&format!("`{name}`")), "{name} is missing in {mistakes}");
        }
        assert!(!mistakes.to_string().contains("hunter2"), "{mistakes}");
    }

    #[test]
    fn a_file_that_is_no_toml_shows_the_place_and_no_secret() {
        let file = std::env::temp_dir().join(format!("ranq-config-bad-{}.toml", std::process::id()));
        for text in [
            "log = \"info\"\nadmin_token = \"hunter2",
            "log = \"info\"\nadmin_token = hunter2",
            "log = \"info\"\nhunter2",
        ] {
            std::fs::write(&file, text).expect("written");
            let mistakes =
                Config::load(Some(&file), std::iter::empty(), BTreeMap::new()).expect_err("no TOML").to_string();
            assert!(mistakes.contains("line 2, column"), "{mistakes}");
            assert!(!mistakes.contains("hunter2"), "{mistakes}");
        }
        std::fs::remove_file(&file).expect("removed");
    }

    #[test]
    fn certificates_are_for_a_redis_over_tls() {
        let mistakes = |settings: &[(&str, &str)]| load(settings, &[]).map(|_| ()).expect_err("a mistake").to_string();
        let plain = [("RANQ_REDIS_URL", "redis://localhost"), ("RANQ_REDIS_CA_CERT", "ca.pem")];
        assert!(mistakes(&plain).contains("`redis_ca_cert`"));
        let half = [("RANQ_REDIS_URL", "rediss://localhost"), ("RANQ_REDIS_CLIENT_KEY", "key.pem")];
        assert!(mistakes(&half).contains("`redis_client_cert` and `redis_client_key`"));
        assert!(mistakes(&[("RANQ_REDIS_URL", "rediss://u:hunter2@localhost#insecure")]).contains("no `#`"));
        let whole = [("RANQ_REDIS_URL", "rediss://u:p%40ss@localhost"), ("RANQ_REDIS_CA_CERT", "ca.pem")];
        let RedisTarget::Server(server) = load(&whole, &[]).expect("valid").redis else { panic!("a URL is given") };
        assert_eq!(server.certificates.authority.as_deref(), Some(Path::new("ca.pem")));
    }

    #[test]
    fn a_limit_is_a_number_and_a_time() {
        let config = load(&[("RANQ_TOKEN_LIMIT", "600/1m"), ("RANQ_PEER_LIMIT", "")], &[("player_limit", "5/1s")]);
        let limits = config.expect("valid").limits;
        assert_eq!(limits.token, Some(RateLimit { limit: 600, per_ms: 60_000 }));
        assert_eq!(limits.player, Some(RateLimit { limit: 5, per_ms: 1000 }));
        assert_eq!(limits.peer, None);
        let mistakes = load(&[("RANQ_TOKEN_LIMIT", "600"), ("RANQ_PEER_LIMIT", "0/1s")], &[]).expect_err("mistakes");
        assert!(mistakes.0.len() == 2 && mistakes.0[0].starts_with("`token_limit`"), "{mistakes}");
    }

    #[test]
    fn trusted_proxies_are_addresses_and_networks() {
        let proxies = |text: &str| load(&[("RANQ_TRUSTED_PROXIES", text)], &[]).map(|config| config.trusted_proxies);
        let shown = |text| proxies(text).expect("valid").iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            shown(" 10.0.0.1, 192.168.0.0/16,2001:db8::/32,"),
            ["10.0.0.1/32", "192.168.0.0/16", "2001:db8::/32"]
        );
        assert_eq!(shown("::ffff:10.0.0.0/104, ::ffff:10.0.0.1"), ["10.0.0.0/8", "10.0.0.1/32"]);
        assert!(shown("").is_empty());
        for (text, detail) in
            [("proxy", "`proxy` is none"), ("10.0.0.0/33", "is none"), ("10.0.0.7/8", "means 10.0.0.0/8")]
        {
            let mistakes = proxies(text).expect_err("a mistake").to_string();
            assert!(mistakes.contains("`trusted_proxies`") && mistakes.contains(detail), "{mistakes}");
        }
        assert_eq!(load(&[("RANQ_TRUSTED_PROXIES", "0.0.0.0/0")], &[]).expect("valid").warnings.len(), 1);
    }

    #[test]
    fn origins_are_as_browsers_write_them() {
        let origins = |text: &str| load(&[("RANQ_CORS_ORIGINS", text)], &[]).map(|config| config.cors_origins);
        let listed = |texts: &[&str]| Origins::Listed(texts.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(origins("").expect("valid"), listed(&[]));
        assert_eq!(origins("*").expect("valid"), Origins::Any);
        let several = "https://a.example, http://localhost:3000,capacitor://localhost";
        let wanted = listed(&["https://a.example", "http://localhost:3000", "capacitor://localhost"]);
        assert_eq!(origins(several).expect("valid"), wanted);
        for (text, detail) in [
            ("https://a.example/", "has a path"),
            ("a.example", "no scheme"),
            ("null", "no scheme"),
            ("https://A.example", "small letters"),
            ("https://*.example", "wildcards"),
            ("https://a.example:443", "usual port"),
            ("*, https://a.example", "among others"),
        ] {
            let mistakes = origins(text).expect_err(text).to_string();
            assert!(mistakes.contains("`cors_origins`") && mistakes.contains(detail), "{mistakes}");
        }
    }

    #[test]
    fn a_certificate_and_its_key_need_each_other() {
        let half = load(&[("RANQ_TLS_CERT", "cert.pem")], &[]).expect_err("a mistake");
        assert!(half.to_string().contains("`tls_cert` and `tls_key`"), "{half}");
    }

    #[test]
    fn an_open_service_is_for_loopback_only() {
        let refused = load(&[("RANQ_LISTEN", "0.0.0.0:8080")], &[]).expect_err("refused");
        assert!(refused.to_string().contains("admin_token"), "{refused}");
        assert!(load(&[("RANQ_LISTEN", "0.0.0.0:8080"), ("RANQ_ADMIN_TOKEN", "s3cret-token")], &[]).is_ok());
    }

    #[test]
    fn an_unknown_variable_is_a_warning() {
        assert_eq!(load(&[("RANQ_LISTN", "x")], &[]).expect("valid").warnings.len(), 1);
    }
}
