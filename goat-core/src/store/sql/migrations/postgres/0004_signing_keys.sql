-- The ids (kid) of the keys that nodes on this database sign tokens with: a node without another
-- node's key rejects the tokens of that node.
CREATE TABLE goat_signing_keys (
    id       TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    noted_at BIGINT NOT NULL
);
