use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Uri, UriError> {
    text.parse()
}

fn fault(text: &str) -> UriFault {
    parse(text).unwrap_err().fault
}

#[test]
fn the_examples_of_rfc_7512_are_read() {
    // RFC 7512 §3.
    assert_eq!(parse("pkcs11:").unwrap(), Uri::default());
    let uri = parse("pkcs11:object=my-pubkey;type=public").unwrap();
    assert_eq!(uri.object.as_deref(), Some("my-pubkey"));
    assert_eq!(uri.object_type, Some(ObjectType::Public));

    let uri = parse("pkcs11:object=my-key;type=private?pin-source=file:/etc/token").unwrap();
    assert_eq!(uri.pin_source, Some(PinSource::File("/etc/token".to_owned())));

    let uri = parse(
        "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;\
         manufacturer=Snake%20Oil,%20Inc.;model=1.0;object=my-certificate;type=cert;\
         id=%69%95%3E%5C%F4%BD%EC%91;serial=?pin-source=file:/etc/token_pin",
    )
    .unwrap();
    assert_eq!(uri.token.as_deref(), Some("The Software PKCS#11 Softtoken"));
    assert_eq!(uri.manufacturer.as_deref(), Some("Snake Oil, Inc."));
    assert_eq!(uri.id.as_deref(), Some(&b"\x69\x95\x3e\x5c\xf4\xbd\xec\x91"[..]));
    assert_eq!(uri.serial.as_deref(), Some(""));

    let uri = parse("pkcs11:slot-description=Sun%20Metaslot").unwrap();
    assert_eq!(uri.slot_description.as_deref(), Some("Sun Metaslot"));
    let uri = parse("pkcs11:token=Name%20with%20a%20small%20A%20with%20acute:%20%C3%A1").unwrap();
    assert_eq!(uri.token.as_deref(), Some("Name with a small A with acute: á"));
    let uri = parse("pkcs11:library-version=3.1;slot-id=327").unwrap();
    assert_eq!((uri.library_version, uri.slot_id), (Some((3, 1)), Some(327)));
}

#[test]
fn a_pin_in_a_uri_is_refused_and_not_repeated() {
    let error = parse("pkcs11:token=t?pin-value=the-pin").unwrap_err();
    assert_eq!(error, UriError { at: 15, fault: UriFault::PinValue });
    assert!(!format!("{error} {error:?}").contains("the-pin"));
    assert!(error.to_string().contains("pin-source=file:"));
    assert_eq!(fault("pkcs11:pin-value=1234"), UriFault::PinValue);
}

#[test]
fn every_fault_says_where_and_what() {
    for (text, at, fault) in [
        ("", 0, UriFault::Scheme),
        ("pkcs11", 0, UriFault::Scheme),
        ("pkcs12:token=a", 0, UriFault::Scheme),
        ("pkcs11:token", 7, UriFault::NoValue),
        ("pkcs11:token=a;", 15, UriFault::NoValue),
        ("pkcs11:token=a;token=a", 15, UriFault::Duplicate),
        ("pkcs11:?module-name=a&module-name=a", 22, UriFault::Duplicate),
        ("pkcs11:x-vendor=1", 7, UriFault::Unknown),
        ("pkcs11:Token=a", 7, UriFault::Unknown),
        ("pkcs11:module-path=a", 7, UriFault::Misplaced),
        ("pkcs11:?token=a", 8, UriFault::Misplaced),
        ("pkcs11:token=%2", 7, UriFault::Percent),
        ("pkcs11:token=%zz", 7, UriFault::Percent),
        ("pkcs11:token=%+1", 7, UriFault::Percent),
        ("pkcs11:token=a b", 7, UriFault::Character),
        ("pkcs11:token=a/b", 7, UriFault::Character),
        ("pkcs11:token=á", 7, UriFault::Character),
        ("pkcs11:token=%FF", 7, UriFault::Text),
        ("pkcs11:token=%00", 7, UriFault::Text),
        ("pkcs11:slot-id=+1", 7, UriFault::Number),
        ("pkcs11:slot-id=", 7, UriFault::Number),
        ("pkcs11:slot-id=18446744073709551616", 7, UriFault::Number),
        ("pkcs11:library-version=1.256", 7, UriFault::Number),
        ("pkcs11:type=key", 7, UriFault::Type),
        ("pkcs11:?pin-source=|/usr/bin/ask", 8, UriFault::PinSource),
        ("pkcs11:?pin-source=1234", 8, UriFault::PinSource),
        ("pkcs11:?pin-source=file:pin", 8, UriFault::PinSource),
        ("pkcs11:?pin-source=credential:../pin", 8, UriFault::PinSource),
        ("pkcs11:?module-path=softhsm.so", 8, UriFault::ModulePath),
        ("pkcs11:?module-name=../x", 8, UriFault::ModuleName),
    ] {
        assert_eq!(parse(text), Err(UriError { at, fault }), "{text}");
        assert!(fault.code().starts_with("pkcs11.uri."));
    }
    assert_eq!(fault(&format!("pkcs11:token={}", "a".repeat(LONGEST))), UriFault::TooLong);
}

fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[^\0]{0,12}")
}

prop_compose! {
    fn names()(
        token in text(), manufacturer in text(), serial in text(), model in text(),
        library_manufacturer in text(), library_description in text(), object in text(),
        slot_description in text(), slot_manufacturer in text(),
    ) -> Uri {
        Uri {
            token, manufacturer, serial, model, library_manufacturer, library_description, object,
            slot_description, slot_manufacturer, ..Uri::default()
        }
    }
}

prop_compose! {
    fn uris()(
        names in names(),
        library_version in any::<Option<(u8, u8)>>(),
        object_type in proptest::option::of(proptest::sample::select(&ObjectType::ALL[..])),
        id in any::<Option<[u8; 8]>>(),
        slot_id in any::<Option<u64>>(),
        pin_file in proptest::option::of("/[^\0/][^\0]{0,12}"),
        credential in "[a-z.]{1,8}x",
        module_name in proptest::option::of("[a-z0-9_-]{1,12}"),
        module_path in proptest::option::of("/[^\0]{0,12}"),
    ) -> Uri {
        let pin_source = Some(pin_file.map_or(PinSource::Credential(credential), PinSource::File));
        Uri {
            library_version, object_type, id: id.map(|id| id.to_vec()), slot_id,
            pin_source, module_name, module_path, ..names
        }
    }
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same(uri in uris()) {
        prop_assert_eq!(uri.to_string().parse::<Uri>(), Ok(uri));
    }

    #[test]
    fn noise_is_refused_or_survives_a_round_trip(text in "(pkcs11:)?[a-z=;?&%0-9-]{0,40}") {
        if let Ok(uri) = text.parse::<Uri>() {
            prop_assert_eq!(uri.to_string().parse::<Uri>(), Ok(uri));
        }
    }
}
