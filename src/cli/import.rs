//! `ranq import`

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use clap::Args;
use hyper::body::{Body, Bytes, Frame};
use indicatif::ProgressBar;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::Outcome;
use super::transfer::{Failure, Target, answer, block_on, bytes_bar, read};

const PIECE_BYTES: usize = 64 * 1024;
/// Pieces that are read ahead.
const PIECES_AHEAD: usize = 4;

const WHAT_IT_DOES: &str = "\
Reads rows as `ranq export` writes them; only member and score are needed. A row is set as it is, its time included:
nothing is added to a standing sum. Where the operator is `best`, a standing row that is as good or better stays. A bad row
is rejected alone, told with its line, and makes the exit code 1. An import that was cut off may be made again.";

#[derive(Debug, Args)]
#[command(after_help = WHAT_IT_DOES)]
pub(super) struct Options {
    #[command(flatten)]
    target: Target,
    /// The file to read [default: standard input].
    #[arg(long, short, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// The answer.
#[derive(Deserialize)]
struct Imported {
    imported: u64,
    rejected: u64,
    errors: Vec<LineProblem>,
}

#[derive(Deserialize)]
struct LineProblem {
    line: u64,
    problem: Problem,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

pub(super) fn import(options: &Options) -> Outcome {
    block_on(run(options))
}

async fn run(options: &Options) -> Outcome {
    let target = &options.target;
    let (input, bar) = open(options)?;
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let pieces = Pieces { receiver, bar: bar.clone() };
    // Ends with the input, or with the process where nobody writes to it any more.
    std::thread::spawn(move || read_pieces(input, &sender));
    let request = target.request(Method::POST, "import")?.header(CONTENT_TYPE, target.media_type());
    let mut response = answer(request.body(reqwest::Body::wrap(pieces))).await?;
    let answer: Imported = serde_json::from_slice(&read(&mut response).await?)?;
    bar.finish_and_clear();
    for LineProblem { line, problem } in &answer.errors {
        eprintln!("line {line}: {}", problem.detail);
    }
    println!("{} rows imported into `{}`, {} rejected", answer.imported, target.leaderboard, answer.rejected);
    if answer.rejected > 0 { Err(format!("{} rows were rejected", answer.rejected).into()) } else { Ok(()) }
}

fn open(options: &Options) -> Result<(Box<dyn Read + Send>, ProgressBar), Failure> {
    let Some(path) = &options.input else { return Ok((Box::new(io::stdin()), bytes_bar(None))) };
    let opened = File::open(path).and_then(|file| file.metadata().map(|known| (file, known)));
    let (file, known) = opened.map_err(|error| format!("{}: {error}", path.display()))?;
    if known.is_dir() {
        return Err(format!("{}: is a directory", path.display()).into());
    }
    Ok((Box::new(file), bytes_bar(known.is_file().then_some(known.len()))))
}

/// Hands the input on until it ends or nobody wants more.
fn read_pieces(mut input: Box<dyn Read + Send>, sender: &mpsc::Sender<io::Result<Bytes>>) {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let piece = match input.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => Ok(Bytes::copy_from_slice(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let last = piece.is_err();
        if sender.blocking_send(piece).is_err() || last {
            return;
        }
    }
}

/// A request body that another thread reads.
struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    bar: ProgressBar,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = self.receiver.poll_recv(context);
        if let Poll::Ready(Some(Ok(piece))) = &piece {
            self.bar.inc(piece.len() as u64);
        }
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
