//! Trust anchors, and the question that is put to them.

use crate::{Certificate, Error, path};
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Verified};

/// What a certificate is about to be relied upon for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// A TPM's endorsement key: extended key usage `tcg-kp-EKCertificate` (2.23.133.8.1) must be
    /// there, and the key must be for encryption or key agreement if it says what it is for (TCG EK
    /// Credential Profile §3.2).
    EndorsementKey,
    /// A device's IDevID or LDevID (802.1AR §8): a key that signs; extended key usage absent, or
    /// with client authentication or `anyExtendedKeyUsage`.
    DeviceIdentity,
    /// A TLS client: a key that signs; extended key usage absent, or with client authentication.
    TlsClient,
    /// A TLS server: a key that signs; extended key usage absent, or with server authentication.
    TlsServer,
    /// A signer of updates or reference values: extended key usage `codeSigning` must be there.
    CodeSigning,
    /// A delegated OCSP responder: extended key usage `OCSPSigning` must be there (RFC 6960
    /// §4.2.2.2).
    OcspSigning,
    /// Any: the chain alone is of interest.
    Any,
}

/// The certificates that are believed without further proof.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustStore {
    anchors: Vec<Certificate>,
}

/// A leaf, and who vouches for it up to a trust anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub(crate) leaf: Certificate,
    pub(crate) issuers: Vec<Certificate>,
}

impl TrustStore {
    /// A store of these anchors.
    pub fn new(anchors: Vec<Certificate>) -> Self {
        Self { anchors }
    }

    /// A store of the certificates in a PEM file.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        Ok(Self::new(Certificate::from_pem(pem)?))
    }

    /// One anchor more.
    pub fn add(&mut self, anchor: Certificate) {
        self.anchors.push(anchor);
    }

    /// The anchors.
    pub fn certificates(&self) -> &[Certificate] {
        &self.anchors
    }

    /// Whether there is no anchor, so that nothing can be valid.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// Finds a path from `leaf` over some of `intermediates` (in any order, with strangers among
    /// them) to an anchor, all of it valid at `at` for `purpose`.
    pub fn validate(
        &self,
        crypto: &dyn Crypto,
        leaf: &Certificate,
        intermediates: &[Certificate],
        at: u64,
        purpose: Purpose,
    ) -> Result<Verified<Chain>, Error> {
        path::validate(crypto, &self.anchors, leaf, intermediates, at, purpose).map(Verified::vouch)
    }
}

impl Chain {
    /// The certificate that was asked about.
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// Its issuer, that one's issuer, and so on; the last is the trust anchor.
    pub fn issuers(&self) -> &[Certificate] {
        &self.issuers
    }

    /// The trust anchor.
    pub fn anchor(&self) -> &Certificate {
        self.issuers.last().unwrap_or(&self.leaf)
    }
}
