//! View and triggers that map a table of the application to goat's users, in SQLite.

use sqlx::Row as _;

use crate::store::sql::failure::Failure;
use crate::store::sql::user_table::{
    ALPHABET, CHANGED_EMAIL_VERIFIED_AT, CREATE_DEFINITION, Column, IdKind, Mapping, UserTable,
    VIEW, quoted,
};

use super::connection::Connection;
use super::database::UniqueViolation;

/// Reads the columns of a table; none if it does not exist.
pub(super) async fn columns(
    connection: &mut Connection<'_>,
    table: &str,
) -> Result<Vec<Column>, Failure> {
    const QUERY: &str =
        "SELECT name, type AS kind, dflt_value AS default_value FROM pragma_table_info($1)";
    let rows = connection.all(sqlx::query(QUERY).bind(table.to_owned())).await?;
    let column = |row: &super::dialect::Row| {
        let (name, kind) = (row.try_get("name")?, row.try_get("kind")?);
        Ok(Column { name, kind, default: row.try_get("default_value")? })
    };
    rows.iter().map(column).collect()
}

/// Returns the kind of ids in a column of this type.
pub(super) fn id_kind(kind: &str) -> IdKind {
    let kind = kind.to_ascii_uppercase();
    if kind.contains("BLOB") {
        IdKind::UuidBytes
    } else if ["TEXT", "CHAR", "UUID"].iter().any(|text| kind.contains(text)) {
        IdKind::UuidText
    } else {
        IdKind::Assigned
    }
}

/// Returns the expression of a row's id as text, and that of a bound text as an id.
pub(super) fn key(table: &UserTable, ids: IdKind, kind: &str) -> (String, String) {
    let id = quoted(table.id);
    match ids {
        IdKind::UuidBytes => (format!("lower(hex({id}))"), "unhex($1)".to_owned()),
        IdKind::Assigned if !kind.is_empty() => {
            (format!("CAST({id} AS TEXT)"), format!("CAST($1 AS {kind})"))
        }
        _ => (format!("CAST({id} AS TEXT)"), "$1".to_owned()),
    }
}

/// Returns the unique constraints of the application that contain the id or the e-mail address, as SQLite
/// reports them: by the column.
pub(super) async fn constraints(
    _: &mut Connection<'_>,
    table: &UserTable,
) -> Result<Vec<(String, UniqueViolation)>, Failure> {
    let reported = |column: &str| format!("{}.{column}", table.name);
    Ok(vec![
        (reported(table.id), UniqueViolation::Id),
        (reported(table.email), UniqueViolation::Email),
    ])
}

/// Returns the statements that define the indexes, the view and the triggers.
pub(super) fn definition(mapping: &Mapping<'_>) -> Vec<String> {
    let table = mapping.table;
    let name = quoted(table.name);
    let column = |own: &Column| quoted(table.column(&own.name));
    let goat_id = quoted(table.column("id"));
    let listed = mapping.own.iter().map(|own| match own.name.as_str() {
        "password_hash" => format!("coalesce({}, '') AS password_hash", column(own)),
        own_name => format!("{} AS {own_name}", column(own)),
    });
    let mut columns: Vec<String> = mapping.own.iter().map(column).collect();
    let mut values: Vec<String> =
        mapping.own.iter().map(|own| format!("NEW.{}", own.name)).collect();
    if let Some(id) = new_id(mapping.ids) {
        columns.push(quoted(table.id));
        values.push(id);
    }
    let changed = mapping.own.iter().filter(|own| own.name != "id");
    let changed = changed.map(|own| match own.name.as_str() {
        "email_verified_at" => format!("{} = {CHANGED_EMAIL_VERIFIED_AT}", column(own)),
        own_name => format!("{} = NEW.{own_name}", column(own)),
    });

    let mut statements = vec![CREATE_DEFINITION.to_owned()];
    statements.push(format!("DROP VIEW IF EXISTS {VIEW}"));
    statements.push(format!("DROP TRIGGER IF EXISTS {VIEW}_email"));
    statements.extend(mapping.indexes(Some(&quoted(table.role))));
    statements.push(format!(
        "CREATE VIEW {VIEW} AS SELECT {} FROM {name} WHERE {goat_id} IS NOT NULL",
        listed.collect::<Vec<_>>().join(", ")
    ));
    statements.push(format!(
        "CREATE TRIGGER {VIEW}_insert INSTEAD OF INSERT ON {VIEW} BEGIN \
         INSERT INTO {name} ({}) VALUES ({}); END",
        columns.join(", "),
        values.join(", ")
    ));
    statements.push(format!(
        "CREATE TRIGGER {VIEW}_update INSTEAD OF UPDATE ON {VIEW} BEGIN \
         UPDATE {name} SET {} WHERE {goat_id} = OLD.id; END",
        changed.collect::<Vec<_>>().join(", ")
    ));
    statements.push(format!(
        "CREATE TRIGGER {VIEW}_delete INSTEAD OF DELETE ON {VIEW} BEGIN \
         DELETE FROM {name} WHERE {goat_id} = OLD.id; END"
    ));
    statements.push(format!(
        "CREATE TRIGGER {VIEW}_email BEFORE UPDATE OF {} ON {name} WHEN {} BEGIN \
         SELECT RAISE(ABORT, 'e-mail addresses are changed through goat'); END",
        quoted(table.email),
        mapping.external_email_change("IS NOT")
    ));
    statements
}

/// Returns the application's id of a new row, unless the database assigns it.
fn new_id(ids: IdKind) -> Option<String> {
    let position =
        |character: usize| format!("(instr('{ALPHABET}', substr(NEW.id, {character}, 1)) - 1)");
    let hexadecimal = |number: String, digits: usize| format!("printf('%0{digits}x', {number})");
    let digits = Mapping::hexadecimal(position, hexadecimal);
    match ids {
        IdKind::UuidBytes => Some(format!("unhex({digits})")),
        IdKind::Uuid | IdKind::UuidText => Some(format!(
            "(SELECT substr(digits, 1, 8) || '-' || substr(digits, 9, 4) || '-' \
             || substr(digits, 13, 4) || '-' || substr(digits, 17, 4) || '-' \
             || substr(digits, 21) FROM (SELECT {digits} AS digits))"
        )),
        IdKind::Assigned => None,
    }
}
