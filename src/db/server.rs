//! The way to a Redis that is not the service's own: its address, who the service is there, and how the server is trusted.

use std::path::Path;

use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, TlsCertificates};
use secrecy::ExposeSecret as _;

use crate::config::{Certificates, ClientCertificate, RedisServer};

/// What opens every certificate of a PEM file (RFC 7468).
const BEGIN_CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Reads the certificates that the settings name, and puts them and the URL together.
///
/// # Errors
///
/// What is wrong, in one line without any secret.
pub fn connection_to(server: &RedisServer) -> Result<ConnectionInfo, String> {
    // The parser's own words may repeat the URL, password included.
    let info = server.url.expose_secret().into_connection_info().map_err(|_| "its URL cannot be read".to_owned())?;
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Ok(info);
    }
    // Another part of the process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificates = read(&server.certificates)?;
    let client = Client::build_with_tls(info, certificates).map_err(|error| error.to_string())?;
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
