-- When the address was proven to belong to the user. NULL: never.
ALTER TABLE goat_users ADD COLUMN email_verified_at INTEGER;
-- Processes of the version before change an address without this column: the new address is not verified.
CREATE TRIGGER goat_users_email_changed AFTER UPDATE OF email_canonical ON goat_users
WHEN NEW.email_canonical <> OLD.email_canonical AND NEW.email_verified_at = OLD.email_verified_at
BEGIN
    UPDATE goat_users SET email_verified_at = NULL WHERE id = NEW.id;
END;
