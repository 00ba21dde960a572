-- Version 3. The signed policies that were in force: none comes back that is older than the last.
CREATE TABLE policies (
    tenant   TEXT NOT NULL,
    name     TEXT NOT NULL,
    version  INTEGER NOT NULL,
    sha256   TEXT NOT NULL,
    accepted INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;
