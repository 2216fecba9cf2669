//! What the command line says.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, value_parser};
use hyper::Uri;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::queue::MIN_PAYLOAD;
use super::workload::{QueueWork, Workload};
use crate::config::RedisUrl;
use crate::leaderboard::Ties;
use crate::types::{LeaderboardName, QueueName};

/// Needs as many file descriptors, here and at the service.
const MAX_CONNECTIONS: u64 = 10_000;
const MAX_THREADS: u64 = 64;
const MAX_SECONDS: u64 = 3600;
/// Eight bytes each here, about 160 at Redis.
const MAX_ENTRIES: u64 = 10_000_000;

/// Two of these fit into the ports between one client and one service.
const MAX_WAITERS: u64 = 20_000;
/// More than one generator can send.
const MAX_RATE: u64 = 1_000_000;
/// Jobs a second of `wake`, submissions a second of `sse`.
const SLOW_RATE: u64 = 200;
/// About 350 bytes each at Redis, with a payload of the usual size.
const MAX_JOBS: u64 = 100_000_000;
/// A batch of them is far below the limit of a body.
const MAX_PAYLOAD: u64 = 65_536;
/// What is left of a leaderboard's name for the name of the workload.
const MAX_LEADERBOARD_NAME: usize = 46;
/// What is left of a queue's name for the name of the workload.
const MAX_QUEUE_NAME: usize = 50;
/// Descriptors beside connections.
const OTHER_FILES: u64 = 64;

const WHAT_IS_MEASURED: &str = "\
Without --rate each connection sends its next request when the one before is answered (a closed loop). That tells how much the
service does in a second. Latencies are those of the requests that were sent: the ones that a stalled service kept from being
sent are not among them. `ratio` compares with /health/live of the same run, which is HTTP with nothing behind it.

With --rate requests are due at fixed times, whatever became of those before (an open loop). That tells how long clients wait.
Each latency counts from when the request was due: if all connections are busy it waits for one, and that counts. What is
not sent by the end stands under `not sent`, and among the latencies with how long it had waited by then. /health/live is
measured at the same rate. There is no `ratio`, since the rate was asked for.

With --redis-url the calls behind each workload are measured too, straight to that Redis, on the same leaderboard or queue, by as
many callers for as long: the limit of what HTTP could give. Once all callers of a thread share a connection, and calls that
wait at the same time are merged, as in the service (`limit/s`, and `of limit` is what the service reached of it); once each
has its own, and each call goes alone (`alone/s`). With --rate they are made at that rate.
An `of limit` above 1 means that the generator was the limit: give it more --threads. wake, sse, idle and fill have no such calls.

In `sse` one member gets ever further ahead, so that each submission changes what all subscribers are shown. The service shows
the newest state at most four times a second, so an event shows many submissions. A latency is that of one submission at one
subscriber: from when it was due until an event shows it or a later one, the wait for the service's next look included.
`req/s` are submissions, `items/s` events at all subscribers together.

Only good answers count in rates and latencies; any other answer is counted as failed, and makes the exit code 1.";

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
    /// What the leaderboards of this run are called, those of another shape with their workload behind it; none may be
    /// there yet, and they are deleted at the end. By default `bench-` and random letters.
    #[arg(long, value_name = "NAME", value_parser = leaderboard_name)]
    pub(super) leaderboard: Option<LeaderboardName>,
    /// Shards of the leaderboard.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = value_parser!(u32).range(1..=256))]
    pub(super) shards: u32,
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
    /// What the queues of this run are called, each with its workload behind it; none may be there yet, and they are
    /// deleted at the end. By default `bench-` and random letters.
    #[arg(long, value_name = "NAME", value_parser = queue_name)]
    pub(super) queue: Option<QueueName>,
    /// How long the payload of a job is.
    #[arg(long, value_name = "BYTES", default_value_t = 146, value_parser = value_parser!(u64).range(MIN_PAYLOAD..=MAX_PAYLOAD))]
    pub(super) payload_bytes: u64,
    /// Workers that wait, and subscribers [default: 1000 in `wake` and `sse`, 10000 in `idle`].
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u64).range(1..=MAX_WAITERS))]
    waiters: Option<u64>,
    /// Requests a second over all connections, at fixed times; in `wake` the jobs and in `sse` the submissions a second
    /// [default: 200]. `idle` and `fill` have no rate.
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u64).range(1..=MAX_RATE))]
    pub(super) rate: Option<u64>,
    /// Jobs that stand in the queue before `enqueue`, `jobs` and their like are measured.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = value_parser!(u64).range(0..=MAX_JOBS))]
    pub(super) backlog: u64,
    /// Jobs in `fill`.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000, value_parser = value_parser!(u64).range(1..=MAX_JOBS))]
    pub(super) jobs: u64,
    /// The service's Redis, in any form of the setting `redis_url`: the calls behind each workload are measured there too.
    #[arg(long, value_name = "URL")]
    pub(super) redis_url: Option<SecretString>,
    /// What the service's keys begin with there.
    #[arg(long, value_name = "PREFIX", default_value = "ranq")]
    pub(super) key_prefix: String,
    /// The process of the service on this machine: its CPU time and its memory are told then.
    #[arg(long, value_name = "PID")]
    pub(super) service_pid: Option<u32>,
    /// The process of its Redis, likewise.
    #[arg(long, value_name = "PID")]
    pub(super) redis_pid: Option<u32>,
    /// Leaves the leaderboard and the queues there.
    #[arg(long)]
    pub(super) keep: bool,
    /// Writes the figures to a file too.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
}

