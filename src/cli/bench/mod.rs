//! `ranq bench`: a closed-loop load generator for a running service.
//!
//! Each of N connections sends a request, waits for its answer and sends the next. So the figures tell how many answers
//! N such clients get together, and how long each waits *for its own request*. They do not tell how long a client would
//! wait that asks at moments of its own: while the service stalls, a closed loop asks less, and the requests that it
//! would have sent are missing from the percentiles (coordinated omission). For latency at a given rate take a generator
//! with an open loop.
//!
//! The generator runs beside the service more often than not, and takes its share of the cores. `/health/live`, measured
//! in the same run, is the floor: HTTP with nothing behind it. The ratio to it says more than the number itself when the
//! machine is busy. Connecting is not measured, and the first answer of each connection is not counted.

mod board;
mod client;
mod control;
mod load;
mod measured;
mod options;
mod report;
mod requests;

pub(super) use self::options::Options;

use self::board::Board;
use self::client::{Failure, Target};
use self::control::Control;
use self::load::Load;
use self::measured::Measured;
use self::report::Report;
use self::requests::{Requests, Workload};
use super::Outcome;

pub(super) fn run(options: Options) -> Outcome {
    let mut control = Control::new()?;
    let target = Target::reach(&options.url, options.token.as_ref())?;
    let board = Board::new(&options);
    let service_version = control.run(board::service_version(&target))?;
    control.run(board.create(&target))?;
    let measured = measure(&mut control, &target, &board, &options);
    // Also after a failure or an interruption: what was created for this run goes with it.
    let deleted = if options.keep { Ok(()) } else { control.finish(board.delete(&target)) };
    let report = Report::new(&options, &board, service_version, &measured?);
    print!("{}", report.table());
    if let Some(file) = options.json {
        std::fs::write(&file, report.json()?).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    deleted?;
    match report.failed() {
        0 => Ok(()),
        failed => Err(format!("{failed} requests failed").into()),
    }
}

fn measure(
    control: &mut Control,
    target: &Target,
    board: &Board,
    options: &Options,
) -> Result<Vec<(Workload, Measured)>, Failure> {
    control.run(board.fill(target))?;
    let requests = Requests::new(target, board);
    let load = Load::new(options);
    let mut measured = Vec::new();
    for workload in std::iter::once(Workload::Live).chain(options.workloads.iter().copied()) {
        measured.push((workload, load.measure(control, &requests, workload)?));
    }
    Ok(measured)
}
