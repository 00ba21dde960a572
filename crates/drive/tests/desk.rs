//! The desk: a slow element answers an engine's asks while the engine's timers run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod signing;
mod slow;

use signing::{Checker, Prover};
use slow::Slow;
use std::time::Duration;
use tempfile::TempDir;
use touchstone_crypto::Crypto;
use touchstone_crypto_awslc::AwsLc;
use touchstone_drive::element::{Desk, DeskError};
use touchstone_drive::now;
use touchstone_element::{Element, KeyAlgorithm, KeySpec, KeyUse, PublicKey, Secret, Storage};
use touchstone_element_software::{KeySource, Second, Settings, Software};
use touchstone_engine::{Answer, AskKind, Engine, Output, Ticket};
use touchstone_sim::{Side, laws};

const LONG: Duration = Duration::from_secs(20);

/// An element with a signing key `ldevid`, an agreement key `agree` and a value `psk`.
fn element(folder: &TempDir, pause: u64) -> (Slow, PublicKey) {
    let at = |name: &str| folder.path().join(name);
    let settings = Settings::new(at("element"), KeySource::MachineSecret(at("secret")));
    let mut element = Software::open(settings.with_second(Second::File(at("mark")))).unwrap();
    let sign = KeySpec::new(KeyUse::Sign, KeyAlgorithm::Ed25519);
    let key = element.create_key("ldevid", &sign).unwrap();
    element.create_key("agree", &KeySpec::new(KeyUse::Agree, KeyAlgorithm::P256)).unwrap();
    element.store("psk", b"a pre-shared key").unwrap();
    (Slow { element: Box::new(element), pause: Duration::from_millis(pause) }, key)
}

fn verifies(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let how = key.signature().unwrap();
    AwsLc.verify(how, &key.spki_der, message, signature).is_ok()
}

#[test]
fn an_engines_timers_run_while_a_300_ms_element_signs() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, key) = element(&folder, 300);
    let mut desk = Desk::new(Box::new(slow), 4).unwrap();
    let mut prover = Prover::new(b"the verifier's nonce");
    let mut buf = vec![0; 4096];
    let (mut signs_of_life, mut asked, mut answered) = (0, None, None);
    let proof = loop {
        match prover.poll_output(now(), &mut buf) {
            Output::Ask(ask) => {
                desk.begin(ask.ticket, ask.kind, "ldevid", &buf[..ask.len]).unwrap();
                asked = Some(now());
            }
            Output::Transmit { len, .. } if buf[0] == signing::ALIVE => {
                assert_eq!(len, 1);
                signs_of_life += u32::from(asked.is_some() && answered.is_none());
            }
            Output::Transmit { len, .. } => break buf[1..len].to_vec(),
            Output::Wait(until) => {
                let patience = until.map_or(LONG, |until| until.since(now()));
                if let Some(done) = desk.wait(patience) {
                    answered = Some(now());
                    prover.handle_answer(now(), done.ticket, done.as_answer());
                }
            }
            Output::Grow(need) => buf.resize(need, 0),
            other => panic!("{other:?}"),
        }
    };
    assert!(answered.unwrap().since(asked.unwrap()) >= Duration::from_millis(300));
    assert!(signs_of_life >= 3, "{signs_of_life} signs of life while the element signed");
    assert!(verifies(&key, b"the verifier's nonce", &proof));
}

#[test]
fn engines_that_are_answered_from_the_desk_keep_the_laws() {
    let folder = tempfile::tempdir().unwrap();
    let (element, key) = element(&folder, 0);
    let mut desk = Desk::new(Box::new(element), 4).unwrap();
    let mut number = 0;
    let mut owner = |_: Side, kind: AskKind, question: &[u8]| {
        number += 1;
        desk.begin(Ticket(number), kind, "ldevid", question).unwrap();
        let answered = desk.wait(LONG).unwrap();
        assert_eq!(answered.ticket, Ticket(number));
        answered.result.unwrap().expose().to_vec()
    };
    let pair = || (Prover::new(b"nonce"), Checker::new(b"nonce", key.clone()));
    laws::one_byte_buffer(&pair, &mut owner);
    // The world's clock makes each answer 300 ms late.
    laws::bad_link_same_end(&pair, &mut owner, 0..100);

    let mut waiting = Prover::new(b"nonce");
    let Output::Ask(ask) = waiting.poll_output(now(), &mut [0; 64]) else { panic!() };
    laws::stale_ticket_is_ignored(&mut Checker::new(b"nonce", key.clone()), now());
    waiting.handle_answer(now(), Ticket(ask.ticket.0 + 1), Answer::Bytes(b"stale"));
    assert!(matches!(waiting.poll_output(now(), &mut [0; 64]), Output::Wait(Some(_))));
    let mut checker = Checker::new(b"nonce", key.clone());
    laws::noise_never_closes(&mut checker, now(), &|checker| format!("{checker:?}").len());
    let mut refused = Prover::new(b"nonce");
    let Output::Ask(ask) = refused.poll_output(now(), &mut [0; 64]) else { panic!() };
    refused.handle_answer(now(), ask.ticket, Answer::Failed);
    laws::closed_is_final(refused, now());
}

