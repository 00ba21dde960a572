//! The Verifier core: Evidence + Endorsements + Reference Values + Policy -> Attestation Result.
#![forbid(unsafe_code)]
