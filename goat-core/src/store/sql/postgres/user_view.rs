//! View and triggers that map a table of the application to goat's users, in PostgreSQL.

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
    const QUERY: &str = "SELECT CAST(attname AS TEXT) AS name, format_type(atttypid, atttypmod) \
        || CASE WHEN collname = 'C' THEN ' COLLATE \"C\"' ELSE '' END AS kind, \
        pg_get_expr(adbin, adrelid) AS default_value FROM pg_catalog.pg_attribute \
        LEFT JOIN pg_catalog.pg_attrdef ON adrelid = attrelid AND adnum = attnum \
        LEFT JOIN pg_catalog.pg_collation ON pg_collation.oid = attcollation \
        WHERE attrelid = to_regclass(quote_ident($1)) AND attnum > 0 AND NOT attisdropped \
        ORDER BY attnum";
    let rows = connection.all(sqlx::query(QUERY).bind(table.to_owned())).await?;
    let column = |row: &super::dialect::Row| {
        let (name, kind) = (row.try_get("name")?, row.try_get("kind")?);
        Ok(Column { name, kind, default: row.try_get("default_value")? })
    };
    rows.iter().map(column).collect()
}

/// Returns the kind of ids in a column of this type.
pub(super) fn id_kind(kind: &str) -> IdKind {
    match kind {
        "uuid" => IdKind::Uuid,
        "bytea" => IdKind::UuidBytes,
        kind if kind.starts_with("text") || kind.starts_with("character") => IdKind::UuidText,
        _ => IdKind::Assigned,
    }
}

/// Returns the expression of a row's id as text, and that of a bound text as an id.
pub(super) fn key(table: &UserTable, ids: IdKind, kind: &str) -> (String, String) {
    let id = quoted(table.id);
    match ids {
        IdKind::UuidBytes => (format!("encode({id}, 'hex')"), "decode($1, 'hex')".to_owned()),
        _ => (format!("CAST({id} AS TEXT)"), format!("CAST($1 AS {kind})")),
    }
}

/// Returns the unique constraints of the application that contain the id or the e-mail address.
pub(super) async fn constraints(
    connection: &mut Connection<'_>,
    table: &UserTable,
) -> Result<Vec<(String, UniqueViolation)>, Failure> {
    // An index may contain an expression of the address, such as its lower case.
    const QUERY: &str = "SELECT CAST(relname AS TEXT) AS name, CAST(attname AS TEXT) = $2 AS is_id \
        FROM pg_catalog.pg_index JOIN pg_catalog.pg_class ON pg_class.oid = indexrelid \
        JOIN pg_catalog.pg_attribute ON attrelid = indrelid \
        WHERE indrelid = to_regclass(quote_ident($1)) AND indisunique \
        AND CAST(attname AS TEXT) IN ($2, $3) AND (attnum = ANY (indkey) OR \
        CAST(attname AS TEXT) = $3 \
        AND strpos(pg_get_expr(indexprs, indrelid), quote_ident($3)) > 0)";
    let query = sqlx::query(QUERY).bind(table.name).bind(table.id).bind(table.email);
    let rows = connection.all(query).await?;
    let constraint = |row: &super::dialect::Row| {
        let is_id = row.try_get("is_id")?;
        let violation = if is_id { UniqueViolation::Id } else { UniqueViolation::Email };
        Ok((row.try_get("name")?, violation))
    };
    rows.iter().map(constraint).collect()
}