impl Options {
    /// Workers that wait in a workload, or its subscribers.
    pub(super) fn waiters(&self, workload: Workload) -> u64 {
        let default = match workload {
            Workload::Queue(QueueWork::Wake) | Workload::Sse => 1000,
            Workload::Queue(QueueWork::Idle) => 10_000,
            Workload::Live
            | Workload::Scores(_)
            | Workload::Shaped(_)
            | Workload::Jobs(_)
            | Workload::Queue(QueueWork::Fill) => 0,
        };
        self.waiters.unwrap_or(default)
    }

    /// The rate of what needs one.
    pub(super) fn slow_rate(&self) -> u64 {
        self.rate.unwrap_or(SLOW_RATE)
    }

    /// Files that this process has open at the same time.
    pub(super) fn files(&self) -> u64 {
        let connections = self.workloads.iter().map(|workload| match workload {
            Workload::Queue(_) | Workload::Sse => self.waiters(*workload),
            Workload::Live | Workload::Scores(_) | Workload::Shaped(_) | Workload::Jobs(_) => self.connections,
        });
        connections.chain([self.connections]).max().unwrap_or_default() + OTHER_FILES
    }

    /// What no single option can tell, and what must not be told with its value.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.redis_url.as_ref().is_some_and(|url| RedisUrl::parse(url.expose_secret()).is_none()) {
            return Err("--redis-url must be the URL of a Redis, such as redis://host:port or unix:///path".to_owned());
        }
        if self.workloads.contains(&Workload::Queue(QueueWork::Idle)) && self.service_pid.is_none() {
            return Err("`idle` measures a process: name it by --service-pid".to_owned());
        }
        Ok(())
    }
}

fn queue_name(text: &str) -> Result<QueueName, String> {
    if text.len() > MAX_QUEUE_NAME {
        return Err(format!("must have at most {MAX_QUEUE_NAME} characters"));
    }
    QueueName::try_from(text.to_owned())
}

fn leaderboard_name(text: &str) -> Result<LeaderboardName, String> {
    if text.len() > MAX_LEADERBOARD_NAME {
        return Err(format!("must have at most {MAX_LEADERBOARD_NAME} characters"));
    }
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
    use crate::cli::bench::workload::ScoreWork;

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
        assert_eq!((&options.leaderboard, options.ties, options.keep), (&None, Ties::Earliest, false));
        assert_eq!(
            options.workloads,
            [ScoreWork::Submit, ScoreWork::SubmitBatch, ScoreWork::Top, ScoreWork::Rank, ScoreWork::Around]
                .map(Workload::Scores)
        );
        assert_eq!((options.payload_bytes, options.jobs), (146, 1_000_000));
        assert_eq!((options.rate, options.slow_rate()), (None, 200));
        let waiting = [Workload::Queue(QueueWork::Wake), Workload::Sse, Workload::Queue(QueueWork::Idle)];
        assert_eq!(waiting.map(|workload| options.waiters(workload)), [1000, 1000, 10_000]);
        assert!(options.redis_url.is_none() && options.key_prefix == "ranq");
    }

    #[test]
    fn files_are_enough_for_the_most_connections() {
        assert_eq!(parse("").map(|options| options.files()).ok(), Some(64 + OTHER_FILES));
        assert_eq!(parse("--workloads jobs,wake").map(|options| options.files()).ok(), Some(1000 + OTHER_FILES));
        assert_eq!(
            parse("--workloads sse --waiters 7000").map(|options| options.files()).ok(),
            Some(7000 + OTHER_FILES)
        );
    }

    #[test]
    fn idle_needs_a_process() {
        assert!(parse("--workloads idle").is_ok_and(|options| options.check().is_err()));
        assert!(parse("--workloads idle --service-pid 1").is_ok_and(|options| options.check().is_ok()));
    }

    #[test]
    fn workloads_are_measured_in_the_order_given() {
        let options = parse("--workloads around,submit --ties member").expect("options");
        assert_eq!(options.workloads, [ScoreWork::Around, ScoreWork::Submit].map(Workload::Scores));
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
            ("--queue .hidden", "--queue"),
            ("--payload-bytes 43", "--payload-bytes"),
            ("--waiters 0", "--waiters"),
            ("--rate 0", "--rate"),
            ("--rate 1000001", "--rate"),
            ("--rate 0.5", "--rate"),
            ("--jobs 0", "--jobs"),
            ("--service-pid x", "--service-pid"),
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
    fn a_redis_url_is_one_and_is_not_shown() {
        for url in ["redis://:geheim@a:1", "unix:///a", "redis+sentinel://a/m", "redis+cluster://a:1,b:2"] {
            let options = parse(&format!("--redis-url {url}")).expect("options");
            assert!(options.check().is_ok() && !format!("{options:?}").contains("geheim"), "{url}");
        }
        let refused = parse("--redis-url redis://:geheim@a:b").expect("options").check().expect_err("it is none");
        assert!(refused.starts_with("--redis-url ") && !refused.contains("geheim"), "{refused}");
    }

    #[test]
    fn the_token_is_not_shown() {
        let options = parse("--token geheim").expect("options");
        assert!(!format!("{options:?}").contains("geheim"));
    }
}
