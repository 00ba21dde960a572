//! Objects: making, loading, moving and keeping them (TPM 2.0 Part 3 §12, §13, §24, §28).
//!
//! An [`Object`] is loaded until [`Tpm::flush`]; what stays without one is its two parts.

mod creation;
pub mod duplicate;
mod operations;
mod sensitive;
mod software_key;

pub use creation::{Creation, CreationData};
pub use duplicate::{Duplicate, InnerKey};
pub use operations::{Hashed, Point, RsaEncryption, SigningScheme};
pub use sensitive::Sensitive;
pub use software_key::SoftwareKey;

use crate::Error;
use crate::auth::{Auth, AuthValue};
use crate::code;
use crate::command::Command;
use crate::credential::Credential;
use crate::handle::{Entity, HandleKind, Hierarchy};
use crate::kdf::{Octets, same};
use crate::marshal::{Reader, Writer};
use crate::pcr::PcrSelection;
use crate::public::{ALG_AES, ALG_CFB, ALG_NULL, Public, name_of};
use crate::tpm::Tpm;
use alloc::vec::Vec;
use creation::Asked;
use touchstone_crypto::Crypto;
use zeroize::Zeroizing;

/// A loaded object: where it is, its name and its public part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Where it is, and its name.
    pub entity: Entity,
    /// `TPMT_PUBLIC`.
    pub native: Vec<u8>,
    /// The same, decoded.
    pub public: Public,
}

impl Object {
    /// The object at `handle` with this `TPMT_PUBLIC`, whose name is computed here.
    pub fn new(crypto: &dyn Crypto, handle: u32, native: &[u8]) -> Result<Self, Error> {
        Ok(Self {
            entity: Entity::named(handle, name_of(crypto, native)?),
            native: native.to_vec(),
            public: Public::decode(native)?,
        })
    }
}

/// An object that is asked for.
#[derive(Clone, Debug)]
pub struct NewObject<'a> {
    template: Public,
    auth: AuthValue,
    data: &'a [u8],
    outside: &'a [u8],
    pcrs: Option<PcrSelection>,
}

impl<'a> NewObject<'a> {
    /// An object of that template, with the empty authorization value.
    pub fn new(template: Public) -> Self {
        Self { template, auth: AuthValue::default(), data: &[], outside: &[], pcrs: None }
    }

    /// Its authorization value.
    #[must_use]
    pub fn auth(mut self, auth: AuthValue) -> Self {
        self.auth = auth;
        self
    }

    /// What is sealed, or the key itself of an HMAC key or a cipher.
    #[must_use]
    pub const fn data(mut self, data: &'a [u8]) -> Self {
        self.data = data;
        self
    }

    /// Recorded in the creation data: a nonce, for [`Tpm::certify_creation`].
    #[must_use]
    pub const fn outside(mut self, outside: &'a [u8]) -> Self {
        self.outside = outside;
        self
    }

    /// PCRs whose values are recorded in the creation data.
    #[must_use]
    pub const fn pcrs(mut self, pcrs: PcrSelection) -> Self {
        self.pcrs = Some(pcrs);
        self
    }

    /// `TPML_PCR_SELECTION`.
    fn selection(&self) -> Vec<u8> {
        self.pcrs.map_or_else(|| [0; 4].to_vec(), |pcrs| pcrs.encode())
    }

    fn is_secret(&self) -> bool {
        !self.auth.is_empty() || !self.data.is_empty()
    }

    fn command(&self, command: Command) -> Result<Command, Error> {
        let sensitive =
            Zeroizing::new(Writer::default().sized(self.auth.expose())?.sized(self.data)?.done());
        let command = command.parameters(
            Writer::default()
                .sized(&sensitive)?
                .sized(&self.template.encode()?)?
                .sized(self.outside)?
                .octets(&self.selection()),
        );
        Ok(if self.is_secret() { command } else { command.nothing_secret() })
    }
}

/// What [`Tpm::create`] gave: both parts, neither loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Inside `TPM2B_PRIVATE`: only the parent can read it.
    pub private: Vec<u8>,
    /// `TPMT_PUBLIC`.
    pub native: Vec<u8>,
    /// How it came to be.
    pub creation: Creation,
}

/// A saved object or session, `TPMS_CONTEXT`: only this TPM, and only until it starts again, can
/// load it.
#[derive(Clone, Debug)]
pub struct SavedObject {
    native: Vec<u8>,
    object: Object,
}

