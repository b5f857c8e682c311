-- The application's original table, with two people. Times are milliseconds since
-- 1970-01-01T00:00:00Z.

CREATE TABLE people (
    person_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    mail         TEXT    NOT NULL UNIQUE,
    full_name    TEXT    NOT NULL DEFAULT '',
    -- Argon2id, with the parameters of the application's own library, and bcrypt from an earlier one.
    -- Both people below have the password "a long walk on a short pier".
    pass_hash    TEXT    NOT NULL,
    -- The person's role. Administrators have a flag.
    position     TEXT    NOT NULL DEFAULT 'reader',
    is_admin     INTEGER NOT NULL DEFAULT 0,
    -- Whether the mail address is verified.
    confirmed    INTEGER NOT NULL DEFAULT 0,
    blocked      INTEGER NOT NULL DEFAULT 0,
    books_lent   INTEGER NOT NULL DEFAULT 0,
    joined_at    INTEGER NOT NULL,
    changed_at   INTEGER NOT NULL,
    last_seen_at INTEGER
);

INSERT INTO people
    (mail, full_name, is_admin, confirmed, books_lent, joined_at, changed_at, pass_hash)
VALUES
    ('Grace@Example.org', 'Grace Hopper', 1, 1, 0, 1514764800000, 1514764800000,
     '$argon2id$v=19$m=65536,t=3,p=4$uUVJbpgtVELs2+IuHcE6Sw$I3JBjZHShwC4McCS85JsLygvcJRCF5cpzxxOxXjJWBo'),
    ('ann@bücher.example', 'Ann O''Hara', 0, 1, 3, 1577836800000, 1577836800000,
     '$2b$12$DBkVNWrqgqwNstFCElzCSu4TwOgMEPAK/.Ux7CS2Yhv6Od40IKn16');
