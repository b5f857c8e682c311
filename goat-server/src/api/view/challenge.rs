//! Responses to requests that send a message and take effect with its answer.

use axum::response::{IntoResponse, Response};
use goat_core::auth;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Data, Time, json};

/// A message that may be sent: the same for known and unknown addresses.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChallengeSent {
    /// The challenge that the code of the message answers, where the code is typed.
    #[schema(example = "01KDWMBY00C8X0F4ZCV7J3T9QH")]
    pub challenge: String,
    /// The time at which the link and the code of the message expire.
    pub expires_at: Time,
}

impl From<auth::ChallengeSent> for ChallengeSent {
    fn from(sent: auth::ChallengeSent) -> Self {
        Self { challenge: sent.challenge.to_string(), expires_at: sent.expires_at.into() }
    }
}

/// Response to a request that takes effect later: 202.
#[derive(Clone, Debug)]
pub struct Accepted<T>(pub T);

impl<T: Serialize> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        json(StatusCode::ACCEPTED, &Data::new(self.0))
    }
}

impl From<auth::ChallengeSent> for Accepted<ChallengeSent> {
    fn from(sent: auth::ChallengeSent) -> Self {
        Self(sent.into())
    }
}
