-- Version 4. The quoted part of each device's IMA list, so that the device sends only what is new.
CREATE TABLE ima_history (
    device  TEXT PRIMARY KEY REFERENCES devices (id),
    tenant  TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    boot    INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    history BLOB NOT NULL
) STRICT;
