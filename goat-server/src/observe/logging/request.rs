//! Request log: one line and one count per request, from the call to the last byte of the response.
//!
//! - The line has the method, the route's path template, the status, the duration and the client
//!   address; never the path itself, the query, a header or a body (L1, L2).
//! - A request ends when its response has been handed over in full, or when it is dropped before
//!   that: then the line has `outcome="aborted"`, and no status if none was sent.
//! - 500 is logged as an error, since it is a defect; other 5xx responses as warnings; all others
//!   as information. Requests to the probes are logged at debug, unless they are a 500.
//! - Of the requests that a limit rejects, and of those that end before their response, at most a
//!   hundred at once and ten a second are logged at information, with `omitted`, the number of those
//!   since the last one that are logged at debug: no limit bounds their number.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Buf;
use goat_core::ErrorKind;
use goat_tower::{Denial, Problem, RequestId};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tracing::field::{Empty, display};
use tracing::{Level, Span};

use super::context::RequestContext;
use super::sampler::Sampler;
use crate::observe::metrics::{InFlight, Metrics, UNMATCHED, method_name};

/// The span of a request that may start tasks, which the filter never disables.
pub(super) const SPAN: &str = "request";
/// The span of a request that only reads, which goat's own log never enables. It is for the
/// subscribers of other programs.
pub(super) const READ_SPAN: &str = "read_request";
pub(super) const TARGET: &str = "goat_server::request";

/// The routes of the probes, which no limit bounds.
const PROBES: [&str; 2] = ["/api/health", "/api/ready"];

/// Logs and counts every request.
///
/// Only the layers that find the [`RequestId`] and the client's address are further out.
/// [`RecordContextLayer`](super::RecordContextLayer)s further in record the route and the user.
#[derive(Clone, Debug)]
pub struct RequestLogLayer {
    metrics: Arc<Metrics>,
    sampler: Arc<Sampler>,
}

impl RequestLogLayer {
    /// Counts in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, sampler: Arc::new(Sampler::new()) }
    }
}

impl<S> Layer<S> for RequestLogLayer {
    type Service = RequestLog<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let (metrics, sampler) = (Arc::clone(&self.metrics), Arc::clone(&self.sampler));
        RequestLog { inner, metrics, sampler }
    }
}

/// An error and its sources, as their `Display` writes them.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing to a `String` does not fail.
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

/// Service of [`RequestLogLayer`].
#[derive(Clone, Debug)]
pub struct RequestLog<S> {
    inner: S,
    metrics: Arc<Metrics>,
    sampler: Arc<Sampler>,
}

impl<S, A, B> Service<Request<A>> for RequestLog<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: Body,
{
    type Response = Response<LoggedBody<B>>;
    type Error = S::Error;
    type Future = RequestLogFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let exchange = Exchange::begin(&self.metrics, &self.sampler, &request);
        request.extensions_mut().insert(exchange.context.clone());
        let inner = exchange.context.scope(|| self.inner.call(request));
        RequestLogFuture { inner, exchange: Some(exchange) }
    }
}

pin_project! {
    /// Response future of [`RequestLog`].
    #[derive(Debug)]
    pub struct RequestLogFuture<T> {
        #[pin]
        inner: T,
        exchange: Option<Exchange>,
    }
}

impl<T, B, E> Future for RequestLogFuture<T>
where
    T: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<LoggedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(match this.exchange {
            Some(exchange) => exchange.context.scope(|| this.inner.poll(context)),
            None => this.inner.poll(context),
        });
        let mut exchange = this.exchange.take();
        match answer {
            Ok(response) => {
                if let Some(exchange) = &mut exchange {
                    exchange.answered(&response);
                }
                Poll::Ready(Ok(response.map(|body| LoggedBody::new(body, exchange))))
            }
            Err(error) => {
                if let Some(exchange) = exchange {
                    exchange.end(Outcome::Failed);
                }
                Poll::Ready(Err(error))
            }
        }
    }
}

pin_project! {
    /// Response body of [`RequestLog`]; the request ends with it.
    #[derive(Debug)]
    pub struct LoggedBody<B> {
        #[pin]
        body: B,
        // None: the request has ended.
        exchange: Option<Exchange>,
    }
}

impl<B: Body> LoggedBody<B> {
    fn new(body: B, mut exchange: Option<Exchange>) -> Self {
        if let Some(exchange) = &mut exchange {
            exchange.expected = body.size_hint().exact();
        }
        let mut this = Self { body, exchange };
        // The server may never poll a body that is empty or must not be sent.
        let ended = this.exchange.as_ref().is_some_and(Exchange::has_no_body);
        if ended || this.body.is_end_stream() {
            end(&mut this.exchange, Outcome::Complete);
        }
        this
    }
}

fn end(exchange: &mut Option<Exchange>, outcome: Outcome) {
    if let Some(exchange) = exchange.take() {
        exchange.end(outcome);
    }
}

