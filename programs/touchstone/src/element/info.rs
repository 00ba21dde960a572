//! `touchstone element info`.

use super::{failure, health};
use crate::answer::{Answer, Answered};
use crate::cli::Element as Command;
use serde_json::{Value, json};
use std::fmt::Display;
use touchstone_certs::Certificate;
use touchstone_drive::element::Location;
use touchstone_element::reference::Kind;
use touchstone_element::{Ability, Attesting, Element, Error};
use touchstone_tpm2::Lockout;

pub(crate) fn run(location: &Location, command: &Command) -> Answered {
    if location.kind() != Kind::Tpm {
        return info(super::open(command)?.as_mut(), &command.at, None);
    }
    let mut tpm = super::tpm(command)?;
    let lockout = tpm.admin().lockout().map_err(|error| super::tpm_failure(&error))?;
    info(&mut tpm, &command.at, Some(&lockout))
}

fn info(element: &mut dyn Element, at: &str, lockout: Option<&Lockout>) -> Answered {
    let about = element.about().map_err(|error| failure(&error))?;
    let can = element.capabilities().map_err(|error| failure(&error))?;
    let abilities = element.abilities();
    let lacks: Vec<Ability> =
        Ability::ALL.iter().copied().filter(|ability| !abilities.contains(ability)).collect();
    let keys: Vec<Value> = can
        .keys
        .iter()
        .map(|(algorithm, uses)| {
            let uses: Vec<&str> = uses.iter().map(|one| one.name()).collect();
            json!({ "algorithm": algorithm.name(), "uses": uses })
        })
        .collect();
    let mut answer = Answer::new("touchstone.element.info/1")
        .with("at", at)
        .with("kind", about.kind)
        .with("manufacturer", about.manufacturer.as_str())
        .with("model", about.model.as_str())
        .with("serial", about.serial.as_str())
        .with("firmware", about.firmware.as_str())
        .with("abilities", names(&abilities))
        .with("lacks", names(&lacks))
        .with("keys", keys)
        .with("signatures", can.signatures.iter().map(|one| one.name()).collect::<Vec<_>>())
        .with("encryptions", names(&can.encryptions))
        .with("pcr_banks", names(&can.pcr_banks))
        .with("storage", can.storage)
        .with("seal", can.seal)
        .line(row("element", format_args!("{} at {at}", about.kind)))
        .line(row("maker", format_args!("{} {}", about.manufacturer, about.model)))
        .line(row("firmware", &about.firmware));
    for (algorithm, uses) in &can.keys {
        answer = answer.line(row("keys", format_args!("{algorithm:<12} {}", list(uses))));
    }
    let signatures: Vec<&str> = can.signatures.iter().map(|one| one.name()).collect();
    answer = answer.line(row("signs", signatures.join(", ")));
    if !can.encryptions.is_empty() {
        answer = answer.line(row("decrypts", list(&can.encryptions)));
    }
    if !can.pcr_banks.is_empty() {
        answer = answer.line(row("PCR banks", list(&can.pcr_banks)));
    }
    if can.storage > 0 {
        answer = answer.line(row("stores", format_args!("{} octets in a value", can.storage)));
    }
    if can.seal > 0 {
        answer = answer.line(row("seals", format_args!("{} octets at once", can.seal)));
    }
    if let Some(lockout) = lockout {
        answer = answer
            .with("lockout", health::to_json(lockout))
            .line(row("lockout", health::words(lockout)));
    }
    answer = answer.line(row("can", list(&abilities)));
    if !lacks.is_empty() {
        answer = answer.line(row("lacks", list(&lacks)));
    }
    match element.attesting() {
        Some(attesting) => identities(attesting, answer),
        None => Ok(answer),
    }
}

/// Who vouches for the element, and who put an identity in.
fn identities(element: &mut dyn Attesting, mut answer: Answer) -> Answered {
    let endorsement = element.endorsement().map_err(|error| failure(&error))?;
    answer = certificates(answer, "endorsement", &endorsement.certificates);
    for (name, identity) in
        [("idevid", element.device_identity()), ("iak", element.initial_attestation())]
    {
        answer = match identity {
            Ok(found) => {
                let found = found.map(|identity| identity.certificates).unwrap_or_default();
                certificates(answer, name, &found)
            }
            // The maker got it wrong, and the element is fine.
            Err(error @ (Error::CertificateOfAnother(_) | Error::Malformed(_))) => answer
                .with(name, json!({ "code": error.code(), "reason": error.to_string() }))
                .line(row(name, format_args!("{error} ({})", error.code()))),
            Err(error) => return Err(failure(&error)),
        };
    }
    Ok(answer)
}

fn certificates(answer: Answer, name: &str, ders: &[Vec<u8>]) -> Answer {
    let Some(first) = ders.first() else {
        return answer.with(name, Value::Null).line(row(name, "no certificate"));
    };
    match Certificate::decode(first) {
        Ok(certificate) => {
            let words = format!("{}, by {}", certificate.subject(), certificate.issuer());
            let shown = if certificate.subject().is_empty() {
                format!("certified by {}", certificate.issuer())
            } else {
                words
            };
            answer.with(name, crate::signing::to_json(&certificate)).line(row(name, shown))
        }
        Err(error) => {
            let shown = format!("a certificate that does not parse: {error}");
            answer.with(name, json!({ "error": error.code() })).line(row(name, shown))
        }
    }
}

fn row(name: &str, value: impl Display) -> String {
    format!("{name:<12} {value}")
}

fn names<T: Display>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn list<T: Display>(all: &[T]) -> String {
    names(all).join(", ")
}
