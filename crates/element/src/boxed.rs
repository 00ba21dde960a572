//! A boxed element is an element: so that one that was opened by its settings can be shared.

use crate::{
    About, Agreeing, Attesting, Capabilities, Certificates, Counting, Decapsulating, Decrypting,
    Element, Error, Importing, KeySpec, Macs, NamedKey, PublicKey, Registers, Sealing, Storage,
};
use touchstone_crypto::SignatureAlgorithm;

impl<E: Element + ?Sized> Element for Box<E> {
    fn about(&mut self) -> Result<About, Error> {
        (**self).about()
    }
    fn capabilities(&mut self) -> Result<Capabilities, Error> {
        (**self).capabilities()
    }
    fn random(&mut self, out: &mut [u8]) -> Result<(), Error> {
        (**self).random(out)
    }
    fn create_key(&mut self, name: &str, spec: &KeySpec) -> Result<PublicKey, Error> {
        (**self).create_key(name, spec)
    }
    fn public_key(&mut self, name: &str) -> Result<Option<PublicKey>, Error> {
        (**self).public_key(name)
    }
    fn keys(&mut self) -> Result<Vec<NamedKey>, Error> {
        (**self).keys()
    }
    fn rename_key(&mut self, name: &str, to: &str) -> Result<(), Error> {
        (**self).rename_key(name, to)
    }
    fn delete_key(&mut self, name: &str) -> Result<(), Error> {
        (**self).delete_key(name)
    }
    fn sign(
        &mut self,
        name: &str,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, Error> {
        (**self).sign(name, algorithm, message)
    }
    fn importing(&mut self) -> Option<&mut dyn Importing> {
        (**self).importing()
    }
    fn decrypting(&mut self) -> Option<&mut dyn Decrypting> {
        (**self).decrypting()
    }
    fn agreeing(&mut self) -> Option<&mut dyn Agreeing> {
        (**self).agreeing()
    }
    fn decapsulating(&mut self) -> Option<&mut dyn Decapsulating> {
        (**self).decapsulating()
    }
    fn macs(&mut self) -> Option<&mut dyn Macs> {
        (**self).macs()
    }
    fn sealing(&mut self) -> Option<&mut dyn Sealing> {
        (**self).sealing()
    }
    fn registers(&mut self) -> Option<&mut dyn Registers> {
        (**self).registers()
    }
    fn attesting(&mut self) -> Option<&mut dyn Attesting> {
        (**self).attesting()
    }
    fn counting(&mut self) -> Option<&mut dyn Counting> {
        (**self).counting()
    }
    fn storage(&mut self) -> Option<&mut dyn Storage> {
        (**self).storage()
    }
    fn certificates(&mut self) -> Option<&mut dyn Certificates> {
        (**self).certificates()
    }
}
