//! TPM 2.0: commands, sessions, transports.
#![forbid(unsafe_code)]
