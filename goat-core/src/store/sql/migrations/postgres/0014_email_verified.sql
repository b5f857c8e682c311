-- When the address was proven to belong to the user. NULL: never.
ALTER TABLE goat_users ADD COLUMN email_verified_at BIGINT;
-- Nodes of the version before change an address without this column: the new address is not verified. The
-- trigger depends on no column in collation "C", so that a changed collation can be altered back.
CREATE FUNCTION goat_users_email_changed() RETURNS trigger LANGUAGE plpgsql AS $goat$
BEGIN
    IF NEW.email_canonical <> OLD.email_canonical THEN
        NEW.email_verified_at := NULL;
    END IF;
    RETURN NEW;
END
$goat$;
CREATE TRIGGER goat_users_email_changed BEFORE UPDATE OF email ON goat_users FOR EACH ROW
WHEN (NEW.email_verified_at = OLD.email_verified_at)
EXECUTE FUNCTION goat_users_email_changed();
