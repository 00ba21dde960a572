//! Decisions, with time as a number and results signed by a key of our own.

use super::*;
use crate::tests::{Fleet, NOW};
use touchstone_crypto::Signer;

fn at(seconds: u64) -> Now {
    Now { unix: NOW + seconds, uptime: Duration::from_secs(100 + seconds) }
}

fn book(fleet: &Fleet) -> Book {
    let limits = Limits { flows: 3, flows_per_device: 2, ..Limits::default() };
    let mut book = Book::new(10, vec![fleet.verifier()], limits, Duration::from_secs(3));
    book.hear(at(0), &Line::Heartbeat { seq: 1 });
    book
}

fn result(device: &str, ear_jwt: String) -> Line {
    Line::Result { seq: 2, device: device.into(), ear_jwt }
}

const ROUTE: &str = "broker:8883";

#[test]
fn a_device_with_a_fresh_affirming_result_for_its_key_is_admitted() {
    let fleet = Fleet::new();
    let key = Fleet::device_key();
    let mut book = book(&fleet);
    let token = fleet.ear("dev-1", &key, Tier::Affirming, NOW);
    let id = book.admit(at(1), ROUTE, Some(&token), key.spki_der()).unwrap();
    assert_eq!(book.flows()[&id].until, NOW + 10);
    assert_eq!(book.flows()[&id].device, "dev-1");
}

#[test]
fn each_reason_to_refuse_has_its_code() {
    let fleet = Fleet::new();
    let (key, other) = (Fleet::device_key(), Fleet::device_key());
    let spki = key.spki_der();
    let mut book = book(&fleet);
    let good = fleet.ear("dev-1", &key, Tier::Affirming, NOW);
    let bad = fleet.ear("dev-1", &key, Tier::Contraindicated, NOW);
    let foreign = Fleet::new().ear("dev-1", &key, Tier::Affirming, NOW);
    let mut code = |seconds, token: Option<&str>, spki: &[u8]| {
        book.hear(at(seconds), &Line::Heartbeat { seq: 1 });
        book.admit(at(seconds), ROUTE, token, spki).unwrap_err().code()
    };
    assert_eq!(code(1, None, spki), "checkpoint.result.missing");
    assert_eq!(code(1, Some("x.y.z"), spki).split('.').next(), Some("ear"));
    assert_eq!(code(1, Some(&foreign), spki), "ear.signature");
    assert_eq!(code(1, Some(&bad), spki), "admission.not-affirming");
    assert_eq!(code(1, Some(&good), other.spki_der()), "admission.wrong-key");
    assert_eq!(code(10, Some(&good), spki), "admission.stale");
    assert!(book.flows().is_empty());
}

#[test]
fn without_the_feed_nobody_is_admitted_and_nobody_stays() {
    let fleet = Fleet::new();
    let key = Fleet::device_key();
    let token = fleet.ear("dev-1", &key, Tier::Affirming, NOW);
    let mut fresh =
        Book::new(10, vec![fleet.verifier()], Limits::default(), Duration::from_secs(3));
    let refused = fresh.admit(at(1), ROUTE, Some(&token), key.spki_der());
    assert_eq!(refused, Err(Refusal::FeedSilent));

    let mut book = book(&fleet);
    let id = book.admit(at(1), ROUTE, Some(&token), key.spki_der()).unwrap();
    assert_eq!(book.tick(at(3)), []);
    assert_eq!(book.tick(at(4)), [(id, Refusal::FeedSilent)]);
    assert!(book.flows().is_empty());
}

