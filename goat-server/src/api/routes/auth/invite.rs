//! `POST /api/v1/auth/invite/confirm`

use axum::extract::State;
use axum::response::Response;
use goat_core::{Goat, Secret};
use goat_tower::{Origin, Problem};
use http::StatusCode;
use utoipa::ToSchema;

use super::login::{InCookies, respond};
use super::signup_confirm::first_password;
use crate::api::AppState;
use crate::api::extract::{Fields, FromFieldsWith, Json, NoQuery, Refused, SessionCookies};
use crate::api::view::{BodyOrCookies, Data, SignedIn, SignedInByCookie};

/// The answer to an invitation.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptInvitationBody {
    /// The token of the link.
    #[schema(value_type = String)]
    token: Secret<String>,
    /// 15 to 256 characters unless the server is configured otherwise. Common passwords and the
    /// e-mail address are rejected.
    #[schema(value_type = String, format = Password)]
    password: Secret<String>,
    /// `cookie` puts the tokens into two cookies instead of the response's body, as for a sign-in.
    #[schema(value_type = Option<String>, nullable = false)]
    session: Option<InCookies>,
}

impl FromFieldsWith<AppState> for AcceptInvitationBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let token = fields.secret("token");
        let password = first_password(fields, state);
        let session = InCookies::field(fields, state);
        Ok(Self { token: token?, password: password?, session: session? })
    }
}

/// Accept an invitation
///
/// Activates the invited user by the token of the link, with a password, and starts a session. The address is
/// verified. An invitation takes five answers; wrong ones do not end the user.
#[utoipa::path(
    post,
    path = "/api/v1/auth/invite/confirm",
    operation_id = "acceptInvitation",
    tag = "Authentication",
    responses(
        (status = 201, description = "The tokens of the new session, the user, and a device token; with `\"session\": \"cookie\"`, two `Set-Cookie` headers, the expiries and the user.", body = Data<BodyOrCookies<SignedIn, SignedInByCookie>>),
        (status = 400, description = "`invalid-challenge`: the link is wrong, unknown, used or expired."),
        (status = 403, description = "`cross-site-request`: `session` is `cookie`, and the request does not come from an allowed origin."),
    ),
)]
pub(crate) async fn accept(
    State(goat): State<Goat>,
    _: NoQuery,
    origin: Origin,
    cookies: SessionCookies,
    Json(AcceptInvitationBody { token, password, session }): Json<AcceptInvitationBody>,
) -> Result<Response, Problem> {
    // Before the answer is compared.
    let cookies = session.map(|InCookies| cookies.for_sign_in()).transpose()?;
    let signed_in = goat.accept_invitation(token, &password, &origin).await?;
    respond(StatusCode::CREATED, signed_in, cookies)
}
