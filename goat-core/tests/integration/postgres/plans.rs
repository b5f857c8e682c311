//! Query plans over a million users: no call on the request path reads more rows than a list may
//! reach ([`PAGE_REACH`]), for any arguments.
//!
//! The actual work is read from the server's log, where `auto_explain` writes the plan of every
//! statement with the rows and blocks it touched. Every call is repeated more often than PostgreSQL
//! needs to switch to a generic plan. Time is not asserted.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use goat_core::session::SessionEpoch;
use goat_core::store::sql::{PostgresDatabase, PostgresOptions};
use goat_core::store::{RoleChange, RoleSnapshot, RoleWrite, UserChange, UserSnapshot, UserWrite};
use goat_core::user::{Sort, SortKey, UserFilter, UserKind, UserQuery};
use goat_core::{PAGE_REACH, PageRequest, Role, SessionId, Status, TokenId, UserId};
use goat_engines::Postgres;
use serde_json::Value;

use crate::postgres::support::{account, name, now, open, put, role, rotation, session};

/// A million users: three administrators, three hundred operators, and clients. A tenth is
/// inactive, one in a thousand suspended. A third is in one domain, half of the addresses share a
/// prefix, and two in five never signed in.
const USERS: &str = "
    INSERT INTO goat_users (id, email, email_canonical, email_domain, role, status, password_hash,
        created_at, updated_at, last_login_at)
    SELECT '01' || lpad(n::text, 24, '0'), address, address, split_part(address, '@', 2),
        CASE WHEN n % 400000 = 7 THEN 'admin' WHEN n % 3333 = 5 THEN 'operator' ELSE 'client' END,
        CASE WHEN n % 1000 = 9 THEN 'suspended' WHEN n % 10 = 3 THEN 'inactive' ELSE 'active' END,
        '$argon2id$v=19$m=19456,t=2,p=1$' || repeat('x', 65), 1750000000000 + n / 3 * 1000,
        1750000000000, CASE WHEN n % 5 < 2 THEN 0 ELSE 1760000000000 + n % 100000 * 1000 END
    FROM (SELECT n, CASE WHEN n % 2 = 0 THEN 'user' || n ELSE substr(md5(n::text), 1, 12) END || '@'
        || CASE WHEN n % 3 = 0 THEN 'gmail.com' ELSE 'company' || n % 30000 || '.example' END
        AS address FROM generate_series(1, 1000000) AS n) AS made";

/// A session for each user, except a thousand for the first; a tenth is expired.
const SESSIONS: &str = "
    INSERT INTO goat_sessions (id, user_id, epoch, device, address, created_at, last_used_at, idle_at,
        ends_at, current_id, current_issued_at, current_expires_at, current_key)
    SELECT '01' || lpad(n::text, 24, '0'),
        '01' || lpad((CASE WHEN n <= 1000 THEN 1 ELSE n END)::text, 24, '0'), 0, 'Browser', '::1',
        1750000000000 + n, 1750000000000, over_at, over_at, '01' || lpad(n::text, 24, '0'),
        1750000000000, over_at, 'key'
    FROM (SELECT n, CASE WHEN n % 10 = 0 THEN 1750000000000 + n ELSE 4000000000000 + n END AS over_at
        FROM generate_series(1, 1000000) AS n) AS made";

/// All indexes and constraints that serve queries.
const INDEXES: &str = "
    SELECT indexname, pg_get_indexdef(indexname::regclass), pg_get_constraintdef(pg_constraint.oid)
    FROM pg_indexes LEFT JOIN pg_constraint ON conname = indexname
    WHERE tablename IN ('goat_users', 'goat_sessions') AND schemaname = 'public'";

