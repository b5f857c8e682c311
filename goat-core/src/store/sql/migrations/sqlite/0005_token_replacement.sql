-- The last replacement of a session's tokens, which commits with the session epoch: the session, the
-- epoch, and the claims and key of the new refresh token.
ALTER TABLE goat_users ADD COLUMN token_replacement TEXT;
