//! The forms of a Redis URL: one server, one that Sentinels know, or a Cluster.

use redis::IntoConnectionInfo as _;

/// How the URL of a Redis begins that is reached over TLS, whatever follows.
pub(super) const OVER_TLS: &str = "rediss";

const SENTINEL_PORT: u16 = 26379;
const REDIS_PORT: u16 = 6379;

/// What a Redis URL names. The parts are URLs of single servers (`redis://`, `rediss://`, `unix://`), as clients read them;
/// they may carry passwords.
#[derive(Clone, PartialEq, Eq)]
pub enum RedisUrl {
    /// One server.
    Server(String),
    /// The server that Sentinels call the master of a name.
    Sentinel {
        /// The Sentinels.
        sentinels: Vec<String>,
        /// What they call the master and its replicas (`sentinel monitor NAME …`).
        name: String,
        /// The master's URL, with a host that is to be replaced.
        master: String,
    },
    /// A Cluster, by some of its nodes.
    Cluster(Vec<String>),
}

impl RedisUrl {
    /// Reads a URL; `None` where it is none. What is wrong is not told, since it may be in a password.
    pub fn parse(text: &str) -> Option<Self> {
        let url = match text.split_once("://")? {
            ("redis" | "rediss" | "unix" | "redis+unix", _) => Self::Server(text.to_owned()),
            ("redis+sentinel", rest) => Self::sentinel("redis", rest)?,
            ("rediss+sentinel", rest) => Self::sentinel("rediss", rest)?,
            ("redis+cluster", rest) => Self::cluster("redis", rest)?,
            ("rediss+cluster", rest) => Self::cluster("rediss", rest)?,
            _ => return None,
        };
        let is_url = |part: &String| part.as_str().into_connection_info().is_ok();
        let valid = match &url {
            Self::Server(server) => is_url(server),
            Self::Sentinel { sentinels, master, .. } => sentinels.iter().all(is_url) && is_url(master),
            Self::Cluster(nodes) => nodes.iter().all(is_url),
        };
        valid.then_some(url)
    }

    /// `[user:password@]host[:port],…/NAME[/db][?sentinel_user=…&sentinel_password=…]`
    fn sentinel(scheme: &str, rest: &str) -> Option<Self> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/')?;
        let (name, database) = path.split_once('/').map_or((path, None), |(name, database)| (name, Some(database)));
        let name = percent_encoding::percent_decode_str(name).decode_utf8().ok()?.into_owned();
        let (mut user, mut password) = ("", "");
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=')? {
                ("sentinel_user", value) => user = value,
                ("sentinel_password", value) => password = value,
                _ => return None,
            }
        }
        let (credentials, hosts) = split_authority(authority, SENTINEL_PORT)?;
        let of_sentinels =
            if user.is_empty() && password.is_empty() { String::new() } else { format!("{user}:{password}@") };
        let database = database.map_or(String::new(), |database| format!("/{database}"));
        (!name.is_empty()).then(|| Self::Sentinel {
            sentinels: hosts.iter().map(|host| format!("{scheme}://{of_sentinels}{host}")).collect(),
            name,
            master: format!("{scheme}://{credentials}localhost{database}"),
        })
    }

    /// `[user:password@]host[:port],…`
    fn cluster(scheme: &str, rest: &str) -> Option<Self> {
        let (credentials, hosts) = split_authority(rest.strip_suffix('/').unwrap_or(rest), REDIS_PORT)?;
        Some(Self::Cluster(hosts.iter().map(|host| format!("{scheme}://{credentials}{host}")).collect()))
    }
}

/// The credentials with their `@`, if there are any, and each host with its port.
fn split_authority(authority: &str, port: u16) -> Option<(&str, Vec<String>)> {
    let (credentials, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let hosts: Option<Vec<String>> = hosts
        .split(',')
        .map(|host| {
            let plain = !host.is_empty() && !host.starts_with(':') && !host.contains(['/', '?', '#', ' ']);
            // Colons inside brackets are of an IPv6 address.
            let has_port = host.rsplit_once(']').map_or(host, |(_, after)| after).contains(':');
            plain.then(|| if has_port { host.to_owned() } else { format!("{host}:{port}") })
        })
        .collect();
    hosts.map(|hosts| (credentials, hosts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_that_sentinels_know() {
        let url = "rediss+sentinel://u:p%40ss@a,[::1]:1,c:2/my%20name/3?sentinel_user=s&sentinel_password=w%23";
        let Some(RedisUrl::Sentinel { sentinels, name, master }) = RedisUrl::parse(url) else { panic!("it is one") };
        assert_eq!(sentinels, ["rediss://s:w%23@a:26379", "rediss://s:w%23@[::1]:1", "rediss://s:w%23@c:2"]);
        assert_eq!((name.as_str(), master.as_str()), ("my name", "rediss://u:p%40ss@localhost/3"));
        let Some(RedisUrl::Sentinel { sentinels, master, .. }) = RedisUrl::parse("redis+sentinel://a/m") else {
            panic!("it is one")
        };
        assert_eq!((sentinels[0].as_str(), master.as_str()), ("redis://a:26379", "redis://localhost"));
    }

    #[test]
    fn some_nodes_of_a_cluster() {
        let Some(RedisUrl::Cluster(nodes)) = RedisUrl::parse("redis+cluster://u:p@a:7000,b") else {
            panic!("it is one")
        };
        assert_eq!(nodes, ["redis://u:p@a:7000", "redis://u:p@b:6379"]);
    }

    #[test]
    fn what_is_no_url_of_a_redis() {
        for text in [
            "",
            "a:6379",
            "http://a",
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel://,/m",
            "redis+sentinel://a/m?other=1",
            "redis+sentinel://a/m/x",
            "redis+cluster://",
            "redis+cluster://a,,b",
            "redis+cluster://a:b:c",
            "redis+cluster://a/1",
        ] {
            assert!(RedisUrl::parse(text).is_none(), "{text}");
        }
    }
}
