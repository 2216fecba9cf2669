//! What is too much of a request's head, whatever it asks for.
//!
//! The framework has bounds of its own before these: a head of 128 KiB or 96 headers is 431, a target of 64 KiB is 400, both
//! without a body, and the connection is closed.

use actix_web::dev::RequestHead;
use actix_web::http::header::{CONTENT_ENCODING, HeaderMap};

use crate::error::{Error, Result};

/// The most bytes of a path and its query. The longest that is of use names a hundred leaderboards.
const MAX_TARGET_BYTES: usize = 16 * 1024;
/// The most bytes of the names and values of all headers.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// The coding that changes nothing (RFC 9110, section 12.5.3).
const AS_IT_IS: &[u8] = b"identity";

/// Refuses what is too long, and bodies that are compressed: nobody can hide a large one in a small one.
///
/// # Errors
///
/// `Malformed`, `HeadTooLarge`, `ContentEncoding`.
pub fn check(head: &RequestHead) -> Result<()> {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET_BYTES {
        return Err(Error::Malformed(format!(
            "the path and its query have {target} bytes, and may have {MAX_TARGET_BYTES}"
        )));
    }
    if bytes_of(&head.headers) > MAX_HEADER_BYTES {
        return Err(Error::HeadTooLarge { limit: MAX_HEADER_BYTES });
    }
    let is_plain = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(AS_IT_IS);
    if !head.headers.get_all(CONTENT_ENCODING).all(|coding| is_plain(coding.as_bytes())) {
        return Err(Error::ContentEncoding);
    }
    Ok(())
}

fn bytes_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}
