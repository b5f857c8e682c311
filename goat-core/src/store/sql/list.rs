//! The list of users: the one query that is put together, of texts written here and bound values.
//!
//! Invariant: whatever is asked for, no more is read than a list reaches, whoever else there is. So
//! a list is a union of ranges of an index, one for each role and status that it shows, each in the
//! order of the list and cut where the page ends: the database takes the first of them all, and what
//! it passes over was on the pages before. No index has the users that a search finds in an order other than that of the
//! search itself, so these are collected, as many as a list reaches, and then sorted: where more
//! match, the list is of the first by address, and of the first by domain.

use sqlx::{QueryBuilder, Row as _};

use crate::page::PAGE_REACH;
use crate::store::sql::failure::Failure;
use crate::user::{Sort, SortKey, Status, UserPage, UserQuery};

use super::database::Pools;
use super::dialect::Db;
use super::link::Link;
use super::rows::{self, signed, user_columns};

/// As many as it takes to see that there are more than a list reaches.
const MOST: u64 = PAGE_REACH + 1;

/// Reads a page.
pub(super) async fn page(pools: &Pools, query: &UserQuery) -> Result<UserPage, Failure> {
    let nobody = UserPage { users: Vec::new(), total: 0, total_is_lower_bound: false };
    // Canonical addresses are of printable ASCII, so that nothing else begins one; and PostgreSQL
    // would not take a NUL.
    let is_printable = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !query.filter.search.as_ref().is_none_or(is_printable) {
        return Ok(nobody);
    }
    let mut link = pools.snapshot().await?;
    let ranges = ranges(&mut link, query).await?;
    let list = List { query, ranges, own: own_roles(query) };
    if list.ranges.is_empty() && list.own.is_empty() {
        return Ok(nobody);
    }
    let place = place(&mut link, query).await?;
    let found = link.all(list.page(place.as_ref()).build()).await?;
    let total = rows::count(&link.one(list.count().build()).await?, "total")?;
    Ok(UserPage {
        users: found.iter().map(rows::user).collect::<Result<_, _>>()?,
        total: total.min(PAGE_REACH),
        total_is_lower_bound: total > PAGE_REACH,
    })
}

/// One role and one status of those that are listed.
type Range = (String, Status);

/// The ranges of the list. The roles are those that users have, looked up one after the other in an
/// index: what other roles the caller may see does not matter.
async fn ranges(link: &mut Link, query: &UserQuery) -> Result<Vec<Range>, Failure> {
    const PRESENT: &str = "WITH RECURSIVE present (role) AS (\
        SELECT MIN(role) FROM goat_users UNION ALL \
        SELECT (SELECT MIN(role) FROM goat_users WHERE role > present.role) FROM present \
        WHERE present.role IS NOT NULL) \
        SELECT role FROM present WHERE role IS NOT NULL";
    let filter = &query.filter;
    let mut ranges = Vec::new();
    for row in link.all(sqlx::query(PRESENT)).await? {
        let role: String = row.try_get("role")?;
        let is_wanted =
            filter.roles.is_empty() || filter.roles.iter().any(|wanted| wanted.as_str() == role);
        let is_hidden = query.hidden_roles.iter().any(|hidden| hidden.as_str() == role);
        if is_wanted && !is_hidden {
            ranges.extend(statuses(query).map(|status| (role.clone(), status)));
        }
    }
    Ok(ranges)
}

fn statuses(query: &UserQuery) -> impl Iterator<Item = Status> {
    let wanted = &query.filter.statuses;
    Status::ALL.into_iter().filter(|status| wanted.is_empty() || wanted.contains(status))
}

/// The hidden roles in which the list shows the caller alone.
fn own_roles(query: &UserQuery) -> Vec<&str> {
    let wanted = &query.filter.roles;
    let is_listed = |role: &&_| wanted.is_empty() || wanted.contains(role);
    let hidden = query.hidden_roles.iter().filter(|_| query.except.is_some());
    hidden.filter(is_listed).map(|role| role.as_str()).collect()
}

