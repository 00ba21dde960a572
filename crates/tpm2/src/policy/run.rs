//! Satisfying a policy in a session.

use super::digest::{branch_digests, pcr_digest};
use super::steps::on;
use super::{Assertion, Comparison, Policy, Unsatisfied};
use crate::auth::{Auth, AuthValue};
use crate::code;
use crate::command::Command;
use crate::handle::{Entity, HandleKind, Hierarchy};
use crate::marshal::Writer;
use crate::nv::attributes::AUTHREAD;
use crate::public::{ALG_RSASSA, Public, name_of};
use crate::session::{NewSession, SessionId, SessionKind};
use crate::tpm::Tpm;
use crate::{Error, response_code, signature};
use alloc::vec::Vec;
use touchstone_crypto::{Digest, HashAlgorithm, Signer};

/// What satisfying a policy takes beyond the device's state. All of it may be empty.
#[derive(Clone, Default)]
pub struct Means<'a> {
    /// Authorization values of entities that [`Assertion::Secret`] and [`Assertion::Nv`] name. A
    /// hierarchy's is the conversation's, that of any other entity is empty unless it is here.
    pub values: Vec<(Entity, AuthValue)>,
    /// Who signs for [`Assertion::Signed`].
    pub signers: Vec<&'a dyn Signer>,
    /// What the keys of [`Assertion::Authorize`] approved of.
    pub approvals: Vec<Approval>,
    /// Policies that the index of [`Assertion::AuthorizeNv`] may hold.
    pub kept: Vec<Policy>,
}

/// A policy that a key approved of: its signature over [`Approval::message`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The key's public part.
    pub key: Public,
    /// What the approval is for.
    pub reference: Vec<u8>,
    /// The policy.
    pub policy: Policy,
    /// `TPMT_SIGNATURE`.
    pub signature: Vec<u8>,
}

impl Approval {
    /// What is signed (Part 3 §23.16): the policy's digest and the reference.
    pub fn message(approved: &Digest, reference: &[u8]) -> Vec<u8> {
        [approved.as_bytes(), reference].concat()
    }

    /// Approves of a policy, for sessions of this hash algorithm.
    pub fn sign(
        crypto: &dyn touchstone_crypto::Crypto,
        hash: HashAlgorithm,
        (key, signer): (Public, &dyn Signer),
        policy: Policy,
        reference: &[u8],
    ) -> Result<Self, Error> {
        let message = Self::message(&policy.digest(crypto, hash)?, reference);
        let signature = signature::from_x509(&signer.sign(&message)?, signer.algorithm())?;
        Ok(Self { key, reference: reference.to_vec(), policy, signature })
    }
}

impl Means<'_> {
    fn value(&self, entity: &Entity) -> Option<&AuthValue> {
        self.values.iter().find(|(known, _)| known.name == entity.name).map(|(_, value)| value)
    }
}

impl Tpm {
    /// Satisfies a policy in a session of its own and lends that out, for one use: `value` is that
    /// of the entity used, in case the policy asks for it.
    pub fn with_policy<T, E: From<Error>>(
        &mut self,
        policy: &Policy,
        hash: HashAlgorithm,
        means: &Means<'_>,
        value: &AuthValue,
        serve: impl FnOnce(&mut Self, Auth) -> Result<T, E>,
    ) -> Result<T, E> {
        let new = NewSession::policy(hash);
        // Who records an unsalted session can guess the value that it proves.
        let new = if policy.asks_value() && !self.is_plain() { new.salted() } else { new };
        self.with_session(&new, |tpm, session| {
            tpm.satisfy(session, policy, means)?;
            serve(tpm, Auth::Policy(session, value.clone()))
        })
    }

    /// Satisfies a policy in a session that has earned nothing yet. Where branches meet, the first
    /// that holds is taken; a wrong authorization ends the search, because another try costs one.
    pub fn satisfy(
        &mut self,
        session: SessionId,
        policy: &Policy,
        means: &Means<'_>,
    ) -> Result<(), Error> {
        let hash = self.session(session)?.hash;
        let mut path = Path::default();
        loop {
            path.next = 0;
            let mut walk = Walk { session, hash, means, path: &mut path, deep: 0 };
            let Err(error) = walk.policy(self, policy, Digest::zero(hash)) else { return Ok(()) };
            if !matches!(error, Error::Unsatisfied(_)) || !path.turn() {
                return Err(error);
            }
            self.policy_restart(session)?;
        }
    }

