-- API keys, by the SHA-256 of their secrets. `made_by` is empty for the system; `scopes` is `*` for all rights
-- of the owner's role, or permissions separated by a space.
CREATE TABLE goat_keys (
    id           TEXT    NOT NULL PRIMARY KEY,
    owner_id     TEXT    NOT NULL,
    made_by      TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    hash         BLOB    NOT NULL,
    scopes       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE INDEX goat_keys_owner ON goat_keys (owner_id, created_at, id);
