//! Paginated user list: the only query that is assembled, from constant texts and bind parameters.
//!
//! Invariant: a list is complete and ordered, and reads at most [`PAGE_REACH`] rows per part, or ten
//! times that for a search, for any number of users.
//!
//! A list is a union of index range scans, one for each role and status in it, each in list order and
//! limited to the end of the page. The database merges them; the rows that it skips were on earlier
//! pages.
//!
//! No index orders search results by another column than the searched one. So the matches are
//! collected and sorted if they are few. Otherwise the ranges are scanned in list order until the page
//! is full, which takes few rows since many match (except if most matches are at the far end). Matches
//! by address and by domain are counted separately, since one may be many and the other few.

use sqlx::{QueryBuilder, Row as _};

use crate::page::PAGE_REACH;
use crate::store::sql::failure::Failure;
use crate::user::{Sort, SortKey, Status, UserPage, UserQuery};

use super::connection::Connection;
use super::database::Pools;
use super::dialect::Db;
use super::rows::{self, signed, user_columns};

/// The count at which a total exceeds the reach of a list.
const MAX_COUNT: u64 = PAGE_REACH + 1;

/// The most matches of one part of a search that are collected and sorted.
const MAX_COLLECTED: u64 = 10 * PAGE_REACH;

/// Reads a page of users.
pub(super) async fn page(pools: &Pools, query: &UserQuery) -> Result<UserPage, Failure> {
    let no_users = UserPage { users: Vec::new(), total: 0, total_is_lower_bound: false };
    // Canonical addresses are printable ASCII, so other text matches none; and PostgreSQL rejects NUL.
    let is_printable = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !query.filter.search.as_ref().is_none_or(is_printable) {
        return Ok(no_users);
    }
    let mut connection = pools.snapshot().await?;
    let ranges = ranges(&mut connection, query).await?;
    let list = List { query, ranges, own: own_roles(query) };
    if list.ranges.is_empty() && list.own.is_empty() {
        return Ok(no_users);
    }
    let mut total = 0;
    let mut parts = list.parts();
    for part in &mut parts {
        let found = rows::count(&connection.one(list.count(*part).build()).await?, "total")?;
        part.is_collected = found <= MAX_COLLECTED;
        total += found;
    }
    let place = place(&mut connection, query).await?;
    let found = connection.all(list.page(&parts, place.as_ref()).build()).await?;
    Ok(UserPage {
        users: found.iter().map(rows::user).collect::<Result<_, _>>()?,
        total: total.min(PAGE_REACH),
        total_is_lower_bound: total > PAGE_REACH,
    })
}

/// A role and a status of the list.
type Range = (String, Status);