/// Returns the statements that define the indexes, the view and the triggers.
pub(super) fn definition(mapping: &Mapping<'_>) -> Vec<String> {
    let table = mapping.table;
    let name = quoted(table.name);
    let goat_id = quoted(table.column("id"));
    let text = |column: &str| format!("CAST({} AS TEXT)", quoted(column));
    let role = format!("{} COLLATE \"C\"", text(table.role));
    let listed = mapping.own.iter().map(|own| match own.name.as_str() {
        "email" => format!("{} AS email", text(table.email)),
        "password_hash" => {
            format!("COALESCE({}, '') AS password_hash", text(table.password_hash))
        }
        "role" => format!("{role} AS role"),
        own_name => format!("{} AS {own_name}", quoted(table.column(own_name))),
    });
    let value = |own: &Column| {
        let column = table.column(&own.name);
        match UserTable::has(&own.name) {
            true => format!("CAST(NEW.{} AS {})", own.name, mapping.kind(&column)),
            false => format!("NEW.{}", own.name),
        }
    };
    let mut columns: Vec<String> =
        mapping.own.iter().map(|own| quoted(table.column(&own.name))).collect();
    let mut values: Vec<String> = mapping.own.iter().map(value).collect();
    if let Some(id) = new_id(mapping.ids, mapping.kind(table.id)) {
        columns.push(quoted(table.id));
        values.push(id);
    }
    let changed = mapping.own.iter().filter(|own| own.name != "id");
    let changed = changed.map(|own| {
        let value = match own.name.as_str() {
            "email_verified_at" => CHANGED_EMAIL_VERIFIED_AT.to_owned(),
            _ => value(own),
        };
        format!("{} = {value}", quoted(table.column(&own.name)))
    });

    let mut statements = vec![CREATE_DEFINITION.to_owned()];
    statements.push(format!("DROP VIEW IF EXISTS {VIEW}"));
    statements.push(format!("DROP TRIGGER IF EXISTS {VIEW}_email ON {name}"));
    let kind = mapping.kind(table.role);
    // The text of an enumerated type may change, so that no index can contain it.
    let is_text = kind.starts_with("text") || kind.starts_with("character varying");
    statements.extend(mapping.indexes(is_text.then_some(&*format!("({role})"))));
    statements.push(format!(
        "CREATE VIEW {VIEW} AS SELECT {} FROM {name} WHERE {goat_id} IS NOT NULL",
        listed.collect::<Vec<_>>().join(", ")
    ));
    statements.push(format!(
        "CREATE OR REPLACE FUNCTION {VIEW}_write() RETURNS trigger LANGUAGE plpgsql AS $goat$ BEGIN \
         IF TG_OP = 'INSERT' THEN INSERT INTO {name} ({}) VALUES ({}); RETURN NEW; END IF; \
         IF TG_OP = 'UPDATE' THEN UPDATE {name} SET {} WHERE {goat_id} = OLD.id; \
         IF FOUND THEN RETURN NEW; ELSE RETURN NULL; END IF; END IF; \
         DELETE FROM {name} WHERE {goat_id} = OLD.id; \
         IF FOUND THEN RETURN OLD; ELSE RETURN NULL; END IF; END $goat$",
        columns.join(", "),
        values.join(", "),
        changed.collect::<Vec<_>>().join(", ")
    ));
    statements.push(format!(
        "CREATE TRIGGER {VIEW}_write INSTEAD OF INSERT OR UPDATE OR DELETE ON {VIEW} \
         FOR EACH ROW EXECUTE FUNCTION {VIEW}_write()"
    ));
    statements.push(format!(
        "CREATE OR REPLACE FUNCTION {VIEW}_email() RETURNS trigger LANGUAGE plpgsql AS $goat$ BEGIN \
         RAISE EXCEPTION 'e-mail addresses are changed through goat'; END $goat$"
    ));
    statements.push(format!(
        "CREATE TRIGGER {VIEW}_email BEFORE UPDATE OF {} ON {name} FOR EACH ROW WHEN ({}) \
         EXECUTE FUNCTION {VIEW}_email()",
        quoted(table.email),
        mapping.external_email_change("IS DISTINCT FROM")
    ));
    statements
}

/// Returns the application's id of a new row, unless the database assigns it.
fn new_id(ids: IdKind, kind: &str) -> Option<String> {
    let position =
        |character: usize| format!("(strpos('{ALPHABET}', substr(NEW.id, {character}, 1)) - 1)");
    let hexadecimal =
        |number: String, digits: usize| format!("lpad(to_hex({number}), {digits}, '0')");
    let digits = Mapping::hexadecimal(position, hexadecimal);
    match ids {
        IdKind::Uuid => Some(format!("CAST({digits} AS uuid)")),
        IdKind::UuidText => Some(format!("CAST(CAST(CAST({digits} AS uuid) AS TEXT) AS {kind})")),
        IdKind::UuidBytes => Some(format!("decode({digits}, 'hex')")),
        IdKind::Assigned => None,
    }
}
