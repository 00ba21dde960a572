//! The element itself: a TPM and the folder with its keys.

use crate::command::{self, Auth, Command, Entity};
use crate::context::{Context, Object};
use crate::endorsement::Found;
use crate::key_files::{KeyFiles, StoredKey};
use crate::marshal::{Reader, Writer};
use crate::policy;
use crate::public::attributes::RESTRICTED;
use crate::public::{ALG_NULL, Public};
use crate::session::Secret as Shielded;
use crate::signature;
use crate::template::{self, DeviceKey};
use crate::transport::{Device, Stream, Transport};
use crate::{nv, pcr};
use std::net::ToSocketAddrs;
use std::path::Path;
use touchstone_crypto::{Digest, HashAlgorithm, SignatureAlgorithm};
use touchstone_element::{
    About, Attested, Attesting, Capabilities, Credential, DeviceIdentity, Element, Endorsement,
    Error, KeyAlgorithm, KeySpec, KeyUse, NamedKey, PcrSelection, PublicKey, Registers, Secret,
    Storage, check_name,
};

/// A TPM 2.0.
///
/// Keys of one state folder belong to one `Tpm` at a time. Nothing stays loaded between calls but
/// the storage root key, and that goes when the `Tpm` is dropped.
pub struct Tpm {
    pub(crate) context: Context,
    keys: KeyFiles,
    pub(crate) endorsement: Option<Found>,
    identity: Option<DeviceIdentity>,
}

impl Tpm {
    /// The TPM of this machine: `/dev/tpmrm0`, which keeps its users apart.
    pub fn open_device(path: impl AsRef<Path>, state: impl AsRef<Path>) -> Result<Self, Error> {
        let at = path.as_ref().display().to_string();
        let device = Device::open(path.as_ref())
            .map_err(|source| Error::Unreachable { at: at.clone(), source })?;
        Self::with_transport(Box::new(device), at, state.as_ref())
    }

    /// A software TPM at a Unix socket (swtpm's data channel). Nobody else may use it meanwhile:
    /// what is loaded in it is unloaded.
    pub fn connect_unix(path: impl AsRef<Path>, state: impl AsRef<Path>) -> Result<Self, Error> {
        let at = path.as_ref().display().to_string();
        let stream = Stream::unix(path.as_ref())
            .map_err(|source| Error::Unreachable { at: at.clone(), source })?;
        Self::alone(Box::new(stream), at, state.as_ref())
    }

    /// A software TPM at a TCP address, `127.0.0.1:2321`; otherwise as
    /// [`connect_unix`](Self::connect_unix).
    pub fn connect_tcp(
        address: impl ToSocketAddrs + ToString,
        state: impl AsRef<Path>,
    ) -> Result<Self, Error> {
        let at = address.to_string();
        let stream =
            Stream::tcp(address).map_err(|source| Error::Unreachable { at: at.clone(), source })?;
        Self::alone(Box::new(stream), at, state.as_ref())
    }

    fn alone(transport: Box<dyn Transport>, at: String, state: &Path) -> Result<Self, Error> {
        let mut tpm = Self::with_transport(transport, at, state)?;
        tpm.context.flush_leftovers()?;
        Ok(tpm)
    }

    /// A TPM behind any transport; `at` names it in errors.
    pub fn with_transport(
        transport: Box<dyn Transport>,
        at: String,
        state: &Path,
    ) -> Result<Self, Error> {
        let keys = KeyFiles::open(state)?;
        Ok(Self { context: Context::new(transport, at), keys, endorsement: None, identity: None })
    }

    pub(crate) fn forget_identity(&mut self) {
        self.identity = None;
    }

