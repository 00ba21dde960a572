//! Event logs (TCG, IMA): parse and replay.
#![forbid(unsafe_code)]
