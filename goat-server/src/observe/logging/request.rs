//! One line a request, and its count: from the call to the last byte of the answer.
//!
//! - The line names the method, the route's template, the status, the time and the client. It never
//!   has the path itself, the query, a header or a body (L1, L2).
//! - A request ends when all of its answer has been handed over, or when it is dropped before: then
//!   the line says `outcome="aborted"`, and where no status was sent it names none.
//! - 500 is an error, since it is a defect; other answers of 5xx are warnings; all else is
//!   information.

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
use crate::observe::metrics::{InFlight, Metrics, UNMATCHED, method_name};

/// The span of a request, which the filter always lets through.
pub(super) const SPAN: &str = "request";
pub(super) const TARGET: &str = "goat_server::request";

/// Logs and counts every request.
///
/// It stands outside of everything but what finds the [`RequestId`] and the client's address, and
/// learns the route and the user from [`RecordContextLayer`](super::RecordContextLayer)s further in.
#[derive(Clone, Debug)]
pub struct RequestLogLayer {
    metrics: Arc<Metrics>,
}

impl RequestLogLayer {
    /// Counts in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for RequestLogLayer {
    type Service = RequestLog<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestLog { inner, metrics: Arc::clone(&self.metrics) }
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

/// What [`RequestLogLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct RequestLog<S> {
    inner: S,
    metrics: Arc<Metrics>,
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
        let exchange = Exchange::begin(&self.metrics, &request);
        request.extensions_mut().insert(exchange.context.clone());
        let inner = exchange.span.in_scope(|| self.inner.call(request));
        RequestLogFuture { inner, exchange: Some(exchange) }
    }
}

pin_project! {
    /// The answer of [`RequestLog`].
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
        let answer = {
            let _entered = this.exchange.as_ref().map(|exchange| exchange.span.enter());
            ready!(this.inner.poll(context))
        };
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
    /// An answer's body; the request ends with it.
    #[derive(Debug)]
    pub struct LoggedBody<B> {
        #[pin]
        body: B,
        // None: it has ended.
        exchange: Option<Exchange>,
    }
}

impl<B: Body> LoggedBody<B> {
    fn new(body: B, mut exchange: Option<Exchange>) -> Self {
        if let Some(exchange) = &mut exchange {
            exchange.expected = body.size_hint().exact();
        }
        let mut this = Self { body, exchange };
        // Whatever sends the answer may never ask for a body that has nothing in it, or must not be
        // sent.
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
        let frame = {
            let _entered = this.exchange.as_ref().map(|exchange| exchange.span.enter());
            ready!(this.body.as_mut().poll_frame(context))
        };
        match &frame {
            Some(Ok(frame)) => {
                let sent = frame.data_ref().map_or(0, Buf::remaining);
                let complete =
                    this.exchange.as_mut().is_some_and(|exchange| exchange.sent(sent as u64));
                // Nobody asks again after the last frame, where that is known.
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
    /// All of its answer was handed over.
    Complete,
    /// The client left, or its connection ended.
    Aborted,
    /// The service, or the answer's body, failed on the way.
    Failed,
}

/// A request that has not ended. Dropped, it has, and the line is written.
#[derive(Debug)]
struct Exchange {
    span: Span,
    context: RequestContext,
    in_flight: Option<InFlight>,
    started: Instant,
    method: &'static str,
    status: Option<StatusCode>,
    code: Option<&'static str>,
    cause: Option<String>,
    /// Bytes of the answer's body that were handed over, and that there are, if that is known.
    bytes: u64,
    expected: Option<u64>,
    outcome: Outcome,
}

impl Exchange {
    fn begin<A>(metrics: &Arc<Metrics>, request: &Request<A>) -> Self {
        let id = request.extensions().get::<RequestId>().map(RequestId::as_str);
        let span =
            tracing::error_span!(target: TARGET, parent: None, SPAN, request_id = id, user = Empty);
        let context = RequestContext::new(span.clone());
        context.record(request.extensions());
        Self {
            span,
            context,
            in_flight: Some(metrics.request_started(request.method())),
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

    /// The head of the answer is there. Its extensions tell the reason, where it is a refusal.
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
            for charge in error.charges().iter().filter(|charge| charge.refuses()) {
                in_flight.metrics().denied(&charge.limit);
            }
        }
    }

    /// Whether the answer's body is not sent, whatever it holds (RFC 9110, section 6.4.1).
    fn has_no_body(&self) -> bool {
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
        self.method == Method::HEAD.as_str()
            || self.status.is_some_and(|status| bodiless.contains(&status))
    }

    /// So many bytes more were handed over; answers whether that is all.
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
        let known = self.context.known().clone();
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.finish(known.route.as_deref(), self.status, took);
        }
        let method = self.method;
        let route = known.route.as_deref().unwrap_or(UNMATCHED);
        let status = self.status.map(|status| status.as_u16());
        let code = self.code;
        let (outcome, message) = match self.outcome {
            Outcome::Complete => (None, "request completed"),
            Outcome::Aborted if std::thread::panicking() => (Some("panicked"), "request panicked"),
            Outcome::Aborted => (Some("aborted"), "request aborted"),
            Outcome::Failed => (Some("failed"), "request failed"),
        };
        // To the microsecond.
        let duration_ms = took.as_micros() as f64 / 1000.0;
        let bytes = self.bytes;
        let client_address = known.address.map(display);
        let cause = self.cause.as_deref();
        macro_rules! write_at {
            ($level:expr) => {
                tracing::event!(
                    target: TARGET,
                    parent: &self.span,
                    $level,
                    method,
                    route,
                    status,
                    code,
                    outcome,
                    duration_ms,
                    bytes,
                    client_address,
                    cause,
                    "{message}"
                )
            };
        }
        match status {
            Some(500) => write_at!(Level::ERROR),
            Some(501..) => write_at!(Level::WARN),
            _ => write_at!(Level::INFO),
        }
    }
}
