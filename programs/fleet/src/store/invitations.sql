-- Version 6. Who may enrol without a device's identity, each once: the challenge itself is not kept.
CREATE TABLE invitations (
    id            INTEGER PRIMARY KEY,
    tenant        TEXT NOT NULL,
    version       INTEGER NOT NULL DEFAULT 1,
    name          TEXT NOT NULL,
    kind          TEXT NOT NULL,
    sha256        TEXT NOT NULL UNIQUE,
    digest_secret TEXT NOT NULL,
    made          INTEGER NOT NULL,
    expires       INTEGER NOT NULL,
    used          INTEGER,
    spki_sha256   TEXT,
    serial        TEXT
) STRICT;
CREATE INDEX invitations_name ON invitations (tenant, name, id);
