//! Certificates of the world: TPM vendors' endorsement chains, NIST's PKITS, x509-limbo.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use serde::Deserialize;
use std::path::Path;
use std::process::Command;
use touchstone_certs::{AlternativeName, Certificate, Error, Purpose, Refusal, TrustStore};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::{corpus, files};

fn read(path: &Path) -> Option<Result<Vec<Certificate>, Error>> {
    let bytes = std::fs::read(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    if bytes.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----") {
        return Some(Certificate::from_pem(&bytes));
    }
    let der = [".cer", ".crt", ".der"].iter().any(|end| name.ends_with(end));
    der.then(|| Certificate::decode(&bytes).map(|certificate| vec![certificate]))
}

#[test]
fn every_endorsement_certificate_of_the_vendors_decodes() {
    let Some(dir) = corpus("ekcert") else { return };
    let mut count = 0;
    let mut bad = Vec::new();
    for path in files(&dir) {
        match read(&path) {
            Some(Ok(certificates)) => count += certificates.len(),
            Some(Err(error)) => bad.push(format!("{}: {error}", path.display())),
            None => {}
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
    assert!(count > 70, "only {count}");
}

#[test]
fn every_certificate_of_pkits_decodes_or_is_malformed_on_purpose() {
    let Some(dir) = corpus("pki/pkits/PKITS/certs") else { return };
    let mut bad = Vec::new();
    for path in files(&dir) {
        if let Some(Err(error)) = read(&path) {
            bad.push(format!("{}: {error}", path.file_name().unwrap().to_string_lossy()));
        }
    }
    // UTCTime of 1950 to 1969 is not read; no device of ours is that old.
    bad.retain(|line| !line.starts_with("Validpre2000UTCnotBeforeDateTest3EE.crt"));
    assert!(bad.is_empty(), "{bad:#?}");
}

#[derive(Deserialize)]
struct Limbo {
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    features: Vec<String>,
    validation_kind: String,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    validation_time: Option<String>,
    expected_result: String,
    expected_peer_name: Option<PeerName>,
}

#[derive(Deserialize)]
struct PeerName {
    value: String,
}

/// `Ok(false)`: a good path, to somebody with another name. Names are for TLS to compare.
fn run(case: &Case) -> Result<bool, Error> {
    let one = |pem: &String| Certificate::from_pem(pem.as_bytes());
    let leaf = one(&case.peer_certificate)?.remove(0);
    let mut anchors = TrustStore::default();
    for pem in &case.trusted_certs {
        one(pem)?.into_iter().for_each(|anchor| anchors.add(anchor));
    }
    let mut others = Vec::new();
    for pem in &case.untrusted_intermediates {
        // A stranger that does not parse is left out, as a TLS stack does.
        others.extend(one(pem).unwrap_or_default());
    }
    let at = case.validation_time.as_deref().map_or(1_785_000_000, unix);
    let purpose =
        if case.validation_kind == "CLIENT" { Purpose::TlsClient } else { Purpose::TlsServer };
    let chain = anchors.validate(&AwsLc, &leaf, &others, at, purpose)?;
    let Some(PeerName { value }) = &case.expected_peer_name else { return Ok(true) };
    Ok(chain.leaf().alternative_names().iter().any(|name| match name {
        AlternativeName::Dns(name) => {
            name == value || name.strip_prefix('*').is_some_and(|rest| value.ends_with(rest))
        }
        AlternativeName::Ip(ip) => ip.to_string() == *value,
        _ => false,
    }))
}

/// `2024-01-01T00:00:00+00:00` (always in that zone).
fn unix(text: &str) -> u64 {
    let field = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
    let (y, m, d) = (field(0, 4), field(5, 7), field(8, 10));
    // Days from civil, H. Hinnant's counting from March.
    let y = if m <= 2 { y - 1 } else { y };
    let (era, yoe) = (y / 400, y % 400);
    let doy = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
    u64::try_from(days * 86_400 + field(11, 13) * 3600 + field(14, 16) * 60 + field(17, 19))
        .unwrap()
}

#[test]
fn no_path_that_x509_limbo_calls_invalid_is_accepted() {
    let Some(path) = corpus("pki/x509-limbo/limbo.json.gz") else { return };
    let out = Command::new("gzip").arg("-dc").arg(path).output().unwrap();
    let limbo: Limbo = serde_json::from_slice(&out.stdout).unwrap();
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    let (mut good, mut bad) = (0, 0);
    for case in &limbo.testcases {
        match (case.expected_result.as_str(), run(case)) {
            ("SUCCESS", Ok(_)) => good += 1,
            ("FAILURE", Ok(false) | Err(_)) => bad += 1,
            ("FAILURE", Ok(true)) => accepted.push(format!("{} {:?}", case.id, case.features)),
            (_, Err(error)) => refused.push((case.id.as_str(), error)),
            (other, _) => panic!("{other}"),
        }
    }
    accepted.retain(|id| !NOT_OURS.iter().any(|(start, _)| id.starts_with(start)));
    assert!(accepted.is_empty(), "accepted: {accepted:#?}");
    // Stricter than asked: constraints are refused, and a CA is never a server.
    refused.retain(|(id, error)| {
        let constrained = Refusal::UnsupportedConstraints;
        !matches!(error, Error::Refused { reason, .. } if *reason == constrained)
            && !["pathlen::validation-ignores-pathlen-in-leaf", "rfc5280::ca-as-leaf"].contains(id)
    });
    assert!(refused.is_empty(), "refused: {refused:#?}");
    assert!(good > 100 && bad > 8000, "{good} good, {bad} bad");
}

/// What x509-limbo refuses for reasons that are not path validation's here, and why not.
const NOT_OURS: [(&str, &str); 8] = [
    ("crl::", "revocation is asked of OCSP"),
    ("pathlen::max-chain-depth", "a limit that a caller sets"),
    ("rfc5280::aki::", "key identifiers help to find an issuer and prove nothing"),
    ("rfc5280::ski::", "as above"),
    ("rfc5280::san::", "how host names are spelled is for TLS"),
    ("rfc5280::serial::zero", "identifies as well as another number"),
    ("rfc5280::root-non-critical-basic-constraints", "an anchor is configured, not judged"),
    ("webpki::", "the browsers' profile; keys too weak are refused by the crypto provider"),
];

#[test]
fn the_endorsement_chains_of_the_vendors_are_valid() {
    let Some(dir) = corpus("ekcert") else { return };
    let all: Vec<_> = files(&dir).iter().filter_map(|path| read(path)?.ok()).flatten().collect();
    let (roots, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|certificate| certificate.issuer() == certificate.subject());
    let trust = TrustStore::new(roots.clone());
    let mut good = 0;
    for certificate in &others {
        // Old and new roots share names; some moment suits one of them.
        let begins = roots.iter().map(Certificate::not_before);
        let mut moments: Vec<_> =
            begins.map(|begins| begins.max(certificate.not_before()) + 86_400).collect();
        moments.sort_unstable();
        moments.dedup();
        let errors: Vec<_> = moments
            .iter()
            .map_while(|at| trust.validate(&AwsLc, certificate, &others, *at, Purpose::Any).err())
            .collect();
        if errors.len() < moments.len() {
            good += 1;
            continue;
        }
        // SHA-1 is not accepted; and of some clouds and fabs there is no root in the corpus.
        let expected = ["its signature algorithm", "no configured trust anchor"];
        let said = |error: &Error| expected.iter().any(|words| error.to_string().contains(words));
        assert!(errors.iter().any(said), "{certificate:?}: {errors:?}");
        let without = ["IFX TPM EK", "AMD ", "GlobalSign", "EK/AK CA", "tpm_ek_v1", "VeriSign"];
        let issuer = certificate.issuer();
        assert!(without.iter().any(|name| issuer.contains(name)), "{certificate:?} by {issuer}");
    }
    assert!(good > 150, "only {good}");
}

#[test]
fn a_real_endorsement_certificate_is_one_for_endorsement_and_nothing_else() {
    let Some(dir) = corpus("ekcert/gce") else { return };
    let ek = &Certificate::from_pem(&std::fs::read(dir.join("uca_tpm_rsa_enc_cert.pem")).unwrap())
        .unwrap()[0];
    let empty = TrustStore::default();
    let ask = |purpose| empty.validate(&AwsLc, ek, &[], ek.not_before(), purpose).unwrap_err();
    assert_eq!(ask(Purpose::EndorsementKey).code(), "certs.refused.untrusted-issuer");
    for purpose in [Purpose::TlsClient, Purpose::DeviceIdentity, Purpose::CodeSigning] {
        assert_eq!(ask(purpose).code(), "certs.refused.purpose");
    }
    let AlternativeName::Directory(tpm) = &ek.alternative_names()[0] else { panic!() };
    assert!(tpm.to_string().contains("TCG-AT-TPMMANUFACTURER=id:474F4F47"), "{tpm}");
}
