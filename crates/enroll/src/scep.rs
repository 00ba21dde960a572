//! SCEP messages (RFC 8894), for devices and CAs that speak nothing better.
//!
//! A message is an envelope in an envelope: what is asked or answered is encrypted to the other side
//! and signed by this one, with transaction and nonces among the signed attributes. Only SHA-256 and
//! longer, only AES: MD5, SHA-1, DES and Triple DES are refused, whatever a peer says it can.
//!
//! Encryption is AES-CBC under RSAES-PKCS1-v1_5, since that is what SCEP is; the signature around it
//! is checked first, and what fails inside is not told apart.
//!
//! What this is not: HTTP, a CA, or a judge of who may enrol.

mod capabilities;
pub mod client;
mod desk;
mod enrolment;
mod error;
mod message;
mod reply;
mod request;
mod server;

pub use capabilities::{
    Capabilities, Operation, ca_certificates, encode_ca_certificates, encode_next_ca_certificates,
    next_ca_certificates,
};
pub use desk::{Desk, Server, next_ca};
pub use enrolment::{Enrolment, Progress};
pub use error::{Error, Refusal};
pub use message::{FailInfo, MessageType, Nonce, Transaction};
pub use reply::{Reply, Replying, read_reply};
pub use request::{Asked, Body, CHALLENGE_PASSWORD, Requester, Sent, challenge, read_request};
pub use server::{answer_to, draw_challenge};

/// The media type of messages (RFC 8894 §4.3).
pub const MESSAGE_TYPE: &str = "application/x-pki-message";
/// The media type of a CA's only certificate (RFC 8894 §4.2.1.1).
pub const CA_CERT_TYPE: &str = "application/x-x509-ca-cert";
/// The media type of the certificates of a CA and its RA (RFC 8894 §4.2.1.2).
pub const CA_RA_CERT_TYPE: &str = "application/x-x509-ca-ra-cert";
/// The media type of the certificates of a CA to come (RFC 8894 §4.6.1).
pub const NEXT_CA_CERT_TYPE: &str = "application/x-x509-next-ca-cert";

/// As long as any message is.
const MOST_OCTETS: usize = 1024 * 1024;
