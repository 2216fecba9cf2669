//! Who is at the other end: the address of a client, behind proxies too.
//!
//! `X-Forwarded-For` is what anybody may write. It counts from the right, where the proxies of `trusted_proxies` have added what
//! they saw, and only as far as each of them is vouched for by the next. `Forwarded` (RFC 7239) is not read: of two headers that
//! say the same, a proxy writes one and passes on what a client put into the other.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderValue};
use ipnet::IpNet;

/// Where proxies tell for whom they ask.
pub const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies whose word counts.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Those in these networks.
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// Whether the address is one of theirs.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of the client behind a connection from `connection`.
    fn client(&self, connection: IpAddr, headers: &HeaderMap) -> IpAddr {
        let connection = connection.to_canonical();
        if self.0.is_empty() || !self.contain(connection) {
            return connection;
        }
        // The last hop whose address a trusted proxy has seen itself.
        let mut last = connection;
        let lines: Vec<&[u8]> = headers.get_all(X_FORWARDED_FOR).map(HeaderValue::as_bytes).collect();
        for hop in lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
            // What is no address ends the walk: nobody can tell what stands to the left of it.
            let Some(address) = parse(hop) else { break };
            last = address;
            if !self.contain(address) {
                break;
            }
        }
        last
    }
}

/// The address of whoever sent the request; nothing where the connection has none.
pub fn address_of(request: &HttpRequest) -> Option<IpAddr> {
    let connection = request.peer_addr()?.ip();
    Some(match request.app_data::<TrustedProxies>() {
        Some(proxies) => proxies.client(connection, request.headers()),
        None => connection.to_canonical(),
    })
}

