//! `ranq bench`: a load generator for a running service.
//!
//! Without a rate it is closed-loop: each of N connections sends a request, waits for its answer and sends the next. So
//! the figures tell how many answers N such clients get together, and how long each waits *for its own request*. They do
//! not tell how long a client would wait that asks at moments of its own: while the service stalls, a closed loop asks
//! less, and the requests that it would have sent are missing from the percentiles (coordinated omission).
//!
//! With a rate it is open-loop: requests are due at fixed times, and their latencies count from then, whether a connection
//! was free or not. `wake` always has a rate.
//!
//! The generator runs beside the service more often than not, and takes its share of the cores. `/health/live`, measured
//! in the same run, is the floor: HTTP with nothing behind it. The ratio to it says more than the number itself when the
//! machine is busy. With the URL of the service's Redis the calls behind a workload are measured too, straight to that Redis: the
//! limit of what the service could give. Connecting is not measured, and the first answer of each connection is not counted.

mod board;
mod client;
mod control;
mod direct;
mod figures;
mod fill;
mod load;
mod measured;
mod options;
mod pace;
mod process;
mod queue;
mod report;
mod requests;
mod run;
mod subscribers;
mod table;
mod waiters;
mod worker;
mod workload;

pub(super) use self::options::Options;

use self::board::service_version;
use self::client::Target;
use self::control::Control;
use self::direct::Store;
use self::process::{Watched, allow_files};
use self::report::Report;
use self::run::Run;
use super::Outcome;

pub(super) fn run(options: Options) -> Outcome {
    options.check()?;
    allow_files(options.files())?;
    let watched = Watched::new(options.service_pid, options.redis_pid)?;
    let mut control = Control::new()?;
    let target = Target::reach(&options.url, options.token.as_ref())?;
    let store = options.redis_url.as_ref().map(|url| Store::open(url, &options.key_prefix)).transpose()?;
    if let Some(store) = &store {
        control.run(store.check_format())?;
    }
    let service_version = control.run(service_version(&target))?;
    let run = Run::new(&target, store.as_ref(), watched, &options);
    let seen = run.measure(&mut control)?;
    let report = Report::new(&options, &run, service_version, &seen.workloads);
    print!("{}", report.table());
    if let Some(file) = options.json {
        std::fs::write(&file, report.json()?).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    if let Some(failure) = seen.left_behind {
        return Err(format!("what was created for this run could not be deleted: {failure}").into());
    }
    match report.failed() {
        0 => Ok(()),
        failed => Err(format!("{failed} requests failed").into()),
    }
}
