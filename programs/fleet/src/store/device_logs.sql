-- Version 8. How far each device's own audit log was taken over: its name, and the place in it.
CREATE TABLE device_logs (
    device  TEXT PRIMARY KEY REFERENCES devices (id),
    tenant  TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    log     TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    place   TEXT NOT NULL,
    taken   INTEGER NOT NULL
) STRICT;
