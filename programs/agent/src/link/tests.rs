//! The line under honest use, and with somebody else at its end.

use super::frame::Frame;
use super::*;
use crate::run::runtime;
use proptest::prelude::*;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use touchstone_engine::AskKind;
use touchstone_wire::Why as Fault;

const PATIENCE: Duration = Duration::from_secs(10);

/// Answers slowly, and in its own way.
#[derive(Default)]
struct Parrot(Mutex<Vec<State>>);

impl Answer for Parrot {
    fn answer(&self, ask: Ask) -> Reply {
        match ask {
            Ask::Sign { message, .. } => Reply::Bytes(message),
            Ask::Settled(order) => {
                // The later it was asked, the sooner it is answered.
                std::thread::sleep(Duration::from_millis(50_u64.saturating_sub(order * 10)));
                Reply::Truth(order % 2 == 0)
            }
            _ => Reply::Refused(Refused { code: "no".into(), words: "no".into() }),
        }
    }

    fn hear(&self, state: State) {
        self.0.lock().unwrap().push(state);
    }
}

fn asks() -> Vec<Ask> {
    let fault = Some(Refused { code: "a.b".into(), words: "words".into() });
    vec![
        Ask::Log { log: "dev-1/audit/1".to_owned(), after: 9 },
        Ask::Standing,
        Ask::Identity(Key::Maker),
        Ask::Sign { key: Key::Fleet, message: vec![7; 130] },
        Ask::Endorse,
        Ask::Activate(vec![1, 2]),
        Ask::Welcome { device: "d".into(), tenant: "t".into(), verifier_key_pem: "p\n".into() },
        Ask::Evidence { key: Key::Fleet, challenge: vec![3; 60] },
        Ask::Verdict("e.y.j".into()),
        Ask::Request { renew: true, challenge: Vec::new() },
        Ask::Request { renew: false, challenge: vec![1; 130] },
        Ask::Certificate(vec![vec![1; 300], vec![2; 400]]),
        Ask::Forget(Forget::Device),
        Ask::Forget(Forget::Certificate),
        Ask::Forget(Forget::Request),
        Ask::Settled(9),
        Ask::Envelope { order: 1 << 40, envelope: vec![5; 3000] },
        Ask::Decline {
            order: 2,
            component: "pump".into(),
            version: 3,
            why: Why::Gone,
            words: "it is gone".into(),
        },
        Ask::Errands,
        Ask::Reported,
        Ask::State(State { reached: None, fault: None, tunnels: 0 }),
        Ask::State(State { reached: Some(true), fault, tunnels: 4 }),
    ]
}

fn replies() -> Vec<Reply> {
    let report = Report {
        order: 1,
        outcome: "applied".into(),
        code: "update.applied".into(),
        reason: "in place".into(),
    };
    let standing = Standing { device: Some("d".into()), serial: None, due: true };
    vec![
        Reply::Done,
        Reply::Truth(true),
        Reply::Bytes(vec![1; 5000]),
        Reply::Standing(standing),
        Reply::Identity(Identity { algorithm: "ed25519".into(), chain: vec![vec![1], vec![2]] }),
        Reply::Request { request: vec![1, 2], spki_der: vec![3] },
        Reply::Errands { installed: false, report: Some(report) },
        Reply::Errands { installed: true, report: None },
        Reply::Refused(Refused { code: "a".into(), words: "b".into() }),
    ]
}

fn body(frame: &Frame) -> Vec<u8> {
    [&frame.head[HEADER..], &frame.tail].concat()
}

fn head(frame: &Frame, toward: Toward) -> Head {
    Head::decode(frame.head[..HEADER].try_into().unwrap(), toward).unwrap()
}

#[test]
fn every_message_is_read_as_it_was_written_and_cut_short_it_is_refused() {
    for ask in asks() {
        let frame = Frame::ask(7, ask.clone()).unwrap();
        let (head, body) = (head(&frame, Toward::Keeper), body(&frame));
        assert_eq!((head.ticket, head.len), (7, body.len()), "{ask:?}");
        assert_eq!(Ask::decode(head.kind, &body).unwrap(), ask);
    }
    for reply in replies() {
        let frame = Frame::reply(8, reply.clone());
        let (head, body) = (head(&frame, Toward::Network), body(&frame));
        assert_eq!((head.ticket, head.len), (8, body.len()), "{reply:?}");
        assert_eq!(Reply::decode(head.kind, &body).unwrap(), reply);
    }
}

