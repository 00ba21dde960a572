//! x509-limbo: every case with its verdict, and rustls-webpki's beside ours.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde::Deserialize;
use std::process::Command;
use touchstone_certs::{
    AlternativeName, Certificate, Crl, Error, PathInputs, Purpose, Revocation, TrustStore,
};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::corpus;

#[derive(Deserialize)]
struct Limbo {
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    validation_kind: String,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    validation_time: Option<String>,
    expected_result: String,
    expected_peer_name: Option<PeerName>,
    expected_peer_names: Vec<PeerName>,
    max_chain_depth: Option<usize>,
    crls: Vec<String>,
}

#[derive(Deserialize)]
struct PeerName {
    kind: String,
    value: String,
}

impl PeerName {
    fn wanted(&self) -> AlternativeName {
        match self.kind.as_str() {
            "DNS" => AlternativeName::Dns(self.value.clone()),
            "IP" => AlternativeName::Ip(self.value.parse().unwrap()),
            "RFC822" => AlternativeName::Email(self.value.clone()),
            other => panic!("{other}"),
        }
    }
}

impl Case {
    fn at(&self) -> u64 {
        self.validation_time.as_deref().map_or(1_785_000_000, unix)
    }

    /// `Err` is the code of the first thing that is wrong.
    fn run(&self) -> Result<(), &'static str> {
        let code = |error: Error| error.code();
        let one = |pem: &String| Certificate::from_pem(pem.as_bytes());
        let leaf = one(&self.peer_certificate).map_err(code)?.remove(0);
        let mut anchors = TrustStore::default();
        for pem in &self.trusted_certs {
            one(pem).map_err(code)?.into_iter().for_each(|anchor| anchors.add(anchor));
        }
        let mut others = Vec::new();
        for pem in &self.untrusted_intermediates {
            // A stranger that does not parse is left out, as a TLS stack does.
            others.extend(one(pem).unwrap_or_default());
        }
        let purpose =
            if self.validation_kind == "CLIENT" { Purpose::TlsClient } else { Purpose::TlsServer };
        let mut inputs = PathInputs::new(self.at(), purpose);
        if let Some(depth) = self.max_chain_depth {
            inputs = inputs.with_most_intermediates(depth);
        }
        let mut crls = Vec::new();
        for pem in &self.crls {
            crls.extend(Crl::from_pem(pem.as_bytes()).map_err(code)?);
        }
        if !self.crls.is_empty() {
            let revocation = Revocation { crls: &crls, ..Revocation::default() };
            inputs = inputs.with_revocation(revocation);
        }
        let chain = anchors.validate_with(&AwsLc, &leaf, &others, &inputs).map_err(code)?;
        let wanted = self.expected_peer_name.iter().chain(&self.expected_peer_names);
        for name in wanted {
            if !chain.leaf().is_for(&name.wanted()) {
                return Err("another name");
            }
        }
        Ok(())
    }
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

fn cases() -> Option<Vec<Case>> {
    let path = corpus("pki/x509-limbo/limbo.json.gz")?;
    let out = Command::new("gzip").arg("-dc").arg(path).output().unwrap();
    Some(serde_json::from_slice::<Limbo>(&out.stdout).unwrap().testcases)
}

/// Cases that are decided otherwise here: what we say, and why. One that changes its mind, and a new
/// one, fail the test.
const OTHERWISE: &[(&str, &str, &str)] = &[
    ("rfc5280::aki::leaf-missing-aki", "valid", HINT),
    ("rfc5280::aki::intermediate-missing-aki", "valid", HINT),
    ("rfc5280::aki::cross-signed-root-missing-aki", "valid", HINT),
    ("rfc5280::ski::root-missing-ski", "valid", HINT),
    ("rfc5280::ski::intermediate-missing-ski", "valid", HINT),
    ("webpki::aki::root-with-aki-missing-keyidentifier", "valid", HINT),
    ("webpki::aki::root-with-aki-authoritycertissuer", "valid", HINT),
    ("webpki::aki::root-with-aki-authoritycertserialnumber", "valid", HINT),
    ("webpki::aki::root-with-aki-all-fields", "valid", HINT),
    ("webpki::aki::root-with-aki-ski-mismatch", "valid", HINT),
    ("rfc5280::nc::permitted-dns-match-noncritical", "valid", NON_CRITICAL),
    ("rfc5280::pc::ica-noncritical-pc", "valid", NON_CRITICAL),
    ("rfc5280::root-non-critical-basic-constraints", "valid", NON_CRITICAL),
    ("rfc5280::serial::zero", "valid", SERIAL),
    ("pathlen::validation-ignores-pathlen-in-leaf", "certs.refused.purpose", CA),
    ("rfc5280::ca-as-leaf", "certs.refused.purpose", CA),
    ("webpki::cn::ipv4-hex-mismatch", "valid", COMMON_NAME),
    ("webpki::cn::ipv4-leading-zeros-mismatch", "valid", COMMON_NAME),
    ("webpki::cn::ipv6-uppercase-mismatch", "valid", COMMON_NAME),
    ("webpki::cn::ipv6-uncompressed-mismatch", "valid", COMMON_NAME),
    ("webpki::cn::ipv6-non-rfc5952-mismatch", "valid", COMMON_NAME),
    ("webpki::cn::punycode-not-in-san", "valid", COMMON_NAME),
    ("webpki::cn::utf8-vs-punycode-mismatch", "valid", COMMON_NAME),
    ("webpki::cn::not-in-san", "valid", COMMON_NAME),
    ("webpki::cn::case-mismatch", "valid", COMMON_NAME),
    ("webpki::eku::ee-anyeku", "valid", BROWSERS),
    ("webpki::eku::ee-critical-eku", "valid", BROWSERS),
    ("webpki::eku::ee-without-eku", "valid", BROWSERS),
    ("webpki::eku::root-has-eku", "valid", BROWSERS),
    ("webpki::san::public-suffix-multi-label-wildcard-san", "valid", SUFFIX),
    ("webpki::san::public-suffix-private-namespace-wildcard-san", "valid", SUFFIX),
    ("webpki::san::san-critical-with-nonempty-subject", "valid", BROWSERS),
    ("webpki::malformed-aia", "valid", AIA),
    ("webpki::forbidden-rsa-not-divisible-by-8-in-root", "valid", BROWSERS),
    ("webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf", "valid", BROWSERS),
];