/// Fills the tables without indexes, and recreates the indexes afterwards.
fn fill(server: &Postgres, database: &str) {
    let run = |sql: &str| server.psql(database, sql);
    let indexes = run(INDEXES);
    let mut drops = String::new();
    let mut makes = Vec::new();
    for line in indexes.lines() {
        let [name, index, constraint] = line.split('|').collect::<Vec<_>>()[..] else {
            panic!("an index and its text: {line}");
        };
        let table = if name.starts_with("goat_users") { "goat_users" } else { "goat_sessions" };
        if constraint.is_empty() {
            drops.push_str(&format!("DROP INDEX {name};"));
            makes.push(index.to_owned());
        } else {
            drops.push_str(&format!("ALTER TABLE {table} DROP CONSTRAINT {name};"));
            makes.push(format!("ALTER TABLE {table} ADD CONSTRAINT {name} {constraint}"));
        }
    }
    let unlogged = "ALTER TABLE goat_users SET UNLOGGED; ALTER TABLE goat_sessions SET UNLOGGED";
    run(&format!("{drops}{unlogged}"));
    let in_parallel = |texts: &[&str]| {
        std::thread::scope(|scope| {
            for text in texts {
                scope.spawn(|| run(text));
            }
        });
    };
    in_parallel(&[USERS, SESSIONS]);
    // A constraint locks the whole table; plain indexes can be created in parallel.
    let (constraints, plain): (Vec<&str>, Vec<&str>) =
        makes.iter().map(String::as_str).partition(|text| text.starts_with("ALTER"));
    for constraint in constraints {
        run(constraint);
    }
    in_parallel(&plain);
    in_parallel(&["ANALYZE goat_users", "ANALYZE goat_sessions"]);
    assert_eq!(run(INDEXES).lines().count(), indexes.lines().count(), "every index is back");
}

/// Calls of each kind: more than the five after which PostgreSQL considers a generic plan.
const TIMES: usize = 7;

/// A database with a million users, the position up to which its log was read, and the findings.
struct Million {
    server: Postgres,
    database: PostgresDatabase,
    read_to: u64,
    found: Vec<String>,
    calls: usize,
    worst: (u64, u64),
}

/// Rows and blocks of users and sessions that one statement touched.
#[derive(Debug, Default)]
struct Touched {
    rows: u64,
    blocks: u64,
    whole_tables: Vec<String>,
}

impl Million {
    async fn make() -> Self {
        let settings = [
            "session_preload_libraries = 'auto_explain'",
            "auto_explain.log_analyze = on",
            "auto_explain.log_timing = off",
            "auto_explain.log_buffers = on",
            "auto_explain.log_nested_statements = on",
            "auto_explain.log_format = json",
            "shared_buffers = 512MB",
            "maintenance_work_mem = 256MB",
            "max_wal_size = 8GB",
            "autovacuum = off",
            // As on a slow disk: the bound must hold for any estimate of the planner.
            "random_page_cost = 20",
            "effective_cache_size = 1MB",
        ];
        let settings = settings.map(str::to_owned).to_vec();
        let server =
            Postgres::start(goat_engines::PostgresOptions { settings, ..Default::default() });
        let url = server.create_database();
        let options = PostgresOptions { connections: 1, ..PostgresOptions::new(url.as_str()) };
        let database = open(&options).await;
        database.close().await;
        fill(&server, name(&url));
        let explain = "SET auto_explain.log_min_duration = 0";
        server.psql("postgres", &format!("ALTER DATABASE {} {explain}", name(&url)));
        let database = PostgresDatabase::open(&options).expect("a URL");
        let mut million =
            Self { server, database, read_to: 0, found: Vec::new(), calls: 0, worst: (0, 0) };
        million.plans();
        million
    }

    /// The plans since the last call.
    fn plans(&mut self) -> Vec<Value> {
        let mut log = File::open(self.server.folder().join("log")).expect("the server's log");
        log.seek(SeekFrom::Start(self.read_to)).expect("it only grows");
        let mut text = String::new();
        log.read_to_string(&mut text).expect("the log is text");
        self.read_to += text.len() as u64;
        let plans = text.split("plan:").skip(1);
        plans
            .map(|plan| {
                let mut values = serde_json::Deserializer::from_str(plan).into_iter();
                values.next().expect("a plan").expect("JSON")
            })
            .collect()
    }

    /// Records statements since the last call that exceeded the bound.
    fn check(&mut self, call: &str, most: u64) {
        let plans = self.plans();
        assert!(!plans.is_empty(), "{call} left no plan in the log");
        self.calls += 1;
        for plan in plans {
            let text = plan["Query Text"].as_str().unwrap_or_default().to_owned();
            let mut touched = Touched::default();
            touch(&plan["Plan"], &mut touched);
            let blocks = &plan["Plan"];
            touched.blocks =
                number(blocks, "Shared Hit Blocks") + number(blocks, "Shared Read Blocks");
            self.worst.0 = self.worst.0.max(touched.rows);
            self.worst.1 = self.worst.1.max(touched.blocks);
            // A row costs its block and its share of the index; each scan adds some blocks.
            let is_too_much = touched.rows > most || touched.blocks > 2 * most + 400;
            if is_too_much || !touched.whole_tables.is_empty() {
                self.found.push(format!(
                    "{call}: {touched:?} of at most {most}\n{text}\n{}",
                    shown(&plan["Plan"], 0)
                ));
            }
        }
    }
}