#[test]
fn each_kind_of_ask_is_answered_and_what_an_element_cannot_answer_is_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let (mut slow, key) = element(&folder, 0);
    let peer = slow.public_key("agree").unwrap().unwrap().spki_der;
    let mut desk = Desk::new(Box::new(slow), 8).unwrap();
    desk.begin(Ticket(1), AskKind::Sign, "ldevid", b"message").unwrap();
    desk.begin(Ticket(2), AskKind::Agree, "agree", &peer).unwrap();
    desk.begin(Ticket(3), AskKind::Secret, "", b"psk").unwrap();
    desk.begin(Ticket(4), AskKind::Sign, "nobody", b"message").unwrap();
    desk.begin(Ticket(5), AskKind::Secret, "", b"nothing").unwrap();
    desk.begin(Ticket(6), AskKind::Sign, "agree", b"message").unwrap();
    desk.begin_job(
        Ticket(7),
        Box::new(|element| {
            let mut out = vec![0; 7];
            element.random(&mut out).map(|()| Secret::new(out))
        }),
    )
    .unwrap();
    let mut answer = |number| {
        let answered = desk.wait(LONG).unwrap();
        assert_eq!(answered.ticket, Ticket(number), "in the order of the questions");
        match &answered.result {
            Ok(_) => assert!(matches!(answered.as_answer(), Answer::Bytes(_))),
            Err(_) => assert_eq!(answered.as_answer(), Answer::Failed),
        }
        answered.result.map(|secret| secret.expose().to_vec()).map_err(|error| error.code())
    };
    assert!(verifies(&key, b"message", &answer(1).unwrap()));
    assert_eq!(answer(2).unwrap().len(), 32);
    assert_eq!(answer(3).unwrap(), b"a pre-shared key");
    assert_eq!(answer(4), Err("element.key.unknown"));
    assert_eq!(answer(5), Err("element.input.bad"));
    assert_eq!(answer(6), Err("element.key.kind"));
    assert_eq!(answer(7).unwrap().len(), 7);
    assert!(desk.wait(LONG).is_none(), "at once: nothing is open");
    let kind = AskKind::Appraise;
    assert_eq!(desk.begin(Ticket(8), kind, "", b""), Err(DeskError::Kind(kind)));
    assert_eq!(desk.open(), 0);
}

#[test]
fn the_queue_is_bounded_and_a_ticket_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, _) = element(&folder, 50);
    let mut desk = Desk::new(Box::new(slow), 2).unwrap();
    let sign = |desk: &mut Desk, ticket| desk.begin(Ticket(ticket), AskKind::Sign, "ldevid", b"m");
    sign(&mut desk, 1).unwrap();
    assert_eq!(sign(&mut desk, 1), Err(DeskError::TicketOpen));
    sign(&mut desk, 2).unwrap();
    assert_eq!(sign(&mut desk, 3), Err(DeskError::Full));
    assert_eq!(desk.wait(LONG).unwrap().ticket, Ticket(1));
    sign(&mut desk, 3).unwrap();
    assert_eq!(desk.wait(LONG).unwrap().ticket, Ticket(2));
    assert_eq!(desk.wait(LONG).unwrap().ticket, Ticket(3));
}

#[test]
fn a_cancelled_ticket_is_never_answered_even_when_its_number_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, key) = element(&folder, 100);
    let mut desk = Desk::new(Box::new(slow), 4).unwrap();
    desk.begin(Ticket(1), AskKind::Sign, "ldevid", b"old").unwrap();
    std::thread::sleep(Duration::from_millis(20)); // the element has begun
    desk.cancel(Ticket(1));
    desk.cancel(Ticket(9));
    assert_eq!(desk.open(), 0);
    desk.begin(Ticket(1), AskKind::Sign, "ldevid", b"new").unwrap();
    let answered = desk.wait(LONG).unwrap();
    assert!(verifies(&key, b"new", answered.result.unwrap().expose()));
    assert!(desk.poll().is_none());
}

#[test]
fn a_panic_in_the_element_fails_each_open_ticket_and_begins_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, _) = element(&folder, 0);
    let mut desk = Desk::new(Box::new(slow), 4).unwrap();
    desk.begin(Ticket(1), AskKind::Sign, "ldevid", b"panic").unwrap();
    desk.begin(Ticket(2), AskKind::Sign, "ldevid", b"message").unwrap_or_default();
    let mut seen = 0;
    while let Some(answered) = desk.wait(LONG) {
        assert_eq!(answered.result.unwrap_err().code(), "element.poisoned");
        seen += 1;
    }
    assert!(seen >= 1);
    assert_eq!(desk.begin(Ticket(3), AskKind::Sign, "ldevid", b"m"), Err(DeskError::Gone));
    assert!(desk.close().is_none());
}

#[test]
fn closing_gives_the_element_back_without_doing_what_waited() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, _) = element(&folder, 50);
    let mut desk = Desk::new(Box::new(slow), 8).unwrap();
    for ticket in 0..8 {
        desk.begin(Ticket(ticket), AskKind::Sign, "ldevid", b"message").unwrap();
    }
    let before = now();
    let mut element = desk.close().unwrap();
    assert!(now().since(before) < Duration::from_millis(300), "eight would take 400 ms");
    assert!(element.public_key("ldevid").unwrap().is_some());
}

#[tokio::test(flavor = "current_thread")]
async fn a_runtime_waits_without_a_thread_and_goes_on_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, key) = element(&folder, 300);
    let mut desk = Desk::new(Box::new(slow), 4).unwrap();
    assert!(desk.answer().await.is_none(), "nothing is open");
    desk.begin(Ticket(1), AskKind::Sign, "ldevid", b"message").unwrap();
    desk.begin(Ticket(2), AskKind::Secret, "", b"psk").unwrap();
    let mut ticks = 0;
    let answered = loop {
        tokio::select! {
            answered = desk.answer() => break answered.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(20)) => ticks += 1,
        }
    };
    assert!(ticks >= 5, "{ticks}");
    assert!(verifies(&key, b"message", answered.result.unwrap().expose()));
    assert_eq!(desk.answer().await.unwrap().ticket, Ticket(2));
    desk.begin(Ticket(3), AskKind::Sign, "ldevid", b"panic").unwrap();
    assert!(desk.answer().await.unwrap().result.is_err(), "whoever waits is woken");
}
