//! What a refusal means: for our sessions, for the caller, for the TPM.

use super::{Miss, Tpm};
use crate::code;
use crate::command::Command;
use crate::error::{Lockout, Slots};
use crate::marshal::{Reader, Writer};
use crate::policy::Unsatisfied;
use crate::session::{Plan, SessionKind};
use crate::{Error, Refusal, TransportError, response_code};

const CAP_TPM_PROPERTIES: u32 = 6;
/// `TPM_PT_LOCKOUT_COUNTER`, then `MAX_AUTH_FAIL`, `LOCKOUT_INTERVAL`, `LOCKOUT_RECOVERY` (Part 2
/// §6.13).
const PT_LOCKOUT_COUNTER: u32 = 0x20E;

impl Tpm {
    /// Makes sense of a refusal, and of what it says about our sessions.
    pub(super) fn failed(&mut self, command: &Command, plan: &Plan, response: u32) -> Miss {
        let refusal = Refusal { command: command.code.name, response };
        if response == response_code::CANCELED {
            return Miss::Final(Error::Canceled);
        }
        if let Some(slots) = Slots::full(refusal) {
            return Miss::Final(Error::Exhausted(slots));
        }
        if let Some(why) = self.unsatisfied(plan, refusal) {
            return Miss::Final(Error::Unsatisfied(why));
        }
        let error = Error::Refused(refusal);
        let Some(index) = lost_session(response) else { return Miss::Final(error) };
        let Some(slot) = plan.slots.get(index) else { return Miss::Final(error) };
        let Some(place) = slot.place else { return Miss::Final(error) };
        let own = self.sessions.get(place).is_some_and(|session| session.pooled);
        let wrong = refusal.is(response_code::AUTH_FAIL) || refusal.is(response_code::BAD_AUTH);
        if own || !wrong {
            let session = self.sessions.remove(place);
            if wrong {
                // It is open still, or somebody else's is in its place.
                self.debris.push(session.id.entity().handle);
            }
        }
        // A session that only protects proves no authorization, so another try burns none.
        if own && (!wrong || slot.authorizes.is_none()) {
            Miss::Again(error)
        } else {
            Miss::Final(error)
        }
    }

    /// Which condition of a policy session's did not hold, if that was it.
    fn unsatisfied(&self, plan: &Plan, refusal: Refusal) -> Option<Unsatisfied> {
        let authorizing = plan.slots.iter().filter(|slot| slot.authorizes.is_some());
        let session = authorizing
            .filter_map(|slot| self.sessions.get(slot.place?))
            .find(|session| session.kind == SessionKind::Policy)?;
        Some(match response_code::base(refusal.response) {
            response_code::POLICY_FAIL => session.binds.unwrap_or(Unsatisfied::Other),
            response_code::PCR_CHANGED => Unsatisfied::Pcr,
            response_code::POLICY_CC => Unsatisfied::Command,
            response_code::LOCALITY => Unsatisfied::Locality,
            response_code::PP => Unsatisfied::Presence,
            response_code::EXPIRED => Unsatisfied::Expired,
            _ => return None,
        })
    }

    /// Asks the TPM for what makes a refusal understood.
    pub(super) fn explained(&mut self, error: Error) -> Error {
        let Error::Refused(refusal) = error else { return error };
        match response_code::base(refusal.response) {
            response_code::AUTH_FAIL => {
                Error::WrongAuthorization { refusal, lockout: self.read_lockout().ok() }
            }
            response_code::BAD_AUTH => Error::WrongAuthorization { refusal, lockout: None },
            response_code::LOCKOUT => self.read_lockout().map_or(error, Error::LockedOut),
            // Some answer so when a single computation fails, and go on working.
            response_code::FAILURE => match self.read_test_result() {
                Ok(0) => error,
                result => Error::Failed { result: result.ok() },
            },
            _ => error,
        }
    }

    /// Where the TPM stands with wrong authorizations.
    pub fn lockout(&mut self) -> Result<Lockout, Error> {
        self.sweep();
        self.read_lockout()
    }

    fn read_lockout(&mut self) -> Result<Lockout, Error> {
        // One command, without what explains a refusal: it serves that.
        let parameters = Writer::default().u32(CAP_TPM_PROPERTIES).u32(PT_LOCKOUT_COUNTER).u32(4);
        let answer = self.once(&Command::new(code::GET_CAPABILITY).parameters(parameters))?;
        let mut reader = Reader::new(&answer.parameters);
        reader.u8()?;
        if (reader.u32()?, reader.u32()?) != (CAP_TPM_PROPERTIES, 4) {
            return Err(self.failed_or("the TPM does not know its own lockout"));
        }
        let mut values = [0; 4];
        for (property, value) in (PT_LOCKOUT_COUNTER..).zip(&mut values) {
            if reader.u32()? != property {
                return Err(Error::Malformed("the TPM does not know its own lockout"));
            }
            *value = reader.u32()?;
        }
        let [failed, allowed, interval, recovery] = values;
        Ok(Lockout { failed, allowed, interval, recovery })
    }

    /// What an answer that is not about the question means: a TPM in failure mode tells of itself
    /// whatever it is asked (Part 1 §12.3).
    pub(super) fn failed_or(&mut self, what: &'static str) -> Error {
        match self.read_test_result() {
            Ok(result @ (response_code::FAILURE | response_code::INITIALIZE)) => {
                Error::Failed { result: Some(result) }
            }
            _ => Error::Malformed(what),
        }
    }

    /// What the self-test says: `testResult`, behind what the maker adds.
    fn read_test_result(&mut self) -> Result<u32, Error> {
        let answer = self.once(&Command::new(code::GET_TEST_RESULT))?;
        let mut reader = Reader::new(&answer.parameters);
        reader.sized()?;
        reader.u32()
    }
}

/// What a command wanted that a resource manager has no room for.
pub(super) fn crowded(command: &Command, error: Error) -> Error {
    match error {
        Error::Transport(TransportError::NoRoom) if command.code == code::START_AUTH_SESSION => {
            Error::Exhausted(Slots::Sessions)
        }
        Error::Transport(TransportError::NoRoom) if command.code.makes_handle => {
            Error::Exhausted(Slots::Objects)
        }
        _ => error,
    }
}

/// Which handle, counted from zero, a refusal says is not loaded.
pub(super) fn lost_handle(response: u32) -> Option<usize> {
    if (response_code::REFERENCE_H0..=response_code::REFERENCE_H6).contains(&response) {
        return usize::try_from(response - response_code::REFERENCE_H0).ok();
    }
    match response_code::about(response) {
        Some(("handle", number)) if response_code::base(response) == response_code::HANDLE => {
            usize::from(number).checked_sub(1)
        }
        _ => None,
    }
}

/// Which session, counted from zero, a refusal says is not open or not right.
fn lost_session(response: u32) -> Option<usize> {
    if (response_code::REFERENCE_S0..=response_code::REFERENCE_S6).contains(&response) {
        return usize::try_from(response - response_code::REFERENCE_S0).ok();
    }
    match response_code::about(response) {
        Some(("session", number)) => usize::from(number).checked_sub(1),
        _ => None,
    }
}
