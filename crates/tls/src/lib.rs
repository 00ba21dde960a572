//! TLS behind the engine contract, on rustls.
#![forbid(unsafe_code)]
