//! What admission asks the stores at one time.
//!
//! Invariants: all of it is in flight before any of it is waited for. What the first limit refuses,
//! or cannot tell, is answered at once, and the rest is dropped: nothing that it could say counts.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use goat_core::auth::Authentication;
use goat_core::limit::{Charge, Charging};
use goat_core::{Error, Principal};

use crate::response::denial::Denial;

/// One question, or two at a time.
#[derive(Debug)]
pub struct Pending {
    first: Option<Charging>,
    rest: Option<Operation>,
    outcomes: Outcomes,
}

/// What is asked besides the first limit.
#[derive(Debug)]
pub(super) enum Operation {
    /// Whose request it is.
    Identity(Authentication),
    /// The second limit.
    Charge(Charging),
}

/// What was answered.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// By the first limit, if it was asked.
    pub(super) first: Option<Result<Charge, Error>>,
    pub(super) rest: Outcome,
}

/// What was answered besides.
#[derive(Debug, Default)]
pub(super) enum Outcome {
    /// Nothing was asked, or it does not count any more.
    #[default]
    None,
    /// Authentication refused before any store was asked.
    Rejected(Denial),
    /// Whose request it is.
    Identity(Result<Principal, Error>),
    /// What the second limit says.
    Charge(Result<Charge, Error>),
}

impl Pending {
    /// Asks the first limit.
    pub(super) fn first(charging: Charging) -> Self {
        Self { first: Some(charging), rest: None, outcomes: Outcomes::default() }
    }

    /// Asks nothing of the first limit.
    pub(super) fn only(operation: Operation) -> Self {
        Self { first: None, rest: Some(operation), outcomes: Outcomes::default() }
    }

    /// Asks something else at the same time.
    pub(super) fn and(mut self, operation: Operation) -> Self {
        self.rest = Some(operation);
        self
    }

    /// Knows the rest already, for when the first limit has answered.
    pub(super) fn knowing(mut self, rest: Outcome) -> Self {
        self.outcomes.rest = rest;
        self
    }
}

impl Future for Pending {
    type Output = Outcomes;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcomes> {
        if let Some(charging) = &mut self.first
            && let Poll::Ready(charge) = Pin::new(charging).poll(context)
        {
            if !charge.as_ref().is_ok_and(|charge| !charge.refuses()) {
                return Poll::Ready(Outcomes { first: Some(charge), rest: Outcome::None });
            }
            self.first = None;
            self.outcomes.first = Some(charge);
        }
        if let Some(operation) = &mut self.rest
            && let Poll::Ready(answer) = operation.poll(context)
        {
            self.rest = None;
            self.outcomes.rest = answer;
        }
        if self.first.is_some() || self.rest.is_some() {
            return Poll::Pending;
        }
        Poll::Ready(mem::take(&mut self.outcomes))
    }
}

impl Operation {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        match self {
            Self::Identity(identity) => Pin::new(identity).poll(context).map(Outcome::Identity),
            Self::Charge(charging) => Pin::new(charging).poll(context).map(Outcome::Charge),
        }
    }
}
