//! Bad input, each kind with an error of its own: encodings that are not DER, lengths that lie, status
//! responses that do not count, and more certificates than anyone honest sends.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::time::{Duration, Instant};
use touchstone_certs::crl::CrlTemplate;
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::ocsp::{Presigned, Request, Responder, Response, Status};
use touchstone_certs::{
    Certificate, CertificateRequest, Crl, Error, Fault, Name, PathInputs, Purpose, Revocation,
    TrustStore, request,
};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

const NOW: u64 = 1_800_000_000;

struct Plant {
    ca: Certificate,
    key: SoftSigner,
    leaf: Certificate,
}

fn key() -> SoftSigner {
    SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap()
}

fn name(text: &str) -> Name {
    Name::common_name(text).unwrap()
}

impl Plant {
    fn new() -> Self {
        let key = key();
        let template = Template::new(Kind::Root, name("ca"), NOW - 600, NOW + 86_400);
        let ca = template.self_sign(&AwsLc, &key).unwrap();
        let leaf = Template::new(Kind::Device, name("leaf"), NOW - 600, NOW + 86_400)
            .issue(&AwsLc, &Issuer::new(&ca, &key).unwrap(), key.spki_der())
            .unwrap();
        Self { ca, key, leaf }
    }

    fn respond(&self, nonce: Option<&[u8]>, at: u64, until: u64, status: Status) -> Response {
        let request = Request::new(&AwsLc, &self.leaf, &self.ca, nonce).unwrap();
        let responder = Responder::new(&AwsLc, &self.ca, &self.ca, &self.key, NOW).unwrap();
        let octets = responder.respond(&AwsLc, &request, at, until, |_| status).unwrap();
        Response::decode(&octets).unwrap()
    }

    fn verify(&self, response: &Response, nonce: Option<&[u8]>) -> &'static str {
        let said = response.verify(&AwsLc, &self.leaf, &self.ca, nonce, NOW);
        said.as_ref().map_or_else(Error::code, |_| "believed")
    }

    fn ask(&self, revocation: Revocation<'_>) -> &'static str {
        let trust = TrustStore::new(vec![self.ca.clone()]);
        let inputs = PathInputs::new(NOW, Purpose::Any).with_revocation(revocation);
        let said = trust.validate_with(&AwsLc, &self.leaf, &[], &inputs);
        said.as_ref().map_or_else(Error::code, |_| "valid")
    }
}

type Decode = fn(&[u8]) -> Result<(), Error>;

/// Something good to begin with, and what reads it.
fn decoders() -> [(Vec<u8>, Decode); 5] {
    let plant = Plant::new();
    let request = request::build(&name("leaf"), &[], &[], &plant.key).unwrap();
    let crl = CrlTemplate::new(1, NOW, NOW + 60).sign(&AwsLc, &plant.ca, &plant.key).unwrap();
    let asked = Request::new(&AwsLc, &plant.leaf, &plant.ca, Some(&[7; 32])).unwrap();
    let responder = Responder::new(&AwsLc, &plant.ca, &plant.ca, &plant.key, NOW).unwrap();
    let answered = responder.respond(&AwsLc, &asked, NOW, NOW + 60, |_| Status::Good).unwrap();
    [
        (plant.leaf.der().to_vec(), |der| Certificate::decode(der).map(drop)),
        (request, |der| CertificateRequest::decode(der).map(drop)),
        (crl.der().to_vec(), |der| Crl::decode(der).map(drop)),
        (asked.encode().unwrap(), |der| Request::decode(der).map(drop)),
        (answered, |der| Response::decode(der).map(drop)),
    ]
}

/// The octets of the content, without tag and length.
fn content(der: &[u8]) -> &[u8] {
    match der[1] {
        0x82 => &der[4..],
        0x81 => &der[3..],
        _ => &der[2..],
    }
}

