//! `/api/v1/sessions`: the sessions of the current user.

use axum::extract::State;
use goat_core::session::OtherSessions;
use goat_core::{Goat, SessionId};
use goat_tower::{Principal, Problem};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::extract::{Fields, FromFields, Id, Json, NoQuery, Page, Query, Refused};
use crate::api::view::{self, Data, Session};

/// The number of revoked sessions.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct Revoked {
    /// The number of sessions that this request ended.
    pub(crate) revoked: u64,
}

/// List the current user's sessions
///
/// Returns active sessions only, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/sessions",
    operation_id = "listSessions",
    tag = "Sessions",
    params(Page),
    responses((status = 200, description = "A page of sessions.", body = view::Page<Session>)),
)]
pub(crate) async fn list(
    State(goat): State<Goat>,
    me: Principal,
    Query(page): Query<Page>,
) -> Result<view::Page<Session>, Problem> {
    let sessions = goat.sessions().list(&me, page.into()).await?;
    let shown = sessions.items.iter().map(|session| Session::new(session, &me));
    Ok(view::Page::new(shown, page, sessions.total))
}

/// The sessions to revoke: exactly one of the three members.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"others": true}))]
#[expect(dead_code, reason = "what the document shows; the choice itself is Revocation")]
struct RevokeSchema {
    /// The ids of the sessions to revoke. Either all of them are revoked or none.
    #[schema(nullable = false, min_items = 1, max_items = 100)]
    session_ids: Option<Vec<String>>,
    /// `true` revokes every session except the current one.
    #[schema(nullable = false)]
    others: Option<bool>,
    /// `true` revokes every session, including the current one.
    #[schema(nullable = false)]
    all: Option<bool>,
}

/// The sessions to revoke.
#[derive(Debug)]
pub(crate) enum Revocation {
    These(Vec<SessionId>),
    All(OtherSessions),
}

/// Maximum number of sessions in one request.
const MOST_SESSIONS: usize = 100;
const EXACTLY_ONE: &str = "must be given as the only one of session_ids, others and all";

impl FromFields for Revocation {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        let names = ["session_ids", "others", "all"];
        let is_one = fields.exactly_one(&names, EXACTLY_ONE);
        let these = fields.optional_list("session_ids", 1..=MOST_SESSIONS, SessionId::parse);
        let others = only_true(fields, "others");
        let all = only_true(fields, "all");
        is_one?;
        Ok(match (these?, others?, all?) {
            (Some(these), ..) => Self::These(these),
            (None, Some(()), _) => Self::All(OtherSessions::KeepCurrent),
            (None, None, _) => Self::All(OtherSessions::EndCurrentToo),
        })
    }
}

/// Reads a member that must be `true` if present.
fn only_true(fields: &mut Fields, name: &'static str) -> Result<Option<()>, Refused> {
    match fields.optional_bool(name)? {
        None => Ok(None),
        Some(true) => Ok(Some(())),
        Some(false) => Err(fields.refuse(name, "must be true or left out")),
    }
}

/// Revoke sessions
///
/// Revokes the listed sessions of the current user, all except the current one, or all. Their tokens
/// stop working immediately.
#[utoipa::path(
    delete,
    path = "/api/v1/sessions",
    operation_id = "revokeSessions",
    tag = "Sessions",
    request_body = inline(RevokeSchema),
    responses(
        (status = 200, description = "The number of revoked sessions.", body = Data<Revoked>),
        (status = 404, description = "`not-found`: the current user has no session with one of the ids. No session was revoked."),
    ),
)]
pub(crate) async fn revoke(
    State(goat): State<Goat>,
    me: Principal,
    _: NoQuery,
    Json(revocation): Json<Revocation>,
) -> Result<Data<Revoked>, Problem> {
    let sessions = goat.sessions();
    let revoked = match revocation {
        Revocation::These(these) => sessions.revoke(&me, &these).await?,
        Revocation::All(others) => sessions.revoke_all(&me, others).await?,
    };
    Ok(Data::new(Revoked { revoked }))
}

/// Revoke a session
///
/// Revokes one session of the current user. Its tokens stop working immediately.
#[utoipa::path(
    delete,
    path = "/api/v1/sessions/{id}",
    operation_id = "revokeSession",
    tag = "Sessions",
    params(("id" = String, Path, description = "The id of the session.")),
    responses(
        (status = 204, description = "The session is revoked."),
        (status = 404, description = "`not-found`: the current user has no such session."),
    ),
)]
pub(crate) async fn revoke_one(
    State(goat): State<Goat>,
    me: Principal,
    Id(id): Id<SessionId>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    goat.sessions().revoke(&me, &[id]).await?;
    Ok(StatusCode::NO_CONTENT)
}
