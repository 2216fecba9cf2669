//! The way to a Redis that is not the service's own: its addresses, who the service is there, and how the server is trusted.

use std::path::Path;

use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, TlsCertificates};
use secrecy::ExposeSecret as _;

use crate::config::{Certificates, ClientCertificate, RedisServer, RedisUrl};

/// What opens every certificate of a PEM file (RFC 7468).
const BEGIN_CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Where a Redis is.
pub enum Target {
    /// One server.
    Server(ConnectionInfo),
    /// The server that Sentinels call the master of a name.
    Sentinel(SentinelTarget),
    /// A Cluster, by some of its nodes.
    Cluster(Vec<ConnectionInfo>),
}

/// A master and who knows it.
pub struct SentinelTarget {
    /// The Sentinels.
    pub(super) sentinels: Vec<ConnectionInfo>,
    /// The name of the master and its replicas.
    pub(super) name: String,
    /// How to connect to the master; its address is to be replaced.
    pub(super) master: ConnectionInfo,
}

impl From<ConnectionInfo> for Target {
    fn from(info: ConnectionInfo) -> Self {
        Self::Server(info)
    }
}

impl Target {
    /// Reads the certificates that the settings name, and puts them and the URL together.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line without any secret.
    pub fn of(server: &RedisServer) -> Result<Self, String> {
        // The parser's own words may repeat the URL, password included.
        let unreadable = || "its URL cannot be read".to_owned();
        let url = RedisUrl::parse(server.url.expose_secret()).ok_or_else(unreadable)?;
        let connect = |url: &String| -> Result<ConnectionInfo, String> {
            trusted(url.as_str().into_connection_info().map_err(|_| unreadable())?, &server.certificates)
        };
        Ok(match &url {
            RedisUrl::Server(url) => Self::Server(connect(url)?),
            RedisUrl::Sentinel { sentinels, name, master } => Self::Sentinel(SentinelTarget {
                sentinels: sentinels.iter().map(connect).collect::<Result<_, _>>()?,
                name: name.clone(),
                master: connect(master)?,
            }),
            RedisUrl::Cluster(nodes) => Self::Cluster(nodes.iter().map(connect).collect::<Result<_, _>>()?),
        })
    }
}

/// The same server elsewhere: only the address is another one.
pub(super) fn moved_to(info: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let address = match info.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host.to_owned(), port),
    };
    info.clone().set_addr(address)
}

/// With what a connection over TLS needs.
fn trusted(info: ConnectionInfo, certificates: &Certificates) -> Result<ConnectionInfo, String> {
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Ok(info);
    }
    // Another part of the process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::build_with_tls(info, read(certificates)?).map_err(|error| error.to_string())?;
    Ok(client.get_connection_info().clone())
}

/// Without an authority of its own, the server is trusted by those of the system.
fn read(certificates: &Certificates) -> Result<TlsCertificates, String> {
    let Certificates { authority, client } = certificates;
    let root_cert = authority.as_deref().map(|path| pem("redis_ca_cert", path)).transpose()?;
    if let (Some(pem), Some(path)) = (&root_cert, authority)
        && !has_certificate(pem)
    {
        return Err(format!("there is no certificate in {} (redis_ca_cert)", path.display()));
    }
    let client_tls = client.as_ref().map(read_client).transpose()?;
    Ok(TlsCertificates { client_tls, root_cert })
}

fn read_client(client: &ClientCertificate) -> Result<ClientTlsConfig, String> {
    let client_cert = pem("redis_client_cert", &client.certificate)?;
    if !has_certificate(&client_cert) {
        return Err(format!("there is no certificate in {} (redis_client_cert)", client.certificate.display()));
    }
    Ok(ClientTlsConfig { client_cert, client_key: pem("redis_client_key", &client.key)? })
}

fn pem(setting: &str, path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read ({setting}): {error}", path.display()))
}

fn has_certificate(pem: &[u8]) -> bool {
    pem.windows(BEGIN_CERTIFICATE.len()).any(|window| window == BEGIN_CERTIFICATE)
}
