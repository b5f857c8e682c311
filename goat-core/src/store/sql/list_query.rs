//! Queries of the user list: the only ones that are assembled, from constant texts and bind parameters.
//!
//! Invariant: a query reads index entries until it knows the rows of the page, except to collect the
//! matches of a search by another column than `created_at` and `email_canonical`.

use sqlx::QueryBuilder;

use crate::page::PAGE_REACH;
use crate::user::{Sort, SortKey, Status, UserKind, UserQuery};

use super::dialect::Db;
use super::rows::{signed, user_columns};

/// The count at which a total exceeds the reach of a list.
const MAX_COUNT: u64 = PAGE_REACH + 1;

/// The most ranges that a query merges: SQLite has at most 500 terms in a union, and planning takes time.
/// A list over more is one range, which the database sorts.
const MAX_RANGES: usize = 100;

/// The time and id after which a list continues.
pub(super) type Cursor = (i64, String);

/// A role and a status of the list.
type Range<'a> = (&'a str, Status);

/// Restricts the users of a range.
#[derive(Clone, Copy)]
enum Match<'a> {
    All,
    /// The address has the searched prefix.
    Address,
    /// The domain has the searched prefix.
    Domain,
    AddressAndDomain,
    /// The domain is this one.
    InDomain(&'a str),
}

/// A list to query: its ranges and its order.
pub(super) struct List<'a> {
    query: &'a UserQuery,
    cursor: Option<&'a Cursor>,
    ranges: Vec<Range<'a>>,
    /// The hidden roles in which only the caller is listed.
    own: Vec<&'a str>,
    column: &'static str,
    /// The expression by which ranges are merged in list order.
    place: &'static str,
    /// The value of the column, in a form that no index orders.
    unordered: &'static str,
    direction: &'static str,
    limit: u64,
    offset: u64,
}

impl<'a> List<'a> {
    /// Returns the list over the roles that the filter names, else over those that users have.
    pub(super) fn new(
        query: &'a UserQuery,
        present: &'a [String],
        cursor: Option<&'a Cursor>,
    ) -> Self {
        let filter = &query.filter;
        let named: Vec<&str> = filter.roles.iter().map(|role| role.as_str()).collect();
        let listed: Vec<&str> = match named.is_empty() {
            true => present.iter().map(String::as_str).collect(),
            false => named.clone(),
        };
        let is_hidden = |role: &&str| query.hidden_roles.iter().any(|one| one.as_str() == *role);
        let seen = listed.iter().copied().filter(|role| !is_hidden(role));
        let mut ranges: Vec<Range<'a>> =
            seen.flat_map(|role| statuses(query).map(move |status| (role, status))).collect();
        // A repeated role is one range.
        ranges.sort_unstable_by_key(|(role, status)| (*role, status.as_str()));
        ranges.dedup();
        let hidden = query.hidden_roles.iter().map(|role| role.as_str());
        let is_listed = |role: &&str| named.is_empty() || named.contains(role);
        let own: Vec<&str> = hidden.filter(|_| query.except.is_some()).filter(is_listed).collect();
        if ranges.is_empty() && own.is_empty() {
            // No user has this role; a query that knows no role finds those that users have.
            ranges.push(("", Status::Active));
        }
        let order = if cursor.is_some() { Sort::default() } else { filter.sort };
        let (column, unordered) = match order.key {
            SortKey::CreatedAt => ("created_at", "created_at + 0"),
            SortKey::Email => ("email_canonical", "email_canonical || ''"),
            SortKey::LastLoginAt => ("last_login_at", "last_login_at + 0"),
        };
        // No index orders the users of one domain by another column, and the index of that column may be
        // long: service accounts are sorted.
        let is_sorted = filter.kind == Some(UserKind::Service) && column != "created_at";
        Self {
            query,
            cursor,
            ranges,
            own,
            column,
            place: if is_sorted { unordered } else { column },
            unordered,
            direction: if order.descending { " DESC" } else { " ASC" },
            limit: u64::from(filter.page.limit()),
            offset: if cursor.is_some() { 0 } else { filter.page.offset() },
        }
    }

    /// Returns the number of ranges, the caller's own row included.
    pub(super) fn ranges(&self) -> usize {
        let ranges = if self.is_one_range() { 1 } else { self.ranges.len() };
        ranges + usize::from(!self.own.is_empty())
    }

    fn is_one_range(&self) -> bool {
        self.ranges.len() > MAX_RANGES
    }

    /// Whether the list is ordered by the time of creation.
    pub(super) fn is_by_creation(&self) -> bool {
        self.column == "created_at"
    }

    /// Whether this number of rows is a full page.
    pub(super) fn fills_page(&self, rows: usize) -> bool {
        rows as u64 >= self.limit
    }

