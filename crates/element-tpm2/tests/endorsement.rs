//! What a maker leaves in a TPM beside the endorsement key: the certificates above its own, a
//! template of its own and a nonce (TCG EK Credential Profile §2.2.1).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod open;

use open::Open;
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Attesting, Credential, Element, Error, KeyAlgorithm, KeySpec, KeyUse};
use touchstone_element_tpm2::Tpm;
use touchstone_peers::{Swtpm, openssl};
use touchstone_tpm2::template::{ENDORSEMENT, EndorsementKind};
use touchstone_tpm2::{Public, credential, name_of, policy};

/// As a maker does: readable by all, written by the platform.
fn leave(swtpm: &Swtpm, index: &str, octets: &[u8]) {
    let attributes = "ppwrite|ppread|ownerread|authread|no_da|platformcreate";
    let size = octets.len().to_string();
    swtpm.tool(&["tpm2_nvdefine", index, "-C", "p", "-s", &size, "-a", attributes]);
    let file = swtpm.write("octets", octets);
    swtpm.tool(&["tpm2_nvwrite", index, "-C", "p", "-i", &file]);
}

fn kind(name: &str) -> &'static EndorsementKind {
    ENDORSEMENT.iter().find(|kind| kind.name == name).unwrap()
}

/// A credential for the endorsement key opens: the key is there, and its use is authorized.
fn round_trip(tpm: &mut Tpm) {
    let spec = KeySpec::new(KeyUse::Attest, KeyAlgorithm::P256);
    let lak = tpm.create_key("lak", &spec).unwrap();
    let ek = tpm.endorsement().unwrap().native_public;
    let name = name_of(&AwsLc, &lak.native).unwrap();
    let made = credential::make(&ek, &name, b"secret", &AwsLc).unwrap();
    let credential = Credential { blob: made.blob, secret: made.secret };
    assert_eq!(tpm.activate("lak", &credential).unwrap().expose(), b"secret");
}

/// A root, an issuing authority below it and the certificate that it gave the endorsement key, DER.
fn certified(swtpm: &Swtpm, ek: &Public) -> [Vec<u8>; 3] {
    let folder = swtpm.dir.path();
    let der = swtpm.write("ek-public.der", &ek.spki_der().unwrap());
    openssl(folder, &["pkey", "-pubin", "-inform", "DER", "-in", &der, "-out", "ek-public.pem"]);
    swtpm.write("ca.ext", b"basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n");
    for name in ["root", "issuing"] {
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        let subject = format!("/O=Maker/CN={name}");
        let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let names = ["-subj", &subject, "-keyout", &key, "-out", &request];
        openssl(folder, &[&new[..], &names].concat());
    }
    let root = ["-req", "-in", "root.csr", "-signkey", "root.key", "-extfile", "ca.ext"];
    let issuing = ["-req", "-in", "issuing.csr", "-CA", "root.pem", "-CAkey", "root.key"];
    let issuing = [&issuing[..], &["-extfile", "ca.ext"]].concat();
    let ek = ["-new", "-subj", "/CN=TPM", "-force_pubkey", "ek-public.pem"];
    let ek = [&ek[..], &["-CA", "issuing.pem", "-CAkey", "issuing.key"]].concat();
    [("root", &root[..]), ("issuing", &issuing), ("ek", &ek)].map(|(name, arguments)| {
        let pem = format!("{name}.pem");
        openssl(folder, &[&["x509", "-days", "30", "-out", &pem], arguments].concat());
        let der = format!("{name}.der");
        openssl(folder, &["x509", "-in", &pem, "-outform", "DER", "-out", &der]);
        swtpm.read(&der)
    })
}