    /// The digest that the TPM itself computes for a policy, in a trial session.
    pub fn trial(
        &mut self,
        policy: &Policy,
        hash: HashAlgorithm,
        means: &Means<'_>,
    ) -> Result<Digest, Error> {
        self.with_session(&NewSession::trial(hash), |tpm, session| {
            tpm.satisfy(session, policy, means)?;
            tpm.policy_digest(session)
        })
    }
}

/// Which way to go at each fork, in the order in which they are met.
#[derive(Default)]
struct Path {
    taken: Vec<(usize, usize)>,
    next: usize,
}

impl Path {
    /// The branch to take of so many.
    fn fork(&mut self, ways: usize) -> usize {
        let at = self.next;
        self.next += 1;
        if let Some((taken, _)) = self.taken.get(at) {
            return *taken;
        }
        self.taken.push((0, ways));
        0
    }

    /// Goes another way at the last fork that has one.
    fn turn(&mut self) -> bool {
        while let Some((taken, ways)) = self.taken.pop() {
            if taken + 1 < ways {
                self.taken.push((taken + 1, ways));
                return true;
            }
        }
        false
    }
}

/// No sane policy is nested deeper; keeps one that an attacker wrote from exhausting the stack.
const MAX_DEPTH: usize = 16;

struct Walk<'a, 'm> {
    session: SessionId,
    hash: HashAlgorithm,
    means: &'a Means<'m>,
    path: &'a mut Path,
    deep: usize,
}

impl Walk<'_, '_> {
    /// Goes on from a digest; gives the one where it stands then.
    fn policy(&mut self, tpm: &mut Tpm, policy: &Policy, start: Digest) -> Result<Digest, Error> {
        self.deep += 1;
        if self.deep > MAX_DEPTH {
            return Err(Error::BadInput("the policy is nested too deeply"));
        }
        let mut stands = start;
        for assertion in policy.assertions() {
            let step = Policy::new().and(assertion.clone());
            let after = step.after(tpm.crypto(), stands)?;
            self.assert(tpm, assertion, stands)?;
            stands = after;
        }
        self.deep -= 1;
        Ok(stands)
    }

    fn assert(
        &mut self,
        tpm: &mut Tpm,
        assertion: &Assertion,
        stands: Digest,
    ) -> Result<(), Error> {
        let session = self.session;
        match assertion {
            Assertion::Pcr { selection, values } => {
                let digest = pcr_digest(tpm.crypto(), self.hash, values);
                let parameters =
                    Writer::default().sized(digest.as_bytes())?.octets(&selection.encode());
                let command = on(code::POLICY_PCR, session).parameters(parameters);
                expect(tpm, &command, response_code::VALUE, Unsatisfied::Pcr)
            }
            Assertion::Authorize { key, reference } => self.authorize(tpm, key, reference, stands),
            Assertion::AuthorizeNv { index } => self.authorize_nv(tpm, index, stands),
            Assertion::Signed { key, reference } => self.signed(tpm, key, reference),
            Assertion::Secret { entity, reference } => {
                let auth = self.auth(tpm, entity);
                tpm.run(&secret(entity, auth, session, reference)?)?;
                Ok(())
            }
            Assertion::Password if tpm.is_plain() => tpm.dangerous_policy_password(session),
            Assertion::AuthValue | Assertion::Password => tpm.policy_auth_value(session),
            Assertion::Nv { index, operand, offset, comparison } => {
                self.nv(tpm, index, &compared(operand, *offset, *comparison)?)
            }
            Assertion::CounterTimer { operand, offset, comparison } => {
                let parameters = compared(operand, *offset, *comparison)?;
                let command = on(code::POLICY_COUNTER_TIMER, session).parameters(parameters);
                expect(tpm, &command, response_code::POLICY, Unsatisfied::CounterTimer)
            }
            Assertion::CommandCode(number) => {
                let parameters = Writer::default().u32(*number);
                self.plain(tpm, code::POLICY_COMMAND_CODE, parameters)
            }
            Assertion::Or(branches) => self.or(tpm, branches, stands),
            Assertion::DuplicationSelect { object, parent, include_object } => {
                let parameters =
                    Writer::default().sized(object)?.sized(parent)?.u8(u8::from(*include_object));
                self.plain(tpm, code::POLICY_DUPLICATION_SELECT, parameters)?;
                tpm.now_binds(session, Some(Unsatisfied::Duplication))
            }
            Assertion::Template(digest) => {
                let parameters = Writer::default().sized(digest.as_bytes())?;
                self.plain(tpm, code::POLICY_TEMPLATE, parameters)?;
                tpm.now_binds(session, Some(Unsatisfied::Template))
            }
            Assertion::CpHash(digest) => {
                let parameters = Writer::default().sized(digest.as_bytes())?;
                self.plain(tpm, code::POLICY_CP_HASH, parameters)?;
                tpm.now_binds(session, Some(Unsatisfied::Parameters))
            }
            Assertion::NameHash(digest) => {
                let parameters = Writer::default().sized(digest.as_bytes())?;
                self.plain(tpm, code::POLICY_NAME_HASH, parameters)?;
                tpm.now_binds(session, Some(Unsatisfied::Handles))
            }
            Assertion::Locality(localities) => {
                self.plain(tpm, code::POLICY_LOCALITY, Writer::default().u8(*localities))
            }
            Assertion::NvWritten(written) => {
                let parameters = Writer::default().u8(u8::from(*written));
                self.plain(tpm, code::POLICY_NV_WRITTEN, parameters)?;
                tpm.now_binds(session, Some(Unsatisfied::NvWritten))
            }
            Assertion::PhysicalPresence => {
                self.plain(tpm, code::POLICY_PHYSICAL_PRESENCE, Writer::default())
            }
        }
    }

