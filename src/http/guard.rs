//! Who comes in: what stands between every request under `/v1` and its operation.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error as ActixError, HttpMessage as _};
use futures_util::future::join;
use tokio::time::{Instant, sleep_until};

use super::limits::Meter;
use super::outside::Outside;
use super::problem::Problem;
use crate::auth::{Caller, Gate};
use crate::config::MetricsAccess;
use crate::error::{Error, Result};

/// How long a caller who is not known waits for the answer, from the moment of the request: longer than a look at Redis takes
/// as a rule, so that the time does not tell what was wrong with the token.
const REFUSED_AFTER: Duration = Duration::from_millis(5);
/// The paths that need a caller begin with this.
const GUARDED: &str = "/v1";
const METRICS: &str = "/metrics";

/// The middleware. What an operation needs of its caller is looked at later, by [`super::access::Allowed`].
///
/// # Errors
///
/// What the inside could not answer itself.
pub async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> std::result::Result<ServiceResponse<BoxBody>, ActixError> {
    if !is_guarded(&request) {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    }
    let started = Instant::now();
    let caller = match caller(&request).await {
        Ok(caller) => caller,
        Err(error) => {
            let error = refusal(&request, error, started).await;
            return Ok(request.error_response(Problem::from(error)));
        }
    };
    let meter = Meter::of(&request, &caller);
    request.extensions_mut().insert(caller);
    match meter {
        Some(meter) => counted(request, next, meter).await,
        None => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
    }
}

/// What a request is answered whose caller is not known: it counts for its address.
async fn refusal(request: &ServiceRequest, error: Error, started: Instant) -> Error {
    if !matches!(error, Error::Unauthenticated) {
        return error;
    }
    if let Some(meter) = Meter::of_peer(request) {
        request.extensions_mut().insert(meter.clone());
        if let Err(limited) = meter.charge(1).await {
            return limited;
        }
    }
    sleep_until(started + REFUSED_AFTER).await;
    error
}

/// Serves a request that fits into its limits. What only reads is served while it is counted, in the same pipeline: where it
/// does not fit, nothing has happened.
async fn counted(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    meter: Meter,
) -> std::result::Result<ServiceResponse<BoxBody>, ActixError> {
    request.extensions_mut().insert(meter.clone());
    let mut charge = pin!(meter.charge(1));
    let known = std::future::poll_fn(|context| Poll::Ready(charge.as_mut().poll(context))).await;
    let counted = match known {
        Poll::Ready(counted) => counted,
        Poll::Pending if only_reads(&request) => {
            let (counted, response) = join(charge, next.call(request)).await;
            let response = response?.map_into_boxed_body();
            return Ok(match counted {
                Ok(()) => response,
                Err(error) => ServiceResponse::from_err(Problem::from(error), response.into_parts().0),
            });
        }
        Poll::Pending => charge.await,
    };
    match counted {
        Ok(()) => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
        Err(error) => Ok(request.error_response(Problem::from(error))),
    }
}

/// Whether a request changes nothing, is answered at once, and costs no more than one.
fn only_reads(request: &ServiceRequest) -> bool {
    let says = |parameter| request.query_string().contains(parameter);
    *request.method() == Method::GET && !says("wait_ms") && !says("leaderboards")
}

/// Whether the path, as it is routed, lies under `/v1`, or is that of the metrics where they are not for all.
fn is_guarded(request: &ServiceRequest) -> bool {
    let path = request.match_info().as_str();
    let rest = path.strip_prefix(GUARDED);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        || path == METRICS
            && Outside::of(request.request()).is_some_and(|outside| outside.metrics == MetricsAccess::Admin)
}

async fn caller(request: &ServiceRequest) -> Result<Caller> {
    let gate = request.app_data::<Data<Gate>>().ok_or_else(|| Error::Internal("no gate".to_owned()))?;
    let mut presented = request.headers().get_all(AUTHORIZATION);
    // Of several none counts: those in between may take another one than this.
    let only = presented.next().filter(|_| presented.next().is_none());
    gate.caller(only.map(HeaderValue::as_bytes)).await
}
