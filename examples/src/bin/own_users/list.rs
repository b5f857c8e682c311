//! Query for user lists: filter, sort and pagination.

use goat_core::PAGE_REACH;
use goat_core::user::{Sort, SortKey, UserPage, UserQuery};
use sqlx::{QueryBuilder, Sqlite, SqlitePool};

use super::store;

pub(crate) async fn page(pool: &SqlitePool, query: &UserQuery) -> sqlx::Result<UserPage> {
    let filter = &query.filter;
    let mut sql = QueryBuilder::new("SELECT * FROM goat_people WHERE ");
    push_conditions(&mut sql, query);
    let mut sort = filter.sort;
    let mut offset = filter.page.offset();
    if let Some(after) = filter.after {
        // Keyset pagination in the default order. For a deleted or hidden user, the timestamp in
        // the id gives the position.
        sql.push(
            " AND (created_at, id) < (coalesce((SELECT created_at FROM goat_people WHERE id = ",
        );
        sql.push_bind(after.to_string()).push(" AND ");
        push_visible(&mut sql, query);
        sql.push("), ").push_bind(after.made_at().as_millis()).push("), ");
        sql.push_bind(after.to_string()).push(")");
        (sort, offset) = (Sort::default(), 0);
    }
    let column = match sort.key {
        SortKey::CreatedAt => "created_at",
        SortKey::Email => "email_canonical",
        SortKey::LastLoginAt => "last_login_at",
    };
    let direction = if sort.descending { "DESC" } else { "ASC" };
    sql.push(format_args!(" ORDER BY {column} {direction}, id {direction} LIMIT "));
    sql.push_bind(filter.page.limit()).push(" OFFSET ").push_bind(offset.cast_signed());
    let rows = sql.build().fetch_all(pool).await?;

    // Counts at most one row beyond the maximum.
    let mut sql = QueryBuilder::new("SELECT count(*) FROM (SELECT 1 FROM goat_people WHERE ");
    push_conditions(&mut sql, query);
    sql.push(" LIMIT ").push_bind(PAGE_REACH.cast_signed() + 1).push(")");
    let total: u64 = sql.build_query_scalar().fetch_one(pool).await?;
    Ok(UserPage {
        users: rows.iter().map(store::user).collect::<Result<_, _>>()?,
        total: total.min(PAGE_REACH),
        total_is_lower_bound: total > PAGE_REACH,
    })
}

fn push_conditions(sql: &mut QueryBuilder<Sqlite>, query: &UserQuery) {
    let filter = &query.filter;
    push_visible(sql, query);
    if !filter.roles.is_empty() {
        push_names(sql.push(" AND role IN ("), filter.roles.iter().map(|role| role.as_str()));
    }
    if !filter.statuses.is_empty() {
        let statuses = filter.statuses.iter().map(|status| status.as_str());
        push_names(sql.push(" AND status IN ("), statuses);
    }
    if let Some(search) = &filter.search {
        // Not LIKE: addresses may contain underscores.
        for (before, column) in [(" AND (", "email_canonical"), (" OR ", "email_domain")] {
            sql.push(before).push(format_args!("substr({column}, 1, length("));
            sql.push_bind(search.clone()).push(")) = ").push_bind(search.clone());
        }
        sql.push(")");
    }
}

/// Restricts the rows to those visible to the caller: none of a hidden role, except the caller's
/// own.
fn push_visible(sql: &mut QueryBuilder<Sqlite>, query: &UserQuery) {
    sql.push("(id = ").push_bind(query.except.map(|id| id.to_string()).unwrap_or_default());
    let hidden = query.hidden_roles.iter().map(|role| role.as_str());
    push_names(sql.push(" OR role NOT IN ("), hidden);
    sql.push(")");
}

/// SQLite accepts an empty list.
fn push_names<'a>(sql: &mut QueryBuilder<Sqlite>, names: impl Iterator<Item = &'a str>) {
    let mut list = sql.separated(", ");
    for name in names {
        list.push_bind(name);
    }
    sql.push(")");
}
