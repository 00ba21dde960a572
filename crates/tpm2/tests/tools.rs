//! Objects exchanged with tpm2-tools, both ways, on the same software TPM.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod rig;

use rig::{PARENT, Rig, SHA256, inside, made, parent, tpm2b, verify};
use touchstone_crypto::{Crypto, Curve, Direction, SignatureAlgorithm, TpmCrypto};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::{Swtpm, tool};
use touchstone_tpm2::marshal::Reader;
use touchstone_tpm2::object::{
    Duplicate, InnerKey, NewObject, Object, RsaEncryption, SigningScheme, SoftwareKey, duplicate,
};
use touchstone_tpm2::policy::Means;
use touchstone_tpm2::template::{self, ENDORSEMENT, KeyPair};
use touchstone_tpm2::{
    Auth, AuthValue, Credential, Error, Hierarchy, NewSession, PcrSelection, Policy, Public, Tpm,
    Unsatisfied, code, credential, name_of,
};

const SIGNING: SigningScheme = SigningScheme::Ecdsa(SHA256);

const SIGN: &str = "sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth";
const DECRYPT: &str = "decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth";

fn p256() -> KeyPair {
    KeyPair::Ecc(Curve::P256)
}

/// Makes an object here and leaves its two files where the tools find them.
fn hand_over(swtpm: &Swtpm, new: &NewObject<'_>) -> Public {
    let mut tpm = swtpm.talk();
    let parent = parent(&mut tpm);
    let created = tpm.create(&parent, Auth::empty(), new).unwrap();
    swtpm.write("ours.pub", &tpm2b(&created.native));
    swtpm.write("ours.priv", &tpm2b(&created.private));
    drop(tpm);
    swtpm.peer(&["tpm2_load", "-C", PARENT, "-u", "ours.pub", "-r", "ours.priv", "-c", "ours.ctx"]);
    Public::decode(&created.native).unwrap()
}

/// Loads what tpm2_create left in two files.
fn take_over(swtpm: &Swtpm, tpm: &mut Tpm) -> Object {
    let parent = parent(tpm);
    let (private, native) = (inside(&swtpm.read("theirs.priv")), inside(&swtpm.read("theirs.pub")));
    tpm.load(&parent, Auth::empty(), &private, &native).unwrap()
}

/// Has tpm2_create make an object under the shared parent.
fn create_there(swtpm: &Swtpm, arguments: &[&str]) {
    let fixed = ["tpm2_create", "-C", PARENT, "-u", "theirs.pub", "-r", "theirs.priv", "-Q"];
    swtpm.peer(&[&fixed, arguments].concat());
}

fn openssl(swtpm: &Swtpm, arguments: &[&str]) {
    tool("openssl", swtpm.dir.path(), arguments);
}

fn public_pem(swtpm: &Swtpm, public: &Public) {
    swtpm.write("key.der", &public.spki_der().unwrap());
    openssl(swtpm, &["pkey", "-pubin", "-inform", "DER", "-in", "key.der", "-out", "key.pem"]);
}

#[test]
fn our_signing_key_signs_and_verifies_through_the_tools() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    swtpm.write("message", b"message");
    for (pair, scheme, algorithm) in [
        (p256(), "ecdsa", SignatureAlgorithm::EcdsaP256Sha256),
        (KeyPair::Rsa(2048), "rsassa", SignatureAlgorithm::RsaPkcs1Sha256),
        (KeyPair::Rsa(2048), "rsapss", SignatureAlgorithm::RsaPssSha256),
    ] {
        let new = NewObject::new(template::signing(pair, SigningScheme::OfKey));
        let public = hand_over(&swtpm, &new);
        let sign = ["tpm2_sign", "-c", "ours.ctx", "-g", "sha256", "-s", scheme, "-o", "signed"];
        swtpm.peer(&[&sign[..], &["message"]].concat());
        verify(algorithm, &public, b"message", &swtpm.read("signed"));

        // And the reverse: what we sign the tool verifies.
        let mut tpm = swtpm.talk();
        let parent = parent(&mut tpm);
        let (private, native) = (inside(&swtpm.read("ours.priv")), inside(&swtpm.read("ours.pub")));
        let key = tpm.load(&parent, Auth::empty(), &private, &native).unwrap();
        let digest = AwsLc.hash(SHA256, &[b"message"]);
        let of = SigningScheme::of(algorithm).unwrap();
        let signed = tpm.sign(&key, Auth::empty(), of, digest.as_bytes()).unwrap();
        swtpm.write("signed", &signed);
        drop(tpm);
        let check = ["tpm2_verifysignature", "-c", "ours.ctx", "-g", "sha256", "-m", "message"];
        swtpm.peer(&[&check[..], &["-s", "signed"]].concat());
    }
}

