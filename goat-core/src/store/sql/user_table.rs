//! Table of the application that holds goat's users.
//!
//! goat's columns are in the table, beside the application's. A view maps both to goat's own table of
//! users, and triggers write through it, so that every query of goat reads the same text for both.

use std::fmt;
use std::ops::RangeInclusive;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// The view that maps the application's table to goat's own table of users.
pub(super) const VIEW: &str = "goat_application_users";

/// The table of goat's own that the view replaces.
pub(super) const OWN: &str = "goat_users";

/// The characters of an id's text form, by their value.
pub(super) const ALPHABET: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The table with the checksum of the definition that was applied last.
pub(super) const DEFINITION: &str = "goat_application";

pub(super) const CREATE_DEFINITION: &str = "CREATE TABLE IF NOT EXISTS goat_application \
    (id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), definition TEXT NOT NULL)";

/// Returns the checksum of a definition.
pub(super) fn checksum(definition: &[String]) -> String {
    let digest = Sha256::digest(definition.join(";"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the statement that notes the checksum of the definition.
pub(super) fn note_definition(checksum: &str) -> String {
    format!(
        "INSERT INTO {DEFINITION} (id, definition) VALUES (1, '{checksum}') \
         ON CONFLICT (id) DO UPDATE SET definition = '{checksum}'"
    )
}

/// The time of the address's verification in a changed row. A process of the version before changes an
/// address and leaves this column: the new address is not verified.
pub(super) const CHANGED_EMAIL_VERIFIED_AT: &str = "CASE WHEN NEW.email_canonical <> OLD.email_canonical \
    AND NEW.email_verified_at = OLD.email_verified_at THEN NULL ELSE NEW.email_verified_at END";

/// Prefix of the columns and indexes that goat adds.
pub(super) const PREFIX: &str = "goat_";

/// An existing table of the application and its columns. goat adds the columns that it needs, and keeps
/// its users there.
///
/// Ids that are UUIDs are goat's ids too, in another spelling: `UserId::from_u128(uuid.as_u128())`, and
/// `Uuid::from_u128(id.as_u128())`. New ones are of version 7. With ids of another type, such as integers,
/// goat adds a column `goat_id`, and the database assigns the id of a new row. The other columns of the
/// table have defaults, or accept `NULL`.
///
/// ```
/// use goat_core::store::sql::UserTable;
///
/// let table = UserTable {
///     name: "people",
///     id: "person_id",
///     email: "mail",
///     password_hash: "pass_hash",
///     role: "position",
/// };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserTable {
    /// The table, in the schema of goat's tables.
    pub name: &'static str,
    /// The primary key.
    pub id: &'static str,
    /// The e-mail address. goat adds a column for its canonical spelling, which is unique.
    pub email: &'static str,
    /// The password hash, as text; `NULL` for a user without a password.
    pub password_hash: &'static str,
    /// The role, as text or an enumerated type of its names.
    pub role: &'static str,
}

impl UserTable {
    /// Checks that the names can be quoted.
    pub(super) fn check(&self) -> Result<()> {
        const LONGEST: usize = 50;
        for name in [self.name, self.id, self.email, self.password_hash, self.role] {
            if name.is_empty() || name.len() > LONGEST || name.contains(['"', '\'', '\0', '$']) {
                return Err(Error::configuration(format!(
                    "the name {name:?} of a table or column is empty, too long, or contains a quote"
                )));
            }
        }
        Ok(())
    }

    /// Returns the column that holds one of goat's columns, unquoted.
    pub(super) fn column(&self, own: &str) -> String {
        match own {
            "email" => self.email.to_owned(),
            "password_hash" => self.password_hash.to_owned(),
            "role" => self.role.to_owned(),
            own => format!("{PREFIX}{own}"),
        }
    }

    /// Whether one of goat's columns is the application's.
    pub(super) fn has(own: &str) -> bool {
        matches!(own, "email" | "password_hash" | "role")
    }
}

/// Quotes a name.
pub(super) fn quoted(name: impl fmt::Display) -> String {
    format!("\"{name}\"")
}

/// The type of the application's ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdKind {
    /// UUIDs in the database's type for them.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "SQLite has no such type"))]
    Uuid,
    /// UUIDs in their canonical text form.
    UuidText,
    /// UUIDs as 16 bytes.
    UuidBytes,
    /// Anything else, which the database assigns.
    Assigned,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// The type with its collation, as in a definition.
    pub(super) kind: String,
    /// The default, as an expression.
    pub(super) default: Option<String>,
}

/// The columns of the view: goat's, each with its column in the application's table.
pub(super) struct Mapping<'a> {
    pub(super) table: &'a UserTable,
    pub(super) ids: IdKind,
    /// The columns of goat's own table.
    pub(super) own: &'a [Column],
    /// The columns of the application's table.
    pub(super) application: &'a [Column],
}

