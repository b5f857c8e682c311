-- Tells this database from others, for what is kept elsewhere beside it. A copy has the same.
ALTER TABLE goat_guard ADD COLUMN identity TEXT;
UPDATE goat_guard SET identity = lower(hex(randomblob(6)));
