//! Every kind of object, made and used on a software TPM, and checked with cryptography that is
//! not the TPM's.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod rig;

use rig::{Rig, SHA256, made, parent, primary, verify};
use touchstone_crypto::HashAlgorithm::{Sha384, Sha512};
use touchstone_crypto::{Crypto, Curve, Direction, SignatureAlgorithm, TpmCrypto};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_peers::Swtpm;
use touchstone_tpm2::object::{
    InnerKey, NewObject, Object, Point, RsaEncryption, SigningScheme, SoftwareKey, duplicate,
};
use touchstone_tpm2::public::{Key, attributes};
use touchstone_tpm2::template::{self, ENDORSEMENT, KeyPair};
use touchstone_tpm2::{
    Auth, AuthValue, Error, Hierarchy, NewSession, PcrSelection, Public, Sensitive, Tpm, code,
    credential, response_code,
};

#[expect(clippy::needless_pass_by_value, reason = "each result is asked once")]
fn refused(result: Result<impl Sized, Error>) -> u32 {
    match result {
        Err(Error::Refused(refusal) | Error::WrongAuthorization { refusal, .. }) => {
            response_code::base(refusal.response)
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was not refused"),
    }
}

fn point(public: &Public) -> (Vec<u8>, Vec<u8>) {
    match &public.key {
        Key::Ecc { x, y, .. } => (x.clone(), y.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_signing_key_signs_what_the_provider_verifies() {
    use SignatureAlgorithm as S;
    let swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    let ecc = |curve| KeyPair::Ecc(curve);
    for (pair, algorithms) in [
        (KeyPair::Rsa(2048), &[S::RsaPkcs1Sha256, S::RsaPssSha256, S::RsaPssSha512][..]),
        (KeyPair::Rsa(3072), &[S::RsaPkcs1Sha384, S::RsaPssSha384]),
        (ecc(Curve::P256), &[S::EcdsaP256Sha256]),
        (ecc(Curve::P384), &[S::EcdsaP384Sha384, S::EcdsaP384Sha256]),
        (ecc(Curve::P521), &[S::EcdsaP521Sha512]),
    ] {
        let (_, key) = made(&mut tpm, template::signing(pair, SigningScheme::OfKey));
        for &algorithm in algorithms {
            let digest = template::message_digest(&AwsLc, algorithm, b"message").unwrap();
            let scheme = SigningScheme::of(algorithm).unwrap();
            let signed = tpm.sign(&key, Auth::empty(), scheme, digest.as_bytes()).unwrap();
            verify(algorithm, &key.public, b"message", &signed);
            let ticket = tpm.verify_signature(&key, digest.as_bytes(), &signed);
            assert!(ticket.unwrap().len() > 8);
            let other = AwsLc.hash(digest.algorithm(), &[b"massage"]);
            let code = refused(tpm.verify_signature(&key, other.as_bytes(), &signed));
            assert_eq!(code, response_code::SIGNATURE);
        }
        tpm.flush(key.entity.handle).unwrap();
    }
    drop(tpm);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn rsa_of_4096_bits_is_refused_by_a_tpm_that_has_it_not() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    let parent = parent(&mut tpm);
    let template = template::signing(KeyPair::Rsa(4096), SigningScheme::OfKey);
    match tpm.create(&parent, Auth::empty(), &NewObject::new(template.clone())) {
        Ok(created) => {
            assert!(Public::decode(&created.native).unwrap().is_like(&template));
        }
        Err(Error::Refused(refusal)) => {
            assert_eq!(response_code::base(refusal.response), response_code::VALUE);
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_restricted_key_signs_only_what_the_tpm_hashed_and_never_a_statement_of_somebody_else() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    let scheme = SigningScheme::Ecdsa(SHA256);
    let template = template::attestation(KeyPair::Ecc(Curve::P256), scheme).unwrap();
    let (_, key) = made(&mut tpm, template);
    for message in [&b"short"[..], &[7; 5000]] {
        let hashed = tpm.hash(SHA256, message).unwrap();
        assert_eq!(hashed.digest, AwsLc.hash(SHA256, &[message]).as_bytes());
        let signed = tpm.sign_hashed(&key, Auth::empty(), SigningScheme::OfKey, &hashed).unwrap();
        verify(SignatureAlgorithm::EcdsaP256Sha256, &key.public, message, &signed);
    }
    // TPM_GENERATED_VALUE in front: it looks like an attestation.
    let forged = tpm.hash(SHA256, b"\xFFTCG\x80\x18 all is well").unwrap();
    let code = refused(tpm.sign_hashed(&key, Auth::empty(), SigningScheme::OfKey, &forged));
    assert_eq!(code, response_code::TICKET);
    let digest = AwsLc.hash(SHA256, &[b"short"]);
    let code = refused(tpm.sign(&key, Auth::empty(), SigningScheme::OfKey, digest.as_bytes()));
    assert_eq!(code, response_code::TICKET);
}

#[test]
fn what_is_encrypted_to_an_rsa_key_comes_out_and_only_as_it_was() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    let (_, key) = made(&mut tpm, template::decryption(2048, None));
    let Key::Rsa { modulus, .. } = &key.public.key else { panic!("no RSA key") };
    for hash in [SHA256, Sha384, Sha512] {
        let sent = AwsLc.rsa_oaep(modulus, 65537, hash, b"label\0", b"secret").unwrap();
        let mut decrypt = |label: &[u8], sent: &[u8]| {
            tpm.rsa_decrypt(&key, Auth::empty(), RsaEncryption::Oaep(hash), label, sent)
        };
        assert_eq!(decrypt(b"label\0", &sent).unwrap()[..], b"secret"[..]);
        // Part 3 §14.3.1 says TPM_RC_VALUE; libtpms on OpenSSL says TPM_RC_FAILURE and goes on.
        let no = [response_code::VALUE, response_code::FAILURE];
        assert!(no.contains(&refused(decrypt(b"lebal\0", &sent))));
        let mut bad = sent.clone();
        bad[200] ^= 1;
        assert!(no.contains(&refused(decrypt(b"label\0", &bad))));
        assert_eq!(decrypt(b"label\0", &sent).unwrap()[..], b"secret"[..]);
    }
    let pkcs1 = RsaEncryption::Pkcs1;
    let sent = tpm.rsa_encrypt(&key, pkcs1, &[], b"old").unwrap();
    assert_eq!(tpm.rsa_decrypt(&key, Auth::empty(), pkcs1, &[], &sent).unwrap()[..], b"old"[..]);
}

#[test]
fn both_ends_of_an_agreement_have_the_same_secret() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    for curve in Curve::ALL {
        let (_, key) = made(&mut tpm, template::agreement(curve));
        let (x, y) = point(&key.public);
        let agreed = AwsLc.agree(curve, &x, &y).unwrap();
        let peer = Point { x: agreed.x.clone(), y: agreed.y.clone() };
        assert_eq!(tpm.ecdh_zgen(&key, Auth::empty(), &peer).unwrap()[..], agreed.z[..]);
        let (secret, fresh) = tpm.ecdh_key_gen(&key).unwrap();
        assert_eq!(tpm.ecdh_zgen(&key, Auth::empty(), &fresh).unwrap(), secret);
        let off = Point { x: vec![1; curve.len()], y: vec![1; curve.len()] };
        let code = refused(tpm.ecdh_zgen(&key, Auth::empty(), &off));
        assert_eq!(code, response_code::ECC_POINT);
        tpm.flush(key.entity.handle).unwrap();
    }
}

#[test]
fn an_hmac_key_of_known_octets_gives_what_the_provider_gives() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    let parent = parent(&mut tpm);
    for hash in [SHA256, Sha384, Sha512] {
        let new = NewObject::new(template::hmac(hash).from_outside()).data(b"an HMAC key");
        let created = tpm.create(&parent, Auth::empty(), &new).unwrap();
        let key = tpm.load(&parent, Auth::empty(), &created.private, &created.native).unwrap();
        for len in [0, 1, 1024, 1025, 5000] {
            let message = vec![0xA5; len];
            let ours = AwsLc.hmac(hash, b"an HMAC key", &[&message]).unwrap();
            let theirs = tpm.hmac(&key, Auth::empty(), &message).unwrap();
            assert_eq!(theirs[..], *ours.as_bytes(), "{len} octets");
        }
        let digest = AwsLc.hash(hash, &[b"signed"]);
        let scheme = SigningScheme::Hmac(hash);
        let signed = tpm.sign(&key, Auth::empty(), scheme, digest.as_bytes()).unwrap();
        assert!(
            signed.ends_with(
                AwsLc.hmac(hash, b"an HMAC key", &[digest.as_bytes()]).unwrap().as_bytes()
            )
        );
        tpm.flush(key.entity.handle).unwrap();
    }
    let (_, made_inside) = made(&mut tpm, template::hmac(SHA256));
    let one = tpm.hmac(&made_inside, Auth::empty(), b"x").unwrap();
    assert_eq!(one, tpm.hmac(&made_inside, Auth::empty(), b"x").unwrap());
    drop(tpm);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn a_cipher_of_known_octets_gives_what_the_provider_gives() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    let parent = parent(&mut tpm);
    for bits in [128, 256] {
        let octets = vec![0x42; usize::from(bits) / 8];
        let new = NewObject::new(template::cipher(bits).from_outside()).data(&octets);
        let created = tpm.create(&parent, Auth::empty(), &new).unwrap();
        let key = tpm.load(&parent, Auth::empty(), &created.private, &created.native).unwrap();
        for len in [1, 16, 1000, 1024, 2500] {
            let plain = vec![0x5A; len];
            let mut ours = plain.clone();
            AwsLc.aes_cfb(&octets, &[9; 16], &mut ours, Direction::Encrypt).unwrap();
            let mut crypt = |direction, data: &[u8]| {
                tpm.encrypt_decrypt(&key, &Auth::empty(), direction, [9; 16], data).unwrap()
            };
            assert_eq!(crypt(Direction::Encrypt, &plain)[..], ours[..], "{len} octets");
            assert_eq!(crypt(Direction::Decrypt, &ours)[..], plain[..]);
        }
        tpm.flush(key.entity.handle).unwrap();
    }
}

#[test]
fn sealed_data_comes_out_with_its_value_and_a_wrong_one_is_tried_once() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    let parent = parent(&mut tpm);
    let template = template::sealed().guarded_by_lockout();
    let new = NewObject::new(template).auth(AuthValue::new(b"pin")).data(b"the secret");
    let created = tpm.create(&parent, Auth::empty(), &new).unwrap();
    let object = tpm.load(&parent, Auth::empty(), &created.private, &created.native).unwrap();
    assert_eq!(tpm.unseal(&object, Auth::value(b"pin")).unwrap()[..], b"the secret"[..]);
    let counter = |tpm: &mut Tpm| tpm.capability(6, 0x20E, 1).unwrap();
    let before = counter(&mut tpm);
    assert_eq!(refused(tpm.unseal(&object, Auth::value(b"nip"))), response_code::AUTH_FAIL);
    let after = counter(&mut tpm);
    assert_eq!(u32_at_end(&after), u32_at_end(&before) + 1, "it was tried more than once");
    assert_eq!(refused(tpm.unseal(&object, Auth::empty())), response_code::AUTH_FAIL);
    assert_eq!(tpm.unseal(&object, Auth::value(b"pin")).unwrap()[..], b"the secret"[..]);
}

fn u32_at_end(octets: &[u8]) -> u32 {
    u32::from_be_bytes(*octets.last_chunk().unwrap())
}

#[test]
fn a_changed_value_goes_with_the_new_private_part_alone() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    let parent = parent(&mut tpm);
    let new = NewObject::new(template::sealed()).auth(AuthValue::new(b"old")).data(b"secret");
    let created = tpm.create(&parent, Auth::empty(), &new).unwrap();
    let object = tpm.load(&parent, Auth::empty(), &created.private, &created.native).unwrap();
    let value = AuthValue::new(b"new");
    let private = tpm.change_auth(&object, Auth::value(b"old"), &parent, &value).unwrap();
    assert_eq!(tpm.unseal(&object, Auth::value(b"old")).unwrap()[..], b"secret"[..]);
    tpm.flush(object.entity.handle).unwrap();
    assert!(!private.windows(3).any(|window| window == b"new"));
    let changed = tpm.load(&parent, Auth::empty(), &private, &created.native).unwrap();
    assert_eq!(tpm.unseal(&changed, Auth::value(b"new")).unwrap()[..], b"secret"[..]);
    assert_eq!(refused(tpm.unseal(&changed, Auth::value(b"old"))), response_code::BAD_AUTH);
}

#[test]
fn creation_data_says_what_was_asked_and_what_the_pcrs_were() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    let parent = parent(&mut tpm);
    let pcrs = PcrSelection::new(SHA256, &[0, 7, 16]).unwrap();
    tpm.pcr_extend(16, &[AwsLc.hash(SHA256, &[b"event"])]).unwrap();
    let values = tpm.pcr_read(&pcrs).unwrap();
    let values: Vec<&[u8]> = values.iter().map(touchstone_crypto::Digest::as_bytes).collect();
    let new = NewObject::new(template::sealed()).data(b"x").outside(b"a nonce").pcrs(pcrs);
    let creation = tpm.create(&parent, Auth::empty(), &new).unwrap().creation;
    assert_eq!(creation.data.outside, b"a nonce");
    assert_eq!(creation.data.pcr_digest, AwsLc.hash(SHA256, &values).as_bytes());
    assert_eq!(creation.data.parent_name, parent.entity.name);
    let template = template::storage(KeyPair::Ecc(Curve::P384));
    let new = NewObject::new(template).outside(b"a nonce");
    let (_, creation) = tpm.create_primary(Hierarchy::Owner, Auth::empty(), &new).unwrap();
    assert_eq!(creation.data.parent_name, Hierarchy::Owner.handle().to_be_bytes());
}

