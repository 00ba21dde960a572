-- Version 2. What the last evidence of each device said, as it was appraised.
CREATE TABLE claims (
    device       TEXT PRIMARY KEY REFERENCES devices (id),
    tenant       TEXT NOT NULL,
    version      INTEGER NOT NULL DEFAULT 1,
    evidence_at  INTEGER NOT NULL,
    appraised_at INTEGER NOT NULL,
    expires      INTEGER NOT NULL,
    policy       TEXT NOT NULL,
    claims       TEXT NOT NULL,
    omitted      TEXT NOT NULL
) STRICT;
