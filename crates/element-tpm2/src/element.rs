//! What every element can do, done by a TPM.

use crate::bound::Bound;
use crate::key_files::StoredKey;
use crate::kinds::{self, UNNAMED, public_key};
use crate::told::local;
use crate::tpm::{Tpm, own_name, selected};
use crate::{sealing, storage};
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{
    About, Agreeing, Attesting, Capabilities, Counting, Decrypting, Element, Error, Importing,
    KeySpec, KeyUse, Macs, NamedKey, PublicKey, Registers, Sealing, Storage, check_name,
};
use touchstone_tpm2::template::{DeviceKey, message_digest};
use touchstone_tpm2::{self as tpm2, Auth, NewObject, signature};

impl Element for Tpm {
    fn about(&mut self) -> Result<About, Error> {
        let fixed = self.ask(tpm2::Tpm::properties_fixed)?;
        let firmware: Vec<String> = [fixed.firmware_1, fixed.firmware_2]
            .iter()
            .map(|half| format!("{}.{}", half >> 16, half & 0xFFFF))
            .collect();
        Ok(About {
            kind: "tpm2",
            manufacturer: fixed.maker(),
            model: fixed.model(),
            serial: String::new(),
            firmware: firmware.join("."),
        })
    }

    fn capabilities(&mut self) -> Result<Capabilities, Error> {
        let mut keys = Vec::new();
        for algorithm in kinds::ALGORITHMS {
            if self.ask(|tpm| kinds::has(tpm, algorithm))? {
                keys.push((algorithm, algorithm.uses().to_vec()));
            }
        }
        let mut signatures = Vec::new();
        let mut encryptions = Vec::new();
        for (algorithm, _) in &keys {
            signatures.extend(algorithm.signatures());
            let known = algorithm.encryptions().iter().copied();
            encryptions.extend(known.filter(|known| kinds::ENCRYPTIONS.contains(known)));
        }
        let place = |known: &SignatureAlgorithm| {
            SignatureAlgorithm::ALL.iter().position(|other| other == known)
        };
        signatures.sort_by_key(place);
        signatures.dedup();
        encryptions.sort();
        encryptions.dedup();
        let pcr_banks = self.ask(tpm2::Tpm::pcr_banks)?;
        let (storage, seal) = (storage::LIMIT, sealing::LIMIT);
        Ok(Capabilities { keys, signatures, encryptions, pcr_banks, storage, seal })
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.ask(|tpm| tpm.random(out))
    }

    fn create_key(&mut self, name: &str, spec: &KeySpec) -> Result<PublicKey, Error> {
        own_name(name)?;
        let mut template = kinds::template(spec.key_use, spec.algorithm)?;
        if !self.ask(|tpm| kinds::has(tpm, spec.algorithm))? {
            return Err(UNNAMED);
        }
        self.keys.must_be_free(name)?;
        let mut policy = Vec::new();
        if let Some(pcrs) = &spec.pcrs {
            let pcrs = selected(pcrs)?;
            let values = self.ask(|tpm| tpm.pcr_read(&pcrs))?;
            let bound = Bound::new().with_pcrs(pcrs, &values).map_err(local)?;
            template = template.only_with_policy(&bound.digest().map_err(local)?);
            policy = bound.commands;
        }
        let created = self.ask(|tpm| {
            let parent = tpm.srk()?;
            tpm.create(&parent, Auth::empty(), &NewObject::new(template))
        })?;
        let mut key = StoredKey::new(created.native, created.private);
        key.file.policy = policy;
        self.keep(name, &key)
    }

    fn public_key(&mut self, name: &str) -> Result<Option<PublicKey>, Error> {
        check_name(name)?;
        match DeviceKey::from_name(name) {
            Some(DeviceKey::IDevId) => Ok(self.device_identity()?.map(|identity| identity.public)),
            Some(DeviceKey::Iak) => Ok(self.initial_attestation()?.map(|identity| identity.public)),
            None => self.keys.load(name)?.map(|stored| public_key(stored.file.public)).transpose(),
        }
    }

    fn keys(&mut self) -> Result<Vec<NamedKey>, Error> {
        let mut keys = Vec::new();
        for device_key in [DeviceKey::IDevId, DeviceKey::Iak] {
            if let Some(identity) = self.maker_key(device_key)? {
                let name = device_key.name().to_owned();
                keys.push(NamedKey { name, public: identity.public });
            }
        }
        for name in self.keys.names()? {
            if let Some(stored) = self.keys.load(&name)? {
                keys.push(NamedKey { name, public: public_key(stored.file.public)? });
            }
        }
        Ok(keys)
    }

    fn rename_key(&mut self, name: &str, to: &str) -> Result<(), Error> {
        own_name(name)?;
        own_name(to)?;
        self.keys.rename(name, to)
    }

    fn delete_key(&mut self, name: &str) -> Result<(), Error> {
        own_name(name)?;
        self.keys.delete(name)
    }

    fn sign(
        &mut self,
        name: &str,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.with_key_for(name, KeyUse::Sign, "a key that signs messages", |tpm, key| {
            let scheme = kinds::signing(&key.object.public, algorithm)
                .ok_or(Error::Unsupported("this signature algorithm with this key"))?;
            let digest = message_digest(&AwsLc, algorithm, message).map_err(local)?;
            let signed =
                tpm.using(key, |tpm, auth| tpm.sign(&key.object, auth, scheme, digest.as_bytes()))?;
            signature::to_x509(&signed, algorithm).map_err(local)
        })
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

    fn macs(&mut self) -> Option<&mut dyn Macs> {
        Some(self)
    }

    fn sealing(&mut self) -> Option<&mut dyn Sealing> {
        Some(self)
    }

    fn registers(&mut self) -> Option<&mut dyn Registers> {
        Some(self)
    }

    fn attesting(&mut self) -> Option<&mut dyn Attesting> {
        Some(self)
    }

    fn counting(&mut self) -> Option<&mut dyn Counting> {
        Some(self)
    }

    fn storage(&mut self) -> Option<&mut dyn Storage> {
        Some(self)
    }
}

impl Storage for Tpm {
    fn load(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        check_name(name)?;
        self.ask(|tpm| storage::load(tpm, name))
    }

    fn store(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        check_name(name)?;
        if value.len() > storage::LIMIT {
            return Err(Error::TooLarge { limit: storage::LIMIT });
        }
        self.ask(|tpm| storage::store(tpm, name, value))
    }

    fn remove(&mut self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        self.ask(|tpm| storage::remove(tpm, name))
    }
}
