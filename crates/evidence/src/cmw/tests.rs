use super::*;
use alloc::string::String;
use proptest::prelude::*;

fn record(value: &'static [u8]) -> Record<'static> {
    Record::new("application/eat+cwt", value).unwrap()
}

fn sample() -> Cmw<'static> {
    let mut inner = Collection::new("2.16.840.1").unwrap();
    assert!(inner.add("result", Cmw::Record(record(b"ear"))));
    let mut outer = Collection::new("tag:example.com,2026:all").unwrap();
    let evidence = record(b"quote").indicating(Indicator::EVIDENCE);
    assert!(outer.add("nested", Cmw::Collection(inner)));
    assert!(outer.add("evidence", Cmw::Record(evidence)));
    Cmw::Collection(outer)
}

#[test]
fn a_collection_reads_back_in_both_forms() {
    let cmw = sample();
    assert_eq!(Cmw::decode(&cmw.to_cbor()), Ok(cmw.clone()));
    let json = cmw.to_json().unwrap();
    assert_eq!(Cmw::decode(&json), Ok(cmw), "and in its order");
    let text = String::from_utf8(json).unwrap();
    assert!(text.contains(r#""evidence":["application/eat+cwt","cXVvdGU",4]"#), "{text}");
}

#[test]
fn a_tagged_record_says_its_content_format() {
    let record = Record {
        kind: Kind::ContentFormat(263),
        value: Cow::Borrowed(&b"eat"[..]),
        indicator: None,
    };
    let tagged = record.to_tagged_cbor().unwrap();
    assert_eq!(tagged, [&[0xDA, 0x63, 0x74, 0x02, 0x09, 0x43][..], b"eat"].concat());
    assert_eq!(Cmw::decode(&tagged), Ok(Cmw::Record(record.clone())));
    // The same as an array; JSON has no form for it.
    let cmw = Cmw::Record(record.clone());
    assert_eq!(Cmw::decode(&cmw.to_cbor()), Ok(cmw.clone()));
    assert_eq!(cmw.to_json(), None);
    assert_eq!(record.indicating(Indicator::EVIDENCE).to_tagged_cbor(), None);
}

#[test]
fn what_json_would_hide_is_refused() {
    for bad in [
        r#"{"a":["a/b","AA"],"a":["a/b","AQ"]}"#,
        r#"{"__cmwc_t":"1.2","__cmwc_t":"1.3","a":["a/b","AA"]}"#,
        r#"{"__cmwc_t":"no type","a":["a/b","AA"]}"#,
        r#"{"__cmwc_t":"1.2"}"#,
        r"{}",
        r#"["a/b"]"#,
        r#"["a/b","AA",4,0]"#,
        r#"["a/b","AA",64]"#,
        r#"["a/b","AA",-1]"#,
        r#"["a/b","AA=="]"#,
        r#"["a/b","A+"]"#,
        r#"["ab","AA"]"#,
        r#"[263,"AA"]"#,
        r#"["a/b","AA"] x"#,
        r#"{"a":{"b":{"c":{"d":{"e":["a/b","AA"]}}}}}"#,
        r#"{"":["a/b","AA"]}"#,
    ] {
        assert!(matches!(Cmw::decode(bad.as_bytes()), Err(Error::Malformed { .. })), "{bad}");
    }
    let at = Cmw::decode(b"{\n\"a\": 7}").unwrap_err();
    assert_eq!(at, Error::Malformed { item: ITEM, at: 7 });
}

#[test]
fn what_cbor_would_hide_is_refused() {
    let one = b"\x82\x63a/b\x40";
    assert!(Cmw::decode(one).is_ok());
    let map = |body: &[u8]| body.to_vec();
    for bad in [
        map(b"\xA2\x61a\x82\x63a/b\x40\x61a\x82\x63a/b\x40"),
        map(b"\xA2\x01\x82\x63a/b\x40\x01\x82\x63a/b\x40"),
        map(b"\xA0"),
        map(b"\x81\x63a/b"),
        map(b"\x83\x63a/b\x40\x18\x40"),
        map(b"\x82\x1A\x00\x01\x00\x00\x40"),
        map(b"\x82\x62ab\x40"),
        map(b"\x82\x63a/b\x40\x00"),
        map(b"\xBF\x61a\x82\x63a/b\x40\xFF"),
        map(b"\xC1\x40"),
        map(b"\xDA\x63\x74\x02\x09\xA0"),
        Vec::new(),
    ] {
        assert!(Cmw::decode(&bad).is_err(), "{bad:02x?}");
    }
    let mut deep = one.to_vec();
    for _ in 0..=MAX_DEPTH {
        deep = [b"\xA1\x61a".as_slice(), &deep].concat();
    }
    assert!(matches!(Cmw::decode(&deep), Err(Error::TooLarge { limit: MAX_DEPTH, .. })));
}

#[test]
fn an_indicator_is_a_set() {
    let both = Indicator::EVIDENCE.and(Indicator::ENDORSEMENTS);
    assert!(both.has(Indicator::EVIDENCE) && !both.has(Indicator::ATTESTATION_RESULTS));
    assert_eq!(Indicator::from_bits(6), Some(both));
    assert_eq!(Indicator::from_bits(64), None);
    assert_eq!(Indicator::from_bits(256), None);
}

proptest! {
    #[test]
    fn what_decodes_encodes_to_itself(octets in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(cmw) = Cmw::decode(&octets) {
            let again = cmw.to_cbor();
            prop_assert_eq!(Cmw::decode(&again), Ok(cmw));
        }
        let mut sample = sample().to_cbor();
        for (at, octet) in octets.iter().enumerate() {
            let at = at * 7 % sample.len();
            sample[at] ^= octet;
        }
        let _ = Cmw::decode(&sample);
    }
}
