-- When the address was proven to belong to the user. NULL: never.
ALTER TABLE goat_users ADD COLUMN email_verified_at BIGINT;
-- Nodes of the version before change an address without this column: the new address is not verified.
CREATE FUNCTION goat_users_email_changed() RETURNS trigger LANGUAGE plpgsql AS $goat$
BEGIN
    NEW.email_verified_at := NULL;
    RETURN NEW;
END
$goat$;
CREATE TRIGGER goat_users_email_changed BEFORE UPDATE OF email_canonical ON goat_users FOR EACH ROW
WHEN (NEW.email_canonical <> OLD.email_canonical AND NEW.email_verified_at = OLD.email_verified_at)
EXECUTE FUNCTION goat_users_email_changed();
