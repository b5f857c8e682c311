-- Times are milliseconds since 1970-01-01T00:00:00Z. Identifiers and e-mail addresses compare and
-- sort bytewise, whatever the database's own collation is.

CREATE TABLE goat_users (
    id              TEXT   COLLATE "C" NOT NULL,
    email           TEXT   NOT NULL,
    email_canonical TEXT   COLLATE "C" NOT NULL,
    -- The part of the canonical address after the @: lists are searched by its beginning too.
    email_domain    TEXT   COLLATE "C" NOT NULL,
    role            TEXT   COLLATE "C" NOT NULL,
    status          TEXT   COLLATE "C" NOT NULL,
    password_hash   TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    -- 0: never, so that it sorts as the earliest.
    last_login_at   BIGINT NOT NULL DEFAULT 0,
    -- Which sessions are alive: those of this number, and the one that was kept when it last rose.
    session_epoch   BIGINT NOT NULL DEFAULT 0,
    kept_session    TEXT   COLLATE "C",
    CONSTRAINT goat_users_id PRIMARY KEY (id),
    CONSTRAINT goat_users_email UNIQUE (email_canonical)
);

CREATE INDEX goat_users_email_domain ON goat_users (email_domain);
CREATE INDEX goat_users_created_at ON goat_users (created_at, id);
CREATE INDEX goat_users_last_login_at ON goat_users (last_login_at, id);
CREATE INDEX goat_users_role ON goat_users (role, status);

CREATE TABLE goat_permissions (
    id         TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    role       TEXT   COLLATE "C" NOT NULL,
    permission TEXT   COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (role, permission)
);

-- One row. It counts the changes of permissions, and whoever changes what several rows have to
-- keep true together locks it first.
CREATE TABLE goat_guard (
    id             INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    roles_revision BIGINT  NOT NULL
);

INSERT INTO goat_guard (id, roles_revision) VALUES (1, 0);

-- Without a foreign key: sessions may be kept in another database than users.
CREATE TABLE goat_sessions (
    id                 TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    user_id            TEXT   COLLATE "C" NOT NULL,
    epoch              BIGINT NOT NULL,
    device             TEXT   NOT NULL,
    address            TEXT,
    created_at         BIGINT NOT NULL,
    last_used_at       BIGINT NOT NULL,
    -- Never past ends_at, so that this alone says when the session is over.
    idle_at            BIGINT NOT NULL,
    ends_at            BIGINT NOT NULL,
    current_id         TEXT   COLLATE "C" NOT NULL,
    current_issued_at  BIGINT NOT NULL,
    current_expires_at BIGINT NOT NULL,
    current_key        TEXT   NOT NULL,
    previous_id        TEXT   COLLATE "C",
    previous_used_at   BIGINT
);

CREATE INDEX goat_sessions_user ON goat_sessions (user_id, created_at, id);
CREATE INDEX goat_sessions_idle_at ON goat_sessions (idle_at);
