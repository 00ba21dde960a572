//! Certificates of the world: TPM vendors' endorsement chains.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::path::Path;
use touchstone_certs::{AlternativeName, Certificate, Error, Purpose, TrustStore};
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
