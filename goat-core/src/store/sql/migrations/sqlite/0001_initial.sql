-- Times are milliseconds since 1970-01-01T00:00:00Z. Identifiers and e-mail addresses compare and
-- sort bytewise, which is what SQLite does by default.

CREATE TABLE goat_users (
    id              TEXT    NOT NULL PRIMARY KEY,
    email           TEXT    NOT NULL,
    email_canonical TEXT    NOT NULL UNIQUE,
    -- The domain of the canonical address, which a search matches by prefix too.
    email_domain    TEXT    NOT NULL,
    role            TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    password_hash   TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    -- 0 means never, which sorts first.
    last_login_at   INTEGER NOT NULL DEFAULT 0,
    -- Live sessions: those of this epoch, and the one that was kept when the epoch last rose.
    session_epoch   INTEGER NOT NULL DEFAULT 0,
    kept_session    TEXT
) STRICT;

CREATE INDEX goat_users_email_domain ON goat_users (email_domain);
CREATE INDEX goat_users_created_at ON goat_users (created_at, id);
CREATE INDEX goat_users_last_login_at ON goat_users (last_login_at, id);
CREATE INDEX goat_users_role ON goat_users (role, status);

CREATE TABLE goat_permissions (
    id         TEXT    NOT NULL PRIMARY KEY,
    role       TEXT    NOT NULL,
    permission TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (role, permission)
) STRICT;

-- The guard: one row, which counts changes of permissions. In PostgreSQL, a write that affects an
-- invariant over several rows locks it first.
CREATE TABLE goat_guard (
    id             INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    roles_revision INTEGER NOT NULL
) STRICT;

INSERT INTO goat_guard (id, roles_revision) VALUES (1, 0);

-- Without a foreign key, since users may be in another database.
CREATE TABLE goat_sessions (
    id                 TEXT    NOT NULL PRIMARY KEY,
    user_id            TEXT    NOT NULL,
    epoch              INTEGER NOT NULL,
    device             TEXT    NOT NULL,
    address            TEXT,
    created_at         INTEGER NOT NULL,
    last_used_at       INTEGER NOT NULL,
    -- Never after ends_at, and so the expiry of the session.
    idle_at            INTEGER NOT NULL,
    ends_at            INTEGER NOT NULL,
    current_id         TEXT    NOT NULL,
    current_issued_at  INTEGER NOT NULL,
    current_expires_at INTEGER NOT NULL,
    current_key        TEXT    NOT NULL,
    previous_id        TEXT,
    previous_used_at   INTEGER
) STRICT;

CREATE INDEX goat_sessions_user ON goat_sessions (user_id, created_at, id);
CREATE INDEX goat_sessions_idle_at ON goat_sessions (idle_at);