#[test]
fn our_attestation_key_quotes_through_the_tools() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let public =
        hand_over(&swtpm, &NewObject::new(template::attestation(p256(), SIGNING).unwrap()));
    let quote = ["tpm2_quote", "-c", "ours.ctx", "-l", "sha256:0,7", "-q", "6e6f", "-g", "sha256"];
    swtpm.peer(&[&quote[..], &["-m", "quote", "-s", "signed", "-o", "pcrs"]].concat());
    let (quote, signed) = (swtpm.read("quote"), swtpm.read("signed"));
    verify(SignatureAlgorithm::EcdsaP256Sha256, &public, &quote, &signed);
    public_pem(&swtpm, &public);
    let check = ["tpm2_checkquote", "-u", "key.pem", "-m", "quote", "-s", "signed", "-f", "pcrs"];
    swtpm.peer(&[&check[..], &["-g", "sha256", "-q", "6e6f"]].concat());
}

#[test]
fn what_we_seal_tpm2_unseal_opens_with_the_value_alone() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let new = NewObject::new(template::sealed()).auth(AuthValue::new(b"pin")).data(b"our secret");
    hand_over(&swtpm, &new);
    assert_eq!(swtpm.peer(&["tpm2_unseal", "-c", "ours.ctx", "-p", "pin"]), b"our secret");
    let (opened, said) = swtpm.attempt(&["tpm2_unseal", "-c", "ours.ctx", "-p", "nip"]);
    assert!(!opened, "{said}");
}

/// The digest of `PolicyPCR` for these values (Part 3 §23.7).
fn pcr_policy(tpm: &mut Tpm, pcrs: PcrSelection) -> touchstone_crypto::Digest {
    let values = tpm.pcr_read(&pcrs).unwrap();
    let values: Vec<&[u8]> = values.iter().map(touchstone_crypto::Digest::as_bytes).collect();
    let values = AwsLc.hash(SHA256, &values);
    let code = code::POLICY_PCR.number.to_be_bytes();
    AwsLc.hash(SHA256, &[&[0; 32], &code, &pcrs.encode(), values.as_bytes()])
}

#[test]
fn what_we_seal_to_a_pcr_the_tools_open_until_it_moves() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    let pcrs = PcrSelection::new(SHA256, &[7, 16]).unwrap();
    let policy = pcr_policy(&mut tpm, pcrs);
    drop(tpm);
    let template = template::sealed().only_with_policy(&policy);
    hand_over(&swtpm, &NewObject::new(template).data(b"our secret"));
    let unseal = ["tpm2_unseal", "-c", "ours.ctx", "-p", "pcr:sha256:7,16"];
    assert_eq!(swtpm.peer(&unseal), b"our secret");
    swtpm.peer(&["tpm2_pcrevent", "16", "ours.pub"]);
    let (opened, said) = swtpm.attempt(&unseal);
    assert!(!opened, "{said}");
}

#[test]
fn what_tpm2_create_seals_we_open() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    swtpm.write("secret", b"their secret");
    create_there(&swtpm, &["-i", "secret", "-p", "pin"]);
    let mut tpm = swtpm.talk();
    let object = take_over(&swtpm, &mut tpm);
    assert_eq!(tpm.unseal(&object, Auth::value(b"pin")).unwrap()[..], b"their secret"[..]);
    assert!(tpm.unseal(&object, Auth::value(b"nip")).is_err());
}

