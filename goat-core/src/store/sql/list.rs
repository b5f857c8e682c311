//! Paginated user list: decides which of the queries in `list_query` reads a page.
//!
//! Invariant: a list is complete and ordered, and its total is exact up to [`PAGE_REACH`].
//!
//! A list is a union of index ranges, one for each role and status in it, which the database merges in
//! list order. So a page reads the rows up to its end, and a total those up to [`PAGE_REACH`], for any
//! number of users. Both are one statement.
//!
//! No index orders the matches of a search by another column than the searched one, so their number
//! decides:
//! - few: the same statement sorts them. The usual search;
//! - up to half of [`PAGE_REACH`]: they are collected and sorted;
//! - more, in a few domains: an index orders the users of one domain, and the domains are merged;
//! - more than that: the front of the list is scanned, which fills the page if about one user in 250
//!   matches there. Otherwise the matches are at the far end of the list, and are collected and sorted.
//!   Only then does the work grow with the number of matches.

use std::sync::{Arc, PoisonError, RwLock};

use sqlx::Row as _;

use crate::page::PAGE_REACH;
use crate::store::sql::failure::Failure;
use crate::user::{UserPage, UserQuery};

use super::connection::Connection;
use super::database::Pools;
use super::dialect::Row;
use super::list_query::{Cursor, List};
use super::rows;

/// The bounds between the ways to read the matches of a search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The most matches by address, and by domain, that the first statement sorts.
    pub(super) few: u64,
    /// The most matches that are collected without a scan.
    pub(super) collected: u64,
    /// The most domains that are merged.
    pub(super) domains: usize,
    /// The number of rows that a scan reads, in addition to four per row up to the end of the page.
    pub(super) scanned: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { few: 100, collected: PAGE_REACH / 2, domains: 16, scanned: PAGE_REACH / 2 }
    }
}

/// The most index ranges that the domains of a search are merged from.
const MAX_MERGED: usize = 150;

/// The lists of one store.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) bounds: Bounds,
    /// The roles that users had at the last list without a role filter. Each such list verifies them.
    present: RwLock<Arc<[String]>>,
}

/// The first columns of the first statement's rows: what is known about the whole list.
struct Head {
    /// The roles that users have, unless the list is restricted to some.
    present: Option<String>,
    /// All users, or the matches by address, up to one more than [`PAGE_REACH`].
    found: u64,
    /// The matches by domain, up to one more than [`PAGE_REACH`].
    by_domain: u64,
    /// The matches by both, if neither number exceeds [`PAGE_REACH`].
    by_both: u64,
}

impl Lists {
    /// Reads a page of users.
    pub(super) async fn page(&self, pools: &Pools, query: &UserQuery) -> Result<UserPage, Failure> {
        let no_users = UserPage { users: Vec::new(), total: 0, total_is_lower_bound: false };
        // Canonical addresses are printable ASCII, so other text matches none; and PostgreSQL rejects
        // NUL.
        let is_printable = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !query.filter.search.as_ref().is_none_or(is_printable) || is_hidden(query) {
            return Ok(no_users);
        }
        let mut connection = pools.snapshot().await?;
        let cursor = cursor(&mut connection, query).await?;
        loop {
            let present = Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner));
            let list = List::new(query, &present, cursor.as_ref());
            let mut rows = connection.all(list.first(self.bounds.few).build()).await?;
            let head = Head::read(&rows)?;
            if self.has_other_roles(&present, head.present.as_deref().unwrap_or_default()) {
                continue;
            }
            if query.filter.search.is_some() && head.found.max(head.by_domain) > self.bounds.few {
                rows = self.matches(&mut connection, &list, &head).await?;
            }
            let total = (head.found + head.by_domain).saturating_sub(head.by_both);
            let users = rows.iter().filter_map(|row| has_user(row).transpose());
            return Ok(UserPage {
                users: users.map(|row| rows::user(row?)).collect::<Result<_, Failure>>()?,
                total: total.min(PAGE_REACH),
                total_is_lower_bound: total > PAGE_REACH,
            });
        }
    }

    /// Notes the roles that users have; returns whether there are some that the list did not know.
    fn has_other_roles(&self, known: &[String], present: &str) -> bool {
        let roles = || present.split(',').filter(|role| !role.is_empty());
        if roles().all(|role| known.iter().any(|known| known == role)) {
            return false;
        }
        let roles = roles().map(str::to_owned).collect();
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = roles;
        true
    }

    /// Reads the page of a search with many matches.
    async fn matches(
        &self,
        connection: &mut Connection<'_>,
        list: &List<'_>,
        head: &Head,
    ) -> Result<Vec<Row>, Failure> {
        let Bounds { collected, domains: most, scanned, .. } = self.bounds;
        if head.found.max(head.by_domain) <= collected {
            return Ok(connection.all(list.collected().build()).await?);
        }
        if head.found <= collected && list.is_by_creation() {
            let domains = connection.all(list.domains(most + 1).build()).await?;
            if domains.len() <= most.min(MAX_MERGED / list.ranges()) {
                let name = |row: &Row| row.try_get("domain");
                let domains = domains.iter().map(name).collect::<Result<Vec<String>, _>>()?;
                return Ok(connection.all(list.merged(&domains).build()).await?);
            }
        }
        let rows = connection.all(list.scanned(scanned).build()).await?;
        let mut beyond = list.beyond_scanned(scanned);
        if list.fills_page(rows.len()) || connection.optional(beyond.build()).await?.is_none() {
            return Ok(rows);
        }
        Ok(connection.all(list.collected().build()).await?)
    }
}

impl Head {
    fn read(rows: &[Row]) -> Result<Self, Failure> {
        let head = rows.first().ok_or(Failure::Row("found"))?;
        Ok(Self {
            present: head.try_get("present")?,
            found: rows::count(head, "found")?,
            by_domain: rows::count(head, "by_domain")?,
            by_both: rows::count(head, "by_both")?,
        })
    }
}

/// Whether the list is restricted to roles that are hidden from the caller, without the caller's own.
fn is_hidden(query: &UserQuery) -> bool {
    let wanted = &query.filter.roles;
    let are_hidden = wanted.iter().all(|role| query.hidden_roles.contains(role));
    !wanted.is_empty() && are_hidden && query.except.is_none()
}

/// Returns the row if it contains a user: the first statement of an empty page has a row without one.
fn has_user(row: &Row) -> Result<Option<&Row>, Failure> {
    Ok(row.try_get::<Option<&str>, _>("id")?.map(|_| row))
}

/// Returns the time and id of the cursor. A deleted user, or one that is hidden from the caller, has the
/// position of the time in the id.
async fn cursor(
    connection: &mut Connection<'_>,
    query: &UserQuery,
) -> Result<Option<Cursor>, Failure> {
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
