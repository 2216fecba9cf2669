//! Texts of settings.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use secrecy::SecretString;

use super::{Durability, Origins, RedisUrl};
use crate::types::RateLimit;

/// More would wait for each other longer than for a disk.
const MOST_REPLICAS: u32 = 16;

const NO_REDIS_URL: &str = "\
must be redis://[user:password@]host[:port][/db], redis+sentinel://[user:password@]host[:port],…/NAME[/db], \
redis+cluster://[user:password@]host[:port],…, the same with rediss in place of redis for TLS, or unix:///path/to/redis.sock";

pub(super) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map_or(text.to_owned(), |port| format!("127.0.0.1:{port}"));
    numeric.parse().map_err(|_| "must be an IP address and a port such as 127.0.0.1:8080".to_owned())
}

/// Addresses and networks of proxies. IPv4 that is written as IPv6 is taken for what it is.
pub(super) fn parse_networks(text: &str) -> Result<Vec<IpNet>, String> {
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

pub(super) fn parse_redis_url(text: &str) -> Result<Option<SecretString>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.contains('#') {
        return Err("must have no `#`: certificates are always checked, and in a password it is written %23".to_owned());
    }
    if RedisUrl::parse(text).is_none() {
        return Err(NO_REDIS_URL.to_owned());
    }
    Ok(Some(SecretString::from(text.to_owned())))
}

pub(super) fn parse_durability(text: &str) -> Result<Durability, String> {
    let replicas = |number: &str| number.trim().parse().ok().filter(|number| (1..=MOST_REPLICAS).contains(number));
    match text {
        "memory" => Ok(Durability::Memory),
        "everysec" => Ok(Durability::Everysec),
        "always" => Ok(Durability::Always),
        _ => text.strip_prefix("replicated:").and_then(replicas).map(Durability::Replicated).ok_or_else(|| {
            format!("must be memory, everysec, always, or replicated: with 1 to {MOST_REPLICAS} replicas behind it")
        }),
    }
}

pub(super) fn parse_token(text: &str) -> Result<Option<(usize, SecretString)>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must be visible ASCII characters without spaces".to_owned());
    }
    Ok(Some((text.len(), SecretString::from(text.to_owned()))))
}

pub(super) fn parse_limit(text: &str) -> Result<Option<RateLimit>, String> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

pub(super) fn parse_prefix(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if text.is_empty() || text.len() > 32 || !text.bytes().all(plain) {
        return Err("must be 1 to 32 of A-Z a-z 0-9 _ - .".to_owned());
    }
    Ok(text.to_owned())
}

/// Origins as browsers write them: compared byte by byte, a text of another form would never be one.
pub(super) fn parse_origins(text: &str) -> Result<Origins, String> {
    if text == "*" {
        return Ok(Origins::Any);
    }
    items(text).map(parse_origin).collect::<Result<_, _>>().map(Origins::Listed)
}

fn parse_origin(text: &str) -> Result<String, String> {
    let wrong =
        |what: &str| Err(format!("must be `*` alone, or origins such as https://play.example.com: `{text}` {what}"));
    if text == "*" {
        return wrong("stands among others");
    }
    let Some((scheme, host)) = text.split_once("://") else { return wrong("has no scheme") };
    let of_scheme = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.');
    let of_host = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_:[]".contains(&byte);
    if host.contains(['/', '?', '#']) {
        return wrong("has a path");
    }
    if scheme.is_empty() || host.is_empty() || !scheme.bytes().all(of_scheme) || !host.bytes().all(of_host) {
        return wrong("is not written as browsers write it: in small letters, without user, spaces or wildcards");
    }
    let usual = [("http", ":80"), ("https", ":443")];
    if usual.iter().any(|(known, port)| scheme == *known && host.ends_with(port)) {
        return wrong("names the usual port, which browsers leave out");
    }
    Ok(text.to_owned())
}