impl Mapping<'_> {
    /// Returns the type of a column of the application's table, without a collation.
    pub(super) fn kind(&self, column: &str) -> &str {
        let found = self.application.iter().find(|found| found.name == column);
        let kind = found.map_or("", |found| &found.kind);
        kind.split_once(" COLLATE").map_or(kind, |(kind, _)| kind)
    }

    /// Returns the statements that add the missing columns of goat.
    pub(super) fn added_columns(&self) -> Vec<String> {
        let name = quoted(self.table.name);
        let missing = self.own.iter().filter(|own| {
            let column = self.table.column(&own.name);
            !UserTable::has(&own.name) && !self.application.iter().any(|has| has.name == column)
        });
        missing
            .map(|own| {
                let column = quoted(self.table.column(&own.name));
                let default = own.default.as_ref();
                let default = default.map(|value| format!(" NOT NULL DEFAULT {value}"));
                let kind = &own.kind;
                format!(
                    "ALTER TABLE {name} ADD COLUMN {column} {kind}{}",
                    default.unwrap_or_default()
                )
            })
            .collect()
    }

    /// Returns the hexadecimal digits of the id of a new row, from its text form: the first two
    /// characters have 8 bits, and each four of the others 20 bits. `position` and `hexadecimal` are
    /// the database's functions.
    pub(super) fn hexadecimal(
        position: impl Fn(usize) -> String,
        hexadecimal: impl Fn(String, usize) -> String,
    ) -> String {
        let number = |characters: RangeInclusive<usize>| {
            let digits = characters.map(&position);
            let joined = digits.reduce(|number, digit| format!("({number}) * 32 + {digit}"));
            joined.unwrap_or_default()
        };
        let head = hexadecimal(number(1..=2), 2);
        let tail = (0..6).map(|group| hexadecimal(number(3 + 4 * group..=6 + 4 * group), 5));
        std::iter::once(head).chain(tail).collect::<Vec<_>>().join(" || ")
    }

    /// Returns the indexes of the lists and of the unique columns. `role` is the expression of the view.
    pub(super) fn indexes(&self, role: Option<&str>) -> Vec<String> {
        let name = quoted(self.table.name);
        let column = |own: &str| quoted(self.table.column(own));
        let mut indexes: Vec<String> = ["id", "email_canonical"]
            .iter()
            .map(|own| {
                let column = column(own);
                format!("CREATE UNIQUE INDEX IF NOT EXISTS {VIEW}_{own} ON {name} ({column})")
            })
            .collect();
        if let Some(role) = role {
            indexes.extend(["created_at", "last_login_at", "email_canonical", "email_domain"].map(
                |own| {
                    let listed = [role.to_owned(), column("status"), column(own), column("id")];
                    let listed = listed.join(", ");
                    format!("CREATE INDEX IF NOT EXISTS {VIEW}_list_{own} ON {name} ({listed})")
                },
            ));
        }
        indexes
    }

    /// Returns the condition under which a program other than goat changes an e-mail address: goat
    /// raises the revision with every write.
    pub(super) fn external_email_change(&self, is_distinct: &str) -> String {
        let (email, revision) = (quoted(self.table.email), quoted(self.table.column("revision")));
        let id = quoted(self.table.column("id"));
        format!(
            "OLD.{id} IS NOT NULL AND NEW.{email} {is_distinct} OLD.{email} \
             AND NEW.{revision} = OLD.{revision}"
        )
    }
}
