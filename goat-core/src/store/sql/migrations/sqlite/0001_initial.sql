-- Times are milliseconds since 1970-01-01T00:00:00Z. Identifiers and e-mail addresses compare and
-- sort bytewise, which is what SQLite does by default.

CREATE TABLE goat_users (
    id              TEXT    NOT NULL PRIMARY KEY,
    email           TEXT    NOT NULL,
    email_canonical TEXT    NOT NULL UNIQUE,
    -- The part of the canonical address after the @: lists are searched by its beginning too.
    email_domain    TEXT    NOT NULL,
    role            TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    password_hash   TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    -- 0: never, so that it sorts as the earliest.
    last_login_at   INTEGER NOT NULL DEFAULT 0,
    -- Which sessions are alive: those of this number, and the one that was kept when it last rose.
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

-- One row. It counts the changes of permissions; in PostgreSQL, whoever changes what several rows
-- have to keep true together locks it first.
CREATE TABLE goat_guard (
    id             INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    roles_revision INTEGER NOT NULL
) STRICT;

INSERT INTO goat_guard (id, roles_revision) VALUES (1, 0);

-- Without a foreign key: sessions may be kept in another database than users.
CREATE TABLE goat_sessions (
    id                 TEXT    NOT NULL PRIMARY KEY,
    user_id            TEXT    NOT NULL,
    epoch              INTEGER NOT NULL,
    device             TEXT    NOT NULL,
    address            TEXT,
    created_at         INTEGER NOT NULL,
    last_used_at       INTEGER NOT NULL,
    -- Never past ends_at, so that this alone says when the session is over.
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
