//! `ranq check`

use clap::Args;

use super::{Outcome, Settings};
use crate::config::Config;
use crate::db::{Db, Format, Keyspace};
use crate::error::Error;
use crate::leaderboard::Leaderboards;
use crate::metrics::Metrics;
use crate::queue::Queues;
use crate::types::{Clock, Finding, LeaderboardName, Mend, QueueName};

/// Faults that are shown of one queue or leaderboard, where nothing is mended.
const SHOWN: usize = 20;

const WHAT_IS_CHECKED: &str = "\
Each job is in exactly one state; no job is without a place, no place without a job; the counts agree. Each entry of a ranking
stands in its directory and its segments, and nothing else does. It reads from the Redis of the settings, that of a running
service included (the private one by its data directory), a little at a time: the service may go on meanwhile.

With --repair what is wrong is mended where that needs no data that are lost, and each thing that was done is said.";

#[derive(Debug, Args)]
#[command(after_help = WHAT_IS_CHECKED)]
pub(super) struct Options {
    #[command(flatten)]
    settings: Settings,
    /// Only this queue.
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// Only this leaderboard.
    #[arg(long, value_name = "NAME")]
    leaderboard: Option<String>,
    /// Mends what can be mended.
    #[arg(long)]
    repair: bool,
}

/// Whose faults these are, and how much was looked at.
struct Part {
    title: String,
    faults: Vec<Finding>,
}

pub(super) fn check(options: Options) -> Outcome {
    let config = options.settings.load()?;
    let queue = options.queue.map(QueueName::try_from).transpose().map_err(|detail| format!("--queue {detail}"))?;
    let board = options.leaderboard.map(LeaderboardName::try_from).transpose();
    let board = board.map_err(|detail| format!("--leaderboard {detail}"))?;
    let mend = if options.repair { Mend::WhatCanBe } else { Mend::Nothing };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (parts, counted) = runtime.block_on(parts(&config, (queue, board), mend))?;
    for part in &parts {
        println!("{}, {} faults", part.title, part.faults.len());
        let shown = if options.repair { part.faults.len() } else { SHOWN };
        for fault in part.faults.iter().take(shown) {
            let done = fault.done.as_ref().map(|done| format!(": {done}")).unwrap_or_default();
            println!("  {} {}{done}", fault.about, fault.wrong);
        }
        if part.faults.len() > shown {
            println!("  and {} more", part.faults.len() - shown);
        }
    }
    let faults = || parts.iter().flat_map(|part| &part.faults);
    let (all, mended) = (faults().count(), faults().filter(|fault| fault.done.is_some()).count());
    let mended_of = if options.repair { format!(", {mended} mended") } else { String::new() };
    println!("{counted}, {all} faults{mended_of}");
    match all - mended {
        0 => Ok(()),
        left if options.repair => Err(format!("{left} faults could not be mended").into()),
        left => Err(format!("{left} faults were found").into()),
    }
}

type Chosen = (Option<QueueName>, Option<LeaderboardName>);

async fn parts(
    config: &Config,
    (queue, board): Chosen,
    mend: Mend,
) -> Result<(Vec<Part>, String), Box<dyn std::error::Error>> {
    let db = Db::beside(&config.redis, config.redis_timeout, Metrics::default())?;
    let keyspace = Keyspace::new(&config.key_prefix);
    if let Some(refusal) = Format::stored(&db, &keyspace).await?.refusal() {
        return Err(refusal.into());
    }
    let queues = Queues::new(db.handle(), keyspace.clone(), Clock::Server, Metrics::default(), false);
    let leaderboards = Leaderboards::new(db, keyspace, Clock::Server, false);
    let mut parts = Vec::new();
    let only_some = queue.is_some() || board.is_some();
    let (queue_names, board_names) = if only_some {
        (queue.into_iter().collect(), board.into_iter().collect())
    } else {
        let (queue_names, mut faults) = queues.check_names(mend).await?;
        let (board_names, of_boards) = leaderboards.check_names(mend).await?;
        faults.extend(of_boards);
        if !faults.is_empty() {
            parts.push(Part { title: "lists of names".to_owned(), faults });
        }
        (queue_names, board_names)
    };
    for name in &queue_names {
        let report = match mend {
            Mend::Nothing => queues.check(name).await,
            Mend::WhatCanBe => queues.repair(name).await,
        };
        match report {
            // A name may stand in the list a moment before its queue does, and after it has gone.
            Err(Error::NoQueue(_)) if !only_some => {}
            report => {
                let report = report?;
                parts.push(Part { title: format!("{name}: {} jobs", report.jobs), faults: report.faults });
            }
        }
    }
    for name in &board_names {
        let report = match mend {
            Mend::Nothing => leaderboards.check(name).await,
            Mend::WhatCanBe => leaderboards.repair(name).await,
        };
        match report {
            Err(Error::NoLeaderboard(_)) if !only_some => {}
            report => {
                let report = report?;
                parts.push(Part { title: format!("{name}: {} entries", report.entries), faults: report.faults });
            }
        }
    }
    Ok((parts, format!("{} queues, {} leaderboards", queue_names.len(), board_names.len())))
}
