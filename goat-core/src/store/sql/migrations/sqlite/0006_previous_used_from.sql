-- The client's address at the first use of the previous refresh token.
ALTER TABLE goat_sessions ADD COLUMN previous_used_from TEXT;