#[test]
fn what_tpm2_create_seals_to_a_pcr_we_open_until_it_moves() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    swtpm.write("secret", b"their secret");
    swtpm.peer(&["tpm2_createpolicy", "--policy-pcr", "-l", "sha256:16", "-L", "policy"]);
    create_there(&swtpm, &["-i", "secret", "-L", "policy"]);
    let mut tpm = swtpm.talk();
    let object = take_over(&swtpm, &mut tpm);
    let pcrs = PcrSelection::new(SHA256, &[16]).unwrap();
    let policy = Policy::new().pcrs(pcrs, &tpm.pcr_read(&pcrs).unwrap());
    let open = |tpm: &mut Tpm| {
        tpm.with_policy(&policy, SHA256, &Means::default(), &AuthValue::default(), |tpm, auth| {
            tpm.unseal(&object, auth)
        })
    };
    assert_eq!(open(&mut tpm).unwrap()[..], b"their secret"[..]);
    tpm.pcr_extend(16, &[AwsLc.hash(SHA256, &[b"event"])]).unwrap();
    assert_eq!(open(&mut tpm), Err(Error::Unsatisfied(Unsatisfied::Pcr)));
}

#[test]
fn keys_of_tpm2_create_sign_decrypt_and_authenticate_here() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let digest = AwsLc.hash(SHA256, &[b"message"]);
    for (kind, algorithm) in [
        ("ecc256", SignatureAlgorithm::EcdsaP256Sha256),
        ("ecc384", SignatureAlgorithm::EcdsaP384Sha256),
        ("ecc256:ecdsa-sha256", SignatureAlgorithm::EcdsaP256Sha256),
        ("rsa2048:rsapss-sha256:null", SignatureAlgorithm::RsaPssSha256),
        ("rsa3072", SignatureAlgorithm::RsaPkcs1Sha256),
    ] {
        create_there(&swtpm, &["-G", kind, "-a", SIGN]);
        let mut tpm = swtpm.talk();
        let key = take_over(&swtpm, &mut tpm);
        let scheme = SigningScheme::of(algorithm).unwrap();
        let signed = tpm.sign(&key, Auth::empty(), scheme, digest.as_bytes()).unwrap();
        verify(algorithm, &key.public, b"message", &signed);
    }

    create_there(&swtpm, &["-G", "rsa2048", "-a", DECRYPT]);
    let mut tpm = swtpm.talk();
    let key = take_over(&swtpm, &mut tpm);
    swtpm.write("key.der", &key.public.spki_der().unwrap());
    let encrypt = ["pkeyutl", "-encrypt", "-pubin", "-inkey", "key.der", "-keyform", "DER"];
    let oaep = ["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256"];
    swtpm.write("plain", b"secret");
    openssl(&swtpm, &[&encrypt[..], &oaep, &["-in", "plain", "-out", "sent"]].concat());
    let scheme = RsaEncryption::Oaep(SHA256);
    let got = tpm.rsa_decrypt(&key, Auth::empty(), scheme, &[], &swtpm.read("sent")).unwrap();
    assert_eq!(got[..], b"secret"[..]);
    drop(tpm);

    create_there(&swtpm, &["-G", "hmac:sha384"]);
    swtpm.peer(&[
        "tpm2_load",
        "-C",
        PARENT,
        "-u",
        "theirs.pub",
        "-r",
        "theirs.priv",
        "-c",
        "h.ctx",
    ]);
    swtpm.write("message", &[0x5A; 3000]);
    swtpm.peer(&["tpm2_hmac", "-c", "h.ctx", "-o", "mac", "message"]);
    let mut tpm = swtpm.talk();
    let key = take_over(&swtpm, &mut tpm);
    assert_eq!(tpm.hmac(&key, Auth::empty(), &[0x5A; 3000]).unwrap()[..], swtpm.read("mac"));
    drop(tpm);

    create_there(&swtpm, &["-G", "aes256cfb"]);
    swtpm.peer(&[
        "tpm2_load",
        "-C",
        PARENT,
        "-u",
        "theirs.pub",
        "-r",
        "theirs.priv",
        "-c",
        "a.ctx",
    ]);
    swtpm.write("iv", &[0; 16]);
    let crypt = ["tpm2_encryptdecrypt", "-c", "a.ctx", "-G", "cfb", "-t", "iv", "-o", "sent"];
    swtpm.peer(&[&crypt[..], &["message"]].concat());
    let mut tpm = swtpm.talk();
    let key = take_over(&swtpm, &mut tpm);
    let sent = swtpm.read("sent");
    let got =
        tpm.encrypt_decrypt(&key, &Auth::empty(), Direction::Decrypt, [0; 16], &sent).unwrap();
    assert_eq!(got[..], [0x5A; 3000]);
}