fn number(node: &Value, name: &str) -> u64 {
    node[name].as_f64().unwrap_or_default() as u64
}

fn touch(node: &Value, touched: &mut Touched) {
    let table = node["Relation Name"].as_str().unwrap_or_default();
    let kind = node["Node Type"].as_str().unwrap_or_default();
    if ["goat_users", "goat_sessions"].contains(&table) && kind.ends_with("Scan") {
        let rows = number(node, "Actual Rows")
            + number(node, "Rows Removed by Filter")
            + number(node, "Rows Removed by Index Recheck");
        touched.rows += rows * number(node, "Actual Loops");
        if kind == "Seq Scan" {
            touched.whole_tables.push(table.to_owned());
        }
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        touch(child, touched);
    }
}

/// Renders a plan.
fn shown(node: &Value, depth: usize) -> String {
    let names = ["Node Type", "Relation Name", "Index Name", "Index Cond", "Filter"];
    let counts = ["Actual Rows", "Actual Loops", "Rows Removed by Filter", "Shared Hit Blocks"];
    let mut text = "  ".repeat(depth);
    text.extend(names.iter().filter_map(|name| node[name].as_str()).map(|text| format!("{text} ")));
    for name in counts {
        text.push_str(&format!("| {} ", number(node, name)));
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        text.push('\n');
        text.push_str(&shown(child, depth + 1));
    }
    text
}

fn user(number: u32) -> UserId {
    UserId::parse(&format!("01{number:024}")).expect("an id")
}

fn session_id(number: u32) -> SessionId {
    SessionId::parse(&format!("01{number:024}")).expect("an id")
}

async fn check_users(million: &mut Million) {
    let users = million.database.users();
    for time in 0..TIMES as u32 {
        users.by_email("user2@company2.example").await.expect("a read").expect("a user");
        million.check("by_email", 1);
        assert!(users.by_email("nobody@nowhere.example").await.expect("a read").is_none());
        million.check("by_email of an unknown user", 1);
        users.by_id(user(2)).await.expect("a read").expect("a user");
        million.check("by_id", 1);
        users.state(user(2)).await.expect("a read").expect("a user");
        million.check("state", 1);
        users.sample_hashes(100).await.expect("a read");
        million.check("sample_hashes", 100);
        for (name, is_there) in [("admin", true), ("client", true), ("nobody", false)] {
            let anyone = users.has_active_user_in(&role(name)).await.expect("a read");
            assert_eq!(anyone, is_there);
            million.check(&format!("has_active_user_in {name}"), 2);
        }
        users.signed_in(user(3), now(), None).await.expect("a write").expect("a user");
        million.check("signed_in", 1);
        let new = account(&role("client"));
        put(&users, None, &new).await.expect("a write");
        million.check("write of a new user", 3);
        put(&users, Some(user(7)), &new).await.expect("a write");
        million.check("write by an administrator", 3);
        let admin = account(&role("admin"));
        put(&users, None, &admin).await.expect("a write");
        million.check("write of an administrator", 3);
        let decide = |_: &UserSnapshot| Ok(UserChange::Delete);
        let (target, top_role) = (user(4 + time), &role("admin"));
        let delete =
            UserWrite { actor: None, key: None, target, top_role, assigns: None, decide: &decide };
        users.write(delete).await.expect("a write");
        million.check("delete", 3);
        let roles = million.database.roles();
        roles.load().await.expect("a read");
        let decide = |_: &RoleSnapshot| Ok(RoleChange::Nothing);
        roles
            .write(RoleWrite { actor: Some(user(7)), key: None, deletes: None, decide: &decide })
            .await
            .expect("a write");
        million.check("roles", 1);
    }
}

