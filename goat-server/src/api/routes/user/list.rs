//! Lists of users, and one user of them.

use axum::extract::State;
use goat_core::user::{Sort, UserFilter, UserKind};
use goat_core::{Goat, PageRequest, Status, UserId};
use goat_tower::{Principal, Problem};

use crate::api::AppState;
use crate::api::extract::{FromQueryWith, Id, NoQuery, Page, Parameters, Query, Refused};
use crate::api::routes::known_role;
use crate::api::view::{self, Data, User};

/// The longest beginning of an address, in characters.
const LONGEST_SEARCH: usize = 254;
/// The violation if two ways of paging are combined.
const NOT_WITH_AFTER: &str = "must not be combined with after";

/// Which users, and in which order.
#[derive(Debug)]
pub(crate) struct ListQuery {
    filter: UserFilter,
    page: Page,
}

impl FromQueryWith<AppState> for ListQuery {
    fn from_query_with(parameters: &mut Parameters, state: &AppState) -> Result<Self, Refused> {
        let goes_on = parameters.contains("after");
        let page_after = goes_on && parameters.contains("page");
        let page = parameters.page();
        let roles = parameters.repeated_parse("role", |name| known_role(&state.goat, name));
        let statuses = parameters.repeated_parse("status", status);
        let kind = parameters.optional_parse("kind", kind);
        let search = parameters.optional_parse("search", search);
        let sort = parameters.one_of("sort", &Sort::NAMES.map(sort));
        let after = parameters.optional_parse("after", UserId::parse);
        if page_after {
            return Err(parameters.refuse("page", NOT_WITH_AFTER));
        }
        let sort = sort?.unwrap_or_default();
        if goes_on && sort != Sort::default() {
            return Err(parameters.refuse("sort", NOT_WITH_AFTER));
        }
        let (page, roles, statuses) = (page?, roles?, statuses?);
        let (kind, search, after) = (kind?, search?, after?);
        let request = PageRequest::from(page);
        let filter = UserFilter { roles, statuses, kind, search, sort, page: request, after };
        Ok(Self { filter, page })
    }
}

fn status(name: &str) -> Result<Status, &'static str> {
    Status::parse(name).ok_or("must be one of inactive, active, suspended")
}

fn kind(name: &str) -> Result<UserKind, &'static str> {
    UserKind::parse(name).ok_or("must be one of person, service")
}

fn search(text: &str) -> Result<String, &'static str> {
    let length = text.chars().count();
    if !(1..=LONGEST_SEARCH).contains(&length) || text.chars().any(char::is_control) {
        return Err("must be 1 to 254 characters long, without control characters");
    }
    Ok(text.to_owned())
}

fn sort(name: &'static str) -> (&'static str, Sort) {
    (name, Sort::parse(name).unwrap_or_default())
}

/// List users
///
/// Returns the users that the current user may manage, and the current user. `total` is exact up to
/// 10,000. To read further, use `after`.
#[utoipa::path(
    get,
    path = "/api/v1/user/list",
    operation_id = "listUsers",
    tag = "Users",
    params(ListQuery),
    responses((status = 200, description = "A page of users.", body = view::Page<User>)),
)]
pub(crate) async fn list(
    State(goat): State<Goat>,
    me: Principal,
    Query(ListQuery { filter, page }): Query<ListQuery>,
) -> Result<view::Page<User>, Problem> {
    let found = goat.users().list(&me, filter).await?;
    let shown = found.users.into_iter().map(User::from);
    let answer = view::Page::new(shown, page, found.total);
    Ok(answer.with_lower_bound(found.total_is_lower_bound))
}

/// Get a user
///
/// Returns the current user, or a user whose role ranks below your own and has no permission that yours
/// lacks.
#[utoipa::path(
    get,
    path = "/api/v1/user/{id}",
    operation_id = "findUser",
    tag = "Users",
    params(("id" = String, Path, description = "The id of the user.")),
    responses(
        (status = 200, description = "The user.", body = Data<User>),
        (status = 403, description = "`outranked`: the user's role is not below your own or has a permission that yours lacks."),
        (status = 404, description = "`not-found`: no such user exists."),
    ),
)]
pub(crate) async fn find(
    State(goat): State<Goat>,
    me: Principal,
    Id(id): Id<UserId>,
    _: NoQuery,
) -> Result<Data<User>, Problem> {
    let user = goat.users().find(&me, id).await?;
    Ok(Data::new(user.into()))
}