#[test]
fn our_decryption_and_agreement_keys_work_through_the_tools() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let public = hand_over(&swtpm, &NewObject::new(template::decryption(2048, Some(SHA256))));
    let touchstone_tpm2::public::Key::Rsa { modulus, .. } = &public.key else { panic!("no RSA") };
    let sent = AwsLc.rsa_oaep(modulus, 65537, SHA256, &[], b"secret").unwrap();
    swtpm.write("sent", &sent);
    swtpm.peer(&["tpm2_rsadecrypt", "-c", "ours.ctx", "-s", "oaep", "-o", "got", "sent"]);
    assert_eq!(swtpm.read("got"), b"secret");

    hand_over(&swtpm, &NewObject::new(template::agreement(Curve::P256)));
    let agree = ["tpm2_ecdhkeygen", "-c", "ours.ctx", "-u", "fresh", "-o", "shared"];
    swtpm.peer(&agree);
    let mut tpm = swtpm.talk();
    let home = parent(&mut tpm);
    let (private, native) = (inside(&swtpm.read("ours.priv")), inside(&swtpm.read("ours.pub")));
    let key = tpm.load(&home, Auth::empty(), &private, &native).unwrap();
    // TPM2B_ECC_POINT.
    let fresh = inside(&swtpm.read("fresh"));
    let mut reader = Reader::new(&fresh);
    let x = reader.sized().unwrap().to_vec();
    let peer = touchstone_tpm2::object::Point { x, y: reader.sized().unwrap().to_vec() };
    let shared = inside(&swtpm.read("shared"));
    let mut reader = Reader::new(&shared);
    let z = tpm.ecdh_zgen(&key, Auth::empty(), &peer).unwrap();
    assert_eq!(z[..], *reader.sized().unwrap());
}

#[test]
fn our_hmac_key_and_cipher_work_through_the_tools() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let message = [0x5A; 3000];
    swtpm.write("message", &message);
    let new = NewObject::new(template::hmac(SHA256).from_outside()).data(b"an HMAC key");
    hand_over(&swtpm, &new);
    swtpm.peer(&["tpm2_hmac", "-c", "ours.ctx", "-o", "mac", "message"]);
    let expected = AwsLc.hmac(SHA256, b"an HMAC key", &[&message]).unwrap();
    assert_eq!(swtpm.read("mac"), expected.as_bytes());

    hand_over(&swtpm, &NewObject::new(template::cipher(128).from_outside()).data(&[7; 16]));
    swtpm.write("iv", &[9; 16]);
    let crypt = ["tpm2_encryptdecrypt", "-c", "ours.ctx", "-G", "cfb", "-t", "iv", "-o", "sent"];
    swtpm.peer(&[&crypt[..], &["message"]].concat());
    let mut expected = message;
    AwsLc.aes_cfb(&[7; 16], &[9; 16], &mut expected, Direction::Encrypt).unwrap();
    assert_eq!(swtpm.read("sent"), expected);
}

