//! JSON in and out.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use futures_util::StreamExt as _;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_path_to_error::{Path, Segment};

use super::outside::Outside;
use super::problem::Problem;
use crate::error::{Error, Fault, Result};

/// How deep arrays and objects may be nested.
pub const MAX_DEPTH: usize = 32;

/// What a request body is parsed into, and how large it may be.
pub trait Body: DeserializeOwned {
    /// The most bytes that are read.
    const MAX_BYTES: usize;
    /// How deep arrays and objects may be nested. What passes through as text is not looked into, so that depth does no harm.
    const MAX_DEPTH: usize = MAX_DEPTH;
}

/// A request body that was sent as JSON, parsed and as it was sent.
pub struct Json<T>(pub T, pub Bytes);

/// The same where the body may be left out.
pub struct OptionalJson<T>(pub T, pub Bytes);

impl<T: Body + Default + 'static> FromRequest for OptionalJson<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let declared = check_head(request, T::MAX_BYTES);
        let (payload, patience) = (payload.take(), patience(request));
        Box::pin(async move {
            // What is empty needs no media type.
            let body = arrive(payload, T::MAX_BYTES, patience).await?;
            if body.is_empty() {
                return Ok(Self(T::default(), body));
            }
            declared?;
            Ok(Self(parse(&body, T::MAX_DEPTH)?, body))
        })
    }
}

impl<T: Body + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let declared = check_head(request, T::MAX_BYTES);
        let (payload, patience) = (payload.take(), patience(request));
        Box::pin(async move {
            declared?;
            let body = arrive(payload, T::MAX_BYTES, patience).await?;
            Ok(Self(parse(&body, T::MAX_DEPTH)?, body))
        })
    }
}

fn check_head(request: &HttpRequest, limit: usize) -> Result<()> {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !media_type.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/json") {
        return Err(Error::UnsupportedMediaType("application/json"));
    }
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|text| text.parse::<usize>().ok()).is_some_and(|length| length > limit) {
        return Err(Error::PayloadTooLarge { limit });
    }
    Ok(())
}

/// How long a body may take to arrive.
fn patience(request: &HttpRequest) -> Duration {
    Outside::of(request).map_or(Duration::ZERO, |outside| outside.client_timeout)
}

/// The body, unless it is too slow or too long.
async fn arrive(payload: Payload, limit: usize, patience: Duration) -> Result<Bytes> {
    actix_web::rt::time::timeout(patience, read(payload, limit)).await.map_err(|_| Error::RequestTimeout(patience))?
}

async fn read(mut payload: Payload, limit: usize) -> Result<Bytes> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| Error::Malformed(format!("the body cannot be read: {error}")))?;
        if body.len() + chunk.len() > limit {
            return Err(Error::PayloadTooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Parses a body.
///
/// # Errors
///
/// `Malformed` for what is not UTF-8 or not JSON, `Invalid` with a JSON pointer for JSON of another form.
pub fn parse<T: DeserializeOwned>(body: &[u8], max_depth: usize) -> Result<T> {
    let text =
        std::str::from_utf8(body).map_err(|error| Error::Malformed(format!("the body is not UTF-8: {error}")))?;
    if nests_deeper_than(max_depth, text.as_bytes()) {
        return Err(Error::invalid("", format!("is nested deeper than {max_depth} levels")));
    }
    let mut source = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize(&mut source)
        .map_err(|error| (pointer(error.path()), error.into_inner()))
        .and_then(|value| source.end().map(|()| value).map_err(|error| (String::new(), error)));
    let (pointer, error) = match parsed {
        Ok(value) => return Ok(value),
        Err(failed) => failed,
    };
    // serde_json calls some wrong types a syntax error, and meets a wrong form before broken JSON behind it, which is the
    // graver mistake.
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|error| Error::Malformed(format!("the body is not JSON: {error}")))?;
    match error.to_string() {
        text if error.is_data() => Err(Error::Invalid(vec![fault(pointer, &text)])),
        text if text.starts_with("expected value") => Err(Error::invalid(pointer, "is of the wrong type")),
        text => Err(Error::Malformed(format!("the body is not JSON: {text}"))),
    }
}

/// Whether arrays and objects are nested deeper than `most`.
fn nests_deeper_than(most: usize, text: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_string = false,
            (true, _) => {}
            (false, b'"') => in_string = true,
            (false, b'[' | b'{') => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (false, _) => {}
        }
    }
    false
}

fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => push_key(&mut pointer, key),
            Segment::Unknown => {}
        }
    }
    pointer
}

fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

/// The fault of a parser's message. Where it names a field, the pointer names it too.
pub(super) fn fault(mut pointer: String, message: &str) -> Fault {
    let message = message.split(" at line ").next().unwrap_or(message);
    for (start, detail) in [
        ("unknown field `", "is not a known field"),
        ("missing field `", "is missing"),
        ("duplicate field `", "is given more than once"),
    ] {
        let Some(field) = message.strip_prefix(start).and_then(|rest| rest.split('`').next()) else { continue };
        let mut key = String::new();
        push_key(&mut key, field);
        // An unknown field stands in the path already, a missing one does not.
        if pointer != field && !pointer.ends_with(&key) {
            pointer.push_str(&key);
        }
        let known = message.split_once(", expected ").map_or(String::new(), |(_, known)| format!(": expected {known}"));
        return Fault::new(pointer, format!("{detail}{known}"));
    }
    Fault::new(pointer, message)
}

/// The error of an item of a list, with pointers into the whole body.
pub fn in_list(item: &str, error: &Error) -> Error {
    match error {
        Error::Invalid(faults) => {
            let moved = |fault: &Fault| Fault::new(format!("{item}{}", fault.pointer), &fault.detail);
            Error::Invalid(faults.iter().map(moved).collect())
        }
        other => other.clone(),
    }
}

/// An answer with a JSON body.
pub fn json_response(status: actix_web::http::StatusCode, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status).json(body)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::types::Score;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Inner {
        score: Score,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Outer {
        list: Vec<Inner>,
        count: Option<u8>,
    }

    fn refused(body: &str) -> Error {
        parse::<Outer>(body.as_bytes(), MAX_DEPTH).expect_err(body)
    }

    #[test]
    fn a_fault_is_named_by_its_pointer() {
        for (body, pointer) in [
            (r#"{"list": [{"score": 1}, {"score": "x"}]}"#, "/list/1/score"),
            (r#"{"list": [{"score": 1e400}]}"#, "/list/0/score"),
            (r#"{"list": [{"score": 1, "extra": 2}]}"#, "/list/0/extra"),
            (r#"{"list": [{}]}"#, "/list/0/score"),
            (r#"{"list": [], "a/b": 1}"#, "/a~1b"),
            (r#"{"list": [], "list": []}"#, "/list"),
            (r#"{"list": {}}"#, "/list"),
            (r#"{"list": [], "count": 300}"#, "/count"),
            ("{}", "/list"),
            ("[]", ""),
            ("5", ""),
        ] {
            match refused(body) {
                Error::Invalid(faults) => assert_eq!(faults[0].pointer, pointer, "{body}: {faults:?}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for body in ["", "{", r#"{"list": []} x"#, r#"{"list": "x", "#, "{'list': []}", "nul", "\u{0}"] {
            assert!(matches!(refused(body), Error::Malformed(_)), "{body}");
        }
        assert!(matches!(parse::<Outer>(b"{\"list\": \"\xff\"}", MAX_DEPTH), Err(Error::Malformed(_))));
    }

    #[test]
    fn deep_nesting_is_refused_and_brackets_in_strings_do_not_nest() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(refused(&deep), Error::Invalid(_)));
        let text = serde_json::to_string(&"[\\\"{".repeat(100)).expect("JSON");
        assert!(parse::<String>(text.as_bytes(), MAX_DEPTH).is_ok());
    }
}