    /// Builds the first query: counts, and the page; of a search, if there are at most `few` matches.
    pub(super) fn first(&self, few: u64) -> QueryBuilder<Db> {
        // Materialized, since a count that is named twice would be counted twice.
        let mut sql = QueryBuilder::new("WITH counted AS MATERIALIZED (SELECT ");
        sql.push(if self.query.filter.roles.is_empty() { PRESENT } else { NOT_ASKED });
        sql.push(" AS present, ");
        if self.query.filter.search.is_some() {
            self.push_count(&mut sql, Match::Address);
            sql.push(" AS found, ");
            self.push_count(&mut sql, Match::Domain);
        } else {
            self.push_count(&mut sql, Match::All);
            sql.push(" AS found, ").push(NONE);
        }
        sql.push(" AS by_domain) SELECT present, found, by_domain, ");
        if self.query.filter.search.is_some() {
            sql.push("CASE WHEN found BETWEEN 1 AND ").push_bind(signed(PAGE_REACH));
            sql.push(" AND by_domain BETWEEN 1 AND ").push_bind(signed(PAGE_REACH)).push(" THEN ");
            self.push_count(&mut sql, Match::AddressAndDomain);
            sql.push(" ELSE 0 END");
        } else {
            sql.push(NONE);
        }
        sql.push(" AS by_both, page.* FROM counted LEFT JOIN (");
        self.push_page(&mut sql, |sql| {
            if self.query.filter.search.is_none() {
                self.push_merged(sql, "id, place", self.place, &[Match::All]);
                self.push_slice(sql);
                return;
            }
            for (union, kind) in [("", Match::Address), (" UNION ", Match::Domain)] {
                sql.push(union).push("SELECT id, place FROM (");
                let columns = format!("id, {} AS place", self.column);
                self.push_ranges(sql, &columns, None, |sql| self.push_match(sql, kind));
                sql.push(" LIMIT ").push_bind(signed(few)).push(") AS few");
                // The limit first: most of many matches may be before the cursor.
                self.push_cursor(sql, " WHERE (place, id)");
            }
            self.push_order(sql, "place");
            self.push_slice(sql);
        });
        sql.push(") AS page ON TRUE");
        self.push_order(&mut sql, self.column);
        sql
    }

    /// Builds the query that collects and sorts all matches.
    pub(super) fn collected(&self) -> QueryBuilder<Db> {
        self.union(|sql| self.push_sorted(sql, Match::Domain))
    }

    /// Builds the query that merges the users of the domains, which are all that match, and the matches
    /// by address.
    pub(super) fn merged(&self, domains: &[String]) -> QueryBuilder<Db> {
        let domains: Vec<_> = domains.iter().map(|domain| Match::InDomain(domain)).collect();
        self.union(|sql| self.push_merged(sql, "id, place", self.column, &domains))
    }

    /// Builds the query of a page of the collected matches by address, and of the matches by domain. A
    /// user that matches by both is one row.
    fn union(&self, push_domains: impl Fn(&mut QueryBuilder<Db>)) -> QueryBuilder<Db> {
        let push_end = |sql: &mut QueryBuilder<Db>| {
            sql.push(" LIMIT ").push_bind(signed(self.limit + self.offset));
        };
        self.whole_page(|sql| {
            sql.push("SELECT id, place FROM (");
            if self.column == "email_canonical" {
                // The order of the searched index.
                self.push_merged(sql, "id, place", self.column, &[Match::Address]);
            } else {
                self.push_sorted(sql, Match::Address);
            }
            push_end(sql);
            sql.push(") AS by_address UNION SELECT id, place FROM (");
            push_domains(sql);
            push_end(sql);
            sql.push(") AS by_domain");
            self.push_order(sql, "place");
            self.push_slice(sql);
        })
    }

    /// Builds the query that scans the front of the list for matches. Its page is right if it is full, or
    /// if the list ends there.
    pub(super) fn scanned(&self, more: u64) -> QueryBuilder<Db> {
        self.whole_page(|sql| {
            sql.push("SELECT id, place FROM (");
            let columns = "id, place, email_canonical, email_domain";
            self.push_merged(sql, columns, self.place, &[Match::All]);
            sql.push(" LIMIT ").push_bind(signed(self.front(more)));
            // Without an order of its own, so that the scan ends once the page is full: both databases
            // return a sorted subquery in its order.
            sql.push(") AS front WHERE ");
            self.push_prefix(sql, "email_canonical");
            sql.push(" OR ");
            self.push_prefix(sql, "email_domain");
            self.push_slice(sql);
        })
    }

    /// Builds the query of the first row that the scan did not read.
    pub(super) fn beyond_scanned(&self, more: u64) -> QueryBuilder<Db> {
        let mut sql = QueryBuilder::new("");
        self.push_merged(&mut sql, "id, place", self.place, &[Match::All]);
        sql.push(" LIMIT 1 OFFSET ").push_bind(signed(self.front(more)));
        sql
    }