#[test]
fn an_object_set_aside_comes_back_and_a_persistent_one_stays() {
    let mut swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    let template = template::signing(KeyPair::Ecc(Curve::P256), SigningScheme::OfKey);
    let (_, key) = made(&mut tpm, template);
    let saved = tpm.save_object(&key).unwrap();
    tpm.flush(key.entity.handle).unwrap();
    let back = tpm.load_saved(&saved).unwrap();
    assert_eq!(tpm.read_public(back.entity.handle).unwrap().entity.name, key.entity.name);
    let kept = tpm.make_persistent(Hierarchy::Owner, &back, 0x8100_1234).unwrap();
    assert!(matches!(
        tpm.make_persistent(Hierarchy::Owner, &back, 0x8000_0001),
        Err(Error::BadInput(_))
    ));
    drop(tpm);
    swtpm.restart();
    let mut tpm = swtpm.talk();
    let again = tpm.read_public(kept.entity.handle).unwrap();
    assert_eq!(again.native, key.native);
    tpm.remove_persistent(Hierarchy::Owner, &again).unwrap();
    assert_eq!(refused(tpm.read_public(kept.entity.handle)), response_code::HANDLE);
    // What was set aside before the restart is gone for good.
    assert!(tpm.load_saved(&saved).is_err());
}

