//! The exchange under the laws.

use crate::{Attester, Error, Event, Kind, Limits, Verifier, session_of};
use proptest::prelude::*;
use std::time::Duration;
use std::vec::Vec;
use touchstone_engine::{Answer, AskKind, Engine, Instant, Output, Path, Ticket};
use touchstone_sim::{Link, Side, Weather, World, laws};

const NOW: Instant = Instant::from_millis(1_000);

fn pair(kind: Kind) -> (Attester, Verifier) {
    let limits = Limits::default();
    (Attester::new(kind, [7; 16], b"device-1", limits), Verifier::new(kind, limits))
}

/// Answers with the question behind the name of its kind, so that a mixed-up answer shows.
fn owner(_: Side, kind: AskKind, question: &[u8]) -> Vec<u8> {
    let mut answer = std::format!("{kind:?} ").into_bytes();
    answer.extend_from_slice(question);
    answer
}

#[test]
fn the_result_answers_the_evidence_that_answers_the_challenge() {
    for (kind, expected) in [
        (Kind::Attest, "Appraise Evidence Challenge device-1"),
        (Kind::Enroll, "Conclude Activate Endorse device-1"),
    ] {
        let (a, b) = pair(kind);
        let link = Link::new(Weather::FAIR, 0);
        let world = World { a, b, link, thinking: Duration::ZERO, buffer: 16, owner: &mut owner };
        let (device, fleet) = world.run();
        assert_eq!(device.events, [Event::Result(expected.into())]);
        assert_eq!(device.end, Some(Ok(())));
        assert_eq!(fleet.events, [Event::Concluded]);
        assert_eq!(fleet.end, Some(Ok(())));
    }
}

#[test]
fn both_exchanges_keep_the_laws() {
    for kind in [Kind::Enroll, Kind::Attest] {
        laws::one_byte_buffer(&|| pair(kind), &mut owner);
        let limits = Limits {
            deadline: Duration::from_mins(50),
            linger: Duration::from_mins(5),
            ..Limits::default()
        };
        let patient = || {
            let device = Attester::new(kind, [7; 16], b"device-1", limits);
            (device, Verifier::new(kind, limits))
        };
        laws::bad_link_same_end(&patient, &mut owner, 0..200);
    }
}

#[test]
fn noise_and_stale_tickets_change_nothing_in_any_state() {
    let mut buf = [0; 1024];
    let (mut device, mut fleet) = pair(Kind::Attest);
    let Output::Transmit { len, .. } = device.poll_output(NOW, &mut buf) else { panic!() };
    let mut begin = buf[..len].to_vec();
    let footprint_device = |device: &Attester| std::format!("{:?}", device.state_for_tests()).len();
    let footprint_fleet = |fleet: &Verifier| std::format!("{:?}", fleet.state_for_tests()).len();
    laws::noise_never_closes(&mut device, NOW, &footprint_device);
    laws::stale_ticket_is_ignored(&mut device, NOW);
    laws::noise_never_closes(&mut fleet, NOW, &footprint_fleet);
    fleet.handle_wire(NOW, Path::ONLY, &mut begin);
    let Output::Ask(ask) = fleet.poll_output(NOW, &mut buf) else { panic!() };
    laws::noise_never_closes(&mut fleet, NOW, &footprint_fleet);
    fleet.handle_answer(NOW, Ticket(ask.ticket.0 + 1), Answer::Bytes(b"stale"));
    assert!(matches!(fleet.poll_output(NOW, &mut buf), Output::Wait(_)));
    fleet.handle_answer(NOW, ask.ticket, Answer::Bytes(b"nonce"));
    assert!(matches!(fleet.poll_output(NOW, &mut buf), Output::Transmit { .. }));
    laws::noise_never_closes(&mut fleet, NOW, &footprint_fleet);
    laws::stale_ticket_is_ignored(&mut fleet, NOW);
}

#[test]
fn a_refusal_reaches_the_device_with_its_reason() {
    let mut buf = [0; 4096];
    let (mut device, mut fleet) = pair(Kind::Enroll);
    let Output::Transmit { len, .. } = device.poll_output(NOW, &mut buf) else { panic!() };
    fleet.handle_wire(NOW, Path::ONLY, &mut buf[..len]);
    let Output::Ask(ask) = fleet.poll_output(NOW, &mut buf) else { panic!() };
    let refused =
        Answer::Refused { code: "enroll.ek.untrusted", text: "the EK's issuer is unknown" };
    fleet.handle_answer(NOW, ask.ticket, refused);
    let Output::Transmit { len, .. } = fleet.poll_output(NOW, &mut buf) else { panic!() };
    device.handle_wire(NOW, Path::ONLY, &mut buf[..len]);
    assert_eq!(
        device.poll_output(NOW, &mut buf),
        Output::Event(Event::Refused {
            code: "enroll.ek.untrusted".into(),
            text: "the EK's issuer is unknown".into()
        })
    );
    assert_eq!(device.poll_output(NOW, &mut buf), Output::Closed(Err(Error::RefusedByVerifier)));
    laws::closed_is_final(device, NOW);
    let later = NOW + Limits::default().linger;
    assert_eq!(fleet.poll_output(later, &mut buf), Output::Closed(Err(Error::RefusedByOwner)));
    laws::closed_is_final(fleet, later);
}

