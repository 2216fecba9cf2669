//! Follows one leaderboard on many connections and tells what that costs:
//! `watchers ADDRESS STREAMS RATE SECONDS [PID…]` submits RATE scores a second, and measures how long each event took from the
//! latest submission that it shows. The processes' CPU time and memory are told, too. The leaderboard is called `watched-` and the number of this process, and is deleted at the end.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// More do not fit into the ports between one client and one service.
const MOST_STREAMS: usize = 20_000;
const MOST_RATE: u64 = 1000;
const MOST_SECONDS: u64 = 600;
const OPEN_AT_ONCE: usize = 100;
/// Ticks of /proc a second, as on every Linux of today.
const TICKS: f64 = 100.0;
const MARK: &str = "\"member\":\"pace\",\"score\":";

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What the streams have seen.
#[derive(Default)]
struct Seen {
    events: u64,
    bytes: u64,
    delays_us: Vec<u64>,
    measuring: bool,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, streams, rate, seconds, pids @ ..] = &arguments[..] else {
        return Err("watchers ADDRESS STREAMS RATE SECONDS [PID…]".into());
    };
    let (streams, rate, seconds) = (streams.parse()?, rate.parse()?, seconds.parse()?);
    if streams > MOST_STREAMS || !(1..=MOST_RATE).contains(&rate) || seconds > MOST_SECONDS {
        return Err(format!("at most {MOST_STREAMS} streams, {MOST_RATE} a second, {MOST_SECONDS} seconds").into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(address, streams, rate, Duration::from_secs(seconds), pids))
}

async fn run(address: &str, streams: usize, rate: u64, lasts: Duration, pids: &[String]) -> Outcome<()> {
    let clock = Instant::now();
    let seen = Rc::new(RefCell::new(Seen::default()));
    let mut pace = TcpStream::connect(address).await?;
    pace.set_nodelay(true)?;
    // Nine entries beside the one that moves.
    for n in 0..9 {
        submit(&mut pace, &format!("member{n}"), 0).await?;
    }
    submit(&mut pace, "pace", 1).await?;
    let mut opened = 0;
    while opened < streams {
        let batch = OPEN_AT_ONCE.min(streams - opened);
        for _ in 0..batch {
            let stream = TcpStream::connect(address).await?;
            tokio::task::spawn_local(follow(stream, Rc::clone(&seen), clock));
        }
        opened += batch;
        let all = async {
            while seen.borrow().events < opened as u64 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(30), all).await.map_err(|_| "not every stream had a snapshot within 30 s")?;
    }
    sleep(Duration::from_secs(1)).await;
    *seen.borrow_mut() = Seen { measuring: true, ..Seen::default() };
    let before: Vec<f64> = pids.iter().map(|pid| cpu_seconds(pid)).collect();
    let own = cpu_seconds("self");
    let (started, mut sent) = (Instant::now(), 0);
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(rate)?);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while started.elapsed() < lasts {
        ticks.tick().await;
        submit(&mut pace, "pace", clock.elapsed().as_micros() as u64).await?;
        sent += 1;
    }
    sleep(Duration::from_secs(1)).await;
    let took = started.elapsed().as_secs_f64();
    let mut seen = std::mem::take(&mut *seen.borrow_mut());
    seen.delays_us.sort_unstable();
    let at = |share: f64| {
        let place = (seen.delays_us.len() as f64 * share) as usize;
        seen.delays_us.get(place.min(seen.delays_us.len().saturating_sub(1))).map_or(0.0, |us| *us as f64 / 1000.0)
    };
    println!(
        "{streams} streams, {sent} submissions in {took:.1} s: {} events ({:.1} a second and stream, {} bytes each), delay ms p50 {:.1} p99 {:.1} most {:.1}",
        seen.events,
        seen.events as f64 / took / streams.max(1) as f64,
        seen.bytes / seen.events.max(1),
        at(0.5),
        at(0.99),
        at(1.0),
    );
    for (pid, before) in pids.iter().zip(before) {
        let cpu = (cpu_seconds(pid) - before) / took * 100.0;
        println!("process {pid}: {cpu:.1} % of a core, {:.1} MB", resident_mb(pid));
    }
    println!("this client: {:.1} % of a core", (cpu_seconds("self") - own) / took * 100.0);
    exchange(&mut pace, &format!("DELETE {} HTTP/1.1\r\nHost: x\r\n\r\n", path())).await
}

/// One of its own, so that no older score is better.
fn path() -> String {
    format!("/v1/leaderboards/watched-{}", std::process::id())
}

/// Submits a score and reads the answer, which comes in one piece.
async fn submit(stream: &mut TcpStream, member: &str, score: u64) -> Outcome<()> {
    let body = format!("{{\"member\":\"{member}\",\"score\":{score}}}");
    let head = format!("POST {}/scores HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n", path());
    exchange(stream, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await
}

async fn exchange(stream: &mut TcpStream, request: &str) -> Outcome<()> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; 4096];
    let length = stream.read(&mut answer).await?;
    if !answer[..length].starts_with(b"HTTP/1.1 2") {
        return Err(String::from_utf8_lossy(&answer[..length]).into());
    }
    Ok(())
}

/// Follows the top ten until the end of the stream.
async fn follow(mut stream: TcpStream, seen: Rc<RefCell<Seen>>, clock: Instant) {
    let request = format!("GET {}/events?limit=10 HTTP/1.1\r\nHost: x\r\n\r\n", path());
    if stream.write_all(request.as_bytes()).await.is_err() {
        return;
    }
    let mut chunk = [0; 8192];
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        let now = clock.elapsed().as_micros() as u64;
        let text = String::from_utf8_lossy(&chunk[..length]);
        let mut seen = seen.borrow_mut();
        seen.bytes += length as u64;
        for (at, _) in text.match_indices(MARK) {
            seen.events += 1;
            let digits = text[at + MARK.len()..].split(|letter: char| !letter.is_ascii_digit()).next();
            let stamp = digits.and_then(|digits| digits.parse::<u64>().ok());
            if let (true, Some(stamp)) = (seen.measuring, stamp) {
                seen.delays_us.push(now.saturating_sub(stamp));
            }
        }
    }
}

fn cpu_seconds(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // What follows the name, which may hold spaces: state is the third field, utime and stime the 14th and 15th.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS
}

fn resident_mb(pid: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