#[test]
fn a_newer_result_extends_a_flow_and_a_worse_one_cuts_it() {
    let fleet = Fleet::new();
    let key = Fleet::device_key();
    let mut book = book(&fleet);
    let token = fleet.ear("dev-1", &key, Tier::Affirming, NOW);
    let id = book.admit(at(1), ROUTE, Some(&token), key.spki_der()).unwrap();
    let newer = fleet.ear("dev-1", &key, Tier::Affirming, NOW + 8);
    assert_eq!(book.hear(at(8), &result("dev-1", newer)), []);
    assert_eq!(book.tick(at(11)), []);
    assert_eq!(book.flows()[&id].until, NOW + 18);

    let worse = fleet.ear("dev-1", &key, Tier::Contraindicated, NOW + 12);
    let cut = book.hear(at(12), &result("dev-1", worse));
    assert_eq!((cut.len(), cut[0].0, cut[0].1.code()), (1, id, "admission.not-affirming"));
    assert!(cut[0].1.to_string().contains("code of the pump"), "{}", cut[0].1);

    // The good result of before is still fresh, and does not help any more.
    let old = fleet.ear("dev-1", &key, Tier::Affirming, NOW + 11);
    let refused = book.admit(at(13), ROUTE, Some(&old), key.spki_der()).unwrap_err();
    assert_eq!(refused.code(), "checkpoint.result.superseded");
    let healed = fleet.ear("dev-1", &key, Tier::Affirming, NOW + 14);
    assert!(book.admit(at(14), ROUTE, Some(&healed), key.spki_der()).is_ok());
}

#[test]
fn a_flow_without_newer_results_runs_out() {
    let fleet = Fleet::new();
    let key = Fleet::device_key();
    let mut book = book(&fleet);
    let token = fleet.ear("dev-1", &key, Tier::Affirming, NOW);
    let id = book.admit(at(1), ROUTE, Some(&token), key.spki_der()).unwrap();
    book.hear(at(10), &Line::Heartbeat { seq: 3 });
    assert_eq!(book.tick(at(10)), [(id, Refusal::RanOut)]);
}

#[test]
fn a_revoked_key_is_cut_and_does_not_come_back() {
    let fleet = Fleet::new();
    let key = Fleet::device_key();
    let mut book = book(&fleet);
    let token = fleet.ear("dev-1", &key, Tier::Affirming, NOW);
    let id = book.admit(at(1), ROUTE, Some(&token), key.spki_der()).unwrap();
    let revoked = Line::Revoked {
        seq: 4,
        device: "dev-1".into(),
        jkt: thumbprint(key.spki_der()),
        reason: "contraindicated".into(),
    };
    assert_eq!(book.hear(at(2), &revoked)[0].0, id);
    let refused = book.admit(at(2), ROUTE, Some(&token), key.spki_der()).unwrap_err();
    assert_eq!(refused.code(), "checkpoint.certificate.revoked");
    assert_eq!(book.seq(), 4);
}

#[test]
fn flows_are_bounded_in_all_and_per_device() {
    let fleet = Fleet::new();
    let (one, two) = (Fleet::device_key(), Fleet::device_key());
    let mut book = book(&fleet);
    let first = fleet.ear("dev-1", &one, Tier::Affirming, NOW);
    let second = fleet.ear("dev-2", &two, Tier::Affirming, NOW);
    let mut admit =
        |token: &str, key: &dyn Signer| book.admit(at(1), ROUTE, Some(token), key.spki_der());
    assert!(admit(&first, &one).is_ok() && admit(&first, &one).is_ok());
    assert_eq!(admit(&first, &one), Err(Refusal::FullForDevice));
    let id = admit(&second, &two).unwrap();
    assert_eq!(admit(&second, &two), Err(Refusal::Full));
    book.close(id);
    assert!(book.admit(at(1), ROUTE, Some(&second), two.spki_der()).is_ok());
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut remembered = Remembered::default();
    for number in 0..=REMEMBERED {
        remembered.keep(&number.to_string(), number);
    }
    assert_eq!(remembered.by_name.len(), REMEMBERED);
    assert_eq!(remembered.by_age.len(), REMEMBERED);
    assert_eq!((remembered.find("0"), remembered.find("1")), (None, Some(&1)));
}
