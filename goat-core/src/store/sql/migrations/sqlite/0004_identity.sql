-- The identity of the database, which namespaces its data in Redis. A copy has the same.
ALTER TABLE goat_guard ADD COLUMN identity TEXT;
UPDATE goat_guard SET identity = lower(hex(randomblob(6)));
