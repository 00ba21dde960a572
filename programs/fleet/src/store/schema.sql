-- Version 1. Every row carries its tenant and the version of its own shape.
CREATE TABLE devices (
    id             TEXT PRIMARY KEY,
    tenant         TEXT NOT NULL,
    version        INTEGER NOT NULL DEFAULT 1,
    name           TEXT NOT NULL,
    idevid_subject TEXT NOT NULL,
    idevid_spki    BLOB NOT NULL,
    idevid_sha256  TEXT NOT NULL UNIQUE,
    ek_sha256      TEXT NOT NULL UNIQUE,
    ek_issuer      TEXT NOT NULL,
    lak_public     BLOB NOT NULL,
    lak_spki       BLOB NOT NULL,
    lak_sha256     TEXT NOT NULL,
    enrolled_at    INTEGER NOT NULL,
    last_seen      INTEGER,
    tier           TEXT NOT NULL DEFAULT 'none',
    tier_since     INTEGER,
    why            TEXT NOT NULL DEFAULT '',
    unreachable    INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE endorsements (
    device      TEXT NOT NULL REFERENCES devices (id),
    tenant      TEXT NOT NULL,
    version     INTEGER NOT NULL DEFAULT 1,
    kind        TEXT NOT NULL,
    certificate BLOB NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (device, kind, certificate)
) STRICT;

CREATE TABLE certificates (
    serial      TEXT PRIMARY KEY,
    tenant      TEXT NOT NULL,
    version     INTEGER NOT NULL DEFAULT 1,
    device      TEXT,
    kind        TEXT NOT NULL,
    subject     TEXT NOT NULL,
    spki_sha256 TEXT NOT NULL,
    jkt         TEXT NOT NULL,
    der         BLOB NOT NULL,
    not_before  INTEGER NOT NULL,
    not_after   INTEGER NOT NULL,
    revoked_at  INTEGER,
    reason      TEXT
) STRICT;
CREATE INDEX certificates_device ON certificates (device, not_before);
CREATE INDEX certificates_key ON certificates (spki_sha256);

-- What checkpoints follow: one counter for results and revocations.
CREATE TABLE feed (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant  TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    device  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    body    TEXT NOT NULL,
    until   INTEGER NOT NULL
) STRICT;
CREATE INDEX feed_device ON feed (device, kind);

CREATE TABLE results (
    seq      INTEGER PRIMARY KEY,
    tenant   TEXT NOT NULL,
    version  INTEGER NOT NULL DEFAULT 1,
    device   TEXT NOT NULL REFERENCES devices (id),
    nonce    BLOB NOT NULL UNIQUE,
    tier     TEXT NOT NULL,
    issued   INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    jwt      TEXT NOT NULL,
    cwt      BLOB NOT NULL,
    vector   TEXT NOT NULL,
    controls TEXT NOT NULL,
    evidence TEXT NOT NULL
) STRICT;
CREATE INDEX results_device ON results (device, seq);

CREATE TABLE updates (
    sha256    TEXT PRIMARY KEY,
    tenant    TEXT NOT NULL,
    version   INTEGER NOT NULL DEFAULT 1,
    component TEXT NOT NULL,
    brings    INTEGER NOT NULL,
    size      INTEGER NOT NULL,
    note      TEXT NOT NULL,
    signers   TEXT NOT NULL,
    envelope  BLOB NOT NULL,
    created   INTEGER NOT NULL,
    operator  TEXT NOT NULL
) STRICT;

CREATE TABLE orders (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   TEXT NOT NULL,
    version  INTEGER NOT NULL DEFAULT 1,
    device   TEXT NOT NULL REFERENCES devices (id),
    sha256   TEXT NOT NULL REFERENCES updates (sha256),
    created  INTEGER NOT NULL,
    outcome  TEXT NOT NULL DEFAULT 'waiting',
    code     TEXT NOT NULL DEFAULT '',
    reason   TEXT NOT NULL DEFAULT '',
    reported INTEGER
) STRICT;
CREATE UNIQUE INDEX orders_waiting ON orders (device, sha256) WHERE outcome = 'waiting';

CREATE TABLE reference_values (
    sha256    TEXT PRIMARY KEY,
    tenant    TEXT NOT NULL,
    version   INTEGER NOT NULL DEFAULT 1,
    component TEXT NOT NULL,
    of        INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    signer    TEXT NOT NULL,
    envelope  BLOB NOT NULL,
    imported  INTEGER NOT NULL
) STRICT;

-- What happened, written in the same transaction as what it tells of.
CREATE TABLE events (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   TEXT NOT NULL,
    version  INTEGER NOT NULL DEFAULT 1,
    time     INTEGER NOT NULL,
    code     TEXT NOT NULL,
    severity TEXT NOT NULL,
    subject  TEXT NOT NULL,
    message  TEXT NOT NULL,
    detail   TEXT NOT NULL
) STRICT;
CREATE INDEX events_subject ON events (subject, seq);

-- How far readers of the events have come: the audit log, the syslog server.
CREATE TABLE cursors (
    reader  TEXT PRIMARY KEY,
    tenant  TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    seq     INTEGER NOT NULL
) STRICT;

CREATE TABLE operators (
    name         TEXT PRIMARY KEY,
    tenant       TEXT NOT NULL,
    version      INTEGER NOT NULL DEFAULT 1,
    role         TEXT NOT NULL,
    token_sha256 BLOB NOT NULL UNIQUE,
    created      INTEGER NOT NULL
) STRICT;
