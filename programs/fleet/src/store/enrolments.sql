-- Version 13. Enrolments that an operator has to decide about; each is good for one certificate.
CREATE TABLE enrolments (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant         TEXT NOT NULL,
    version        INTEGER NOT NULL DEFAULT 1,
    profile        TEXT NOT NULL,
    protocol       TEXT NOT NULL,
    device         TEXT,
    invitation     INTEGER NOT NULL, -- 0: nobody invited
    subject        TEXT NOT NULL,
    names          TEXT NOT NULL,
    key_kind       TEXT NOT NULL,
    spki_sha256    TEXT NOT NULL, -- empty: the fleet makes the key
    transaction_id TEXT NOT NULL,
    since          INTEGER NOT NULL,
    expires        INTEGER NOT NULL,
    state          TEXT NOT NULL, -- waiting, approved, refused, issued
    decided        INTEGER,
    operator       TEXT,
    reason         TEXT,
    issuer         TEXT,
    serial         TEXT
) STRICT;
CREATE INDEX enrolments_key ON enrolments (tenant, spki_sha256, id);
CREATE INDEX enrolments_state ON enrolments (tenant, state, id);