#[test]
fn what_is_not_der_is_malformed() {
    for (good, decode) in decoders() {
        decode(&good).unwrap();
        let inner = content(&good);
        let len = inner.len();
        let wrap = |head: &[u8], tail: &[u8]| [head, inner, tail].concat();
        let (high, low) = (u8::try_from(len >> 8).unwrap(), u8::try_from(len & 0xFF).unwrap());
        let one_longer = tlv(0x30, &[inner, &[0]]);
        let bad = [
            ([good.clone(), vec![0]].concat(), Fault::Trailing, "octets follow its end"),
            // An indefinite length, as BER has it, and a definite one that is longer than it need be.
            (wrap(&[0x30, 0x80], &[0, 0]), Fault::NotDer, "it is BER, and not DER"),
            (wrap(&[0x30, 0x83, 0, high, low], &[]), Fault::Length, "not as DER has it"),
            (one_longer[..one_longer.len() - 1].to_vec(), Fault::CutShort, "longer than it is"),
            (good[..good.len() / 2].to_vec(), Fault::CutShort, "longer than it is"),
            (Vec::new(), Fault::CutShort, "longer than it is"),
            // Four gigabytes.
            (
                wrap(&[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], &[]),
                Fault::CutShort,
                "longer than it is",
            ),
            (tlv(0x31, &[inner]), Fault::Content, "does not parse"),
        ];
        for (bad, fault, words) in bad {
            let said = decode(&bad).unwrap_err();
            assert_eq!(said.code(), "certs.malformed");
            assert!(said.to_string().contains(words), "{said}");
            assert!(
                matches!(&said, Error::Malformed(it) if it.fault == fault),
                "{said:?} {fault:?}"
            );
        }
        // Deeper than anything is.
        let deep: Vec<u8> = std::iter::repeat_n([0x30, 0x80], 50_000).flatten().collect();
        assert!(decode(&deep).is_err());
    }
}

#[test]
fn only_what_fills_an_index_of_a_tpm_may_follow_a_certificate_and_only_if_asked_for() {
    let leaf = Plant::new().leaf;
    let with = |fill: &[u8]| [leaf.der(), fill].concat();
    for fill in [&[][..], &[0; 300], &[0xFF; 1]] {
        assert_eq!(Certificate::decode_endorsement(&with(fill)), Ok(leaf.clone()));
        assert_eq!(Certificate::decode(&with(fill)).is_ok(), fill.is_empty());
    }
    for fill in [&[0, 0xFF][..], &[1], leaf.der()] {
        let said = Certificate::decode_endorsement(&with(fill)).unwrap_err();
        assert_eq!(said.to_string(), "the endorsement certificate does not parse");
    }
}

#[test]
fn a_status_response_that_does_not_count_says_why() {
    let plant = Plant::new();
    let (good, unknown) = (Status::Good, Status::Unknown);
    let nonce = [1; 32];
    let cases = [
        (plant.respond(Some(&nonce), NOW, NOW + 60, good), Some(&nonce), "believed"),
        (plant.respond(None, NOW, NOW + 60, good), Some(&nonce), "certs.ocsp.nonce-missing"),
        (plant.respond(Some(&[2; 32]), NOW, NOW + 60, good), Some(&nonce), "certs.ocsp.nonce"),
        (plant.respond(None, NOW + 301, NOW + 600, good), None, "certs.ocsp.future"),
        (plant.respond(None, NOW - 60, NOW - 1, good), None, "certs.ocsp.stale"),
    ];
    for (response, nonce, code) in cases {
        assert_eq!(plant.verify(&response, nonce.map(<[u8; 32]>::as_slice)), code);
    }
    let other = Plant::new();
    let theirs = other.respond(None, NOW, NOW + 60, good);
    assert_eq!(plant.verify(&theirs, None), "certs.ocsp.wrong-certificate");

    let responses = [plant.respond(None, NOW, NOW + 60, unknown)];
    let revocation = Revocation { responses: &responses, ..Revocation::default() };
    assert_eq!(plant.ask(revocation), "certs.ocsp.unknown");
    let responses = [plant.respond(None, NOW - 60, NOW - 1, good)];
    let revocation = Revocation { responses: &responses, ..Revocation::default() };
    assert_eq!(plant.ask(revocation), "certs.ocsp.stale");
    assert_eq!(plant.ask(Revocation { grace: 1, ..revocation }), "valid");
}

#[test]
fn a_list_that_says_revoked_outweighs_a_response_that_says_good() {
    use touchstone_certs::crl::Revoked;
    use touchstone_certs::ocsp::Reason;
    let plant = Plant::new();
    let responses = [plant.respond(None, NOW, NOW + 60, Status::Good)];
    let serial = plant.leaf.serial();
    let revoked = vec![Revoked { serial, at: NOW, reason: Reason::KeyCompromise }];
    let list = CrlTemplate::new(1, NOW, NOW + 60).with_revoked(revoked);
    let crls = [list.sign(&AwsLc, &plant.ca, &plant.key).unwrap()];
    let revocation = Revocation { responses: &responses, ..Revocation::default() };
    assert_eq!(plant.ask(revocation), "valid");
    assert_eq!(plant.ask(Revocation { crls: &crls, ..revocation }), "certs.refused.revoked");
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = u16::try_from(content.len()).unwrap().to_be_bytes();
    let mut out = match content.len() {
        short @ 0..=0x7F => vec![tag, u8::try_from(short).unwrap()],
        0x80..=0xFF => vec![tag, 0x81, len[1]],
        _ => vec![tag, 0x82, len[0], len[1]],
    };
    out.extend(content);
    out
}

