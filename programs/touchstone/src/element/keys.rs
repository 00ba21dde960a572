//! `touchstone element keys`.

use super::{failure, need};
use crate::answer::{Answer, Answered, Failure, hex, table};
use crate::cli::Keys;
use crate::files::{self, LARGE, SMALL};
use serde_json::{Value, json};
use std::path::Path;
use touchstone_crypto::SignatureAlgorithm;
use touchstone_element::{
    Ability, Element, Error, KeyAlgorithm, KeySpec, KeyUse, PublicKey, Secret,
};
use zeroize::Zeroizing;

pub(crate) fn run(element: &mut dyn Element, verb: &Keys) -> Answered {
    match verb {
        Keys::List => list(element),
        Keys::Show { name } => show(element, name),
        Keys::Create { name, key_use, algorithm, pcr } => {
            let spec = KeySpec { key_use: *key_use, algorithm: *algorithm, pcrs: pcr.clone() };
            check(*key_use, *algorithm)?;
            let key = element.create_key(name, &spec).map_err(|error| failure(&error))?;
            Ok(made(name, &key))
        }
        Keys::Import { name, key_use, algorithm, key } => {
            check(*key_use, *algorithm)?;
            let secret = private(*algorithm, key)?;
            let importing = need(element.importing(), Ability::Import)?;
            let key = importing
                .import_key(name, *key_use, *algorithm, &secret)
                .map_err(|error| failure(&error))?;
            Ok(made(name, &key))
        }
        Keys::Sign { name, file, algorithm, out } => sign(element, name, file, *algorithm, out),
        Keys::Rename { name, to } => {
            element.rename_key(name, to).map_err(|error| failure(&error))?;
            let answer = Answer::new("touchstone.element.keys.rename/1").with("name", to.as_str());
            Ok(answer.word(format_args!("`{name}` is now `{to}`")))
        }
        Keys::Delete { name } => {
            find(element, name)?;
            element.delete_key(name).map_err(|error| failure(&error))?;
            let answer =
                Answer::new("touchstone.element.keys.delete/1").with("name", name.as_str());
            Ok(answer.word(format_args!("`{name}` is forgotten")))
        }
    }
}

/// A use that no element can have for such a key is a slip of the hand.
fn check(key_use: KeyUse, algorithm: KeyAlgorithm) -> Result<(), Failure> {
    if algorithm.uses().contains(&key_use) {
        return Ok(());
    }
    let uses: Vec<&str> = algorithm.uses().iter().map(|one| one.name()).collect();
    let message = format!("a key of {algorithm} is not for `{key_use}`");
    Err(Failure::usage(message, format_args!("give --use {}", uses.join(" or "))))
}

fn find(element: &mut dyn Element, name: &str) -> Result<PublicKey, Failure> {
    element
        .public_key(name)
        .and_then(|key| key.ok_or_else(|| Error::UnknownKey(name.to_owned())))
        .map_err(|error| failure(&error))
}

fn list(element: &mut dyn Element) -> Answered {
    let keys = element.keys().map_err(|error| failure(&error))?;
    let mut rows = vec![["NAME", "USE", "ALGORITHM"].map(str::to_owned).to_vec()];
    let mut listed = Vec::new();
    for key in &keys {
        let public = &key.public;
        let cells = [key.name.as_str(), public.key_use.name(), public.algorithm.name()];
        rows.push(cells.map(str::to_owned).to_vec());
        listed.push(to_json(&key.name, public));
    }
    let answer = Answer::new("touchstone.element.keys.list/1").with("keys", listed);
    if keys.is_empty() {
        return Ok(answer.word("no keys; `touchstone element keys create NAME` makes one"));
    }
    Ok(answer.line(table(&rows)))
}

fn to_json(name: &str, key: &PublicKey) -> Value {
    json!({
        "name": name,
        "use": key.key_use.name(),
        "algorithm": key.algorithm.name(),
        "public_key": pem(key).map(|pem| Value::from(pem.as_str())),
    })
}

/// The public part as people exchange it; symmetric keys have none.
fn pem(key: &PublicKey) -> Option<String> {
    if key.spki_der.is_empty() {
        return None;
    }
    let ending = pem_rfc7468::LineEnding::LF;
    pem_rfc7468::encode_string("PUBLIC KEY", ending, &key.spki_der).ok()
}

fn show(element: &mut dyn Element, name: &str) -> Answered {
    let key = find(element, name)?;
    let Value::Object(members) = to_json(name, &key) else {
        return Err(Failure::unknown("touchstone.bug", "a key has no members", "report it"));
    };
    let answer = Answer::new("touchstone.element.keys.show/1").with_all(members);
    Ok(match pem(&key) {
        Some(pem) => answer.line(pem.trim_end()),
        None => answer.word("a symmetric key: it has no public part"),
    })
}

fn made(name: &str, key: &PublicKey) -> Answer {
    let mut answer =
        Answer::new("touchstone.element.keys.create/1").with("key", to_json(name, key));
    if let Some(pem) = pem(key) {
        answer = answer.line(pem.trim_end());
    }
    answer.word(format_args!("`{name}`, {}, to {}", key.algorithm, key.key_use))
}

/// A private key from its file.
fn private(algorithm: KeyAlgorithm, reference: &str) -> Result<Secret, Failure> {
    if algorithm.is_symmetric() {
        let path = reference.strip_prefix("file:").unwrap_or(reference);
        return Ok(Secret::new(files::read(Path::new(path), SMALL)?));
    }
    let text = Zeroizing::new(files::read_secret(reference, "--key")?);
    let bad = |words: &str| {
        let message = format!("the key in {reference} {words}");
        let next = "give a PKCS#8 key in PEM; `openssl pkcs8 -topk8 -nocrypt` makes one of others";
        Failure::unknown("element.input.bad", message, next)
    };
    match pem_rfc7468::decode_vec(text.as_bytes()) {
        Ok(("PRIVATE KEY", der)) => Ok(Secret::new(der)),
        Ok((_, der)) => {
            drop(Zeroizing::new(der));
            Err(bad("is not an unencrypted PKCS#8 key"))
        }
        Err(_) => Err(bad("is not PEM")),
    }
}

fn sign(
    element: &mut dyn Element,
    name: &str,
    file: &Path,
    algorithm: Option<SignatureAlgorithm>,
    out: &Path,
) -> Answered {
    let key = find(element, name)?;
    let needed = "a key that signs";
    let algorithm = algorithm
        .or_else(|| key.signature())
        .ok_or_else(|| failure(&Error::WrongKind { name: name.to_owned(), needed }))?;
    let message = files::read(file, LARGE)?;
    let signature = element.sign(name, algorithm, &message).map_err(|error| failure(&error))?;
    files::write(out, &signature)?;
    Ok(Answer::new("touchstone.element.keys.sign/1")
        .with("algorithm", algorithm.name())
        .with("signature", hex(&signature))
        .word(format_args!("signed with {} into {}", algorithm.name(), out.display())))
}
