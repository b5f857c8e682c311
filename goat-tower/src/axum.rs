//! Feature `axum`: goat's types where axum's handlers take and give them.
//!
//! Invariant: where the layer that an extractor stands on is missing, nobody is taken for a
//! stranger, nor the other way round: that is a 500, and the log says which layer to add.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use goat_core::{Error, ErrorKind};
use http::request::Parts;

use crate::address::ClientAddress;
use crate::request::origin::Origin;
use crate::request::principal::{Anonymous, FreshPrincipal, FreshSlot, Principal};
use crate::request::token_principal::{OfflineIdentity, TokenPrincipal};
use crate::response::decisions::LimitDecisions;
use crate::response::denial::Denial;
use crate::response::layer_order::{layer_order_error, log_layer_order};
use crate::response::problem::Problem;

/// Adds decisions of a handler's own limits to the response, for the layer that writes the headers.
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

/// What an extractor answers: the problem document, and why in the response's extensions, as a layer
/// leaves it there.
impl IntoResponse for Denial {
    fn into_response(self) -> Response {
        let mut response = IntoResponse::into_response(self.problem().clone());
        response.extensions_mut().insert(self);
        response
    }
}

/// What a handler's argument comes to where it cannot be had.
fn rejection(error: Error, request: &Parts) -> Denial {
    log_layer_order(&error, request);
    Denial::new(error).for_request(request)
}

/// Who makes the request; `None` where that is nobody and may be. An error if no layer has looked.
fn find(request: &Parts, advice: &'static str) -> Result<Option<Principal>, Denial> {
    match Principal::of(&request.extensions) {
        None if request.extensions.get::<Anonymous>().is_none() => {
            Err(rejection(layer_order_error(advice), request))
        }
        found => Ok(found),
    }
}

/// 401 where signing in is optional and nobody is signed in; 500 where no layer has looked.
impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Denial;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Self, Denial> {
        let advice = "a handler takes a Principal and nobody has looked for one: add \
                      .layer(goat.authenticate()) to the router, after its routes; where a verifier \
                      looks, take a TokenPrincipal";
        let found = find(request, advice)?;
        found.ok_or_else(|| rejection(ErrorKind::Unauthenticated.into(), request))
    }
}

/// `None` where signing in is optional and nobody is signed in; 500 where no layer has looked.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Principal {
    type Rejection = Denial;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Option<Self>, Denial> {
        let advice = "a handler takes an Option<Principal> and nobody has looked for one: add \
                      .layer(goat.authenticate().optional()) to the router, after its routes; \
                      where a verifier looks, take an Option<TokenPrincipal>";
        find(request, advice)
    }
}

/// Whose token came with the request; `None` where that is nobody's and may be. An error if no layer has
/// looked.
fn find_token(request: &Parts, advice: &'static str) -> Result<Option<TokenPrincipal>, Denial> {
    match request.extensions.get::<OfflineIdentity>() {
        None => Err(rejection(layer_order_error(advice), request)),
        Some(_) => Ok(TokenPrincipal::of(&request.extensions)),
    }
}

/// 401 where a token is optional and none was shown; 500 where no verifier's layer has looked.
impl<S: Send + Sync> FromRequestParts<S> for TokenPrincipal {
    type Rejection = Denial;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Self, Denial> {
        let advice = "a handler takes a TokenPrincipal and no verifier has looked for one: add \
                      .layer(verifier.authenticate()) to the router, after its routes; where a goat \
                      looks, take a Principal";
        let found = find_token(request, advice)?;
        found.ok_or_else(|| rejection(ErrorKind::Unauthenticated.into(), request))
    }
}

/// `None` where a token is optional and none was shown; 500 where no verifier's layer has looked.
impl<S: Send + Sync> OptionalFromRequestParts<S> for TokenPrincipal {
    type Rejection = Denial;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Option<Self>, Denial> {
        let advice = "a handler takes an Option<TokenPrincipal> and no verifier has looked for one: add \
                      .layer(verifier.authenticate().optional()) to the router, after its routes; \
                      where a goat looks, take an Option<Principal>";
        find_token(request, advice)
    }
}

/// 500 where the route does not ask for a fresh principal, or where it was taken before.
impl<S: Send + Sync> FromRequestParts<S> for FreshPrincipal {
    type Rejection = Denial;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Self, Denial> {
        Self::take(&request.extensions).ok_or_else(|| {
            let error = layer_order_error(match request.extensions.get::<FreshSlot>() {
                Some(_) => {
                    "a FreshPrincipal is taken a second time on one request, and it proves one act: \
                     let the handler take one, and no middleware before it"
                }
                None => {
                    "a handler takes a FreshPrincipal and nobody made one: add \
                     .route_layer(goat.require(..).fresh()) to the route"
                }
            });
            rejection(error, request)
        })
    }
}

/// 500 where no layer found an address and the peer is not known.
impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Denial;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Self, Denial> {
        Self::of(&request.extensions).ok_or_else(|| {
            let error = layer_order_error(
                "a handler takes a ClientAddress and nobody knows the peer: serve the router with \
                 .into_make_service_with_connect_info::<SocketAddr>(), or put a PeerAddress into \
                 the extensions of each request",
            );
            rejection(error, request)
        })
    }
}

/// `None` where no layer found an address and the peer is not known.
impl<S: Send + Sync> OptionalFromRequestParts<S> for ClientAddress {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        Ok(Self::of(&request.extensions))
    }
}

/// Never fails: what is not known of the origin is left out.
impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(request))
    }
}
