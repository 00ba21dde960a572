-- Version 15. The IMA list of each device in parts, beside what was proven of it: a list that grows is not
-- written anew, and a long one is sent in parts. Lists of before stay in `history` until they grow.
ALTER TABLE history ADD COLUMN list INTEGER NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN octets INTEGER NOT NULL DEFAULT 0;
CREATE TABLE ima_parts (
    device  TEXT NOT NULL REFERENCES devices (id),
    tenant  TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    list    INTEGER NOT NULL,
    first   INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    octets  BLOB NOT NULL,
    PRIMARY KEY (device, list, first)
) STRICT;

-- Lists of which parts came and the end has not: nothing of them is proven. `held` is what they take beside
-- what is proven, `heard` when the last part came; `refused` is 1 where the list is too long, and nothing of it is kept.
CREATE TABLE ima_pending (
    device   TEXT PRIMARY KEY REFERENCES devices (id),
    tenant   TEXT NOT NULL,
    version  INTEGER NOT NULL DEFAULT 1,
    list     INTEGER NOT NULL,
    resets   INTEGER NOT NULL,
    restarts INTEGER NOT NULL,
    entries  INTEGER NOT NULL,
    octets   INTEGER NOT NULL,
    held     INTEGER NOT NULL,
    began    INTEGER NOT NULL,
    heard    INTEGER NOT NULL,
    refused  INTEGER NOT NULL
) STRICT;
CREATE INDEX ima_pending_began ON ima_pending (tenant, began);