    fn plain(&self, tpm: &mut Tpm, code: code::Code, parameters: Writer) -> Result<(), Error> {
        tpm.run(&on(code, self.session).parameters(parameters))?;
        Ok(())
    }

    fn is_trial(&self, tpm: &Tpm) -> Result<bool, Error> {
        Ok(tpm.session(self.session)?.kind == SessionKind::Trial)
    }

    fn or(&mut self, tpm: &mut Tpm, branches: &[Policy], stands: Digest) -> Result<(), Error> {
        let digests = branch_digests(tpm.crypto(), branches, stands)?;
        if !self.is_trial(tpm)? {
            let taken = self.path.fork(branches.len());
            let branch = branches.get(taken).ok_or(Error::Unsatisfied(Unsatisfied::Other))?;
            self.policy(tpm, branch, stands)?;
        }
        let digests: Vec<Vec<u8>> = digests.iter().map(|one| one.as_bytes().to_vec()).collect();
        tpm.policy_or(self.session, &digests)
    }

    fn auth(&self, tpm: &Tpm, entity: &Entity) -> Auth {
        if let Some(value) = self.means.value(entity) {
            return Auth::Value(value.clone());
        }
        let hierarchy = Hierarchy::ALL.into_iter().find(|one| one.handle() == entity.handle);
        hierarchy.map_or_else(Auth::empty, |hierarchy| tpm.hierarchy_auth(hierarchy))
    }

    fn nv(&self, tpm: &mut Tpm, index: &Entity, parameters: &Writer) -> Result<(), Error> {
        let command = self.reads(tpm, code::POLICY_NV, index)?.parameters(parameters.clone());
        expect(tpm, &command, response_code::POLICY, Unsatisfied::Nv)
    }

    fn authorize_nv(&mut self, tpm: &mut Tpm, index: &Entity, stands: Digest) -> Result<(), Error> {
        if stands != Digest::zero(self.hash) {
            return Err(Error::BadInput(
                "what stands before AuthorizeNV does not count; put it first in its policy",
            ));
        }
        if !self.is_trial(tpm)? {
            let means = self.means;
            let taken = self.path.fork(means.kept.len());
            let unsatisfied = Error::Unsatisfied(Unsatisfied::AuthorizeNv);
            let policy = means.kept.get(taken).ok_or(unsatisfied)?;
            self.policy(tpm, policy, stands)?;
        }
        let command = self.reads(tpm, code::POLICY_AUTHORIZE_NV, index)?;
        match expect(tpm, &command, response_code::VALUE, Unsatisfied::AuthorizeNv) {
            // It holds a digest for sessions of another hash, or none at all.
            Err(Error::Refused(refusal))
                if refusal.is(response_code::HASH) || refusal.is(response_code::INSUFFICIENT) =>
            {
                Err(Error::Unsatisfied(Unsatisfied::AuthorizeNv))
            }
            done => done,
        }
    }

    /// A command by which the TPM reads the index for the session.
    fn reads(&self, tpm: &mut Tpm, code: code::Code, index: &Entity) -> Result<Command, Error> {
        if index.kind() != HandleKind::Nv {
            return Err(Error::BadInput("the policy names an index at a handle that is of none"));
        }
        let changed = Error::Unsatisfied(Unsatisfied::NvChanged);
        let found = tpm.nv_index(index.handle)?.ok_or(changed)?;
        if found.entity != *index {
            return Err(changed);
        }
        let by = if found.attributes.has(AUTHREAD) || self.means.value(index).is_some() {
            index.clone()
        } else {
            Hierarchy::Owner.entity()
        };
        let auth = self.auth(tpm, &by);
        Ok(Command::new(code).authorized(&by, auth).handle(index).handle(&self.session.entity()))
    }

