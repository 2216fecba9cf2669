//! Cursors: the place where a page ended, as an opaque text.
//!
//! A cursor names the last entry's position (score and ZSET member) and not its place, so that entries which did not move
//! are neither repeated nor skipped while others come and go. Format 1: version, digest of the ranking and the rest
//! (8 bytes), bits of the ranked score (8 bytes), ZSET member; in base64url without padding (RFC 4648).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::types::Score;

const VERSION: u8 = 1;
const DIGEST: usize = 8;
const HEAD: usize = 1 + DIGEST + 8;
/// Above the longest that is ever given: 40 + 8 + 128 bytes of ZSET member.
const MAX_TEXT: usize = 400;

/// A position in a ranking.
#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    /// The ranked score.
    pub ranked: Score,
    /// The ZSET member.
    pub element: Vec<u8>,
}

/// The text for a position in the ranking that `context` names.
pub fn encode(context: &str, position: &Position) -> String {
    let score = position.ranked.value().to_bits().to_be_bytes();
    let mut bytes = Vec::with_capacity(HEAD + position.element.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&digest(context, &score, &position.element));
    bytes.extend_from_slice(&score);
    bytes.extend_from_slice(&position.element);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position of a text given for the ranking that `context` names.
///
/// # Errors
///
/// `Malformed` for anything that [`encode`] did not give for this ranking.
pub fn decode(context: &str, text: &str) -> Result<Position> {
    let refused = || Error::Malformed("the cursor is not one that this service gave for this list".to_owned());
    if text.len() > MAX_TEXT {
        return Err(refused());
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refused())?;
    let (&version, rest) = bytes.split_first().ok_or_else(refused)?;
    let (found_digest, rest) = rest.split_first_chunk::<DIGEST>().ok_or_else(refused)?;
    let (score, element) = rest.split_first_chunk::<8>().ok_or_else(refused)?;
    if version != VERSION || *found_digest != digest(context, score, element) {
        return Err(refused());
    }
    let ranked = Score::new(f64::from_bits(u64::from_be_bytes(*score))).ok_or_else(refused)?;
    Ok(Position { ranked, element: element.to_vec() })
}

fn digest(context: &str, score: &[u8; 8], element: &[u8]) -> [u8; DIGEST] {
    let mut hash = Sha256::new();
    hash.update(context);
    hash.update([0]);
    hash.update(score);
    hash.update(element);
    let mut short = [0; DIGEST];
    short.copy_from_slice(&hash.finalize()[..DIGEST]);
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_gives_its_position_back(value in any::<f64>(), element in proptest::collection::vec(any::<u8>(), 0..176)) {
            prop_assume!(value.is_finite());
            let position = Position { ranked: Score::new(value).expect("finite"), element };
            let text = encode("here", &position);
            prop_assert_eq!(decode("here", &text).expect("its own"), position);
            prop_assert!(decode("elsewhere", &text).is_err());
        }

        #[test]
        fn any_other_text_is_refused(text in ".{0,500}") {
            prop_assert!(decode("here", &text).is_err());
        }
    }
}
