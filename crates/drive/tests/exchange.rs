//! The attestation exchange over requests that fail, repeat and say no.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::time::Duration;
use touchstone_attest::{Attester, Error, Event, Kind, Limits, Verifier};
use touchstone_drive::{Reply, blocking, run_exchange, serve_message};
use touchstone_engine::AskKind;

fn limits() -> Limits {
    Limits {
        retry: Duration::from_millis(20),
        deadline: Duration::from_millis(600),
        ..Limits::default()
    }
}

fn device() -> Attester {
    Attester::new(Kind::Attest, [7; 16], b"device-1", limits())
}

async fn evidence(kind: AskKind, challenge: Vec<u8>) -> Reply {
    assert_eq!((kind, challenge.as_slice()), (AskKind::Evidence, &b"nonce"[..]));
    Reply::Bytes(b"quote".to_vec())
}

async fn appraise(kind: AskKind, question: Vec<u8>) -> Reply {
    match (kind, question.as_slice()) {
        (AskKind::Challenge, b"device-1") => Reply::Bytes(b"nonce".to_vec()),
        (AskKind::Appraise, b"quote") => Reply::Bytes(b"affirming".to_vec()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn lost_requests_and_lost_responses_are_tried_again() {
    for lost in 0..8 {
        let mut fleet = Verifier::new(Kind::Attest, limits());
        let mut requests = 0;
        let heard = run_exchange(device(), evidence, async |mut message| {
            requests += 1;
            if requests == 1 + lost / 2 && lost % 2 == 0 {
                return Err("the request is lost");
            }
            let served = serve_message(&mut fleet, &mut message, appraise).await;
            if requests == 1 + lost / 2 {
                return Err("the response is lost");
            }
            Ok(served.reply.unwrap_or_default())
        })
        .await;
        assert_eq!(heard.unwrap(), [Event::Result(b"affirming".to_vec())], "lost {lost}");
    }
}

#[tokio::test]
async fn a_fleet_that_is_not_there_is_named_when_time_is_up() {
    let mut requests = 0;
    let unreachable = async |_| {
        requests += 1;
        Err::<Vec<u8>, _>("connection refused")
    };
    let error = run_exchange(device(), evidence, unreachable).await.unwrap_err();
    assert_eq!(error.end, Some(Error::TimedOut));
    assert_eq!(error.code(), "attest.timed_out");
    assert!(error.to_string().ends_with("the last request failed: connection refused"));
    assert!((3..30).contains(&requests), "{requests} requests in 600 ms");
}

#[tokio::test]
async fn a_refusal_comes_with_the_words_of_the_fleet() {
    let mut fleet = Verifier::new(Kind::Attest, limits());
    let refuse = async |_, _| Reply::refused("attest.device.unknown", "onboard it first");
    let error = run_exchange(device(), evidence, async |mut message| {
        let served = serve_message(&mut fleet, &mut message, refuse).await;
        Ok::<_, &str>(served.reply.unwrap())
    })
    .await
    .unwrap_err();
    assert_eq!(error.end, Some(Error::RefusedByVerifier));
    let (code, text) = ("attest.device.unknown".to_owned(), "onboard it first".to_owned());
    assert_eq!(error.events, [Event::Refused { code, text }]);
}

#[test]
fn the_same_without_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut fleet = Verifier::new(Kind::Attest, limits());
    let mut lost = true;
    let heard = blocking::run_exchange(
        device(),
        |_, _| Reply::Bytes(b"quote".to_vec()),
        |mut message| {
            if std::mem::take(&mut lost) {
                return Err("lost");
            }
            let served = runtime.block_on(serve_message(&mut fleet, &mut message, appraise));
            Ok(served.reply.unwrap_or_default())
        },
    );
    assert_eq!(heard.unwrap(), [Event::Result(b"affirming".to_vec())]);
}
