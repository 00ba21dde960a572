//! Timestamps, with `openssl ts` as the authority, and captured ones.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::path::Path;
use tempfile::TempDir;
use touchstone_certs::Certificate;
use touchstone_cms::{Error, Refusal, Timestamp, TimestampRequest, TimestampToken};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, Verified};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::{corpus, openssl};

const CONFIG: &str = "\
[tsa]\ndefault_tsa = here\n[here]\nserial = serial\ndefault_policy = 1.2.3.4\n\
digests = sha256, sha384, sha512\nsigner_digest = sha256\ness_cert_id_alg = sha256\n\
[req]\ndistinguished_name = dn\n[dn]\n\
[good]\nextendedKeyUsage = critical, timeStamping\n\
[lax]\nextendedKeyUsage = timeStamping\n";

/// An authority of OpenSSL's, with the extensions of that section.
fn authority() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("config", CONFIG);
    write("serial", "01\n");
    run(
        dir.path(),
        "req -x509 -config config -extensions good -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
         -nodes -subj /CN=tsa -keyout tsa.key -out tsa.pem -days 100",
    );
    // `openssl ts` does not sign for a certificate that is not critical, so that one is put in after.
    run(
        dir.path(),
        "req -x509 -config config -extensions lax -key tsa.key -subj /CN=tsa -out lax.pem -days 100",
    );
    dir
}

fn run(dir: &Path, line: &str) -> String {
    openssl(dir, &line.split_whitespace().collect::<Vec<_>>())
}

fn answer(dir: &Path, request: &TimestampRequest, extra: &str) -> Vec<u8> {
    std::fs::write(dir.join("query"), request.encode().unwrap()).unwrap();
    run(
        dir,
        &format!(
            "ts -reply -config config -queryfile query -signer tsa.pem -inkey tsa.key -out reply \
             {extra}"
        ),
    );
    std::fs::read(dir.join("reply")).unwrap()
}

fn digest(hash: HashAlgorithm) -> Digest {
    AwsLc.hash(hash, &[b"content"])
}

fn code(said: Result<Verified<Timestamp>, Error>) -> &'static str {
    said.map_or_else(|error| error.code(), |_| "accepted")
}

#[test]
fn openssl_stamps_what_we_ask_and_every_wrong_answer_is_told() {
    let dir = authority();
    let dir = dir.path();
    let tsa =
        Certificate::from_pem(&std::fs::read(dir.join("tsa.pem")).unwrap()).unwrap().remove(0);
    for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
        let request = TimestampRequest::new(&AwsLc, digest(hash)).unwrap();
        let said = run_text(dir, &request);
        assert!(said.contains(&format!("Hash Algorithm: {hash}")), "{said}");
        let reply = answer(dir, &request, "");
        let stamp = request.verify(&AwsLc, &reply, &[]).unwrap();
        assert_eq!((stamp.policy.as_str(), &stamp.authority), ("1.2.3.4", &tsa));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert!(now.as_secs().abs_diff(stamp.time) < 60);

        // The answer to another request, about other content, with a bit flipped.
        let other = TimestampRequest::new(&AwsLc, digest(hash)).unwrap();
        assert_eq!(code(other.verify(&AwsLc, &reply, &[])), "cms.refused.timestamp-mismatch");
        let mut flips = Vec::new();
        for index in 0..reply.len() {
            let mut bad = reply.clone();
            bad[index] ^= 1;
            if let Ok(seen) = request.verify(&AwsLc, &bad, &[]) {
                assert_eq!((seen.time, &seen.policy), (stamp.time, &stamp.policy), "{index}");
                flips.push(index);
            }
        }
        // A version number, a status that is as good.
        assert!(flips.len() < 8, "{flips:?}");
    }
    assert!(TimestampRequest::new(&AwsLc, digest(HashAlgorithm::Sha1)).is_err());
    let request = TimestampRequest::new(&AwsLc, digest(HashAlgorithm::Sha256)).unwrap();
    let refused = [0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x02];
    assert_eq!(code(request.verify(&AwsLc, &refused, &[])), "cms.refused.timestamp-rejected");
    assert_eq!(code(request.verify(&AwsLc, &[], &[])), "cms.malformed.cut-off");
}

fn run_text(dir: &Path, request: &TimestampRequest) -> String {
    std::fs::write(dir.join("query"), request.encode().unwrap()).unwrap();
    run(dir, "ts -query -in query -text")
}

#[test]
fn a_certificate_for_more_than_timestamps_stamps_nothing() {
    let dir = authority();
    let dir = dir.path();
    let request = TimestampRequest::new(&AwsLc, digest(HashAlgorithm::Sha256)).unwrap();
    answer(dir, &request, "-token_out");
    // A token is a signed envelope, so anybody may sign one; only its signer's certificate says that
    // it is an authority.
    let token = std::fs::read(dir.join("reply")).unwrap();
    let decoded = TimestampToken::decode(&token).unwrap();
    assert_eq!(*decoded.unverified_digest(), digest(HashAlgorithm::Sha256));
    assert_eq!(code(decoded.verify(&AwsLc, &digest(HashAlgorithm::Sha256), &[])), "accepted");
    run(dir, "cms -verify -binary -inform DER -in reply -noverify -out info");
    for (cert, key_id) in [("lax.pem", ""), ("tsa.pem", "")] {
        run(
            dir,
            &format!(
                "cms -sign -binary -nodetach -econtent_type 1.2.840.113549.1.9.16.1.4 -outform DER \
                 -in info -signer {cert} -inkey tsa.key -out forged {key_id}"
            ),
        );
        let forged = TimestampToken::decode(&std::fs::read(dir.join("forged")).unwrap()).unwrap();
        let said = forged.verify(&AwsLc, &digest(HashAlgorithm::Sha256), &[]);
        // Without the attribute that names the signer's certificate.
        assert_eq!(said.unwrap_err(), Refusal::NotATimestamper.into(), "{cert}");
    }
}

#[test]
fn a_captured_timestamp_is_believed_about_its_data_only() {
    let Some(dir) = corpus("pki/captured/tsp") else { return };
    let response = std::fs::read(dir.join("r.tsr")).unwrap();
    // The token follows the status: SEQUENCE { SEQUENCE { INTEGER 0 }, token }.
    let token = TimestampToken::decode(&response[9..]).unwrap();
    let data = std::fs::read(dir.join("stamped-data.bin")).unwrap();
    let stamp = token.clone().verify(&AwsLc, &AwsLc.hash(HashAlgorithm::Sha256, &[&data]), &[]);
    let stamp = stamp.unwrap();
    assert_eq!((stamp.time, stamp.serial.as_slice()), (1_795_414_759, &[2][..]));
    assert_eq!(stamp.authority.subject(), "CN=tsa");
    let other = AwsLc.hash(HashAlgorithm::Sha256, &[b"other"]);
    assert_eq!(code(token.verify(&AwsLc, &other, &[])), "cms.refused.timestamp-mismatch");
}