#[test]
fn a_length_is_judged_before_anything_is_read_for_it() {
    let decode = |octets: [u8; HEADER]| Head::decode(&octets, Toward::Keeper);
    let why = |octets| decode(octets).unwrap_err().why;
    // Standing has no octets, a signature's message at most 256.
    assert_eq!(why([1, 1, 0, 0, 0, 1, 0, 0, 0, 1]), Fault::TooLong);
    assert_eq!(why([1, 3, 0, 0, 0, 1, 0, 0, 1, 1]), Fault::TooLong);
    assert!(decode([1, 3, 0, 0, 0, 1, 0, 0, 1, 0]).is_ok());
    assert_eq!(why([1, 16, 0, 0, 0, 1, 255, 255, 255, 255]), Fault::TooLong);
    assert_eq!(why([2, 1, 0, 0, 0, 1, 0, 0, 0, 0]), Fault::BadVersion);
    assert_eq!(why([1, 0, 0, 0, 0, 1, 0, 0, 0, 0]), Fault::BadValue);
    assert_eq!(why([1, 19, 0, 0, 0, 1, 0, 0, 0, 0]), Fault::BadValue);
    assert_eq!(why([1, 128, 0, 0, 0, 0, 0, 0, 0, 0]), Fault::BadValue, "only the keeper says look");
}

#[test]
fn an_engine_asks_the_keeper_for_evidence_and_activation_and_nothing_else() {
    for key in [Key::Maker, Key::Fleet] {
        let of = |kind| Ask::of(kind, vec![1], key);
        assert_eq!(of(AskKind::Evidence), Some(Ask::Evidence { key, challenge: vec![1] }));
        assert_eq!(of(AskKind::Activate), Some(Ask::Activate(vec![1])));
        assert_eq!(of(AskKind::Sign), None);
        assert_eq!(of(AskKind::Secret), None);
    }
}

#[test]
fn text_that_would_disturb_a_log_is_refused_and_never_sent() {
    assert!(Ask::decode(8, b"a\x1b[2Jb").is_err());
    assert!(Ask::decode(8, b"\xff").is_err());
    let state = |words: &str| {
        let fault = Some(Refused { code: "c".into(), words: words.into() });
        Ask::State(State { reached: None, fault, tunnels: 0 })
    };
    let frame = Frame::ask(0, state(&format!("a\x1bb{}", "ä".repeat(1000)))).unwrap();
    let Ask::State(read) = Ask::decode(17, &body(&frame)).unwrap() else { unreachable!() };
    let words = read.fault.unwrap().words;
    assert!(words.starts_with("a b") && words.len() <= 1024, "{words}");
}

proptest! {
    #[test]
    fn noise_is_never_more_than_refused(kind in 0_u8..20, noise: Vec<u8>) {
        if let Ok(ask) = Ask::decode(kind, &noise) {
            let frame = Frame::ask(1, ask.clone()).unwrap();
            prop_assert_eq!(Ask::decode(kind, &body(&frame)).unwrap(), ask);
        }
        if let Ok(reply) = Reply::decode(kind, &noise) {
            let frame = Frame::reply(1, reply.clone());
            prop_assert_eq!(Reply::decode(kind, &body(&frame)).unwrap(), reply);
        }
    }
}

#[test]
fn questions_are_answered_out_of_order_to_those_who_asked() {
    runtime().unwrap().block_on(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (line, carried) = Line::new(theirs);
        let (parrot, look) = (Arc::new(Parrot::default()), Notify::new());
        look.notify_one();
        let asking = async {
            let answers = (0..5).map(|order| {
                let line = line.clone();
                tokio::spawn(async move { line.ask(Ask::Settled(order)).await.unwrap() })
            });
            for (order, answer) in answers.collect::<Vec<_>>().into_iter().enumerate() {
                assert_eq!(answer.await.unwrap(), Reply::Truth(order % 2 == 0));
            }
            let beside = line.clone();
            let sign = Ask::Sign { key: Key::Maker, message: vec![9; 9] };
            let signed = tokio::task::spawn_blocking(move || beside.ask_from_thread(sign));
            assert_eq!(signed.await.unwrap().unwrap(), Reply::Bytes(vec![9; 9]));
            line.tell(State::default()).unwrap();
            line.look().await;
            // Answered after what was told before it.
            line.ask(Ask::Settled(5)).await.unwrap();
            assert_eq!(*parrot.0.lock().unwrap(), [State::default()]);
        };
        tokio::select! {
            end = serve(ours, Arc::clone(&parrot), &look, PATIENCE) => panic!("{end}"),
            broken = carried => panic!("{broken}"),
            () = asking => {}
        }
    });
}

