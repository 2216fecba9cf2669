//! Measures how many rows a second an archive takes, one by one and in batches, in turns: `archive_rows SECONDS PLACE…`, where a place is
//! the path of a new file of SQLite, or the URL of a PostgreSQL server. Each batch is a statement of its own, as the service writes them.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ranq::archive::bench::Writer;
use ranq::config::ArchiveTarget;
use secrecy::SecretString;

const BATCHES: [u32; 5] = [1, 10, 100, 500, 1000];
const ROUNDS: usize = 3;
const MOST_SECONDS: u64 = 60;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seconds, places @ ..] = &arguments[..] else { return Err("archive_rows SECONDS PLACE…".into()) };
    let seconds: u64 = seconds.parse()?;
    if !(1..=MOST_SECONDS).contains(&seconds) {
        return Err(format!("at most {MOST_SECONDS} seconds").into());
    }
    let turn = Duration::from_secs(seconds) / u32::try_from(ROUNDS)?;
    println!("{:<12} {:>6} {:>10} {:>12} {:>7}", "archive", "batch", "rows/s", "ms a batch", "ratio");
    for place in places {
        let (name, target) = match place.starts_with("postgres") {
            true => ("PostgreSQL", ArchiveTarget::Postgres(SecretString::from(place.clone()))),
            false => ("SQLite", ArchiveTarget::Sqlite(PathBuf::from(place))),
        };
        measure(name, &Writer::open(&target)?, turn).await?;
    }
    Ok(())
}

async fn measure(name: &str, writer: &Writer, turn: Duration) -> Result<(), Box<dyn Error>> {
    let mut next = 0;
    // Makes the tables.
    writer.write(next..next + 1).await?;
    next += 1;
    let mut sums = [(0_u64, 0_u64, Duration::ZERO); BATCHES.len()];
    for _ in 0..ROUNDS {
        for (batch, (rows, statements, took)) in BATCHES.into_iter().zip(&mut sums) {
            let started = Instant::now();
            while started.elapsed() < turn {
                *rows += writer.write(next..next + batch).await?;
                *statements += 1;
                next += batch;
            }
            *took += started.elapsed();
        }
    }
    let rate = |(rows, _, took): (u64, u64, Duration)| rows as f64 / took.as_secs_f64();
    for (batch, sum) in BATCHES.into_iter().zip(sums) {
        let millis = sum.2.as_secs_f64() * 1000.0 / sum.1.max(1) as f64;
        println!("{name:<12} {batch:>6} {:>10.0} {millis:>12.2} {:>7.1}", rate(sum), rate(sum) / rate(sums[0]));
    }
    Ok(())
}
