-- Version 5. Which CA issued a certificate, by which profile, and in which CRL it would stand.
ALTER TABLE certificates ADD COLUMN issuer TEXT NOT NULL DEFAULT '';
ALTER TABLE certificates ADD COLUMN profile TEXT NOT NULL DEFAULT '';
ALTER TABLE certificates ADD COLUMN crl TEXT NOT NULL DEFAULT '';
ALTER TABLE certificates ADD COLUMN issued INTEGER NOT NULL DEFAULT 0;
UPDATE certificates SET profile = kind;
CREATE INDEX certificates_crl ON certificates (issuer, crl);
CREATE INDEX certificates_revoked ON certificates (issuer, revoked_at) WHERE revoked_at IS NOT NULL;

-- The last number of each CRL: none is used for two lists (RFC 5280 5.2.3).
CREATE TABLE crls (
    name    TEXT NOT NULL,
    issuer  TEXT NOT NULL,
    tenant  TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    number  INTEGER NOT NULL,
    PRIMARY KEY (issuer, name)
) STRICT;

-- What operators decided about a device's certificates, whatever the verdict says.
CREATE TABLE overrides (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   TEXT NOT NULL,
    version  INTEGER NOT NULL DEFAULT 1,
    device   TEXT NOT NULL REFERENCES devices (id),
    effect   TEXT NOT NULL,
    reason   TEXT NOT NULL,
    operator TEXT NOT NULL,
    created  INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    ended    INTEGER,
    ended_by TEXT
) STRICT;
CREATE INDEX overrides_device ON overrides (device, id);
