-- The fields of the application, a JSON object in canonical form. NULL: none. Nodes of the version before
-- write users without this column.
ALTER TABLE goat_users ADD COLUMN attributes TEXT;