const NOT_AS_ASKED: Error = Error::Malformed("the TPM made another key than was asked for");
const OTHER_NAME: Error = Error::Malformed("its name is not that of its public part");

impl Tpm {
    /// `TPM2_CreatePrimary`: the object that a hierarchy's seed and a template give. It is loaded.
    pub fn create_primary(
        &mut self,
        hierarchy: Hierarchy,
        auth: Auth,
        new: &NewObject<'_>,
    ) -> Result<(Object, Creation), Error> {
        let entity = hierarchy.entity();
        let command = new.command(Command::new(code::CREATE_PRIMARY).authorized(&entity, auth))?;
        let answer = self.run(&command)?;
        let handle = answer.handle()?;
        let mut reader = Reader::new(&answer.parameters);
        let read = self.checked(handle, &mut reader, new, &entity, None).and_then(|made| {
            let name = reader.sized()?;
            reader.end()?;
            if same(name, &made.0.entity.name) { Ok(made) } else { Err(OTHER_NAME) }
        });
        self.keep(handle, read)
    }

    /// `TPM2_Create`: an object under a parent. Nothing stays loaded.
    pub fn create(
        &mut self,
        parent: &Object,
        auth: Auth,
        new: &NewObject<'_>,
    ) -> Result<Created, Error> {
        let command = new.command(Command::new(code::CREATE).authorized(&parent.entity, auth))?;
        // A private part that changed on its way would be found out too late.
        let command = command.protected();
        let answer = self.run(&command)?;
        let mut reader = Reader::new(&answer.parameters);
        let private = reader.sized()?.to_vec();
        let (object, creation) =
            self.checked(0, &mut reader, new, &parent.entity, Some(&parent.public))?;
        reader.end()?;
        Ok(Created { private, native: object.native, creation })
    }

    /// Reads what was made and checks it against what was asked for.
    fn checked(
        &self,
        handle: u32,
        reader: &mut Reader<'_>,
        new: &NewObject<'_>,
        parent: &Entity,
        parent_public: Option<&Public>,
    ) -> Result<(Object, Creation), Error> {
        let object = Object::new(self.crypto, handle, reader.sized()?)?;
        if !object.public.is_like(&new.template) {
            return Err(NOT_AS_ASKED);
        }
        let pcrs = new.selection();
        let asked = Asked {
            outside: new.outside,
            pcrs: &pcrs,
            parent_name: &parent.name,
            parent_hash: parent_public.map(|public| public.name_algorithm),
        };
        let creation = Creation::decode(reader, object.public.name_algorithm, &asked, self.crypto)?;
        Ok((object, creation))
    }

    /// Hands out what is good, else unloads what was loaded.
    fn keep<T>(&mut self, handle: u32, read: Result<T, Error>) -> Result<T, Error> {
        match read {
            Ok(good) => Ok(good),
            Err(error) => self.flush(handle).and(Err(error)),
        }
    }

    /// `TPM2_Load`. `native` is the `TPMT_PUBLIC`. A key of another TPM, or of this one before it
    /// was cleared, is refused with `TPM_RC_INTEGRITY`.
    pub fn load(
        &mut self,
        parent: &Object,
        auth: Auth,
        private: &[u8],
        native: &[u8],
    ) -> Result<Object, Error> {
        let command = Command::new(code::LOAD)
            .authorized(&parent.entity, auth)
            .parameters(Writer::default().sized(private)?.sized(native)?);
        self.loaded(&command, native)
    }

    /// `TPM2_LoadExternal`: a public key, to verify or to encrypt with; or with its private part a
    /// software key, for as long as it is loaded.
    pub fn load_external(
        &mut self,
        public: &Public,
        sensitive: Option<&Sensitive>,
    ) -> Result<Object, Error> {
        let native = public.encode()?;
        let private = sensitive.map(Sensitive::encode).transpose()?.unwrap_or_default();
        // Part 3 §12.3.1: with its private part a key is of no hierarchy. Tickets for a public key
        // are good only if its hierarchy lasts.
        let hierarchy = if sensitive.is_some() { Hierarchy::Null } else { Hierarchy::Owner };
        let parameters = Writer::default().sized(&private)?.sized(&native)?.u32(hierarchy.handle());
        let command = Command::new(code::LOAD_EXTERNAL).parameters(parameters);
        let command = if sensitive.is_some() { command } else { command.nothing_secret() };
        self.loaded(&command, &native)
    }

