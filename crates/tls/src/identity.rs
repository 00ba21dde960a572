//! Who we are: a certificate chain and the key that belongs to it.

use crate::{ConfigError, backend};
use std::fmt;
use std::sync::Arc;
use touchstone_crypto::Signer;

/// A certificate chain, leaf first, and its key: in memory, or in an element that signs for us.
#[derive(Clone)]
pub struct Identity(pub(crate) backend::Identity);

impl Identity {
    /// A key that another holds. ECDSA, Ed25519 and RSA-PSS keys sign for TLS 1.3; RSA keys with
    /// PKCS#1 v1.5 padding only for TLS 1.2.
    pub fn from_signer(chain: &[Vec<u8>], key: Arc<dyn Signer>) -> Result<Self, ConfigError> {
        backend::Identity::from_signer(chain, key).map(Self)
    }

    /// A chain of `CERTIFICATE`s and a private key in PEM: PKCS#8, SEC 1 or PKCS#1.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, ConfigError> {
        let chain = backend::certificates_from_pem(chain)?;
        backend::Identity::from_pem_key(&chain, key).map(Self)
    }

    /// The same, with this OCSP response (DER) about its first certificate stapled to it: a server
    /// shows it to every client that asks for it (RFC 6066 §8, RFC 8446 §4.4.2.1).
    #[must_use]
    pub fn with_ocsp_response(self, response: &[u8]) -> Self {
        Self(self.0.with_ocsp_response(response))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}
