//! `touchstone cert show`.

use crate::answer::{Answer, Answered, hex};
use crate::cert::{date, name, read};
use serde_json::{Value, json};
use std::fmt::Display;
use std::path::Path;
use touchstone_certs::{Certificate, oid_name};
use touchstone_crypto_awslc::AwsLc;

pub(super) fn run(file: &Path) -> Answered {
    let certificates = read(file)?;
    let mut answer = Answer::new("touchstone.cert.show/1")
        .with("certificates", certificates.iter().map(to_json).collect::<Vec<Value>>());
    for (index, certificate) in certificates.iter().enumerate() {
        if index > 0 {
            answer = answer.line("");
        }
        for line in lines(certificate) {
            answer = answer.line(line);
        }
    }
    Ok(answer)
}

pub(super) fn to_json(certificate: &Certificate) -> Value {
    let extensions: Vec<Value> = certificate
        .extension_list()
        .iter()
        .map(|one| json!({ "oid": one.oid, "name": one.name, "critical": one.critical }))
        .collect();
    json!({
        "subject": certificate.subject(),
        "issuer": certificate.issuer(),
        "serial": certificate.serial(),
        "sha256": certificate.fingerprint_sha256(&AwsLc).to_hex(),
        "not_before": certificate.not_before(),
        "not_after": certificate.not_after(),
        "key": certificate.key_description(),
        "signature": certificate.signature_description(),
        "ca": certificate.is_ca(),
        "path_length": certificate.path_length(),
        "key_usages": certificate.key_usages(),
        "extended_key_usages": certificate.extended_key_usages(),
        "names": certificate.alternative_names().iter().map(name).collect::<Vec<_>>(),
        "policies": certificate.policies(),
        "name_constraints": certificate.name_constraints(),
        "subject_key_id": certificate.subject_key_id().map(hex),
        "authority_key_id": certificate.authority_key_id().map(hex),
        "ocsp_urls": certificate.ocsp_urls(),
        "issuer_urls": certificate.issuer_urls(),
        "crl_urls": certificate.crl_urls(),
        "delta_crl_urls": certificate.delta_crl_urls(),
        "must_staple": certificate.must_staple(),
        "ocsp_no_check": certificate.ocsp_no_check(),
        "extensions": extensions,
    })
}

fn lines(certificate: &Certificate) -> Vec<String> {
    let mut lines = vec![
        row("subject", escaped(certificate.subject())),
        row("issuer", escaped(certificate.issuer())),
        row("serial", certificate.serial()),
        row("valid from", date(certificate.not_before())),
        row("ends", date(certificate.not_after())),
        row("key", certificate.key_description()),
        row("signed with", certificate.signature_description()),
        row("SHA-256", certificate.fingerprint_sha256(&AwsLc).to_hex()),
    ];
    if certificate.is_ca() {
        let below = certificate.path_length();
        let below = below.map_or(String::new(), |most| format!(", at most {most} CAs below it"));
        lines.push(row("CA", format_args!("yes{below}")));
    }
    if let Some(usages) = certificate.key_usages() {
        lines.push(row("key usage", usages.join(", ")));
    }
    let named = |oids: &[String]| {
        let word = |oid: &String| oid_name(oid).map_or_else(|| oid.clone(), str::to_owned);
        oids.iter().map(word).collect::<Vec<_>>().join(", ")
    };
    if let Some(usages) = certificate.extended_key_usages() {
        lines.push(row("for", named(&usages)));
    }
    lines
        .extend(certificate.alternative_names().iter().map(|one| row("name", escaped(&name(one)))));
    if !certificate.policies().is_empty() {
        lines.push(row("policies", named(&certificate.policies())));
    }
    lines.extend(certificate.name_constraints().iter().map(|one| row("below it", escaped(one))));
    for (what, urls) in [
        ("OCSP", certificate.ocsp_urls().to_vec()),
        ("issuer at", certificate.issuer_urls().to_vec()),
        ("CRL", certificate.crl_urls()),
        ("delta CRL", certificate.delta_crl_urls()),
    ] {
        lines.extend(urls.iter().map(|url| row(what, escaped(url))));
    }
    if certificate.must_staple() {
        lines.push(row("TLS", "its server must staple its status"));
    }
    for one in certificate.extension_list().iter().filter(|one| one.critical) {
        lines.push(row("critical", one.name.unwrap_or(&one.oid)));
    }
    lines
}

/// A name from a certificate stays on its line, whatever is in it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    escaped
}

fn row(name: &str, value: impl Display) -> String {
    format!("{name:<12} {value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_put_in_lines_of_its_own() {
        assert_eq!(escaped("CN=a\nissuer  CN=b\u{1b}[2J"), "CN=a\\nissuer  CN=b\\u{1b}[2J");
    }
}
