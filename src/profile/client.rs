//! Asking upstreams.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Response, StatusCode, Url};
use rustls::crypto::{CryptoProvider, ring};
use serde_json::value::RawValue;
use tokio::sync::OnceCell;

use super::address::NotPublic;
use super::{Profile, Reach};
use crate::types::{Member, Raw};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// For the whole of a request.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of a profile.
const MAX_BYTES: usize = 8 * 1024;
/// The most bytes of an answer with several.
const MAX_SEVERAL_BYTES: usize = 1024 * 1024;

/// Why an upstream did not say what it should. Nothing of what was asked or answered is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Its address is one that may not be asked.
    #[error(transparent)]
    Address(#[from] NotPublic),
    /// There is no client for it, for want of certificates for example.
    #[error("HTTPS cannot be set up: {0}")]
    Client(String),
    /// It cannot be reached, or does not answer in time.
    #[error("{0}")]
    Unanswered(String),
    /// It says that something is wrong.
    #[error("it answers with the status {0}")]
    Status(u16),
    /// The answer is too long.
    #[error("its answer is longer than {0} bytes")]
    TooLong(usize),
    /// The answer is something else.
    #[error("its answer is no JSON object")]
    NoObject,
}

/// Asks upstreams by HTTP, and makes what it needs for that when it is needed.
pub(super) struct Client {
    reach: Reach,
    plain: OnceCell<reqwest::Client>,
    over_tls: OnceCell<reqwest::Client>,
}

impl Client {
    pub(super) fn new(reach: Reach) -> Self {
        Self { reach, plain: OnceCell::new(), over_tls: OnceCell::new() }
    }

    /// Asks for the profile of one member: what is no object, or too long, is as none.
    pub(super) async fn ask(&self, url: Url) -> Result<Profile, Failure> {
        let Some(mut response) = self.get(url).await? else { return Ok(None) };
        match read(&mut response, MAX_BYTES).await {
            Ok(body) => Ok(Raw::object(&body)),
            Err(Failure::TooLong(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Asks for the profiles of several: they stand in an object, by member.
    pub(super) async fn ask_several(&self, url: Url, members: &[&Member]) -> Result<Vec<Profile>, Failure> {
        let Some(mut response) = self.get(url).await? else { return Ok(vec![None; members.len()]) };
        let body = read(&mut response, MAX_SEVERAL_BYTES).await?;
        let told: HashMap<String, &RawValue> = serde_json::from_slice(&body).map_err(|_| Failure::NoObject)?;
        let of = |member: &&Member| {
            let profile = told.get(member.as_str()).filter(|profile| profile.get().len() <= MAX_BYTES)?;
            Raw::object(profile.get().as_bytes())
        };
        Ok(members.iter().map(of).collect())
    }

    /// The answer with what was asked for; none where there is no such thing.
    async fn get(&self, url: Url) -> Result<Option<Response>, Failure> {
        // Names are looked at when they are resolved; an address is not resolved.
        if !self.reach.allows_url(&url) {
            return Err(NotPublic.into());
        }
        let cell = if url.scheme() == "https" { &self.over_tls } else { &self.plain };
        let client = cell
            .get_or_try_init(async || self.client(url.scheme()))
            .await
            .map_err(|error| Failure::Client(root(&error)))?;
        let response = client.get(url).header(ACCEPT, "application/json").send().await.map_err(unanswered)?;
        match response.status() {
            status if status.is_success() => Ok(Some(response)),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            status => Err(Failure::Status(status.as_u16())),
        }
    }

    fn client(&self, scheme: &str) -> reqwest::Result<reqwest::Client> {
        // A program that has chosen its own provider keeps it; another thread may be first between the two lines.
        if CryptoProvider::get_default().is_none() {
            let _ = ring::default_provider().install_default();
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("ranq/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // A proxy would connect to what is not looked at here.
            .no_proxy()
            .dns_resolver(Arc::new(self.reach));
        if scheme == "http" {
            // A machine without any certificates can still speak plain HTTP.
            builder = builder.tls_certs_only([]);
        }
        builder.build()
    }
}

async fn read(response: &mut Response, most: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
        if body.len() + chunk.len() > most {
            return Err(Failure::TooLong(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The whole text of an error shows the URL, and so the member.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn unanswered(error: reqwest::Error) -> Failure {
    Failure::Unanswered(root(&error))
}

/// What an error comes of in the end.
fn root(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else { return "the request failed".to_owned() };
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