    fn maker_key(&mut self, key: DeviceKey) -> Result<Option<DeviceIdentity>, Error> {
        let Some(stored) = self.context.nv_read(key.certificate())? else {
            return Ok(None);
        };
        let certificates = nv::split_certificates(&stored)?;
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
            if self.context.nv_index(key.certificate())?.is_none() {
                return Err(Error::UnknownKey(name.to_owned()));
            }
            return self.with_device_key(key, serve);
        }
        let stored = self.keys.load(name)?.ok_or_else(|| Error::UnknownKey(name.to_owned()))?;
        let object = self.context.load(&stored.private, &stored.native)?;
        self.lend(&Loaded { object, maker: None }, serve)
    }

    pub(crate) fn with_device_key<T>(
        &mut self,
        key: DeviceKey,
        serve: impl FnOnce(&mut Self, &Loaded) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let object = self.context.create_primary(policy::RH_ENDORSEMENT, &key.template())?;
        self.lend(&Loaded { object, maker: Some(key) }, serve)
    }

    fn lend<T>(
        &mut self,
        loaded: &Loaded,
        serve: impl FnOnce(&mut Self, &Loaded) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let served = serve(self, loaded);
        let flushed = self.context.flush(loaded.object.entity.handle);
        let served = served?;
        flushed?;
        Ok(served)
    }

    /// Authorizes `command` to administer a key: to certify it, or to activate a credential for it.
    fn with_admin<T>(
        &mut self,
        loaded: &Loaded,
        command: u32,
        serve: impl FnOnce(&mut Self, Auth) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(maker) = loaded.maker else { return serve(self, Auth::Empty) };
        self.with_policy(|tpm, session| {
            tpm.context.policy_endorsement(session)?;
            tpm.context.policy_command(session, command)?;
            tpm.context.policy_or(session, &policy::device_key_branches(maker))?;
            serve(tpm, Auth::Policy(session.handle))
        })
    }

    fn with_policy<T>(
        &mut self,
        serve: impl FnOnce(&mut Self, &Entity) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let session = self.context.start_policy(HashAlgorithm::Sha256)?;
        let served = serve(self, &session);
        let flushed = self.context.flush(session.handle);
        let served = served?;
        flushed?;
        Ok(served)
    }

    fn property(&mut self, property: u32) -> Result<[u8; 4], Error> {
        let listed = self.context.capability(CAP_TPM_PROPERTIES, property, 1)?;
        let mut reader = Reader::new(&listed);
        if reader.u32()? == 0 || reader.u32()? != property {
            return Err(Error::Malformed("the TPM does not know one of its own properties"));
        }
        Ok(reader.u32()?.to_be_bytes())
    }

    fn has_curve(&mut self, curve: u16) -> Result<bool, Error> {
        let listed = self.context.capability(CAP_ECC_CURVES, u32::from(curve), 1)?;
        let mut reader = Reader::new(&listed);
        Ok(reader.u32()? != 0 && reader.u16()? == curve)
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
    let public = Public::decode(&native)?;
    let signature = public.signature_algorithm().ok_or(UNNAMED)?;
    let algorithm = KeyAlgorithm::ALL
        .iter()
        .copied()
        .find(|algorithm| algorithm.signatures().contains(&signature) && public.is_a(*algorithm))
        .ok_or(UNNAMED)?;
    let restricted = public.attributes & RESTRICTED != 0;
    let key_use = if restricted { KeyUse::Attest } else { KeyUse::Sign };
    Ok(PublicKey { key_use, algorithm, spki_der: public.spki_der()?, native })
}

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
    Writer::default().sized(data)
}

