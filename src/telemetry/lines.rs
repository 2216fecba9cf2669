//! One line for each event, whatever is told in it.

use std::io::{self, Write};

const ESCAPE: char = '\x1b';

/// Writes texts of one line each. The layer hands over an event in one piece; what would break its line or move a terminal's
/// cursor, and so might pass for another event, is written as an escape.
pub(super) struct OneLine<W> {
    inner: W,
    /// Whether the layer colours what it writes. It escapes the escapes of others itself.
    is_coloured: bool,
}

impl<W: Write> OneLine<W> {
    pub(super) fn new(inner: W, is_coloured: bool) -> Self {
        Self { inner, is_coloured }
    }

    fn may_stay(&self, character: char) -> bool {
        match character {
            ESCAPE => self.is_coloured,
            // The separators of lines and paragraphs are no control characters, and end lines all the same.
            '\u{2028}' | '\u{2029}' => false,
            _ => !character.is_control(),
        }
    }
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        if line.chars().all(|character| self.may_stay(character)) {
            self.inner.write_all(event)?;
            return Ok(event.len());
        }
        let mut escaped = String::with_capacity(text.len() + 16);
        for character in line.chars() {
            if self.may_stay(character) {
                escaped.push(character);
            } else {
                escaped.extend(character.escape_default());
            }
        }
        escaped.push('\n');
        self.inner.write_all(escaped.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(event: &str, is_coloured: bool) -> String {
        let mut bytes = Vec::new();
        OneLine::new(&mut bytes, is_coloured).write_all(event.as_bytes()).expect("memory takes all");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn what_breaks_a_line_is_escaped() {
        assert_eq!(written("INFO all is well\n", false), "INFO all is well\n");
        assert_eq!(written("job 1 failed: a\nERROR forged\r\n", false), "job 1 failed: a\\nERROR forged\\r\n");
        assert_eq!(written("\u{2028}\u{85}\u{9b}31m\0\n", false), "\\u{2028}\\u{85}\\u{9b}31m\\u{0}\n");
    }

    #[test]
    fn colours_stay_on_a_terminal_alone() {
        assert_eq!(written("\x1b[31mERROR\x1b[0m\n", true), "\x1b[31mERROR\x1b[0m\n");
        assert_eq!(written("\x1b[31mERROR\n", false), "\\u{1b}[31mERROR\n");
    }

    proptest! {
        #[test]
        fn an_event_is_one_line(text in any::<String>()) {
            let line = written(&format!("{text}\n"), false);
            prop_assert!(line.ends_with('\n'));
            prop_assert!(!line[..line.len() - 1].chars().any(char::is_control));
        }
    }
}
