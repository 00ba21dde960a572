//! The laws of every element, on SoftHSM: as it is, and behind a process, where p11-kit's protocol
//! carries fewer mechanisms.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests fail loudly")]

use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{KeyAlgorithm, laws};
use touchstone_element_pkcs11::{Token, Uri};
use touchstone_peers::SoftHsm;

#[test]
fn softhsm_keeps_every_law() {
    SoftHsm::with("softhsm_keeps_every_law", |hsm| keeps_every_law(hsm, hsm.module()));
}

#[test]
fn a_token_behind_a_process_keeps_every_law() {
    SoftHsm::with("a_token_behind_a_process_keeps_every_law", |hsm| {
        let _served = hsm.serve();
        keeps_every_law(hsm, hsm.served_module());
    });
}

fn keeps_every_law(hsm: &SoftHsm, module: &str) {
    let generate = |algorithm: KeyAlgorithm| {
        let rsa = |bits: &str| ["RSA", "-pkeyopt", bits].map(str::to_owned).to_vec();
        let ec = |curve: &str| {
            ["EC", "-pkeyopt", curve, "-pkeyopt", "ec_param_enc:named_curve"]
                .map(str::to_owned)
                .to_vec()
        };
        let kind = match algorithm {
            KeyAlgorithm::Rsa2048 => rsa("rsa_keygen_bits:2048"),
            KeyAlgorithm::Rsa3072 => rsa("rsa_keygen_bits:3072"),
            KeyAlgorithm::Rsa4096 => rsa("rsa_keygen_bits:4096"),
            KeyAlgorithm::P256 => ec("ec_paramgen_curve:P-256"),
            KeyAlgorithm::P384 => ec("ec_paramgen_curve:P-384"),
            KeyAlgorithm::P521 => ec("ec_paramgen_curve:P-521"),
            KeyAlgorithm::Ed25519 => vec!["ED25519".to_owned()],
            other => panic!("{other} has no public part"),
        };
        let kind: Vec<&str> = kind.iter().map(String::as_str).collect();
        let make = ["genpkey", "-out", "outside.pem", "-algorithm"];
        hsm.tool("openssl", &[&make[..], &kind].concat());
        let from = ["-in", "outside.pem", "-outform", "DER", "-out"];
        let private = [&["pkcs8", "-topk8", "-nocrypt"], &from[..], &["outside.der"]];
        hsm.tool("openssl", &private.concat());
        let public = [&["pkey", "-pubout"], &from[..], &["outside.spki"]];
        hsm.tool("openssl", &public.concat());
        (hsm.read("outside.der"), hsm.read("outside.spki"))
    };
    let other = laws::Other::new(&AwsLc).generating(&generate);
    let uri: Uri = hsm.uri_by(module, "").parse().unwrap();
    laws::all(&mut || Box::new(Token::open(&uri, &AwsLc).unwrap()), &other);
}
