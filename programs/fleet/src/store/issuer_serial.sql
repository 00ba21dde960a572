-- Version 10. A certificate is told apart by its issuer and its serial number (RFC 5280 4.1.2.2): other
-- CAs, in front of which the fleet is a registration authority, give numbers as they like.
ALTER TABLE certificates RENAME TO certificates_before;
CREATE TABLE certificates (
    issuer      TEXT NOT NULL,
    serial      TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    version     INTEGER NOT NULL DEFAULT 2,
    device      TEXT,
    kind        TEXT NOT NULL,
    subject     TEXT NOT NULL,
    spki_sha256 TEXT NOT NULL,
    jkt         TEXT NOT NULL,
    der         BLOB NOT NULL,
    not_before  INTEGER NOT NULL,
    not_after   INTEGER NOT NULL,
    revoked_at  INTEGER,
    reason      TEXT,
    profile     TEXT NOT NULL,
    crl         TEXT NOT NULL,
    issued      INTEGER NOT NULL,
    PRIMARY KEY (issuer, serial)
) STRICT;
INSERT INTO certificates (issuer, serial, tenant, version, device, kind, subject, spki_sha256, jkt, der,
                          not_before, not_after, revoked_at, reason, profile, crl, issued)
    SELECT issuer, serial, tenant, version, device, kind, subject, spki_sha256, jkt, der,
           not_before, not_after, revoked_at, reason, profile, crl, issued
    FROM certificates_before ORDER BY rowid;
DROP TABLE certificates_before;
CREATE INDEX certificates_serial ON certificates (serial);
CREATE INDEX certificates_device ON certificates (device, not_before);
CREATE INDEX certificates_key ON certificates (spki_sha256);
CREATE INDEX certificates_crl ON certificates (issuer, crl);
CREATE INDEX certificates_revoked ON certificates (issuer, revoked_at) WHERE revoked_at IS NOT NULL;
