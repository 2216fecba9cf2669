//! What `ranq export` and `ranq import` share: the service, and how far it is.

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use rustls::crypto::{CryptoProvider, ring};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::Outcome;
use crate::types::{LeaderboardName, WindowName};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of an answer that is no export.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
const ROWS: &str = "{wide_bar} {human_pos}/{human_len} rows {eta:>4}";
const BYTES: &str = "{wide_bar} {bytes}/{total_bytes} {eta:>4}";
const BYTES_WITHOUT_END: &str = "{spinner} {bytes} {bytes_per_sec}";

/// Runs a command that speaks to a service.
pub(super) fn block_on(work: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

pub(super) type Failure = Box<dyn std::error::Error>;

/// Which ranking of which service, in which format.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// The leaderboard.
    #[arg(value_parser = named::<LeaderboardName>)]
    pub(super) leaderboard: LeaderboardName,
    /// The window [default: the leaderboard's first one].
    #[arg(long, value_name = "NAME", value_parser = named::<WindowName>)]
    window: Option<WindowName>,
    /// How rows are written: ndjson or csv.
    #[arg(long, value_name = "FORMAT", default_value = "ndjson", value_parser = ["ndjson", "csv"])]
    format: String,
    /// The service.
    #[arg(long, value_name = "URL", env = "RANQ_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A token, if the service wants one; better set by RANQ_TOKEN.
    #[arg(long, value_name = "TOKEN", env = "RANQ_TOKEN", hide_env_values = true)]
    token: Option<SecretString>,
}

fn named<T: TryFrom<String, Error = String>>(text: &str) -> Result<T, String> {
    T::try_from(text.to_owned())
}

impl Target {
    pub(super) fn media_type(&self) -> &'static str {
        if self.is_csv() { "text/csv" } else { "application/x-ndjson" }
    }

    pub(super) fn is_csv(&self) -> bool {
        self.format == "csv"
    }

    /// The request of an operation on the leaderboard.
    pub(super) fn request(&self, method: reqwest::Method, operation: &str) -> Result<RequestBuilder, Failure> {
        let base = Url::parse(&self.url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let mut url = base.ok_or_else(|| format!("`{}` is not the URL of a service", self.url))?;
        let segments = ["v1", "leaderboards", self.leaderboard.as_str(), operation];
        url.path_segments_mut().map_err(|()| "the URL has no path")?.pop_if_empty().extend(segments);
        if operation == "rankings" {
            url.query_pairs_mut().append_pair("limit", "1");
        } else {
            url.query_pairs_mut().append_pair("format", &self.format);
        }
        if let Some(window) = &self.window {
            url.query_pairs_mut().append_pair("window", window.as_str());
        }
        let request = client(url.scheme())?.request(method, url);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        })
    }

    /// How many entries the ranking has.
    pub(super) async fn count(&self) -> Result<u64, Failure> {
        #[derive(Deserialize)]
        struct Rankings {
            total: u64,
        }
        let mut response = answer(self.request(reqwest::Method::GET, "rankings")?).await?;
        Ok(serde_json::from_slice::<Rankings>(&read(&mut response).await?)?.total)
    }
}

fn client(scheme: &str) -> Result<Client, Failure> {
    if CryptoProvider::get_default().is_none() {
        // Nothing else of the process chooses one.
        let _ = ring::default_provider().install_default();
    }
    let mut builder = Client::builder()
        .user_agent(concat!("ranq/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    if scheme == "http" {
        // A machine without any certificates can still speak plain HTTP.
        builder = builder.tls_certs_only([]);
    }
    Ok(builder.build()?)
}

/// The answer to a request, which must be a 200.
pub(super) async fn answer(request: RequestBuilder) -> Result<Response, Failure> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Problem {
        title: String,
        detail: String,
    }
    let mut response = request.send().await.map_err(|error| with_causes(&error))?;
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(response);
    }
    let problem: Problem = serde_json::from_slice(&read(&mut response).await?).unwrap_or_default();
    let words = if problem.detail.is_empty() { problem.title } else { problem.detail };
    Err(format!("the service answered {}: {words}", status.as_u16()).into())
}

/// A body that is no export.
pub(super) async fn read(response: &mut Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| with_causes(&error))? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(format!("the service's answer is longer than {MAX_ANSWER_BYTES} bytes").into());
        }
    }
    Ok(body)
}

/// An error and its causes in one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Shows how many rows of all are done. Nothing is shown where standard error is no terminal.
pub(super) fn rows_bar(total: u64) -> ProgressBar {
    ProgressBar::new(total).with_style(style(ROWS))
}

/// The same of bytes, whose number may be unknown.
pub(super) fn bytes_bar(total: Option<u64>) -> ProgressBar {
    match total {
        Some(total) => ProgressBar::new(total).with_style(style(BYTES)),
        None => ProgressBar::new_spinner().with_style(style(BYTES_WITHOUT_END)),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant, and a test parses it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_of_the_bars_are_templates() {
        for template in [ROWS, BYTES, BYTES_WITHOUT_END] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