async fn check_sessions(million: &mut Million) {
    const CROWD: u64 = 1_000;
    for has_users in [true, false] {
        let sessions = match has_users {
            true => million.database.sessions(),
            false => million.database.sessions_without_users(),
        };
        let epoch = SessionEpoch::default();
        for _ in 0..TIMES {
            sessions.find(user(2002), session_id(2002)).await.expect("a read").expect("a session");
            million.check("find", 2);
            // Only the user's own sessions are read.
            for (owner, own) in [(user(1), CROWD + 20), (account(&role("client")).user.id, 3)] {
                let page = PageRequest::new(1, 20).expect("a page");
                sessions.list(owner, epoch, now(), page).await.expect("a read");
                // The total, and the page with the expired sessions between its rows.
                million.check("list of sessions", own + 40);
                let one = session(owner);
                sessions.create(&one, 10_000).await.expect("a write");
                million.check("create", 2 * own);
                let leeway = Duration::from_secs(60);
                for _ in 0..2 {
                    let used = rotation(&one, one.current.id, now(), leeway);
                    sessions.rotate(&used).await.expect("a write");
                    million.check("rotate", 2);
                }
                let reused = rotation(&one, TokenId::generate(now()), now(), leeway);
                sessions.rotate(&reused).await.expect("a write");
                million.check("reuse", 2);
                let (one, other) = (session(owner), session(owner));
                for one in [&one, &other] {
                    sessions.create(one, 10_000).await.expect("a write");
                }
                million.check("create", 2 * own);
                sessions.revoke(owner, epoch, now(), &[one.id]).await.expect("a write");
                million.check("revoke", 2);
                sessions.end(owner, other.id).await.expect("a write");
                million.check("end", 1);
            }
            // A tenth of the sessions is expired; each call deletes at most 100 of them.
            sessions.purge(now(), 100).await.expect("a write");
            million.check("purge", 3 * 100);
            sessions.revoke_all(user(3003), epoch, now(), None).await.expect("a write");
            million.check("revoke_all", 9);
        }
        sessions.revoke_all(user(1), epoch, now(), Some(session_id(1))).await.expect("a write");
        million.check("revoke_all of many", 2 * CROWD);
        let is_first = has_users;
        let purged = sessions.purge(now(), 200_000).await.expect("a write");
        assert_eq!(purged > 0, is_first);
        // Autovacuum would do this.
        million.server.psql("test_0", "VACUUM goat_sessions");
        million.plans();
        for _ in 0..TIMES {
            assert_eq!(sessions.purge(now(), 100).await.expect("a write"), 0);
            million.check("purge of nothing", 1);
        }
    }
}

fn roles(names: &[&str]) -> Vec<Role> {
    names.iter().copied().map(role).collect()
}

/// The expected list, by a straightforward query.
fn naive(query: &UserQuery) -> String {
    let UserFilter { roles, statuses, kind, search, sort, page, after } = &query.filter;
    let list = |texts: Vec<&str>| format!("('{}')", texts.join("', '"));
    let names = |roles: &[Role]| list(roles.iter().map(Role::as_str).collect());
    let hidden = names(&query.hidden_roles);
    let except = query.except.map(|id| id.to_string()).unwrap_or_default();
    let mut sql =
        format!("SELECT id FROM goat_users WHERE (role NOT IN {hidden} OR id = '{except}')");
    if !roles.is_empty() {
        sql.push_str(&format!(" AND role IN {}", names(roles)));
    }
    if !statuses.is_empty() {
        let statuses = statuses.iter().copied().map(Status::as_str).collect();
        sql.push_str(&format!(" AND status IN {}", list(statuses)));
    }
    if let Some(kind) = kind {
        let operator = if *kind == UserKind::Service { "=" } else { "<>" };
        sql.push_str(&format!(" AND email_domain {operator} 'service.invalid'"));
    }
    if let Some(search) = search {
        let begins = |column| format!("starts_with({column}, '{search}')");
        let (address, domain) = (begins("email_canonical"), begins("email_domain"));
        sql.push_str(&format!(" AND ({address} OR {domain})"));
    }
    let mut order = *sort;
    if let Some(after) = after {
        order = Sort::default();
        let made_at = after.made_at().as_millis();
        sql.push_str(&format!(
            " AND (created_at, id) < (COALESCE((SELECT created_at FROM goat_users WHERE id = '{after}' \
             AND (role NOT IN {hidden} OR id = '{except}')), {made_at}), '{after}')"
        ));
    }
    let column = match order.key {
        SortKey::CreatedAt => "created_at",
        SortKey::Email => "email_canonical",
        SortKey::LastLoginAt => "last_login_at",
    };
    let direction = if order.descending { "DESC" } else { "ASC" };
    let offset = if after.is_some() { 0 } else { page.offset() };
    let limit = page.limit();
    format!("{sql} ORDER BY {column} {direction}, id {direction} LIMIT {limit} OFFSET {offset}")
}

