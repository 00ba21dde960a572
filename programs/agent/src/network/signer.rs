//! Identities whose keys the keeper holds.

use super::{Error, asked};
use crate::link::{Ask, Key, Line, Reply};
use std::sync::Arc;
use touchstone_certs::Certificate;
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_tls::Identity;

/// A key that the keeper signs handshakes with.
struct Kept {
    line: Line,
    key: Key,
    algorithm: SignatureAlgorithm,
    spki_der: Vec<u8>,
}

impl Signer for Kept {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// Handshakes run on threads beside the loop, which carries the line meanwhile.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, touchstone_crypto::Error> {
        let ask = Ask::Sign { key: self.key, message: message.to_vec() };
        match self.line.ask_from_thread(ask) {
            Ok(Reply::Bytes(signature)) => Ok(signature),
            Ok(Reply::Refused(no)) => {
                tracing::warn!(code = no.code, "the keeper does not sign: {}", no.words);
                Err(touchstone_crypto::Error::SignerFailed)
            }
            Ok(_) | Err(_) => Err(touchstone_crypto::Error::SignerFailed),
        }
    }
}

/// The identity that goes with a key, for TLS.
pub(super) async fn identity(line: &Line, key: Key) -> Result<Identity, Error> {
    let Reply::Identity(identity) = asked(line, Ask::Identity(key)).await? else {
        return Err(Error::Answer);
    };
    let fault = |reason: &dyn ToString| Error::Identity(reason.to_string());
    let algorithm = SignatureAlgorithm::from_name(&identity.algorithm)
        .ok_or_else(|| fault(&"their key's algorithm is not known"))?;
    let leaf = identity.chain.first().ok_or_else(|| fault(&"there are none"))?;
    let leaf = Certificate::decode(leaf).map_err(|error| fault(&error))?;
    let spki_der = leaf.spki_der().to_vec();
    let key = Kept { line: line.clone(), key, algorithm, spki_der };
    Identity::from_signer(&identity.chain, Arc::new(key)).map_err(|error| fault(&error))
}
