-- What goat needs of a person and the application never had. Everything else stays as it is.

ALTER TABLE people ADD COLUMN goat_id TEXT;
-- The spelling that no two people share; Rust computes it, so that every store agrees.
ALTER TABLE people ADD COLUMN mail_canonical TEXT;
-- Which sessions are alive, and the one that was kept when the others ended.
ALTER TABLE people ADD COLUMN session_epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE people ADD COLUMN kept_session TEXT;
-- Counts the writes, so that of two states of a person the newer one is known.
ALTER TABLE people ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;

CREATE UNIQUE INDEX people_goat_id ON people (goat_id);
CREATE UNIQUE INDEX people_mail_canonical ON people (mail_canonical);

-- People as goat knows them: what the application's columns mean.
CREATE VIEW goat_people AS
SELECT
    goat_id AS id,
    mail AS email,
    mail_canonical AS email_canonical,
    substr(mail_canonical, instr(mail_canonical, '@') + 1) AS email_domain,
    -- The flag alone makes an administrator, whatever somebody writes into the position.
    CASE WHEN is_admin THEN 'admin' WHEN position = 'admin' THEN 'reader' ELSE position END AS role,
    CASE WHEN blocked THEN 'suspended' WHEN confirmed THEN 'active' ELSE 'inactive' END AS status,
    pass_hash AS password_hash,
    joined_at AS created_at,
    changed_at AS updated_at,
    coalesce(last_seen_at, 0) AS last_login_at,
    session_epoch,
    kept_session,
    revision
FROM people
WHERE goat_id IS NOT NULL;

-- The application's older programs know nothing of goat and write on. goat counts its own writes;
-- these are counted here. Who is blocked loses every session, also if they are let in again.
CREATE TRIGGER people_written_by_others
AFTER UPDATE OF position, is_admin, confirmed, blocked ON people
WHEN NEW.revision = OLD.revision
BEGIN
    UPDATE people SET
        revision = revision + 1,
        session_epoch = session_epoch + (NEW.blocked > OLD.blocked),
        kept_session = CASE WHEN NEW.blocked > OLD.blocked THEN NULL ELSE kept_session END
    WHERE person_id = NEW.person_id;
END;

-- What only goat can write right is refused to everyone else, before it is wrong unnoticed.
CREATE TRIGGER people_added_by_others
BEFORE INSERT ON people WHEN NEW.goat_id IS NULL
BEGIN
    SELECT RAISE(ABORT, 'people are added through goat');
END;
CREATE TRIGGER people_moved_by_others
BEFORE UPDATE OF mail ON people WHEN NEW.mail <> OLD.mail AND NEW.revision = OLD.revision
BEGIN
    SELECT RAISE(ABORT, 'mail addresses are changed through goat');
END;
