-- How often the user was written, so that of two states of a user the newer one is known.
ALTER TABLE goat_users ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