#[test]
fn names_and_public_parts_are_those_the_tools_compute() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    for template in [
        template::signing(KeyPair::Ecc(Curve::P521), SigningScheme::OfKey),
        template::attestation(KeyPair::Rsa(2048), SigningScheme::RsaPss(SHA256)).unwrap(),
        template::storage(KeyPair::Rsa(2048)),
        template::hmac(SHA256),
        template::cipher(256),
        template::decryption(3072, None),
    ] {
        let public = hand_over(&swtpm, &NewObject::new(template));
        swtpm.peer(&["tpm2_readpublic", "-c", "ours.ctx", "-n", "name", "-o", "public", "-Q"]);
        let native = public.encode().unwrap();
        assert_eq!(inside(&swtpm.read("public")), native);
        assert_eq!(swtpm.read("name"), name_of(&AwsLc, &native).unwrap());
    }
}

#[test]
fn primary_keys_of_both_sides_are_the_same_key() {
    let swtpm = Swtpm::blank_tcp();
    let mut ours = Vec::new();
    for kind in [&ENDORSEMENT[0], &ENDORSEMENT[1]] {
        let mut tpm = swtpm.talk();
        let new = NewObject::new((kind.template)(&AwsLc));
        let (ek, _) = tpm.create_primary(Hierarchy::Endorsement, Auth::empty(), &new).unwrap();
        ours.push(ek.native);
    }
    for (kind, ours) in ["rsa", "ecc"].iter().zip(ours) {
        swtpm.peer(&["tpm2_createek", "-G", kind, "-c", "ek.ctx", "-u", "ek.pub", "-Q"]);
        assert_eq!(inside(&swtpm.read("ek.pub")), ours, "{kind}");
    }
    let attributes =
        "restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda";
    let primary = ["tpm2_createprimary", "-C", "o", "-G", "ecc256", "-c", "p.ctx", "-Q"];
    swtpm.peer(&[&primary[..], &["-a", attributes]].concat());
    swtpm.peer(&["tpm2_readpublic", "-c", "p.ctx", "-o", "p.pub", "-Q"]);
    let mut tpm = swtpm.talk();
    let ours = rig::primary(&mut tpm, template::key_file_parent(false));
    assert_eq!(inside(&swtpm.read("p.pub")), ours.native);
}

fn hex(octets: &[u8]) -> String {
    let digits = octets.iter().flat_map(|octet| [octet >> 4, octet & 15]);
    digits.map(|digit| char::from_digit(digit.into(), 16).unwrap()).collect()
}

/// What tpm2_makecredential writes: a magic number, a version, both parts.
fn credential_file(credential: &Credential) -> Vec<u8> {
    let head = [0xBA, 0xDC, 0xC0, 0xDE, 0, 0, 0, 1];
    [&head[..], &tpm2b(&credential.blob), &tpm2b(&credential.secret)].concat()
}

fn read_credential_file(file: &[u8]) -> Credential {
    let mut reader = Reader::new(file);
    assert_eq!(reader.u32().unwrap(), 0xBADC_C0DE);
    assert_eq!(reader.u32().unwrap(), 1);
    let blob = reader.sized().unwrap().to_vec();
    let secret = reader.sized().unwrap().to_vec();
    reader.end().unwrap();
    Credential { blob, secret }
}