/// After which time and id the list goes on. A user who is gone, or hidden from the caller, stands
/// where the time in the id says.
async fn place(link: &mut Link, query: &UserQuery) -> Result<Option<(i64, String)>, Failure> {
    let Some(after) = query.filter.after else { return Ok(None) };
    let place = "SELECT role, created_at FROM goat_users WHERE id = $1";
    let row = link.optional(sqlx::query(place).bind(after.to_string())).await?;
    let mut made_at = after.made_at().as_millis();
    if let Some(row) = row {
        let role: &str = row.try_get("role")?;
        let is_hidden = query.hidden_roles.iter().any(|hidden| hidden.as_str() == role);
        if !is_hidden || query.except == Some(after) {
            made_at = row.try_get("created_at")?;
        }
    }
    Ok(Some((made_at, after.to_string())))
}

struct List<'a> {
    query: &'a UserQuery,
    ranges: Vec<Range>,
    own: Vec<&'a str>,
}

impl List<'_> {
    /// The page: which users, from the indexes alone where there is no search, and then their rows.
    fn page(&self, place: Option<&(i64, String)>) -> QueryBuilder<Db> {
        let filter = &self.query.filter;
        let order = if place.is_some() { Sort::default() } else { filter.sort };
        let direction = if order.descending { " DESC" } else { " ASC" };
        let column = match order.key {
            SortKey::CreatedAt => "created_at",
            SortKey::Email => "email_canonical",
            SortKey::LastLoginAt => "last_login_at",
        };
        let (limit, offset) = (u64::from(filter.page.limit()), filter.page.offset());
        let offset = if place.is_some() { 0 } else { offset };
        let mut sql = QueryBuilder::new(concat!(
            "SELECT ",
            user_columns!(),
            " FROM (SELECT id AS listed_id FROM ("
        ));
        if filter.search.is_some() {
            self.push_found(&mut sql, column);
            sql.push(") AS listed");
            if let Some(place) = place {
                sql.push(" WHERE ");
                push_place(&mut sql, "place", place);
            }
        } else {
            self.push_ranges(&mut sql, column, direction, limit + offset, |sql| {
                if let Some(place) = place {
                    sql.push(" AND ");
                    push_place(sql, "created_at", place);
                }
            });
            sql.push(") AS listed");
        }
        push_order(&mut sql, "place", direction);
        sql.push(" LIMIT ").push_bind(signed(limit));
        sql.push(" OFFSET ").push_bind(signed(offset));
        sql.push(") AS page JOIN goat_users ON id = listed_id");
        push_order(&mut sql, column, direction);
        sql
    }

    /// Counts no further than it takes to see that there are more than a list tells.
    fn count(&self) -> QueryBuilder<Db> {
        let mut sql = QueryBuilder::new("SELECT COUNT(*) AS total FROM (SELECT id FROM (");
        if self.query.filter.search.is_some() {
            self.push_found(&mut sql, "email_canonical");
        } else {
            self.push_ranges(&mut sql, "created_at", " ASC", MOST, |_| ());
        }
        sql.push(") AS listed LIMIT ").push_bind(signed(MOST)).push(") AS counted");
        sql
    }

    /// The first so many of every range, with this condition beside.
    fn push_ranges(
        &self,
        sql: &mut QueryBuilder<Db>,
        column: &'static str,
        direction: &'static str,
        most: u64,
        push_condition: impl Fn(&mut QueryBuilder<Db>),
    ) {
        let mut union = "";
        for (role, status) in &self.ranges {
            sql.push(union).push("SELECT * FROM (SELECT id, ").push(column);
            sql.push(" AS place FROM goat_users WHERE role = ").push_bind(role.clone());
            sql.push(" AND status = ").push_bind(status.as_str());
            push_condition(sql);
            push_order(sql, column, direction);
            sql.push(" LIMIT ").push_bind(signed(most)).push(") AS part");
            union = " UNION ALL ";
        }
        if !self.own.is_empty() {
            sql.push(union).push("SELECT id, ").push(column).push(" AS place");
            self.push_own(sql);
            push_condition(sql);
        }
    }

    /// Whom the search finds, nobody twice.
    fn push_found(&self, sql: &mut QueryBuilder<Db>, column: &'static str) {
        let search = self.query.filter.search.as_deref().unwrap_or_default();
        let mut union = "";
        if !self.ranges.is_empty() {
            sql.push("SELECT id, place FROM (");
            self.push_beginning_so(sql, "email_canonical", search, column);
            sql.push(") AS addresses UNION ALL SELECT id, place FROM (");
            self.push_beginning_so(sql, "email_domain", search, column);
            sql.push(") AS domains WHERE NOT ");
            push_beginning(sql, "email_canonical", search);
            union = " UNION ALL ";
        }
        if !self.own.is_empty() {
            sql.push(union).push("SELECT id, ").push(column).push(" AS place");
            self.push_own(sql);
            sql.push(" AND (");
            push_beginning(sql, "email_canonical", search);
            sql.push(" OR ");
            push_beginning(sql, "email_domain", search);
            sql.push(")");
        }
    }

    /// The first of all ranges whose column begins so.
    fn push_beginning_so(
        &self,
        sql: &mut QueryBuilder<Db>,
        searched: &'static str,
        search: &str,
        column: &'static str,
    ) {
        let mut union = "SELECT * FROM (";
        for (role, status) in &self.ranges {
            sql.push(union).push("SELECT * FROM (SELECT id, email_canonical, email_domain, ");
            sql.push(column).push(" AS place FROM goat_users WHERE role = ");
            sql.push_bind(role.clone()).push(" AND status = ").push_bind(status.as_str());
            sql.push(" AND ");
            push_beginning(sql, searched, search);
            push_order(sql, searched, " ASC");
            sql.push(" LIMIT ").push_bind(signed(MOST)).push(") AS part");
            union = " UNION ALL ";
        }
        sql.push(") AS matching");
        push_order(sql, searched, " ASC");
        sql.push(" LIMIT ").push_bind(signed(MOST));
    }

    /// The caller, where only the caller is shown.
    fn push_own(&self, sql: &mut QueryBuilder<Db>) {
        let id = self.query.except.map(|id| id.to_string()).unwrap_or_default();
        sql.push(" FROM goat_users WHERE id = ").push_bind(id).push(" AND role IN (");
        push_list(sql, self.own.iter().copied());
        sql.push(") AND status IN (");
        push_list(sql, statuses(self.query).map(Status::as_str));
        sql.push(")");
    }
}

fn push_list<'a>(sql: &mut QueryBuilder<Db>, texts: impl Iterator<Item = &'a str>) {
    let mut list = sql.separated(", ");
    for text in texts {
        list.push_bind(text.to_owned());
    }
}

/// Texts that begin so are one range of the index, without a pattern whose wildcards would have to
/// be escaped. What follows is printable ASCII, so that DEL ends the range.
fn push_beginning(sql: &mut QueryBuilder<Db>, column: &'static str, beginning: &str) {
    sql.push("(").push(column).push(" >= ").push_bind(beginning.to_owned());
    sql.push(" AND ").push(column).push(" < ").push_bind(format!("{beginning}\u{7f}")).push(")");
}

fn push_place(sql: &mut QueryBuilder<Db>, column: &'static str, (made_at, id): &(i64, String)) {
    sql.push("(").push(column).push(", id) < (").push_bind(*made_at);
    sql.push(", ").push_bind(id.clone()).push(")");
}

fn push_order(sql: &mut QueryBuilder<Db>, column: &'static str, direction: &'static str) {
    sql.push(" ORDER BY ").push(column).push(direction).push(", id").push(direction);
}
