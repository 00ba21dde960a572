//! The TPM's errors in the words of elements.

use std::io;
use touchstone_element::{Error, Refusal};
use touchstone_tpm2::nv::Why;
use touchstone_tpm2::{self as tpm2, TransportError, Unsatisfied, code, response_code};

/// What went wrong with the TPM at `at`.
pub(crate) fn told(at: &str, error: tpm2::Error) -> Error {
    match error {
        tpm2::Error::Transport(error) => unreachable(at, error),
        tpm2::Error::Refused(refusal) => refused(refusal),
        tpm2::Error::Failed { .. } => refused(tpm2::Refusal {
            command: "TPM2_GetTestResult",
            response: response_code::FAILURE,
        }),
        tpm2::Error::Canceled => {
            refused(tpm2::Refusal { command: "the command", response: response_code::CANCELED })
        }
        tpm2::Error::WrongAuthorization { lockout, .. } => {
            Error::WrongAuthorization { tries_left: lockout.map(|lockout| lockout.tries_left()) }
        }
        tpm2::Error::LockedOut(lockout) => Error::LockedOut {
            recovery: Some(lockout.interval).filter(|seconds| *seconds > 0).map(u64::from),
        },
        tpm2::Error::Exhausted(slots) => Error::Exhausted(slots.words()),
        tpm2::Error::Unsatisfied(why) => match why {
            Unsatisfied::Pcr
            | Unsatisfied::Authorize
            | Unsatisfied::AuthorizeNv
            | Unsatisfied::Nv
            | Unsatisfied::NvChanged
            | Unsatisfied::CounterTimer
            | Unsatisfied::Other => Error::StateMoved,
            other => Error::BadInput(other.words()),
        },
        tpm2::Error::Malformed(what) => Error::Malformed(what),
        tpm2::Error::Tampered => {
            Error::Malformed("its HMAC is wrong: somebody sits between us and the TPM")
        }
        tpm2::Error::BadInput(what) => Error::BadInput(what),
        tpm2::Error::Unsupported(what) => Error::Unsupported(what),
        tpm2::Error::Nv(fault) => match fault.why {
            Why::Full => Error::Exhausted("non-volatile storage"),
            Why::TooLarge => Error::BadInput("the TPM's index is larger than this TPM takes"),
            Why::Undefined => Error::BadInput("the TPM's index is not defined; define it first"),
            Why::Defined => Error::BadInput("the TPM's index exists; choose another"),
            Why::WrongKind { .. } => Error::BadInput("the TPM's index is of another kind"),
            Why::Changed => Error::BadInput("the TPM's index was changed meanwhile; try again"),
            Why::NotWritten => Error::BadInput("the TPM's index was never written"),
            Why::Locked => Error::BadInput("the TPM's index is locked"),
            Why::WrongSize { .. } | Why::OutOfRange { .. } => {
                Error::BadInput("the TPM's index has another size")
            }
            Why::NotAllowed { .. } => {
                Error::BadInput("the TPM's index may not be used with this authorization")
            }
        },
        tpm2::Error::Busy => Error::Busy,
        tpm2::Error::Crypto(error) => Error::Crypto(error),
        _ => Error::Unsupported("what the TPM answered"),
    }
}

fn refused(refusal: tpm2::Refusal) -> Error {
    // Part 3 §23.7.1: that is how the registers of a policy are said to differ.
    if refusal.command == code::POLICY_PCR.name && refusal.is(response_code::VALUE) {
        return Error::StateMoved;
    }
    if refusal.is(response_code::INTEGRITY) {
        return Error::Foreign;
    }
    Error::Refused(Refusal {
        command: refusal.command,
        response: refusal.response,
        name: refusal.name().to_owned(),
        about: refusal.about(),
        words: refusal.words(),
    })
}

/// What is wrong with octets that have nothing to do with where the TPM is.
pub(crate) fn local(error: tpm2::Error) -> Error {
    told("the TPM", error)
}

pub(crate) fn unreachable(at: &str, error: TransportError) -> Error {
    let source = match error {
        TransportError::Os(number) => io::Error::from_raw_os_error(number),
        other => io::Error::other(other),
    };
    Error::Unreachable { at: at.to_owned(), source }
}
