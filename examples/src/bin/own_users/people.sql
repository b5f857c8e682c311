-- The application's original table, with two people.

CREATE TABLE people (
    -- A UUID.
    id         TEXT    NOT NULL PRIMARY KEY,
    mail       TEXT    NOT NULL UNIQUE,
    -- Argon2id, with the parameters of the application's own library, and bcrypt from an earlier one.
    -- Both people below have the password "a long walk on a short pier".
    pass_hash  TEXT,
    position   TEXT    NOT NULL DEFAULT 'reader',
    full_name  TEXT    NOT NULL DEFAULT '',
    books_lent INTEGER NOT NULL DEFAULT 0
);

INSERT INTO people (id, mail, full_name, position, books_lent, pass_hash) VALUES
    ('0f2c6a52-6f0e-4b6c-9a57-2f6f6c1f0a11', 'Grace@Example.org', 'Grace Hopper', 'admin', 0,
     '$argon2id$v=19$m=65536,t=3,p=4$uUVJbpgtVELs2+IuHcE6Sw$I3JBjZHShwC4McCS85JsLygvcJRCF5cpzxxOxXjJWBo'),
    ('5b1d3f7e-8c55-4d02-b1b9-7a3f9e2c4d22', 'ann@bücher.example', 'Ann O''Hara', 'reader', 3,
     '$2b$12$DBkVNWrqgqwNstFCElzCSu4TwOgMEPAK/.Ux7CS2Yhv6Od40IKn16');
