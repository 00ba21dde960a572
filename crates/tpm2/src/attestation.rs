//! What a TPM states and signs: registers, keys and how they came to be, indices, time, audits (TPM
//! 2.0 Part 3 §18, §31.16).
//!
//! What a session counted is beside it: [`Tpm::session_audit`].
//!
//! What this is not: a reader of these statements; `touchstone-evidence` is, for those who have to
//! believe them.

use crate::Error;
use crate::auth::Auth;
use crate::code::{self, Code};
use crate::command::Command;
use crate::handle::{Entity, Hierarchy};
use crate::marshal::Writer;
use crate::nv::{By, Index};
use crate::object::{Creation, Object, SigningScheme};
use crate::pcr::PcrSelection;
pub use crate::session::Stated;
use crate::tpm::Tpm;

/// `TPM2B_DATA`: a digest and its algorithm (Part 2 §10.4.3).
const MAX_QUALIFYING: usize = 66;

/// The key that signs a statement, and what shall stand in it.
#[derive(Clone, Debug)]
pub struct Attester<'a> {
    key: Entity,
    auth: Auth,
    scheme: SigningScheme,
    qualifying: &'a [u8],
}

impl<'a> Attester<'a> {
    /// A loaded signing key, and the freshness that the verifier asked for.
    pub fn new(key: &Object, auth: Auth, qualifying: &'a [u8]) -> Self {
        Self { key: key.entity.clone(), auth, scheme: SigningScheme::OfKey, qualifying }
    }

    /// Nobody: the statement is not signed, and good only to compare with.
    pub fn unsigned(qualifying: &'a [u8]) -> Self {
        let key = Hierarchy::Null.entity();
        Self { key, auth: Auth::empty(), scheme: SigningScheme::OfKey, qualifying }
    }

    /// For a key that leaves its scheme to each use.
    #[must_use]
    pub const fn scheme(mut self, scheme: SigningScheme) -> Self {
        self.scheme = scheme;
        self
    }

    fn sign(&self, command: Command) -> Command {
        command.authorized(&self.key, self.auth.clone())
    }

    /// `qualifyingData`, and behind it `before` and `inScheme`.
    fn parameters(&self, before: &[u8]) -> Result<Writer, Error> {
        if self.qualifying.len() > MAX_QUALIFYING {
            return Err(Error::BadInput("qualifying data is 66 octets at most, and 64 everywhere"));
        }
        let writer = Writer::default().sized(self.qualifying)?.octets(before);
        Ok(self.scheme.write(writer))
    }
}

impl Tpm {
    fn stated(&mut self, command: &Command) -> Result<Stated, Error> {
        Stated::decode(&self.run(command)?.parameters)
    }

    /// `TPM2_Quote`: what stands in registers.
    pub fn quote(&mut self, by: &Attester<'_>, pcrs: &PcrSelection) -> Result<Stated, Error> {
        let parameters = by.parameters(&[])?.octets(&pcrs.encode());
        self.stated(&by.sign(Command::new(code::QUOTE)).parameters(parameters))
    }

    /// `TPM2_Certify`: that an object is loaded in this TPM. `admin` authorizes that of the object.
    pub fn certify(
        &mut self,
        object: &Object,
        admin: Auth,
        by: &Attester<'_>,
    ) -> Result<Stated, Error> {
        let command = Command::new(code::CERTIFY).authorized(&object.entity, admin);
        self.stated(&by.sign(command).parameters(by.parameters(&[])?))
    }

    /// `TPM2_CertifyCreation`: that this TPM made the object, and how.
    pub fn certify_creation(
        &mut self,
        object: &Object,
        creation: &Creation,
        by: &Attester<'_>,
    ) -> Result<Stated, Error> {
        let hash = Writer::default().sized(creation.hash.as_bytes())?.done();
        let parameters = by.parameters(&hash)?.octets(&creation.ticket);
        let command = by.sign(Command::new(code::CERTIFY_CREATION)).handle(&object.entity);
        self.stated(&command.parameters(parameters))
    }

    /// `TPM2_NV_Certify`: what stands in an index, `len` octets of it.
    pub fn nv_certify(
        &mut self,
        index: &Index,
        owner: &By,
        (len, offset): (u16, u16),
        by: &Attester<'_>,
    ) -> Result<Stated, Error> {
        let (entity, auth) = owner.of(self, index);
        let command = by
            .sign(Command::new(code::NV_CERTIFY))
            .authorized(&entity, auth)
            .handle(&index.entity)
            .parameters(by.parameters(&[])?.u16(len).u16(offset));
        let answer = self.nv_run(index, &command)?;
        Stated::decode(&answer.parameters)
    }

    /// `TPM2_GetTime`: the TPM's time and clock.
    pub fn time_stated(&mut self, by: &Attester<'_>) -> Result<Stated, Error> {
        self.privately(code::GET_TIME, by)
    }

    /// `TPM2_GetCommandAuditDigest`: what the command audit counted since it was last asked for. A
    /// signed answer starts it anew.
    pub fn command_audit_stated(&mut self, by: &Attester<'_>) -> Result<Stated, Error> {
        self.privately(code::GET_COMMAND_AUDIT_DIGEST, by)
    }

    /// What the endorsement hierarchy has to agree to, for it can tell one TPM from another.
    fn privately(&mut self, code: Code, by: &Attester<'_>) -> Result<Stated, Error> {
        let privacy = self.hierarchy_auth(Hierarchy::Endorsement);
        let command = Command::new(code).authorized(&Hierarchy::Endorsement.entity(), privacy);
        self.stated(&by.sign(command).parameters(by.parameters(&[])?))
    }
}
