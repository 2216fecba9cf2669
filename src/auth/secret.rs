//! The text of a token: `rq_` and 55 of 0-9 A-Z a-z.
//!
//! It carries 40 bytes: the id (8), the secret (20, random), a tag (8) and a checksum (4). The checksum (CRC-32 of what stands
//! before it) lets scanners tell a token from what only looks like one, and catches typos. The tag is made with a key that only
//! the services on one Redis know, so that a forged token is told without asking Redis. Neither proves anything: that does the
//! SHA-256 digest of the whole text, which is all that is stored of it.

use std::fmt;
use std::sync::OnceLock;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::error::{Error, Result};
use crate::types::TokenId;

const PREFIX: &str = "rq_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Digits of eight bytes.
const WORD_DIGITS: usize = 11;
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 20;
const TAG_BYTES: usize = 8;
const BYTES: usize = ID_BYTES + SECRET_BYTES + TAG_BYTES + 4;
const TAGGED: usize = ID_BYTES + SECRET_BYTES;
const CHECKED: usize = TAGGED + TAG_BYTES;

/// The SHA-256 digest of a token's text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// That of a text, whatever it is.
    pub fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// As it is stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is the one that is stored, in a time that tells nothing.
    pub fn is(&self, stored: &[u8]) -> bool {
        bool::from(self.0.as_slice().ct_eq(stored))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest")
    }
}

/// The key of the tags: the same for all services on one Redis.
#[derive(Clone, PartialEq, Eq)]
pub struct MintKey([u8; 32]);

impl MintKey {
    /// A new one.
    pub fn generate() -> Result<Self> {
        random().map(Self)
    }

    /// Reads back what was stored.
    pub fn from_stored(bytes: &[u8]) -> Result<Self> {
        bytes.try_into().map(Self).map_err(|_| Error::Internal("the key of tokens is not of 32 bytes".to_owned()))
    }

    /// As it is stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn tag(&self, tagged: &[u8]) -> [u8; TAG_BYTES] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&hmac::sign(&key, tagged).as_ref()[..TAG_BYTES]);
        tag
    }

    /// A token's text with this id and secret.
    pub fn mint(&self, id: TokenKey, secret: &Secret) -> SecretString {
        let mut bytes = [0; BYTES];
        bytes[..ID_BYTES].copy_from_slice(&id.0);
        bytes[ID_BYTES..TAGGED].copy_from_slice(&secret.0);
        let tag = self.tag(&bytes[..TAGGED]);
        bytes[TAGGED..CHECKED].copy_from_slice(&tag);
        let checksum = checksum(&bytes[..CHECKED]);
        bytes[CHECKED..].copy_from_slice(&checksum);
        SecretString::from(format!("{PREFIX}{}", bytes.chunks(8).map(write_word).collect::<String>()))
    }

    /// Whether the tag is one that this key made.
    pub fn has_made(&self, token: &TokenText) -> bool {
        bool::from(self.tag(&token.0[..TAGGED]).ct_eq(&token.0[TAGGED..CHECKED]))
    }
}

/// A token as a client presents it, well formed and with the right checksum.
pub struct TokenText([u8; BYTES]);

impl TokenText {
    /// Reads it; `None` for what is no token.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX.as_bytes())?;
        if digits.len() != BYTES / 8 * WORD_DIGITS {
            return None;
        }
        let mut bytes = [0; BYTES];
        for (word, digits) in bytes.chunks_mut(8).zip(digits.chunks(WORD_DIGITS)) {
            word.copy_from_slice(&read_word(digits)?);
        }
        (checksum(&bytes[..CHECKED]) == bytes[CHECKED..]).then_some(Self(bytes))
    }

    /// The id that it names.
    pub fn key(&self) -> TokenKey {
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&self.0[..ID_BYTES]);
        TokenKey(id)
    }
}

/// The id of a token as bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenKey([u8; ID_BYTES]);

impl TokenKey {
    /// That of a token made now, so that ids sort by the second in which they were made.
    pub fn new(now_s: u32) -> Result<Self> {
        let random: [u8; 4] = random()?;
        let mut id = [0; ID_BYTES];
        id[..4].copy_from_slice(&now_s.to_be_bytes());
        id[4..].copy_from_slice(&random);
        Ok(Self(id))
    }

