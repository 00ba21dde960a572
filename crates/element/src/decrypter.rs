//! A key of an element, as a `Decrypter`.

use crate::{Element, Encryption, Error};
use std::fmt;
use std::sync::{Arc, Mutex};
use touchstone_crypto::{Decrypter, HashAlgorithm, Opening, RsaPadding};
use zeroize::Zeroizing;

/// A named key of a shared element, for whoever opens envelopes without knowing where the key lives.
/// RSAES-PKCS1-v1_5 is not among what elements do.
pub struct ElementDecrypter<E: ?Sized> {
    element: Arc<Mutex<E>>,
    name: String,
    spki_der: Vec<u8>,
}

impl<E: Element + ?Sized> ElementDecrypter<E> {
    /// The holder of the key `name`; [`Error::UnknownKey`] if there is none.
    pub fn new(element: Arc<Mutex<E>>, name: &str) -> Result<Self, Error> {
        let key = element
            .lock()
            .map_err(|_| Error::Poisoned)?
            .public_key(name)?
            .ok_or_else(|| Error::UnknownKey(name.to_owned()))?;
        Ok(Self { element, name: name.to_owned(), spki_der: key.spki_der })
    }

    /// Opens, and keeps the element's own words when it cannot.
    pub fn try_open(&self, opening: &Opening) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut element = self.element.lock().map_err(|_| Error::Poisoned)?;
        let secret = match opening {
            Opening::Rsa { padding, ciphertext } => element
                .decrypting()
                .ok_or(Error::Unsupported("decrypting"))?
                .decrypt(&self.name, encryption(*padding)?, ciphertext)?,
            Opening::Agree { peer_spki_der } => element
                .agreeing()
                .ok_or(Error::Unsupported("agreeing on secrets"))?
                .agree(&self.name, peer_spki_der)?,
            Opening::Decapsulate { ciphertext } => element
                .decapsulating()
                .ok_or(Error::Unsupported("opening encapsulated secrets"))?
                .decapsulate(&self.name, ciphertext)?,
            _ => return Err(Error::Unsupported("that way to open with this key")),
        };
        Ok(Zeroizing::new(secret.expose().to_vec()))
    }
}

fn encryption(padding: RsaPadding) -> Result<Encryption, Error> {
    match padding {
        RsaPadding::Oaep(HashAlgorithm::Sha1) => Ok(Encryption::RsaOaepSha1),
        RsaPadding::Oaep(HashAlgorithm::Sha256) => Ok(Encryption::RsaOaepSha256),
        RsaPadding::Oaep(HashAlgorithm::Sha384) => Ok(Encryption::RsaOaepSha384),
        RsaPadding::Oaep(HashAlgorithm::Sha512) => Ok(Encryption::RsaOaepSha512),
        _ => Err(Error::Unsupported("RSA decryption with that padding")),
    }
}

impl<E: Element + ?Sized> Decrypter for ElementDecrypter<E> {
    fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    fn open(&self, opening: &Opening) -> Result<Zeroizing<Vec<u8>>, touchstone_crypto::Error> {
        self.try_open(opening).map_err(|_| touchstone_crypto::Error::SignerFailed)
    }
}

impl<E: ?Sized> fmt::Debug for ElementDecrypter<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ElementDecrypter").field("name", &self.name).finish_non_exhaustive()
    }
}
