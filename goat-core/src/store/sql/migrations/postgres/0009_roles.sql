-- Roles as rows, in place of a fixed set. A user's role has no foreign key: an application may fix its
-- roles in code, and then ignores these rows.

CREATE TABLE goat_roles (
    name       TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    rank       BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

INSERT INTO goat_roles (name, rank, created_at)
SELECT shipped.name, shipped.rank, CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)
FROM (VALUES ('client', 100), ('operator', 500), ('admin', 1000)) AS shipped (name, rank);
