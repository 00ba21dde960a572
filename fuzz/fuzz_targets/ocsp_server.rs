//! An OCSP client gone mad: whatever it asks, and whatever becomes of the certificates meanwhile, each
//! question that is read gets an answer that says how it is now, and nothing is handed out after its time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::ocsp::{
    Presigned, Reason, Request, Responder, Response, Status, Trouble, error_response,
};
use touchstone_certs::{Certificate, Name};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

const START: u64 = 1_800_000_000;
const HOLDS: u64 = 60;

struct Plant {
    ca: Certificate,
    delegate: Certificate,
    key: SoftSigner,
    leaves: Vec<Certificate>,
}

static PLANT: LazyLock<Plant> = LazyLock::new(|| {
    let new = || SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let (ca_key, key) = (new(), new());
    let make = |kind, name: &str| {
        let name = Name::common_name(name).unwrap();
        Template::new(kind, name, START - 60, START + 1_000_000)
    };
    let ca = make(Kind::Root, "ca").self_sign(&AwsLc, &ca_key).unwrap();
    let issue = |kind, name: &str| {
        let issuer = Issuer::new(&ca, &ca_key).unwrap();
        make(kind, name).issue(&AwsLc, &issuer, key.spki_der()).unwrap()
    };
    let delegate = issue(Kind::OcspResponder, "delegate");
    let leaves = (0..4).map(|n| issue(Kind::Device, &format!("pump-{n}"))).collect();
    Plant { ca, delegate, key, leaves }
});

fuzz_target!(|bytes: &[u8]| {
    let (plant, mut bytes) = (&*PLANT, bytes);
    let responder = Responder::new(&AwsLc, &plant.ca, &plant.delegate, &plant.key, START).unwrap();
    let (mut now, mut status, mut presigned) = (START, [Status::Good; 4], Presigned::default());
    let status_of = |status: &[Status; 4], serial: &str| {
        let index = plant.leaves.iter().position(|leaf| leaf.serial() == serial);
        index.and_then(|index| status.get(index)).copied().unwrap_or(Status::Unknown)
    };
    while let Some(([choice, len], rest)) = bytes.split_first_chunk::<2>() {
        let (body, rest) = rest.split_at((usize::from(*len)).min(rest.len()));
        bytes = rest;
        let which = usize::from(choice & 3);
        let leaf = &plant.leaves[which];
        let read = match choice >> 2 & 7 {
            // What comes by POST, by GET, and what is nearly a question.
            0 => Request::decode(body),
            1 => Request::from_path(&String::from_utf8_lossy(body)),
            2 => {
                let nonce = (!body.is_empty() && body.len() <= 128).then_some(body);
                let request = Request::new(&AwsLc, leaf, &plant.ca, nonce).unwrap();
                let octets = request.encode().unwrap();
                assert_eq!(Request::decode(&octets).as_ref(), Ok(&request));
                let octets = responder
                    .respond(&AwsLc, &request, now, now + HOLDS, |it| status_of(&status, it))
                    .unwrap();
                let said = Response::decode(&octets).unwrap();
                let said = said.verify(&AwsLc, leaf, &plant.ca, nonce, now).expect("believed");
                assert_eq!(said.into_inner().status, status[which]);
                continue;
            }
            3 => {
                let mut octets = Request::new(&AwsLc, leaf, &plant.ca, Some(&[7; 32]))
                    .unwrap()
                    .encode()
                    .unwrap();
                for pair in body.chunks_exact(2) {
                    let at = usize::from(pair[0]) % octets.len();
                    octets[at] ^= pair[1];
                }
                Request::decode(&octets)
            }
            4 => {
                now += u64::from(*len);
                presigned.sweep(now);
                continue;
            }
            5 => {
                status[which] = Status::Revoked { at: now, reason: Reason::KeyCompromise };
                continue;
            }
            _ => {
                let until = now + u64::from(*len);
                let octets = responder.presign(&AwsLc, leaf, status[which], now, until).unwrap();
                presigned.put(leaf, octets, now, until);
                continue;
            }
        };
        let Ok(request) = read else {
            assert!(Response::decode(&error_response(Trouble::MalformedRequest)).is_err());
            continue;
        };
        assert!(request.nonce().is_none_or(|nonce| (1..=128).contains(&nonce.len())));
        if let Some((octets, left)) = presigned.answer(&AwsLc, &plant.ca, &request, now) {
            assert!(left > 0);
            assert!(Response::decode(octets).is_ok());
        }
        let octets = responder
            .respond(&AwsLc, &request, now, now + HOLDS, |it| status_of(&status, it))
            .expect("an answer");
        Response::decode(&octets).expect("an answer that is read");
    }
});
