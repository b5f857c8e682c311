-- The number of writes of the user, which orders cached states of the user.
ALTER TABLE goat_users ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
