//! What happens to every request: its id, its metrics, its log line, and problem details for every error.

use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error as ActixError, HttpMessage as _};
use tracing::{Instrument as _, debug, debug_span, error};

use super::bounds;
use super::connections::Connection;
use super::cors::Cors;
use super::headers::IDEMPOTENCY_KEY;
use super::limits::Meter;
use super::outside::Outside;
use super::peer::X_FORWARDED_FOR;
use super::problem::Problem;
use crate::error::Error;
use crate::metrics::Metrics;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const MAX_REQUEST_ID: usize = 128;
/// The end of the paths of requests that may wait.
const WAITING: &str = "/dequeue";
/// The headers that are read of those after this middleware.
const KEPT_WHILE_WAITING: [&str; 5] =
    ["authorization", "content-type", "content-length", IDEMPOTENCY_KEY, X_FORWARDED_FOR];
/// The route of a request that met none.
const NO_ROUTE: &str = "none";
/// The label of methods that are not known, or not to the path.
const OTHER_METHODS: &str = "other";

/// Marks a HEAD request, for whoever would answer it without end.
pub struct HeadOnly;

/// The id of a request, for those after this middleware.
pub struct RequestId(pub HeaderValue);

/// The middleware.
///
/// # Errors
///
/// What the inside could not answer itself.
pub async fn observe(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let started = Instant::now();
    let metrics = request.app_data::<Data<Metrics>>().cloned();
    let (id, id_header) = request_id(&request);
    request.extensions_mut().insert(RequestId(id_header.clone()));
    let trace = trace_id(&request).unwrap_or_default();
    if request.method() == Method::HEAD {
        // Answered as GET is (RFC 9110, section 9.3.2); the connection leaves the body out.
        request.head_mut().method = Method::GET;
        request.extensions_mut().insert(HeadOnly);
    }
    if request.path().ends_with(WAITING) {
        keep_few_headers(&mut request);
    }
    let outside = request.app_data::<Data<Outside>>().cloned();
    let allowed = outside.as_ref().and_then(|outside| outside.cors.allowed(request.head()));
    if let Some(connection) = request.conn_data::<Connection>() {
        connection.answer();
    }
    let span = debug_span!("request", request.id = %id, trace.id = %trace);
    let in_flight = metrics.as_ref().map(|metrics| metrics.in_flight());
    let outcome = match (Cors::preflight(request.head(), allowed.as_ref()), bounds::check(request.head())) {
        (Some(answer), _) => Ok(request.into_response(answer)),
        (None, Err(error)) => Ok(request.error_response(Problem::from(error))),
        (None, Ok(())) => next.call(request).instrument(span).await.map(ServiceResponse::map_into_boxed_body),
    };
    drop(in_flight);
    // Handlers and routing answer their errors themselves; what is left has no request to answer with an id.
    let (request, mut response) = with_problem(outcome?, &id).into_parts();
    response.headers_mut().insert(REQUEST_ID, id_header);
    if let Some(outside) = &outside {
        outside.guard(request.path(), response.headers_mut());
        outside.cors.tell(allowed, response.headers_mut());
    }
    if let Some(meter) = request.extensions().get::<Meter>() {
        meter.tell(response.headers_mut());
    }

    let route = request.match_pattern();
    let route = route.as_deref().unwrap_or(NO_ROUTE);
    let status = response.status().as_u16();
    let method = match response.status() {
        // Else whoever asks could make a series for each method of each path.
        StatusCode::METHOD_NOT_ALLOWED => OTHER_METHODS,
        _ => method_name(request.method()),
    };
    let took = started.elapsed();
    if let Some(metrics) = &metrics {
        metrics.request(method, route, status, took);
    }
    let took_ms = took.as_secs_f64() * 1000.0;
    debug!(request.id = %id, trace.id = %trace, http.method = method, http.route = route, http.status = status, took_ms,
        "{method} {route} {status} in {took_ms:.1} ms");
    if let Some(connection) = request.conn_data::<Connection>() {
        response = response.map_body(|_, body| connection.send(body));
    }
    Ok(ServiceResponse::new(request, response))
}

/// Leaves the headers that are read later, in a map of their number: what actix reads them into has room for 28, over 6 KB,
/// which would be kept while a worker waits.
fn keep_few_headers(request: &mut ServiceRequest) {
    let headers = &mut request.head_mut().headers;
    let mut few = HeaderMap::new();
    for (name, value) in std::mem::take(headers) {
        if KEPT_WHILE_WAITING.iter().any(|kept| name == *kept) {
            few.append(name, value);
        }
    }
    *headers = few;
}

/// The client's request id where it is a decent one, or a new one.
fn request_id(request: &ServiceRequest) -> (String, HeaderValue) {
    let given = request.headers().get(REQUEST_ID).filter(|value| {
        (1..=MAX_REQUEST_ID).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    if let Some(value) = given
        && let Ok(text) = value.to_str()
    {
        return (text.to_owned(), value.clone());
    }
    let id = format!("{:032x}", fastrand::u128(..));
    let header = HeaderValue::try_from(&id).unwrap_or(HeaderValue::from_static("none"));
    (id, header)
}

/// The trace id of a valid `traceparent` (W3C Trace Context, version 00).
fn trace_id(request: &ServiceRequest) -> Option<String> {
    let text = request.headers().get(TRACEPARENT)?.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace, parent, _flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let valid = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(parent, 16);
    (valid && trace.bytes().any(|byte| byte != b'0')).then(|| trace.to_owned())
}

/// Gives an error's answer the form of problem details with the request's id, whoever made it.
fn with_problem(response: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let cause = response.response().error();
    let answer = match cause.and_then(|cause| cause.as_error::<Problem>()) {
        Some(problem) => {
            log(problem.error(), id);
            problem.response(Some(id))
        }
        // Not ready is an answer with a body of its own.
        None if cause.is_none() && (status.is_success() || status.is_redirection() || is_json(&response)) => {
            return response;
        }
        None => {
            let text = cause.map_or(status.to_string(), ToString::to_string);
            let told = match status {
                StatusCode::NOT_FOUND => Error::NoRoute,
                status if status.is_client_error() => Error::Malformed(text),
                _ => Error::Internal(text),
            };
            log(&told, id);
            Problem::from(told).response(Some(id))
        }
    };
    response.into_response(answer)
}

fn is_json(response: &ServiceResponse<BoxBody>) -> bool {
    response.headers().get(CONTENT_TYPE).is_some_and(|value| value == "application/json")
}

fn log(cause: &Error, id: &str) {
    match cause.root() {
        Error::Internal(detail) => error!(request.id = %id, "an internal error: {detail}"),
        Error::OutcomeUnknown(source) => error!(request.id = %id, "an answer of Redis was lost: {source}"),
        Error::StoreUnavailable(detail) => error!(request.id = %id, "the store is unavailable: {detail}"),
        _ => {}
    }
}

/// The method as a label: of the known ones, so that clients cannot make new labels.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => OTHER_METHODS,
    }
}
