//! EST messages (RFC 7030) and requests that carry proof of where their key lives.
#![forbid(unsafe_code)]
