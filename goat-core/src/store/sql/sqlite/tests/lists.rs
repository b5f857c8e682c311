//! User lists: each way to read the matches of a search, and the work that a list takes in instructions
//! of SQLite's virtual machine, which are exact where times are not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::list::Bounds;
use super::super::users::SqlUsers;
use super::*;
use crate::page::PageRequest;
use crate::testing::users::list::{
    a_list_applies_filter_order_and_page, a_list_continues_after_a_user,
    hidden_users_are_not_listed,
};
use crate::user::{Sort, UserPage};

/// W8: no bound between the ways to read the matches of a search changes a list.
#[tokio::test]
async fn each_way_to_read_matches_gives_the_same_list() {
    let collected = Bounds { few: 0, collected: 1_000, domains: 0, scanned: 0 };
    let merged = Bounds { few: 0, collected: 0, domains: 9, scanned: 0 };
    let merged_and_collected = Bounds { few: 1, collected: 20, domains: 3, scanned: 10 };
    let scanned = Bounds { few: 0, collected: 0, domains: 0, scanned: 1_000 };
    let scanned_too_little = Bounds { few: 2, collected: 2, domains: 0, scanned: 30 };
    for bounds in [collected, merged, merged_and_collected, scanned, scanned_too_little] {
        let (_folder, database) = migrated().await;
        let mut users = SqlUsers::new(database.pools.clone());
        users.lists.bounds = bounds;
        let users: Arc<dyn UserStore> = Arc::new(users);
        a_list_applies_filter_order_and_page(&users).await;
        a_list_continues_after_a_user(&users).await;
        hidden_users_are_not_listed(&users).await;
    }
}

/// A database with one reader that counts the instructions of its statements.
struct Counted {
    _folder: TempDir,
    database: SqliteDatabase,
    instructions: Arc<AtomicU64>,
}

/// The granularity of the count.
const COUNTED: i32 = 10;

impl Counted {
    /// Creates a database of this many users: the older half at `corp.example`, the newer half each at
    /// a domain of four users, and each third address with the prefix `user`. One in a thousand is
    /// suspended.
    async fn with_users(count: i64) -> Self {
        let (folder, path) = file();
        let options = SqliteOptions { readers: 1, ..SqliteOptions::new(&path) };
        let database = SqliteDatabase::open(options).await.expect("a database");
        database.migrate(MigrateOptions::default()).await.expect("a schema");
        sqlx::query(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT $1), \
             addresses AS (SELECT n, CASE WHEN n % 3 = 0 THEN 'user' ELSE 'x' END || n || '@' || \
             CASE WHEN n <= $1 / 2 THEN 'corp.example' ELSE 'd' || (n / 4) || '.example' END AS address \
             FROM numbers) \
             INSERT INTO goat_users (id, email, email_canonical, email_domain, role, status, \
             password_hash, created_at, updated_at) \
             SELECT printf('01%024d', n), address, address, \
             substr(address, instr(address, '@') + 1), CASE n WHEN 7 THEN 'admin' ELSE 'client' END, \
             CASE WHEN n % 1000 = 9 THEN 'suspended' ELSE 'active' END, '', n, n FROM addresses",
        )
        .bind(count)
        .execute(&mut *database.pools.write.acquire().await.expect("the writer"))
        .await
        .expect("valid SQL");
        let instructions = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&instructions);
        let mut reader = database.pools.read.acquire().await.expect("the reader");
        let mut handle = reader.lock_handle().await.expect("the connection");
        handle.set_progress_handler(COUNTED, move || {
            counter.fetch_add(COUNTED.unsigned_abs().into(), Ordering::Relaxed);
            true
        });
        drop(handle);
        drop(reader);
        Self { _folder: folder, database, instructions }
    }

    /// Lists users, and returns the instructions that this took.
    async fn list(&self, users: &Arc<dyn UserStore>, filter: UserFilter) -> (UserPage, u64) {
        let query = UserQuery { filter, hidden_roles: Vec::new(), except: None };
        let before = self.instructions.load(Ordering::Relaxed);
        let page = users.list(&query).await.expect("the store responds");
        (page, self.instructions.load(Ordering::Relaxed) - before)
    }
}

fn search(text: &str) -> UserFilter {
    UserFilter { search: Some(text.to_owned()), ..UserFilter::default() }
}

/// W8: a search takes at most half as many instructions again as a list, whether most users match, or
/// few, or those at the end of the list; and twice the users take no more.
#[tokio::test]
async fn a_list_and_a_search_take_bounded_work() {
    let mut before = Vec::new();
    for count in [22_000, 44_000] {
        let counted = Counted::with_users(count).await;
        let users = counted.database.users();
        // The first list finds the roles.
        counted.list(&users, UserFilter::default()).await;
        let (page, plain) = counted.list(&users, UserFilter::default()).await;
        assert_eq!((page.users.len(), page.total, page.total_is_lower_bound), (20, 10_000, true));
        let mut taken = vec![("a list", plain)];
        let searches =
            ["corp", "corp.example", "d", "user", "x", "user21", "d5", "zzz", "user12345@"];
        for text in searches {
            let (page, search) = counted.list(&users, search(text)).await;
            assert!(search <= plain * 3 / 2, "{text}: {search} instructions, a list {plain}");
            assert_eq!(page.users.is_empty(), text == "zzz", "{text}");
            taken.push((text, search));
        }
        // The last page that can be reached.
        let page = PageRequest::new(500, 20).expect("a page");
        for (name, filter) in [
            ("last page", UserFilter { page, ..UserFilter::default() }),
            ("last page of corp", UserFilter { page, ..search("corp") }),
        ] {
            let (page, deep) = counted.list(&users, filter).await;
            assert_eq!(page.users.len(), 20);
            assert!(deep <= 8 * plain, "{name}: {deep} instructions, the first page {plain}");
            taken.push((name, deep));
        }
        for (now, earlier) in taken.iter().zip(&before) {
            let (_, few): &(&str, u64) = earlier;
            // The matches of some searches grow with the users, up to the reach of the total.
            let most = (few + few / 4).max(plain * 3 / 2);
            assert!(now.1 <= most, "{now:?}, of half as many users {few}");
        }
        eprintln!("{count} users: {taken:?}");
        before = taken;
    }
}

/// A list is one statement, once it knows the roles that users have, and sees a role that is new.
#[tokio::test]
async fn a_role_that_appears_is_listed() {
    let (_folder, database) = migrated().await;
    let users = database.users();
    let mut expected = 0;
    for _ in 0..3 {
        let query =
            UserQuery { filter: UserFilter::default(), hidden_roles: Vec::new(), except: None };
        let page = users.list(&query).await.expect("the store responds");
        assert_eq!((page.users.len(), page.total), (expected, expected as u64));
        put(&users, &account(&role())).await.expect("the store responds");
        expected += 1;
    }
    let sorted =
        UserFilter { sort: Sort::parse("email").expect("a sort"), ..UserFilter::default() };
    let query = UserQuery { filter: sorted, hidden_roles: Vec::new(), except: None };
    assert_eq!(users.list(&query).await.expect("the store responds").users.len(), expected);
}
