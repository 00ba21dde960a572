//! `touchstone evidence`: what evidence in a file says: an entity attestation token (RFC 9711), or a
//! conceptual message wrapper (RFC 9999) with its parts.

use crate::answer::{Answer, Answered, Failure, hex};
use crate::cert::date;
use crate::cli::Evidence as Verb;
use crate::files;
use crate::token::{self, Token};
use serde_json::{Value, json};
use std::path::Path;
use touchstone_crypto::Verified;
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::cmw::{Cmw, Collection, Kind, Label, Record};
use touchstone_evidence::eat::{Bundle, Eat, Error, MAX_JWT, Profile, Submodule};
use touchstone_evidence::token::{Error as TokenError, TokenKey};
use touchstone_evidence::tpm::Attest;

const SCHEMA: &str = "touchstone.evidence.show/1";

pub(crate) fn run(verb: &Verb) -> Answered {
    let Verb::Show { file, key, nonce } = verb;
    let octets = files::read(file, MAX_JWT as u64)?;
    let key = key.as_deref().map(token::key).transpose()?;
    let nonce = nonce.as_ref().map(|nonce| nonce.0.as_slice());
    if Bundle::is_one(&octets) {
        let (form, read) = bundle(&octets, key.as_ref());
        return told(file, read, form, key.is_some(), nonce);
    }
    if let Some(token) = Token::of(&octets) {
        let read = self::token(&token, key.as_ref());
        return told(file, read, token.form(), key.is_some(), nonce);
    }
    if key.is_some() || nonce.is_some() {
        let message = format!("{} is no token, so that no key has signed it", file.display());
        let next = "leave out --key and --nonce; the quote in it is judged by `touchstone appraise` \
                    or a fleet";
        return Err(Failure::usage(message, next));
    }
    let cmw = Cmw::decode(&octets).map_err(|error| {
        let message = format!("{}: {error}", file.display());
        let next = "give a CWT, a JWT or a conceptual message wrapper, as it was made";
        Failure::unknown(error.code(), message, next)
    })?;
    Ok(wrapped(&cmw))
}

/// A token with claims sets that it has digests of (RFC 9711 §5), and its form.
fn bundle(octets: &[u8], key: Option<&TokenKey>) -> (&'static str, Result<Eat, Error>) {
    let bundle = match Bundle::decode(octets) {
        Ok(bundle) => bundle,
        Err(error) => return ("bundle", Err(error)),
    };
    let read = match key.map(std::slice::from_ref) {
        Some(keys) => bundle.verify(&AwsLc, keys).map(Verified::into_inner),
        None => bundle.dangerous_unverified(&AwsLc),
    };
    (if bundle.is_json { "JSON bundle" } else { "CBOR bundle" }, read)
}

fn token(token: &Token, key: Option<&TokenKey>) -> Result<Eat, Error> {
    match (token, key.map(std::slice::from_ref)) {
        (Token::Cwt(octets), Some(keys)) => {
            Eat::from_cwt(&AwsLc, octets, keys).map(Verified::into_inner)
        }
        (Token::Jwt(text), Some(keys)) => {
            Eat::from_jwt(&AwsLc, text, keys).map(Verified::into_inner)
        }
        (Token::Cwt(octets), None) => Eat::dangerous_unverified_cwt(octets),
        (Token::Jwt(text), None) => Eat::dangerous_unverified_jwt(text),
    }
}

fn told(
    file: &Path,
    read: Result<Eat, Error>,
    form: &str,
    verified: bool,
    nonce: Option<&[u8]>,
) -> Answered {
    let eat = match read {
        Ok(eat) => eat,
        Err(
            error @ (Error::Detached | Error::Token(TokenError::Signature | TokenError::Algorithm)),
        ) => {
            return Ok(Answer::new(SCHEMA)
                .good(false)
                .with("verified", false)
                .with("code", error.code())
                .with("reason", error.to_string())
                .line(format_args!("REFUSED      {error} ({})", error.code())));
        }
        Err(error) => {
            let message = format!("{}: {error}", file.display());
            let next = "give an entity attestation token as it was signed";
            return Err(Failure::unknown(error.code(), message, next));
        }
    };
    Ok(shown(&eat, form, verified, nonce, files::now()?))
}

fn shown(eat: &Eat, form: &str, verified: bool, nonce: Option<&[u8]>, now: u64) -> Answer {
    let counts = eat.expires.is_none_or(|expires| now < expires);
    let asked = nonce.is_none_or(|nonce| eat.nonces.iter().any(|known| known == nonce));
    let mut answer = Answer::new(SCHEMA)
        .good(counts && asked)
        .with("kind", "eat")
        .with("form", form)
        .with("verified", verified)
        .with("counts", counts)
        .with("nonce_is_the_one", nonce.map(|_| asked))
        .with("claims", claims(eat))
        .line(format_args!("token        EAT, {form}"));
    for line in lines(eat, "") {
        answer = answer.line(line);
    }
    if let Some(cmw) = &eat.cmw {
        answer = parts(answer, cmw);
    }
    if !verified {
        answer = answer.word("not verified: this is what the token says of itself");
    }
    if !counts {
        answer = answer.word("it does not count any more: ask for a new one");
    }
    if !asked {
        answer = answer.word("it answers something else: it does not carry that nonce");
    }
    answer
}

