-- With which keys the nodes on this database sign, by the ids that stand in their tokens: a node
-- that does not know another's key refuses the tokens that the other gives out.
CREATE TABLE goat_signing_keys (
    id       TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    noted_at BIGINT NOT NULL
);
