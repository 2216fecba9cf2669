//! What the command line says.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, value_parser};
use hyper::Uri;
use secrecy::SecretString;
use serde_json::Value;

use super::requests::Workload;
use crate::leaderboard::Ties;
use crate::types::LeaderboardName;

/// Needs as many file descriptors, here and at the service.
const MAX_CONNECTIONS: u64 = 10_000;
const MAX_THREADS: u64 = 64;
const MAX_SECONDS: u64 = 3600;
/// Eight bytes each here, about 160 at Redis.
const MAX_ENTRIES: u64 = 10_000_000;

const WHAT_IS_MEASURED: &str = "\
Each connection sends its next request when the one before is answered (a closed loop). Latencies are those of the
requests that were sent: the ones that a stalled service kept from being sent are not among them. `ratio` compares with
/health/live of the same run, which is HTTP with nothing behind it. Only good answers count in rates and latencies; any
other answer is counted as failed, and makes the exit code 1.";

#[derive(Debug, Args)]
#[command(after_help = WHAT_IS_MEASURED)]
pub struct Options {
    /// The service to measure.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(super) url: ServiceUrl,
    /// The admin token of the service, if it has one.
    #[arg(long, value_name = "TOKEN", env = "RANQ_ADMIN_TOKEN", hide_env_values = true)]
    pub(super) token: Option<SecretString>,
    /// Connections that ask at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = value_parser!(u64).range(1..=MAX_CONNECTIONS))]
    pub(super) connections: u64,
    /// Threads that drive them; the service often shares their cores.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = value_parser!(u64).range(1..=MAX_THREADS))]
    pub(super) threads: u64,
    /// How long each workload is measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = value_parser!(u64).range(1..=MAX_SECONDS))]
    pub(super) seconds: u64,
    /// Entries in the leaderboard.
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = value_parser!(u64).range(1..=MAX_ENTRIES))]
    pub(super) entries: u64,
    /// A leaderboard that is not there yet; it is deleted at the end. By default `bench-` and random letters.
    #[arg(long, value_name = "NAME", value_parser = leaderboard_name)]
    pub(super) leaderboard: Option<LeaderboardName>,
    /// Who is ahead among equal scores.
    #[arg(long, default_value = "earliest", value_parser = ties())]
    pub(super) ties: Ties,
    /// What to measure, in this order.
    #[arg(
        long,
        value_name = "LIST",
        value_enum,
        value_delimiter = ',',
        num_args = 1,
        default_value = "submit,submit-batch,top,rank,around"
    )]
    pub(super) workloads: Vec<Workload>,
    /// Leaves the leaderboard there.
    #[arg(long)]
    pub(super) keep: bool,
    /// Writes the figures to a file too.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
}

fn leaderboard_name(text: &str) -> Result<LeaderboardName, String> {
    LeaderboardName::try_from(text.to_owned())
}

fn ties() -> impl clap::builder::TypedValueParser<Value = Ties> {
    PossibleValuesParser::new(["earliest", "latest", "member"])
        .try_map(|text| serde_json::from_value::<Ties>(Value::String(text)))
}

/// Where a service is: `http://host:port`.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceUrl {
    /// Host and port, as in the header `Host` and as it is resolved.
    pub(super) authority: String,
}

impl FromStr for ServiceUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("must be http://host:port: {error}"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err("TLS is not measured: give the http:// address behind it".to_owned()),
            Some(_) | None => return Err("must begin with http://".to_owned()),
        }
        let host = uri.host().unwrap_or_default();
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if host.is_empty() || has_user || uri.path() != "/" || uri.query().is_some() {
            return Err("must be http://host:port and nothing else".to_owned());
        }
        Ok(Self { authority: format!("{host}:{}", uri.port_u16().unwrap_or(80)) })
    }
}

#[cfg(test)]
mod tests {
    use clap::{Parser, error::ErrorKind};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn parse(line: &str) -> Result<Options, clap::Error> {
        Line::try_parse_from(std::iter::once("bench").chain(line.split_whitespace())).map(|line| line.options)
    }

    #[test]
    fn everything_has_a_default() {
        let options = parse("").expect("no option is needed");
        assert_eq!(options.url.authority, "127.0.0.1:8080");
        assert_eq!((options.connections, options.threads), (64, 1));
        assert_eq!((options.seconds, options.entries), (5, 10_000));
        assert_eq!((options.leaderboard, options.ties, options.keep), (None, Ties::Earliest, false));
        assert_eq!(
            options.workloads,
            [Workload::Submit, Workload::SubmitBatch, Workload::Top, Workload::Rank, Workload::Around]
        );
    }

    #[test]
    fn workloads_are_measured_in_the_order_given() {
        let options = parse("--workloads around,submit --ties member").expect("options");
        assert_eq!(options.workloads, [Workload::Around, Workload::Submit]);
        assert_eq!(options.ties, Ties::Member);
    }

    #[test]
    fn an_address_is_http_host_and_port() {
        for (url, authority) in [
            ("http://localhost:18081", "localhost:18081"),
            ("http://localhost/", "localhost:80"),
            ("http://[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(url.parse(), Ok(ServiceUrl { authority: authority.to_owned() }));
        }
        for bad in ["", "127.0.0.1:8080", "https://a", "ftp://a", "http://a/v1", "http://a/?x", "http://u:p@a", "a b"] {
            assert!(bad.parse::<ServiceUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_measured_is_refused_with_its_option() {
        for (line, option) in [
            ("--connections 0", "--connections"),
            ("--threads 65", "--threads"),
            ("--seconds 0", "--seconds"),
            ("--seconds 1.5", "--seconds"),
            ("--entries 10000001", "--entries"),
            ("--leaderboard .hidden", "--leaderboard"),
            ("--ties first", "--ties"),
            ("--workloads submit,live", "--workloads"),
            ("--workloads submit,,top", "--workloads"),
            ("--url 127.0.0.1:8080", "--url"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue), "{line}: {error}");
            assert!(error.to_string().contains(option), "{line}: {error}");
        }
    }

    #[test]
    fn the_token_is_not_shown() {
        let options = parse("--token geheim").expect("options");
        assert!(!format!("{options:?}").contains("geheim"));
    }
}
