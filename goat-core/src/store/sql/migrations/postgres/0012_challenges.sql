-- One-time secrets that await their answer. The subject is a user's id or the hash of an address.
CREATE TABLE goat_challenges (
    id            TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    purpose       TEXT   COLLATE "C" NOT NULL,
    subject       TEXT   COLLATE "C" NOT NULL,
    user_id       TEXT   COLLATE "C",
    epoch         BIGINT NOT NULL DEFAULT 0,
    link          BYTEA,
    code          BYTEA,
    code_key      TEXT   COLLATE "C",
    attempts_left BIGINT NOT NULL,
    made_at       BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    payload       BYTEA  NOT NULL
);

CREATE INDEX goat_challenges_subject ON goat_challenges (purpose, subject, made_at, id);
CREATE INDEX goat_challenges_user ON goat_challenges (user_id);
CREATE INDEX goat_challenges_expires_at ON goat_challenges (expires_at);
