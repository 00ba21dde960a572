//! Quotes, certifications and credentials, against tpm2-tools and OpenSSL.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod open;

use open::Open;
use std::sync::{Arc, Mutex};
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{
    Attested, Attesting, Credential, Element, Error, KeyAlgorithm, KeySpec, KeyUse, PcrSelection,
    PublicKey, Registers, Storage,
};
use touchstone_element_tpm2::Tpm;
use touchstone_peers::{Swtpm, tool};
use touchstone_tpm2::transport::Stream;
use touchstone_tpm2::{Public, Transport, TransportError, credential, name_of, signature};

const P256: KeyAlgorithm = KeyAlgorithm::P256;

fn boot_pcrs() -> PcrSelection {
    PcrSelection::new(HashAlgorithm::Sha256, &[0, 1, 2, 3, 4, 5, 6, 7, 10])
}

fn verify(attested: &Attested, by: &PublicKey) {
    let signature = signature::to_x509(&attested.signature, by.signature().unwrap()).unwrap();
    AwsLc.verify(by.signature().unwrap(), &by.spki_der, &attested.attest, &signature).unwrap();
    // TPM_GENERATED_VALUE (TPM 2.0 Part 2 §6.2): no message from outside can start like this.
    assert_eq!(attested.attest[..4], [0xFF, b'T', b'C', b'G']);
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn pem(spki: &[u8], swtpm: &Swtpm, name: &str) {
    let der = swtpm.write("spki.der", spki);
    let arguments = ["pkey", "-pubin", "-inform", "DER", "-in", &der, "-out", name];
    tool("openssl", swtpm.dir.path(), &arguments);
}

#[test]
fn a_quote_is_what_tpm2_checkquote_accepts() {
    let swtpm = Swtpm::blank_tcp();
    let mut tpm = swtpm.open();
    let lak = tpm.create_key("lak", &KeySpec::new(KeyUse::Attest, P256)).unwrap();
    let event = AwsLc.hash(HashAlgorithm::Sha256, &[b"kernel"]);
    tpm.extend_pcr(4, &[event]).unwrap();
    let quote = tpm.quote("lak", &boot_pcrs(), b"nonce").unwrap();
    verify(&quote, &lak);
    assert!(contains(&quote.attest, b"nonce"));
    let values = tpm.read_pcrs(&boot_pcrs()).unwrap();
    let values: Vec<&[u8]> = values.iter().map(touchstone_crypto::Digest::as_bytes).collect();
    let digest = AwsLc.hash(HashAlgorithm::Sha256, &values);
    assert!(quote.attest.ends_with(digest.as_bytes()));

    pem(&lak.spki_der, &swtpm, "lak.pem");
    let message = swtpm.write("quote.msg", &quote.attest);
    let signed = swtpm.write("quote.sig", &quote.signature);
    let nonce = "6e6f6e6365";
    let check = ["-u", "lak.pem", "-m", &message, "-s", &signed, "-g", "sha256", "-q", nonce];
    tool("tpm2_checkquote", swtpm.dir.path(), &check);
}

#[test]
fn a_quote_needs_an_attestation_key_sane_pcrs_and_a_short_nonce() {
    let swtpm = Swtpm::blank_tcp();
    let mut tpm = swtpm.open();
    tpm.create_key("lak", &KeySpec::new(KeyUse::Attest, P256)).unwrap();
    assert!(matches!(tpm.quote("none", &boot_pcrs(), b""), Err(Error::UnknownKey(_))));
    assert!(matches!(tpm.quote("lak", &boot_pcrs(), &[0; 65]), Err(Error::BadInput(_))));
    let none = PcrSelection::new(HashAlgorithm::Sha256, &[]);
    assert!(matches!(tpm.quote("lak", &none, b""), Err(Error::BadInput(_))));
    drop(tpm);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn what_a_killed_predecessor_left_loaded_does_not_stand_in_the_way() {
    let swtpm = Swtpm::blank_tcp();
    for _ in 0..3 {
        swtpm.tool(&["tpm2_createprimary", "-G", "ecc", "-Q"]);
    }
    swtpm.tool(&["tpm2_startauthsession", "-S", "session.ctx"]);
    assert!(!swtpm.tool(&["tpm2_getcap", "handles-transient"]).is_empty());
    let mut tpm = swtpm.open();
    tpm.create_key("lak", &KeySpec::new(KeyUse::Attest, P256)).unwrap();
    tpm.create_key("ldevid", &KeySpec::new(KeyUse::Sign, P256)).unwrap();
    tpm.certify("ldevid", "lak", b"").unwrap();
    drop(tpm);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn a_certified_key_is_named_in_the_statement() {
    let swtpm = Swtpm::blank_tcp();
    let mut tpm = swtpm.open();
    let lak = tpm.create_key("lak", &KeySpec::new(KeyUse::Attest, P256)).unwrap();
    let ldevid = tpm.create_key("ldevid", &KeySpec::new(KeyUse::Sign, P256)).unwrap();
    let certified = tpm.certify("ldevid", "lak", b"request").unwrap();
    verify(&certified, &lak);
    assert!(contains(&certified.attest, &name_of(&AwsLc, &ldevid.native).unwrap()));
    assert!(!contains(&certified.attest, &name_of(&AwsLc, &lak.native).unwrap()));
    assert!(contains(&certified.attest, b"request"));
}

#[test]
fn the_endorsement_key_comes_with_the_certificate_of_its_maker() {
    let swtpm = Swtpm::manufactured();
    let endorsement = swtpm.open().endorsement().unwrap();
    assert_eq!(endorsement.certificates.len(), 1);
    let certificate = swtpm.write("ek.der", &endorsement.certificates[0]);
    let arguments =
        ["x509", "-inform", "DER", "-in", &certificate, "-noout", "-pubkey", "-out", "ek.pem"];
    tool("openssl", swtpm.dir.path(), &arguments);
    let public = Public::decode(&endorsement.native_public);
    pem(&public.unwrap().spki_der().unwrap(), &swtpm, "ours.pem");
    assert_eq!(swtpm.read("ek.pem"), swtpm.read("ours.pem"));
    let chain = ["verify", "-CAfile", "swtpm-localca-rootca-cert.pem", "-untrusted"];
    let chain = [&chain[..], &["issuercert.pem", "-ignore_critical", "ek.der"]].concat();
    tool("openssl", swtpm.dir.path(), &chain);
}

#[test]
fn a_tpm_without_certificates_still_has_an_endorsement_key() {
    let swtpm = Swtpm::blank_tcp();
    let endorsement = swtpm.open().endorsement().unwrap();
    assert_eq!(endorsement.certificates, Vec::<Vec<u8>>::new());
    swtpm.tool(&["tpm2_createek", "-c", "ek.ctx", "-G", "rsa", "-u", "ek.pub", "-f", "tss"]);
    assert_eq!(swtpm.read("ek.pub")[2..], endorsement.native_public);
}

fn make(
    ek: &[u8],
    name: &[u8],
    secret: &[u8],
    crypto: AwsLc,
) -> Result<Credential, touchstone_tpm2::Error> {
    let touchstone_tpm2::Credential { blob, secret } = credential::make(ek, name, secret, &crypto)?;
    Ok(Credential { blob, secret })
}

/// A credential for the key `lak` of this TPM, opened by this TPM.
fn round_trip(tpm: &mut Tpm) {
    let lak = tpm.create_key("lak", &KeySpec::new(KeyUse::Attest, P256)).unwrap();
    let other = tpm.create_key("other", &KeySpec::new(KeyUse::Attest, P256)).unwrap();
    let ek = tpm.endorsement().unwrap().native_public;
    let name = name_of(&AwsLc, &lak.native).unwrap();
    for len in [1, 32] {
        let secret = vec![7; len];
        let credential = make(&ek, &name, &secret, AwsLc).unwrap();
        assert_eq!(tpm.activate("lak", &credential).unwrap().expose(), secret);
        assert!(tpm.activate("other", &credential).is_err());
        let mut bad = credential.clone();
        bad.blob[5] ^= 1;
        match tpm.activate("lak", &bad) {
            Err(Error::Foreign) => {}
            result => panic!("{result:?}"),
        }
    }
    assert_ne!(lak, other);
}

#[test]
fn a_credential_opens_only_where_endorsement_and_attestation_key_live_together() {
    let swtpm = Swtpm::manufactured();
    let mut tpm = swtpm.open();
    round_trip(&mut tpm);
    drop(tpm);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn a_credential_for_an_elliptic_curve_endorsement_key_opens_too() {
    let swtpm = Swtpm::manufactured();
    swtpm.tool(&["tpm2_nvundefine", "-C", "p", "0x1c00002"]);
    let mut tpm = swtpm.open();
    assert_eq!(tpm.endorsement().unwrap().certificates.len(), 1);
    // TPM_ALG_ECC in front: the certificate left is the one of template H-3.
    assert_eq!(tpm.endorsement().unwrap().native_public[..2], [0x00, 0x23]);
    round_trip(&mut tpm);
    drop(tpm);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn a_credential_of_ours_is_opened_by_tpm2_activatecredential() {
    let swtpm = Swtpm::blank_tcp();
    let ek = swtpm.open().endorsement().unwrap().native_public;
    swtpm.tool(&["tpm2_createek", "-c", "ek.ctx", "-G", "rsa", "-u", "ek.pub"]);
    swtpm.tool(&["tpm2_createak", "-C", "ek.ctx", "-c", "ak.ctx", "-G", "ecc", "-n", "ak.name"]);
    swtpm.tool(&["tpm2_flushcontext", "-t"]);
    let made = make(&ek, &swtpm.read("ak.name"), b"our secret", AwsLc).unwrap();
    swtpm.write("credential", &tools_file(&made));
    swtpm.tool(&["tpm2_startauthsession", "--policy-session", "-S", "session.ctx"]);
    swtpm.tool(&["tpm2_policysecret", "-S", "session.ctx", "-c", "e"]);
    let activate = ["tpm2_activatecredential", "-c", "ak.ctx", "-C", "ek.ctx"];
    let activate = [&activate[..], &["-i", "credential", "-o", "secret"]].concat();
    swtpm.tool(&[&activate[..], &["-P", "session:session.ctx"]].concat());
    assert_eq!(swtpm.read("secret"), b"our secret");
}

#[test]
fn a_credential_of_tpm2_makecredential_is_opened_by_us() {
    let swtpm = Swtpm::blank_tcp();
    let mut tpm = swtpm.open();
    let lak = tpm.create_key("lak", &KeySpec::new(KeyUse::Attest, P256)).unwrap();
    let ek = tpm.endorsement().unwrap().native_public;
    let size = u16::try_from(ek.len()).unwrap().to_be_bytes();
    swtpm.write("ek.pub", &[&size, ek.as_slice()].concat());
    swtpm.write("secret", b"their secret");
    let show = |hex: String, octet: &u8| format!("{hex}{octet:02x}");
    let name = name_of(&AwsLc, &lak.native).unwrap().iter().fold(String::new(), show);
    let make = ["-T", "none", "-u", "ek.pub", "-s", "secret", "-n", &name, "-o", "credential"];
    tool("tpm2_makecredential", swtpm.dir.path(), &make);
    let credential = from_tools_file(&swtpm.read("credential"));
    assert_eq!(tpm.activate("lak", &credential).unwrap().expose(), b"their secret");
}

/// The file of tpm2-tools: a magic number, a version, then both parts with their sizes.
fn tools_file(credential: &Credential) -> Vec<u8> {
    let mut file = vec![0xBA, 0xDC, 0xC0, 0xDE, 0, 0, 0, 1];
    for part in [&credential.blob, &credential.secret] {
        file.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
        file.extend(part);
    }
    file
}

fn from_tools_file(file: &[u8]) -> Credential {
    let part = |at: usize| {
        let len = usize::from(u16::from_be_bytes([file[at], file[at + 1]]));
        file[at + 2..at + 2 + len].to_vec()
    };
    let blob = part(8);
    let secret = part(10 + blob.len());
    Credential { blob, secret }
}

/// Somebody between us and the TPM: listens, and from some moment on flips the bit at `flip`
/// counted from the end.
struct Interposer {
    stream: Stream<std::os::unix::net::UnixStream>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    octets: Vec<u8>,
    flip: Option<usize>,
}

impl Transport for Interposer {
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        let len = self.stream.transact(command, response)?;
        let mut seen = self.seen.lock().unwrap();
        seen.octets.extend([command, &response[..len]].concat());
        // Tag of a response with sessions, and not that of a policy: one with an HMAC at its end.
        if let Some(flip) = seen.flip
            && response[..2] == [0x80, 0x02]
            && len > 60
        {
            response[len - 1 - flip] ^= 1;
        }
        Ok(len)
    }

    fn pause(&mut self, millis: u32) {
        self.stream.pause(millis);
    }
}

fn interposed(swtpm: &Swtpm) -> (Tpm, Arc<Mutex<Seen>>) {
    let seen = Arc::<Mutex<Seen>>::default();
    let stream = Stream::unix(swtpm.socket()).unwrap();
    let transport = Interposer { stream, seen: Arc::clone(&seen) };
    let state = swtpm.dir.path().join("state");
    let at = "an interposer".to_owned();
    (Tpm::with_transport(Box::new(transport), at, &state).unwrap(), seen)
}

#[test]
fn who_listens_between_us_and_the_tpm_learns_no_secret() {
    let swtpm = Swtpm::blank();
    let (mut tpm, seen) = interposed(&swtpm);
    let lak = tpm.create_key("lak", &KeySpec::new(KeyUse::Attest, P256)).unwrap();
    let ek = tpm.endorsement().unwrap().native_public;
    let secret = b"a secret of thirty-two octets...";
    let credential = make(&ek, &name_of(&AwsLc, &lak.native).unwrap(), secret, AwsLc).unwrap();
    assert_eq!(tpm.activate("lak", &credential).unwrap().expose(), secret);
    tpm.store("value", secret).unwrap();
    assert_eq!(tpm.load("value").unwrap().unwrap(), secret);
    let mut random = [0; 32];
    tpm.random(&mut random).unwrap();
    let seen = &seen.lock().unwrap().octets;
    assert!(seen.len() > 2000);
    assert!(!contains(seen, secret) && !contains(seen, &random));
}

#[test]
fn who_changes_what_the_tpm_says_is_noticed() {
    let swtpm = Swtpm::blank();
    let (mut tpm, seen) = interposed(&swtpm);
    tpm.store("counter", b"7").unwrap();
    // In the HMAC, in the nonce, in the encrypted parameter.
    for flip in [0, 40, 100] {
        seen.lock().unwrap().flip = Some(flip);
        match tpm.load("counter") {
            Err(Error::Malformed(what)) => assert!(what.contains("HMAC"), "{what}"),
            other => panic!("{flip}: {other:?}"),
        }
        seen.lock().unwrap().flip = None;
        assert_eq!(tpm.load("counter").unwrap().unwrap(), b"7");
    }
}
