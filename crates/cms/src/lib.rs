//! CMS signed envelopes with several signers (RFC 5652 §5), and bags of certificates.
//!
//! What this is not: a judge of who may sign. [`SignedData::verify`] proves that each signer named
//! in the envelope holds the key of its certificate and signed this content; whether such a
//! certificate counts is for [`touchstone_certs::TrustStore`] and the caller. Encryption is not
//! here.
//!
//! DER only, and in memory. Signatures without signed attributes are refused though the standard
//! knows them: their content could pass for somebody's attributes.
//!
//! ```
//! use touchstone_certs::Name;
//! use touchstone_certs::issue::{Kind, Template};
//! use touchstone_cms::{DATA, SignedData};
//! use touchstone_crypto::SignatureAlgorithm;
//! use touchstone_crypto_awslc::{AwsLc, SoftSigner};
//!
//! let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
//! let now = 1_800_000_000;
//! let publisher = Template::new(Kind::CodeSigner, Name::common_name("Publisher")?, now, now + 60)
//!     .self_sign(&AwsLc, &key)?;
//!
//! let der = SignedData::sign(&AwsLc, b"content", DATA, &[(&publisher, &key)], now)?;
//! let signed = SignedData::decode(&der)?.verify(&AwsLc)?;
//! assert_eq!(signed.content(), b"content");
//! assert_eq!(signed.signers()[0].certificate, publisher);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::print_stderr,
        reason = "tests fail loudly"
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod error;
mod sign;
mod verify;
mod wire;

pub use error::{Error, Refusal};
pub use sign::{certs_only, read_certs_only};
pub use verify::{Signed, SignedBy};

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use touchstone_certs::Certificate;

/// `id-data` (RFC 5652 §4): octets of any kind.
pub const DATA: &str = "1.2.840.113549.1.7.1";

/// As much as an envelope may hold.
pub const MOST_OCTETS: usize = 256 * 1024 * 1024;
const MOST_SIGNERS: usize = 16;
const MOST_CERTIFICATES: usize = 64;

/// A signed envelope, decoded and not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedData {
    wire: wire::SignedData,
    content: Option<Vec<u8>>,
    certificates: Vec<Certificate>,
}

impl SignedData {
    /// Reads DER: a `ContentInfo` of type `id-signedData`.
    pub fn decode(der: &[u8]) -> Result<Self, Error> {
        let wire = wire::decode(der)?;
        let content = wire::content(&wire)?;
        let certificates = wire::certificates(&wire)?;
        if wire.signer_infos.len() > MOST_SIGNERS {
            return Err(Error::Malformed { part: "signers", offset: None });
        }
        Ok(Self { wire, content, certificates })
    }

    /// The type of the content, an object identifier with dots. Unverified.
    pub fn content_type(&self) -> String {
        self.wire.content.econtent_type.to_string()
    }

    /// The content, if it is inside. Unverified: for a courier to look at.
    pub fn unverified_content(&self) -> Option<&[u8]> {
        self.content.as_deref()
    }

    /// The certificates in the envelope. Anybody may have put them there.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Who is said to have signed. Unverified: for a courier to look at.
    pub fn unverified_signers(&self) -> Vec<&Certificate> {
        let infos = self.wire.signer_infos.iter();
        infos.filter_map(|info| verify::certificate_of(info, &self.certificates)).collect()
    }
}
