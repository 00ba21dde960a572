//! `touchstone ear`: what a verifier said about a device, read from a file.

use crate::answer::{Answer, Answered, Failure, hex};
use crate::cert::date;
use crate::cli::Ear as Verb;
use crate::files;
use crate::token::{self, Token};
use std::path::Path;
use touchstone_appraise::ear::{self, Ear, Error};
use touchstone_crypto_awslc::AwsLc;

const SCHEMA: &str = "touchstone.ear.show/1";

pub(crate) fn run(verb: &Verb) -> Answered {
    let Verb::Show { file, key, nonce } = verb;
    let (token, keys) = (token::read(file)?, [token::key(key)?]);
    let read = match &token {
        Token::Jwt(text) => ear::verify_jwt(&AwsLc, text, &keys),
        Token::Cwt(octets) => ear::verify_cwt(&AwsLc, octets, &keys),
    };
    match read {
        Ok(ear) => {
            let nonce = nonce.as_ref().map(|nonce| nonce.0.as_slice());
            Ok(show(&ear, token.form(), nonce, files::now()?))
        }
        Err(error @ (Error::Signature | Error::Algorithm)) => Ok(Answer::new(SCHEMA)
            .good(false)
            .with("verified", false)
            .with("code", error.code())
            .with("reason", error.to_string())
            .line(format_args!("REFUSED      {error} ({})", error.code()))),
        Err(error) => Err(unread(file, &error)),
    }
}

fn unread(file: &Path, error: &Error) -> Failure {
    let message = format!("{}: {error}", file.display());
    Failure::unknown(error.code(), message, "give an attestation result as its verifier signed it")
}

fn show(ear: &Ear, form: &str, nonce: Option<&[u8]>, now: u64) -> Answer {
    let counts = ear.issued_at <= now && now < ear.expires;
    let asked = nonce.is_none_or(|nonce| ear.nonce.as_deref() == Some(nonce));
    let claims = ear::to_json(ear).ok().and_then(|claims| serde_json::from_slice(&claims).ok());
    let claims: serde_json::Value = claims.unwrap_or_default();
    let mut answer = Answer::new(SCHEMA)
        .good(counts && asked)
        .with("verified", true)
        .with("form", form)
        .with("device", ear.device.as_str())
        .with("tenant", ear.tenant.as_str())
        .with("tier", ear.status.name())
        .with("policy", ear.policy_id.as_str())
        .with("issued_at", ear.issued_at)
        .with("expires", ear.expires)
        .with("counts", counts)
        .with("nonce", ear.nonce.as_deref().map(hex))
        .with("nonce_is_the_one", nonce.map(|_| asked))
        .with("verifier", format!("{} ({})", ear.verifier.build, ear.verifier.developer))
        .with("claims", claims)
        .line(format_args!("device       {}", ear.device))
        .line(format_args!("tier         {}", ear.status.name()))
        .line(format_args!("policy       {}", ear.policy_id))
        .line(format_args!("verifier     {}", ear.verifier.build))
        .line(format_args!("issued       {}", date(ear.issued_at)))
        .line(format_args!("counts until {}", date(ear.expires)));
    if let Some(nonce) = &ear.nonce {
        answer = answer.line(format_args!("nonce        {}", hex(nonce)));
    }
    for (dimension, value) in ear.vector.iter() {
        answer = answer.line(format_args!("claim        {} {value}", dimension.name()));
    }
    for control in ear.failed() {
        answer = answer.line(format_args!("fails        {}: {}", control.name, control.reason));
    }
    for missing in &ear.not_evaluated {
        answer = answer.line(format_args!("not looked at {}: {}", missing.what, missing.why));
    }
    if !counts {
        answer = answer.word("it does not count now: ask the verifier for a new one");
    }
    if !asked {
        answer = answer.word("it is about other evidence: it carries another nonce");
    }
    answer
}
