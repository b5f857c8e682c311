-- Tells this database from others, for what is kept elsewhere beside it. A copy has the same.
ALTER TABLE goat_guard ADD COLUMN identity TEXT COLLATE "C";
UPDATE goat_guard SET identity =
    substr(md5(CAST(random() AS TEXT) || CAST(clock_timestamp() AS TEXT)), 1, 12);
