-- One-time secrets that await their answer. The subject is a user's id or the hash of an address.
CREATE TABLE goat_challenges (
    id            TEXT    NOT NULL PRIMARY KEY,
    purpose       TEXT    NOT NULL,
    subject       TEXT    NOT NULL,
    user_id       TEXT,
    epoch         INTEGER NOT NULL DEFAULT 0,
    link          BLOB,
    code          BLOB,
    code_key      TEXT,
    attempts_left INTEGER NOT NULL,
    made_at       INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    payload       BLOB    NOT NULL
) STRICT;

CREATE INDEX goat_challenges_subject ON goat_challenges (purpose, subject, made_at, id);
CREATE INDEX goat_challenges_user ON goat_challenges (user_id);
CREATE INDEX goat_challenges_expires_at ON goat_challenges (expires_at);