const HINT: &str = "key identifiers help to find an issuer and prove nothing";
const NON_CRITICAL: &str = "it is obeyed whether critical or not; PKITS has such paths as valid";
const SERIAL: &str = "zero identifies as well as another number; PKITS has a negative one as valid";
const CA: &str = "a CA is no server: its key has another purpose";
const COMMON_NAME: &str = "a common name is no host name here, and is not compared with one";
const BROWSERS: &str = "the browsers' profile asks for it, RFC 5280 does not";
const SUFFIX: &str = "a device has no list of public suffixes";
const AIA: &str =
    "it helps to find an issuer and proves nothing; the case is the browsers' profile";

#[test]
fn every_case_of_x509_limbo_has_its_verdict() {
    let Some(cases) = cases() else { return };
    let mut otherwise = Vec::new();
    for case in &cases {
        let said = case.run();
        if said.is_ok() != (case.expected_result == "SUCCESS") {
            otherwise.push((case.id.as_str(), said.err().unwrap_or("valid")));
        }
    }
    let known: Vec<_> = OTHERWISE.iter().map(|(id, said, _)| (*id, *said)).collect();
    let new: Vec<_> = otherwise.iter().filter(|case| !known.contains(case)).collect();
    let gone: Vec<_> = known.iter().filter(|case| !otherwise.contains(case)).collect();
    assert!(new.is_empty() && gone.is_empty(), "new: {new:#?}\ngone: {gone:#?}");
    assert_eq!(cases.len(), 9780);
}

/// What rustls-webpki says of a TLS server's case; `None` for the questions that it is not asked:
/// clients, CRLs, depths, and names that it has no opinion on.
fn second_opinion(case: &Case) -> Option<Result<(), webpki::Error>> {
    let der = |pem: &String| {
        let one = Certificate::from_pem(pem.as_bytes()).ok()?;
        one.first().map(|one| CertificateDer::from(one.der().to_vec()))
    };
    let plain = case.validation_kind == "SERVER"
        && case.crls.is_empty()
        && case.max_chain_depth.is_none()
        && case.expected_peer_names.is_empty();
    if !plain {
        return None;
    }
    let name = match &case.expected_peer_name {
        Some(name) => Some(ServerName::try_from(name.value.clone()).ok()?),
        None => None,
    };
    let trusted: Vec<_> = case.trusted_certs.iter().map(der).collect::<Option<_>>()?;
    let others: Vec<_> = case.untrusted_intermediates.iter().filter_map(der).collect();
    let leaf = der(&case.peer_certificate)?;
    Some((|| {
        let anchors: Vec<_> = trusted
            .iter()
            .map(|one| webpki::anchor_from_trusted_cert(one).map(|anchor| anchor.to_owned()))
            .collect::<Result<_, _>>()?;
        let leaf = webpki::EndEntityCert::try_from(&leaf)?;
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(case.at()));
        let (algorithms, usage) = (webpki::ALL_VERIFICATION_ALGS, webpki::KeyUsage::server_auth());
        leaf.verify_for_usage(algorithms, &anchors, &others, at, usage, None, None)?;
        name.map_or(Ok(()), |name| leaf.verify_is_valid_for_subject_name(&name))
    })())
}

/// Where rustls-webpki accepts and we refuse, x509-limbo has to be on our side.
#[test]
fn what_rustls_webpki_accepts_and_we_refuse_is_invalid() {
    let Some(cases) = cases() else { return };
    let (mut agreed, mut asked, mut alone) = (0, 0, Vec::new());
    for case in &cases {
        let Some(theirs) = second_opinion(case) else { continue };
        let ours = case.run();
        asked += 1;
        agreed += usize::from(ours.is_ok() == theirs.is_ok());
        if ours.is_err() && theirs.is_ok() && case.expected_result == "SUCCESS" {
            alone.push((case.id.as_str(), ours));
        }
    }
    assert!(alone.is_empty(), "{alone:#?}");
    assert!(agreed * 100 > asked * 90, "{agreed} of {asked}");
    assert!(asked > 9_000, "{asked}");
}