/// Returns the ranges of the list, for roles that users have: a loose index scan finds the distinct
/// ones.
async fn ranges(connection: &mut Connection, query: &UserQuery) -> Result<Vec<Range>, Failure> {
    const PRESENT: &str = "WITH RECURSIVE present (role) AS (\
        SELECT MIN(role) FROM goat_users UNION ALL \
        SELECT (SELECT MIN(role) FROM goat_users WHERE role > present.role) FROM present \
        WHERE present.role IS NOT NULL) \
        SELECT role FROM present WHERE role IS NOT NULL";
    let filter = &query.filter;
    let mut ranges = Vec::new();
    for row in connection.all(sqlx::query(PRESENT)).await? {
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

/// Returns the hidden roles in which only the caller is listed.
fn own_roles(query: &UserQuery) -> Vec<&str> {
    let wanted = &query.filter.roles;
    let is_listed = |role: &&_| wanted.is_empty() || wanted.contains(role);
    let hidden = query.hidden_roles.iter().filter(|_| query.except.is_some());
    hidden.filter(is_listed).map(|role| role.as_str()).collect()
}

/// Returns the time and id of the cursor. A user who was deleted, or is hidden from the caller, has the
/// position of the time in the id.
async fn place(
    connection: &mut Connection,
    query: &UserQuery,
) -> Result<Option<(i64, String)>, Failure> {
    let Some(after) = query.filter.after else { return Ok(None) };
    let place = "SELECT role, created_at FROM goat_users WHERE id = $1";
    let row = connection.optional(sqlx::query(place).bind(after.to_string())).await?;
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

/// A part of the list. The parts are disjoint and complete.
#[derive(Clone, Copy)]
struct Part {
    shows: Shows,
    /// Whether the matches of a search are collected and sorted.
    is_collected: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// All users of the ranges.
    All,
    /// Users of the ranges whose address has the prefix.
    Addresses,
    /// Users of the ranges whose domain has the prefix and whose address does not.
    Domains,
    /// The caller, in a hidden role.
    Own,
}

impl List<'_> {
    fn parts(&self) -> Vec<Part> {
        let of_ranges: &[Shows] = match &self.query.filter.search {
            _ if self.ranges.is_empty() => &[],
            None => &[Shows::All],
            Some(_) => &[Shows::Addresses, Shows::Domains],
        };
        let own = (!self.own.is_empty()).then_some(Shows::Own);
        let shows = of_ranges.iter().copied().chain(own);
        shows.map(|shows| Part { shows, is_collected: false }).collect()
    }

    /// Builds the query of the page: selects ids, then joins the rows.
    fn page(&self, parts: &[Part], place: Option<&(i64, String)>) -> QueryBuilder<Db> {
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
        let mut union = "";
        for part in parts {
            sql.push(union);
            let cut = match part.shows.searched() {
                // In the order of the searched index; sorted afterwards.
                Some(searched) if part.is_collected => (searched, " ASC", MAX_COLLECTED),
                _ => (column, direction, limit + offset),
            };
            self.push_part(&mut sql, part.shows, column, cut, |sql| {
                if let Some(place) = place {
                    sql.push(" AND ");
                    push_place(sql, "created_at", place);
                }
            });
            union = " UNION ALL ";
        }
        sql.push(") AS listed");
        push_order(&mut sql, "place", direction);
        sql.push(" LIMIT ").push_bind(signed(limit));
        sql.push(" OFFSET ").push_bind(signed(offset));
        sql.push(") AS page JOIN goat_users ON id = listed_id");
        push_order(&mut sql, column, direction);
        sql
    }

    /// Builds the count query of a part, up to the count that matters.
    fn count(&self, part: Part) -> QueryBuilder<Db> {
        let searched = part.shows.searched();
        let most = if searched.is_some() { MAX_COLLECTED + 1 } else { MAX_COUNT };
        let column = searched.unwrap_or("created_at");
        let mut sql = QueryBuilder::new("SELECT COUNT(*) AS total FROM (SELECT id FROM (");
        self.push_part(&mut sql, part.shows, column, (column, " ASC", most), |_| ());
        sql.push(") AS listed LIMIT ").push_bind(signed(most)).push(") AS counted");
        sql
    }

    /// Appends a part: the first rows of every range in the given order that match a condition.
    fn push_part(
        &self,
        sql: &mut QueryBuilder<Db>,
        shows: Shows,
        column: &'static str,
        (ordered, direction, most): (&'static str, &'static str, u64),
        push_condition: impl Fn(&mut QueryBuilder<Db>),
    ) {
        let search = self.query.filter.search.as_deref().unwrap_or_default();
        if shows == Shows::Own {
            sql.push("SELECT id, ").push(column).push(" AS place");
            self.push_own(sql);
            if self.query.filter.search.is_some() {
                push_match(sql, search);
            }
            push_condition(sql);
            return;
        }
        // A subquery of its own, since SQLite limits the terms of a compound SELECT.
        let mut union = "SELECT id, place FROM (";
        for (role, status) in &self.ranges {
            sql.push(union).push("SELECT * FROM (SELECT id, ").push(column);
            sql.push(" AS place FROM goat_users WHERE role = ").push_bind(role.clone());
            sql.push(" AND status = ").push_bind(status.as_str());
            if let Some(searched) = shows.searched() {
                sql.push(" AND ");
                push_prefix(sql, searched, search);
            }
            if shows == Shows::Domains {
                sql.push(" AND NOT ");
                push_prefix(sql, "email_canonical", search);
            }
            push_condition(sql);
            push_order(sql, ordered, direction);
            sql.push(" LIMIT ").push_bind(signed(most)).push(") AS one_range");
            union = " UNION ALL ";
        }
        sql.push(") AS part");
    }

    /// Appends the condition for the caller in a hidden role.
    fn push_own(&self, sql: &mut QueryBuilder<Db>) {
        let id = self.query.except.map(|id| id.to_string()).unwrap_or_default();
        sql.push(" FROM goat_users WHERE id = ").push_bind(id).push(" AND role IN (");
        push_list(sql, self.own.iter().copied());
        sql.push(") AND status IN (");
        push_list(sql, statuses(self.query).map(Status::as_str));
        sql.push(")");
    }
}

impl Shows {
    /// Returns the searched column.
    fn searched(self) -> Option<&'static str> {
        match self {
            Self::Addresses => Some("email_canonical"),
            Self::Domains => Some("email_domain"),
            Self::All | Self::Own => None,
        }
    }
}

fn push_list<'a>(sql: &mut QueryBuilder<Db>, texts: impl Iterator<Item = &'a str>) {
    let mut list = sql.separated(", ");
    for text in texts {
        list.push_bind(text.to_owned());
    }
}

/// Appends a prefix match as an index range, without a pattern whose wildcards would need escaping.
/// Addresses are printable ASCII, so DEL ends the range.
fn push_prefix(sql: &mut QueryBuilder<Db>, column: &'static str, prefix: &str) {
    sql.push("(").push(column).push(" >= ").push_bind(prefix.to_owned());
    sql.push(" AND ").push(column).push(" < ").push_bind(format!("{prefix}\u{7f}")).push(")");
}

/// Appends the condition that the address or its domain has the prefix.
fn push_match(sql: &mut QueryBuilder<Db>, search: &str) {
    sql.push(" AND (");
    push_prefix(sql, "email_canonical", search);
    sql.push(" OR ");
    push_prefix(sql, "email_domain", search);
    sql.push(")");
}

fn push_place(sql: &mut QueryBuilder<Db>, column: &'static str, (made_at, id): &(i64, String)) {
    sql.push("(").push(column).push(", id) < (").push_bind(*made_at);
    sql.push(", ").push_bind(id.clone()).push(")");
}

fn push_order(sql: &mut QueryBuilder<Db>, column: &'static str, direction: &'static str) {
    sql.push(" ORDER BY ").push(column).push(direction).push(", id").push(direction);
}
