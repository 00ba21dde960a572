//! The crypto traits on aws-lc-rs.
#![forbid(unsafe_code)]