    /// Returns the number of rows that a scan reads.
    fn front(&self, more: u64) -> u64 {
        more + 4 * (self.limit + self.offset)
    }

    /// Builds the query of the first domains that match, as `domain`.
    pub(super) fn domains(&self, most: usize) -> QueryBuilder<Db> {
        const FIRST: &str = "MIN(email_domain) AS domain";
        let mut sql =
            QueryBuilder::new("WITH RECURSIVE found (domain) AS (SELECT MIN(domain) FROM (");
        self.push_ranges(&mut sql, FIRST, None, |sql| self.push_match(sql, Match::Domain));
        sql.push(") AS firsts UNION ALL SELECT (SELECT MIN(domain) FROM (");
        self.push_ranges(&mut sql, FIRST, None, |sql| {
            sql.push(" AND email_domain > found.domain AND email_domain < ");
            sql.push_bind(self.prefix_end());
            self.push_kind(sql);
        });
        sql.push(") AS nexts) FROM found WHERE found.domain IS NOT NULL) ");
        sql.push("SELECT domain FROM found WHERE domain IS NOT NULL LIMIT ");
        sql.push_bind(signed(most as u64));
        sql
    }

    fn whole_page(&self, push_listed: impl Fn(&mut QueryBuilder<Db>)) -> QueryBuilder<Db> {
        let mut sql = QueryBuilder::new("");
        self.push_page(&mut sql, push_listed);
        self.push_order(&mut sql, self.column);
        sql
    }

    /// Appends the query of the users with the listed ids.
    fn push_page(&self, sql: &mut QueryBuilder<Db>, push_listed: impl Fn(&mut QueryBuilder<Db>)) {
        sql.push(concat!("SELECT ", user_columns!(), " FROM (SELECT id AS listed_id FROM ("));
        push_listed(sql);
        sql.push(") AS listed) AS chosen JOIN goat_users ON id = listed_id");
    }

    /// Appends the number of users that match, as far as it matters.
    fn push_count(&self, sql: &mut QueryBuilder<Db>, kind: Match<'_>) {
        sql.push("(SELECT COUNT(*) FROM (");
        self.push_ranges(sql, "1 AS one", None, |sql| self.push_match(sql, kind));
        sql.push(" LIMIT ").push_bind(signed(MAX_COUNT)).push(") AS counted)");
    }

    /// Appends the users that match after the cursor, in no order.
    fn push_matches(&self, sql: &mut QueryBuilder<Db>, place: &str, kind: Match<'_>) {
        self.push_ranges(sql, &format!("id, {place} AS place"), None, |sql| {
            self.push_match(sql, kind);
            self.push_cursor(sql, " AND (created_at, id)");
        });
    }

    /// Appends the users that match after the cursor, sorted.
    fn push_sorted(&self, sql: &mut QueryBuilder<Db>, kind: Match<'_>) {
        sql.push("SELECT id, place FROM (");
        self.push_matches(sql, self.unordered, kind);
        sql.push(") AS matches");
        self.push_order(sql, "place");
    }

