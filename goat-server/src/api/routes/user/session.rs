//! `POST /api/v1/user/{id}/session`: sign-in of a user that the operator's own system authenticated.

use axum::extract::State;
use goat_core::auth::{Assurance, MethodName, Vouch};
use goat_core::{Goat, UserId};
use goat_tower::{FreshPrincipal, Origin, Problem};
use utoipa::ToSchema;

use crate::api::extract::{Fields, FromFields, Id, Json, NoQuery, Refused};
use crate::api::view::{Created, Data, Tokens};

/// How the user was authenticated.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenSessionBody {
    /// The name of the method, for the audit log: 1 to 32 lower-case letters, digits and hyphens.
    #[schema(value_type = String, min_length = 1, max_length = 32, pattern = "^[a-z0-9-]+$", example = "ldap")]
    method: MethodName,
    /// `multi` if the method verified several factors; then no second factor is asked for.
    #[schema(value_type = Option<String>, nullable = false, default = "single", example = "single")]
    assurance: Assurance,
}

impl FromFields for OpenSessionBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        let method = fields.parse("method", MethodName::parse);
        let assurance = fields.optional_parse("assurance", |text| {
            Assurance::parse(text).ok_or("must be single or multi")
        });
        let (method, assurance) = (method?, assurance?);
        Ok(Self { method, assurance: assurance.unwrap_or(Assurance::Single) })
    }
}

/// Open a session of a user
///
/// Signs in a user that the operator's own system has authenticated, such as a directory or an identity
/// provider. The server takes its word, for `assurance` too: with `multi`, this permission signs in past the
/// second factors of users, so keep it to that system. Status, session limit and, with `single`, second
/// factors of the user apply as to any other sign-in. You may sign in only users that you may act on.
#[utoipa::path(
    post,
    path = "/api/v1/user/{id}/session",
    operation_id = "openSession",
    tag = "Users",
    params(("id" = String, Path, description = "The id of the user.")),
    responses(
        (status = 201, description = "The tokens of the new session.", body = Data<Tokens>),
        (status = 401, description = "`second-factor-required`: `assurance` is `single`, and a second factor of the user is in force; answer `challenge` and `secret` by `POST /api/v1/auth/login/confirm`, with one of `methods`."),
        (status = 403, description = "`outranked`: the user is yourself, or the user's role is not below your own or has a permission that yours lacks. `account-inactive` or `account-suspended`: the account cannot be used."),
        (status = 404, description = "`not-found`: no such user exists."),
        (status = 409, description = "`invalid-transition`: the user is a service account, which has no sessions."),
    ),
)]
pub(crate) async fn open(
    State(goat): State<Goat>,
    me: FreshPrincipal,
    Id(id): Id<UserId>,
    _: NoQuery,
    origin: Origin,
    Json(OpenSessionBody { method, assurance }): Json<OpenSessionBody>,
) -> Result<Created<Tokens>, Problem> {
    let vouch = Vouch { method, assurance };
    let signed_in = goat.sessions().open(me.into(), id, vouch, origin.into()).await?;
    Ok(Created { data: signed_in.tokens.into(), location: None })
}
