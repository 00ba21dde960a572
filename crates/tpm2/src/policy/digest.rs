//! A policy's digest, away from the TPM.

use super::{Assertion, Policy};
use crate::Error;
use crate::code::{self, Code};
use crate::public::name_of;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// A TPM takes no other number of branches (Part 3 §23.6).
pub(crate) const MAX_BRANCHES: usize = 8;

/// The digest so far.
struct Earned<'a> {
    crypto: &'a dyn Crypto,
    hash: HashAlgorithm,
    digest: Digest,
}

impl Policy {
    /// The digest that an object or index is made with. `hash` is its name algorithm.
    pub fn digest(&self, crypto: &dyn Crypto, hash: HashAlgorithm) -> Result<Digest, Error> {
        self.after(crypto, Digest::zero(hash))
    }

    /// The digest of a session that stands at `start` and goes on with this.
    pub(crate) fn after(&self, crypto: &dyn Crypto, start: Digest) -> Result<Digest, Error> {
        let mut earned = Earned { crypto, hash: start.algorithm(), digest: start };
        for assertion in self.assertions() {
            earned.assert(assertion)?;
        }
        Ok(earned.digest)
    }
}

impl Earned<'_> {
    fn assert(&mut self, assertion: &Assertion) -> Result<(), Error> {
        match assertion {
            Assertion::Pcr { selection, values } => {
                let values = pcr_digest(self.crypto, self.hash, values);
                self.extend(code::POLICY_PCR, &[&selection.encode(), values.as_bytes()]);
            }
            Assertion::Authorize { key, reference } => {
                self.start_again();
                let name = name_of(self.crypto, &key.encode()?)?;
                self.update(code::POLICY_AUTHORIZE, &name, reference);
            }
            Assertion::AuthorizeNv { index } => {
                self.start_again();
                self.extend(code::POLICY_AUTHORIZE_NV, &[&index.name]);
            }
            Assertion::Signed { key, reference } => {
                let name = name_of(self.crypto, &key.encode()?)?;
                self.update(code::POLICY_SIGNED, &name, reference);
            }
            Assertion::Secret { entity, reference } => {
                self.update(code::POLICY_SECRET, &entity.name, reference);
            }
            // §23.18: a password is the other way to show the same value.
            Assertion::AuthValue | Assertion::Password => {
                self.extend(code::POLICY_AUTH_VALUE, &[]);
            }
            Assertion::Nv { index, operand, offset, comparison } => {
                let arguments = self.arguments(operand, *offset, comparison.number());
                self.extend(code::POLICY_NV, &[arguments.as_bytes(), &index.name]);
            }
            Assertion::CounterTimer { operand, offset, comparison } => {
                let arguments = self.arguments(operand, *offset, comparison.number());
                self.extend(code::POLICY_COUNTER_TIMER, &[arguments.as_bytes()]);
            }
            Assertion::CommandCode(number) => {
                self.extend(code::POLICY_COMMAND_CODE, &[&number.to_be_bytes()]);
            }
            Assertion::Or(branches) => {
                let branches = branch_digests(self.crypto, branches, self.digest)?;
                let parts: Vec<&[u8]> = branches.iter().map(Digest::as_bytes).collect();
                self.start_again();
                self.extend(code::POLICY_OR, &parts);
            }
            Assertion::DuplicationSelect { object, parent, include_object } => {
                let object: &[u8] = if *include_object { object } else { &[] };
                let included = [u8::from(*include_object)];
                self.extend(code::POLICY_DUPLICATION_SELECT, &[object, parent, &included]);
            }
            Assertion::Template(digest) => {
                self.extend(code::POLICY_TEMPLATE, &[digest.as_bytes()]);
            }
            Assertion::CpHash(digest) => self.extend(code::POLICY_CP_HASH, &[digest.as_bytes()]),
            Assertion::NameHash(digest) => {
                self.extend(code::POLICY_NAME_HASH, &[digest.as_bytes()]);
            }
            Assertion::Locality(localities) => {
                self.extend(code::POLICY_LOCALITY, &[&[*localities]]);
            }
            Assertion::NvWritten(written) => {
                self.extend(code::POLICY_NV_WRITTEN, &[&[u8::from(*written)]]);
            }
            Assertion::PhysicalPresence => self.extend(code::POLICY_PHYSICAL_PRESENCE, &[]),
        }
        Ok(())
    }

    const fn start_again(&mut self) {
        self.digest = Digest::zero(self.hash);
    }

    fn extend(&mut self, code: Code, arguments: &[&[u8]]) {
        let code = code.number.to_be_bytes();
        let mut parts: Vec<&[u8]> = Vec::with_capacity(arguments.len() + 2);
        parts.extend([self.digest.as_bytes(), &code]);
        parts.extend(arguments);
        self.digest = self.crypto.hash(self.hash, &parts);
    }

    /// `PolicyUpdate` (Part 3 §23.2.3): the reference is hashed in a second step, also when it is
    /// empty.
    fn update(&mut self, code: Code, name: &[u8], reference: &[u8]) {
        self.extend(code, &[name]);
        self.digest = self.crypto.hash(self.hash, &[self.digest.as_bytes(), reference]);
    }

    fn arguments(&self, operand: &[u8], offset: u16, comparison: u16) -> Digest {
        let (offset, comparison) = (offset.to_be_bytes(), comparison.to_be_bytes());
        self.crypto.hash(self.hash, &[operand, &offset, &comparison])
    }
}

/// What `PolicyPCR` compares: the values, one after another, under the session's hash.
pub(crate) fn pcr_digest(crypto: &dyn Crypto, hash: HashAlgorithm, values: &[Digest]) -> Digest {
    let parts: Vec<&[u8]> = values.iter().map(Digest::as_bytes).collect();
    crypto.hash(hash, &parts)
}

/// The digests that a session may stand at where branches meet.
pub(crate) fn branch_digests(
    crypto: &dyn Crypto,
    branches: &[Policy],
    start: Digest,
) -> Result<Vec<Digest>, Error> {
    if !(2..=MAX_BRANCHES).contains(&branches.len()) {
        return Err(Error::BadInput(
            "a policy has two to eight branches side by side; nest them when there are more",
        ));
    }
    branches.iter().map(|branch| branch.after(crypto, start)).collect()
}
