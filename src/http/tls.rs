//! The service's own certificate: read at the start, and again when its files change.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use sha2::{Digest as _, Sha256};
use tracing::{error, info};

use crate::config::TlsFiles;
use crate::error::Result;
use crate::task::{Again, Report, Task};

/// The certificate that is shown. Clones are the same.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    shown: RwLock<Arc<CertifiedKey>>,
    read: Mutex<Read>,
}

/// What was found in the files.
struct Read {
    /// What is shown, or what was told to be of no use.
    settled: [u8; 32],
    /// What the last look found.
    last: [u8; 32],
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line without anything of the key.
    pub fn read(files: &TlsFiles) -> std::result::Result<Self, String> {
        let (certificate, key) = (bytes("tls_cert", &files.certificate)?, bytes("tls_key", &files.key)?);
        let found = digest(&certificate, &key);
        let shown = RwLock::new(Arc::new(certified(files, &certificate, &key)?));
        let read = Mutex::new(Read { settled: found, last: found });
        Ok(Self(Arc::new(Inner { files: files.clone(), shown, read })))
    }

    /// TLS 1.2 and 1.3 with this certificate, whichever it is then.
    ///
    /// # Errors
    ///
    /// What rustls has against it.
    pub fn server_config(&self) -> std::result::Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12])?;
        Ok(builder.with_no_client_auth().with_cert_resolver(Arc::new(self.clone())))
    }

    /// Looks whether the files have changed, and shows what is in them then. One of two files may have been written and the other
    /// not yet, so what is new must be there twice.
    fn look_again(&self) -> std::result::Result<bool, String> {
        let files = &self.0.files;
        let (certificate, key) = (bytes("tls_cert", &files.certificate)?, bytes("tls_key", &files.key)?);
        let found = digest(&certificate, &key);
        let mut read = self.0.read.lock().unwrap_or_else(PoisonError::into_inner);
        let is_still = std::mem::replace(&mut read.last, found) == found;
        if found == read.settled || !is_still {
            return Ok(false);
        }
        read.settled = found;
        let certified = Arc::new(certified(files, &certificate, &key)?);
        *self.0.shown.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(true)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.shown.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

/// Reads the files again when they have changed.
pub struct FollowCertificate {
    certificate: Certificate,
    /// The last mistake, which is told once.
    told: Mutex<Option<String>>,
}

impl FollowCertificate {
    /// Follows the files of this one.
    pub fn new(certificate: Certificate) -> Self {
        Self { certificate, told: Mutex::default() }
    }
}

impl Task for FollowCertificate {
    const NAME: &'static str = "tls.follow_certificate";
    const EVERY: Duration = Duration::from_secs(1);

    async fn run_once(&self) -> Result<Report> {
        let looked = self.certificate.look_again();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match looked {
            Ok(false) => 0,
            Ok(true) => {
                info!("the TLS certificate was replaced by the one that is in its files now");
                *told = None;
                1
            }
            Err(mistake) => {
                if told.as_deref() != Some(&mistake) {
                    error!("the TLS certificate stays as it was: {mistake}");
                }
                *told = Some(mistake);
                0
            }
        };
        Ok(Report { done, again: Again::AfterTick })
    }
}

fn bytes(setting: &str, path: &Path) -> std::result::Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error: io::Error| format!("{} cannot be read ({setting}): {error}", path.display()))
}

fn digest(certificate: &[u8], key: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(u64::try_from(certificate.len()).unwrap_or(u64::MAX).to_be_bytes());
    digest.update(certificate);
    digest.update(key);
    digest.finalize().into()
}

/// The chain and its key, which must belong together. A parser's own words may show what it read, so they are left out.
fn certified(files: &TlsFiles, certificate: &[u8], key: &[u8]) -> std::result::Result<CertifiedKey, String> {
    let (shown, secret) = (files.certificate.display(), files.key.display());
    let chain: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.map_err(|_| format!("{shown} is no PEM file (tls_cert)"))?;
    if chain.is_empty() {
        return Err(format!("there is no certificate in {shown} (tls_cert)"));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        PemError::NoItemsFound => format!("there is no private key in {secret} (tls_key)"),
        _ => format!("{secret} is no PEM file (tls_key)"),
    })?;
    let provider: CryptoProvider = ring::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => format!("the key in {secret} is not that of the certificate in {shown}"),
        rustls::Error::InvalidCertificate(_) => format!("the certificate in {shown} cannot be read"),
        _ => format!("the private key in {secret} is of no kind that can be used"),
    })
}