    /// That of an id; `None` where no token can have it.
    pub fn of(id: &TokenId) -> Option<Self> {
        read_word(id.as_str().as_bytes()).map(Self)
    }

    /// The id as text.
    pub fn id(self) -> Result<TokenId> {
        TokenId::try_from(write_word(&self.0)).map_err(Error::Internal)
    }
}

/// The secret part of a token.
pub struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// A new one.
    pub fn random() -> Result<Self> {
        random().map(Self)
    }

    /// The one that belongs to a request of an idempotency key: the same whenever who holds `bearer` makes the request
    /// again, and known to nobody else, since `bearer` is stored nowhere.
    pub fn derived(bearer: &[u8], request: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, bearer);
        let mut secret = [0; SECRET_BYTES];
        let text = format!("the secret of a token of the request {request}");
        secret.copy_from_slice(&hmac::sign(&key, text.as_bytes()).as_ref()[..SECRET_BYTES]);
        Self(secret)
    }
}

/// Bytes that nobody can guess.
///
/// # Errors
///
/// `Internal` where the system has none.
fn random<const BYTES: usize>() -> Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map(|()| bytes).map_err(|_| Error::Internal("the system gives no random numbers".to_owned()))
}

/// What stands in for a bearer's text where callers have none: known to this process alone.
///
/// # Errors
///
/// `Internal` where the system has no random numbers.
pub fn process_key() -> Result<&'static [u8]> {
    static KEY: OnceLock<[u8; 32]> = OnceLock::new();
    if let Some(key) = KEY.get() {
        return Ok(key);
    }
    let key = random()?;
    Ok(KEY.get_or_init(|| key))
}

/// The digest of a token that was just made.
pub fn digest_of(text: &SecretString) -> TokenDigest {
    TokenDigest::of(text.expose_secret().as_bytes())
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(PREFIX.as_bytes());
    hasher.update(bytes);
    hasher.finalize().to_be_bytes()
}

/// Eight bytes as eleven digits, which sort as the bytes do.
fn write_word(bytes: &[u8]) -> String {
    let mut number = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let mut digits = [DIGITS[0]; WORD_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[usize::try_from(number % 62).unwrap_or(0)];
        number /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

fn read_word(digits: &[u8]) -> Option<[u8; 8]> {
    let mut number = 0_u64;
    for digit in digits {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'a'..=b'z' => digit - b'a' + 36,
            _ => return None,
        };
        number = number.checked_mul(62)?.checked_add(u64::from(value))?;
    }
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_minted_token_is_read_back(key: [u8; 32], id: [u8; 8], secret: [u8; 20]) {
            let key = MintKey(key);
            let text = key.mint(TokenKey(id), &Secret(secret));
            let read = TokenText::parse(text.expose_secret().as_bytes()).expect("a token");
            prop_assert!(key.has_made(&read));
            prop_assert_eq!(&read.0[..8], &id[..]);
            prop_assert_eq!(&read.0[8..28], &secret[..]);
            prop_assert!(!MintKey([7; 32]).has_made(&read) || key.0 == [7; 32]);
        }

        #[test]
        fn a_typo_is_noticed(id: [u8; 8], secret: [u8; 20], at in 0..58_usize, other in "[0-9A-Za-z]") {
            let text = MintKey([1; 32]).mint(TokenKey(id), &Secret(secret)).expose_secret().to_owned();
            let mut wrong = text.clone();
            wrong.replace_range(at..=at, &other);
            prop_assert_eq!(TokenText::parse(wrong.as_bytes()).is_some(), wrong == text);
        }

        #[test]
        fn anything_may_be_presented(text: Vec<u8>) {
            prop_assert!(TokenText::parse(&text).is_none());
            prop_assert!(TokenText::parse(&[b"rq_".as_slice(), &text].concat()).is_none());
        }

        #[test]
        fn ids_sort_by_their_time(first: u32, later: u32) {
            let text = |second: u32| TokenKey::new(second).and_then(TokenKey::id).expect("random");
            if first < later {
                prop_assert!(text(first) < text(later));
            }
            let id = text(first);
            prop_assert_eq!(TokenKey::of(&id).expect("an id").id().expect("an id"), id);
        }
    }
}
