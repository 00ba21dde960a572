//! `touchstone element`: the secure element of this machine.

mod info;
mod keys;
mod registers;
mod secrets;

use crate::answer::{Answered, Failure};
use crate::cli::{Element as Command, ElementVerb};
use std::net::SocketAddr;
use std::path::Path;
use touchstone_element::{Ability, Element, Error};
use touchstone_element_tpm2::Tpm;

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
    let at = command.at.as_str();
    let state = command.state.as_path();
    let forms = "write tpm:/dev/tpmrm0, tpm-unix:PATH or tpm-tcp:ADDRESS:PORT";
    let usage = |what: String| Failure::usage(what, forms);
    let (kind, rest) =
        at.split_once(':').ok_or_else(|| usage(format!("`{at}` is not an element")))?;
    let tpm = match kind {
        "tpm" => Tpm::open_device(Path::new(rest), state),
        "tpm-unix" => Tpm::connect_unix(Path::new(rest), state),
        "tpm-tcp" => {
            let address: SocketAddr =
                rest.parse().map_err(|_| usage(format!("`{rest}` is not an address and port")))?;
            Tpm::connect_tcp(address, state)
        }
        _ => return Err(usage(format!("no element of kind `{kind}`"))),
    };
    Ok(Box::new(tpm.map_err(|error| failure(&error))?))
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
