-- Roles as rows, in place of a fixed set. A user's role has no foreign key: an application may fix its
-- roles in code, and then ignores these rows.

CREATE TABLE goat_roles (
    name       TEXT    NOT NULL PRIMARY KEY,
    rank       INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

INSERT INTO goat_roles (name, rank, created_at)
VALUES
    ('client', 100, CAST(strftime('%s', 'now') AS INTEGER) * 1000),
    ('operator', 500, CAST(strftime('%s', 'now') AS INTEGER) * 1000),
    ('admin', 1000, CAST(strftime('%s', 'now') AS INTEGER) * 1000);