/// A PKCS#8 that OpenSSL made.
fn openssl_key(swtpm: &Swtpm, arguments: &[&str]) -> Vec<u8> {
    let openssl = |arguments: &[&str]| {
        touchstone_peers::tool("openssl", swtpm.dir.path(), arguments);
    };
    openssl(&[&["genpkey", "-quiet", "-out", "key.pem"], arguments].concat());
    let as_pkcs8 = ["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"];
    openssl(&[&as_pkcs8[..], &["-in", "key.pem", "-out", "key.der"]].concat());
    swtpm.read("key.der")
}

#[test]
fn a_software_key_is_wrapped_for_a_parent_and_works_inside() {
    use SignatureAlgorithm as S;
    let swtpm = Swtpm::blank_tcp().with_parent();
    let rsa = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let curve = |name: &'static str| ["-algorithm", "EC", "-pkeyopt", name];
    for (arguments, pair, algorithm) in [
        (rsa, KeyPair::Rsa(2048), S::RsaPssSha256),
        (curve("ec_paramgen_curve:P-256"), KeyPair::Ecc(Curve::P256), S::EcdsaP256Sha256),
        (curve("ec_paramgen_curve:P-384"), KeyPair::Ecc(Curve::P384), S::EcdsaP384Sha384),
        (curve("ec_paramgen_curve:P-521"), KeyPair::Ecc(Curve::P521), S::EcdsaP521Sha512),
    ] {
        let pkcs8 = openssl_key(&swtpm, &arguments);
        let key = SoftwareKey::from_pkcs8_der(&pkcs8).unwrap();
        let template = template::signing(pair, SigningScheme::OfKey);
        let public = key.as_object(template).unwrap();
        let mut tpm = swtpm.talk();
        for parent_template in [
            template::key_file_parent(false),
            template::key_file_parent(true),
            template::storage(KeyPair::Ecc(Curve::P384)),
        ] {
            let parent = primary(&mut tpm, parent_template);
            for inner in [None, Some(InnerKey::generate(&AwsLc).unwrap())] {
                let wrapped = duplicate::wrap(
                    &public,
                    &key.sensitive.clone().with_auth(AuthValue::new(b"pin")),
                    &parent.public,
                    inner.as_ref(),
                    &AwsLc,
                )
                .unwrap();
                let empty = Auth::empty();
                let private = tpm.import(&parent, empty.clone(), &wrapped, inner.as_ref()).unwrap();
                let inside = tpm.load(&parent, empty, &private, &wrapped.public).unwrap();
                let digest = template::message_digest(&AwsLc, algorithm, b"message").unwrap();
                let scheme = SigningScheme::of(algorithm).unwrap();
                let signed =
                    tpm.sign(&inside, Auth::value(b"pin"), scheme, digest.as_bytes()).unwrap();
                verify(algorithm, &public, b"message", &signed);
                tpm.flush(inside.entity.handle).unwrap();

                let mut bad = wrapped.clone();
                bad.private[40] ^= 1;
                let code = refused(tpm.import(&parent, Auth::empty(), &bad, inner.as_ref()));
                assert_eq!(code, response_code::INTEGRITY);
            }
            tpm.flush(parent.entity.handle).unwrap();
        }
    }
}