    fn loaded(&mut self, command: &Command, native: &[u8]) -> Result<Object, Error> {
        let answer = self.run(command)?;
        let handle = answer.handle()?;
        let read = Object::new(self.crypto, handle, native).and_then(|object| {
            let mut reader = Reader::new(&answer.parameters);
            let name = reader.sized()?;
            reader.end()?;
            if same(name, &object.entity.name) { Ok(object) } else { Err(OTHER_NAME) }
        });
        self.keep(handle, read)
    }

    /// `TPM2_ReadPublic`: the object at a handle, whose name is checked against its public part.
    pub fn read_public(&mut self, handle: u32) -> Result<Object, Error> {
        let command = Command::new(code::READ_PUBLIC).handle(&Entity::fixed(handle));
        let answer = self.run(&command)?;
        let mut reader = Reader::new(&answer.parameters);
        let object = Object::new(self.crypto, handle, reader.sized()?)?;
        let name = reader.sized()?;
        reader.sized()?;
        reader.end()?;
        if same(name, &object.entity.name) { Ok(object) } else { Err(OTHER_NAME) }
    }

    /// `TPM2_ContextSave`: sets a loaded object aside. It stays loaded, too.
    pub fn save_object(&mut self, object: &Object) -> Result<SavedObject, Error> {
        let command = Command::new(code::CONTEXT_SAVE).handle(&object.entity);
        let answer = self.run(&command)?;
        Ok(SavedObject { native: answer.parameters.to_vec(), object: object.clone() })
    }

    /// `TPM2_ContextLoad`: the object again, at another handle.
    pub fn load_saved(&mut self, saved: &SavedObject) -> Result<Object, Error> {
        let parameters = Writer::default().octets(&saved.native);
        let answer = self.run(&Command::new(code::CONTEXT_LOAD).parameters(parameters))?;
        let entity = Entity::named(answer.handle()?, saved.object.entity.name.clone());
        Ok(Object { entity, ..saved.object.clone() })
    }

    /// `TPM2_EvictControl`: keeps a loaded object for good, at `persistent` (`0x81xx_xxxx`; the
    /// owner has those up to `0x817F_FFFF`, the platform the rest).
    pub fn make_persistent(
        &mut self,
        hierarchy: Hierarchy,
        object: &Object,
        persistent: u32,
    ) -> Result<Object, Error> {
        if HandleKind::of(persistent) != HandleKind::Persistent {
            return Err(Error::BadInput("a persistent handle is 0x81000000 to 0x81ffffff"));
        }
        self.evict_control(hierarchy, object, persistent)?;
        let entity = Entity::named(persistent, object.entity.name.clone());
        Ok(Object { entity, ..object.clone() })
    }

    /// `TPM2_EvictControl` of a persistent object: removes it.
    pub fn remove_persistent(
        &mut self,
        hierarchy: Hierarchy,
        object: &Object,
    ) -> Result<(), Error> {
        self.evict_control(hierarchy, object, object.entity.handle)
    }

    fn evict_control(
        &mut self,
        hierarchy: Hierarchy,
        object: &Object,
        persistent: u32,
    ) -> Result<(), Error> {
        let command = Command::new(code::EVICT_CONTROL)
            .authorized(&hierarchy.entity(), self.hierarchy_auth(hierarchy))
            .handle(&object.entity)
            .parameters(Writer::default().u32(persistent));
        self.run(&command).map(|_| ())
    }

    /// `TPM2_ObjectChangeAuth`: the private part with another authorization value. What is loaded
    /// keeps the old one, and so does the old private part.
    pub fn change_auth(
        &mut self,
        object: &Object,
        auth: Auth,
        parent: &Object,
        new: &AuthValue,
    ) -> Result<Vec<u8>, Error> {
        let command = Command::new(code::OBJECT_CHANGE_AUTH)
            .authorized(&object.entity, auth)
            .handle(&parent.entity);
        Ok(self.one(command, Writer::default().sized(new.expose())?)?.to_vec())
    }

