//! Quotes that a TPM made, of a machine whose logs are at hand.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail loudly"
)]

use touchstone_crypto::{Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::Error;
use touchstone_evidence::tpm::{Attested, LakPublic, PublicArea, Signature, verify_attest};
use touchstone_measure::{ima, tcg::EventLog};
use touchstone_peers::corpus;

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
    let certificate = touchstone_certs::Certificate::decode(&certificate).unwrap();
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
