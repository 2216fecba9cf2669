//! Calls of the service, and what their failures mean.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use rustls::crypto::{CryptoProvider, ring};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::job::with_causes;
use super::wire::Problem;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than the service keeps an idle connection, so that none is used in the moment of its end.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// A hundred jobs with the largest payloads and errors, and some room.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
const SHOWN_BODY_CHARACTERS: usize = 200;

/// Where the service is, and how it is spoken to.
#[derive(Debug, Clone)]
pub(super) struct Service {
    http: reqwest::Client,
    base: String,
    token: Option<SecretString>,
}

/// Why a call did not give what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Another try may succeed.
    Passing {
        detail: String,
        /// The pause that the service wishes for.
        wait: Option<Duration>,
        /// Whether the call may have taken effect all the same.
        unsure: bool,
    },
    /// Another try would be answered in the same way.
    Refused { status: u16, detail: String },
}

impl Service {
    pub(super) fn new(base: &Url, token: Option<SecretString>) -> reqwest::Result<Self> {
        // A program that has chosen its own provider keeps it; another thread may be first between the two lines.
        if CryptoProvider::get_default().is_none() {
            let _ = ring::default_provider().install_default();
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("ranq-worker/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if base.scheme() == "http" {
            // A machine without any certificates can still speak plain HTTP.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self { http: builder.build()?, base: base.as_str().trim_end_matches('/').to_owned(), token })
    }

    /// POSTs to a path below the base; `timeout` is for the whole of it.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::refused(0, error.to_string()))?;
        let mut request = self.http.post(format!("{}{path}", self.base)).timeout(timeout).body(body);
        request = request.header(CONTENT_TYPE, "application/json").header(ACCEPT, "application/json");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let mut response = request.send().await.map_err(Failure::unanswered)?;
        let status = response.status();
        let wait = retry_after(response.headers().get(RETRY_AFTER));
        let body = read(&mut response).await?;
        if status != StatusCode::OK {
            return Err(Failure::answered(status, wait, &body));
        }
        serde_json::from_slice(&body).map_err(|error| Failure::Passing {
            detail: format!("the service's answer is not understood: {error}"),
            wait: None,
            unsure: true,
        })
    }
}

/// The path of an operation on a job.
pub(super) fn job_path(queue: &str, id: &str, operation: &str) -> String {
    format!("/v1/queues/{}/jobs/{}/{operation}", encoded(queue), encoded(id))
}

pub(super) fn encoded(segment: &str) -> impl std::fmt::Display {
    utf8_percent_encode(segment, NON_ALPHANUMERIC)
}

async fn read(response: &mut Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Failure::unanswered)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            let detail = format!("the service's answer is longer than {MAX_ANSWER_BYTES} bytes");
            return Err(Failure::Passing { detail, wait: None, unsure: true });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl Failure {
    fn refused(status: u16, detail: String) -> Self {
        Self::Refused { status, detail }
    }

    fn unanswered(error: reqwest::Error) -> Self {
        let unsure = !error.is_connect();
        Self::Passing { detail: with_causes(&error.without_url()), wait: None, unsure }
    }

    fn answered(status: StatusCode, wait: Option<Duration>, body: &[u8]) -> Self {
        let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
        let words = [&problem.detail, &problem.title].into_iter().find(|words| !words.is_empty()).cloned();
        let words = words.unwrap_or_else(|| {
            String::from_utf8_lossy(body).chars().take(SHOWN_BODY_CHARACTERS).collect::<String>().trim().to_owned()
        });
        let detail = format!("{}: {words}", status.as_u16());
        match status {
            StatusCode::TOO_MANY_REQUESTS => Self::Passing { detail, wait, unsure: false },
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => Self::Passing { detail, wait, unsure: false },
            _ if status.is_server_error() => {
                let untouched = problem.kind.ends_with("/store-unavailable");
                Self::Passing { detail, wait, unsure: !untouched }
            }
            _ => Self::refused(status.as_u16(), detail),
        }
    }

    /// Whether the service says that the job or its lease is not there.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Refused { status: 404 | 409, .. })
    }

    pub(super) fn detail(&self) -> &str {
        match self {
            Self::Passing { detail, .. } | Self::Refused { detail, .. } => detail,
        }
    }
}

/// Seconds; the other form, a date, is not used by the service.
fn retry_after(value: Option<&HeaderValue>) -> Option<Duration> {
    value?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_passing_or_final_and_says_why() {
        let problem = |slug: &str| format!(r#"{{"type":"/problems/{slug}","title":"t","detail":"d"}}"#);
        for (status, slug, passing, unsure) in [
            (429, "rate-limited", true, false),
            (503, "store-unavailable", true, false),
            (503, "outcome-unknown", true, true),
            (500, "internal", true, true),
            (502, "", true, true),
            (401, "unauthenticated", false, false),
            (409, "lease-lost", false, false),
            (422, "invalid", false, false),
            (302, "", false, false),
        ] {
            let status_code = StatusCode::from_u16(status).expect("a status");
            let failure = Failure::answered(status_code, Some(Duration::from_secs(1)), problem(slug).as_bytes());
            let detail = format!("{status}: d");
            let wait = Some(Duration::from_secs(1));
            let expected =
                if passing { Failure::Passing { detail, wait, unsure } } else { Failure::Refused { status, detail } };
            assert_eq!(failure, expected);
        }
    }

    #[test]
    fn what_is_no_problem_document_is_shown_in_part() {
        let failure = Failure::answered(StatusCode::BAD_GATEWAY, None, "<html>".repeat(100).as_bytes());
        assert!(failure.detail().starts_with("502: <html>") && failure.detail().len() < 210, "{failure:?}");
    }

    #[test]
    fn ids_are_encoded_in_paths() {
        assert_eq!(job_path("a.b", "x/y ?é", "ack"), "/v1/queues/a%2Eb/jobs/x%2Fy%20%3F%C3%A9/ack");
    }

    #[test]
    fn retry_after_is_seconds() {
        let parsed = |text: &'static str| retry_after(Some(&HeaderValue::from_static(text)));
        assert_eq!(parsed("7"), Some(Duration::from_secs(7)));
        assert_eq!(parsed("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }
}
