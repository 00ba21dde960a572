//! `touchstone element`: the secure element of this machine.

mod health;
mod info;
mod keys;
mod nv;
mod registers;
mod secrets;

use crate::answer::{Answer, Answered, Failure};
use crate::cli::{Element as Command, ElementVerb};
use touchstone_drive::element::{Location, LocationError};
use touchstone_element::reference::Kind;
use touchstone_element::{Ability, Element, Error};
use touchstone_element_tpm2::Tpm;
use touchstone_tpm2 as tpm2;

pub(crate) fn run(command: &Command) -> Answered {
    match &command.verb {
        ElementVerb::Info => info::run(&location(command)?, command),
        ElementVerb::Keys(verb) => keys::run(open(command)?.as_mut(), verb),
        ElementVerb::Pcr(verb) => registers::run(open(command)?.as_mut(), verb),
        ElementVerb::Random { octets, out } => {
            secrets::random(open(command)?.as_mut(), *octets, out.as_deref())
        }
        ElementVerb::Seal { file, pcr, password, out } => {
            secrets::seal(open(command)?.as_mut(), file, pcr.as_ref(), password.as_deref(), out)
        }
        ElementVerb::Unseal { file, password, out } => {
            secrets::unseal(open(command)?.as_mut(), file, password.as_deref(), out.as_deref())
        }
        ElementVerb::Quote { key, pcr, nonce, out } => {
            registers::quote(open(command)?.as_mut(), key, pcr, &nonce.0, out.as_deref())
        }
        ElementVerb::Nv(verb) => nv::run(tpm(command)?.admin(), verb),
        ElementVerb::Selftest { full } => health::self_test(&location(command)?, command, *full),
        ElementVerb::Lockout { verb } => health::lockout(tpm(command)?.admin(), verb.as_ref()),
    }
}

fn location(command: &Command) -> Result<Location, Failure> {
    command.at.parse().map_err(|error: LocationError| {
        Failure::usage(format!("`{}` is not an element", command.at), error)
    })
}

fn open(command: &Command) -> Result<Box<dyn Element>, Failure> {
    location(command)?.open(&command.state).map_err(|error| failure(&error))
}

/// The element as a TPM, for what only a TPM has.
fn tpm(command: &Command) -> Result<Tpm, Failure> {
    let location = location(command)?;
    if location.kind() != Kind::Tpm {
        let message = format!("{} is no TPM, and only a TPM has this", command.at);
        return Err(Failure::usage(message, "give --element tpm:/dev/tpmrm0"));
    }
    location.open_tpm(&command.state).map_err(|error| failure(&error))
}

/// The TPM's own no, as an answer, where it is about an authorization; else why there is none.
fn refused(answer: Answer, error: &tpm2::Error) -> Answered {
    match error {
        tpm2::Error::WrongAuthorization { .. } => {
            Ok(answer.good(false).with("code", error.code()).word(error))
        }
        tpm2::Error::LockedOut(lockout) => {
            let words = health::words(lockout);
            Ok(answer.good(false).with("code", error.code()).word(words))
        }
        _ => Err(tpm_failure(error)),
    }
}

/// Why a TPM gave no answer, and what to do.
fn tpm_failure(error: &tpm2::Error) -> Failure {
    let next = match error {
        tpm2::Error::Nv(_) => "`touchstone element nv show INDEX` tells what it is",
        tpm2::Error::Transport(_) => "check --element, and that nobody else holds the TPM open",
        tpm2::Error::Exhausted(_) => "`touchstone element nv list` shows what takes room",
        tpm2::Error::BadInput(_) => "see --help",
        _ => "`touchstone element selftest` asks the TPM how it is",
    };
    Failure::unknown(error.code(), error, next)
}

/// Why an element gave no answer, and what to do.
pub(crate) fn failure(error: &Error) -> Failure {
    let mut message = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        message.push_str(": ");
        message.push_str(&cause.to_string());
    }
    let next = match error {
        Error::Unreachable { .. } => {
            "check --element, that the device exists, and that you may use it (group tss)"
        }
        Error::File { .. } => "give the folder with --state, or run as a user who may use it",
        Error::LockedOut { .. } | Error::WrongAuthorization { .. } => {
            "`touchstone element lockout` shows how it stands, `touchstone element lockout reset` \
             ends it"
        }
        Error::Unsupported(_) => "`touchstone element info` lists what it can do",
        Error::Refused(_) | Error::Malformed(_) => {
            "`touchstone element selftest` asks the element how it is"
        }
        _ => "`touchstone element info` shows how it is",
    };
    Failure::unknown(error.code(), message, next)
}

/// An ability that the verb needs and the element may lack.
pub(crate) fn need<T>(what: Option<T>, ability: Ability) -> Result<T, Failure> {
    what.ok_or_else(|| {
        let message = format!("this element lacks the ability `{ability}`");
        Failure::unknown("element.unsupported", message, "`touchstone element info` lists them")
    })
}
