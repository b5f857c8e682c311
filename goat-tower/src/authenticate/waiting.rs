//! The store operation of an authentication: the validation of a session, or its renewal.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use goat_core::Error;
use goat_core::auth::TokenPair;

use super::Source;

/// An authentication that waits for a store.
pub enum Waiting<S: Source> {
    Validate(S::Pending),
    Renew(S::Renewal),
}

/// The outcome of an authentication.
pub enum Authenticated<S: Source> {
    Validated(Result<S::Principal, Error>),
    Renewed(Result<(S::Principal, TokenPair), Error>),
}

impl<S: Source> Future for Waiting<S> {
    type Output = Authenticated<S>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Authenticated<S>> {
        match &mut *self {
            Self::Validate(pending) => {
                Pin::new(pending).poll(context).map(Authenticated::Validated)
            }
            Self::Renew(renewal) => Pin::new(renewal).poll(context).map(Authenticated::Renewed),
        }
    }
}