#[test]
fn symmetric_secrets_are_wrapped_for_a_parent_too() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    let parent = parent(&mut tpm);
    let inside = |tpm: &mut Tpm, template: Public, secret: &[u8]| -> Object {
        let key = SoftwareKey::symmetric(&template, secret, &AwsLc).unwrap();
        let public = key.as_object(template).unwrap();
        let wrapped =
            duplicate::wrap(&public, &key.sensitive, &parent.public, None, &AwsLc).unwrap();
        let private = tpm.import(&parent, Auth::empty(), &wrapped, None).unwrap();
        tpm.load(&parent, Auth::empty(), &private, &wrapped.public).unwrap()
    };
    let hmac = inside(&mut tpm, template::hmac(SHA256), b"an HMAC key");
    let expected = AwsLc.hmac(SHA256, b"an HMAC key", &[b"message"]).unwrap();
    assert_eq!(tpm.hmac(&hmac, Auth::empty(), b"message").unwrap()[..], *expected.as_bytes());
    tpm.flush(hmac.entity.handle).unwrap();

    let sealed = inside(&mut tpm, template::sealed(), b"sealed elsewhere");
    assert_eq!(tpm.unseal(&sealed, Auth::empty()).unwrap()[..], b"sealed elsewhere"[..]);
    tpm.flush(sealed.entity.handle).unwrap();

    let cipher = inside(&mut tpm, template::cipher(256), &[3; 32]);
    let mut expected = *b"some data";
    AwsLc.aes_cfb(&[3; 32], &[0; 16], &mut expected, Direction::Encrypt).unwrap();
    let sent =
        tpm.encrypt_decrypt(&cipher, &Auth::empty(), Direction::Encrypt, [0; 16], b"some data");
    assert_eq!(sent.unwrap()[..], expected);
}

