//! `touchstone cert verify`.

use super::show::to_json;
use crate::answer::{Answer, Answered, Failure};
use crate::cert::{is_pem, name, read, unreadable};
use crate::cli::VerifyCert;
use crate::files::{self, LARGE, SMALL};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use touchstone_certs::ocsp::Response;
use touchstone_certs::{AlternativeName, Crl, Error, PathInputs, Purpose, Revocation, TrustStore};
use touchstone_crypto_awslc::AwsLc;

pub(super) fn run(asked: &VerifyCert) -> Answered {
    let VerifyCert {
        file,
        roots,
        intermediates,
        crls,
        responses,
        grace,
        purpose,
        names,
        policies,
        at,
    } = asked;
    let mut certificates = read(file)?;
    let leaf = certificates.remove(0);
    for path in intermediates {
        certificates.extend(read(path)?);
    }
    let mut trust = TrustStore::default();
    for path in roots {
        read(path)?.into_iter().for_each(|anchor| trust.add(anchor));
    }
    let at = at.as_deref().map_or_else(files::now, moment)?;
    let names = names.iter().map(|text| wanted(text)).collect::<Result<Vec<_>, _>>()?;
    let (crls, responses) = (read_crls(crls)?, read_responses(responses)?);
    let mut inputs = PathInputs::new(at, purpose_of(purpose)?)
        .with_policies(policies)
        .map_err(|error| Failure::usage(error, "write policies as 1.3.6.1.4.1.99999.1"))?;
    if !crls.is_empty() || !responses.is_empty() {
        inputs = inputs.with_revocation(Revocation {
            crls: &crls,
            responses: &responses,
            grace: grace.as_secs(),
            leaf_only: false,
        });
    }
    let answer =
        Answer::new("touchstone.cert.verify/1").with("certificate", to_json(&leaf)).with("at", at);
    let chain = match trust.validate_with(&AwsLc, &leaf, &certificates, &inputs) {
        Ok(chain) => chain,
        Err(error) => return refused(answer, &error),
    };
    if let Some(missing) = names.iter().find(|name| !leaf.is_for(name)) {
        let message = format!("it is not for {}", name(missing));
        return Ok(no(answer, "touchstone.cert.name", leaf.subject(), &message));
    }
    let above: Vec<Value> = chain.issuers().iter().map(to_json).collect();
    let mut answer = answer.with("issuers", above).with("policies", chain.policies());
    answer = answer.line(leaf.subject());
    for issuer in chain.issuers() {
        answer = answer.line(format_args!("  by {}", issuer.subject()));
    }
    for policy in chain.policies() {
        answer = answer.line(format_args!("  under policy {policy}"));
    }
    let unasked = crls.is_empty() && responses.is_empty();
    let revocation =
        if unasked { "; revocation was not asked for (--crl, --ocsp)" } else { ", not revoked" };
    Ok(answer.word(format_args!("valid for {purpose}{revocation}")))
}

fn refused(answer: Answer, error: &Error) -> Answered {
    match error {
        Error::Refused { reason, subject } => {
            Ok(no(answer, reason.code(), subject, &reason.to_string()))
        }
        other => Err(Failure::unknown(other.code(), other, "check the files")),
    }
}

fn no(answer: Answer, code: &str, subject: &str, message: &str) -> Answer {
    let whose = if subject.is_empty() { "a certificate without a name" } else { subject };
    answer
        .good(false)
        .with("reason", json!({ "code": code, "subject": subject, "message": message }))
        .line(format_args!("{whose}: {message} ({code})"))
}

fn purpose_of(name: &str) -> Result<Purpose, Failure> {
    let names: Vec<_> = Purpose::NAMES.iter().map(|(name, _)| *name).collect();
    Purpose::from_name(name).ok_or_else(|| {
        let next = format!("write one of {}", names.join(", "));
        Failure::usage(format!("no purpose is named `{name}`"), next)
    })
}

/// `2026-11-28T12:00:00Z`, or seconds since 1970.
fn moment(text: &str) -> Result<u64, Failure> {
    let parsed = text.parse().ok().or_else(|| {
        let moment: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(moment.as_second()).ok()
    });
    parsed.ok_or_else(|| {
        Failure::usage(format!("`{text}` is no moment"), "write 2026-11-28T12:00:00Z")
    })
}

fn wanted(text: &str) -> Result<AlternativeName, Failure> {
    if let Some(mailbox) = text.strip_prefix("email:") {
        return Ok(AlternativeName::Email(mailbox.into()));
    }
    if let Some(uri) = text.strip_prefix("uri:") {
        return Ok(AlternativeName::Uri(uri.into()));
    }
    if text.is_empty() {
        return Err(Failure::usage("a name is empty", "write a host name or an address"));
    }
    Ok(text.parse().map_or_else(|_| AlternativeName::Dns(text.into()), AlternativeName::Ip))
}

fn read_crls(paths: &[PathBuf]) -> Result<Vec<Crl>, Failure> {
    let mut crls = Vec::new();
    for path in paths {
        let content = files::read(path, LARGE)?;
        let found = if is_pem(&content) {
            Crl::from_pem(&content)
        } else {
            Crl::decode(&content).map(|crl| vec![crl])
        };
        crls.extend(found.map_err(|error| unreadable(path, &error, "give CRLs in PEM or DER"))?);
    }
    Ok(crls)
}

fn read_responses(paths: &[PathBuf]) -> Result<Vec<Response>, Failure> {
    let read = |path: &PathBuf| {
        Response::decode(&files::read(path, SMALL)?).map_err(|error| not_a_response(path, &error))
    };
    paths.iter().map(read).collect()
}

fn not_a_response(path: &Path, error: &Error) -> Failure {
    unreadable(path, error, "give a response in DER, as `touchstone ocsp query --out` keeps it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date_or_a_number() {
        assert_eq!(moment("2024-02-29T12:00:00Z").unwrap(), 1_709_208_000);
        assert_eq!(moment("2024-02-29T13:00:00+01:00").unwrap(), 1_709_208_000);
        assert_eq!(moment("1709208000").unwrap(), 1_709_208_000);
        assert!(moment("yesterday").is_err() && moment("1960-01-01T00:00:00Z").is_err());
    }

    #[test]
    fn a_name_is_read_by_its_form() {
        assert!(matches!(wanted("192.0.2.1").unwrap(), AlternativeName::Ip(_)));
        assert!(matches!(wanted("a.example").unwrap(), AlternativeName::Dns(_)));
        assert!(matches!(wanted("email:a@b.example").unwrap(), AlternativeName::Email(_)));
        assert!(wanted("").is_err());
    }
}
