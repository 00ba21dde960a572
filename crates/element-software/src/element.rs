//! The element: what it can do, on top of its store.

use crate::body::Held;
use crate::store::Store;
use crate::{Settings, key, seal};
use std::fmt;
use touchstone_crypto::{Crypto, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{
    About, Agreeing, Capabilities, Certificates, Counting, Decapsulating, Decrypting, Element,
    Encryption, Error, Importing, KeyAlgorithm, KeySpec, KeyUse, Macs, NamedKey, PublicKey, SealTo,
    Sealing, Secret, Storage, check_name,
};
use zeroize::Zeroizing;

/// Octets that fit in one stored value.
const VALUE: usize = 4096;
/// Octets that fit in a certificate.
const CERTIFICATE: usize = 64 * 1024;

/// A secure element in software.
pub struct Software {
    store: Store,
}

impl Software {
    /// Opens the element that `settings` name, or makes it when there is none.
    ///
    /// [`Error::Busy`] when another has it open; [`Error::Corrupt`], [`Error::RolledBack`],
    /// [`Error::Foreign`] or [`Error::WrongAuthorization`] when its store is not what it was.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        Ok(Self { store: Store::open(settings)? })
    }

    fn held(&mut self, name: &str, key_use: KeyUse, needed: &'static str) -> Result<&Held, Error> {
        check_name(name)?;
        let unknown = || Error::UnknownKey(name.to_owned());
        let held = self.store.body()?.keys.get(name).ok_or_else(unknown)?;
        if held.key_use == key_use {
            return Ok(held);
        }
        Err(Error::WrongKind { name: name.to_owned(), needed })
    }

    fn keep(
        &mut self,
        name: &str,
        make: impl FnOnce() -> Result<Held, Error>,
    ) -> Result<PublicKey, Error> {
        check_name(name)?;
        if self.store.body()?.keys.contains_key(name) {
            return Err(Error::KeyExists(name.to_owned()));
        }
        let held = make()?;
        let public = public(&held);
        self.store.change(|body| {
            body.keys.insert(name.to_owned(), held);
            Ok(public)
        })
    }
}

fn public(held: &Held) -> PublicKey {
    PublicKey {
        key_use: held.key_use,
        algorithm: held.algorithm,
        spki_der: held.spki_der.clone(),
        native: Vec::new(),
    }
}

fn check_use(key_use: KeyUse, algorithm: KeyAlgorithm) -> Result<(), Error> {
    if key::uses(algorithm).contains(&key_use) {
        return Ok(());
    }
    Err(Error::Unsupported("keys of that algorithm for that use"))
}