    /// `TPM2_Duplicate`: a loaded object for another parent, in an outer wrapper that only that can
    /// open (none without a parent), and in an inner one with the key given. `auth` is a policy
    /// session that allows duplication.
    pub fn duplicate(
        &mut self,
        object: &Object,
        auth: Auth,
        parent: Option<&Object>,
        inner: Option<&InnerKey>,
    ) -> Result<Duplicate, Error> {
        if parent.is_none() && inner.is_none() {
            return Err(Error::BadInput(
                "a duplicate without any wrapper would show the private part to everybody",
            ));
        }
        let null = Hierarchy::Null.entity();
        let writer = Writer::default().sized(inner.map_or(&[], InnerKey::expose))?;
        let command = Command::new(code::DUPLICATE)
            .authorized(&object.entity, auth)
            .handle(parent.map_or(&null, |parent| &parent.entity))
            .parameters(cipher(writer, inner));
        let answer = self.run(&command)?;
        let mut reader = Reader::new(&answer.parameters);
        // The inner wrapper's key comes back only when the TPM chose it.
        reader.sized()?;
        let (private, secret) = (reader.sized()?.to_vec(), reader.sized()?.to_vec());
        reader.end()?;
        Ok(Duplicate { public: object.native.clone(), private, secret })
    }

    /// `TPM2_Import`: the private part of a duplicate, for [`load`](Self::load) under this parent.
    pub fn import(
        &mut self,
        parent: &Object,
        auth: Auth,
        duplicate: &Duplicate,
        inner: Option<&InnerKey>,
    ) -> Result<Vec<u8>, Error> {
        let writer = Writer::default()
            .sized(inner.map_or(&[], InnerKey::expose))?
            .sized(&duplicate.public)?
            .sized(&duplicate.private)?
            .sized(&duplicate.secret)?;
        // Also without a key of the inner wrapper: nobody shall change what comes back.
        let command = Command::new(code::IMPORT).authorized(&parent.entity, auth);
        Ok(self.one(command, cipher(writer, inner))?.to_vec())
    }

    /// `TPM2_Rewrap`: a duplicate that was made for `old`, made over for `new`.
    pub fn rewrap(
        &mut self,
        old: &Object,
        auth: Auth,
        new: &Object,
        duplicate: &Duplicate,
    ) -> Result<Duplicate, Error> {
        let name = name_of(self.crypto, &duplicate.public)?;
        let command = Command::new(code::REWRAP)
            .authorized(&old.entity, auth)
            .handle(&new.entity)
            .parameters(
                Writer::default()
                    .sized(&duplicate.private)?
                    .sized(&name)?
                    .sized(&duplicate.secret)?,
            );
        let answer = self.run(&command)?;
        let mut reader = Reader::new(&answer.parameters);
        let (private, secret) = (reader.sized()?.to_vec(), reader.sized()?.to_vec());
        reader.end()?;
        Ok(Duplicate { public: duplicate.public.clone(), private, secret })
    }

    /// `TPM2_ActivateCredential`: opens a credential that was made for the endorsement key `ek` and
    /// the name of `key`.
    pub fn activate_credential(
        &mut self,
        key: &Object,
        key_auth: Auth,
        ek: &Object,
        ek_auth: Auth,
        credential: &Credential,
    ) -> Result<Octets, Error> {
        let command = Command::new(code::ACTIVATE_CREDENTIAL)
            .authorized(&key.entity, key_auth)
            .authorized(&ek.entity, ek_auth);
        let parameters = Writer::default().sized(&credential.blob)?.sized(&credential.secret)?;
        self.one(command, parameters)
    }

    /// `TPM2_MakeCredential`: what [`credential::make`](crate::credential::make) does without a TPM.
    pub fn make_credential(
        &mut self,
        ek: &Object,
        name: &[u8],
        secret: &[u8],
    ) -> Result<Credential, Error> {
        let command = Command::new(code::MAKE_CREDENTIAL)
            .handle(&ek.entity)
            .parameters(Writer::default().sized(secret)?.sized(name)?);
        let answer = self.run(&command)?;
        let mut reader = Reader::new(&answer.parameters);
        let (blob, secret) = (reader.sized()?.to_vec(), reader.sized()?.to_vec());
        reader.end()?;
        Ok(Credential { blob, secret })
    }
}

/// `TPMT_SYM_DEF_OBJECT` of the inner wrapper.
fn cipher(writer: Writer, inner: Option<&InnerKey>) -> Writer {
    match inner {
        None => writer.u16(ALG_NULL),
        Some(key) => writer.u16(ALG_AES).u16(key.bits()).u16(ALG_CFB),
    }
}
