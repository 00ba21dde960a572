//! The element itself: a TPM and the folder with its keys. Finding a key, loading it, and lending
//! it to whoever uses it.

use crate::bound;
use crate::endorsement::Found;
use crate::key_files::{KeyFiles, StoredKey};
use crate::kinds::public_key;
use crate::makers::Makers;
use crate::told::{local, told, unreachable};
use std::net::ToSocketAddrs;
use std::path::Path;
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Error, KeyUse, PcrSelection, PublicKey, check_name};
use touchstone_tpm2::pem::{KeyFile, PARENT_OWNER, PolicyCommand};
use touchstone_tpm2::public::attributes::ADMIN_WITH_POLICY;
use touchstone_tpm2::template::{self, DeviceKey};
use touchstone_tpm2::transport::{Device, Stream, Transport};
use touchstone_tpm2::{
    self as tpm2, Auth, AuthValue, Hierarchy, NewObject, NewSession, Object, Public, SessionId,
    code, policy,
};

/// A TPM 2.0.
///
/// Keys of one state folder belong to one `Tpm` at a time. Nothing stays loaded between calls but
/// the storage root key, and that goes when the `Tpm` is dropped.
pub struct Tpm {
    pub(crate) talk: tpm2::Tpm,
    /// Where it is, for people.
    at: String,
    pub(crate) keys: KeyFiles,
    pub(crate) endorsement: Option<Found>,
    pub(crate) makers: Makers,
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
        let mut tpm = Self { talk, at, keys, endorsement: None, makers: Makers::default() };
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

    /// Loads a key by its name, lends it out and unloads it, whatever came of it.
    pub(crate) fn with_key<T>(
        &mut self,
        name: &str,
        serve: impl FnOnce(&mut Self, &Loaded) -> Result<T, Error>,
    ) -> Result<T, Error> {
        check_name(name)?;
        if let Some(key) = DeviceKey::from_name(name) {
            return self.with_makers_key(key, serve);
        }
        let stored = self.keys.load(name)?.ok_or_else(|| Error::UnknownKey(name.to_owned()))?;
        let object =
            if stored.is_old { self.load_old(&stored.file) } else { self.load_file(&stored.file) }?;
        self.lend(&Loaded { object, maker: None, policy: stored.file.policy }, serve)
    }

    /// The same for a key that has to be for this use.
    pub(crate) fn with_key_for<T>(
        &mut self,
        name: &str,
        key_use: KeyUse,
        needed: &'static str,
        serve: impl FnOnce(&mut Self, &Loaded) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.with_key(name, |tpm, key| {
            if public_key(key.object.native.clone())?.key_use == key_use {
                serve(tpm, key)
            } else {
                Err(Error::WrongKind { name: name.to_owned(), needed })
            }
        })
    }

    /// Loads what a key file holds, under the parent that it names.
    pub(crate) fn load_file(&mut self, file: &KeyFile) -> Result<Object, Error> {
        if file.parent == PARENT_OWNER && !file.rsa_parent {
            return self.ask(|tpm| {
                let parent = tpm.srk()?;
                tpm.load(&parent, Auth::empty(), &file.private, &file.public)
            });
        }
        if file.parent != PARENT_OWNER {
            return self.ask(|tpm| {
                let parent = tpm.read_public(file.parent)?;
                tpm.load(&parent, Auth::empty(), &file.private, &file.public)
            });
        }
        self.load_under(&template::key_file_parent(true), file)
    }

    /// Loads a key of the first format of key files, whose parent's template had zeros in its
    /// unique field.
    fn load_old(&mut self, file: &KeyFile) -> Result<Object, Error> {
        self.load_under(&template::srk(), file)
    }

    fn load_under(&mut self, parent: &Public, file: &KeyFile) -> Result<Object, Error> {
        // TPMs load three objects at once, and two may be ours: make room.
        self.ask(tpm2::Tpm::unload_srk)?;
        let parent = self.primary(Hierarchy::Owner, parent)?;
        self.ask(|tpm| {
            tpm.with_loaded(&parent, |tpm| {
                tpm.load(&parent, Auth::empty(), &file.private, &file.public)
            })
        })
    }

    /// Uses a key by the policy that its file holds, or by its empty value.
    pub(crate) fn using<T>(
        &mut self,
        key: &Loaded,
        serve: impl FnOnce(&mut tpm2::Tpm, Auth) -> Result<T, tpm2::Error>,
    ) -> Result<T, Error> {
        self.ask(|tpm| bound::using(tpm, &key.policy, &AuthValue::default(), serve))
    }

    /// Keeps a new key under its name.
    pub(crate) fn keep(&mut self, name: &str, key: &StoredKey) -> Result<PublicKey, Error> {
        let public = public_key(key.file.public.clone())?;
        self.keys.store(name, key)?;
        Ok(public)
    }

    pub(crate) fn lend<T>(
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
    pub(crate) fn with_admin<T>(
        &mut self,
        loaded: &Loaded,
        command: code::Code,
        serve: impl FnOnce(&mut Self, Auth) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let public = &loaded.object.public;
        let maker = match loaded.maker {
            Some(maker) if public.attributes & ADMIN_WITH_POLICY != 0 => maker,
            _ => return serve(self, Auth::empty()),
        };
        if public.policy != policy::device_key(&AwsLc, maker) {
            return Err(Error::Unsupported("the policy that the maker gave its key"));
        }
        self.with_policy(HashAlgorithm::Sha256, |tpm, session| {
            tpm.ask(|tpm| {
                tpm.policy_secret(session, Hierarchy::Endorsement)?;
                tpm.policy_command(session, command)?;
                tpm.policy_or(session, &policy::device_key_branches(&AwsLc, maker))
            })?;
            serve(tpm, Auth::policy(session))
        })
    }

    pub(crate) fn with_policy<T>(
        &mut self,
        hash: HashAlgorithm,
        serve: impl FnOnce(&mut Self, SessionId) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let session = self.ask(|tpm| tpm.start(&NewSession::policy(hash)))?;
        let served = serve(self, session);
        let flushed = self.ask(|tpm| tpm.end(session));
        let served = served?;
        flushed?;
        Ok(served)
    }
}

/// A loaded key, whether it is the maker's, and what it is bound to.
pub(crate) struct Loaded {
    pub(crate) object: Object,
    pub(crate) maker: Option<DeviceKey>,
    /// What its use takes, from its file.
    pub(crate) policy: Vec<PolicyCommand>,
}

/// A name that a key of ours can have.
pub(crate) fn own_name(name: &str) -> Result<(), Error> {
    check_name(name)?;
    match DeviceKey::from_name(name) {
        Some(_) => Err(Error::BadInput("`idevid` and `iak` are the names of the maker's keys")),
        None => Ok(()),
    }
}

pub(crate) fn selected(selection: &PcrSelection) -> Result<tpm2::PcrSelection, Error> {
    tpm2::PcrSelection::new(selection.algorithm, &selection.pcrs).map_err(local)
}
