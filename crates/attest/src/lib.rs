//! The attestation exchange as Engines: Attester and Verifier ends.
#![forbid(unsafe_code)]