/// Those who count as one: an IPv4 address, or the network of 64 bits of an IPv6 address, of which a client has all as a rule
/// (RFC 6177).
pub fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// `10.0.0.7`, `10.0.0.7:4711`, `2001:db8::7`, `[2001:db8::7]` or `[2001:db8::7]:4711`.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim_matches([' ', '\t']);
    let bare = || text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|inner| inner.contains(':'));
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| bare().and_then(|inner| inner.parse().ok()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderName;
    use proptest::prelude::*;

    use super::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        TrustedProxies::new(&networks.iter().map(|text| text.parse().expect("a network")).collect::<Vec<_>>())
    }

    fn client(proxies: &TrustedProxies, connection: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_bytes(line.as_bytes()).expect("a value");
            headers.append(HeaderName::from_static(X_FORWARDED_FOR), value);
        }
        proxies.client(connection.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn an_ipv6_address_counts_with_its_network() {
        let of = |text: &str| household(text.parse().expect("an address")).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:2::"), of("2001:db8:1:2:ffff::1"));
        assert_eq!((of("::ffff:192.0.2.7"), of("192.0.2.7")), ("192.0.2.7".to_owned(), "192.0.2.7".to_owned()));
    }

    #[test]
    fn without_trusted_proxies_the_header_says_nothing() {
        let nobody = TrustedProxies::default();
        assert_eq!(client(&nobody, "192.0.2.1", &["198.51.100.9"]), "192.0.2.1");
        assert_eq!(client(&nobody, "127.0.0.1", &["198.51.100.9"]), "127.0.0.1");
        assert_eq!(client(&nobody, "::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn whoever_is_no_trusted_proxy_is_not_believed() {
        let ours = proxies(&["10.0.0.0/8"]);
        assert_eq!(client(&ours, "192.0.2.1", &["198.51.100.9"]), "192.0.2.1");
        assert_eq!(client(&ours, "11.0.0.1", &["10.0.0.1, 10.0.0.2"]), "11.0.0.1");
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_client() {
        let ours = proxies(&["10.0.0.0/8", "2001:db8:1::/48"]);
        for (lines, wanted) in [
            (&["198.51.100.9"][..], "198.51.100.9"),
            (&["198.51.100.9, 10.0.0.2"], "198.51.100.9"),
            // What the client wrote itself stands to the left of what the proxy saw.
            (&["203.0.113.1, 198.51.100.9"], "198.51.100.9"),
            (&["10.9.9.9, 198.51.100.9 ,\t10.0.0.2"], "198.51.100.9"),
            // Several lines are one list.
            (&["203.0.113.1", "198.51.100.9", "10.0.0.2"], "198.51.100.9"),
            (&["198.51.100.9, 10.0.0.3", "2001:db8:1::5"], "198.51.100.9"),
            // The service is asked by one of the proxies, or from their network.
            (&[], "10.0.0.1"),
            (&["10.0.0.7, 10.0.0.2"], "10.0.0.7"),
        ] {
            assert_eq!(client(&ours, "10.0.0.1", lines), wanted, "{lines:?}");
            assert_eq!(client(&ours, "::ffff:10.0.0.1", lines), wanted, "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_address_ends_the_walk_at_the_last_trusted_hop() {
        let ours = proxies(&["10.0.0.0/8"]);
        for broken in [
            "unknown",
            "_hidden",
            "",
            " ",
            "198.51.100",
            "198.51.100.9.1",
            "0x7f.1",
            "198.51.100.9:port",
            "198.51.100.9:99999",
            "[198.51.100.9]",
            "fe80::1%eth0",
            "[2001:db8::9",
            "2001:db8::9]",
            "\"198.51.100.9\"",
            "for=198.51.100.9",
            "198.51.100.9;10.0.0.2",
            "１９８.51.100.9",
            "\u{e9}",
        ] {
            assert_eq!(client(&ours, "10.0.0.1", &[broken]), "10.0.0.1", "{broken}");
            let spoofed = format!("203.0.113.1, {broken}, 10.0.0.2");
            assert_eq!(client(&ours, "10.0.0.1", &[&spoofed]), "10.0.0.2", "{broken}");
        }
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_understood() {
        let ours = proxies(&["10.0.0.0/8"]);
        for (hop, wanted) in [
            ("198.51.100.9:4711", "198.51.100.9"),
            ("[2001:db8::9]:4711", "2001:db8::9"),
            ("[2001:db8::9]", "2001:db8::9"),
            ("2001:DB8::9", "2001:db8::9"),
            ("::ffff:198.51.100.9", "198.51.100.9"),
            ("[::ffff:198.51.100.9]:1", "198.51.100.9"),
        ] {
            assert_eq!(client(&ours, "10.0.0.1", &[hop]), wanted, "{hop}");
        }
        // A proxy that is written as a mapped address is still one.
        assert_eq!(client(&ours, "10.0.0.1", &["198.51.100.9, ::ffff:10.0.0.2"]), "198.51.100.9");
    }

    proptest! {
        /// Whatever stands to the left of what the proxy has seen changes nothing.
        #[test]
        fn nobody_chooses_an_address(left in "[ -~]{0,60}", seen in any::<[u8; 4]>()) {
            let seen = IpAddr::from(seen);
            let ours = proxies(&["10.0.0.0/8"]);
            prop_assume!(!ours.contain(seen));
            prop_assert_eq!(client(&ours, "10.0.0.1", &[&format!("{left}, {seen}")]), seen.to_string());
            prop_assert_eq!(client(&ours, "10.0.0.1", &[&left, &seen.to_string()]), seen.to_string());
        }

        /// Any bytes give an address, that of the connection or one that stands in the header.
        #[test]
        fn any_bytes_are_survived(line in prop::collection::vec(32..=255_u8, 0..80)) {
            let mut headers = HeaderMap::new();
            let Ok(value) = HeaderValue::from_bytes(&line) else { return Ok(()) };
            headers.append(HeaderName::from_static(X_FORWARDED_FOR), value);
            let ours = proxies(&["10.0.0.0/8", "::/0"]);
            ours.client(IpAddr::from([10, 0, 0, 1]), &headers);
            let stranger = IpAddr::from([192, 0, 2, 1]);
            prop_assert_eq!(ours.client(stranger, &headers), stranger);
        }
    }
}
