//! `touchstone element random`, `seal` and `unseal`.

use super::{failure, need};
use crate::answer::{Answer, Answered, Failure, hex};
use crate::files::{self, SMALL};
use std::path::Path;
use touchstone_element::{Ability, Element, Error, PcrSelection, SealPcrs, SealTo, Secret};
use zeroize::Zeroizing;

pub(crate) fn random(element: &mut dyn Element, octets: u32, out: Option<&Path>) -> Answered {
    let len = usize::try_from(octets).unwrap_or(usize::MAX);
    let mut random = Zeroizing::new(vec![0; len]);
    element.random(&mut random).map_err(|error| failure(&error))?;
    let answer = Answer::new("touchstone.element.random/1").with("octets", octets);
    match out {
        Some(path) => {
            files::write_secret(path, &random)?;
            Ok(answer.word(format_args!("{octets} octets in {}", path.display())))
        }
        None => Ok(answer.with("hex", hex(&random)).line(hex(&random))),
    }
}

pub(super) fn password(reference: Option<&str>) -> Result<Option<Secret>, Failure> {
    let Some(reference) = reference else { return Ok(None) };
    let text = Zeroizing::new(files::read_secret(reference, "--password")?);
    // Editors and `echo` end a file with a line end that is not meant.
    Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']).as_bytes().to_vec())))
}

pub(crate) fn seal(
    element: &mut dyn Element,
    file: &Path,
    pcr: Option<&PcrSelection>,
    reference: Option<&str>,
    out: &Path,
) -> Answered {
    let secret = Zeroizing::new(files::read(file, SMALL)?);
    let pcrs = pcr.map(|selection| SealPcrs { selection: selection.clone(), values: None });
    let to = SealTo { pcrs, password: password(reference)? };
    let sealed = need(element.sealing(), Ability::Seal)?
        .seal(&secret, &to)
        .map_err(|error| failure(&error))?;
    files::write(out, &sealed)?;
    let state = pcr.map_or_else(|| "any state".to_owned(), ToString::to_string);
    Ok(Answer::new("touchstone.element.seal/1")
        .with("octets", secret.len())
        .with("pcr", pcr.map(ToString::to_string))
        .with("password", reference.is_some())
        .word(format_args!("{} octets sealed to {state} in {}", secret.len(), out.display())))
}

pub(crate) fn unseal(
    element: &mut dyn Element,
    file: &Path,
    reference: Option<&str>,
    out: Option<&Path>,
) -> Answered {
    let sealed = files::read(file, SMALL)?;
    let password = password(reference)?;
    let sealing = need(element.sealing(), Ability::Seal)?;
    let answer = Answer::new("touchstone.element.unseal/1");
    let secret = match sealing.unseal(&sealed, password.as_ref()) {
        Ok(secret) => secret,
        // The element's no is an answer.
        Err(
            error @ (Error::StateMoved
            | Error::WrongAuthorization { .. }
            | Error::LockedOut { .. }
            | Error::Foreign),
        ) => {
            let words = format!("{}: {error} ({})", file.display(), error.code());
            return Ok(answer.good(false).with("code", error.code()).word(words));
        }
        Err(error) => return Err(failure(&error)),
    };
    match out {
        Some(path) => {
            files::write_secret(path, secret.expose())?;
            Ok(answer.with("octets", secret.expose().len()).word(format_args!(
                "{} octets in {}",
                secret.expose().len(),
                path.display()
            )))
        }
        None => Ok(answer.octets(secret.expose())),
    }
}