#[test]
fn credentials_are_made_and_opened_by_either_side() {
    let swtpm = Swtpm::blank_tcp();
    for (algorithm, scheme) in [("rsa", "rsassa"), ("ecc", "ecdsa")] {
        let ek = ["tpm2_createek", "-G", algorithm, "-c", "0x81010001", "-u", "ek.pub", "-Q"];
        swtpm.peer(&ek);
        let ak =
            ["tpm2_createak", "-C", "0x81010001", "-G", algorithm, "-s", scheme, "-g", "sha256"];
        let files = ["-c", "ak.ctx", "-u", "ak.pub", "-r", "ak.priv", "-n", "ak.name", "-Q"];
        swtpm.peer(&[&ak[..], &files].concat());
        let (ek, name) = (inside(&swtpm.read("ek.pub")), swtpm.read("ak.name"));
        assert_eq!(name_of(&AwsLc, &inside(&swtpm.read("ak.pub"))).unwrap(), name);

        let ours = credential::make(&ek, &name, b"for the tools", &AwsLc).unwrap();
        swtpm.write("credential", &credential_file(&ours));
        swtpm.peer(&["tpm2_startauthsession", "--policy-session", "-S", "session"]);
        swtpm.peer(&["tpm2_policysecret", "-S", "session", "-c", "e"]);
        let activate = ["tpm2_activatecredential", "-c", "ak.ctx", "-C", "0x81010001"];
        let files = ["-i", "credential", "-o", "opened", "-P", "session:session"];
        swtpm.peer(&[&activate[..], &files].concat());
        assert_eq!(swtpm.read("opened"), b"for the tools");
        swtpm.tool(&["tpm2_flushcontext", "session"]);

        swtpm.write("secret", b"for us");
        let name = hex(&name);
        let make = ["tpm2_makecredential", "-u", "ek.pub", "-s", "secret", "-n", &name];
        swtpm.peer(&[&make[..], &["-o", "credential", "-T", "none"]].concat());
        let theirs = read_credential_file(&swtpm.read("credential"));
        let mut tpm = swtpm.talk();
        let ek = tpm.read_public(0x8101_0001).unwrap();
        let endorsed = |tpm: &mut Tpm, serve: &dyn Fn(&mut Tpm, Auth) -> Vec<u8>| {
            tpm.with_session(&NewSession::policy(SHA256), |tpm, session| {
                tpm.policy_secret(session, Hierarchy::Endorsement)?;
                Ok::<_, touchstone_tpm2::Error>(serve(tpm, Auth::policy(session)))
            })
            .unwrap()
        };
        let (private, native) = (inside(&swtpm.read("ak.priv")), inside(&swtpm.read("ak.pub")));
        let ak = endorsed(&mut tpm, &|tpm, auth| {
            let ak = tpm.load(&ek, auth, &private, &native).unwrap();
            ak.entity.handle.to_be_bytes().to_vec()
        });
        let ak = tpm.read_public(u32::from_be_bytes(ak.try_into().unwrap())).unwrap();
        let opened = endorsed(&mut tpm, &|tpm, auth| {
            let opened = tpm.activate_credential(&ak, Auth::empty(), &ek, auth, &theirs);
            opened.unwrap().to_vec()
        });
        assert_eq!(opened, b"for us");
        tpm.remove_persistent(Hierarchy::Owner, &ek).unwrap();
    }
}

#[test]
fn a_software_key_that_we_wrapped_is_imported_by_the_tools() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let template = template::hmac(SHA256);
    let key = SoftwareKey::symmetric(&template, b"an HMAC key", &AwsLc).unwrap();
    let public = key.as_object(template).unwrap();
    let mut tpm = swtpm.talk();
    let home = parent(&mut tpm);
    drop(tpm);
    let inner = InnerKey::new(&[5; 16]).unwrap();
    swtpm.write("inner", inner.expose());
    swtpm.write("message", b"message");
    for inner in [None, Some(&inner)] {
        let wrapped =
            duplicate::wrap(&public, &key.sensitive, &home.public, inner, &AwsLc).unwrap();
        swtpm.write("dup.pub", &tpm2b(&wrapped.public));
        swtpm.write("dup.priv", &tpm2b(&wrapped.private));
        swtpm.write("dup.seed", &tpm2b(&wrapped.secret));
        let import = ["tpm2_import", "-C", PARENT, "-u", "dup.pub", "-i", "dup.priv"];
        let files = ["-s", "dup.seed", "-r", "in.priv", "-Q"];
        let with_inner = if inner.is_some() { &["-k", "inner"][..] } else { &[] };
        swtpm.peer(&[&import[..], &files, with_inner].concat());
        let load = ["tpm2_load", "-C", PARENT, "-u", "dup.pub", "-r", "in.priv", "-c", "in.ctx"];
        swtpm.peer(&load);
        swtpm.peer(&["tpm2_hmac", "-c", "in.ctx", "-o", "mac", "message"]);
        let expected = AwsLc.hmac(SHA256, b"an HMAC key", &[b"message"]).unwrap();
        assert_eq!(swtpm.read("mac"), expected.as_bytes());
    }
}

