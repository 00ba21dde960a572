//! Rig.
#![forbid(unsafe_code)]
