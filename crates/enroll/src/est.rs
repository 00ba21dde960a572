//! Enrolment over Secure Transport (RFC 7030, with RFC 8951 and RFC 9908): a client and a server as
//! engines.
//!
//! [`Server`] answers every operation, and asks its owner what it cannot know: who the client is,
//! what its CA says. [`Client`] goes its way to a certificate: what the request has to contain, the
//! request itself (which its owner makes, since the key is the owner's), waiting while somebody
//! decides, and what is wrong with a reply.
//!
//! What this is not: TLS or HTTP, which carry it and prove who is there; nor a CA.
//!
//! Bodies are base64, whatever a `Content-Transfer-Encoding` says or does not say (RFC 8951 §2.1).
//! Clients differ in how they want its lines: see [`Lines`].

pub mod attributes;
mod body;
mod client;
pub mod cmc;
mod error;
pub mod keygen;
mod operation;
mod question;
mod server;

pub use body::{
    CERTS_TYPE, CSRATTRS_TYPE, ENROLLED_TYPE, Lines, REQUEST_TYPE, TRANSFER_ENCODING,
    decode_attributes, decode_certs, decode_enrolled, decode_request, encode_certs, encode_request,
};
pub use client::{Client, ClientSetup, Enrolment, Event, Want};
pub use error::Error;
pub use operation::{Operation, PREFIX, path_with};
pub use question::{Decision, Given, Question, Sealing};
pub use server::{Binding, Registrar, Server, ServerSetup};

/// `challengePassword` (RFC 2985 §5.4.1): where a channel binding stands (RFC 7030 §3.5).
pub const CHALLENGE_PASSWORD: &str = "1.2.840.113549.1.9.7";
