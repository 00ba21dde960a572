//! The laws themselves: an honest element keeps them, and each lie is caught.

use super::*;
use crate::{About, KeySpec, NamedKey, PublicKey, Storage};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use touchstone_crypto::{Crypto, SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

/// One way not to be honest.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    None,
    ClaimsRsa,
    SignsWithAnotherKey,
    ForgetsAtRestart,
    TakesAnyName,
    KeepsDeletedKeys,
    OverwritesKeys,
    BindsToNothing,
    StoresMoreThanItSays,
    RepeatsRandom,
    HidesStorage,
}

#[derive(Default)]
struct Disk {
    keys: BTreeMap<String, Arc<SoftSigner>>,
    values: BTreeMap<String, Vec<u8>>,
}

/// An element in memory: P-256 keys that sign, and storage.
struct Memory {
    lie: Lie,
    disk: Arc<Mutex<Disk>>,
}

impl Memory {
    fn check(&self, name: &str) -> Result<(), Error> {
        if self.lie == Lie::TakesAnyName { Ok(()) } else { crate::check_name(name) }
    }
}

fn public(key: &SoftSigner) -> PublicKey {
    PublicKey {
        key_use: KeyUse::Sign,
        algorithm: KeyAlgorithm::P256,
        spki_der: key.spki_der().to_vec(),
        native: Vec::new(),
    }
}

impl Element for Memory {
    fn about(&mut self) -> Result<About, Error> {
        let none = String::new;
        Ok(About {
            kind: "software",
            manufacturer: none(),
            model: none(),
            serial: none(),
            firmware: none(),
        })
    }

    fn capabilities(&mut self) -> Result<Capabilities, Error> {
        let mut keys = vec![(KeyAlgorithm::P256, vec![KeyUse::Sign])];
        if self.lie == Lie::ClaimsRsa {
            keys.push((KeyAlgorithm::Rsa2048, vec![KeyUse::Sign]));
        }
        let signatures = vec![SignatureAlgorithm::EcdsaP256Sha256];
        Ok(Capabilities { keys, signatures, storage: 128, ..Capabilities::default() })
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), Error> {
        if self.lie == Lie::RepeatsRandom {
            out.fill(4);
            return Ok(());
        }
        Ok(AwsLc.random(out)?)
    }

    fn create_key(&mut self, name: &str, spec: &KeySpec) -> Result<PublicKey, Error> {
        self.check(name)?;
        let binds = spec.pcrs.is_some() && self.lie != Lie::BindsToNothing;
        if (spec.key_use, spec.algorithm) != (KeyUse::Sign, KeyAlgorithm::P256) || binds {
            return Err(Error::Unsupported("only P-256 keys that sign"));
        }
        let mut disk = self.disk.lock().unwrap();
        if disk.keys.contains_key(name) && self.lie != Lie::OverwritesKeys {
            return Err(Error::KeyExists(name.into()));
        }
        let key = Arc::new(SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256)?);
        disk.keys.insert(name.into(), Arc::clone(&key));
        Ok(public(&key))
    }

    fn public_key(&mut self, name: &str) -> Result<Option<PublicKey>, Error> {
        self.check(name)?;
        Ok(self.disk.lock().unwrap().keys.get(name).map(|key| public(key)))
    }

    fn keys(&mut self) -> Result<Vec<NamedKey>, Error> {
        let disk = self.disk.lock().unwrap();
        let named = |(name, key): (&String, &Arc<SoftSigner>)| NamedKey {
            name: name.clone(),
            public: public(key),
        };
        Ok(disk.keys.iter().map(named).collect())
    }

    fn rename_key(&mut self, name: &str, to: &str) -> Result<(), Error> {
        self.check(name)?;
        self.check(to)?;
        let mut disk = self.disk.lock().unwrap();
        let key = disk.keys.remove(name).ok_or_else(|| Error::UnknownKey(name.into()))?;
        disk.keys.insert(to.into(), key);
        Ok(())
    }

    fn delete_key(&mut self, name: &str) -> Result<(), Error> {
        self.check(name)?;
        if self.lie != Lie::KeepsDeletedKeys {
            self.disk.lock().unwrap().keys.remove(name);
        }
        Ok(())
    }

    fn sign(
        &mut self,
        name: &str,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.check(name)?;
        let key = self.disk.lock().unwrap().keys.get(name).cloned();
        let key = key.ok_or_else(|| Error::UnknownKey(name.into()))?;
        if algorithm != SignatureAlgorithm::EcdsaP256Sha256 {
            return Err(Error::Unsupported("only ECDSA on P-256"));
        }
        if self.lie == Lie::SignsWithAnotherKey {
            return Ok(SoftSigner::generate(algorithm)?.sign(message)?);
        }
        Ok(key.sign(message)?)
    }

    fn storage(&mut self) -> Option<&mut dyn Storage> {
        if self.lie == Lie::HidesStorage { None } else { Some(self) }
    }
}

impl Storage for Memory {
    fn load(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.check(name)?;
        Ok(self.disk.lock().unwrap().values.get(name).cloned())
    }

    fn store(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        self.check(name)?;
        if value.len() > 128 && self.lie != Lie::StoresMoreThanItSays {
            return Err(Error::TooLarge { limit: 128 });
        }
        self.disk.lock().unwrap().values.insert(name.into(), value.to_vec());
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), Error> {
        self.disk.lock().unwrap().values.remove(name);
        Ok(())
    }
}

fn run(lie: Lie) {
    let disk = Arc::new(Mutex::new(Disk::default()));
    let mut open = || -> Box<dyn Element> {
        if lie == Lie::ForgetsAtRestart {
            disk.lock().unwrap().keys.clear();
        }
        Box::new(Memory { lie, disk: Arc::clone(&disk) })
    };
    all(&mut open, &Other::new(&AwsLc));
}

#[test]
fn an_honest_element_keeps_every_law() {
    run(Lie::None);
}

#[test]
fn every_lie_breaks_a_law() {
    for lie in [
        Lie::ClaimsRsa,
        Lie::SignsWithAnotherKey,
        Lie::ForgetsAtRestart,
        Lie::TakesAnyName,
        Lie::KeepsDeletedKeys,
        Lie::OverwritesKeys,
        Lie::BindsToNothing,
        Lie::StoresMoreThanItSays,
        Lie::RepeatsRandom,
        Lie::HidesStorage,
    ] {
        let caught = catch_unwind(AssertUnwindSafe(|| run(lie)));
        let words = caught.expect_err(&format!("{lie:?} went unnoticed"));
        let words = words.downcast_ref::<String>().map_or("", String::as_str);
        assert!(words.contains("law:"), "{lie:?} was caught by: {words}");
    }
}
