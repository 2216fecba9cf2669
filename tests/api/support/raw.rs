//! Requests that no decent client sends.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::Answer;

const PATIENCE: Duration = Duration::from_secs(20);

/// Writes `bytes` to a connection of their own and reads the one answer.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Answer {
    let bytes = bytes.to_vec();
    let answer = tokio::task::spawn_blocking(move || exchange_now(address, &bytes)).await.expect("no panic");
    parse(&answer)
}

/// Writes `bytes` to a connection of their own and hangs up.
pub fn cut_off(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("the service listens");
    stream.write_all(bytes).expect("sent");
    stream.shutdown(Shutdown::Both).expect("the connection stands");
}

fn exchange_now(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the service listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // The service may answer and hang up before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while !is_complete(&answer) {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("no answer: {error}"),
        }
    }
    // It may be gone already.
    let _ = stream.shutdown(Shutdown::Both);
    answer
}

/// The head and what follows it, past any interim answers (100 Continue).
fn head_and_body(answer: &[u8]) -> Option<(&str, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, rest) = (std::str::from_utf8(&answer[..end]).expect("heads are ASCII"), &answer[end + 4..]);
    if head.starts_with("HTTP/1.1 1") { head_and_body(rest) } else { Some((head, rest)) }
}

fn headers(head: &str) -> HeaderMap {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, value)| {
            let name: HeaderName = name.trim().parse().expect("a header's name");
            (name, HeaderValue::from_str(value.trim()).expect("a header's value"))
        })
        .collect()
}

fn is_complete(answer: &[u8]) -> bool {
    let Some((head, body)) = head_and_body(answer) else { return false };
    content_length(&headers(head)).is_some_and(|length| body.len() >= length)
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get("content-length")?.to_str().ok()?.parse().ok()
}

fn parse(answer: &[u8]) -> Answer {
    let Some((head, body)) = head_and_body(answer) else { panic!("no answer: {:?}", String::from_utf8_lossy(answer)) };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
    let headers = headers(head);
    // More answers may follow on the connection.
    let body = &body[..content_length(&headers).unwrap_or(body.len()).min(body.len())];
    Answer::new(status, headers, body.to_vec())
}
