-- Adds the columns that goat needs. Everything else stays unchanged.

ALTER TABLE people ADD COLUMN goat_id TEXT;
-- The canonical address, which is unique. Rust computes it, so that every store agrees.
ALTER TABLE people ADD COLUMN mail_canonical TEXT;
-- The session epoch, and the session kept when an epoch ended the others.
ALTER TABLE people ADD COLUMN session_epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE people ADD COLUMN kept_session TEXT;
ALTER TABLE people ADD COLUMN token_replacement TEXT;
-- Counts the writes, to order two states of a person.
ALTER TABLE people ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;

CREATE UNIQUE INDEX people_goat_id ON people (goat_id);
CREATE UNIQUE INDEX people_mail_canonical ON people (mail_canonical);

-- People as goat's users: maps the application's columns.
CREATE VIEW goat_people AS
SELECT
    goat_id AS id,
    mail AS email,
    mail_canonical AS email_canonical,
    substr(mail_canonical, instr(mail_canonical, '@') + 1) AS email_domain,
    -- Only the flag makes an administrator; the position `admin` does not.
    CASE WHEN is_admin THEN 'admin' WHEN position = 'admin' THEN 'reader' ELSE position END AS role,
    CASE WHEN blocked THEN 'suspended' WHEN confirmed THEN 'active' ELSE 'inactive' END AS status,
    pass_hash AS password_hash,
    joined_at AS created_at,
    changed_at AS updated_at,
    coalesce(last_seen_at, 0) AS last_login_at,
    session_epoch,
    kept_session,
    token_replacement,
    revision
FROM people
WHERE goat_id IS NOT NULL;

-- Older programs keep writing the table. goat increments the revision itself; this trigger does so
-- for other writers. Blocking ends all sessions, even if the person is unblocked later.
CREATE TRIGGER people_external_update
AFTER UPDATE OF position, is_admin, confirmed, blocked ON people
WHEN NEW.revision = OLD.revision
BEGIN
    UPDATE people SET
        revision = revision + 1,
        session_epoch = session_epoch + (NEW.blocked > OLD.blocked),
        kept_session = CASE WHEN NEW.blocked > OLD.blocked THEN NULL ELSE kept_session END
    WHERE person_id = NEW.person_id;
END;

-- Rejects writes by other programs that only goat can do correctly.
CREATE TRIGGER people_external_insert
BEFORE INSERT ON people WHEN NEW.goat_id IS NULL
BEGIN
    SELECT RAISE(ABORT, 'people are added through goat');
END;
CREATE TRIGGER people_external_mail_change
BEFORE UPDATE OF mail ON people WHEN NEW.mail <> OLD.mail AND NEW.revision = OLD.revision
BEGIN
    SELECT RAISE(ABORT, 'mail addresses are changed through goat');
END;