#[test]
fn the_maker_s_certificates_come_in_their_order_also_where_one_runs_over_an_index() {
    let swtpm = Swtpm::blank_tcp();
    let ek = Public::decode(&swtpm.open().endorsement().unwrap().native_public).unwrap();
    let [root, issuing, leaf] = certified(&swtpm, &ek);
    leave(&swtpm, "0x1c00002", &leaf);
    // From the issuer up, cut anywhere; the last index is filled up.
    let chain = [issuing.as_slice(), &root].concat();
    let (first, rest) = chain.split_at(issuing.len() - 100);
    let (second, third) = rest.split_at(300);
    leave(&swtpm, "0x1c00100", first);
    leave(&swtpm, "0x1c00101", second);
    leave(&swtpm, "0x1c00102", &[third, &[0xFF; 20]].concat());
    // Beyond the range, and none of the chain.
    leave(&swtpm, "0x1c00200", b"something else");

    let mut tpm = swtpm.open();
    let endorsement = tpm.endorsement().unwrap();
    assert_eq!(endorsement.certificates, [leaf, issuing, root]);
    assert_eq!(Public::decode(&endorsement.native_public).unwrap(), ek);
    let names = ["found-ek.pem", "found-issuing.pem", "found-root.pem"];
    for (der, name) in endorsement.certificates.iter().zip(names) {
        let der = swtpm.write("found.der", der);
        openssl(swtpm.dir.path(), &["x509", "-inform", "DER", "-in", &der, "-out", name]);
    }
    let verify = ["verify", "-CAfile", "found-root.pem", "-untrusted", "found-issuing.pem"];
    openssl(swtpm.dir.path(), &[&verify[..], &["found-ek.pem"]].concat());
    round_trip(&mut tpm);
    drop(tpm);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn a_chain_that_ends_in_the_middle_of_a_certificate_is_refused() {
    let swtpm = Swtpm::blank_tcp();
    let ek = Public::decode(&swtpm.open().endorsement().unwrap().native_public).unwrap();
    let [_, issuing, leaf] = certified(&swtpm, &ek);
    leave(&swtpm, "0x1c00002", &leaf);
    leave(&swtpm, "0x1c00100", &issuing[..issuing.len() - 1]);
    let refused = swtpm.open().endorsement();
    assert!(matches!(refused, Err(Error::Malformed(_))), "{refused:?}");
}

const NONCE: &[u8] = b"twenty octets of its";

/// The key that tpm2-tools make with SHA-384 and `unique`, a `TPMU_PUBLIC_ID` as it lies in memory.
/// Their `createek -t` takes the place of the nonce for the nonce.
fn theirs(swtpm: &Swtpm, algorithm: &str, unique: &[u8]) -> Vec<u8> {
    swtpm.write("unique", unique);
    swtpm.write("policy", &policy::endorsement(&AwsLc, HashAlgorithm::Sha384));
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|adminwithpolicy|restricted|decrypt";
    let create = ["tpm2_createprimary", "-C", "e", "-g", "sha384", "-G", algorithm];
    let as_told = ["-a", attributes, "-L", "policy", "-u", "unique", "-c", "theirs.ctx"];
    swtpm.tool(&[&create[..], &as_told].concat());
    swtpm.tool(&["tpm2_readpublic", "-c", "theirs.ctx", "-o", "theirs.pub"]);
    swtpm.tool(&["tpm2_flushcontext", "-t"]);
    swtpm.read("theirs.pub")[2..].to_vec()
}

/// `TPM2B` in memory, of a buffer that holds so many.
fn in_memory(octets: &[u8], filled: usize, room: usize) -> Vec<u8> {
    let mut out = u16::try_from(filled).unwrap().to_le_bytes().to_vec();
    out.extend(octets);
    out.resize(2 + room, 0);
    out
}

#[test]
fn the_maker_s_template_and_nonce_make_the_key_that_tpm2_createprimary_makes() {
    type Unique = fn(&[u8]) -> Vec<u8>;
    let rsa: Unique = |nonce| in_memory(nonce, 256, 256);
    let ecc: Unique = |nonce| [in_memory(nonce, 32, 128), in_memory(b"", 32, 128)].concat();
    for (name, template, nonce, algorithm, unique) in [
        ("L-1", "0x1c00004", "0x1c00003", "rsa2048:aes128cfb", rsa),
        ("L-2", "0x1c0000c", "0x1c0000b", "ecc256:aes128cfb", ecc),
    ] {
        let swtpm = Swtpm::blank_tcp();
        let usual = swtpm.open().endorsement().unwrap().native_public;
        let mut own = (kind(name).template)(&AwsLc);
        // Another hash, and so another policy, earned in a session of that hash.
        own.name_algorithm = HashAlgorithm::Sha384;
        own.policy = policy::endorsement(&AwsLc, HashAlgorithm::Sha384);
        // Only who is vouched for by a certificate is looked for.
        let certificate = certified(&swtpm, &Public::decode(&usual).unwrap())[2].clone();
        leave(&swtpm, &format!("{:#x}", kind(name).certificate), &certificate);
        leave(&swtpm, template, &own.encode().unwrap());
        let without_nonce = swtpm.open().endorsement().unwrap().native_public;
        leave(&swtpm, nonce, NONCE);

        let mut tpm = swtpm.open();
        let ek = tpm.endorsement().unwrap().native_public;
        assert!(ek != usual && ek != without_nonce && without_nonce != usual, "{name}");
        round_trip(&mut tpm);
        drop(tpm);
        assert_eq!(without_nonce, theirs(&swtpm, algorithm, &unique(b"")), "{name}");
        assert_eq!(ek, theirs(&swtpm, algorithm, &unique(NONCE)), "{name}");
        swtpm.assert_nothing_is_loaded();
    }
}

#[test]
fn a_template_of_the_high_range_is_used_too() {
    let swtpm = Swtpm::blank_tcp();
    let kind = kind("H-2");
    let usual = Public::decode(&swtpm.open().endorsement().unwrap().native_public).unwrap();
    leave(&swtpm, "0x1c00014", &certified(&swtpm, &usual)[2]);
    let before = swtpm.open().endorsement().unwrap().native_public;
    let mut own = (kind.template)(&AwsLc);
    own.attributes |= touchstone_tpm2::public::attributes::NO_DA;
    leave(&swtpm, "0x1c00015", &own.encode().unwrap());
    let mut tpm = swtpm.open();
    let after = tpm.endorsement().unwrap().native_public;
    assert_ne!(before, after);
    assert!(Public::decode(&after).unwrap().is_like(&own));
    round_trip(&mut tpm);
}

#[test]
fn what_no_maker_may_leave_is_told() {
    let swtpm = Swtpm::blank_tcp();
    leave(&swtpm, "0x1c00003", b"a nonce alone");
    let refused = swtpm.open().endorsement();
    assert!(matches!(refused, Err(Error::Malformed(_))), "{refused:?}");

    let swtpm = Swtpm::blank_tcp();
    let mut own = (kind("L-1").template)(&AwsLc);
    own.policy = vec![7; 32];
    leave(&swtpm, "0x1c00004", &own.encode().unwrap());
    let mut tpm = swtpm.open();
    let ek = tpm.endorsement().unwrap().native_public;
    assert!(Public::decode(&ek).unwrap().is_like(&own));
    // The key is there, and how its use is authorized only the maker knows.
    let spec = KeySpec::new(KeyUse::Attest, KeyAlgorithm::P256);
    let lak = tpm.create_key("lak", &spec).unwrap();
    let name = name_of(&AwsLc, &lak.native).unwrap();
    let made = credential::make(&ek, &name, b"secret", &AwsLc).unwrap();
    let credential = Credential { blob: made.blob, secret: made.secret };
    let refused = tpm.activate("lak", &credential);
    assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
    drop(tpm);
    swtpm.assert_nothing_is_loaded();
}
