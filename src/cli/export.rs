//! `ranq export`

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use reqwest::Method;

use super::Outcome;
use super::transfer::{Failure, Target, answer, block_on, rows_bar, with_causes};

const WHAT_IT_DOES: &str = "\
Writes every entry, best first, with the exact time at which it was reached: `ranq import` into an empty leaderboard with
the same settings gives the same ranking, ties included. A file is there only when it is whole; what comes out of standard
output is whole if the exit code is 0.";

#[derive(Debug, Args)]
#[command(after_help = WHAT_IT_DOES)]
pub(super) struct Options {
    #[command(flatten)]
    target: Target,
    /// The file to write [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn export(options: &Options) -> Outcome {
    block_on(run(options))
}

async fn run(options: &Options) -> Outcome {
    let target = &options.target;
    let bar = if io::stderr().is_terminal() { rows_bar(target.count().await?) } else { ProgressBar::hidden() };
    let mut response = answer(target.request(Method::GET, "export")?).await?;
    let mut output = Output::open(options.output.as_deref())?;
    let mut lines = 0;
    while let Some(piece) =
        response.chunk().await.map_err(|error| format!("the export was cut off: {}", with_causes(&error)))?
    {
        output.write(&piece)?;
        // Rows have no line breaks inside.
        let ended = piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        lines += ended;
        bar.inc(ended);
    }
    output.finish()?;
    bar.finish_and_clear();
    let rows = lines - u64::from(target.is_csv() && lines > 0);
    eprintln!("{rows} rows of `{}` exported", target.leaderboard);
    Ok(())
}

/// Where rows go.
struct Output {
    name: String,
    writer: Box<dyn Write>,
    /// The file that is being written, and the one that it becomes.
    part: Option<(PathBuf, PathBuf)>,
}

impl Output {
    fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self { name: "standard output".to_owned(), writer: Box::new(io::stdout()), part: None });
        };
        let name = path.display().to_string();
        // What is no plain file, a pipe for example, cannot be replaced.
        let special = fs::symlink_metadata(path).is_ok_and(|known| !known.is_file());
        let mut beside = OsString::from(path);
        beside.push(".part");
        let beside = PathBuf::from(beside);
        let written = if special { path } else { &beside };
        let file = File::create(written).map_err(|error| format!("{}: {error}", written.display()))?;
        let part = (!special).then(|| (beside, path.to_owned()));
        Ok(Self { name, writer: Box::new(file), part })
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(piece).map_err(|error| format!("{}: {error}", self.name).into())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let mut done = self.writer.flush();
        if let Some((part, path)) = &self.part {
            done = done.and_then(|()| fs::rename(part, path));
        }
        done.map_err(|error| format!("{}: {error}", self.name))?;
        self.part = None;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((part, _)) = &self.part {
            // What is not whole must not be taken for it; there is nobody left to tell that it stays.
            let _ = fs::remove_file(part);
        }
    }
}
