//! CMS signed envelopes with several signers (RFC 5652).
#![forbid(unsafe_code)]
