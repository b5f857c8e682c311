//! Who asks, and from where: what the layers in front of a handler have found out.

use axum::extract::FromRequestParts;
use goat_core::Principal;
use goat_core::session::Origin;
use http::request::Parts;

use super::rejection::Rejection;

/// Takes the principal that was authenticated in front of the handler.
///
/// A route that is not behind authentication has none: a defect of ours, and a 500.
#[derive(Clone, Debug)]
pub struct Caller(pub Principal);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        parts.extensions.get().cloned().map(Self).ok_or(Rejection::Misrouted)
    }
}

/// Takes the client's address, as far as it is known, and its `User-Agent`.
#[derive(Clone, Debug)]
pub struct Sender(pub Origin);

impl<S: Send + Sync> FromRequestParts<S> for Sender {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(goat_tower::Origin::of(parts).into()))
    }
}
