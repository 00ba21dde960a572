//! A key of an element, as a `Signer`.

use crate::{Element, Error};
use std::fmt;
use std::sync::{Arc, Mutex};
use touchstone_crypto::{SignatureAlgorithm, Signer};

/// A named key of a shared element, for whoever signs without knowing where the key lives: TLS
/// client authentication, certificate requests.
pub struct ElementSigner<E: ?Sized> {
    element: Arc<Mutex<E>>,
    name: String,
    algorithm: SignatureAlgorithm,
    spki_der: Vec<u8>,
}

impl<E: Element + ?Sized> ElementSigner<E> {
    /// The signer for the key `name`, by its usual algorithm; [`Error::UnknownKey`] if there is
    /// none.
    pub fn new(element: Arc<Mutex<E>>, name: &str) -> Result<Self, Error> {
        let key = element
            .lock()
            .map_err(|_| Error::Poisoned)?
            .public_key(name)?
            .ok_or_else(|| Error::UnknownKey(name.to_owned()))?;
        let needed = "a key that signs";
        Ok(Self {
            element,
            name: name.to_owned(),
            algorithm: key
                .signature()
                .ok_or_else(|| Error::WrongKind { name: name.to_owned(), needed })?,
            spki_der: key.spki_der,
        })
    }

    /// The same key, signing another way than its usual one: TLS 1.3 wants RSA-PSS (RFC 8446
    /// §4.2.3). [`Error::Unsupported`] when such a key does not sign so.
    pub fn signing_by(mut self, algorithm: SignatureAlgorithm) -> Result<Self, Error> {
        let mut element = self.element.lock().map_err(|_| Error::Poisoned)?;
        let unknown = || Error::UnknownKey(self.name.clone());
        let key = element.public_key(&self.name)?.ok_or_else(unknown)?;
        let made = element.capabilities()?.signatures.contains(&algorithm);
        drop(element);
        if !made || !key.algorithm.signatures().contains(&algorithm) {
            return Err(Error::Unsupported("that way to sign with this key"));
        }
        self.algorithm = algorithm;
        Ok(self)
    }

    /// Signs, and keeps the element's own words when it cannot.
    pub fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.element.lock().map_err(|_| Error::Poisoned)?.sign(&self.name, self.algorithm, message)
    }
}

impl<E: Element + ?Sized> Signer for ElementSigner<E> {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, touchstone_crypto::Error> {
        self.try_sign(message).map_err(|_| touchstone_crypto::Error::SignerFailed)
    }
}

impl<E: ?Sized> Clone for ElementSigner<E> {
    fn clone(&self) -> Self {
        Self {
            element: Arc::clone(&self.element),
            name: self.name.clone(),
            algorithm: self.algorithm,
            spki_der: self.spki_der.clone(),
        }
    }
}

impl<E: ?Sized> fmt::Debug for ElementSigner<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ElementSigner").field("name", &self.name).finish_non_exhaustive()
    }
}
