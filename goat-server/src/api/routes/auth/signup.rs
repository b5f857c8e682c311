//! `POST /api/v1/auth/signup`

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse as _, Response};
use goat_core::auth::SignUp;
use goat_core::user::Attributes;
use goat_core::{Email, ErrorKind, Goat, Secret, Signup};
use goat_tower::{Origin, Problem};
use http::request::Parts;
use utoipa::ToSchema;

use crate::api::extract::{Fields, FromFieldsWith, Json, NoQuery, Refused};
use crate::api::routes::user::attributes::read_attributes;
use crate::api::routes::{new_password, person_email};
use crate::api::schemas;
use crate::api::view::{Accepted, ChallengeSent, Data, User};
use crate::api::{AppState, Mount};

/// Rejects every request with 404 while sign-up is closed, before the request is read.
pub(crate) struct OpenSignup;

impl FromRequestParts<AppState> for OpenSignup {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        match state.goat.settings().signup {
            Signup::Closed => Err(ErrorKind::SignupClosed.into()),
            Signup::Active | Signup::Inactive | Signup::Confirmed => Ok(Self),
        }
    }
}

/// The account to create.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignUpBody {
    /// The e-mail address, at most 254 bytes. Surrounding white space is removed.
    #[schema(value_type = String, format = Email, example = "ann@example.org")]
    email: Email,
    /// 15 to 256 characters unless the server is configured otherwise. Common passwords and the
    /// e-mail address are rejected. Required, unless the mailbox confirms a sign-up: then it must be absent
    /// here, and is sent with the confirmation.
    #[schema(value_type = Option<String>, nullable = false, format = Password)]
    password: Option<Secret<String>>,
    /// Attributes, of the keys that the server is configured to leave to users. Absent where the mailbox
    /// confirms a sign-up.
    #[schema(schema_with = schemas::attributes, required = false)]
    attributes: Attributes,
}

impl FromFieldsWith<AppState> for SignUpBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let email = fields.parse("email", person_email);
        if state.goat.settings().signup == Signup::Confirmed {
            return by_email(fields, email);
        }
        let password = fields.secret("password").map(Some);
        let known = email.as_ref().ok();
        let password = new_password(fields, "password", password, known, &state.goat);
        let attributes = attributes(fields, state);
        let (email, password, attributes) = (email?, password?, attributes?);
        let password = password.ok_or_else(|| fields.refuse("password", "is required"))?;
        Ok(Self { email, password: Some(password), attributes })
    }
}

/// Requests the members where the mailbox confirms a sign-up: nothing but the address.
fn by_email(fields: &mut Fields, email: Result<Email, Refused>) -> Result<SignUpBody, Refused> {
    let message = "must be absent: the mailbox confirms a sign-up first";
    let password = fields.absent("password", message);
    let attributes = fields.absent("attributes", message);
    let (email, (), ()) = (email?, password?, attributes?);
    Ok(SignUpBody { email, password: None, attributes: Attributes::default() })
}

fn attributes(fields: &mut Fields, state: &AppState) -> Result<Attributes, Refused> {
    let Some(object) = fields.optional_object("attributes")? else {
        return Ok(Attributes::default());
    };
    let own = Some(state.goat.settings().self_attributes.as_slice());
    read_attributes(fields, "attributes.", object.into_json(), own, Attributes::parse)
}

/// Sign up
///
/// Creates an account with the role that the server gives at sign-up, by default the lowest. Depending on the server's configuration, the account is
/// active immediately or must first be activated by an administrator.
///
/// Where the mailbox confirms a sign-up, the request has the address only, and creates nothing: a message with
/// a link and a code goes to the address. The response is the same if the address has an account. Create the
/// account by the link of the message, or by its code and `challenge` with
/// `POST /api/v1/auth/signup/confirm`.
#[utoipa::path(
    post,
    path = "/api/v1/auth/signup",
    operation_id = "signUp",
    tag = "Authentication",
    responses(
        (status = 201, description = "The created account.", body = Data<User>,
            headers(("Location" = String, description = "The path of the created user."))),
        (status = 202, description = "A message is sent to the address, where the mailbox confirms a sign-up.", body = Data<ChallengeSent>),
        (status = 404, description = "`not-found`: sign-up is closed on this server."),
        (status = 409, description = "`email-taken`: another account has this e-mail address."),
    ),
)]
pub(crate) async fn sign_up(
    State(goat): State<Goat>,
    State(mount): State<Arc<Mount>>,
    _: OpenSignup,
    _: NoQuery,
    origin: Origin,
    Json(SignUpBody { email, password, attributes }): Json<SignUpBody>,
) -> Result<Response, Problem> {
    let Some(password) = password else {
        let sent = goat.request_sign_up(email, &origin).await?;
        return Ok(Accepted::from(sent).into_response());
    };
    let prepared = goat.prepare_sign_up(SignUp::new(email, password, origin)).await?;
    let user = prepared.with_attributes(attributes).create().await?;
    Ok(User::from(user).created(&mount).into_response())
}
