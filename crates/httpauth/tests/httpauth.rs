//! Both schemes against the standards' own examples, and every wrong answer by its name.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use proptest::prelude::*;
use touchstone_crypto_awslc::AwsLc;
use touchstone_httpauth::{Basic, Challenge, Digest, Error, Nonces, secret};

#[test]
fn the_example_of_rfc_7616_is_verified() {
    // RFC 7616 §3.9.1.
    let header = "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", \
        uri=\"/dir/index.html\", algorithm=SHA-256, \
        nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
        cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
        response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", \
        opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
    let digest = Digest::parse(header).unwrap();
    let realm = "http-auth@example.org";
    let kept = secret(&AwsLc, "Mufasa", realm, "Circle of Life");
    digest.verify(&AwsLc, realm, "GET", "/dir/index.html", &kept).unwrap();
    let verify = |realm, method, uri, secret| digest.verify(&AwsLc, realm, method, uri, secret);
    let uri = "/dir/index.html";
    assert_eq!(verify("other", "GET", uri, &kept), Err(Error::WrongRealm));
    assert_eq!(verify(realm, "GET", "/other", &kept), Err(Error::WrongTarget));
    assert_eq!(verify(realm, "POST", uri, &kept), Err(Error::WrongPassword));
    let other = secret(&AwsLc, "Mufasa", realm, "circle of life");
    assert_eq!(verify(realm, "GET", uri, &other), Err(Error::WrongPassword));
}

#[test]
fn the_example_of_rfc_7617_is_read() {
    let basic = Basic::parse("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
    assert_eq!((basic.user(), basic.password()), ("Aladdin", "open sesame"));
    assert_eq!(basic.header().as_str(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_eq!(Basic::parse("Bearer abc"), Err(Error::OtherScheme));
    assert_eq!(Basic::parse("Basic !"), Err(Error::Malformed));
    assert_eq!(Basic::parse("Basic QWxhZGRpbg=="), Err(Error::Malformed), "no colon");
    assert_eq!(Basic::new("a:b", "c"), Err(Error::Malformed));
    assert_eq!(format!("{basic:?}"), "Basic(Aladdin)");
}

#[test]
fn a_nonce_is_ours_young_and_counts_up() {
    let mut nonces = Nonces::new(&AwsLc).unwrap();
    let challenge = nonces.challenge(&AwsLc, "est", 1_000, false).unwrap();
    let answer = |challenge: &Challenge| {
        Digest::parse(&challenge.answer(&AwsLc, "u", "p", "GET", "/").unwrap()).unwrap()
    };
    let first = answer(&challenge);
    assert_eq!(nonces.check(&AwsLc, &first, 1_301), Err(Error::StaleNonce));
    nonces.check(&AwsLc, &first, 1_300).unwrap();
    assert_eq!(nonces.check(&AwsLc, &first, 1_300), Err(Error::Replayed));
    let others = Nonces::new(&AwsLc).unwrap().challenge(&AwsLc, "est", 1_000, false).unwrap();
    assert_eq!(nonces.check(&AwsLc, &answer(&others), 1_000), Err(Error::ForeignNonce));
    let short = Challenge { nonce: "abc".into(), ..challenge };
    assert_eq!(nonces.check(&AwsLc, &answer(&short), 1_000), Err(Error::ForeignNonce));
}

#[test]
fn what_is_weak_or_incomplete_is_refused_by_name() {
    let challenge =
        |rest: &str| Challenge::parse(&format!("Digest realm=\"r\", nonce=\"n\"{rest}"));
    assert!(challenge(", algorithm=SHA-256, qop=\"auth,auth-int\"").is_ok());
    for weak in ["", ", algorithm=MD5, qop=\"auth\"", ", algorithm=SHA-256, qop=\"auth-int\""] {
        assert_eq!(challenge(weak), Err(Error::Unsupported), "{weak}");
    }
    let full = "Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"/\", algorithm=SHA-256, \
                qop=auth, nc=00000001, cnonce=\"c\", response=\"0\"";
    assert!(Digest::parse(full).is_ok());
    for (part, with) in [
        ("nc=00000001", "nc=0000000g"),
        ("nc=00000001", "nc=00000000"),
        ("nc=00000001", "nc=1"),
        ("cnonce=\"c\"", "cnonce=\"\""),
        ("uri=\"/\", ", ""),
        ("uri=\"/\"", "nonce=\"n\""),
    ] {
        assert_eq!(Digest::parse(&full.replace(part, with)), Err(Error::Parameters), "{with}");
    }
    assert_eq!(Digest::parse(&full.replace("\"u\"", "\"u")), Err(Error::Malformed));
    assert_eq!(Digest::parse(&full.replace("SHA-256", "MD5")), Err(Error::Unsupported));
}

proptest! {
    #[test]
    fn any_header_is_read_or_refused(text in ".{0,200}", scheme in "(Digest |Basic )?") {
        let header = format!("{scheme}{text}");
        let _ = (Basic::parse(&header), Digest::parse(&header), Challenge::parse(&header));
    }

    #[test]
    fn an_answer_is_understood_whatever_the_words(
        user in "[^\\p{C}]{1,20}", password in "[^\\p{C}]{0,20}", realm in "[^\\p{C}]{0,20}",
    ) {
        let mut nonces = Nonces::new(&AwsLc).unwrap();
        let shown = nonces.challenge(&AwsLc, &realm, 5, true).unwrap().to_string();
        let shown = Challenge::parse(&shown).unwrap();
        prop_assert!(shown.stale);
        let header = shown.answer(&AwsLc, &user, &password, "POST", "/a?b=\"c\"").unwrap();
        let digest = Digest::parse(&header).unwrap();
        prop_assert_eq!(digest.user(), user.as_str());
        let kept = secret(&AwsLc, &user, &realm, &password);
        digest.verify(&AwsLc, &realm, "POST", "/a?b=\"c\"", &kept).unwrap();
        nonces.check(&AwsLc, &digest, 6).unwrap();
    }
}
