//! Turns engines: moves bytes, keeps time, answers asks.
#![forbid(unsafe_code)]
