//! The roles file (`GOAT_ROLES_FILE`): roles with their ranks and permissions, as part of a deployment.

use std::fs;
use std::path::Path;

use goat_core::access::{NewRole, Rank, RoleDifference};
use goat_core::{Actor, Error, ErrorKind, Goat, Permission, Role};
use serde::Deserialize;

use crate::failure::Failure;

/// A role of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    rank: u32,
    permissions: Vec<String>,
}

/// Reads the roles of a file.
fn read_roles(path: &Path) -> Result<Vec<NewRole>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| refused(path, error))?;
    let entries: Vec<Entry> = serde_json::from_str(&text).map_err(|error| refused(path, error))?;
    entries.into_iter().map(|entry| role(entry).map_err(|error| refused(path, error))).collect()
}

fn role(entry: Entry) -> Result<NewRole, String> {
    let Entry { name, rank, permissions } = entry;
    let parsed =
        Role::parse(&name).map_err(|error| format!("the name {name:?} of a role {error}"))?;
    let permission = |text: &String| {
        Permission::parse(text)
            .map_err(|error| format!("the permission {text:?} of the role {name} {error}"))
    };
    let permissions = permissions.iter().map(permission).collect::<Result<_, _>>()?;
    Ok(NewRole { name: parsed, rank: Rank(rank), permissions })
}

/// Applies the roles of a file, and returns the changes.
///
/// # Errors
///
/// If the file is malformed, breaks a rule about roles, or the database is unavailable.
pub(crate) async fn apply_roles(goat: &Goat, path: &Path) -> Result<Vec<RoleDifference>, Failure> {
    let roles = read_roles(path)?;
    let applied = goat.roles().apply(Actor::system("roles file"), roles).await;
    applied.map_err(|error| explain(path, error))
}

/// Returns the differences between the roles in force and those of a file.
///
/// # Errors
///
/// As [`apply_roles`].
pub(crate) async fn compare_roles(
    goat: &Goat,
    path: &Path,
) -> Result<Vec<RoleDifference>, Failure> {
    let roles = read_roles(path)?;
    goat.roles().compare(&roles).await.map_err(|error| explain(path, error))
}

fn explain(path: &Path, error: Error) -> Failure {
    match error.kind() {
        ErrorKind::Invalid => {
            let faults: Vec<_> = error
                .violations()
                .iter()
                .map(|violation| format!("the {} {}", violation.field, violation.message))
                .collect();
            refused(path, faults.join("; "))
        }
        ErrorKind::RoleProtected => refused(path, "the highest role keeps its rank"),
        ErrorKind::TooMany => refused(path, "there would be more than 1,000 roles"),
        _ => error.into(),
    }
}

fn refused(path: &Path, reason: impl std::fmt::Display) -> Failure {
    Failure::configuration(format!("GOAT_ROLES_FILE: {}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use goat_core::Stores;
    use goat_core::token::TokenKeys;

    use super::*;

    async fn applied(goat: &Goat, text: &str) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("roles.json");
        fs::write(&path, text).expect("a file");
        let compared = compare_roles(goat, &path).await;
        let changes = apply_roles(goat, &path).await;
        assert_eq!(compared.as_ref().ok(), changes.as_ref().ok());
        let changes = changes.map_err(|failure| failure.sentences().join("; "))?;
        Ok(changes.iter().map(ToString::to_string).collect())
    }

    fn goat() -> Goat {
        let builder = Goat::builder(Stores::memory(), TokenKeys::generate());
        builder.stored_roles().build().expect("a goat")
    }

    #[tokio::test]
    async fn roles_file_is_applied_once() {
        let goat = goat();
        let text = r#"[{"name": "support", "rank": 300, "permissions": ["ticket:*"]}]"#;
        let changes = applied(&goat, text).await.expect("applied");
        let expected = ["+ role support, rank 300", "+ permission ticket:* of role support"];
        assert_eq!(changes, expected);
        assert!(applied(&goat, text).await.expect("applied").is_empty());
    }

    #[tokio::test]
    async fn malformed_roles_file_changes_nothing() {
        let goat = goat();
        for (text, reason) in [
            ("{}", "invalid type"),
            (r#"[{"name": "a", "rank": 1}]"#, "missing field `permissions`"),
            (r#"[{"name": "a", "rank": -1, "permissions": []}]"#, "invalid value"),
            (r#"[{"name": "a", "rank": 1, "permissions": [], "Rank": 2}]"#, "unknown field"),
            (r#"[{"name": "A", "rank": 1, "permissions": []}]"#, "the name \"A\" of a role must"),
            (r#"[{"name": "a", "rank": 1, "permissions": ["b"]}]"#, "the permission \"b\""),
            (r#"[{"name": "a", "rank": 1000, "permissions": []}]"#, "must have"),
            (r#"[{"name": "admin", "rank": 5, "permissions": ["full_access"]}]"#, "keeps its rank"),
        ] {
            let refused = applied(&goat, text).await.expect_err(text);
            assert!(
                refused.starts_with("GOAT_ROLES_FILE: ") && refused.contains(reason),
                "{refused}"
            );
        }
        assert_eq!(goat.roles().list().await.expect("roles").len(), 3);
    }
}
