//! Quotes that a TPM made, of a machine whose logs are at hand.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail loudly"
)]

mod attester;

use attester::{Attester, challenge};
use touchstone_certs::{Certificate, Purpose, TrustStore};
use touchstone_crypto::{Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::tpm::{Attested, LakPublic, PublicArea, Signature, verify_attest};
use touchstone_evidence::{Error, Evidence, claims};
use touchstone_measure::{ima, tcg::EventLog};
use touchstone_peers::{corpus, files};

/// The structure inside a TPM2B.
fn inner(bytes: &[u8]) -> &[u8] {
    let len = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    assert_eq!(bytes.len(), len + 2);
    &bytes[2..]
}

#[test]
fn rsa_and_ecc_quotes_of_a_tpm_verify_and_the_logs_lead_to_them() {
    let Some(folder) = corpus("lab/tcb-secboot") else { return };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let log = EventLog::decode(&read("binary_bios_measurements")).unwrap();
    let list = ima::Log::decode(&read("binary_runtime_measurements")).unwrap();
    for key in ["ak", "akecc"] {
        let public = read(&format!("{key}.pub"));
        let lak = LakPublic::from_native(inner(&public)).unwrap();
        assert_eq!(lak.name(&AwsLc).unwrap(), read(&format!("{key}.name")), "{key}");
        let (message, signature) =
            (read(&format!("{key}.quote.msg")), read(&format!("{key}.quote.sig")));
        let attest = verify_attest(&AwsLc, &message, &signature, &lak).unwrap();
        let Attested::Quote { selections, pcr_digest } = attest.attested else {
            panic!("{key}: not a quote")
        };
        assert_eq!(selections.len(), 1);
        let quoted =
            Digest::new(Signature::decode(&signature).unwrap().hash().unwrap(), &pcr_digest);
        let mut pcrs = log.replay(&AwsLc, HashAlgorithm::Sha256);
        let prefix = list
            .prefix(&AwsLc, HashAlgorithm::Sha256, |value| {
                pcrs.set(ima::PCR, *value);
                pcrs.composite(&AwsLc, HashAlgorithm::Sha256, &selections[0].pcrs) == quoted
            })
            .unwrap();
        assert_eq!(prefix.quoted + prefix.left_over, list.len());

        let mut forged = message.clone();
        forged[50] ^= 1;
        let refused = verify_attest(&AwsLc, &forged, &signature, &lak).unwrap_err();
        assert!(matches!(refused, Error::Signature(_)), "{refused}");
    }
}

#[test]
fn endorsement_keys_match_their_certificates() {
    let Some(folder) = corpus("lab/tcb-secboot") else { return };
    let public = std::fs::read(folder.join("ek.pub")).unwrap();
    let ek = PublicArea::decode(inner(&public)).unwrap();
    assert!(ek.attributes.decrypts() && ek.attributes.is_restricted() && ek.attributes.is_bound());
    let certificate = std::fs::read(folder.join("ekcert_rsa.der")).unwrap();
    let certificate = Certificate::decode(&certificate).unwrap();
    assert_eq!(certificate.spki_der(), ek.spki_der);
    let refused = LakPublic::from_native(inner(&public)).unwrap_err();
    assert_eq!(refused, Error::KeyAttributes("a signing key"));
}

#[test]
fn what_an_agent_of_another_project_sends_is_read() {
    use base64ct::{Base64, Encoding};
    let Some(folder) = corpus("tpm-quote/rust-keylime") else { return };
    let text = std::fs::read_to_string(folder.join("test-quote.txt")).unwrap();
    let mut parts = text.trim().strip_prefix('r').unwrap().split(':');
    let mut next = || Base64::decode_vec(parts.next().unwrap()).unwrap();
    let (attest, signature, pcrs) = (next(), next(), next());
    let attest = touchstone_evidence::tpm::Attest::decode(&attest).unwrap();
    assert!(matches!(attest.attested, Attested::Quote { .. }));
    // Signed with SHA-1 over the SHA-1 bank, so without its key there is nothing more to see.
    assert_eq!(Signature::decode(&signature).unwrap().hash(), Some(HashAlgorithm::Sha1));
    touchstone_evidence::tpm2_tools::PcrFile::decode(&pcrs).unwrap();
}

/// Logs of machines with and without shim: what it measured is read, and nothing of it contradicts.
#[test]
fn what_shims_measured_is_read_from_every_log() {
    let Some(folder) = corpus("eventlog") else { return };
    let mut found = Vec::new();
    let (mut logs, mut revoking) = (0, 0);
    for path in files(&folder) {
        let octets = std::fs::read(&path).unwrap();
        let Ok(log) = EventLog::decode(&octets) else { continue };
        if !log.algorithms().contains(&HashAlgorithm::Sha256) {
            continue;
        }
        let attester = Attester { event_log: octets, ..Attester::of_the_rig() };
        let challenge = challenge();
        let evidence = Evidence::decode(&attester.evidence(&challenge)).unwrap();
        let Ok(evidence) = evidence.verify(&AwsLc, &attester.lak(), &challenge) else { continue };
        let boot = claims(&AwsLc, &evidence).unwrap().boot.unwrap();
        logs += 1;
        for contradiction in &boot.contradictions {
            let of_form = ["its variable does not parse", "its variable was measured before"];
            assert!(
                !of_form.contains(&contradiction.what),
                "{}: {contradiction:?}",
                path.display()
            );
        }
        revoking += usize::from(boot.revoked(&AwsLc).is_some_and(|revoked| !revoked.is_empty()));
        if let Some(level) = &boot.sbat_level {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            found.push((name, level.value.date, boot.shim_authorities.len()));
        }
        assert!(boot.shim_variables.iter().all(|variable| variable.name.starts_with("Mok")));
    }
    eprintln!("{logs} logs, {revoking} of them with revocations; SBAT levels: {found:?}");
    assert!(logs >= 20 && revoking >= 10 && found.len() >= 5, "{logs} {revoking} {found:?}");
    assert!(found.iter().any(|(.., authorities)| *authorities > 0), "{found:?}");
}

/// What is said of every certificate of the corpus, were it shown as an endorsement key's.
#[test]
fn every_certificate_of_the_corpus_is_judged_as_an_endorsement_keys() {
    let Some(folder) = corpus("ekcert") else { return };
    let certificates = |path: &std::path::Path| {
        let octets = std::fs::read(path).unwrap();
        Certificate::from_pem(&octets)
            .ok()
            .filter(|found| !found.is_empty())
            .or_else(|| Certificate::decode(&octets).ok().map(|one| vec![one]))
            .unwrap_or_default()
    };
    let all: Vec<Certificate> = files(&folder).iter().flat_map(|path| certificates(path)).collect();
    let roots = all.iter().filter(|one| one.issuer() == one.subject()).cloned();
    let makers = TrustStore::new(roots.collect());
    let verdict = |leaf: &Certificate, at: u64| {
        let verdict = makers.validate(&AwsLc, leaf, &all, at, Purpose::EndorsementKey);
        verdict.map_or_else(|error| error.code(), |_| "valid")
    };
    // Of Google's clouds neither issuers nor roots are in the corpus; what each key is for is seen
    // before that.
    for (name, wanted) in [
        ("uca_tpm_rsa_enc_cert.pem", "certs.refused.untrusted-issuer"),
        ("uca_tpm_ecc_enc_cert.pem", "certs.refused.untrusted-issuer"),
        // Endorsement keys by their extended usage, and by their usage keys that sign.
        ("uca_tpm_rsa_sign_cert.pem", "certs.refused.purpose"),
        ("uca_tpm_ecc_sign_cert.pem", "certs.refused.purpose"),
        // They do not say what they are for.
        ("pca_tpm_rsa_enc_cert.pem", "certs.refused.purpose"),
        ("pca_tpm_ecc_enc_cert.pem", "certs.refused.purpose"),
        ("pca_tpm_rsa_sign_cert.pem", "certs.refused.purpose"),
        ("pca_tpm_ecc_sign_cert.pem", "certs.refused.purpose"),
    ] {
        let leaf = &certificates(&folder.join("gce").join(name))[0];
        assert_eq!(verdict(leaf, leaf.not_before() + 60), wanted, "{name}");
    }
    // All others are authorities: none of them is taken for an endorsement key's, whoever signed it.
    let mut judged = 0;
    for leaf in all.iter().filter(|one| one.is_ca()) {
        let told = verdict(leaf, leaf.not_before() + 60);
        assert_eq!(told, "certs.refused.purpose", "{leaf:?}");
        judged += 1;
    }
    assert!(judged > 150, "only {judged}");
}

#[test]
fn the_labs_endorsement_key_leads_to_its_maker_and_to_no_other() {
    let Some(folder) = corpus("lab") else { return };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let leaf = Certificate::decode(&read("tcb-secboot/ekcert_rsa.der")).unwrap();
    let issuer = Certificate::from_pem(&read("swtpm-issuer.pem")).unwrap();
    let root = Certificate::from_pem(&read("swtpm-rootca.pem")).unwrap();
    let at = leaf.not_before().max(issuer[0].not_before()).max(root[0].not_before()) + 60;
    let by = |anchors: Vec<Certificate>, at| {
        let makers = TrustStore::new(anchors);
        let verdict = makers.validate(&AwsLc, &leaf, &issuer, at, Purpose::EndorsementKey);
        verdict.map_or_else(|error| error.code(), |_| "valid")
    };
    assert_eq!(by(root.clone(), at), "valid");
    assert_eq!(by(root, 0), "certs.refused.not-yet-valid");
    let Some(makers) = corpus("ekcert/tpm-ca-bundle/MIRROR.tpm-ca-certificates.pem") else {
        return;
    };
    let makers = Certificate::from_pem(&std::fs::read(makers).unwrap()).unwrap();
    assert_eq!(by(makers, at), "certs.refused.untrusted-issuer");
}
