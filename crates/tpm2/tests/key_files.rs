//! TSS2 key files exchanged with tpm2-tools and with the OpenSSL provider of tpm2-openssl.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod rig;

use rig::{PARENT, Rig, SHA256, inside, parent, primary, verify};
use std::process::Command;
use touchstone_crypto::{Crypto, Curve, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::Swtpm;
use touchstone_tpm2::object::{NewObject, RsaEncryption, SigningScheme};
use touchstone_tpm2::pem::{KeyFile, KeyKind, PARENT_OWNER};
use touchstone_tpm2::template::{self, KeyPair};
use touchstone_tpm2::{Auth, AuthValue, Object, Public, Tpm};

/// OpenSSL with the TPM's provider beside its own.
fn openssl(swtpm: &Swtpm, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl")
        .current_dir(swtpm.dir.path())
        .env("TPM2OPENSSL_TCTI", swtpm.tcti())
        .args(arguments)
        .output()
        .expect("openssl is missing; run cargo xtask test, which installs it");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(
        !said.contains("unable to load provider tpm2"),
        "the package tpm2-openssl is missing; run cargo xtask test, which installs it: {said}"
    );
    (output.status.success(), said)
}

fn openssl_does(swtpm: &Swtpm, arguments: &[&str]) {
    let (done, said) = openssl(swtpm, arguments);
    assert!(done, "openssl {arguments:?}: {said}");
}

const PROVIDERS: [&str; 6] =
    ["-provider", "tpm2", "-provider", "default", "-propquery", "?provider=tpm2"];

/// A key of ours in a file `ours.pem`, beneath the parent that every tool derives by itself.
fn write_ours(swtpm: &Swtpm, rsa_parent: bool, template: Public, auth: &[u8]) -> Public {
    let mut tpm = swtpm.talk();
    let parent = primary(&mut tpm, template::key_file_parent(rsa_parent));
    let new = NewObject::new(template).auth(AuthValue::new(auth));
    let created = tpm.create(&parent, Auth::empty(), &new).unwrap();
    let public = Public::decode(&created.native).unwrap();
    let mut file = KeyFile::loadable(created.native, created.private);
    file.rsa_parent = rsa_parent;
    file.empty_auth = auth.is_empty();
    swtpm.write("ours.pem", file.to_pem().unwrap().as_bytes());
    public
}

/// Loads a key file beneath the parent that it names.
fn load(tpm: &mut Tpm, file: &KeyFile) -> Object {
    let parent = match file.parent {
        PARENT_OWNER => primary(tpm, template::key_file_parent(file.rsa_parent)),
        handle => tpm.read_public(handle).unwrap(),
    };
    tpm.load(&parent, Auth::empty(), &file.private, &file.public).unwrap()
}

fn read(swtpm: &Swtpm, name: &str) -> KeyFile {
    KeyFile::from_pem(&String::from_utf8(swtpm.read(name)).unwrap()).unwrap()
}

#[test]
fn a_key_of_ours_signs_through_the_openssl_provider() {
    let swtpm = Swtpm::blank_tcp();
    swtpm.write("message", b"message");
    let ecdsa = SignatureAlgorithm::EcdsaP256Sha256;
    for (pair, algorithm, options) in [
        (KeyPair::Ecc(Curve::P256), ecdsa, &[][..]),
        (KeyPair::Ecc(Curve::P384), SignatureAlgorithm::EcdsaP384Sha256, &[]),
        (KeyPair::Rsa(2048), SignatureAlgorithm::RsaPkcs1Sha256, &[]),
        (
            KeyPair::Rsa(2048),
            SignatureAlgorithm::RsaPssSha256,
            &["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"],
        ),
    ] {
        let template = template::signing(pair, SigningScheme::OfKey);
        let public = write_ours(&swtpm, false, template, b"");
        let sign = ["dgst", "-sha256", "-sign", "ours.pem", "-out", "signed"];
        openssl_does(&swtpm, &[&sign[..], &PROVIDERS, options, &["message"]].concat());
        let signed = swtpm.read("signed");
        let spki = public.spki_der().unwrap();
        AwsLc.verify(algorithm, &spki, b"message", &signed).unwrap();
    }
}

#[test]
fn a_key_of_ours_makes_a_certificate_request_through_the_openssl_provider() {
    let swtpm = Swtpm::blank_tcp();
    let template = template::signing(KeyPair::Ecc(Curve::P256), SigningScheme::OfKey);
    write_ours(&swtpm, false, template, b"");
    let request = ["-new", "-key", "ours.pem", "-subj", "/CN=gateway", "-out", "csr"];
    openssl_does(&swtpm, &[&["req"], &PROVIDERS[..], &request].concat());
    openssl_does(&swtpm, &["req", "-in", "csr", "-verify", "-noout"]);
}

#[test]
fn a_key_of_ours_decrypts_through_the_openssl_provider() {
    let swtpm = Swtpm::blank_tcp();
    let public = write_ours(&swtpm, false, template::decryption(2048, None), b"");
    swtpm.write("plain", b"secret");
    swtpm.write("public.der", &public.spki_der().unwrap());
    // RSAES-PKCS1-v1_5: the provider of tpm2-openssl 1.1 takes no other padding from pkeyutl.
    let encrypt = ["pkeyutl", "-encrypt", "-pubin", "-inkey", "public.der", "-keyform", "DER"];
    openssl_does(&swtpm, &[&encrypt[..], &["-in", "plain", "-out", "sent"]].concat());
    let decrypt = ["pkeyutl", "-decrypt", "-inkey", "ours.pem", "-in", "sent", "-out", "got"];
    openssl_does(&swtpm, &[&decrypt[..], &PROVIDERS].concat());
    assert_eq!(swtpm.read("got"), b"secret");
}

#[test]
fn a_key_with_a_value_asks_openssl_for_it() {
    let swtpm = Swtpm::blank_tcp();
    swtpm.write("message", b"message");
    let template = template::signing(KeyPair::Ecc(Curve::P256), SigningScheme::OfKey);
    let public = write_ours(&swtpm, false, template, b"pin");
    let sign = ["dgst", "-sha256", "-sign", "ours.pem", "-out", "signed"];
    let with = |pin| [&sign[..], &PROVIDERS, &["-passin", pin, "message"]].concat();
    assert!(!openssl(&swtpm, &with("pass:nip")).0);
    openssl_does(&swtpm, &with("pass:pin"));
    let spki = public.spki_der().unwrap();
    let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
    AwsLc.verify(algorithm, &spki, b"message", &swtpm.read("signed")).unwrap();
}

#[test]
fn a_key_of_the_openssl_provider_works_here() {
    let swtpm = Swtpm::blank_tcp();
    let digest = AwsLc.hash(SHA256, &[b"message"]);
    for (arguments, algorithm) in [
        (["-algorithm", "EC", "-pkeyopt", "group:P-256"], SignatureAlgorithm::EcdsaP256Sha256),
        (["-algorithm", "EC", "-pkeyopt", "group:P-384"], SignatureAlgorithm::EcdsaP384Sha256),
        (["-algorithm", "RSA", "-pkeyopt", "bits:2048"], SignatureAlgorithm::RsaPssSha256),
    ] {
        let make = ["genpkey", "-provider", "tpm2", "-out", "theirs.pem"];
        openssl_does(&swtpm, &[&make[..], &arguments].concat());
        let file = read(&swtpm, "theirs.pem");
        assert!(file.empty_auth && file.kind == KeyKind::Loadable);
        let mut tpm = swtpm.talk();
        let key = load(&mut tpm, &file);
        let scheme = SigningScheme::of(algorithm).unwrap();
        let signed = tpm.sign(&key, Auth::empty(), scheme, digest.as_bytes()).unwrap();
        verify(algorithm, &key.public, b"message", &signed);
    }
    // Its RSA keys decrypt, too.
    swtpm.write("plain", b"secret");
    openssl_does(
        &swtpm,
        &[&["pkey", "-in", "theirs.pem", "-pubout", "-out", "public.pem"][..], &PROVIDERS].concat(),
    );
    let encrypt = ["pkeyutl", "-encrypt", "-pubin", "-inkey", "public.pem", "-in", "plain"];
    let oaep = ["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256"];
    openssl_does(&swtpm, &[&encrypt[..], &["-out", "sent"], &oaep].concat());
    let mut tpm = swtpm.talk();
    let key = load(&mut tpm, &read(&swtpm, "theirs.pem"));
    let scheme = RsaEncryption::Oaep(SHA256);
    let got = tpm.rsa_decrypt(&key, Auth::empty(), scheme, &[], &swtpm.read("sent")).unwrap();
    assert_eq!(got[..], b"secret"[..]);
}

#[test]
fn a_key_of_the_openssl_provider_keeps_its_value_and_its_parent() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let make = ["genpkey", "-provider", "tpm2", "-algorithm", "EC", "-out", "theirs.pem"];
    let options = ["-pkeyopt", "group:P-256", "-pkeyopt", "user-auth:pin"];
    openssl_does(&swtpm, &[&make[..], &options, &["-pkeyopt", "parent:0x81000001"]].concat());
    let file = read(&swtpm, "theirs.pem");
    assert!(!file.empty_auth);
    assert_eq!(file.parent, 0x8100_0001);
    let mut tpm = swtpm.talk();
    let key = load(&mut tpm, &file);
    let digest = AwsLc.hash(SHA256, &[b"message"]);
    let scheme = SigningScheme::Ecdsa(SHA256);
    assert!(tpm.sign(&key, Auth::value(b"nip"), scheme, digest.as_bytes()).is_err());
    let signed = tpm.sign(&key, Auth::value(b"pin"), scheme, digest.as_bytes()).unwrap();
    verify(SignatureAlgorithm::EcdsaP256Sha256, &key.public, b"message", &signed);
}

