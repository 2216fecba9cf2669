//! A Redis over TLS, and who the service is there.

use std::time::Duration;

use serde_json::json;

use crate::support::{Answer, Authority, OwnRedis, Process, TestApp, assert_prompt, eventually, free_port};

const PASSWORD: &str = "p@ss/wörd#%:";
const ENCODED: &str = "p%40ss%2Fw%C3%B6rd%23%25%3A";

/// A server over TLS with a user `ranq`.
struct Secured {
    redis: OwnRedis,
    port: u16,
    authority: Authority,
}

impl Secured {
    /// With a certificate for `names`; where `asks_back`, it wants to see one, too.
    async fn spawn(names: &str, asks_back: bool) -> Self {
        let (authority, port) = (Authority::new(), free_port());
        let (certificate, key) = authority.certify("server", names);
        let arguments = [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", certificate),
            ("--tls-key-file", key),
            ("--tls-ca-cert-file", authority.certificate()),
            ("--tls-auth-clients", if asks_back { "yes" } else { "no" }.to_owned()),
        ];
        let arguments = arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
        let secured = Self { redis: OwnRedis::spawn_with(arguments).await, port, authority };
        secured.know_password(PASSWORD);
        secured
    }

    fn know_password(&self, password: &str) {
        let new = format!(">{password}");
        self.redis.admin(&["ACL", "SETUSER", "ranq", "reset", "on", &new, "~*", "&*", "+@all"]);
    }

    fn url(&self) -> String {
        format!("rediss://ranq:{ENCODED}@127.0.0.1:{}", self.port)
    }

    async fn app(&self, settings: &[(&'static str, &str)]) -> TestApp {
        let options = TestApp::with().redis_url(&self.url());
        settings.iter().fold(options, |options, (name, value)| options.set(name, value)).spawn().await
    }

    async fn trusting_app(&self) -> TestApp {
        self.app(&[("redis_ca_cert", &self.authority.certificate())]).await
    }
}

#[track_caller]
fn assert_unavailable(answer: Answer, why: &str) {
    let answer = answer.fails_with(503, "store-unavailable");
    assert!(answer.detail().contains(why), "{}", answer.text());
    assert!(!answer.text().contains(PASSWORD) && !answer.text().contains(ENCODED), "{}", answer.text());
}

async fn until_it_works(app: &TestApp) {
    let works =
        async || (app.submit_row("race", json!({"member": "ann", "score": 1})).await.status == 200).then_some(());
    eventually("the service works", works).await;
}

#[tokio::test]
async fn everything_works_over_tls_with_a_user_and_a_password() {
    let secured = Secured::spawn("DNS:localhost,IP:127.0.0.1", false).await;
    let app = secured.trusting_app().await;
    app.submit("race", "ann", 5).await;
    assert_eq!(app.rankings("race", "").await.members(), ["ann"]);
    app.get("/health/ready").await.is(200);
    // The subscription has a connection of its own: without it a waiter would look once a second.
    assert_prompt(Duration::from_millis(500), async |round| {
        let queue = format!("emails{round}");
        let waiter = app.dequeue(&queue, json!({"wait_ms": 5000}));
        let enqueue = async {
            app.until_in_flight(1).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let since = std::time::Instant::now();
            app.enqueue(&queue, 1).await;
            since
        };
        let (leased, since) = futures_util::future::join(waiter, enqueue).await;
        assert_eq!(leased.leased(&queue).len(), 1);
        since.elapsed()
    })
    .await;
    let environment = [("RANQ_REDIS_URL", secured.url()), ("RANQ_REDIS_CA_CERT", secured.authority.certificate())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (code, message) = Process::run("check", &[], &environment).await;
    assert_eq!(code, 0, "{message}");
}

#[tokio::test]
async fn a_server_that_the_system_does_not_know_is_not_trusted() {
    let secured = Secured::spawn("DNS:localhost,IP:127.0.0.1", false).await;
    let other = Authority::new();
    for app in [secured.app(&[]).await, secured.app(&[("redis_ca_cert", &other.certificate())]).await] {
        assert_unavailable(app.rankings("race", "").await, "over TLS");
        app.get("/health/ready").await.is(503);
    }
}

#[tokio::test]
async fn a_certificate_is_for_its_names_alone_and_the_service_recovers_with_the_right_one() {
    let mut secured = Secured::spawn("DNS:elsewhere.example", false).await;
    let app = secured.trusting_app().await;
    assert_unavailable(app.rankings("race", "").await, "over TLS");
    secured.redis.kill();
    // In its place, under the same file names.
    secured.authority.certify("server", "DNS:localhost,IP:127.0.0.1");
    secured.redis.start_again().await;
    secured.know_password(PASSWORD);
    until_it_works(&app).await;
}

#[tokio::test]
async fn a_wrong_password_is_told_and_the_service_recovers_with_the_right_one() {
    let secured = Secured::spawn("DNS:localhost,IP:127.0.0.1", false).await;
    secured.know_password("another");
    let app = secured.trusting_app().await;
    assert_unavailable(app.rankings("race", "").await, "user or password");
    assert_unavailable(app.submit_row("race", json!({"member": "ann", "score": 1})).await, "user or password");
    secured.know_password(PASSWORD);
    until_it_works(&app).await;
}

#[tokio::test]
async fn the_service_shows_its_own_certificate_where_it_is_asked() {
    let secured = Secured::spawn("DNS:localhost,IP:127.0.0.1", true).await;
    let unknown = secured.trusting_app().await;
    unknown.rankings("race", "").await.fails_with(503, "store-unavailable");
    let (certificate, key) = secured.authority.certify("client", "DNS:ranq");
    let authority = secured.authority.certificate();
    let settings = [("redis_ca_cert", &*authority), ("redis_client_cert", &*certificate), ("redis_client_key", &*key)];
    let app = secured.app(&settings).await;
    app.submit("race", "ann", 5).await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_at_the_start() {
    let authority = Authority::new();
    let (certificate, key) = authority.certify("client", "DNS:ranq");
    let url = format!("rediss://ranq:{ENCODED}@127.0.0.1:1");
    for (settings, why) in [
        (vec![("redis_ca_cert", "/nowhere/ca.pem")], "/nowhere/ca.pem cannot be read (redis_ca_cert)"),
        (vec![("redis_ca_cert", &*key)], "no certificate in"),
        (vec![("redis_client_cert", &*key), ("redis_client_key", &*key)], "no certificate in"),
        (vec![("redis_client_cert", &*certificate), ("redis_client_key", &*certificate)], "private key"),
    ] {
        let options = TestApp::with().redis_url(&url);
        let options = settings.into_iter().fold(options, |options, (name, value)| options.set(name, value));
        let message = options.try_spawn().await.err().expect("it is refused");
        assert!(message.contains(why) && !message.contains(ENCODED), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}
