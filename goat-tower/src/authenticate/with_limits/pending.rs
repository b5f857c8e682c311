//! Concurrent store operations of [`AuthenticateWithLimitsLayer`](super::AuthenticateWithLimitsLayer).
//!
//! Invariants: all operations are in flight before any is awaited. If the first limit rejects or
//! fails, its outcome is returned at once and the other operation is dropped.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use goat_core::Error;
use goat_core::limit::{Decision, PendingDecision};

use crate::authenticate::{Authenticated, Source, Waiting};
use crate::response::denial::Denial;

/// One operation, or two at a time.
pub struct Pending<S: Source> {
    first: Option<PendingDecision>,
    rest: Option<Operation<S>>,
    outcomes: Outcomes<S>,
}

/// The operation beside the first limit.
pub(super) enum Operation<S: Source> {
    Authenticate(Waiting<S>),
    SecondLimit(PendingDecision),
}

/// The outcomes of the operations.
pub struct Outcomes<S: Source> {
    /// Of the first limit, if it was acquired here.
    pub(super) first: Option<Result<Decision, Error>>,
    pub(super) rest: Outcome<S>,
}

/// The outcome of the operation beside the first limit.
pub(super) enum Outcome<S: Source> {
    /// There was no operation, or its outcome no longer matters.
    None,
    /// Authentication rejected the request without reading a store.
    Rejected(Denial),
    /// A renewal that has not begun.
    Renewable(Waiting<S>),
    Authenticated(Authenticated<S>),
    SecondLimit(Result<Decision, Error>),
}

impl<S: Source> Pending<S> {
    /// Waits for the first limit.
    pub(super) fn first(pending_decision: PendingDecision) -> Self {
        Self { first: Some(pending_decision), rest: None, outcomes: Outcomes::default() }
    }

    /// Waits for an operation without the first limit.
    pub(super) fn only(operation: Operation<S>) -> Self {
        Self { first: None, rest: Some(operation), outcomes: Outcomes::default() }
    }

    /// Runs another operation at the same time.
    pub(super) fn and(mut self, operation: Operation<S>) -> Self {
        self.rest = Some(operation);
        self
    }

    /// Sets an outcome that is known already, to be applied after the first limit.
    pub(super) fn and_then(mut self, rest: Outcome<S>) -> Self {
        self.outcomes.rest = rest;
        self
    }
}

impl<S: Source> Default for Outcomes<S> {
    fn default() -> Self {
        Self { first: None, rest: Outcome::None }
    }
}

impl<S: Source> Future for Pending<S> {
    type Output = Outcomes<S>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcomes<S>> {
        if let Some(pending_decision) = &mut self.first
            && let Poll::Ready(decision) = Pin::new(pending_decision).poll(context)
        {
            if !decision.as_ref().is_ok_and(|decision| !decision.is_limited()) {
                return Poll::Ready(Outcomes { first: Some(decision), rest: Outcome::None });
            }
            self.first = None;
            self.outcomes.first = Some(decision);
        }
        if let Some(operation) = &mut self.rest
            && let Poll::Ready(outcome) = operation.poll(context)
        {
            self.rest = None;
            self.outcomes.rest = outcome;
        }
        if self.first.is_some() || self.rest.is_some() {
            return Poll::Pending;
        }
        Poll::Ready(mem::take(&mut self.outcomes))
    }
}

impl<S: Source> Operation<S> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Outcome<S>> {
        match self {
            Self::Authenticate(pending) => {
                Pin::new(pending).poll(context).map(Outcome::Authenticated)
            }
            Self::SecondLimit(pending_decision) => {
                Pin::new(pending_decision).poll(context).map(Outcome::SecondLimit)
            }
        }
    }
}