#[test]
fn a_device_that_cannot_answer_tells_the_fleet() {
    let mut buf = [0; 4096];
    for (answer, code, end) in [
        (Answer::Failed, "attest.attester.failed", Error::OwnerFailed),
        (
            Answer::Refused { code: "element.gone", text: "no TPM" },
            "element.gone",
            Error::RefusedByOwner,
        ),
        (Answer::Bytes(&[0; 300]), "attest.attester.failed", Error::AnswerTooLong),
    ] {
        let limits = Limits { body: 299, ..Limits::default() };
        let mut device = Attester::new(Kind::Attest, [7; 16], b"device-1", limits);
        let mut fleet = Verifier::new(Kind::Attest, limits);
        let Output::Transmit { len, .. } = device.poll_output(NOW, &mut buf) else { panic!() };
        fleet.handle_wire(NOW, Path::ONLY, &mut buf[..len]);
        let Output::Ask(ask) = fleet.poll_output(NOW, &mut buf) else { panic!() };
        fleet.handle_answer(NOW, ask.ticket, Answer::Bytes(b"nonce"));
        let Output::Transmit { len, .. } = fleet.poll_output(NOW, &mut buf) else { panic!() };
        device.handle_wire(NOW, Path::ONLY, &mut buf[..len]);
        let Output::Ask(ask) = device.poll_output(NOW, &mut buf) else { panic!() };

        device.handle_answer(NOW, ask.ticket, answer);
        let Output::Transmit { len, .. } = device.poll_output(NOW, &mut buf) else { panic!() };
        fleet.handle_wire(NOW, Path::ONLY, &mut buf[..len]);
        assert_eq!(device.poll_output(NOW, &mut buf), Output::Closed(Err(end)));
        laws::closed_is_final(device, NOW);
        let heard = fleet.poll_output(NOW, &mut buf);
        assert!(
            matches!(&heard, Output::Event(Event::Refused { code: told, .. }) if told == code),
            "{heard:?}"
        );
        let end = Output::Closed(Err(Error::RefusedByAttester));
        assert_eq!(fleet.poll_output(NOW, &mut buf), end);
        laws::closed_is_final(fleet, NOW);
    }
}

#[test]
fn silence_ends_at_the_deadline_and_not_before() {
    let mut buf = [0; 256];
    let (mut device, _) = pair(Kind::Attest);
    let mut now = NOW;
    let mut sent = 0;
    let end = loop {
        match device.poll_output(now, &mut buf) {
            Output::Transmit { .. } => sent += 1,
            Output::Wait(Some(until)) => {
                assert!(until > now);
                now = until;
            }
            Output::Closed(end) => break end,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(end, Err(Error::TimedOut));
    assert_eq!(now.since(NOW), Limits::default().deadline);
    assert!((5..20).contains(&sent), "sent {sent} times");
}

#[test]
fn a_body_beyond_the_limit_is_never_sent_and_never_taken() {
    let small = Limits { body: 8, ..Limits::default() };
    let mut buf = [0; 256];
    let mut device = Attester::new(Kind::Attest, [1; 16], &[0; 9], small);
    assert_eq!(device.poll_output(NOW, &mut buf), Output::Closed(Err(Error::AnswerTooLong)));

    let mut device = Attester::new(Kind::Attest, [1; 16], &[0; 9], Limits::default());
    let Output::Transmit { len, .. } = device.poll_output(NOW, &mut buf) else { panic!() };
    assert_eq!(session_of(&buf[..len]), Some((Kind::Attest, [1; 16])));
    let mut fleet = Verifier::new(Kind::Attest, small);
    fleet.handle_wire(NOW, Path::ONLY, &mut buf[..len]);
    assert_eq!(fleet.dropped(), 1);
}

proptest! {
    #[test]
    fn whatever_arrives_never_panics(messages in proptest::collection::vec(
        (proptest::collection::vec(any::<u8>(), 0..64), any::<bool>(), 1u8..6), 0..16)) {
        let mut buf = [0; 512];
        let (mut device, mut fleet) = pair(Kind::Attest);
        for (body, well_formed, kind) in messages {
            let mut bytes = body.clone();
            if well_formed {
                bytes = [&[0x54, 0x41, 1, 2, kind][..], &[7; 16], &u32::try_from(body.len()).unwrap().to_be_bytes(), &body].concat();
            }
            device.handle_wire(NOW, Path::ONLY, &mut bytes.clone());
            fleet.handle_wire(NOW, Path::ONLY, &mut bytes);
            if let Output::Ask(ask) = device.poll_output(NOW, &mut buf) {
                device.handle_answer(NOW, ask.ticket, Answer::Bytes(b"evidence"));
            }
            if let Output::Ask(ask) = fleet.poll_output(NOW, &mut buf) {
                fleet.handle_answer(NOW, ask.ticket, Answer::Bytes(b"nonce"));
            }
        }
    }
}
