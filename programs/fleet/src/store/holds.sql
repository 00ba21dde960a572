-- Version 7. Devices that a verdict asked to do something about itself: admitted at once, or held back
-- because there were too many of them.
CREATE TABLE holds (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   TEXT NOT NULL,
    version  INTEGER NOT NULL DEFAULT 1,
    device   TEXT NOT NULL REFERENCES devices (id),
    policy   TEXT NOT NULL,
    asked    TEXT NOT NULL,
    since    INTEGER NOT NULL,
    admitted INTEGER,
    operator TEXT,
    ended    INTEGER
) STRICT;
CREATE INDEX holds_device ON holds (device, id);
CREATE INDEX holds_admitted ON holds (tenant, admitted);
