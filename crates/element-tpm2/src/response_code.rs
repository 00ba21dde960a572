//! Response codes: which are worth another try, and all of them in words (TPM 2.0 Part 2 §6.6).

use touchstone_element::Refusal;
use tpm2_protocol::data::{TpmRc, TpmRcBase, TpmRcIndex};

/// What to do about a response code that is not success.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The TPM is busy with something else: send the same command again.
    Again,
    /// The TPM says no.
    Refused(Refusal),
}

pub(crate) fn outcome(command: &'static str, response: u32) -> Outcome {
    let code = TpmRc::try_from(response).ok();
    match code.map(|code| code.base()) {
        Some(
            TpmRcBase::Retry
            | TpmRcBase::Yielded
            | TpmRcBase::Testing
            | TpmRcBase::NvRate
            | TpmRcBase::NvUnavailable,
        ) => Outcome::Again,
        base => Outcome::Refused(Refusal {
            command,
            response,
            name: base.map_or_else(|| "an unknown code".to_owned(), |base| base.to_string()),
            about: code.and_then(about),
            words: base.map_or(UNKNOWN, words),
        }),
    }
}

/// Whether a refusal is about this code, wherever it points.
pub(crate) fn is(refusal: &Refusal, base: TpmRcBase) -> bool {
    TpmRc::try_from(refusal.response).is_ok_and(|code| code.base() == base)
}

const UNKNOWN: &str = "the code is not in the TPM 2.0 library; look in the maker's documentation";

fn about(code: TpmRc) -> Option<(&'static str, u8)> {
    match code {
        TpmRc::Fmt1(code) => match code.index? {
            TpmRcIndex::Parameter(number) => Some(("parameter", number)),
            TpmRcIndex::Handle(number) => Some(("handle", number)),
            TpmRcIndex::Session(number) => Some(("session", number)),
        },
        _ => None,
    }
}

fn words(base: TpmRcBase) -> &'static str {
    match base {
        TpmRcBase::Initialize => "the TPM was not started; the firmware has to send TPM2_Startup",
        TpmRcBase::Failure => "the TPM failed its self-test; power the device off and on",
        TpmRcBase::Reboot => "the TPM needs a restart of the device",
        TpmRcBase::Upgrade => "the TPM's firmware is being upgraded; finish that first",
        TpmRcBase::NeedsTest => "the TPM has to test itself first; try again",
        TpmRcBase::Disabled | TpmRcBase::Hierarchy => {
            "the hierarchy is disabled; enable it in the firmware setup"
        }
        TpmRcBase::CommandCode => "this TPM does not have the command",
        TpmRcBase::AuthFail | TpmRcBase::BadAuth => {
            "the authorization value is wrong; hierarchies and keys are expected without one"
        }
        TpmRcBase::AuthMissing | TpmRcBase::AuthType | TpmRcBase::AuthUnavailable => {
            "the entity cannot be authorized in this way"
        }
        TpmRcBase::PolicyFail | TpmRcBase::Policy | TpmRcBase::PolicyCc => {
            "the entity's policy is not satisfied"
        }
        TpmRcBase::Lockout => {
            "locked out after too many wrong authorizations; wait, or reset the lockout"
        }
        TpmRcBase::Integrity => {
            "made by another TPM, or before this one was cleared; delete the key and enrol again"
        }
        TpmRcBase::Parent => "the parent key is not the one the key was made under",
        TpmRcBase::Handle | TpmRcBase::ReferenceH0 | TpmRcBase::ReferenceH1 => {
            "nothing is at the handle"
        }
        TpmRcBase::Curve | TpmRcBase::KeySize | TpmRcBase::Scheme | TpmRcBase::Asymmetric => {
            "this TPM does not offer the algorithm"
        }
        TpmRcBase::Hash => "this TPM does not offer the hash algorithm",
        TpmRcBase::Key | TpmRcBase::Type => "the key is of the wrong kind",
        TpmRcBase::Ticket => "a restricted key signs only what the TPM itself states",
        TpmRcBase::Attributes => "the entity's attributes do not allow it",
        TpmRcBase::NvSpace => "the TPM's storage is full; undefine an index nobody needs",
        TpmRcBase::NvDefined => "the index exists already",
        TpmRcBase::NvRange => "the octets are outside the index",
        TpmRcBase::NvUninitialized => "the index was never written",
        TpmRcBase::NvLocked => "the index is locked until the next start",
        TpmRcBase::NvAuthorization => "the index may not be used with this authorization",
        TpmRcBase::ObjectMemory | TpmRcBase::ObjectHandles | TpmRcBase::Memory => {
            "the TPM is full of objects; use /dev/tpmrm0, or flush what others left loaded"
        }
        TpmRcBase::SessionMemory | TpmRcBase::SessionHandles | TpmRcBase::ContextGap => {
            "the TPM is full of sessions; use /dev/tpmrm0, or flush what others left open"
        }
        TpmRcBase::Locality => "not allowed at this locality",
        TpmRcBase::Canceled => "cancelled",
        TpmRcBase::Size | TpmRcBase::Value | TpmRcBase::Range | TpmRcBase::Insufficient => {
            "a parameter is out of range for this TPM"
        }
        _ => "see TPM 2.0 Part 2 §6.6.3 for the code, Part 3 for the command",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(response: u32) -> Refusal {
        match outcome("TPM2_Load", response) {
            Outcome::Refused(refusal) => refusal,
            Outcome::Again => panic!("{response:x} is worth another try"),
        }
    }

    #[test]
    fn codes_of_both_formats_are_told_in_words() {
        let integrity = refused(0x1df);
        assert_eq!(
            (integrity.name.as_str(), integrity.about),
            ("TPM_RC_INTEGRITY", Some(("parameter", 1)))
        );
        assert_eq!(refused(0x18b).about, Some(("handle", 1)));
        assert_eq!(refused(0x98e).about, Some(("session", 1)));
        assert_eq!(refused(0x100).name, "TPM_RC_INITIALIZE");
        assert_eq!(refused(0x921).name, "TPM_RC_LOCKOUT");
        assert!(is(&refused(0x98e), TpmRcBase::AuthFail));
    }

    #[test]
    fn a_busy_tpm_is_asked_again_and_noise_is_not() {
        for busy in [0x922, 0x908, 0x90a, 0x920, 0x923] {
            assert!(matches!(outcome("TPM2_Quote", busy), Outcome::Again), "{busy:x}");
        }
        for noise in [0xffff_ffff, 0xdead_beef, 0x0000_0fff, 0x8000_0000] {
            assert_eq!(refused(noise).response, noise);
        }
    }
}
