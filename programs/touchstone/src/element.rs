//! `touchstone element`: the secure element of this machine.

mod info;
mod keys;
mod registers;
mod secrets;

use crate::answer::{Answered, Failure};
use crate::cli::{Element as Command, ElementVerb};
use touchstone_drive::element::{Location, LocationError};
use touchstone_element::{Ability, Element, Error};

pub(crate) fn run(command: &Command) -> Answered {
    let mut element = open(command)?;
    let element = element.as_mut();
    match &command.verb {
        ElementVerb::Info => info::info(element, &command.at),
        ElementVerb::Keys(verb) => keys::run(element, verb),
        ElementVerb::Pcr(verb) => registers::run(element, verb),
        ElementVerb::Random { octets, out } => secrets::random(element, *octets, out.as_deref()),
        ElementVerb::Seal { file, pcr, password, out } => {
            secrets::seal(element, file, pcr.as_ref(), password.as_deref(), out)
        }
        ElementVerb::Unseal { file, password, out } => {
            secrets::unseal(element, file, password.as_deref(), out.as_deref())
        }
        ElementVerb::Quote { key, pcr, nonce, out } => {
            registers::quote(element, key, pcr, &nonce.0, out.as_deref())
        }
    }
}

fn open(command: &Command) -> Result<Box<dyn Element>, Failure> {
    let location: Location = command.at.parse().map_err(|error: LocationError| {
        Failure::usage(format!("`{}` is not an element", command.at), error)
    })?;
    location.open(&command.state).map_err(|error| failure(&error))
}

/// Why an element gave no answer, and what to do.
fn failure(error: &Error) -> Failure {
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
        Error::Unsupported(_) => "`touchstone element info` lists what it can do",
        Error::Refused(_) | Error::Malformed(_) => {
            "`touchstone element selftest` asks the element how it is"
        }
        _ => "`touchstone element info` shows how it is",
    };
    Failure::unknown(error.code(), message, next)
}

/// An ability that the verb needs and the element may lack.
fn need<T>(what: Option<T>, ability: Ability) -> Result<T, Failure> {
    what.ok_or_else(|| {
        let message = format!("this element lacks the ability `{ability}`");
        Failure::unknown("element.unsupported", message, "`touchstone element info` lists them")
    })
}