/// All orders, with filters that match most, few or no users, from the first to the last reachable
/// page.
async fn check_lists(million: &mut Million) {
    let users = million.database.users();
    let wanted = [roles(&[]), roles(&["client"]), roles(&["admin"]), roles(&["operator", "admin"])];
    let statuses = [
        vec![],
        vec![Status::Active],
        vec![Status::Suspended],
        vec![Status::Inactive],
        vec![Status::Suspended, Status::Active],
    ];
    let kinds = [None, None, Some(UserKind::Person), Some(UserKind::Service)];
    let searches = [
        None,
        Some("user"),
        Some("a"),
        Some("c"),
        Some("gmail.com"),
        Some("company7.ex"),
        Some("user1234"),
        Some("~"),
    ];
    let hidden = [roles(&[]), roles(&["admin"]), roles(&["operator", "admin"]), roles(&["client"])];
    let pages = [PageRequest::default(), PageRequest::new(100, 100).expect("the last page")];
    let afters = [None, Some(user(1)), Some(user(500_000)), Some(user(999_999))];
    let reach = PAGE_REACH + 1;
    let (mut turn, mut compared) = (0, 0);
    for sort in Sort::NAMES {
        for roles in &wanted {
            for search in searches {
                for page in pages {
                    turn += 1;
                    let filter = UserFilter {
                        roles: roles.clone(),
                        statuses: statuses[turn / 2 % statuses.len()].clone(),
                        kind: kinds[turn / 3 % kinds.len()],
                        search: search.map(str::to_owned),
                        sort: Sort::parse(sort).expect("an order"),
                        page,
                        after: afters[turn % 3 * (turn / 3 % afters.len()) % afters.len()],
                    };
                    let hidden_roles = hidden[turn / 5 % hidden.len()].clone();
                    let except = (turn % 2 == 0).then(|| user(7));
                    let query = UserQuery { filter, hidden_roles, except };
                    let found = users.list(&query).await.expect("a read");
                    assert!(found.total <= PAGE_REACH);
                    let is_hidden = |role| query.hidden_roles.contains(role);
                    if !roles.is_empty() && roles.iter().all(is_hidden) && query.except.is_none() {
                        assert!(found.users.is_empty() && million.plans().is_empty(), "{query:?}");
                        continue;
                    }
                    // One statement counts up to the reach and reads up to the end of the page, and one
                    // more row per started range. A search counts the matches by address and by domain,
                    // and reads those of one if few match by the other. To fill a late page, it scans
                    // the front of the list, or collects all matches, which are at most one in thirty
                    // where that happens here.
                    let wanted = page.offset() + u64::from(page.limit());
                    let once = match search {
                        None => reach + wanted,
                        Some(_) if page.offset() == 0 => 2 * reach + 400,
                        Some(_) => 6 * reach,
                    };
                    million.check(&format!("{query:?}"), once + 20 + u64::from(page.limit()));
                    if turn % 11 == 0 {
                        compared += 1;
                        let expected = million.server.psql("test_0", &naive(&query));
                        million.plans();
                        let ids = found.users.iter().map(|user| user.id.to_string());
                        assert_eq!(ids.collect::<Vec<_>>().join("\n"), expected, "{query:?}");
                    }
                }
            }
        }
    }
    assert!(compared > 20, "{compared} lists were compared");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_users_are_served_by_indexes() {
    let mut million = Million::make().await;
    check_users(&mut million).await;
    check_sessions(&mut million).await;
    check_lists(&mut million).await;
    eprintln!(
        "{} calls; at most {} rows, {} blocks",
        million.calls, million.worst.0, million.worst.1
    );
    let found = &million.found;
    assert!(
        found.is_empty(),
        "{} statements read too much:\n{}",
        found.len(),
        found[..found.len().min(4)].join("\n\n")
    );
}
