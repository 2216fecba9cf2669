//! One request over a connection of its own, byte for byte, and its answer, within a time.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::Answer;

/// Nothing that is asked here takes so long.
const HANGS: Duration = Duration::from_secs(10);

/// What came back: nothing where the service hung up, or where it does not answer.
#[derive(Debug)]
pub enum Outcome {
    Answered(Answer),
    HungUp,
    Hangs,
}

/// Sends the bytes and reads an answer. Of a stream of events only the head is read.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Outcome {
    within(answer_to(address, bytes, false)).await
}

/// The same, with nothing after the bytes.
pub async fn exchange_and_close(address: SocketAddr, bytes: &[u8]) -> Outcome {
    within(answer_to(address, bytes, true)).await
}

async fn within(answer: impl Future<Output = Option<Answer>>) -> Outcome {
    match timeout(HANGS, answer).await {
        Err(_) => Outcome::Hangs,
        Ok(None) => Outcome::HungUp,
        Ok(Some(answer)) => Outcome::Answered(answer),
    }
}

async fn answer_to(address: SocketAddr, bytes: &[u8], close: bool) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    // The service may answer and hang up before it has read everything.
    let _ = stream.write_all(bytes).await;
    if close {
        let _ = stream.shutdown().await;
    }
    let mut read = Vec::new();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        if let Some(answer) = parsed(&read) {
            return Some(answer);
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => read.extend_from_slice(&chunk[..length]),
        }
    }
}

/// The answer, once it is whole.
fn parsed(read: &[u8]) -> Option<Answer> {
    let end = read.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&read[..end]).ok()?;
    let body = &read[end + 4..];
    let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
    if status < 200 {
        return parsed(body);
    }
    let headers: HeaderMap = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, HeaderValue::from_str(value.trim()).ok()?)))
        .collect();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = if matches!(status, 204 | 304) || text("content-type").starts_with("text/event-stream") {
        Vec::new()
    } else if text("transfer-encoding") == "chunked" {
        unchunked(body)?
    } else {
        let length: usize = text("content-length").parse().ok()?;
        body.get(..length)?.to_vec()
    };
    Some(Answer::new(status, headers, body))
}

fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).ok()?, 16).ok()?;
        body = &body[end + 2..];
        if length == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(..length)?);
        body = body.get(length + 2..)?;
    }
}