#[test]
fn a_key_of_tpm2_encodeobject_works_here_and_in_openssl() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let files = ["-u", "theirs.pub", "-r", "theirs.priv"];
    let create = ["tpm2_create", "-C", PARENT, "-G", "ecc256", "-Q"];
    swtpm.peer(&[&create[..], &files].concat());
    let encode = ["tpm2_encodeobject", "-C", PARENT, "-o", "theirs.pem"];
    swtpm.peer(&[&encode[..], &files].concat());
    let file = read(&swtpm, "theirs.pem");
    assert_eq!(file.parent, 0x8100_0001);
    assert_eq!(file.public, inside(&swtpm.read("theirs.pub")));
    assert_eq!(file.private, inside(&swtpm.read("theirs.priv")));
    let mut tpm = swtpm.talk();
    let key = load(&mut tpm, &file);
    let digest = AwsLc.hash(SHA256, &[b"message"]);
    let scheme = SigningScheme::Ecdsa(SHA256);
    let signed = tpm.sign(&key, Auth::empty(), scheme, digest.as_bytes()).unwrap();
    verify(SignatureAlgorithm::EcdsaP256Sha256, &key.public, b"message", &signed);
}

#[test]
fn a_key_of_ours_is_loaded_by_the_tools_from_its_file() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    let home = parent(&mut tpm);
    let template = template::signing(KeyPair::Ecc(Curve::P256), SigningScheme::OfKey);
    let created = tpm.create(&home, Auth::empty(), &NewObject::new(template)).unwrap();
    drop(tpm);
    let public = Public::decode(&created.native).unwrap();
    let mut file = KeyFile::loadable(created.native.clone(), created.private.clone());
    file.parent = 0x8100_0001;
    swtpm.write("ours.pem", file.to_pem().unwrap().as_bytes());
    swtpm.write("message", b"message");
    // The parent is the one that the file names.
    swtpm.peer(&["tpm2_load", "-r", "ours.pem", "-c", "ours.ctx"]);
    let sign = ["tpm2_sign", "-c", "ours.ctx", "-g", "sha256", "-s", "ecdsa", "-o", "signed"];
    swtpm.peer(&[&sign[..], &["message"]].concat());
    let signed = swtpm.read("signed");
    verify(SignatureAlgorithm::EcdsaP256Sha256, &public, b"message", &signed);
}