impl<B: Body> Body for LoggedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(match this.exchange {
            Some(exchange) => exchange.context.scope(|| this.body.as_mut().poll_frame(context)),
            None => this.body.as_mut().poll_frame(context),
        });
        match &frame {
            Some(Ok(frame)) => {
                let sent = frame.data_ref().map_or(0, Buf::remaining);
                let complete =
                    this.exchange.as_mut().is_some_and(|exchange| exchange.sent(sent as u64));
                // The server does not poll again after the last frame, if it knows that it is the
                // last.
                if complete || this.body.is_end_stream() {
                    end(this.exchange, Outcome::Complete);
                }
            }
            Some(Err(_)) => end(this.exchange, Outcome::Failed),
            None => end(this.exchange, Outcome::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The response was handed over in full.
    Complete,
    /// The client disconnected.
    Aborted,
    /// The service or the response body failed.
    Failed,
}

/// A request that has not ended. Dropping it ends the request and writes the line.
#[derive(Debug)]
struct Exchange {
    context: RequestContext,
    in_flight: Option<InFlight>,
    sampler: Arc<Sampler>,
    started: Instant,
    method: &'static str,
    status: Option<StatusCode>,
    code: Option<&'static str>,
    cause: Option<String>,
    /// Bytes of the response body that were handed over, and its total size if known.
    bytes: u64,
    expected: Option<u64>,
    outcome: Outcome,
}

/// Returns the span of a request.
fn span(method: &Method, id: Option<&str>) -> Span {
    macro_rules! span {
        ($name:ident) => {
            tracing::error_span!(target: TARGET, parent: None, $name, request_id = id, user = Empty)
        };
    }
    if method.is_safe() { span!(READ_SPAN) } else { span!(SPAN) }
}

impl Exchange {
    fn begin<A>(metrics: &Arc<Metrics>, sampler: &Arc<Sampler>, request: &Request<A>) -> Self {
        let id = request.extensions().get::<RequestId>().cloned();
        let span = span(request.method(), id.as_ref().map(RequestId::as_str));
        let context = RequestContext::new(id, span);
        context.record(request.extensions());
        Self {
            context,
            in_flight: Some(metrics.request_started(request.method())),
            sampler: Arc::clone(sampler),
            started: Instant::now(),
            method: method_name(request.method()),
            status: None,
            code: None,
            cause: None,
            bytes: 0,
            expected: None,
            outcome: Outcome::Aborted,
        }
    }

    /// Records the head of the response; its extensions hold the reason of a rejection.
    fn answered<B>(&mut self, response: &Response<B>) {
        let extensions = response.extensions();
        self.context.record(extensions);
        self.status = Some(response.status());
        let denial = extensions.get::<Denial>().map(Denial::problem);
        let problem = denial.or_else(|| extensions.get::<Problem>());
        self.code = problem.map(Problem::code);
        let error = problem.and_then(Problem::error);
        if response.status().is_server_error() {
            self.cause = error.map(|error| cause(error));
        }
        if let Some(error) = error.filter(|error| error.kind() == ErrorKind::RateLimited)
            && let Some(in_flight) = &self.in_flight
        {
            for decision in error.decisions().iter().filter(|decision| decision.is_limited()) {
                in_flight.metrics().denied(&decision.limit);
            }
        }
    }

    /// Whether the response has no body by definition (RFC 9110, section 6.4.1).
    fn has_no_body(&self) -> bool {
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
        self.method == Method::HEAD.as_str()
            || self.status.is_some_and(|status| bodiless.contains(&status))
    }

    /// Adds the bytes that were handed over, and returns whether the body is complete.
    fn sent(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        self.expected.is_some_and(|expected| self.bytes >= expected)
    }

    fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        let known = std::mem::take(&mut *self.context.known());
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.finish(known.route.clone(), self.status, took);
        }
        let method = self.method;
        let route = known.route.as_deref().unwrap_or(UNMATCHED);
        let request_id = self.context.id().map(RequestId::as_str);
        let user = known.user.map(display);
        let status = self.status.map(|status| status.as_u16());
        let code = self.code;
        let (outcome, message) = match self.outcome {
            Outcome::Complete => (None, "request completed"),
            Outcome::Aborted if std::thread::panicking() => (Some("panicked"), "request panicked"),
            Outcome::Aborted => (Some("aborted"), "request aborted"),
            Outcome::Failed => (Some("failed"), "request failed"),
        };
        // In milliseconds, with microsecond resolution.
        let duration_ms = took.as_micros() as f64 / 1000.0;
        let bytes = self.bytes;
        let client_address = known.address.map(display);
        let cause = self.cause.as_deref();
        let mut omitted = None;
        macro_rules! write_at {
            ($level:expr) => {
                tracing::event!(
                    target: TARGET,
                    parent: self.context.span(),
                    $level,
                    request_id,
                    user,
                    method,
                    route,
                    status,
                    code,
                    outcome,
                    duration_ms,
                    bytes,
                    client_address,
                    cause,
                    omitted,
                    "{message}"
                )
            };
        }
        match status {
            Some(500) => write_at!(Level::ERROR),
            _ if PROBES.contains(&route) => write_at!(Level::DEBUG),
            Some(501..) => write_at!(Level::WARN),
            None | Some(429) => match self.sampler.admit(Instant::now()) {
                Some(count) => {
                    omitted = (count > 0).then_some(count);
                    write_at!(Level::INFO);
                }
                None => write_at!(Level::DEBUG),
            },
            _ => write_at!(Level::INFO),
        }
    }
}
