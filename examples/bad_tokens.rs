//! Measures good requests with and without a flood of bad tokens beside them:
//! `bad_tokens ADDRESS RATE SECONDS [PID…]`, with the admin token in RANQ_ADMIN_TOKEN. It makes a token, reads with it on a few
//! connections at a steady pace, first alone, then while RATE requests a second with bad tokens come on others: garbage, typos in
//! a good token, forged ones (which differ each time), and a revoked one. The processes' CPU time is told, too.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval};

const MOST_RATE: u64 = 20_000;
const MOST_SECONDS: u64 = 60;
/// A refusal takes a few milliseconds, during which its connection waits.
const BAD_CONNECTIONS: u64 = 200;
const GOOD_CONNECTIONS: u64 = 4;
const GOOD_RATE: u64 = 1000;
/// Ticks of /proc a second, as on every Linux of today.
const TICKS: f64 = 100.0;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, rate, seconds, pids @ ..] = &arguments[..] else {
        return Err("bad_tokens ADDRESS RATE SECONDS [PID…]".into());
    };
    let (rate, seconds): (u64, u64) = (rate.parse()?, seconds.parse()?);
    if !(1..=MOST_RATE).contains(&rate) || !(1..=MOST_SECONDS).contains(&seconds) {
        return Err(format!("at most {MOST_RATE} a second, {MOST_SECONDS} seconds").into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(address, rate, Duration::from_secs(seconds), pids))
}

async fn run(address: &str, rate: u64, lasts: Duration, pids: &[String]) -> Outcome<()> {
    let admin = std::env::var("RANQ_ADMIN_TOKEN")?;
    let mut stream = TcpStream::connect(address).await?;
    let (good, good_id) = make(&mut stream, &admin).await?;
    let (revoked, revoked_id) = make(&mut stream, &admin).await?;
    delete(&mut stream, &admin, &revoked_id).await?;
    for flood in [0, rate, 0, rate] {
        let before: Vec<f64> = pids.iter().map(|pid| cpu_seconds(pid)).collect();
        let (mut times, refused) = phase(address, &good, &revoked, flood, lasts).await?;
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
        let seconds = lasts.as_secs_f64();
        print!(
            "{:.0} bad/s, {:.0} good/s: good ms p50 {:.2} p90 {:.2} p99 {:.2} most {:.1}",
            refused as f64 / seconds,
            times.len() as f64 / seconds,
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0),
        );
        for (pid, before) in pids.iter().zip(before) {
            print!("; process {pid} {:.0} % of a core", (cpu_seconds(pid) - before) / seconds * 100.0);
        }
        println!();
    }
    delete(&mut stream, &admin, &good_id).await
}

/// The times of good requests in µs, and how many bad ones were refused.
async fn phase(address: &str, good: &str, revoked: &str, rate: u64, lasts: Duration) -> Outcome<(Vec<u64>, u64)> {
    let (times, refused) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(0)));
    let mut tasks = Vec::new();
    for _ in 0..GOOD_CONNECTIONS {
        let request = get(good);
        let (address, times) = (address.to_owned(), Rc::clone(&times));
        tasks.push(tokio::task::spawn_local(async move {
            paced(
                &address,
                GOOD_RATE / GOOD_CONNECTIONS,
                lasts,
                "200",
                || request.clone(),
                |us| times.borrow_mut().push(us),
            )
            .await
            .map_err(|error| error.to_string())
        }));
    }
    for number in 0..if rate == 0 { 0 } else { BAD_CONNECTIONS } {
        let (address, good, revoked) = (address.to_owned(), good.to_owned(), revoked.to_owned());
        let refused = Rc::clone(&refused);
        tasks.push(tokio::task::spawn_local(async move {
            let mut turn = number;
            let next = || {
                turn += 1;
                get(&bad(turn, &good, &revoked))
            };
            let done =
                paced(&address, (rate / BAD_CONNECTIONS).max(1), lasts, "401", next, |_| *refused.borrow_mut() += 1)
                    .await;
            done.map_err(|error| error.to_string())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let refused = *refused.borrow();
    Ok((times.take(), refused))
}

/// One kind of bad token after another.
fn bad(turn: u64, good: &str, revoked: &str) -> String {
    match turn % 4 {
        0 => format!("garbage{turn}"),
        1 => format!("{}{}", &good[..57], if good.ends_with('a') { 'b' } else { 'a' }),
        2 => format!("rq_{:055}", u128::from(turn).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        _ => revoked.to_owned(),
    }
}

/// Sends requests at a steady pace on one connection, one at a time, and tells how long each took in µs.
async fn paced(
    address: &str,
    rate: u64,
    lasts: Duration,
    status: &str,
    mut next: impl FnMut() -> String,
    mut done: impl FnMut(u64),
) -> Outcome<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(rate)?);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let started = Instant::now();
    while started.elapsed() < lasts {
        ticks.tick().await;
        let sent = Instant::now();
        let answer = exchange(&mut stream, &next()).await?;
        if answer.get(9..12) != Some(status) {
            return Err(format!("expected {status}: {answer}").into());
        }
        done(u64::try_from(sent.elapsed().as_micros())?);
    }
    Ok(())
}

fn get(token: &str) -> String {
    format!("GET /v1/leaderboards?limit=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n")
}

/// A token that reads leaderboards: its text and its id.
async fn make(stream: &mut TcpStream, admin: &str) -> Outcome<(String, String)> {
    let body = r#"{"name": "bad_tokens", "scopes": ["leaderboards:read"], "expires_in_ms": 3600000}"#;
    let head = format!("POST /v1/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {admin}\r\n");
    let rest = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let answer = exchange(stream, &format!("{head}{rest}")).await?;
    let made: Value = serde_json::from_str(answer.split_once("\r\n\r\n").ok_or("no body")?.1)?;
    let text = |name: &str| made[name].as_str().map(str::to_owned).ok_or(format!("no {name}: {made}"));
    Ok((text("token")?, text("id")?))
}

async fn delete(stream: &mut TcpStream, admin: &str, id: &str) -> Outcome<()> {
    let request = format!("DELETE /v1/tokens/{id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {admin}\r\n\r\n");
    exchange(stream, &request).await.map(drop)
}

/// Sends a request and reads its answer to the end.
async fn exchange(stream: &mut TcpStream, request: &str) -> Outcome<String> {
    stream.write_all(request.as_bytes()).await?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            return Err("the connection was closed".into());
        }
        answer.extend_from_slice(&piece[..count]);
        let text = std::str::from_utf8(&answer)?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.to_ascii_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Ok(text.to_owned());
        }
    }
}

/// CPU time of a process so far, 0 where it cannot be read.
fn cpu_seconds(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks: f64 = after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / TICKS
}