#[test]
fn a_nonce_has_one_to_128_octets() {
    let plant = Plant::new();
    for len in [0, 129] {
        let nonce = vec![7; len];
        assert!(Request::new(&AwsLc, &plant.leaf, &plant.ca, Some(&nonce)).is_err());
    }
    let without = Request::new(&AwsLc, &plant.leaf, &plant.ca, None).unwrap().encode().unwrap();
    let list = content(content(&without)).to_vec();
    let with = |nonce: &[u8]| {
        let oid = [6, 9, 0x2B, 6, 1, 5, 5, 7, 0x30, 1, 2];
        let value = tlv(0x04, &[&tlv(0x04, &[nonce])]);
        let extensions = tlv(0xA2, &[&tlv(0x30, &[&tlv(0x30, &[&oid, &value])])]);
        Request::decode(&tlv(0x30, &[&tlv(0x30, &[&list, &extensions])]))
    };
    assert_eq!(with(&[7; 128]).unwrap().nonce(), Some([7; 128].as_slice()));
    for len in [0, 129, 4096] {
        let words = "the nonce does not parse: it is outside what its standard allows";
        assert_eq!(with(&vec![7; len]).unwrap_err().to_string(), words);
    }
}

#[test]
fn what_was_signed_beforehand_is_handed_out_while_it_holds() {
    let plant = Plant::new();
    let responder = Responder::new(&AwsLc, &plant.ca, &plant.ca, &plant.key, NOW).unwrap();
    let (from, until) = (NOW - 10, NOW + 60);
    let octets = responder.presign(&AwsLc, &plant.leaf, Status::Good, from, until).unwrap();
    let mut presigned = Presigned::default();
    presigned.put(&plant.leaf, octets.clone(), from, until);
    let request = Request::new(&AwsLc, &plant.leaf, &plant.ca, Some(&[1; 32])).unwrap();
    let answer = |store: &Presigned, at| {
        let found = store.answer(&AwsLc, &plant.ca, &request, at);
        found.map(|(octets, left)| (octets.to_vec(), left))
    };
    assert_eq!(answer(&presigned, NOW), Some((octets.clone(), 60)));
    assert_eq!(answer(&presigned, until), None);
    assert_eq!(answer(&presigned, from - 1), None);
    assert_eq!(plant.verify(&Response::decode(&octets).unwrap(), None), "believed");
    let stranger = Plant::new();
    let theirs = Request::new(&AwsLc, &plant.leaf, &stranger.ca, None).unwrap();
    assert!(presigned.answer(&AwsLc, &plant.ca, &theirs, NOW).is_none());
    presigned.sweep(until);
    assert_eq!(answer(&presigned, NOW), None);
}

/// All with the name and the key of the issuer, so that each is a candidate at each step.
#[test]
fn ten_thousand_certificates_are_given_up_in_bounded_time() {
    let plant = Plant::new();
    let crowd: Vec<Certificate> = (0..10_000)
        .map(|_| {
            let template = Template::new(Kind::Root, name("ca"), NOW - 600, NOW + 600);
            template.self_sign(&AwsLc, &plant.key).unwrap()
        })
        .collect();
    let anchor = Template::new(Kind::Root, name("other"), NOW - 600, NOW + 600);
    let trust = TrustStore::new(vec![anchor.self_sign(&AwsLc, &key()).unwrap()]);
    let start = Instant::now();
    let said = trust.validate(&AwsLc, &plant.leaf, &crowd, NOW, Purpose::Any).unwrap_err();
    assert_eq!(said.code(), "certs.refused.too-much-work");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());

    let pem: String = crowd.iter().map(|one| one.to_pem().unwrap()).collect();
    let said = Certificate::from_pem(pem.as_bytes()).unwrap_err();
    assert!(matches!(said, Error::Malformed(it) if it.fault == Fault::TooMany), "{said}");
}
