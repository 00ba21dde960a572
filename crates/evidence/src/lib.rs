//! Evidence and Endorsements: decode, verify, claims.
#![forbid(unsafe_code)]
