//! Session audit (TPM 2.0 Part 1 §19.8, Part 3 §18.5): which commands ran, and what came of them,
//! as one digest that the TPM states.

use super::SessionId;
use crate::Error;
use crate::auth::Auth;
use crate::code;
use crate::command::Command;
use crate::handle::{Entity, Hierarchy};
use crate::marshal::{Reader, Writer};
use crate::public::ALG_NULL;
use crate::tpm::Tpm;
use alloc::vec::Vec;
use touchstone_crypto::Digest;

/// A statement of the TPM and the signature over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    /// `TPMS_ATTEST`.
    pub attest: Vec<u8>,
    /// `TPMT_SIGNATURE`.
    pub signature: Vec<u8>,
}

impl Stated {
    /// The parameters of a response that states something.
    pub fn decode(parameters: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(parameters);
        let attest = reader.sized()?.to_vec();
        Ok(Self { attest, signature: reader.rest().to_vec() })
    }
}

impl Tpm {
    /// What we count into a session's audit digest, none before its first
    /// [`audited`](Command::audited) command.
    pub fn audit_digest(&self, session: SessionId) -> Result<Option<Digest>, Error> {
        let place = self.place(session)?;
        Ok(self.sessions.get(place).and_then(|session| session.audit))
    }

    /// `TPM2_GetSessionAuditDigest`: the TPM states what it counted, signed by a key, or by none
    /// when all that is wanted is to compare.
    pub fn session_audit(
        &mut self,
        session: SessionId,
        key: Option<(&Entity, Auth)>,
        qualifying: &[u8],
    ) -> Result<Stated, Error> {
        let privacy = self.hierarchy_auth(Hierarchy::Endorsement);
        let null = Hierarchy::Null.entity();
        let (key, auth) = key.unwrap_or((&null, Auth::empty()));
        let command = Command::new(code::GET_SESSION_AUDIT_DIGEST)
            .authorized(&Hierarchy::Endorsement.entity(), privacy)
            .authorized(key, auth)
            .handle(&session.entity())
            .parameters(Writer::default().sized(qualifying)?.u16(ALG_NULL));
        Stated::decode(&self.run(&command)?.parameters)
    }
}