    /// Appends the users that match one of the kinds after the cursor: index ranges in list order, which
    /// the database merges.
    fn push_merged(
        &self,
        sql: &mut QueryBuilder<Db>,
        columns: &str,
        place: &'static str,
        kinds: &[Match<'_>],
    ) {
        let ranged = columns.replace("place", &format!("{place} AS place"));
        let mut union = format!("SELECT {columns} FROM (");
        for kind in kinds {
            sql.push(union);
            self.push_ranges(sql, &ranged, Some(place), |sql| {
                self.push_match(sql, *kind);
                self.push_cursor(sql, " AND (created_at, id)");
            });
            union = " UNION ALL ".to_owned();
        }
        sql.push(") AS ranges");
        self.push_order(sql, "place");
    }

    /// Appends one query for each range, and one for the caller's own row.
    fn push_ranges(
        &self,
        sql: &mut QueryBuilder<Db>,
        columns: &str,
        order: Option<&'static str>,
        push_condition: impl Fn(&mut QueryBuilder<Db>),
    ) {
        // PostgreSQL merges ranges only if each is ordered; SQLite omits the inner order.
        let (open, close) = if order.is_some() {
            ("SELECT * FROM (SELECT ", ") AS one_range")
        } else {
            ("SELECT ", "")
        };
        let push_end = |sql: &mut QueryBuilder<Db>| {
            push_condition(sql);
            if let Some(column) = order {
                self.push_order(sql, column);
            }
            sql.push(close);
        };
        let mut union = "";
        let (merged, sorted) = match self.is_one_range() {
            true => (&[][..], &self.ranges[..]),
            false => (&self.ranges[..], &[][..]),
        };
        if !sorted.is_empty() {
            let mut roles: Vec<_> = sorted.iter().map(|(role, _)| *role).collect();
            roles.dedup();
            sql.push(open).push(columns).push(" FROM goat_users WHERE role IN (");
            push_list(sql, roles.into_iter());
            sql.push(") AND status IN (");
            push_list(sql, statuses(self.query).map(Status::as_str));
            sql.push(")");
            push_end(sql);
            union = " UNION ALL ";
        }
        for (role, status) in merged {
            sql.push(union).push(open).push(columns).push(" FROM goat_users WHERE role = ");
            sql.push_bind((*role).to_owned()).push(" AND status = ").push_bind(status.as_str());
            push_end(sql);
            union = " UNION ALL ";
        }
        if !self.own.is_empty() {
            let id = self.query.except.map(|id| id.to_string()).unwrap_or_default();
            sql.push(union).push(open).push(columns).push(" FROM goat_users WHERE id = ");
            sql.push_bind(id).push(" AND role IN (");
            push_list(sql, self.own.iter().copied());
            sql.push(") AND status IN (");
            push_list(sql, statuses(self.query).map(Status::as_str));
            sql.push(")");
            push_end(sql);
        }
    }

    /// Appends the condition that a row, by its time and id, is after the cursor.
    fn push_cursor(&self, sql: &mut QueryBuilder<Db>, row: &'static str) {
        if let Some((made_at, id)) = self.cursor {
            sql.push(row).push(" < (").push_bind(*made_at);
            sql.push(", ").push_bind(id.clone()).push(")");
        }
    }

    fn push_match(&self, sql: &mut QueryBuilder<Db>, kind: Match<'_>) {
        if matches!(kind, Match::Address | Match::AddressAndDomain) {
            sql.push(" AND ");
            self.push_prefix(sql, "email_canonical");
        }
        if matches!(kind, Match::Domain | Match::AddressAndDomain) {
            sql.push(" AND ");
            self.push_prefix(sql, "email_domain");
        }
        if let Match::InDomain(domain) = kind {
            sql.push(" AND email_domain = ").push_bind(domain.to_owned());
        }
        self.push_kind(sql);
    }

    /// Appends the condition on the kind of a user: its domain. As a constant, so that a plan in advance
    /// expects few service accounts, and reads them from the index of domains.
    fn push_kind(&self, sql: &mut QueryBuilder<Db>) {
        match self.query.filter.kind {
            None => {}
            Some(UserKind::Person) => {
                sql.push(" AND email_domain <> 'service.invalid'");
            }
            Some(UserKind::Service) => {
                sql.push(" AND email_domain = 'service.invalid'");
            }
        }
    }

    /// Appends a prefix match as an index range: a pattern would need its wildcards escaped.
    fn push_prefix(&self, sql: &mut QueryBuilder<Db>, column: &'static str) {
        let prefix = self.query.filter.search.clone().unwrap_or_default();
        sql.push("(").push(column).push(" >= ").push_bind(prefix);
        sql.push(" AND ").push(column).push(" < ").push_bind(self.prefix_end()).push(")");
    }

    /// Returns the end of the range of texts with the searched prefix. Addresses are printable ASCII,
    /// so DEL ends it.
    fn prefix_end(&self) -> String {
        format!("{}\u{7f}", self.query.filter.search.as_deref().unwrap_or_default())
    }

    fn push_order(&self, sql: &mut QueryBuilder<Db>, column: &str) {
        sql.push(" ORDER BY ").push(column).push(self.direction).push(", id").push(self.direction);
    }

    fn push_slice(&self, sql: &mut QueryBuilder<Db>) {
        sql.push(" LIMIT ").push_bind(signed(self.limit));
        sql.push(" OFFSET ").push_bind(signed(self.offset));
    }
}

/// The roles that users have, separated by commas: a loose index scan.
const PRESENT: &str = "(SELECT string_agg(role, ',') FROM (WITH RECURSIVE present (role) AS (\
    SELECT MIN(role) FROM goat_users UNION ALL \
    SELECT (SELECT MIN(role) FROM goat_users WHERE role > present.role) FROM present \
    WHERE present.role IS NOT NULL) \
    SELECT role FROM present WHERE role IS NOT NULL) AS roles)";

const NOT_ASKED: &str = "CAST(NULL AS TEXT)";

const NONE: &str = "CAST(0 AS BIGINT)";

fn statuses(query: &UserQuery) -> impl Iterator<Item = Status> {
    let wanted = &query.filter.statuses;
    Status::ALL.into_iter().filter(|status| wanted.is_empty() || wanted.contains(status))
}

fn push_list<'a>(sql: &mut QueryBuilder<Db>, texts: impl Iterator<Item = &'a str>) {
    let mut list = sql.separated(", ");
    for text in texts {
        list.push_bind(text.to_owned());
    }
}
