//! X.509 certificates: read, write, path validation, OCSP.
#![forbid(unsafe_code)]
