//! Readers and writers over bytes, and the error Malformed.
#![forbid(unsafe_code)]
