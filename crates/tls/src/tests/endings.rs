//! What passes, how much is held, and how it ends.

use super::pair::{Pair, START};
use crate::{Alert, Error, Event};
use std::time::Duration;
use touchstone_engine::{Engine, Output, Path};

#[test]
fn what_is_sent_arrives_and_a_close_in_good_order_ends_well() {
    let mut pair = Pair::simple();
    assert_eq!(pair.client.session.send(b"before the handshake"), 20);
    let mut pair = pair.run();
    assert_eq!(pair.server.data(), b"before the handshake");

    pair.client.session.close();
    assert_eq!(pair.client.session.send(b"too late"), 0);
    let mut pair = pair.run();
    assert_eq!(pair.server.events.last(), Some(&Event::PeerClosed));
    assert_eq!(pair.ends(), (None, None), "the server may still speak");

    assert_eq!(pair.server.session.send(b"last words"), 10);
    pair.server.session.close();
    let pair = pair.run();
    assert_eq!(pair.client.data(), b"last words");
    assert_eq!(pair.ends(), (Some(Ok(())), Some(Ok(()))));
}

#[test]
fn a_connection_that_is_cut_is_not_a_connection_that_ended() {
    let mut pair = Pair::simple().run();
    pair.client.session.send(b"half of it");
    let sent = pair.client.turn();
    pair.server.hear(&sent);
    pair.server.session.end_of_wire();
    pair.server.turn();
    assert_eq!(pair.server.data(), b"half of it", "what came before is not lost");
    assert_eq!(pair.server.end, Some(Err(Error::Truncated)));
    let pair = pair.run();
    assert!(
        !pair.client.events.contains(&Event::PeerClosed),
        "half an answer must not look whole to the other end"
    );

    let mut young = Pair::simple();
    young.client.turn();
    young.client.session.end_of_wire();
    young.client.turn();
    assert_eq!(young.client.end, Some(Err(Error::Truncated)));
}

#[test]
fn an_octet_that_was_altered_ends_the_session_and_the_peer_is_told() {
    let mut pair = Pair::simple().run();
    pair.client.session.send(b"seven hundred litres");
    let mut sent = pair.client.turn();
    *sent.last_mut().unwrap() ^= 1;
    pair.server.hear(&sent);
    let pair = pair.run();
    assert_eq!(pair.server.end, Some(Err(Error::Malformed)));
    assert_eq!(pair.client.end, Some(Err(Error::Alert(Alert(20)))), "bad_record_mac");
    assert!(pair.server.data().is_empty());
}

#[test]
fn a_session_holds_no_more_than_it_said_for_sending() {
    let mut pair = Pair::simple().run();
    let mut taken = 0;
    for _ in 0..1000 {
        taken += pair.client.session.send(&[7; 10_000]);
    }
    assert!((1..=32 * 1024).contains(&taken), "{taken}");
    let sent = pair.client.turn();
    assert!(sent.len() < 40 * 1024, "{}", sent.len());
    pair.server.hear(&sent);
    let mut pair = pair.run();
    assert_eq!(pair.server.data().len(), taken);
    assert!(pair.client.session.send(b"again") > 0, "there is room once it was sent");
}

#[test]
fn a_session_that_nobody_polls_takes_no_more_from_the_wire() {
    let mut pair = Pair::simple().run();
    let (mut wire, mut length) = (Vec::new(), 0);
    while length < 1 << 20 {
        length += pair.client.session.send(&[9; 16_000]);
        wire.extend_from_slice(&pair.client.turn());
    }
    let mut taken = 0;
    for _ in 0..1000 {
        taken += pair.server.session.handle_wire(START, Path::ONLY, &mut wire[taken..].to_vec());
    }
    assert!((16 * 1024..64 * 1024).contains(&taken), "{taken}");
    pair.server.hear(&wire[taken..]);
    pair.server.turn();
    assert_eq!(pair.server.data().len(), length, "and nothing was lost");
}

#[test]
fn a_handshake_that_takes_too_long_is_given_up() {
    let mut pair = Pair::simple();
    let mut buf = vec![0; 4096];
    while let Output::Transmit { .. } = pair.client.session.poll_output(START, &mut buf) {}
    let Output::Wait(Some(deadline)) = pair.client.session.poll_output(START, &mut buf) else {
        panic!("a handshake has a deadline")
    };
    assert_eq!(deadline, START + Duration::from_secs(10));
    let told = pair.client.session.poll_output(deadline, &mut buf);
    assert!(matches!(told, Output::Transmit { .. }), "the peer is told first: {told:?}");
    let end = pair.client.session.poll_output(deadline, &mut buf);
    assert_eq!(end, Output::Closed(Err(Error::TimedOut)));
}

#[test]
fn a_handshake_that_the_owner_breaks_off_ends_well() {
    let mut pair = Pair::simple();
    pair.client.session.close();
    let pair = pair.run();
    assert_eq!(pair.client.end, Some(Ok(())));
    assert!(matches!(pair.server.end, Some(Err(_))), "{:?}", pair.server.end);
}
