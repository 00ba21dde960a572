//! An element that takes its time, and one that fails.

use std::time::Duration;
use touchstone_crypto::SignatureAlgorithm;
use touchstone_element::{
    About, Agreeing, Capabilities, Element, Error, KeySpec, NamedKey, PublicKey, Storage,
};

/// An element whose signatures take `pause`, and panic when the message says so.
pub(crate) struct Slow {
    pub(crate) element: Box<dyn Element>,
    pub(crate) pause: Duration,
}

impl Element for Slow {
    fn about(&mut self) -> Result<About, Error> {
        self.element.about()
    }
    fn capabilities(&mut self) -> Result<Capabilities, Error> {
        self.element.capabilities()
    }
    fn random(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.element.random(out)
    }
    fn create_key(&mut self, name: &str, spec: &KeySpec) -> Result<PublicKey, Error> {
        self.element.create_key(name, spec)
    }
    fn public_key(&mut self, name: &str) -> Result<Option<PublicKey>, Error> {
        self.element.public_key(name)
    }
    fn keys(&mut self) -> Result<Vec<NamedKey>, Error> {
        self.element.keys()
    }
    fn rename_key(&mut self, name: &str, to: &str) -> Result<(), Error> {
        self.element.rename_key(name, to)
    }
    fn delete_key(&mut self, name: &str) -> Result<(), Error> {
        self.element.delete_key(name)
    }
    fn sign(
        &mut self,
        name: &str,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, Error> {
        assert_ne!(message, b"panic", "as asked");
        std::thread::sleep(self.pause);
        self.element.sign(name, algorithm, message)
    }
    fn agreeing(&mut self) -> Option<&mut dyn Agreeing> {
        self.element.agreeing()
    }
    fn storage(&mut self) -> Option<&mut dyn Storage> {
        self.element.storage()
    }
}
