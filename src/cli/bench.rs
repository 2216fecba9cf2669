//! `ranq bench`

use clap::Args;

use super::Outcome;

#[derive(Debug, Args)]
pub(super) struct Options {}

pub(super) fn run(_: Options) -> Outcome {
    Ok(())
}
