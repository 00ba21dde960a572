//! Published vectors, and what a provider must refuse.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::sync::atomic::{AtomicU8, Ordering};
use touchstone_crypto::{
    Crypto, Curve, Direction, Error, HashAlgorithm, SignatureAlgorithm, TpmCrypto,
};
use touchstone_crypto_soft::{Agreement, P384, Soft};

static ASKED: AtomicU8 = AtomicU8::new(0);
static SOFT: Soft = Soft::new(|_| Err(Error::NoRandom));

fn hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|p| u8::from_str_radix(str::from_utf8(p).unwrap(), 16).unwrap()).collect()
}

#[test]
fn the_digests_of_abc_are_those_of_fips_180() {
    // FIPS 180-4's examples.
    for (algorithm, digest) in [
        (HashAlgorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (HashAlgorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            HashAlgorithm::Sha384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
             8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            HashAlgorithm::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ] {
        assert_eq!(SOFT.hash(algorithm, &[b"a", b"", b"bc"]).to_hex(), digest);
    }
}

#[test]
fn hmac_is_the_one_of_rfc_4231() {
    // RFC 4231 §4.3, test case 2.
    let parts: &[&[u8]] = &[b"what do ya want ", b"for nothing?"];
    let sha256 = SOFT.hmac(HashAlgorithm::Sha256, b"Jefe", parts).unwrap();
    assert_eq!(sha256.to_hex(), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    let sha384 = SOFT.hmac(HashAlgorithm::Sha384, b"Jefe", parts).unwrap();
    assert_eq!(
        sha384.to_hex(),
        "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e\
         8e2240ca5e69e2c78b3239ecfab21649"
    );
}

#[test]
fn cfb_is_the_one_of_sp_800_38a() {
    // SP 800-38A F.3.13 and F.3.17: CFB128-AES128 and -AES256, all four blocks.
    let plain = hex(concat!(
        "6bc1bee22e409f96e93d7e117393172a",
        "ae2d8a571e03ac9c9eb76fac45af8e51",
        "30c81c46a35ce411e5fbc1191a0a52ef",
        "f69f2445df4f9b17ad2b417be66c3710"
    ));
    let iv = hex("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
    for (key, secret) in [
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            concat!(
                "3b3fd92eb72dad20333449f8e83cfb4a",
                "c8a64537a0b3a93fcde3cdad9f1ce58b",
                "26751f67a3cbb140b1808cf187a4f4df",
                "c04b05357c5d1c0eeac4c66f9ff7f2e6"
            ),
        ),
        (
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            concat!(
                "dc7e84bfda79164b7ecd8486985d3860",
                "39ffed143b28b1c832113c6331e5407b",
                "df10132415e54b92a13ed0a8267ae2f9",
                "75a385741ab9cef82031623d55b1e471"
            ),
        ),
    ] {
        for len in [0, 1, 15, 16, 17, 63, 64] {
            let mut data = plain[..len].to_vec();
            SOFT.aes_cfb(&hex(key), &iv, &mut data, Direction::Encrypt).unwrap();
            assert_eq!(data, hex(secret)[..len]);
            SOFT.aes_cfb(&hex(key), &iv, &mut data, Direction::Decrypt).unwrap();
            assert_eq!(data, plain[..len]);
        }
    }
    let odd = SOFT.aes_cfb(&[0; 24], &[0; 16], &mut [], Direction::Encrypt);
    assert_eq!(odd, Err(Error::Unsupported));
}

#[test]
fn ecdh_is_the_one_of_rfc_5903() {
    // RFC 5903 §8.1 and §8.2: our private key is what the random source gives.
    let p256 = Soft::new(|out| {
        out.copy_from_slice(&hex(
            "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
        ));
        Ok(())
    });
    let agreed = p256
        .agree(
            Curve::P256,
            &hex("d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"),
            &hex("56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab"),
        )
        .unwrap();
    assert_eq!(agreed.x, hex("dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180"));
    assert_eq!(agreed.y, hex("5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3"));
    assert_eq!(*agreed.z, hex("d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"));

    let p384 = Soft::new(|out| {
        out.copy_from_slice(&hex(
            "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655\
             e35b538041e649ee3faef896783ab194",
        ));
        Ok(())
    });
    let agreed = p384
        .agree(
            Curve::P384,
            &hex("e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d\
                  0d1ac43a0336def96fda41d0774a3571"),
            &hex("dcfbec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1ff\
                  f83fa40142209dff5eaad96db9e6386c"),
        )
        .unwrap();
    assert_eq!(
        *agreed.z,
        hex("11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4\
             d603135569b9e9d09cf5d4a270f59746")
    );
}

#[test]
fn ed25519_is_the_one_of_rfc_8032() {
    // RFC 8032 §7.1, test 3.
    let key = hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
    let spki = [hex("302a300506032b6570032100"), key].concat();
    let signature = hex(concat!(
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac",
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    ));
    let verify =
        |message: &[u8]| SOFT.verify(SignatureAlgorithm::Ed25519, &spki, message, &signature);
    assert_eq!(verify(&[0xAF, 0x82]), Ok(()));
    assert_eq!(verify(&[0xAF, 0x83]), Err(Error::BadSignature));
}

#[test]
fn a_point_off_the_curve_or_of_another_length_is_refused() {
    for curve in [Curve::P256, Curve::P384] {
        let len = curve.len();
        let off = SOFT.agree(curve, &vec![1; len], &vec![1; len]);
        assert_eq!(off.unwrap_err(), Error::BadKey);
        for (x, y) in [(len - 1, len), (len, len + 1), (0, 0)] {
            let short = SOFT.agree(curve, &vec![1; x], &vec![1; y]);
            assert_eq!(short.unwrap_err(), Error::BadKey);
        }
    }
}

#[test]
fn what_it_does_not_do_it_says() {
    assert_eq!(SOFT.agree(Curve::P521, &[1; 66], &[1; 66]).unwrap_err(), Error::Unsupported);
    let oaep = SOFT.rsa_oaep(&[0xC3; 256], 65537, HashAlgorithm::Sha256, b"SECRET\0", b"salt");
    assert_eq!(oaep, Err(Error::Unsupported));
    for algorithm in [SignatureAlgorithm::RsaPkcs1Sha256, SignatureAlgorithm::EcdsaP521Sha512] {
        assert_eq!(SOFT.verify(algorithm, &[], &[], &[]), Err(Error::Unsupported));
    }
}

#[test]
fn what_is_not_listed_is_not_offered() {
    static ONLY_P384: &[&Agreement] = &[&P384];
    let bare = SOFT.signatures(&[]).agreements(ONLY_P384).macs(&[]).ciphers(&[]);
    let mac = bare.hmac(HashAlgorithm::Sha256, b"key", &[]);
    assert_eq!(mac, Err(Error::Unsupported));
    let cipher = bare.aes_cfb(&[0; 16], &[0; 16], &mut [], Direction::Encrypt);
    assert_eq!(cipher, Err(Error::Unsupported));
    let ed25519 = bare.verify(SignatureAlgorithm::Ed25519, &[], &[], &[]);
    assert_eq!(ed25519, Err(Error::Unsupported));
    assert_eq!(bare.agree(Curve::P256, &[1; 32], &[1; 32]).unwrap_err(), Error::Unsupported);
    assert_eq!(bare.agree(Curve::P384, &[1; 48], &[1; 48]).unwrap_err(), Error::BadKey);
}

#[test]
fn without_randomness_there_is_no_agreement() {
    let x = hex("d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63");
    let y = hex("56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab");
    assert_eq!(SOFT.agree(Curve::P256, &x, &y).unwrap_err(), Error::NoRandom);

    // A source that is stuck, and so makes no private key, is found out.
    let stuck = Soft::new(|out| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        out.fill(0xFF);
        Ok(())
    });
    assert_eq!(stuck.agree(Curve::P256, &x, &y).unwrap_err(), Error::NoRandom);
    assert!(ASKED.load(Ordering::Relaxed) > 1);
}
