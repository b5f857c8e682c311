//! Cache value codec: short text that starts with the format version.
//!
//! Invariant: text that deviates from the format decodes to `None`, never to a partial or default value.

use crate::access::{Grant, Permission, Rank, Role, RoleRows, StoredRole};
use crate::clock::Timestamp;
use crate::id::{GrantId, SessionId, UserId};
use crate::session::SessionEpoch;
use crate::user::{Attributes, Email, Status, User, UserState};

/// The format version of user states. Version 1 had no profile, version 2 no attributes, version 3 no
/// verified addresses.
const STATE: &str = "4";
/// The format version of roles and permissions. Version 1 had no roles.
const ROWS: &str = "2";
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
        let Self { user, epoch: SessionEpoch { number, kept }, roles_revision, revision: _ } = self;
        let User {
            id,
            email,
            email_verified_at,
            role,
            status,
            created_at,
            updated_at,
            last_login_at,
            attributes,
        } = user;
        let (created_at, updated_at) = (created_at.as_millis(), updated_at.as_millis());
        let last_login_at = text(last_login_at.map(Timestamp::as_millis));
        let email_verified_at = text(email_verified_at.map(Timestamp::as_millis));
        let (kept, roles) = (text(*kept), text(*roles_revision));
        // These come last and with their lengths, since a store may keep any text as an address.
        let (given, canonical) = (email.as_str(), email.canonical());
        let attributes = attributes.stored().unwrap_or_default();
        format!(
            "{STATE} {id} {role} {status} {created_at} {updated_at} {last_login_at} \
             {email_verified_at} {number} {kept} {roles} {} {} {} {given}{canonical}{attributes}",
            given.len(),
            canonical.len(),
            attributes.len()
        )
    }

    fn decode(revision: u64, text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(15, ' ').collect();
        let [STATE, id, role, status, created_at, updated_at, last_login_at, ref rest @ ..] =
            parts[..]
        else {
            return None;
        };
        let &[verified_at, number, kept, roles, given, canonical, attributes, texts] = rest else {
            return None;
        };
        let (given, texts) = texts.split_at_checked(given.parse().ok()?)?;
        let (canonical, texts) = texts.split_at_checked(canonical.parse().ok()?)?;
        let length: usize = attributes.parse().ok()?;
        let attributes = match texts {
            _ if texts.len() != length => return None,
            "" => Attributes::default(),
            text => Attributes::from_stored(text)?,
        };
        let time = |text: &str| text.parse().ok().map(Timestamp::from_millis);
        Some(Self {
            user: User {
                id: UserId::parse(id).ok()?,
                email: Email::from_stored(given.to_owned(), canonical.to_owned()),
                email_verified_at: optional(verified_at, time)?,
                role: Role::parse(role).ok()?,
                status: Status::parse(status)?,
                created_at: time(created_at)?,
                updated_at: time(updated_at)?,
                last_login_at: optional(last_login_at, time)?,
                attributes,
            },
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
        let roles = self.roles.iter().map(|StoredRole { role, rank, created_at }| {
            format!("\n{role} {} {}", rank.0, created_at.as_millis())
        });
        let grants = self.grants.iter().map(|Grant { id, role, permission, created_at }| {
            format!("\n{id} {role} {permission} {}", created_at.as_millis())
        });
        std::iter::once(ROWS.to_owned()).chain(roles).chain(grants).collect()
    }

    fn decode(revision: u64, text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        if lines.next()? != ROWS {
            return None;
        }
        let mut rows = Self { revision, ..Self::default() };
        for line in lines {
            let parts: Vec<&str> = line.split(' ').collect();
            let time = |text: &str| text.parse().ok().map(Timestamp::from_millis);
            match parts[..] {
                [role, rank, created_at] => rows.roles.push(StoredRole {
                    role: Role::parse(role).ok()?,
                    rank: Rank(rank.parse().ok()?),
                    created_at: time(created_at)?,
                }),
                [id, role, permission, created_at] => rows.grants.push(Grant {
                    id: GrantId::parse(id).ok()?,
                    role: Role::parse(role).ok()?,
                    permission: Permission::parse(permission).ok()?,
                    created_at: time(created_at)?,
                }),
                _ => return None,
            }
        }
        Some(rows)
    }
}

/// Encodes an optional field.
fn text(field: Option<impl ToString>) -> String {
    field.map_or(NONE.to_owned(), |field| field.to_string())
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
        let user = User {
            id: UserId::parse("01KE1Q0J0000000000000000YY").expect("an id"),
            email: Email::parse("Ann@Bücher.example").expect("an address"),
            email_verified_at: Some(Timestamp::from_millis(8)),
            role: role(),
            status: Status::Suspended,
            created_at: Timestamp::from_millis(-5),
            updated_at: Timestamp::from_millis(1_767_225_600_347),
            last_login_at: Some(Timestamp::from_millis(9)),
            attributes: Attributes::from_stored(r#"{"a":"b c","d":["ü"]}"#).expect("attributes"),
        };
        let state = UserState {
            user: user.clone(),
            epoch: SessionEpoch { number: u64::MAX, kept: Some(kept) },
            roles_revision: Some(u64::MAX),
            revision: 7,
        };
        let user = User {
            // Not parsed: of a store that goat did not write.
            email: Email::from_stored("a b".to_owned(), String::new()),
            email_verified_at: None,
            status: Status::Active,
            last_login_at: None,
            attributes: Attributes::default(),
            ..user
        };
        [
            UserState { user, epoch: SessionEpoch::default(), roles_revision: None, revision: 7 },
            state,
        ]
    }

    fn rows() -> RoleRows {
        let grant = |last: &str, permission: &str| Grant {
            id: GrantId::parse(&format!("01KE1Q0J0000000000000000{last}")).expect("an id"),
            role: role(),
            permission: Permission::parse(permission).expect("a permission"),
            created_at: Timestamp::from_millis(-5),
        };
        let stored =
            StoredRole { role: role(), rank: Rank(500), created_at: Timestamp::from_millis(-5) };
        RoleRows {
            revision: 9,
            roles: vec![stored],
            grants: vec![grant("AA", "full_access"), grant("BB", "user:*")],
        }
    }

    #[test]
    fn encoded_values_are_decoded() {
        for state in states() {
            let decoded = UserState::decode(7, &state.encode()).expect("a state");
            assert_eq!(decoded, state);
            assert_eq!(decoded.user.email.as_str(), state.user.email.as_str());
        }
        for rows in [rows(), RoleRows { revision: 9, ..RoleRows::default() }] {
            assert_eq!(RoleRows::decode(9, &rows.encode()), Some(rows));
        }
    }

    #[test]
    fn format_of_this_version_is_stable() {
        let [plain, full] = states();
        assert_eq!(
            plain.encode(),
            "4 01KE1Q0J0000000000000000YY operator active -5 1767225600347 - - 0 - - 3 0 0 a b"
        );
        assert_eq!(
            full.encode(),
            "4 01KE1Q0J0000000000000000YY operator suspended -5 1767225600347 9 8 \
             18446744073709551615 01KE1Q0J0000000000000000ZZ 18446744073709551615 19 25 22 \
             Ann@Bücher.exampleann@xn--bcher-kva.example{\"a\":\"b c\",\"d\":[\"ü\"]}"
        );
        assert_eq!(
            rows().encode(),
            "2\noperator 500 -5\n01KE1Q0J0000000000000000AA operator full_access -5\
             \n01KE1Q0J0000000000000000BB operator user:* -5"
        );
    }

    #[test]
    fn truncated_malformed_or_foreign_text_is_not_decoded() {
        for text in states().map(|state| state.encode()) {
            for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
                assert_eq!(UserState::decode(7, &text[..end]), None, "{:?}", &text[..end]);
            }
            assert_eq!(UserState::decode(7, &format!("{text} ")), None);
        }
        let [plain, full] = states().map(|state| state.encode());
        for (old, new) in [
            ("4 ", "3 "),
            ("4 ", "4  "),
            ("YY", "Y"),
            ("operator", "Operator"),
            ("active", "Active"),
            (" -5 ", " x "),
            ("347 -", "347 x"),
            (" - - 0", " - x 0"),
            (" 0 -", " -1 -"),
            (" - 3", " x 3"),
            ("3 0 0", "4 0 0"),
            ("3 0 0", "2 0 0"),
            ("3 0 0", "3 1 0"),
            ("3 0 0", "3 0 1"),
        ] {
            let text = plain.replacen(old, new, 1);
            assert_ne!(text, plain, "{old}");
            assert_eq!(UserState::decode(7, &text), None, "{text:?}");
        }
        // Within a character.
        assert_eq!(UserState::decode(7, &full.replace(" 19 25 22 ", " 6 38 22 ")), None);
        // Earlier versions, in which a user with attributes or a verified address has none.
        assert_eq!(UserState::decode(7, "1 operator active 0 - -"), None);
        let third = plain.replacen("4 ", "3 ", 1).replace(" - - 0 ", " - 0 ");
        let second = third.replacen("3 ", "2 ", 1).replace(" 3 0 0 ", " 3 0 ");
        for text in [third, second] {
            assert_eq!(UserState::decode(7, &text), None, "{text:?}");
        }
        assert_eq!(UserState::decode(7, &full.replace("\"d\"", "\"D\"")), None);
        let whole = rows().encode();
        for text in [
            String::new(),
            // The earlier version, which has no roles.
            "1\n01KE1Q0J0000000000000000AA operator full_access -5".to_owned(),
            whole.replacen("2\n", "3\n", 1),
            whole.replacen(" 500 ", " x ", 1),
            whole.replacen(" 500", "", 1),
            format!("{whole}\n"),
            whole.replace("user:*", "user"),
            whole.replace("-5", ""),
            whole.replace("operator", "Operator"),
        ] {
            assert_eq!(RoleRows::decode(9, &text), None, "{text:?}");
        }
    }
}
