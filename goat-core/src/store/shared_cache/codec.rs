//! Cache value codec: short text that starts with the format version.
//!
//! Invariant: text that deviates from the format decodes to `None`, never to a partial or default value.

use crate::access::{Grant, Permission, Role, RoleRows};
use crate::clock::Timestamp;
use crate::id::{GrantId, SessionId};
use crate::session::SessionEpoch;
use crate::user::{Status, UserState};

/// The format version.
const VERSION: &str = "1";
/// Encodes an absent value.
const NONE: &str = "-";

/// A value that can be stored in the shared cache.
pub(super) trait CacheValue: Clone + Send + Sync + 'static {
    /// Returns the revision, which increases with each change; 0 if the store does not count them.
    fn revision(&self) -> u64;

    /// Encodes everything but the revision.
    fn encode(&self) -> String;

    /// Decodes a value.
    fn decode(revision: u64, text: &str) -> Option<Self>;
}

impl CacheValue for UserState {
    fn revision(&self) -> u64 {
        self.revision
    }

    fn encode(&self) -> String {
        let Self { role, status, epoch, roles_revision, revision: _ } = self;
        let kept = epoch.kept.map_or(NONE.to_owned(), |session| session.to_string());
        let roles = roles_revision.map_or(NONE.to_owned(), |revision| revision.to_string());
        format!("{VERSION} {role} {status} {} {kept} {roles}", epoch.number)
    }

    fn decode(revision: u64, text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(' ').collect();
        let [VERSION, role, status, number, kept, roles] = parts[..] else { return None };
        Some(Self {
            role: Role::parse(role).ok()?,
            status: Status::parse(status)?,
            epoch: SessionEpoch {
                number: number.parse().ok()?,
                kept: optional(kept, |kept| SessionId::parse(kept).ok())?,
            },
            roles_revision: optional(roles, |roles| roles.parse().ok())?,
            revision,
        })
    }
}

impl CacheValue for RoleRows {
    fn revision(&self) -> u64 {
        self.revision
    }

    fn encode(&self) -> String {
        let lines = self.grants.iter().map(|Grant { id, role, permission, created_at }| {
            format!("\n{id} {role} {permission} {}", created_at.as_millis())
        });
        std::iter::once(VERSION.to_owned()).chain(lines).collect()
    }

    fn decode(revision: u64, text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        if lines.next()? != VERSION {
            return None;
        }
        Some(Self { revision, grants: lines.map(grant).collect::<Option<_>>()? })
    }
}

fn grant(line: &str) -> Option<Grant> {
    let parts: Vec<&str> = line.split(' ').collect();
    let [id, role, permission, created_at] = parts[..] else { return None };
    Some(Grant {
        id: GrantId::parse(id).ok()?,
        role: Role::parse(role).ok()?,
        permission: Permission::parse(permission).ok()?,
        created_at: Timestamp::from_millis(created_at.parse().ok()?),
    })
}

/// Decodes an optional field.
fn optional<'a, T>(text: &'a str, read: impl FnOnce(&'a str) -> Option<T>) -> Option<Option<T>> {
    if text == NONE { Some(None) } else { read(text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role() -> Role {
        Role::parse("operator").expect("a role")
    }

    fn states() -> [UserState; 2] {
        let kept = SessionId::parse("01KE1Q0J0000000000000000ZZ").expect("an id");
        let state = UserState {
            role: role(),
            status: Status::Suspended,
            epoch: SessionEpoch { number: u64::MAX, kept: Some(kept) },
            roles_revision: Some(u64::MAX),
            revision: 7,
        };
        let epoch = SessionEpoch::default();
        [UserState { epoch, status: Status::Active, roles_revision: None, ..state.clone() }, state]
    }

    fn rows() -> RoleRows {
        let grant = |last: &str, permission: &str| Grant {
            id: GrantId::parse(&format!("01KE1Q0J0000000000000000{last}")).expect("an id"),
            role: role(),
            permission: Permission::parse(permission).expect("a permission"),
            created_at: Timestamp::from_millis(-5),
        };
        RoleRows { revision: 9, grants: vec![grant("AA", "full_access"), grant("BB", "user:*")] }
    }

    #[test]
    fn encoded_values_are_decoded() {
        for state in states() {
            assert_eq!(UserState::decode(7, &state.encode()), Some(state));
        }
        for rows in [rows(), RoleRows { revision: 9, grants: Vec::new() }] {
            assert_eq!(RoleRows::decode(9, &rows.encode()), Some(rows));
        }
    }

    #[test]
    fn format_of_this_version_is_stable() {
        let [plain, full] = states();
        assert_eq!(plain.encode(), "1 operator active 0 - -");
        assert_eq!(
            full.encode(),
            "1 operator suspended 18446744073709551615 01KE1Q0J0000000000000000ZZ \
             18446744073709551615"
        );
        assert_eq!(
            rows().encode(),
            "1\n01KE1Q0J0000000000000000AA operator full_access -5\
             \n01KE1Q0J0000000000000000BB operator user:* -5"
        );
    }

    #[test]
    fn truncated_malformed_or_foreign_text_is_not_decoded() {
        for text in states().map(|state| state.encode()) {
            for end in 0..text.len() {
                let read = UserState::decode(7, &text[..end]);
                // A number without its last digits is still a number; anything else is detected.
                let is_a_number =
                    text[..end].split(' ').count() == 6 && !text[..end].ends_with(' ');
                assert_eq!(read.is_some(), is_a_number, "{:?}", &text[..end]);
            }
        }
        for text in [
            "2 operator active 0 - -",
            "1 operator active 0 - - ",
            "1 Operator active 0 - -",
            "1 operator Active 0 - -",
            "1 operator active -1 - -",
            "1 operator active 0 x -",
            "1 operator active 0 - x",
            "1  active 0 - -",
        ] {
            assert_eq!(UserState::decode(7, text), None, "{text:?}");
        }
        let whole = rows().encode();
        for text in [
            String::new(),
            whole.replacen('1', "2", 1),
            format!("{whole}\n"),
            whole.replace("user:*", "user"),
            whole.replace("-5", ""),
            whole.replace("operator", "Operator"),
        ] {
            assert_eq!(RoleRows::decode(9, &text), None, "{text:?}");
        }
    }
}