#[test]
fn what_tpm2_duplicate_sends_we_import() {
    let (from, to) = (Swtpm::blank_tcp().with_parent(), Swtpm::blank_tcp().with_parent());
    let mut tpm = to.talk();
    let home = parent(&mut tpm);
    drop(tpm);
    from.write("home.pub", &tpm2b(&home.native));
    from.peer(&["tpm2_startauthsession", "-S", "session"]);
    let only = ["tpm2_policycommandcode", "-S", "session", "-L", "policy", "TPM2_CC_Duplicate"];
    from.peer(&only);
    from.tool(&["tpm2_flushcontext", "session"]);
    let attributes = "sign|sensitivedataorigin|userwithauth";
    create_there(&from, &["-G", "ecc256", "-L", "policy", "-a", attributes]);
    let load = ["tpm2_load", "-C", PARENT, "-u", "theirs.pub", "-r", "theirs.priv", "-c", "k.ctx"];
    from.peer(&load);
    from.peer(&["tpm2_loadexternal", "-C", "o", "-u", "home.pub", "-c", "home.ctx"]);
    from.peer(&["tpm2_startauthsession", "--policy-session", "-S", "session"]);
    from.peer(&["tpm2_policycommandcode", "-S", "session", "TPM2_CC_Duplicate"]);
    from.write("inner", &[6; 16]);
    let duplicate = ["tpm2_duplicate", "-C", "home.ctx", "-c", "k.ctx", "-G", "aes", "-i", "inner"];
    let files = ["-p", "session:session", "-r", "dup.priv", "-s", "dup.seed"];
    from.peer(&[&duplicate[..], &files].concat());
    let sent = Duplicate {
        public: inside(&from.read("theirs.pub")),
        private: inside(&from.read("dup.priv")),
        secret: inside(&from.read("dup.seed")),
    };
    let mut tpm = to.talk();
    let inner = InnerKey::new(&[6; 16]).unwrap();
    let private = tpm.import(&home, Auth::empty(), &sent, Some(&inner)).unwrap();
    let key = tpm.load(&home, Auth::empty(), &private, &sent.public).unwrap();
    let digest = AwsLc.hash(SHA256, &[b"message"]);
    let signed = tpm.sign(&key, Auth::empty(), SIGNING, digest.as_bytes()).unwrap();
    verify(SignatureAlgorithm::EcdsaP256Sha256, &key.public, b"message", &signed);
}

#[test]
fn the_tools_read_our_creation_data_as_we_do() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    swtpm.write("nonce", b"a nonce");
    create_there(
        &swtpm,
        &[
            "-G",
            "ecc",
            "-q",
            "nonce",
            "-l",
            "sha256:0,7",
            "--creation-data",
            "data",
            "-t",
            "ticket",
        ],
    );
    let data = inside(&swtpm.read("data"));
    let theirs = touchstone_tpm2::object::CreationData::decode(&data).unwrap();
    let mut tpm = swtpm.talk();
    let pcrs = PcrSelection::new(SHA256, &[0, 7]).unwrap();
    let new = NewObject::new(template::sealed()).data(b"x").outside(b"a nonce").pcrs(pcrs);
    let home = parent(&mut tpm);
    let ours = tpm.create(&home, Auth::empty(), &new).unwrap().creation;
    assert_eq!(ours.data.native(), theirs.native());
    let (_, key) = made(&mut tpm, template::signing(p256(), SigningScheme::OfKey));
    assert!(tpm.read_public(key.entity.handle).is_ok());
}
