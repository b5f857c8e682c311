//! The list of users: the one query that is put together, of texts written here and bound values.
//!
//! Invariant: every list is complete and in order, and no more is read for it than a list reaches,
//! whoever else there is, or than ten times that for a search.
//!
//! A list is a union of ranges of an index, one for each role and status that it shows, each in the
//! order of the list and cut where the page ends: the database takes the first of them all, and what
//! it passes over was on the pages before.
//!
//! No index has those whom a search finds in another order than that of the search itself. So they
//! are collected and sorted, unless they are too many for that: then the ranges are gone through in
//! the order of the list until the page is full, which it soon is, since so many match. (Unless most
//! of them stand at the far end: then the page costs what lies before it.) Who is found by address
//! and who by domain are judged apart, since one may be many and the other few.

use sqlx::{QueryBuilder, Row as _};

use crate::page::PAGE_REACH;
use crate::store::sql::failure::Failure;
use crate::user::{Sort, SortKey, Status, UserPage, UserQuery};

use super::connection::Connection;
use super::database::Pools;
use super::dialect::Db;
use super::rows::{self, signed, user_columns};

/// As many as it takes to see that there are more than a list reaches.
const MOST: u64 = PAGE_REACH + 1;

/// How many users one half of a search may find and still have them collected.
const COLLECTED: u64 = 10 * PAGE_REACH;

/// Reads a page.
pub(super) async fn page(pools: &Pools, query: &UserQuery) -> Result<UserPage, Failure> {
    let nobody = UserPage { users: Vec::new(), total: 0, total_is_lower_bound: false };
    // Canonical addresses are of printable ASCII, so that nothing else begins one; and PostgreSQL
    // would not take a NUL.
    let is_printable = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !query.filter.search.as_ref().is_none_or(is_printable) {
        return Ok(nobody);
    }
    let mut connection = pools.snapshot().await?;
    let ranges = ranges(&mut connection, query).await?;
    let list = List { query, ranges, own: own_roles(query) };
    if list.ranges.is_empty() && list.own.is_empty() {
        return Ok(nobody);
    }
    let mut total = 0;
    let mut parts = list.parts();
    for part in &mut parts {
        let found = rows::count(&connection.one(list.count(*part).build()).await?, "total")?;
        part.is_collected = found <= COLLECTED;
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

/// One role and one status of those that are listed.
type Range = (String, Status);

/// The ranges of the list. The roles are those that users have, looked up one after the other in an
/// index: what other roles the caller may see does not matter.
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

/// The hidden roles in which the list shows the caller alone.
fn own_roles(query: &UserQuery) -> Vec<&str> {
    let wanted = &query.filter.roles;
    let is_listed = |role: &&_| wanted.is_empty() || wanted.contains(role);
    let hidden = query.hidden_roles.iter().filter(|_| query.except.is_some());
    hidden.filter(is_listed).map(|role| role.as_str()).collect()
}

/// After which time and id the list goes on. A user who is gone, or hidden from the caller, stands
/// where the time in the id says.
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

/// A part of the list. Together they have everybody once.
#[derive(Clone, Copy)]
struct Part {
    shows: Shows,
    /// Whether those that a search finds are collected, however they stand in the list's order.
    is_collected: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// Everybody in the ranges.
    All,
    /// Of these, whose address begins so.
    Addresses,
    /// Of these, whose domain begins so, and whose address does not.
    Domains,
    /// The caller, where only the caller is shown.
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

    /// The page: which users, and then their rows.
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
                // The index of the search finds them; what order they are in does not matter yet.
                Some(searched) if part.is_collected => (searched, " ASC", COLLECTED),
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

    /// Counts no further than it takes to see that there are more than matter.
    fn count(&self, part: Part) -> QueryBuilder<Db> {
        let searched = part.shows.searched();
        let most = if searched.is_some() { COLLECTED + 1 } else { MOST };
        let column = searched.unwrap_or("created_at");
        let mut sql = QueryBuilder::new("SELECT COUNT(*) AS total FROM (SELECT id FROM (");
        self.push_part(&mut sql, part.shows, column, (column, " ASC", most), |_| ());
        sql.push(") AS listed LIMIT ").push_bind(signed(most)).push(") AS counted");
        sql
    }

    /// One part: the first so many of every range in this order, with this condition beside.
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
        // In brackets of its own: SQLite has a bound on how much stands side by side in a union.
        let mut union = "SELECT id, place FROM (";
        for (role, status) in &self.ranges {
            sql.push(union).push("SELECT * FROM (SELECT id, ").push(column);
            sql.push(" AS place FROM goat_users WHERE role = ").push_bind(role.clone());
            sql.push(" AND status = ").push_bind(status.as_str());
            if let Some(searched) = shows.searched() {
                sql.push(" AND ");
                push_beginning(sql, searched, search);
            }
            if shows == Shows::Domains {
                sql.push(" AND NOT ");
                push_beginning(sql, "email_canonical", search);
            }
            push_condition(sql);
            push_order(sql, ordered, direction);
            sql.push(" LIMIT ").push_bind(signed(most)).push(") AS one_range");
            union = " UNION ALL ";
        }
        sql.push(") AS part");
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

impl Shows {
    /// The column in which a search looks.
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

/// Texts that begin so are one range of the index, without a pattern whose wildcards would have to
/// be escaped. What follows is printable ASCII, so that DEL ends the range.
fn push_beginning(sql: &mut QueryBuilder<Db>, column: &'static str, beginning: &str) {
    sql.push("(").push(column).push(" >= ").push_bind(beginning.to_owned());
    sql.push(" AND ").push(column).push(" < ").push_bind(format!("{beginning}\u{7f}")).push(")");
}

/// The address or its domain begins so.
fn push_match(sql: &mut QueryBuilder<Db>, search: &str) {
    sql.push(" AND (");
    push_beginning(sql, "email_canonical", search);
    sql.push(" OR ");
    push_beginning(sql, "email_domain", search);
    sql.push(")");
}

fn push_place(sql: &mut QueryBuilder<Db>, column: &'static str, (made_at, id): &(i64, String)) {
    sql.push("(").push(column).push(", id) < (").push_bind(*made_at);
    sql.push(", ").push_bind(id.clone()).push(")");
}

fn push_order(sql: &mut QueryBuilder<Db>, column: &'static str, direction: &'static str) {
    sql.push(" ORDER BY ").push(column).push(direction).push(", id").push(direction);
}
