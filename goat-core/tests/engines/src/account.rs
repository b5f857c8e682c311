//! The user that an engine runs as, where the tests run as root and the engine refuses to.

use std::process::Command;

#[derive(Clone, Copy)]
pub(crate) struct Account {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Account {
    /// Who PostgreSQL runs as: nobody else than the caller, unless that is root.
    pub(crate) fn for_postgres() -> Option<Account> {
        if ask("-u", None).expect("id knows the caller") != 0 {
            return None;
        }
        let found = ["postgres", "nobody"].into_iter().find_map(|name| {
            Some(Account { user: ask("-u", Some(name))?, group: ask("-g", Some(name))? })
        });
        Some(found.expect("root's machine has a user `postgres` or `nobody`"))
    }
}

fn ask(what: &str, name: Option<&str>) -> Option<u32> {
    let said = Command::new("id").arg(what).args(name).output().expect("`id` can be run");
    String::from_utf8_lossy(&said.stdout).trim().parse().ok()
}