/// The digest of a policy that allows duplication and nothing else.
fn duplication_policy() -> touchstone_crypto::Digest {
    let command = code::DUPLICATE.number.to_be_bytes();
    AwsLc.hash(SHA256, &[&[0; 32], &code::POLICY_COMMAND_CODE.number.to_be_bytes(), &command])
}

fn duplicated(
    tpm: &mut Tpm,
    object: &Object,
    parent: Option<&Object>,
    inner: Option<&InnerKey>,
) -> Result<duplicate::Duplicate, Error> {
    tpm.with_session(&NewSession::policy(SHA256), |tpm, session| {
        tpm.policy_command(session, code::DUPLICATE)?;
        tpm.duplicate(object, Auth::policy(session), parent, inner)
    })
}

#[test]
fn a_key_moves_to_another_tpm_and_signs_there() {
    let (from, to) = (Swtpm::blank_tcp().with_parent(), Swtpm::blank_tcp().with_parent());
    let mut there = to.talk();
    let new_parent = parent(&mut there);
    drop(there);
    let template = template::signing(KeyPair::Ecc(Curve::P256), SigningScheme::OfKey)
        .exportable()
        .with_policy(&duplication_policy());
    let inner = InnerKey::generate(&AwsLc).unwrap();
    let mut tpm = from.talk();
    let (_, key) = made(&mut tpm, template);
    let target = tpm.load_external(&new_parent.public, None).unwrap();
    let plain = duplicated(&mut tpm, &key, Some(&target), None).unwrap();
    let doubly = duplicated(&mut tpm, &key, Some(&target), Some(&inner)).unwrap();
    assert!(matches!(duplicated(&mut tpm, &key, None, None), Err(Error::BadInput(_))));
    let code = refused(tpm.duplicate(&key, Auth::empty(), Some(&target), None));
    assert_eq!(code, response_code::AUTH_TYPE);
    // Without a parent the inner wrapper alone protects it: an escrow in software.
    let escrow = duplicated(&mut tpm, &key, None, Some(&inner)).unwrap();
    let scalar = duplicate::open_inner(&escrow, &inner, &AwsLc).unwrap();
    assert_eq!(scalar.expose().len(), 32);
    drop(tpm);

    let mut tpm = to.talk();
    let home = parent(&mut tpm);
    for (moved, inner) in [(plain, None), (doubly, Some(&inner))] {
        let private = tpm.import(&home, Auth::empty(), &moved, inner).unwrap();
        let arrived = tpm.load(&home, Auth::empty(), &private, &moved.public).unwrap();
        assert_eq!(arrived.entity.name, key.entity.name);
        let handle = arrived.entity.handle;
        let digest = AwsLc.hash(SHA256, &[b"message"]);
        let scheme = SigningScheme::Ecdsa(SHA256);
        let signed = tpm.sign(&arrived, Auth::empty(), scheme, digest.as_bytes()).unwrap();
        verify(SignatureAlgorithm::EcdsaP256Sha256, &key.public, b"message", &signed);
        tpm.flush(handle).unwrap();
    }
    let outside = tpm.load_external(&key.public, Some(&scalar)).unwrap();
    let digest = AwsLc.hash(SHA256, &[b"message"]);
    let scheme = SigningScheme::Ecdsa(SHA256);
    let signed = tpm.sign(&outside, Auth::empty(), scheme, digest.as_bytes()).unwrap();
    verify(SignatureAlgorithm::EcdsaP256Sha256, &key.public, b"message", &signed);
}

