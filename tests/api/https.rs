//! The service over TLS.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::{Certificate, Client};
use tempfile::TempDir;

use crate::support::{Authority, Options, Process, TestApp, client_builder, eventually};

const TOKEN: &str = "an-admin-token-of-tests";
const NAMES: &str = "DNS:localhost,IP:127.0.0.1";

fn over_tls((certificate, key): &(String, String)) -> Options {
    TestApp::with().set("tls_cert", certificate).set("tls_key", key)
}

fn client(authority: &Authority) -> Client {
    let pem = fs::read(authority.certificate()).expect("a certificate");
    let certificate = Certificate::from_pem(&pem).expect("PEM");
    client_builder().tls_certs_only([certificate]).pool_max_idle_per_host(0).build().expect("a client")
}

/// What `GET /health/live` is answered over a new connection.
async fn live(client: &Client, app: &TestApp) -> reqwest::Result<reqwest::Response> {
    client.get(format!("https://localhost:{}/health/live", app.address().port())).send().await
}

#[tokio::test]
async fn with_a_certificate_the_service_speaks_https_alone() {
    let authority = Authority::new();
    let app = over_tls(&authority.certify("service", NAMES)).spawn().await;
    let answer = live(&client(&authority), &app).await.expect("it is trusted");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_11));
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
    assert!(live(&client(&Authority::new()), &app).await.is_err(), "another authority does not vouch for it");
    let plain = client_builder().build().expect("a client");
    assert!(plain.get(format!("http://{}/health/live", app.address())).send().await.is_err(), "not in plain text");
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken() {
    let authority = Authority::new();
    let app = over_tls(&authority.certify("service", NAMES)).spawn().await;
    let pem = fs::read(authority.certificate()).expect("a certificate");
    for version in [reqwest::tls::Version::TLS_1_2, reqwest::tls::Version::TLS_1_3] {
        let trusted = Certificate::from_pem(&pem).expect("PEM");
        let builder = client_builder().tls_certs_only([trusted]).tls_version_min(version).tls_version_max(version);
        let answer = live(&builder.build().expect("a client"), &app).await.expect("it is spoken");
        assert_eq!(answer.status(), 200, "{version:?}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart_and_a_broken_one_never() {
    let (first, second) = (Authority::new(), Authority::new());
    let files = first.certify("service", NAMES);
    let app = over_tls(&files).spawn().await;
    live(&client(&first), &app).await.expect("the first is shown");
    let (certificate, key) = second.certify("service", NAMES);
    fs::copy(certificate, &files.0).expect("copied");
    live(&client(&first), &app).await.expect("one file alone changes nothing");
    fs::copy(key, &files.1).expect("copied");
    let new = client(&second);
    eventually("the second is shown", async || live(&new, &app).await.ok()).await;
    fs::write(&files.1, "nonsense").expect("written");
    let looks = async || app_looks(&new, &app).await;
    let before = looks().await;
    eventually("it has looked at the broken one", async || (looks().await >= before + 3.0).then_some(())).await;
    live(&new, &app).await.expect("what is shown stays");
}

/// How often the service has looked at the files.
async fn app_looks(client: &Client, app: &TestApp) -> f64 {
    let metrics = client.get(format!("https://localhost:{}/metrics", app.address().port())).send().await;
    let text = metrics.expect("an answer").text().await.expect("text");
    let count =
        text.lines().find_map(|line| line.strip_prefix(r#"ranq_task_runs_total{task="tls.follow_certificate"} "#));
    count.and_then(|count| count.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn whoever_does_not_shake_hands_is_closed() {
    let authority = Authority::new();
    let app = over_tls(&authority.certify("service", NAMES)).set("client_timeout_ms", "1000").spawn().await;
    for sent in [&b""[..], b"\x16\x03\x01\x02"] {
        let mut stream = TcpStream::connect(app.address()).expect("the service listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream.write_all(sent).expect("sent");
        let ended = tokio::task::spawn_blocking(move || stream.read_to_end(&mut Vec::new()));
        let ended = ended.await.expect("no panic");
        assert!(!matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{ended:?}");
    }
    live(&client(&authority), &app).await.expect("others are served");
}

#[tokio::test]
async fn connections_over_tls_are_counted_too() {
    let authority = Authority::new();
    let options = over_tls(&authority.certify("service", NAMES)).set("max_connections_per_peer", "1");
    let app = options.set("keep_alive_ms", "60000").spawn().await;
    let pem = fs::read(authority.certificate()).expect("a certificate");
    let keeping =
        client_builder().tls_certs_only([Certificate::from_pem(&pem).expect("PEM")]).build().expect("a client");
    live(&keeping, &app).await.expect("the first").bytes().await.expect("a body");
    assert!(live(&client(&authority), &app).await.is_err(), "the second");
    drop(keeping);
    let other = client(&authority);
    eventually("there is room again", async || live(&other, &app).await.ok()).await;
}

#[tokio::test]
async fn mistakes_with_certificates_are_one_line_without_the_key() {
    let (authority, directory) = (Authority::new(), TempDir::new().expect("a directory"));
    let (certificate, key) = authority.certify("service", NAMES);
    let other = Authority::new();
    let (_, other_key) = other.certify("other", NAMES);
    let empty = directory.path().join("empty.pem");
    fs::write(&empty, "").expect("written");
    let empty = empty.to_str().expect("UTF-8");
    let secret = fs::read_to_string(&key).expect("a key");
    let secret = secret.lines().nth(1).expect("base64");
    for (certificate, key, wanted) in [
        ("/nowhere.pem", key.as_str(), "/nowhere.pem cannot be read (tls_cert)"),
        (&certificate, "/nowhere.key", "/nowhere.key cannot be read (tls_key)"),
        (empty, &key, "there is no certificate in"),
        (&key, &key, "there is no certificate in"),
        (&certificate, empty, "there is no private key in"),
        (&certificate, &certificate, "there is no private key in"),
        (&certificate, &other_key, "is not that of the certificate"),
    ] {
        let data = directory.path().join("data");
        let data = data.to_str().expect("UTF-8");
        let arguments = ["--listen", "127.0.0.1:0", "--data-dir", data, "--tls-cert", certificate, "--tls-key", key];
        let (code, message) = Process::run("serve", &arguments, &[]).await;
        let lines: Vec<&str> = message.lines().filter(|line| line.starts_with("ranq: ")).collect();
        assert!(code == 1 && matches!(lines[..], [line] if line.contains(wanted)), "{wanted}: {message}");
        assert!(!message.contains(secret), "{message}");
    }
}

#[tokio::test]
async fn the_commands_of_the_binary_reach_a_service_over_tls() {
    let (authority, directory) = (Authority::new(), TempDir::new().expect("a directory"));
    let (certificate, key) = authority.certify("service", NAMES);
    let data = directory.path().to_str().expect("UTF-8");
    let mut command = Process::command(
        "serve",
        &[
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            data,
            "--threads",
            "2",
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
        ],
    );
    command.env("RANQ_ADMIN_TOKEN", TOKEN);
    let service = Process::start_command(command).await;
    let address = service.address().to_string();
    let health = ["--listen", &address, "--tls-cert", &certificate, "--tls-key", &key];
    let (code, message) = Process::run("healthcheck", &health, &[]).await;
    assert_eq!(code, 0, "{message}");
    let stranger = Authority::new();
    let other = stranger.certify("service", NAMES);
    let (code, message) =
        Process::run("healthcheck", &["--listen", &address, "--tls-cert", &other.0, "--tls-key", &other.1], &[]).await;
    assert_eq!(code, 1, "another certificate is not trusted: {message}");

    let url = format!("https://localhost:{}", service.address().port());
    let rows = directory.path().join("rows.ndjson");
    fs::write(&rows, "{\"member\":\"ann\",\"score\":5}\n").expect("written");
    let rows = rows.to_str().expect("UTF-8");
    let ca = authority.certificate();
    let trusting = [("RANQ_TOKEN", TOKEN), ("SSL_CERT_FILE", ca.as_str())];
    let (code, message) = Process::run("import", &["race", "--input", rows, "--url", &url], &trusting).await;
    assert_eq!(code, 0, "{message}");
    let (code, message) = Process::run("import", &["race", "--input", rows, "--url", &url], &trusting[..1]).await;
    assert!(code != 0 && message.to_lowercase().contains("certificate"), "without the authority: {message}");
    assert!(!service.log().contains("PRIVATE KEY"));
}
