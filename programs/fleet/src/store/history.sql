-- Version 9. What was proven of each device last: the moment by its TPM's clock, so that a TPM whose
-- state was put back shows, and the quoted part of its IMA list, so that it sends only what is new. Lists
-- of version 4 lack the moment, and are asked for once more.
DROP TABLE ima_history;
CREATE TABLE history (
    device   TEXT PRIMARY KEY REFERENCES devices (id),
    tenant   TEXT NOT NULL,
    version  INTEGER NOT NULL DEFAULT 1,
    resets   INTEGER NOT NULL,
    restarts INTEGER NOT NULL,
    entries  INTEGER NOT NULL,
    history  BLOB NOT NULL
) STRICT;