#[test]
fn a_duplicate_is_rewrapped_for_another_parent() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    let template = template::hmac(SHA256);
    let key = SoftwareKey::symmetric(&template, b"an HMAC key", &AwsLc).unwrap();
    let public = key.as_object(template).unwrap();
    let old = parent(&mut tpm);
    let new = primary(&mut tpm, template::key_file_parent(true));
    let for_old = duplicate::wrap(&public, &key.sensitive, &old.public, None, &AwsLc).unwrap();
    let for_new = tpm.rewrap(&old, Auth::empty(), &new, &for_old).unwrap();
    // A point is no RSA ciphertext.
    assert_eq!(refused(tpm.import(&new, Auth::empty(), &for_old, None)), response_code::SIZE);
    let private = tpm.import(&new, Auth::empty(), &for_new, None).unwrap();
    let inside = tpm.load(&new, Auth::empty(), &private, &for_new.public).unwrap();
    let expected = AwsLc.hmac(SHA256, b"an HMAC key", &[b"message"]).unwrap();
    assert_eq!(tpm.hmac(&inside, Auth::empty(), b"message").unwrap()[..], *expected.as_bytes());
}

#[test]
fn a_public_key_from_elsewhere_verifies_inside() {
    let swtpm = Swtpm::blank_tcp();
    let soft = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let pkcs8 = pkcs8_of(&soft);
    let key = SoftwareKey::from_pkcs8_der(&pkcs8).unwrap();
    let template = template::signing(KeyPair::Ecc(Curve::P256), SigningScheme::OfKey);
    let mut tpm = swtpm.talk();
    let mut public = key.as_object(template).unwrap();
    public.attributes &= !attributes::NO_DA;
    let loaded = tpm.load_external(&public, None).unwrap();
    let fixed = {
        use touchstone_crypto::Signer;
        let der = soft.sign(b"message").unwrap();
        touchstone_crypto::ecdsa::der_to_fixed(&der, 32).unwrap()
    };
    let signed = [&[0, 0x18, 0, 0x0B, 0, 32], &fixed[..32], &[0, 32], &fixed[32..]].concat();
    let digest = AwsLc.hash(SHA256, &[b"message"]);
    assert!(tpm.verify_signature(&loaded, digest.as_bytes(), &signed).is_ok());
    tpm.flush(loaded.entity.handle).unwrap();
    // A software key works inside for as long as it is loaded.
    let private = tpm.load_external(&public, Some(&key.sensitive)).unwrap();
    let scheme = SigningScheme::Ecdsa(SHA256);
    let signed = tpm.sign(&private, Auth::empty(), scheme, digest.as_bytes()).unwrap();
    verify(SignatureAlgorithm::EcdsaP256Sha256, &public, b"message", &signed);
    tpm.flush(private.entity.handle).unwrap();
    let wrong = Sensitive::ecc(&[1; 32]);
    let code = refused(tpm.load_external(&public, Some(&wrong)));
    assert_eq!(code, response_code::BINDING);
}

