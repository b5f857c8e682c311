-- The application's original tables, with two people.

CREATE TABLE IF NOT EXISTS people (
    -- A UUID.
    id        TEXT NOT NULL PRIMARY KEY,
    mail      TEXT NOT NULL UNIQUE,
    -- Argon2id, with the parameters of the application's own library, and bcrypt from an earlier one.
    -- Both people below have the password "a long walk on a short pier".
    pass_hash TEXT,
    position  TEXT NOT NULL DEFAULT 'reader'
);

CREATE TABLE IF NOT EXISTS readers (
    person TEXT    NOT NULL PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE,
    name   TEXT    NOT NULL,
    books  INTEGER NOT NULL DEFAULT 0
);

INSERT OR IGNORE INTO people (id, mail, position, pass_hash) VALUES
    ('0f2c6a52-6f0e-4b6c-9a57-2f6f6c1f0a11', 'Grace@Example.org', 'admin',
     '$argon2id$v=19$m=65536,t=3,p=4$uUVJbpgtVELs2+IuHcE6Sw$I3JBjZHShwC4McCS85JsLygvcJRCF5cpzxxOxXjJWBo'),
    ('5b1d3f7e-8c55-4d02-b1b9-7a3f9e2c4d22', 'ann@bücher.example', 'reader',
     '$2b$12$DBkVNWrqgqwNstFCElzCSu4TwOgMEPAK/.Ux7CS2Yhv6Od40IKn16');

INSERT OR IGNORE INTO readers (person, name, books) VALUES
    ('0f2c6a52-6f0e-4b6c-9a57-2f6f6c1f0a11', 'Grace Hopper', 0),
    ('5b1d3f7e-8c55-4d02-b1b9-7a3f9e2c4d22', 'Ann O''Hara', 3);
