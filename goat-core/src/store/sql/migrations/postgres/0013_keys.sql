-- API keys, by the SHA-256 of their secrets. `made_by` is empty for the system; `scopes` is `*` for all rights
-- of the owner's role, or permissions separated by a space.
CREATE TABLE goat_keys (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    owner_id     TEXT COLLATE "C" NOT NULL,
    made_by      TEXT COLLATE "C" NOT NULL,
    name         TEXT             NOT NULL,
    hash         BYTEA            NOT NULL,
    scopes       TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT           NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT
);
CREATE INDEX goat_keys_owner ON goat_keys (owner_id, created_at, id);
