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
pub struct Asking {
    first: Option<Charging>,
    rest: Option<Question>,
    answers: Answers,
}

/// What is asked besides the first limit.
#[derive(Debug)]
pub(super) enum Question {
    /// Whose request it is.
    Identity(Authentication),
    /// The second limit.
    Charge(Charging),
}

/// What was answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// By the first limit, if it was asked.
    pub(super) first: Option<Result<Charge, Error>>,
    pub(super) rest: Answer,
}

/// What was answered besides.
#[derive(Debug, Default)]
pub(super) enum Answer {
    /// Nothing was asked, or it does not count any more.
    #[default]
    Nothing,
    /// Authentication refused before any store was asked.
    Refused(Denial),
    /// Whose request it is.
    Identity(Result<Principal, Error>),
    /// What the second limit says.
    Charge(Result<Charge, Error>),
}

impl Asking {
    /// Asks the first limit.
    pub(super) fn first(charging: Charging) -> Self {
        Self { first: Some(charging), rest: None, answers: Answers::default() }
    }

    /// Asks nothing of the first limit.
    pub(super) fn only(question: Question) -> Self {
        Self { first: None, rest: Some(question), answers: Answers::default() }
    }

    /// Asks something else at the same time.
    pub(super) fn and(mut self, question: Question) -> Self {
        self.rest = Some(question);
        self
    }

    /// Knows the rest already, for when the first limit has answered.
    pub(super) fn knowing(mut self, rest: Answer) -> Self {
        self.answers.rest = rest;
        self
    }
}

impl Future for Asking {
    type Output = Answers;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answers> {
        if let Some(charging) = &mut self.first
            && let Poll::Ready(charge) = Pin::new(charging).poll(context)
        {
            if !charge.as_ref().is_ok_and(|charge| !charge.refuses()) {
                return Poll::Ready(Answers { first: Some(charge), rest: Answer::Nothing });
            }
            self.first = None;
            self.answers.first = Some(charge);
        }
        if let Some(question) = &mut self.rest
            && let Poll::Ready(answer) = question.poll(context)
        {
            self.rest = None;
            self.answers.rest = answer;
        }
        if self.first.is_some() || self.rest.is_some() {
            return Poll::Pending;
        }
        Poll::Ready(mem::take(&mut self.answers))
    }
}

impl Question {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        match self {
            Self::Identity(identity) => Pin::new(identity).poll(context).map(Answer::Identity),
            Self::Charge(charging) => Pin::new(charging).poll(context).map(Answer::Charge),
        }
    }
}