/// The claims by their names in JSON (RFC 9711 §7.2).
fn claims(eat: &Eat) -> Value {
    // An object identifier in DER has no form there, and is hexadecimal here.
    let mut named = eat.clone();
    // Its parts are listed: they may be long.
    named.cmw = None;
    let oid = match &named.profile {
        Some(Profile::Oid(octets)) => Some(hex(octets)),
        _ => None,
    };
    if oid.is_some() {
        named.profile = None;
    }
    let json = named.to_json().ok().and_then(|json| serde_json::from_slice(&json).ok());
    let mut json: Value = json.unwrap_or_default();
    if let (Some(oid), Some(members)) = (oid, json.as_object_mut()) {
        members.insert("eat_profile".to_owned(), oid.into());
    }
    json
}

fn lines(eat: &Eat, within: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let row = |name: &str, value: &dyn std::fmt::Display| format!("{within}{name:<12} {value}");
    lines.extend(eat.issued_at.map(|at| row("issued", &date(at))));
    lines.extend(eat.expires.map(|at| row("counts until", &date(at))));
    lines.extend(eat.nonces.iter().map(|nonce| row("nonce", &hex(nonce))));
    let named = claims(eat);
    for (name, value) in named.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "iat" | "exp" | "eat_nonce" | "submods") {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            lines.push(row(name, &text));
        }
    }
    for (name, submodule) in &eat.submods {
        let what = match submodule {
            Submodule::Claims(_) => "claims".to_owned(),
            Submodule::Cwt(token) => format!("a CWT of its own, {} octets", token.len()),
            Submodule::Jwt(token) => format!("a JWT of its own, {} octets", token.len()),
            Submodule::Bundle(bundle) => format!("a bundle of its own, {} octets", bundle.len()),
            Submodule::Detached(digest) => format!("elsewhere, {} {digest}", digest.algorithm()),
        };
        lines.push(row("submodule", &format_args!("{name}: {what}")));
        if let Submodule::Claims(inner) = submodule {
            lines.extend(self::lines(inner, &format!("{within}  ")));
        }
    }
    lines
}

fn wrapped(cmw: &Cmw<'_>) -> Answer {
    let answer = Answer::new(SCHEMA).with("kind", "cmw").with("verified", false);
    parts(answer, cmw).word("not verified: this is what the wrapper says of itself")
}

fn parts(mut answer: Answer, cmw: &Cmw<'_>) -> Answer {
    let mut parts = Vec::new();
    match cmw {
        Cmw::Record(record) => part(&mut parts, "", record),
        Cmw::Collection(collection) => {
            let kind = collection.kind.as_deref();
            answer = answer.with("collection", kind);
            if let Some(kind) = kind {
                answer = answer.line(format_args!("collection   {kind}"));
            }
            gather(&mut parts, "", collection);
        }
    }
    for part in &parts {
        let text = |name: &str| part[name].as_str().unwrap_or_default().to_owned();
        answer = answer.line(format_args!(
            "part         {} {}, {} octets",
            text("label"),
            text("type"),
            part["octets"]
        ));
        if let Some(quote) = part.get("quote") {
            answer = answer.line(format_args!("  quote      {quote}"));
        }
    }
    answer.with("parts", parts)
}

fn gather(parts: &mut Vec<Value>, within: &str, collection: &Collection<'_>) {
    for (label, entry) in &collection.entries {
        let label = match label {
            Label::Text(text) => format!("{within}{text}"),
            Label::Number(number) => format!("{within}{number}"),
        };
        match entry {
            Cmw::Record(record) => part(parts, &label, record),
            Cmw::Collection(inner) => gather(parts, &format!("{label}/"), inner),
        }
    }
}

fn part(parts: &mut Vec<Value>, label: &str, record: &Record<'_>) {
    let kind = match &record.kind {
        Kind::MediaType(text) => text.to_string(),
        Kind::ContentFormat(number) => format!("Content-Format {number}"),
    };
    let mut part = json!({
        "label": label,
        "type": kind,
        "octets": record.value.len(),
        "indicator": record.indicator.map(touchstone_evidence::cmw::Indicator::bits),
    });
    let found = match kind.as_str() {
        "application/vnd.touchstone.tpms-attest" => Attest::decode(&record.value).ok().map(|it| {
            let clock = it.clock;
            (
                "quote",
                json!({
                    "type": format!("{:#06x}", it.kind),
                    "qualifying": hex(&it.extra_data),
                    "clock": clock.clock,
                    "reset_count": clock.reset_count,
                    "restart_count": clock.restart_count,
                    "firmware_version": format!("{:#018x}", it.firmware_version),
                }),
            )
        }),
        "application/eat+cwt" => {
            Eat::dangerous_unverified_cwt(&record.value).ok().map(|eat| ("claims", claims(&eat)))
        }
        "application/eat+jwt" => std::str::from_utf8(&record.value)
            .ok()
            .and_then(|token| Eat::dangerous_unverified_jwt(token).ok())
            .map(|eat| ("claims", claims(&eat))),
        _ => None,
    };
    if let (Some((name, value)), Some(members)) = (found, part.as_object_mut()) {
        members.insert(name.to_owned(), value);
    }
    parts.push(part);
}
