//! The element itself: a TPM and the folder with its keys.

use crate::endorsement::Found;
use crate::key_files::{KeyFiles, StoredKey};
use crate::storage;
use crate::told::{local, told, unreachable};
use std::net::ToSocketAddrs;
use std::path::Path;
use touchstone_crypto::{Curve, Digest, HashAlgorithm, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{
    About, Attested, Attesting, Capabilities, Credential, DeviceIdentity, Element, Endorsement,
    Error, KeyAlgorithm, KeySpec, KeyUse, NamedKey, PcrSelection, PublicKey, Registers, Secret,
    Storage, check_name,
};
use touchstone_tpm2::marshal::{Reader, Writer};
use touchstone_tpm2::nv::split_certificates;
use touchstone_tpm2::public::attributes::RESTRICTED;
use touchstone_tpm2::public::{ALG_NULL, Key};
use touchstone_tpm2::template::{self, DeviceKey};
use touchstone_tpm2::transport::{Device, Stream, Transport};
use touchstone_tpm2::{
    self as tpm2, Auth, Command, Hierarchy, NewObject, NewSession, Object, Public, SessionId, code,
    policy, signature,
};

/// A TPM 2.0.
///
/// Keys of one state folder belong to one `Tpm` at a time. Nothing stays loaded between calls but
/// the storage root key, and that goes when the `Tpm` is dropped.
pub struct Tpm {
    talk: tpm2::Tpm,
    /// Where it is, for people.
    at: String,
    keys: KeyFiles,
    pub(crate) endorsement: Option<Found>,
    identity: Option<DeviceIdentity>,
}

impl Tpm {
    /// The TPM of this machine: `/dev/tpmrm0`, which keeps its users apart.
    pub fn open_device(path: impl AsRef<Path>, state: impl AsRef<Path>) -> Result<Self, Error> {
        let at = path.as_ref().display().to_string();
        let device = Device::open(path).map_err(|error| unreachable(&at, error))?;
        Self::with_transport(Box::new(device), at, state.as_ref())
    }

    /// A software TPM at a Unix socket (swtpm's data channel). Nobody else may use it meanwhile:
    /// what is loaded in it is unloaded.
    pub fn connect_unix(path: impl AsRef<Path>, state: impl AsRef<Path>) -> Result<Self, Error> {
        let at = path.as_ref().display().to_string();
        let stream = Stream::unix(path).map_err(|error| unreachable(&at, error))?;
        Self::with_transport(Box::new(stream), at, state.as_ref())
    }

    /// A software TPM at a TCP address, `127.0.0.1:2321`; otherwise as
    /// [`connect_unix`](Self::connect_unix).
    pub fn connect_tcp(
        address: impl ToSocketAddrs + ToString,
        state: impl AsRef<Path>,
    ) -> Result<Self, Error> {
        let at = address.to_string();
        let stream = Stream::tcp(address).map_err(|error| unreachable(&at, error))?;
        Self::with_transport(Box::new(stream), at, state.as_ref())
    }

    /// A TPM behind any transport; `at` names it in errors. Where no resource manager keeps its
    /// users apart nobody else may use it meanwhile: what is loaded in it is unloaded.
    pub fn with_transport(
        transport: Box<dyn Transport + Send>,
        at: String,
        state: &Path,
    ) -> Result<Self, Error> {
        let keys = KeyFiles::open(state)?;
        let talk = tpm2::Tpm::new(transport, &AwsLc);
        let mut tpm = Self { talk, at, keys, endorsement: None, identity: None };
        tpm.ask(tpm2::Tpm::recover)?;
        Ok(tpm)
    }

    /// Talks to the TPM, and tells what went wrong in the words of elements.
    pub(crate) fn ask<T>(
        &mut self,
        ask: impl FnOnce(&mut tpm2::Tpm) -> Result<T, tpm2::Error>,
    ) -> Result<T, Error> {
        ask(&mut self.talk).map_err(|error| told(&self.at, error))
    }

    pub(crate) fn primary(
        &mut self,
        hierarchy: Hierarchy,
        template: &Public,
    ) -> Result<Object, Error> {
        self.ask(|tpm| {
            let auth = tpm.hierarchy_auth(hierarchy);
            let new = NewObject::new(template.clone());
            tpm.create_primary(hierarchy, auth, &new).map(|(key, _)| key)
        })
    }

    pub(crate) fn forget_identity(&mut self) {
        self.identity = None;
    }

    fn maker_key(&mut self, key: DeviceKey) -> Result<Option<DeviceIdentity>, Error> {
        let Some(stored) = self.ask(|tpm| tpm.nv_read_open(key.certificate()))? else {
            return Ok(None);
        };
        let certificates = split_certificates(&stored).map_err(local)?;
        if certificates.is_empty() {
            return Err(Error::Malformed("the index of the device identity holds no certificate"));
        }
        let public =
            self.with_device_key(key, |_, loaded| public_key(loaded.object.native.clone()))?;
        Ok(Some(DeviceIdentity { public, certificates }))
    }

    /// Loads a key by its name, lends it out and unloads it, whatever came of it.
    fn with_key<T>(
        &mut self,
        name: &str,
        serve: impl FnOnce(&mut Self, &Loaded) -> Result<T, Error>,
    ) -> Result<T, Error> {
        check_name(name)?;
        if let Some(key) = DeviceKey::from_name(name) {
            if self.ask(|tpm| tpm.nv_index(key.certificate()))?.is_none() {
                return Err(Error::UnknownKey(name.to_owned()));
            }
            return self.with_device_key(key, serve);
        }
        let stored = self.keys.load(name)?.ok_or_else(|| Error::UnknownKey(name.to_owned()))?;
        let object = self.ask(|tpm| {
            let srk = tpm.srk()?;
            tpm.load(&srk, Auth::empty(), &stored.private, &stored.native)
        })?;
        self.lend(&Loaded { object, maker: None }, serve)
    }

    pub(crate) fn with_device_key<T>(
        &mut self,
        key: DeviceKey,
        serve: impl FnOnce(&mut Self, &Loaded) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let object = self.primary(Hierarchy::Endorsement, &key.template(&AwsLc))?;
        self.lend(&Loaded { object, maker: Some(key) }, serve)
    }

    fn lend<T>(
        &mut self,
        loaded: &Loaded,
        serve: impl FnOnce(&mut Self, &Loaded) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let served = serve(self, loaded);
        let flushed = self.ask(|tpm| tpm.flush(loaded.object.entity.handle));
        let served = served?;
        flushed?;
        Ok(served)
    }

    /// Authorizes `command` to administer a key: to certify it, or to activate a credential for it.
    fn with_admin<T>(
        &mut self,
        loaded: &Loaded,
        command: code::Code,
        serve: impl FnOnce(&mut Self, Auth) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(maker) = loaded.maker else { return serve(self, Auth::empty()) };
        self.with_policy(|tpm, session| {
            tpm.ask(|tpm| {
                tpm.policy_secret(session, Hierarchy::Endorsement)?;
                tpm.policy_command(session, command)?;
                tpm.policy_or(session, &policy::device_key_branches(&AwsLc, maker))
            })?;
            serve(tpm, Auth::policy(session))
        })
    }

    fn with_policy<T>(
        &mut self,
        serve: impl FnOnce(&mut Self, SessionId) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let session = self.ask(|tpm| tpm.start(&NewSession::policy(HashAlgorithm::Sha256)))?;
        let served = serve(self, session);
        let flushed = self.ask(|tpm| tpm.end(session));
        let served = served?;
        flushed?;
        Ok(served)
    }

    fn property(&mut self, property: u32) -> Result<[u8; 4], Error> {
        let listed = self.ask(|tpm| tpm.capability(CAP_TPM_PROPERTIES, property, 1))?;
        let mut reader = Reader::new(&listed);
        let mut next = || reader.u32().map_err(local);
        if next()? == 0 || next()? != property {
            return Err(Error::Malformed("the TPM does not know one of its own properties"));
        }
        Ok(next()?.to_be_bytes())
    }

    fn has_curve(&mut self, curve: u16) -> Result<bool, Error> {
        let listed = self.ask(|tpm| tpm.capability(CAP_ECC_CURVES, u32::from(curve), 1))?;
        let mut reader = Reader::new(&listed);
        Ok(reader.u32().map_err(local)? != 0 && reader.u16().map_err(local)? == curve)
    }
}

const CAP_TPM_PROPERTIES: u32 = 6;
const CAP_ECC_CURVES: u32 = 8;
const PT_MANUFACTURER: u32 = 0x105;
const PT_VENDOR_STRINGS: [u32; 4] = [0x106, 0x107, 0x108, 0x109];
const PT_FIRMWARE: [u32; 2] = [0x10B, 0x10C];

/// A loaded key, and whether the maker's template made it.
pub(crate) struct Loaded {
    pub(crate) object: Object,
    maker: Option<DeviceKey>,
}

const UNNAMED: Error = Error::Unsupported("a key of an algorithm without a name here");

pub(crate) fn public_key(native: Vec<u8>) -> Result<PublicKey, Error> {
    let public = Public::decode(&native).map_err(local)?;
    let signature = public.signature_algorithm().ok_or(UNNAMED)?;
    let algorithm = KeyAlgorithm::ALL
        .iter()
        .copied()
        .find(|algorithm| algorithm.signatures().contains(&signature) && is_a(&public, *algorithm))
        .ok_or(UNNAMED)?;
    let restricted = public.attributes & RESTRICTED != 0;
    let key_use = if restricted { KeyUse::Attest } else { KeyUse::Sign };
    Ok(PublicKey { key_use, algorithm, spki_der: public.spki_der().map_err(local)?, native })
}

/// Whether it is a key of that kind and length.
fn is_a(public: &Public, algorithm: KeyAlgorithm) -> bool {
    match (algorithm, &public.key) {
        (KeyAlgorithm::Rsa2048, Key::Rsa { bits, .. }) => *bits == 2048,
        (KeyAlgorithm::Rsa3072, Key::Rsa { bits, .. }) => *bits == 3072,
        (KeyAlgorithm::Rsa4096, Key::Rsa { bits, .. }) => *bits == 4096,
        (KeyAlgorithm::P256, Key::Ecc { curve, .. }) => *curve == Curve::P256,
        (KeyAlgorithm::P384, Key::Ecc { curve, .. }) => *curve == Curve::P384,
        _ => false,
    }
}

/// How keys of ours sign, given a TPM that has the algorithms.
const SIGNATURES: [SignatureAlgorithm; 3] = [
    SignatureAlgorithm::EcdsaP256Sha256,
    SignatureAlgorithm::EcdsaP384Sha384,
    SignatureAlgorithm::RsaPkcs1Sha256,
];

/// A name that a key of ours can have.
fn own_name(name: &str) -> Result<(), Error> {
    check_name(name)?;
    match DeviceKey::from_name(name) {
        Some(_) => Err(Error::BadInput("`idevid` and `iak` are the names of the maker's keys")),
        None => Ok(()),
    }
}

fn qualifying(data: &[u8]) -> Result<Writer, Error> {
    if data.len() > 64 {
        return Err(Error::BadInput("qualifying data is 64 octets at most"));
    }
    Writer::default().sized(data).map_err(local)
}

fn attested(parameters: &[u8]) -> Result<Attested, Error> {
    let mut reader = Reader::new(parameters);
    let attest = reader.sized().map_err(local)?.to_vec();
    Ok(Attested { attest, signature: reader.rest().to_vec() })
}

/// Printable characters of a four-octet property.
fn characters(octets: &[u8]) -> String {
    let printable = octets.iter().filter(|octet| (0x20..0x7F).contains(*octet));
    printable.map(|&octet| char::from(octet)).collect()
}

impl Element for Tpm {
    fn about(&mut self) -> Result<About, Error> {
        let manufacturer = characters(&self.property(PT_MANUFACTURER)?).trim().to_owned();
        let mut model = String::new();
        for property in PT_VENDOR_STRINGS {
            model.push_str(&characters(&self.property(property)?));
        }
        let mut firmware = Vec::new();
        for property in PT_FIRMWARE {
            let number = u32::from_be_bytes(self.property(property)?);
            firmware.push(format!("{}.{}", number >> 16, number & 0xFFFF));
        }
        let firmware = firmware.join(".");
        let model = model.trim().to_owned();
        Ok(About { kind: "tpm2", manufacturer, model, serial: String::new(), firmware })
    }

    fn capabilities(&mut self) -> Result<Capabilities, Error> {
        let mut keys = vec![(KeyAlgorithm::Rsa2048, vec![KeyUse::Sign, KeyUse::Attest])];
        for (curve, algorithm) in [(0x0003, KeyAlgorithm::P256), (0x0004, KeyAlgorithm::P384)] {
            if self.has_curve(curve)? {
                keys.push((algorithm, vec![KeyUse::Sign, KeyUse::Attest]));
            }
        }
        let signs = |algorithm: &SignatureAlgorithm| {
            keys.iter().any(|(key, _)| key.signatures().contains(algorithm))
        };
        let signatures = SIGNATURES.into_iter().filter(signs).collect();
        let pcr_banks = self.ask(tpm2::Tpm::pcr_banks)?;
        let storage = storage::LIMIT;
        Ok(Capabilities { keys, signatures, pcr_banks, storage, ..Capabilities::default() })
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.ask(|tpm| tpm.random(out))
    }

    fn create_key(&mut self, name: &str, spec: &KeySpec) -> Result<PublicKey, Error> {
        own_name(name)?;
        if spec.pcrs.is_some() {
            return Err(Error::Unsupported("keys that are bound to PCRs"));
        }
        let signature = spec.algorithm.signatures().first().copied().ok_or(UNNAMED)?;
        if self.keys.load(name)?.is_some() {
            return Err(Error::KeyExists(name.to_owned()));
        }
        let restricted = match spec.key_use {
            KeyUse::Sign => false,
            KeyUse::Attest => true,
            _ => return Err(Error::Unsupported("keys for this use")),
        };
        let created = self.ask(|tpm| {
            let srk = tpm.srk()?;
            let template = template::signing_for(signature, restricted)?;
            tpm.create(&srk, Auth::empty(), &NewObject::new(template))
        })?;
        let stored = StoredKey { private: created.private, native: created.native };
        self.keys.store(name, &stored)?;
        public_key(stored.native)
    }

    fn public_key(&mut self, name: &str) -> Result<Option<PublicKey>, Error> {
        check_name(name)?;
        match DeviceKey::from_name(name) {
            Some(DeviceKey::IDevId) => Ok(self.device_identity()?.map(|identity| identity.public)),
            Some(DeviceKey::Iak) => Ok(self.initial_attestation()?.map(|identity| identity.public)),
            None => self.keys.load(name)?.map(|stored| public_key(stored.native)).transpose(),
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
                keys.push(NamedKey { name, public: public_key(stored.native)? });
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
        self.with_key(name, |tpm, key| {
            let Object { entity, public, .. } = &key.object;
            if public.attributes & RESTRICTED != 0 {
                let needed = "a key that signs messages";
                return Err(Error::WrongKind { name: name.to_owned(), needed });
            }
            if public.signature_algorithm() != Some(algorithm) {
                return Err(Error::Unsupported("another signature algorithm than the key's own"));
            }
            tpm.ask(|tpm| {
                let digest = template::message_digest(&AwsLc, algorithm, message)?;
                // No ticket: TPMT_TK_HASHCHECK of the null hierarchy (Part 3 §20.2).
                let parameters = Writer::default()
                    .sized(digest.as_bytes())?
                    .u16(ALG_NULL)
                    .u16(ST_HASHCHECK)
                    .u32(Hierarchy::Null.handle())
                    .u16(0);
                let sign = Command::new(code::SIGN).authorized(entity, Auth::empty());
                let answer = tpm.run(&sign.parameters(parameters))?;
                signature::to_x509(&answer.parameters, algorithm)
            })
        })
    }

    fn registers(&mut self) -> Option<&mut dyn Registers> {
        Some(self)
    }

    fn attesting(&mut self) -> Option<&mut dyn Attesting> {
        Some(self)
    }

    fn storage(&mut self) -> Option<&mut dyn Storage> {
        Some(self)
    }
}

const ST_HASHCHECK: u16 = 0x8024;

impl Attesting for Tpm {
    fn endorsement(&mut self) -> Result<Endorsement, Error> {
        Ok(self.find_endorsement()?.endorsement.clone())
    }

    fn device_identity(&mut self) -> Result<Option<DeviceIdentity>, Error> {
        if self.identity.is_none() {
            self.identity = self.maker_key(DeviceKey::IDevId)?;
        }
        Ok(self.identity.clone())
    }

    fn initial_attestation(&mut self) -> Result<Option<DeviceIdentity>, Error> {
        self.maker_key(DeviceKey::Iak)
    }

    fn quote(
        &mut self,
        key: &str,
        selection: &PcrSelection,
        data: &[u8],
    ) -> Result<Attested, Error> {
        let selection = selected(selection)?.encode();
        let parameters = qualifying(data)?.u16(ALG_NULL).octets(&selection);
        self.with_key(key, |tpm, key| {
            let quote = Command::new(code::QUOTE).authorized(&key.object.entity, Auth::empty());
            let answer = tpm.ask(|tpm| tpm.run(&quote.parameters(parameters)))?;
            attested(&answer.parameters)
        })
    }

    fn certify(&mut self, object: &str, by_key: &str, data: &[u8]) -> Result<Attested, Error> {
        let parameters = qualifying(data)?.u16(ALG_NULL);
        self.with_key(object, |tpm, object| {
            tpm.with_key(by_key, |tpm, by| {
                tpm.with_admin(object, code::CERTIFY, |tpm, auth| {
                    let certify = Command::new(code::CERTIFY)
                        .authorized(&object.object.entity, auth)
                        .authorized(&by.object.entity, Auth::empty())
                        .parameters(parameters);
                    let answer = tpm.ask(|tpm| tpm.run(&certify))?;
                    attested(&answer.parameters)
                })
            })
        })
    }

    fn activate(&mut self, key: &str, credential: &Credential) -> Result<Secret, Error> {
        let start = Writer::default().sized(&credential.blob);
        let parameters = start.and_then(|blob| blob.sized(&credential.secret)).map_err(local)?;
        let activate = Command::new(code::ACTIVATE_CREDENTIAL).parameters(parameters);
        self.with_endorsement_key(|tpm, endorsement, by_policy| {
            tpm.with_key(key, |tpm, key| {
                tpm.with_admin(key, code::ACTIVATE_CREDENTIAL, |tpm, admin| {
                    let activate = activate.authorized(&key.object.entity, admin);
                    if !by_policy {
                        let activate = activate.authorized(&endorsement.entity, Auth::empty());
                        return tpm.open_credential(&activate);
                    }
                    tpm.with_policy(|tpm, session| {
                        tpm.ask(|tpm| tpm.policy_secret(session, Hierarchy::Endorsement))?;
                        let auth = Auth::policy(session);
                        tpm.open_credential(&activate.authorized(&endorsement.entity, auth))
                    })
                })
            })
        })
    }
}

impl Registers for Tpm {
    fn read_pcrs(&mut self, selection: &PcrSelection) -> Result<Vec<Digest>, Error> {
        let selection = selected(selection)?;
        self.ask(|tpm| tpm.pcr_read(&selection))
    }

    fn extend_pcr(&mut self, pcr: u8, digests: &[Digest]) -> Result<(), Error> {
        self.ask(|tpm| tpm.pcr_extend(pcr, digests))
    }
}

impl Tpm {
    fn open_credential(&mut self, activate: &Command) -> Result<Secret, Error> {
        let answer = self.ask(|tpm| tpm.run(activate))?;
        Ok(Secret::new(Reader::new(&answer.parameters).sized().map_err(local)?.to_vec()))
    }
}

fn selected(selection: &PcrSelection) -> Result<tpm2::PcrSelection, Error> {
    tpm2::PcrSelection::new(selection.algorithm, &selection.pcrs).map_err(local)
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