impl Element for Software {
    fn about(&mut self) -> Result<About, Error> {
        let serial = format!("{:032x}", u128::from_be_bytes(*self.store.id()));
        Ok(About {
            kind: "software",
            manufacturer: "Touchstone".to_owned(),
            model: "encrypted file".to_owned(),
            serial,
            firmware: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    fn capabilities(&mut self) -> Result<Capabilities, Error> {
        let keys = KeyAlgorithm::ALL.iter().map(|algorithm| (*algorithm, key::uses(*algorithm)));
        Ok(Capabilities {
            keys: keys.collect(),
            signatures: key::signatures(),
            encryptions: key::ENCRYPTIONS.to_vec(),
            pcr_banks: Vec::new(),
            storage: if self.store.is_anchored() { VALUE } else { 0 },
            seal: seal::LIMIT,
        })
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), Error> {
        Ok(AwsLc.random(out)?)
    }

    fn create_key(&mut self, name: &str, spec: &KeySpec) -> Result<PublicKey, Error> {
        check_use(spec.key_use, spec.algorithm)?;
        if spec.pcrs.is_some() {
            return Err(Error::Unsupported("keys bound to registers: this element has none"));
        }
        self.keep(name, || key::generate(spec.key_use, spec.algorithm))
    }

    fn public_key(&mut self, name: &str) -> Result<Option<PublicKey>, Error> {
        check_name(name)?;
        Ok(self.store.body()?.keys.get(name).map(public))
    }

    fn keys(&mut self) -> Result<Vec<NamedKey>, Error> {
        let named =
            |(name, held): (&String, &Held)| NamedKey { name: name.clone(), public: public(held) };
        Ok(self.store.body()?.keys.iter().map(named).collect())
    }

    fn rename_key(&mut self, name: &str, to: &str) -> Result<(), Error> {
        check_name(name)?;
        check_name(to)?;
        let unknown = || Error::UnknownKey(name.to_owned());
        if !self.store.body()?.keys.contains_key(name) {
            return Err(unknown());
        }
        if name == to {
            return Ok(());
        }
        self.store.change(|body| {
            let held = body.keys.remove(name).ok_or_else(unknown)?;
            body.keys.insert(to.to_owned(), held);
            Ok(())
        })
    }

    fn delete_key(&mut self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        if !self.store.body()?.keys.contains_key(name) {
            return Ok(());
        }
        self.store.change(|body| {
            body.keys.remove(name);
            Ok(())
        })
    }

    fn sign(
        &mut self,
        name: &str,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let held = self.held(name, KeyUse::Sign, "a key that signs")?;
        if !held.algorithm.signatures().contains(&algorithm) {
            let needed = "of the kind that signs so";
            return Err(Error::WrongKind { name: name.to_owned(), needed });
        }
        if !key::signatures().contains(&algorithm) {
            return Err(Error::Unsupported("that way to sign with this key"));
        }
        held.sign(algorithm, message)
    }

    fn importing(&mut self) -> Option<&mut dyn Importing> {
        Some(self)
    }
    fn decrypting(&mut self) -> Option<&mut dyn Decrypting> {
        Some(self)
    }
    fn agreeing(&mut self) -> Option<&mut dyn Agreeing> {
        Some(self)
    }
    fn decapsulating(&mut self) -> Option<&mut dyn Decapsulating> {
        Some(self)
    }
    fn macs(&mut self) -> Option<&mut dyn Macs> {
        Some(self)
    }
    fn sealing(&mut self) -> Option<&mut dyn Sealing> {
        Some(self)
    }
    fn certificates(&mut self) -> Option<&mut dyn Certificates> {
        Some(self)
    }
    // Without a second place these would go back with the disk.
    fn counting(&mut self) -> Option<&mut dyn Counting> {
        if self.store.is_anchored() { Some(self) } else { None }
    }
    fn storage(&mut self) -> Option<&mut dyn Storage> {
        if self.store.is_anchored() { Some(self) } else { None }
    }
}

impl Importing for Software {
    fn import_key(
        &mut self,
        name: &str,
        key_use: KeyUse,
        algorithm: KeyAlgorithm,
        key: &Secret,
    ) -> Result<PublicKey, Error> {
        check_use(key_use, algorithm)?;
        self.keep(name, || key::import(key_use, algorithm, key.expose()))
    }
}

impl Software {
    fn decrypts(&mut self, name: &str, encryption: Encryption) -> Result<&Held, Error> {
        let held = self.held(name, KeyUse::Decrypt, "a key that decrypts")?;
        if !held.algorithm.encryptions().contains(&encryption) {
            let needed = "of the kind that decrypts so";
            return Err(Error::WrongKind { name: name.to_owned(), needed });
        }
        if !key::ENCRYPTIONS.contains(&encryption) {
            return Err(Error::Unsupported("that way to encrypt with this key"));
        }
        Ok(held)
    }
}

impl Decrypting for Software {
    fn encrypt(
        &mut self,
        name: &str,
        encryption: Encryption,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.decrypts(name, encryption)?.encrypt(encryption, plaintext)
    }

    fn decrypt(
        &mut self,
        name: &str,
        encryption: Encryption,
        ciphertext: &[u8],
    ) -> Result<Secret, Error> {
        self.decrypts(name, encryption)?.decrypt(encryption, ciphertext)
    }
}

impl Agreeing for Software {
    fn agree(&mut self, name: &str, peer_spki_der: &[u8]) -> Result<Secret, Error> {
        self.held(name, KeyUse::Agree, "a key that agrees")?.agree(peer_spki_der)
    }
}

impl Decapsulating for Software {
    fn decapsulate(&mut self, name: &str, ciphertext: &[u8]) -> Result<Secret, Error> {
        self.held(name, KeyUse::Decapsulate, "a key that decapsulates")?.decapsulate(ciphertext)
    }
}

impl Macs for Software {
    fn mac(&mut self, name: &str, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.held(name, KeyUse::Mac, "a key that makes MACs")?.mac(message)
    }
}

impl Sealing for Software {
    fn seal(&mut self, secret: &[u8], to: &SealTo) -> Result<Vec<u8>, Error> {
        seal::seal(&self.store, secret, to)
    }

    fn unseal(&mut self, sealed: &[u8], password: Option<&Secret>) -> Result<Secret, Error> {
        seal::unseal(&self.store, sealed, password)
    }
}

impl Certificates for Software {
    fn certificate(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        check_name(name)?;
        Ok(self.store.body()?.keys.get(name).and_then(|held| held.certificate.clone()))
    }

    fn store_certificate(&mut self, name: &str, der: &[u8]) -> Result<(), Error> {
        check_name(name)?;
        if der.len() > CERTIFICATE {
            return Err(Error::TooLarge { limit: CERTIFICATE });
        }
        if der.is_empty() {
            return Err(Error::BadInput("a certificate has octets"));
        }
        self.store.change(|body| {
            let unknown = || Error::UnknownKey(name.to_owned());
            body.keys.get_mut(name).ok_or_else(unknown)?.certificate = Some(der.to_vec());
            Ok(())
        })
    }
}

impl Counting for Software {
    fn counter(&mut self, name: &str) -> Result<Option<u64>, Error> {
        check_name(name)?;
        Ok(self.store.body()?.counters.get(name).copied())
    }

    fn increment(&mut self, name: &str) -> Result<u64, Error> {
        check_name(name)?;
        self.store.change(|body| {
            let now = body.counters.get(name).copied().unwrap_or(body.floor);
            let next = now.checked_add(1).ok_or(Error::Exhausted("the counter is at its end"))?;
            body.counters.insert(name.to_owned(), next);
            Ok(next)
        })
    }

    fn delete_counter(&mut self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        if !self.store.body()?.counters.contains_key(name) {
            return Ok(());
        }
        self.store.change(|body| {
            let last = body.counters.remove(name).unwrap_or_default();
            body.floor = body.floor.max(last);
            Ok(())
        })
    }
}

impl Storage for Software {
    fn load(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        check_name(name)?;
        Ok(self.store.body()?.values.get(name).map(|value| value.to_vec()))
    }

    fn store(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        check_name(name)?;
        if value.len() > VALUE {
            return Err(Error::TooLarge { limit: VALUE });
        }
        self.store.change(|body| {
            body.values.insert(name.to_owned(), Zeroizing::new(value.to_vec()));
            Ok(())
        })
    }

    fn remove(&mut self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        if !self.store.body()?.values.contains_key(name) {
            return Ok(());
        }
        self.store.change(|body| {
            body.values.remove(name);
            Ok(())
        })
    }
}

impl fmt::Debug for Software {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Software").finish_non_exhaustive()
    }
}
