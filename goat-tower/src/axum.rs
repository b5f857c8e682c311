//! Extractors and responses for axum (feature `axum`).
//!
//! Invariant: if the layer that an extractor requires is missing, the request is neither authenticated nor
//! anonymous: that is a 500, and the log says which layer to add.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use goat_core::{Error, ErrorKind};
use http::request::Parts;

use crate::address::ClientAddress;
use crate::request::origin::Origin;
use crate::request::principal::{Anonymous, FreshPrincipal, FreshSlot, Principal, RecentPrincipal};
use crate::request::token_principal::{OfflineIdentity, TokenPrincipal};
use crate::response::decisions::LimitDecisions;
use crate::response::denial::Denial;
use crate::response::layer_order::{layer_order_error, log_layer_order};
use crate::response::problem::Problem;

/// Adds the decisions of a handler's limits to the response, for the layer that writes the headers.
impl IntoResponseParts for LimitDecisions {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        Self::into_response(self).map(Body::from)
    }
}

/// The problem document, with the denial in the response's extensions, as in a rejection of a layer.
impl IntoResponse for Denial {
    fn into_response(self) -> Response {
        let mut response = IntoResponse::into_response(self.problem().clone());
        response.extensions_mut().insert(self);
        response
    }
}

/// Returns the rejection of an extractor, and logs it if it is a configuration error.
fn rejection(error: Error, request: &Parts) -> Denial {
    log_layer_order(&error, request);
    Denial::new(error).for_request(request)
}

/// Returns the principal; `None` if the request is anonymous, an error if no layer has authenticated it.
fn find(request: &Parts, advice: &'static str) -> Result<Option<Principal>, Denial> {
    match Principal::of(&request.extensions) {
        None if request.extensions.get::<Anonymous>().is_none() => {
            Err(rejection(layer_order_error(advice), request))
        }
        found => Ok(found),
    }
}

/// 401 for an anonymous request, 500 if no layer has authenticated it.
impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Denial;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Self, Denial> {
        let advice = "a handler takes a Principal, but no layer has authenticated the request: add \
                      .layer(goat.authenticate()) to the router, after its routes; behind a verifier, \
                      take a TokenPrincipal";
        let found = find(request, advice)?;
        found.ok_or_else(|| rejection(ErrorKind::Unauthenticated.into(), request))
    }
}

/// `None` for an anonymous request, 500 if no layer has authenticated it.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Principal {
    type Rejection = Denial;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Option<Self>, Denial> {
        let advice = "a handler takes an Option<Principal>, but no layer has authenticated the request: add \
                      .layer(goat.authenticate().optional()) to the router, after its routes; \
                      behind a verifier, take an Option<TokenPrincipal>";
        find(request, advice)
    }
}

/// Returns the principal of the token; `None` if the request is anonymous, an error if no layer has
/// authenticated it.
fn find_token(request: &Parts, advice: &'static str) -> Result<Option<TokenPrincipal>, Denial> {
    match request.extensions.get::<OfflineIdentity>() {
        None => Err(rejection(layer_order_error(advice), request)),
        Some(_) => Ok(TokenPrincipal::of(&request.extensions)),
    }
}

/// 401 for an anonymous request, 500 if no layer of a verifier has authenticated it.
impl<S: Send + Sync> FromRequestParts<S> for TokenPrincipal {
    type Rejection = Denial;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Self, Denial> {
        let advice = "a handler takes a TokenPrincipal, but no verifier has authenticated the request: \
                      add .layer(verifier.authenticate()) to the router, after its routes; behind a \
                      goat, take a Principal";
        let found = find_token(request, advice)?;
        found.ok_or_else(|| rejection(ErrorKind::Unauthenticated.into(), request))
    }
}

/// `None` for an anonymous request, 500 if no layer of a verifier has authenticated it.
impl<S: Send + Sync> OptionalFromRequestParts<S> for TokenPrincipal {
    type Rejection = Denial;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Option<Self>, Denial> {
        let advice = "a handler takes an Option<TokenPrincipal>, but no verifier has authenticated the \
                      request: add .layer(verifier.authenticate().optional()) to the router, after its \
                      routes; behind a goat, take an Option<Principal>";
        find_token(request, advice)
    }
}

/// 500 if the route does not require a fresh principal, or if it was taken before.
impl<S: Send + Sync> FromRequestParts<S> for FreshPrincipal {
    type Rejection = Denial;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Self, Denial> {
        Self::take(&request.extensions).ok_or_else(|| {
            let error = layer_order_error(match request.extensions.get::<FreshSlot>() {
                Some(_) => {
                    "a FreshPrincipal was taken twice in one request, and it authorizes one \
                     operation: let only the handler take it, and no middleware before it"
                }
                None => {
                    "a handler takes a FreshPrincipal, but no layer made one: add \
                     .route_layer(goat.require(..).fresh()) to the route"
                }
            });
            rejection(error, request)
        })
    }
}

/// 500 if the route does not require a recent proof, or if the principal was taken before.
impl<S: Send + Sync> FromRequestParts<S> for RecentPrincipal {
    type Rejection = Denial;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Self, Denial> {
        Self::take(&request.extensions).ok_or_else(|| {
            let slot = request.extensions.get::<FreshSlot>();
            let error = layer_order_error(match slot.is_some_and(|slot| !slot.is_full()) {
                true => {
                    "a RecentPrincipal was taken twice in one request, and it authorizes one \
                     operation: let only the handler take it, and no middleware before it"
                }
                false => {
                    "a handler takes a RecentPrincipal, but no layer made one: add \
                     .route_layer(goat.require(..).recent()) to the route"
                }
            });
            rejection(error, request)
        })
    }
}

/// 500 if neither a layer nor the server has set the address.
impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Denial;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Self, Denial> {
        Self::of(&request.extensions).ok_or_else(|| {
            let error = layer_order_error(
                "a handler takes a ClientAddress, but the peer is unknown: serve the router with \
                 .into_make_service_with_connect_info::<SocketAddr>(), or put a PeerAddress into \
                 the extensions of each request",
            );
            rejection(error, request)
        })
    }
}

/// `None` if neither a layer nor the server has set the address.
impl<S: Send + Sync> OptionalFromRequestParts<S> for ClientAddress {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        Ok(Self::of(&request.extensions))
    }
}

/// Never fails: unknown parts are left out.
impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(request))
    }
}
