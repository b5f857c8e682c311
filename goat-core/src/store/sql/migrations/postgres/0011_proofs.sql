-- The proofs of a session: a set of methods, of which 1 is the password; the time of the last one, 0 for
-- that of the login; and the time of the last one of several factors.
ALTER TABLE goat_sessions ADD COLUMN methods BIGINT NOT NULL DEFAULT 1;
ALTER TABLE goat_sessions ADD COLUMN authenticated_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE goat_sessions ADD COLUMN multi_at BIGINT;
-- Reserved for a user that acts as another.
ALTER TABLE goat_sessions ADD COLUMN actor_id TEXT COLLATE "C";
