//! `ranq check`

use clap::Args;

use super::{Outcome, Settings};
use crate::config::Config;
use crate::db::{Db, Keyspace};
use crate::metrics::Metrics;
use crate::queue::{CheckReport, Queues};
use crate::types::{Clock, QueueName};

/// Faults that are shown of one queue.
const SHOWN: usize = 20;

const WHAT_IS_CHECKED: &str = "\
Each job is in exactly one state; no job is without a place, no place without a job; the counts agree. It reads from the
Redis of the settings, that of a running service included (the private one by its data directory), a little at a time:
the service may go on meanwhile.";

#[derive(Debug, Args)]
#[command(after_help = WHAT_IS_CHECKED)]
pub(super) struct Options {
    #[command(flatten)]
    settings: Settings,
    /// Only this queue.
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
}

pub(super) fn check(options: Options) -> Outcome {
    let config = options.settings.load()?;
    let only = options.queue.map(QueueName::try_from).transpose().map_err(|detail| format!("--queue {detail}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let reports = runtime.block_on(reports(&config, only))?;
    let faults: usize = reports.iter().map(|report| report.faults.len()).sum();
    for report in &reports {
        println!("{}: {} jobs, {} faults", report.queue, report.jobs, report.faults.len());
        for fault in report.faults.iter().take(SHOWN) {
            println!("  job `{}` {}", fault.job, fault.text);
        }
        if report.faults.len() > SHOWN {
            println!("  and {} more", report.faults.len() - SHOWN);
        }
    }
    println!("{} queues, {faults} faults", reports.len());
    if faults > 0 { Err(format!("{faults} faults were found").into()) } else { Ok(()) }
}

async fn reports(config: &Config, only: Option<QueueName>) -> Result<Vec<CheckReport>, Box<dyn std::error::Error>> {
    let db = Db::beside(&config.redis, config.redis_timeout, Metrics::default())?;
    let queues = Queues::new(db, Keyspace::new(&config.key_prefix), Clock::Server, Metrics::default(), false);
    let names = match only {
        Some(name) => vec![name],
        None => queues.names().await?,
    };
    let mut reports = Vec::with_capacity(names.len());
    for name in names {
        reports.push(queues.check(&name).await?);
    }
    Ok(reports)
}
