//! TLS behind the engine contract: [`Session`] is a stream engine on rustls.
//!
//! TLS 1.3 unless an old peer needs [`ClientSetup::with_tls12`]; the crypto provider is aws-lc-rs,
//! passed by value. Sessions are not resumed and there is no early data: every connection proves
//! its keys anew, so that a revoked one is noticed at the next connection at the latest.
//! What this is not: trust. A certificate that chains to a configured root passes here; whether its
//! holder may do something is for others to say. rustls is known to `backend.rs` alone.
//!
//! A key in a secure element is a [`touchstone_crypto::Signer`]. rustls signs synchronously, so
//! such a key holds up the thread that turns the session for as long as it takes.
//!
//! ```
//! use touchstone_engine::{Engine, Instant, Output};
//! use touchstone_tls::{ClientSetup, ServerName, Session, certificates_from_pem};
//!
//! # let key = rcgen::KeyPair::generate()?;
//! # let pem = rcgen::CertificateParams::new(vec![])?.self_signed(&key)?.pem();
//! let roots = certificates_from_pem(pem.as_bytes())?;
//! let config = ClientSetup::new(&roots).alpn(&[b"http/1.1"]).build()?;
//! let mut session = Session::client(&config, &ServerName::parse("192.0.2.7")?)?;
//!
//! let mut buf = vec![0; 4096];
//! let Output::Transmit { len, .. } = session.poll_output(Instant::from_millis(0), &mut buf) else {
//!     panic!("a client speaks first")
//! };
//! assert_eq!(buf[..len][0], 22); // a handshake record (RFC 8446 §5.1) with the ClientHello
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

mod backend;
mod config;
mod error;
mod identity;
mod name;
mod session;

pub use backend::certificates_from_pem;
pub use config::{
    ClientAuth, ClientConfig, ClientSetup, ServerConfig, ServerSetup, Shown, StatusCheck,
};
pub use error::{Alert, CertificateFault, ConfigError, Error, StatusFault};
pub use identity::Identity;
pub use name::ServerName;
pub use session::{Event, Session};

#[cfg(test)]
mod tests;
