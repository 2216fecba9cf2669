//! What the command line says.

use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, value_parser};
use secrecy::{ExposeSecret as _, SecretString};
use tracing_subscriber::EnvFilter;

use super::exec::STOP_WAIT;
use crate::config::LogFormat;
use crate::worker::{BuildError, Order, Worker};

/// What a command may take beyond [`STOP_WAIT`] until its handler has returned.
const CLEANUP_MARGIN: Duration = Duration::from_secs(2);

const PROTOCOL: &str = "\
The command of a job:
  stdin        the payload, byte for byte as it was enqueued
  environment  RANQ_JOB_ID, RANQ_QUEUE, RANQ_ATTEMPT, RANQ_MAX_ATTEMPTS, RANQ_ENQUEUED_AT, RANQ_PRIORITY, RANQ_HEADERS
               (a JSON object), RANQ_WORKER, and RANQ_KEY if the job has one
  stdout       the result, at most 256 KiB: JSON as it is, other text as a JSON string, nothing for no result
  stderr       goes to the worker's; its last 4 KiB are the error of a job that fails
  exit code    0 the job is done; 65 it is dead at once; any other, 75 for example, or a signal: it has failed and is
               tried again as its queue says

The command runs directly, without a shell; for a line of shell: --exec sh -- -c 'jq .to | mail-it'
It is a process group of its own, which gets SIGTERM, and SIGKILL 2 s later, when the job takes too long, is cancelled
or lost to another worker. What it leaves running in the group is killed when it ends.

SIGTERM or SIGINT: takes no more jobs, gives those that run --grace-ms, gives back the rest, and exits with 0. A second
one: kills what runs and exits with 1; those jobs come back when their leases end.";

#[derive(Debug, Args)]
#[command(after_help = PROTOCOL)]
pub struct Options {
    /// A queue to take jobs from, several by repeating it. With --order weighted as NAME=WEIGHT, too.
    #[arg(long = "queue", value_name = "NAME", required = true)]
    queues: Vec<Queue>,
    /// How several queues are asked: strict (as they are named) or weighted.
    #[arg(long, value_name = "ORDER", default_value = "strict", value_parser = order())]
    order: Order,
    /// The command to run for each job; what follows `--` are its arguments.
    #[arg(long, value_name = "COMMAND")]
    pub(super) exec: OsString,
    #[arg(last = true, value_name = "ARGUMENT", hide = true)]
    arguments: Vec<OsString>,
    /// The service.
    #[arg(long, value_name = "URL", env = "RANQ_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A token with the scope jobs:work, if the service wants one; better set by RANQ_TOKEN.
    #[arg(long, value_name = "TOKEN", env = "RANQ_TOKEN", hide_env_values = true)]
    token: Option<SecretString>,
    /// Jobs that run at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    concurrency: usize,
    /// How long a lease holds; it is extended at a third of that. A job of a worker that dies is run again after this
    /// time [default: as the queue says].
    #[arg(long, value_name = "MS")]
    lease_ms: Option<u64>,
    /// How long a job may take; then it is stopped and has failed [default: without an end].
    #[arg(long, value_name = "MS", value_parser = value_parser!(u64).range(1..))]
    timeout_ms: Option<u64>,
    /// How long jobs may still run at a stop.
    #[arg(long, value_name = "MS", default_value_t = 25_000)]
    grace_ms: u64,
    /// What the service calls this worker [default: the host, the process id and something at random].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What to log.
    #[arg(long, value_name = "FILTER", env = "RANQ_LOG", default_value = "info", value_parser = filter)]
    pub(super) log: String,
    /// How to log: text or json.
    #[arg(long, value_name = "FORMAT", env = "RANQ_LOG_FORMAT", default_value = "text", value_parser = log_format())]
    pub(super) log_format: LogFormat,
}

impl Options {
    /// The worker, and the arguments of the command.
    pub(super) fn into_worker(self) -> Result<(Worker, Vec<OsString>), BuildError> {
        let mut builder = Worker::builder(self.url).order(self.order).concurrency(self.concurrency);
        for Queue { name, weight } in self.queues {
            builder = match weight {
                Some(weight) => builder.weighted_queue(name, weight),
                None => builder.queue(name),
            };
        }
        if let Some(token) = self.token {
            builder = builder.token(token.expose_secret());
        }
        if let Some(lease_ms) = self.lease_ms {
            builder = builder.lease(Duration::from_millis(lease_ms));
        }
        if let Some(timeout_ms) = self.timeout_ms {
            builder = builder.timeout(Duration::from_millis(timeout_ms));
        }
        if let Some(name) = self.name {
            builder = builder.name(name);
        }
        builder = builder.grace(Duration::from_millis(self.grace_ms)).cleanup(STOP_WAIT + CLEANUP_MARGIN);
        Ok((builder.build()?, self.arguments))
    }
}

/// `NAME` or `NAME=WEIGHT`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Queue {
    name: String,
    weight: Option<u32>,
}

impl FromStr for Queue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, weight) = match text.split_once('=') {
            Some((name, weight)) => (name, Some(weight.parse().map_err(|_| format!("`{weight}` is no weight"))?)),
            None => (text, None),
        };
        Ok(Self { name: name.to_owned(), weight })
    }
}

fn order() -> impl TypedValueParser<Value = Order> {
    PossibleValuesParser::new(["strict", "weighted"]).map(|text| match text.as_str() {
        "weighted" => Order::Weighted,
        _ => Order::Strict,
    })
}

fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    PossibleValuesParser::new(["text", "json"]).map(|text| match text.as_str() {
        "json" => LogFormat::Json,
        _ => LogFormat::Text,
    })
}

fn filter(text: &str) -> Result<String, String> {
    let checked: Result<EnvFilter, _> = text.parse();
    checked.map(|_| text.to_owned()).map_err(|_| "must be a tracing filter such as info,ranq=debug".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_may_have_a_weight() {
        let queue = |name: &str, weight| Queue { name: name.to_owned(), weight };
        assert_eq!("emails".parse(), Ok(queue("emails", None)));
        assert_eq!("emails=3".parse(), Ok(queue("emails", Some(3))));
        assert_eq!("emails=x".parse::<Queue>(), Err("`x` is no weight".to_owned()));
    }
}