fn pkcs8_of(signer: &SoftSigner) -> Vec<u8> {
    use base64ct::{Base64, Encoding};
    let pem = signer.to_pkcs8_pem();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    Base64::decode_vec(&body).unwrap()
}

#[test]
fn every_endorsement_key_opens_the_credential_made_for_it_and_for_its_attestation_key() {
    let swtpm = Swtpm::blank_tcp().with_parent();
    let mut tpm = swtpm.talk();
    let scheme = SigningScheme::Ecdsa(SHA256);
    let template = template::attestation(KeyPair::Ecc(Curve::P256), scheme).unwrap();
    let (_, ak) = made(&mut tpm, template);
    let mut opened = Vec::new();
    for kind in &ENDORSEMENT {
        let new = NewObject::new((kind.template)(&AwsLc));
        let ek = match tpm.create_primary(Hierarchy::Endorsement, Auth::empty(), &new) {
            Ok((ek, _)) => ek,
            // libtpms of Debian 12 has no RSA 4096.
            Err(Error::Refused(refusal)) if kind.name == "H-7" => {
                assert_eq!(response_code::base(refusal.response), response_code::VALUE);
                continue;
            }
            Err(other) => panic!("{}: {other}", kind.name),
        };
        let hash = ek.public.name_algorithm;
        let ours = credential::make(&ek.native, &ak.entity.name, b"ours", &AwsLc).unwrap();
        let theirs = tpm.make_credential(&ek, &ak.entity.name, b"the TPM's").unwrap();
        for (made, secret) in [(&ours, &b"ours"[..]), (&theirs, b"the TPM's")] {
            let got = tpm
                .with_session(&NewSession::policy(hash), |tpm, session| {
                    let auth = if ek.public.attributes & attributes::USER_WITH_AUTH == 0 {
                        tpm.policy_secret(session, Hierarchy::Endorsement)?;
                        Auth::policy(session)
                    } else {
                        Auth::empty()
                    };
                    tpm.activate_credential(&ak, Auth::empty(), &ek, auth, made)
                })
                .unwrap();
            assert_eq!(got[..], *secret, "{}", kind.name);
        }
        tpm.flush(ek.entity.handle).unwrap();
        opened.push(kind.name);
    }
    assert!(opened.starts_with(&["L-1", "L-2", "H-1", "H-2", "H-3", "H-4", "H-6"]), "{opened:?}");
}

#[test]
fn a_key_of_another_tpm_is_refused_as_such() {
    let (here, elsewhere) = (Swtpm::blank_tcp().with_parent(), Swtpm::blank_tcp().with_parent());
    let mut tpm = elsewhere.talk();
    let template = template::signing(KeyPair::Ecc(Curve::P256), SigningScheme::OfKey);
    let (created, _) = made(&mut tpm, template);
    drop(tpm);
    let mut tpm = here.talk();
    let home = parent(&mut tpm);
    let loaded = tpm.load(&home, Auth::empty(), &created.private, &created.native);
    assert_eq!(refused(loaded), response_code::INTEGRITY);
    let (own, _) = made(&mut tpm, template::hmac(SHA256));
    let mixed = tpm.load(&home, Auth::empty(), &own.private, &created.native);
    assert_eq!(refused(mixed), response_code::INTEGRITY);
}