fn attested(parameters: &[u8]) -> Result<Attested, Error> {
    let mut reader = Reader::new(parameters);
    let attest = reader.sized()?.to_vec();
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
        let signatures = template::ALGORITHMS.into_iter().filter(signs).collect();
        let pcr_banks = self.context.pcr_banks()?;
        let storage = nv::STORAGE_LIMIT;
        Ok(Capabilities { keys, signatures, pcr_banks, storage, ..Capabilities::default() })
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), Error> {
        // A digest's worth is what every TPM gives at once (Part 3 §16.1).
        for chunk in out.chunks_mut(32) {
            let len = u16::try_from(chunk.len()).unwrap_or(u16::MAX);
            let command = Command {
                code: command::GET_RANDOM,
                handles: &[],
                auths: &[],
                parameters: len.to_be_bytes().to_vec(),
            };
            let answer = self.context.run_secret(command, Shielded::Received)?;
            let octets = Reader::new(&answer.parameters).sized()?;
            if octets.len() != chunk.len() {
                return Err(Error::Malformed("fewer random octets than asked for"));
            }
            chunk.copy_from_slice(octets);
        }
        Ok(())
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
        let (private, native) = self.context.create(&template::key(spec.key_use, signature)?)?;
        let stored = StoredKey { private, native };
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
            let digest = template::message_digest(algorithm, message)?;
            // No ticket: TPMT_TK_HASHCHECK of the null hierarchy (Part 3 §20.2).
            let parameters = Writer::default()
                .sized(&digest)?
                .u16(ALG_NULL)
                .u16(ST_HASHCHECK)
                .u32(RH_NULL)
                .u16(0)
                .done();
            let answer = tpm.context.run(&Command {
                code: command::SIGN,
                handles: &[entity],
                auths: &[Auth::Empty],
                parameters,
            })?;
            signature::to_x509(&answer.parameters, algorithm)
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
const RH_NULL: u32 = 0x4000_0007;

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
        let selection = pcr::encode_selection(selection)?;
        let parameters = qualifying(data)?.u16(ALG_NULL).octets(&selection).done();
        self.with_key(key, |tpm, key| {
            let answer = tpm.context.run(&Command {
                code: command::QUOTE,
                handles: &[&key.object.entity],
                auths: &[Auth::Empty],
                parameters,
            })?;
            attested(&answer.parameters)
        })
    }

    fn certify(&mut self, object: &str, by_key: &str, data: &[u8]) -> Result<Attested, Error> {
        let parameters = qualifying(data)?.u16(ALG_NULL).done();
        self.with_key(object, |tpm, object| {
            tpm.with_key(by_key, |tpm, by| {
                tpm.with_admin(object, policy::CC_CERTIFY, |tpm, auth| {
                    let answer = tpm.context.run(&Command {
                        code: command::CERTIFY,
                        handles: &[&object.object.entity, &by.object.entity],
                        auths: &[auth, Auth::Empty],
                        parameters,
                    })?;
                    attested(&answer.parameters)
                })
            })
        })
    }

    fn activate(&mut self, key: &str, credential: &Credential) -> Result<Secret, Error> {
        let parameters =
            Writer::default().sized(&credential.blob)?.sized(&credential.secret)?.done();
        self.with_endorsement_key(|tpm, endorsement, by_policy| {
            tpm.with_key(key, |tpm, key| {
                tpm.with_admin(key, policy::CC_ACTIVATE_CREDENTIAL, |tpm, admin| {
                    if !by_policy {
                        return tpm.open_credential(
                            key,
                            endorsement,
                            [admin, Auth::Empty],
                            parameters,
                        );
                    }
                    tpm.with_policy(|tpm, session| {
                        tpm.context.policy_endorsement(session)?;
                        let auths = [admin, Auth::Policy(session.handle)];
                        tpm.open_credential(key, endorsement, auths, parameters)
                    })
                })
            })
        })
    }
}

impl Registers for Tpm {
    fn read_pcrs(&mut self, selection: &PcrSelection) -> Result<Vec<Digest>, Error> {
        self.context.pcr_read(selection)
    }

    fn extend_pcr(&mut self, pcr: u8, digests: &[Digest]) -> Result<(), Error> {
        self.context.pcr_extend(pcr, digests)
    }
}

impl Tpm {
    fn open_credential(
        &mut self,
        key: &Loaded,
        endorsement: &Object,
        auths: [Auth; 2],
        parameters: Vec<u8>,
    ) -> Result<Secret, Error> {
        let command = Command {
            code: command::ACTIVATE_CREDENTIAL,
            handles: &[&key.object.entity, &endorsement.entity],
            auths: &auths,
            parameters,
        };
        let answer = self.context.run_secret(command, Shielded::Received)?;
        let parameters = Secret::new(answer.parameters);
        Ok(Secret::new(Reader::new(parameters.expose()).sized()?.to_vec()))
    }
}

impl Storage for Tpm {
    fn load(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        check_name(name)?;
        self.context.load_value(name)
    }

    fn store(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        check_name(name)?;
        self.context.store_value(name, value)
    }

    fn remove(&mut self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        self.context.remove_value(name)
    }
}
