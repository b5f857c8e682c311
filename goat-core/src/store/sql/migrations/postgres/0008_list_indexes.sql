-- The indexes of the lists contain every column that a list or a search reads until it knows the page,
-- so that the table is read for the rows of the page alone. The users of one domain are in the default
-- order.
DROP INDEX goat_users_list_created_at;
DROP INDEX goat_users_list_last_login_at;
DROP INDEX goat_users_list_email;
DROP INDEX goat_users_list_domain;

CREATE INDEX goat_users_list_created_at
    ON goat_users (role, status, created_at, id) INCLUDE (email_canonical, email_domain);
CREATE INDEX goat_users_list_last_login_at
    ON goat_users (role, status, last_login_at, id) INCLUDE (email_canonical, email_domain);
CREATE INDEX goat_users_list_email
    ON goat_users (role, status, email_canonical, id) INCLUDE (email_domain, created_at);
CREATE INDEX goat_users_list_domain
    ON goat_users (role, status, email_domain, created_at, id) INCLUDE (email_canonical);