    /// A signature over the session's nonce and the reference, without expiry.
    fn signed(&self, tpm: &mut Tpm, key: &Public, reference: &[u8]) -> Result<(), Error> {
        let nonce = tpm.session(self.session)?.nonce_tpm.clone();
        let signature = if self.is_trial(tpm)? {
            // Nobody looks at it, but it has to parse.
            Writer::default()
                .u16(ALG_RSASSA)
                .u16(HashAlgorithm::Sha256.tpm_id())
                .sized(&[0])?
                .done()
        } else {
            let spki = key.spki_der()?;
            let signer = self.means.signers.iter().find(|signer| signer.spki_der() == spki);
            let signer = signer.ok_or(Error::Unsatisfied(Unsatisfied::Signed))?;
            let message = [nonce.as_slice(), &[0; 4], reference].concat();
            signature::from_x509(&signer.sign(&message)?, signer.algorithm())?
        };
        let parameters =
            Writer::default().sized(&nonce)?.u16(0).sized(reference)?.u32(0).octets(&signature);
        let loaded = tpm.load_external(key, None)?;
        tpm.with_loaded(&loaded, |tpm| {
            let command = Command::new(code::POLICY_SIGNED)
                .handle(&loaded.entity)
                .handle(&self.session.entity())
                .parameters(parameters);
            expect(tpm, &command, response_code::SIGNATURE, Unsatisfied::Signed)
        })
    }

    fn authorize(
        &mut self,
        tpm: &mut Tpm,
        key: &Public,
        reference: &[u8],
        stands: Digest,
    ) -> Result<(), Error> {
        if stands != Digest::zero(self.hash) {
            return Err(Error::BadInput(
                "what stands before Authorize does not count; put it first in its policy",
            ));
        }
        let crypto = tpm.crypto();
        let name = name_of(crypto, &key.encode()?)?;
        let (approved, ticket) = if self.is_trial(tpm)? {
            // TPMT_TK_VERIFIED that nobody looks at.
            let null = Hierarchy::Null.handle();
            (Digest::zero(self.hash), Writer::default().u16(ST_VERIFIED).u32(null).u16(0).done())
        } else {
            let means = self.means;
            let fits = |one: &&Approval| one.key == *key && one.reference == reference;
            let approvals: Vec<&Approval> = means.approvals.iter().filter(fits).collect();
            let unsatisfied = Error::Unsatisfied(Unsatisfied::Authorize);
            let taken = self.path.fork(approvals.len());
            let approval = approvals.get(taken).ok_or(unsatisfied)?;
            let approved = self.policy(tpm, &approval.policy, stands)?;
            let message = Approval::message(&approved, reference);
            let digest = crypto.hash(key.name_algorithm, &[&message]);
            let loaded = tpm.load_external(key, None)?;
            let checked = tpm.with_loaded(&loaded, |tpm| {
                tpm.verify_signature(&loaded, digest.as_bytes(), &approval.signature)
            });
            match checked {
                Ok(ticket) => (approved, ticket),
                Err(Error::Refused(refusal)) if refusal.is(response_code::SIGNATURE) => {
                    return Err(unsatisfied);
                }
                Err(error) => return Err(error),
            }
        };
        let parameters = Writer::default()
            .sized(approved.as_bytes())?
            .sized(reference)?
            .sized(&name)?
            .octets(&ticket);
        self.plain(tpm, code::POLICY_AUTHORIZE, parameters)
    }
}

const ST_VERIFIED: u16 = 0x8022;

/// `PolicySecret` with the reference, without nonce, parameters and expiry.
pub(super) fn secret(
    entity: &Entity,
    auth: Auth,
    session: SessionId,
    reference: &[u8],
) -> Result<Command, Error> {
    Ok(Command::new(code::POLICY_SECRET)
        .authorized(entity, auth)
        .handle(&session.entity())
        .parameters(Writer::default().u16(0).u16(0).sized(reference)?.u32(0)))
}

fn compared(operand: &[u8], offset: u16, comparison: Comparison) -> Result<Writer, Error> {
    Ok(Writer::default().sized(operand)?.u16(offset).u16(comparison.number()))
}

/// Runs a step that is refused with this code when its condition does not hold.
fn expect(
    tpm: &mut Tpm,
    command: &Command,
    code: u32,
    unsatisfied: Unsatisfied,
) -> Result<(), Error> {
    match tpm.run(command) {
        Ok(_) => Ok(()),
        Err(Error::Refused(refusal)) if refusal.is(code) => Err(Error::Unsatisfied(unsatisfied)),
        Err(error) => Err(error),
    }
}
