-- Version 12. How far each checkpoint's log was taken over, by the checkpoint's name.
CREATE TABLE checkpoint_logs (
    owner   TEXT PRIMARY KEY,
    tenant  TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    log     TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    place   TEXT NOT NULL,
    taken   INTEGER NOT NULL
) STRICT;
