//! What EST's bodies hold: attributes, parts with a key, full requests and responses. What is read
//! writes back to what reads alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_crypto_awslc::AwsLc;
use touchstone_enroll::Activation;
use touchstone_enroll::est::attributes::Attributes;
use touchstone_enroll::est::cmc::{self, PkiData, PkiResponse};
use touchstone_enroll::est::{CSRATTRS_TYPE, Question, Sealing, decode_attributes, keygen};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(wanted) = Attributes::decode(bytes) {
        let again = wanted.encode().expect("what was read can be written");
        assert_eq!(Attributes::decode(&again).map(|it| it.key()), Ok(wanted.key()));
        let _ = (wanted.key(), wanted.extensions());
        if let Ok(Some(asked)) = Activation::of(&wanted) {
            let again = asked.to_attribute().expect("what was read can be written");
            let again = Attributes { valued: vec![again], ..Attributes::default() };
            assert_eq!(Activation::of(&again), Ok(Some(asked)));
        }
    }
    if let Ok(data) = PkiData::decode(bytes) {
        assert!(data.requests.len() <= cmc::MOST_REQUESTS);
        let again = PkiData::decode(&data.encode()).expect("what was read can be written");
        assert_eq!((again.transaction, again.requests), (data.transaction, data.requests));
    }
    let _ = PkiResponse::decode(bytes);
    let _ = cmc::read_request(&AwsLc, bytes);
    let _ = decode_attributes(CSRATTRS_TYPE, bytes);
    for boundary in ["b", "touchstone-est-key"] {
        let _ = keygen::decode(&format!("multipart/mixed; boundary={boundary}"), bytes);
    }
    let _ = (Question::decode(bytes), Sealing::decode(bytes));
});
