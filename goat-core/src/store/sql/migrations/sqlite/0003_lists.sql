-- Every list is put together of ranges of one role and one status, each in the order of the list, so
-- that no rare role is looked for among a million of another.
CREATE INDEX goat_users_list_created_at ON goat_users (role, status, created_at, id);
CREATE INDEX goat_users_list_last_login_at ON goat_users (role, status, last_login_at, id);
CREATE INDEX goat_users_list_email ON goat_users (role, status, email_canonical, id);
CREATE INDEX goat_users_list_domain ON goat_users (role, status, email_domain, id);

DROP INDEX goat_users_email_domain;
DROP INDEX goat_users_created_at;
DROP INDEX goat_users_last_login_at;
DROP INDEX goat_users_role;
