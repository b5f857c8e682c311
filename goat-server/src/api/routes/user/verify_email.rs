//! `POST /api/v1/user/verify-email`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use goat_core::Goat;
use goat_tower::{Origin, Principal, Problem};

use crate::api::extract::NoQuery;
use crate::api::view::{Accepted, ChallengeSent, Data, User};

/// Request the verification of the current user's e-mail address
///
/// Sends a message with a link and a code to the address. Answer it in a session of the same user, by
/// `POST /api/v1/auth/verify-email/confirm`. Messages count against a limit of their recipient.
#[utoipa::path(
    post,
    path = "/api/v1/user/verify-email",
    operation_id = "requestVerification",
    tag = "Account",
    responses(
        (status = 200, description = "The current user, whose address is verified already.", body = Data<User>),
        (status = 202, description = "A message is sent to the address.", body = Data<ChallengeSent>),
    ),
)]
pub(crate) async fn request(
    State(goat): State<Goat>,
    me: Principal,
    _: NoQuery,
    origin: Origin,
) -> Result<Response, Problem> {
    Ok(match goat.users().request_verification(&me, &origin).await? {
        Some(sent) => Accepted::from(sent).into_response(),
        // As the store has it; the principal may be from a cache.
        None => Data::new(User { email_verified: true, ..me.profile().into() }).into_response(),
    })
}
