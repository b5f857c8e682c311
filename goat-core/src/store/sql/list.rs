//! The list of users: the one query that is put together, of texts written here and bound values.

use sqlx::{Pool, QueryBuilder};

use crate::id::UserId;
use crate::page::PAGE_REACH;
use crate::store::sql::failure::Failure;
use crate::user::{Sort, SortKey, UserPage, UserQuery};

use super::dialect::Db;
use super::rows::{self, signed, user_columns};

/// Reads a page.
pub(super) async fn page(pool: &Pool<Db>, query: &UserQuery) -> Result<UserPage, Failure> {
    // Canonical addresses are of printable ASCII, so that nothing else begins one; and PostgreSQL
    // would not take a NUL.
    let is_printable = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !query.filter.search.as_ref().is_none_or(is_printable) {
        return Ok(UserPage { users: Vec::new(), total: 0, total_is_lower_bound: false });
    }
    let mut connection = pool.acquire().await?;
    let rows = users(query).build().fetch_all(&mut *connection).await?;
    let total: i64 = count(query).build_query_scalar().fetch_one(&mut *connection).await?;
    let total = u64::try_from(total).unwrap_or_default();
    Ok(UserPage {
        users: rows.iter().map(rows::user).collect::<Result<_, _>>()?,
        total: total.min(PAGE_REACH),
        total_is_lower_bound: total > PAGE_REACH,
    })
}

fn users(query: &UserQuery) -> QueryBuilder<Db> {
    let filter = &query.filter;
    let mut sql = QueryBuilder::new(concat!("SELECT ", user_columns!(), " FROM goat_users"));
    push_conditions(&mut sql, query);
    if let Some(after) = filter.after {
        push_place(&mut sql, query, after);
    }
    let Sort { key, descending } =
        if filter.after.is_some() { Sort::default() } else { filter.sort };
    let direction = if descending { " DESC" } else { " ASC" };
    let column = match key {
        SortKey::CreatedAt => "created_at",
        SortKey::Email => "email_canonical",
        SortKey::LastLoginAt => "last_login_at",
    };
    sql.push(" ORDER BY ").push(column).push(direction).push(", id").push(direction);
    sql.push(" LIMIT ").push_bind(i64::from(filter.page.limit()));
    if filter.after.is_none() {
        sql.push(" OFFSET ").push_bind(signed(filter.page.offset()));
    }
    sql
}

/// Counts no further than it takes to see that there are more than a list tells.
fn count(query: &UserQuery) -> QueryBuilder<Db> {
    let mut sql = QueryBuilder::new("SELECT COUNT(*) FROM (SELECT 1 FROM goat_users");
    push_conditions(&mut sql, query);
    sql.push(" LIMIT ").push_bind(signed(PAGE_REACH + 1)).push(") AS counted");
    sql
}

fn push_conditions(sql: &mut QueryBuilder<Db>, query: &UserQuery) {
    let filter = &query.filter;
    sql.push(" WHERE ");
    push_visible(sql, query);
    if !filter.roles.is_empty() {
        sql.push(" AND role IN (");
        push_list(sql, filter.roles.iter().map(|role| role.as_str()));
        sql.push(")");
    }
    if !filter.statuses.is_empty() {
        sql.push(" AND status IN (");
        push_list(sql, filter.statuses.iter().map(|status| status.as_str()));
        sql.push(")");
    }
    if let Some(search) = &filter.search {
        sql.push(" AND (");
        push_beginning(sql, "email_canonical", search);
        sql.push(" OR ");
        push_beginning(sql, "email_domain", search);
        sql.push(")");
    }
}

/// Whom the caller may see at all.
fn push_visible(sql: &mut QueryBuilder<Db>, query: &UserQuery) {
    if query.hidden_roles.is_empty() {
        sql.push("1 = 1");
        return;
    }
    sql.push("(");
    if let Some(except) = query.except {
        sql.push("id = ").push_bind(except.to_string()).push(" OR ");
    }
    sql.push("role NOT IN (");
    push_list(sql, query.hidden_roles.iter().map(|role| role.as_str()));
    sql.push("))");
}

fn push_list<'a>(sql: &mut QueryBuilder<Db>, texts: impl Iterator<Item = &'a str>) {
    let mut list = sql.separated(", ");
    for text in texts {
        list.push_bind(text);
    }
}

/// Texts that begin so are one range of the index, without a pattern whose wildcards would have to
/// be escaped. What follows is printable ASCII, so that DEL ends the range.
fn push_beginning(sql: &mut QueryBuilder<Db>, column: &'static str, beginning: &str) {
    sql.push("(").push(column).push(" >= ").push_bind(beginning.to_owned());
    sql.push(" AND ").push(column).push(" < ").push_bind(format!("{beginning}\u{7f}")).push(")");
}

/// What comes after a user in the default order. A user who is gone, or hidden from the caller,
/// stands where the time in the id says.
fn push_place(sql: &mut QueryBuilder<Db>, query: &UserQuery, after: UserId) {
    sql.push(" AND (created_at, id) < (COALESCE((SELECT created_at FROM goat_users WHERE id = ");
    sql.push_bind(after.to_string()).push(" AND ");
    push_visible(sql, query);
    sql.push("), ").push_bind(after.made_at().as_millis()).push("), ");
    sql.push_bind(after.to_string()).push(")");
}
