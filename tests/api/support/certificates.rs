//! Certificates for a day, made by `openssl`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

const DAYS: &str = "2";

/// An authority, and what it has certified.
pub struct Authority(TempDir);

impl Authority {
    pub fn new() -> Self {
        let authority = Self(TempDir::new().expect("a directory"));
        let extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n";
        authority.request("ca", "/CN=an authority of tests");
        authority.sign("ca", extensions, &["-signkey", &authority.path("ca.key")]);
        authority
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> String {
        self.path("ca.pem")
    }

    /// A certificate for these names (`DNS:localhost,IP:127.0.0.1`), and its key.
    pub fn certify(&self, file: &str, names: &str) -> (String, String) {
        let (certificate, key) = (self.path("ca.pem"), self.path("ca.key"));
        self.request(file, "/CN=ranq");
        let extensions = format!("basicConstraints=critical,CA:FALSE\nsubjectAltName={names}\n");
        self.sign(file, &extensions, &["-CA", &certificate, "-CAkey", &key, "-CAcreateserial"]);
        (self.path(&format!("{file}.pem")), self.path(&format!("{file}.key")))
    }

    fn request(&self, file: &str, subject: &str) {
        let (key, request) = (self.path(&format!("{file}.key")), self.path(&format!("{file}.csr")));
        let curve = "ec_paramgen_curve:prime256v1";
        openssl(&[
            "req", "-newkey", "ec", "-pkeyopt", curve, "-nodes", "-subj", subject, "-keyout", &key, "-out", &request,
        ]);
    }

    fn sign(&self, file: &str, extensions: &str, signer: &[&str]) {
        let [request, certificate, wanted] = ["csr", "pem", "ext"].map(|ending| self.path(&format!("{file}.{ending}")));
        std::fs::write(&wanted, extensions).expect("written");
        let arguments = ["x509", "-req", "-in", &request, "-out", &certificate, "-days", DAYS, "-extfile", &wanted];
        openssl(&[&arguments, signer].concat());
    }

    fn path(&self, file: &str) -> String {
        let path: PathBuf = self.0.path().join(Path::new(file));
        path.to_str().expect("a UTF-8 path").to_owned()
    }
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).stdin(Stdio::null()).output().expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A port that nobody listens on, for a server that cannot choose one.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
