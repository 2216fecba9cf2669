//! Which addresses an upstream may have.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Where upstreams may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// At public addresses alone.
    Public,
    /// Anywhere, on this machine and in its networks too.
    Anywhere,
}

/// Networks of IPv4 that are not public (RFC 6890 and its registry), with the lengths of their prefixes.
const NOT_PUBLIC: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
    ([255, 255, 255, 255], 32),
];

/// Where no upstream may be.
#[derive(Debug, thiserror::Error)]
#[error("its address is not public, and `profiles_allow_private` is false")]
pub(super) struct NotPublic;

impl Reach {
    fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public(address),
            Self::Anywhere => true,
        }
    }

    /// Whether a URL may lead there, as far as it says itself. A name is looked at when it is resolved, [`Reach::resolve`].
    pub(super) fn allows_url(self, url: &Url) -> bool {
        // A name that is written in brackets or in any of the forms of IPv4 is an address by now.
        let Some(host) = url.host_str() else { return false };
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        literal.map_or(true, |address| self.allows(address))
    }

    /// Whether a name means this machine, whoever is asked (RFC 6761, section 6.3).
    pub(super) fn allows_name(self, url: &Url) -> bool {
        let name = url.host_str().unwrap_or_default().trim_end_matches('.');
        self == Self::Anywhere || !(name == "localhost" || name.ends_with(".localhost"))
    }
}

impl Resolve for Reach {
    /// Gives the addresses of a name that may be connected to. These are what is connected to: nobody asks again in between.
    fn resolve(&self, name: Name) -> Resolving {
        let reach = *self;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            let allowed: Vec<SocketAddr> = found.into_iter().filter(|address| reach.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(NotPublic.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let address = u32::from(address);
    let within = |(network, length): &([u8; 4], u32)| (address ^ u32::from_be_bytes(*network)) >> (32 - length) == 0;
    !NOT_PUBLIC.iter().any(within)
}

/// Global unicast addresses, but for those that stand for others: of documents, tunnels and protocols.
fn is_public_v6(address: Ipv6Addr) -> bool {
    // IPv4 written as IPv6, and by a translator (RFC 6052): what counts is where it leads.
    if let [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() {
        return is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    }
    match address.segments() {
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        [0x2002, ..] => false,
        [0x3fff, second, ..] => second >= 0x1000,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_everybody_reaches_is_public() {
        let is_public = |text: &str| is_public(text.parse().expect("an address"));
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1.1.1.1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2001:10::1",
            "2002:7f00:1::",
            "3fff:fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
            "4000::1",
        ] {
            assert!(!is_public(private), "{private}");
        }
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
            "3ffe::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(is_public(public), "{public}");
        }
    }

    #[test]
    fn an_address_is_known_in_whatever_form_it_is_written() {
        let allows = |text: &str| Reach::Public.allows_url(&Url::parse(text).expect("a URL"));
        for private in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://017700000001/",
            "http://127.0.0.1./",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "http://%31%32%37.0.0.1/",
            "http://１２７.0.0.1/",
        ] {
            assert!(!allows(private), "{private}");
            assert!(Reach::Anywhere.allows_url(&Url::parse(private).expect("a URL")), "{private}");
        }
        for other in
            ["http://1.1.1.1/", "http://[2606:4700::1111]/", "http://example.com/", "http://127.0.0.1.example.com/"]
        {
            assert!(allows(other), "{other}");
        }
        let names = |text: &str| Reach::Public.allows_name(&Url::parse(text).expect("a URL"));
        assert!(
            !names("http://LOCALHOST/") && !names("http://a.localhost./") && names("http://localhost.example.com/")
        );
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_leads_to() {
        let resolve = |reach: Reach| reach.resolve("localhost".parse().expect("a name"));
        let refused = resolve(Reach::Public).await.err().expect("this machine");
        assert!(refused.is::<NotPublic>(), "{refused}");
        assert!(resolve(Reach::Anywhere).await.expect("this machine").all(|address| address.ip().is_loopback()));
    }
}