/// What the keeper's end says to somebody who writes these octets.
fn hostile(octets: &[u8], close: bool) -> End {
    runtime().unwrap().block_on(async {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = UnixStream::from_std(ours).unwrap();
        (&theirs).write_all(octets).unwrap();
        let kept = (!close).then_some(theirs);
        let silence = Duration::from_millis(200);
        let end = serve(ours, Arc::new(Parrot::default()), &Notify::new(), silence).await;
        drop(kept);
        end
    })
}

#[test]
fn who_does_not_keep_to_the_protocol_is_cut_off_with_a_reason() {
    let head = |kind, ticket: u32, len: u32| {
        [&[1, kind][..], &ticket.to_be_bytes(), &len.to_be_bytes()].concat()
    };
    assert_eq!(hostile(b"", true).code(), "agent.link.closed");
    assert_eq!(hostile(b"GET / HTTP", false).code(), "agent.link.malformed");
    assert_eq!(hostile(&head(16, 1, u32::MAX), false).code(), "agent.link.malformed");
    // Half a message, and then nothing.
    assert_eq!(hostile(&head(3, 1, 100), true).code(), "agent.link.closed");
    assert_eq!(hostile(&head(3, 1, 100), false).code(), "agent.link.silent");
    assert_eq!(hostile(b"", false).code(), "agent.link.silent");
    // A question without a ticket, and a state with one.
    assert_eq!(hostile(&head(1, 0, 0), false).code(), "agent.link.unexpected");
    let state = [head(17, 3, 6), vec![2, 0, 0, 0, 0, 0]].concat();
    assert_eq!(hostile(&state, false).code(), "agent.link.unexpected");
}

#[test]
fn one_who_asks_without_end_and_hears_nothing_is_cut_off() {
    runtime().unwrap().block_on(async {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = UnixStream::from_std(ours).unwrap();
        let flood = std::thread::spawn(move || {
            let ask = Frame::ask(1, Ask::Sign { key: Key::Maker, message: vec![1; 200] }).unwrap();
            let octets = [&ask.head[..], &ask.tail].concat();
            while (&theirs).write_all(&octets).is_ok() {}
            // What lies ready is bounded by what the system keeps for the line.
            let mut left = Vec::new();
            let _ = (&theirs).read_to_end(&mut left);
            left.len()
        });
        let silence = Duration::from_millis(300);
        let end = serve(ours, Arc::new(Parrot::default()), &Notify::new(), silence).await;
        assert_eq!(end.code(), "agent.link.silent");
        assert!(flood.join().unwrap() < 4 << 20);
    });
}

#[test]
fn what_is_too_long_for_the_keeper_is_told_to_who_asks_and_the_line_holds() {
    runtime().unwrap().block_on(async {
        let (_ours, theirs) = UnixStream::pair().unwrap();
        let (line, _carried) = Line::new(theirs);
        let ask = Ask::Evidence { key: Key::Maker, challenge: vec![0; 5000] };
        let Reply::Refused(no) = line.ask(ask).await.unwrap() else { panic!("it was sent") };
        assert_eq!(no.code, "agent.link.too-long");
    });
}

#[test]
fn who_waits_hears_that_the_keeper_is_gone() {
    runtime().unwrap().block_on(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (line, carried) = Line::new(theirs);
        let waiting = tokio::spawn({
            let line = line.clone();
            async move { line.ask(Ask::Standing).await }
        });
        let carried = tokio::spawn(carried);
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(ours);
        assert_eq!(waiting.await.unwrap(), Err(Gone));
        assert_eq!(carried.await.unwrap().code(), "agent.link.closed");
        assert_eq!(line.ask(Ask::Standing).await, Err(Gone));
    });
}
