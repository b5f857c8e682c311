//! The user account of an engine, if the tests run as root and the engine refuses to.

use std::process::Command;

#[derive(Clone, Copy)]
pub(crate) struct Account {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Account {
    /// The account for PostgreSQL: the caller's own, unless that is root.
    pub(crate) fn for_postgres() -> Option<Account> {
        if query("-u", None).expect("id knows the caller") != 0 {
            return None;
        }
        let found = ["postgres", "nobody"].into_iter().find_map(|name| {
            Some(Account { user: query("-u", Some(name))?, group: query("-g", Some(name))? })
        });
        Some(found.expect("root's machine has a user `postgres` or `nobody`"))
    }
}

fn query(flag: &str, name: Option<&str>) -> Option<u32> {
    let output = Command::new("id").arg(flag).args(name).output().expect("`id` can be run");
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}
