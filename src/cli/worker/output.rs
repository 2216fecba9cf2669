//! What a command writes.

use std::io::Write;

use serde_json::value::{RawValue, to_raw_value};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::worker::JobError;

/// The service takes no larger result.
const MAX_RESULT_BYTES: usize = 256 * 1024;
/// The service keeps no longer error.
const MAX_TAIL_BYTES: usize = 4096;
const CHUNK_BYTES: usize = 8192;

/// The standard output: a result, if it is not too long.
#[derive(Debug, Default)]
pub(super) struct Stdout {
    kept: Vec<u8>,
    total: usize,
}

impl Stdout {
    /// Reads to the end, so that the command is not held up, and keeps what may be a result.
    pub(super) async fn read(&mut self, pipe: Option<impl AsyncRead + Unpin>) {
        let mut chunk = [0; CHUNK_BYTES];
        let Some(mut pipe) = pipe else { return };
        // An error of a pipe is its end.
        while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
            let room = MAX_RESULT_BYTES.saturating_sub(self.kept.len());
            self.kept.extend_from_slice(&chunk[..count.min(room)]);
            self.total += count;
        }
    }

    /// JSON as it is, other text as a JSON string without the line feeds at its end, nothing as no result.
    pub(super) fn into_result(self) -> Result<Option<Box<RawValue>>, JobError> {
        if self.total > MAX_RESULT_BYTES {
            let total = self.total;
            return Err(JobError::new(format!("the output has {total} bytes, and {MAX_RESULT_BYTES} are allowed")));
        }
        let text = String::from_utf8_lossy(&self.kept);
        let json = text.trim_matches([' ', '\t', '\r', '\n']);
        if json.is_empty() {
            return Ok(None);
        }
        let result = match serde_json::from_str::<&RawValue>(json) {
            Ok(raw) => raw.to_owned(),
            Err(_) => to_raw_value(text.trim_end_matches(['\r', '\n']))?,
        };
        Ok(Some(result))
    }
}

/// The end of the standard error.
#[derive(Debug, Default)]
pub(super) struct Tail {
    kept: Vec<u8>,
}

impl Tail {
    /// Reads to the end, and writes on what it reads.
    pub(super) async fn read(&mut self, pipe: Option<impl AsyncRead + Unpin>, mut on: impl Write) {
        let mut chunk = [0; CHUNK_BYTES];
        let Some(mut pipe) = pipe else { return };
        while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
            // A log that cannot be written must not fail the job.
            let _ = on.write_all(&chunk[..count]);
            self.keep(&chunk[..count]);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        let over = self.kept.len().saturating_sub(MAX_TAIL_BYTES);
        self.kept.drain(..over);
    }

    /// The text without white space around it, cut at a character.
    pub(super) fn text(&self) -> String {
        // At most three bytes of a character whose beginning was cut off.
        let begun = self.kept.iter().take(3).take_while(|byte| **byte & 0b1100_0000 == 0b1000_0000).count();
        let text = String::from_utf8_lossy(&self.kept[begun..]);
        let text = text.trim();
        // What is no UTF-8 has become longer.
        let from = text.ceil_char_boundary(text.len().saturating_sub(MAX_TAIL_BYTES));
        text[from..].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn result(output: &[u8]) -> Result<Option<String>, JobError> {
        let mut stdout = Stdout::default();
        stdout.read(Some(output)).await;
        Ok(stdout.into_result()?.map(|result| result.get().to_owned()))
    }

    #[tokio::test]
    async fn json_is_a_result_as_it_is_and_other_text_is_a_string() {
        for (output, expected) in [
            ("", None),
            (" \n", None),
            ("{\"a\": 1e400, \"a\":2}\n", Some("{\"a\": 1e400, \"a\":2}")),
            ("123456789012345678901234567890", Some("123456789012345678901234567890")),
            ("sent to \"ann\"\n\n", Some(r#""sent to \"ann\"""#)),
            ("1 2", Some("\"1 2\"")),
            ("null", Some("null")),
        ] {
            assert_eq!(result(output.as_bytes()).await.expect("short"), expected.map(str::to_owned), "{output:?}");
        }
        assert_eq!(result(b"caf\xff").await.expect("short").as_deref(), Some("\"caf\u{fffd}\""));
    }

    #[tokio::test]
    async fn a_long_output_is_read_to_its_end_and_is_no_result() {
        let error = result(&vec![b'1'; MAX_RESULT_BYTES + 1]).await.expect_err("too long");
        assert!(error.to_string().contains("262145 bytes"), "{error}");
        assert!(result(&vec![b'1'; MAX_RESULT_BYTES]).await.expect("fits").is_some());
    }

    #[tokio::test]
    async fn the_tail_is_cut_at_a_character() {
        for text in ["é".repeat(5000), format!("x{}", "名".repeat(3000)), "🦀".repeat(1030)] {
            let (mut tail, mut on) = (Tail::default(), Vec::new());
            tail.read(Some(text.as_bytes()), &mut on).await;
            assert_eq!(on, text.as_bytes());
            let kept = tail.text();
            assert!(text.ends_with(&kept) && (4093..=4096).contains(&kept.len()), "{} of {}", kept.len(), text.len());
        }
    }

    #[tokio::test]
    async fn what_is_no_utf_8_still_fits() {
        let mut tail = Tail::default();
        tail.read(Some(&[0xff; 9000][..]), std::io::sink()).await;
        assert!(tail.text().len() <= MAX_TAIL_BYTES && !tail.text().is_empty());
        let mut short = Tail::default();
        short.read(Some(&b"  oh no \n"[..]), std::io::sink()).await;
        assert_eq!(short.text(), "oh no");
    }
}
