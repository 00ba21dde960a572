//! Objects: made, loaded, read.

use crate::auth::{Auth, AuthValue};
use crate::code;
use crate::command::Command;
use crate::handle::{Entity, Hierarchy};
use crate::kdf::Octets;
use crate::marshal::{Reader, Writer};
use crate::public::{Public, name_of};
use crate::tpm::Tpm;
use crate::Error;
use alloc::vec::Vec;
use touchstone_crypto::Crypto;
use zeroize::Zeroizing;

/// An object that is loaded. Whoever loaded it flushes it.
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

/// An object that was created under a parent, and is not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// What is inside `TPM2B_PRIVATE`: encrypted, for its parent alone.
    pub private: Vec<u8>,
    /// `TPMT_PUBLIC`.
    pub native: Vec<u8>,
}

/// What only the new object shall know (`TPMS_SENSITIVE_CREATE`, Part 2 §11.1.15).
#[derive(Clone, Debug, Default)]
pub struct Sensitive {
    /// Its authorization value.
    pub value: AuthValue,
    /// What it seals, or its key where the caller provides that.
    pub data: Octets,
}

impl Tpm {
    /// Makes the key that a hierarchy's seed and a template give. The caller flushes it.
    pub fn create_primary(
        &mut self,
        hierarchy: Hierarchy,
        auth: Auth,
        template: &Public,
    ) -> Result<Object, Error> {
        let command = creation(code::CREATE_PRIMARY, &hierarchy.entity(), auth);
        let answer = self.run(&fill(command, &Sensitive::default(), template)?)?;
        let handle = answer.handle()?;
        let made = Reader::new(&answer.parameters)
            .sized()
            .and_then(|native| Object::new(self.crypto, handle, native));
        match made {
            Ok(object) if object.public.is_like(template) => Ok(object),
            Ok(_) => self.flush(handle).and(Err(NOT_AS_ASKED)),
            Err(error) => self.flush(handle).and(Err(error)),
        }
    }

    /// Creates an object under a loaded parent.
    pub fn create(
        &mut self,
        parent: &Object,
        auth: Auth,
        sensitive: &Sensitive,
        template: &Public,
    ) -> Result<Created, Error> {
        let command = creation(code::CREATE, &parent.entity, auth);
        let answer = self.run(&fill(command, sensitive, template)?)?;
        let mut reader = Reader::new(&answer.parameters);
        let (private, native) = (reader.sized()?.to_vec(), reader.sized()?.to_vec());
        if !Public::decode(&native)?.is_like(template) {
            return Err(NOT_AS_ASKED);
        }
        Ok(Created { private, native })
    }

    /// Loads an object under its parent. The caller flushes it.
    pub fn load(
        &mut self,
        parent: &Object,
        auth: Auth,
        private: &[u8],
        native: &[u8],
    ) -> Result<Object, Error> {
        let parameters = Writer::default().sized(private)?.sized(native)?;
        let command = Command::new(code::LOAD).authorized(&parent.entity, auth);
        let handle = self.run(&command.parameters(parameters))?.handle()?;
        match Object::new(self.crypto, handle, native) {
            Ok(object) => Ok(object),
            Err(error) => self.flush(handle).and(Err(error)),
        }
    }

    /// The public area at a handle.
    pub fn read_public(&mut self, handle: u32) -> Result<Object, Error> {
        let command = Command::new(code::READ_PUBLIC).handle(&Entity::fixed(handle));
        let answer = self.run(&command)?;
        Object::new(self.crypto, handle, Reader::new(&answer.parameters).sized()?)
    }
}

const NOT_AS_ASKED: Error = Error::Malformed("the TPM made another key than was asked for");

fn creation(code: code::Code, parent: &Entity, auth: Auth) -> Command {
    Command::new(code).authorized(parent, auth)
}

/// The parameters of a creation: no outside data, no PCRs.
fn fill(command: Command, sensitive: &Sensitive, template: &Public) -> Result<Command, Error> {
    let nothing = sensitive.value.is_empty() && sensitive.data.is_empty();
    let inner = Writer::default().sized(sensitive.value.expose())?.sized(&sensitive.data)?;
    let inner = Zeroizing::new(inner.done());
    let parameters = Writer::default().sized(&inner)?.sized(&template.encode()?)?.u16(0).u32(0);
    let command = command.parameters(parameters);
    Ok(if nothing { command.nothing_secret() } else { command })
}
