//! `touchstone respond` at a socket that answers as the agent does.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]
#![allow(dead_code, reason = "not every test needs all of the support")]

mod support;

use base64ct::{Base64, Encoding};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::JoinHandle;
use touchstone_cms::SignedData;
use touchstone_crypto_awslc::AwsLc;

const WAITING: &str = r#"{ "id": "r4", "action": "stop-unit", "stage": "waiting", "control": "code",
    "outcome": "sis.service is a safety unit; it waits for 2 approvals", "reason": "patched",
    "target": { "process": { "pid": 212, "start": 7, "program": "/usr/bin/s\u001b[2Jis", "unit": null } } }"#;

/// Answers one question after the other; gives the questions back.
fn agent(folder: &Path, answers: &[String]) -> JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(folder.join("respond.sock")).unwrap();
    let answers = answers.to_vec();
    std::thread::spawn(move || {
        let one = |answer: String| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = String::new();
            stream.read_to_string(&mut question).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            question
        };
        answers.into_iter().map(one).collect()
    })
}

fn told(more: &str) -> String {
    format!(r#"{{ "schema": "touchstone.agent.respond/1", "device": "gw-1", {more} }}"#)
}

#[test]
fn what_waits_is_listed_and_the_answer_is_no_while_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let agent = agent(folder.path(), &[told(&format!(r#""responses": [{WAITING}]"#))]);
    let ran = support::run(folder.path(), &["respond", "list", "--state", "."]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.contains("r4  waiting  stop-unit  process 212"), "{}", ran.out);
    assert!(!ran.out.contains('\u{1b}'), "a name cannot steer the terminal");
    assert_eq!(agent.join().unwrap(), [r#"{"verb":"list"}"#]);
}

#[test]
fn an_approval_signs_what_the_agent_says_that_it_will_do() {
    let folder = tempfile::tempdir().unwrap();
    support::signer(folder.path(), "anna");
    let statement = r#"{"schema":"touchstone.approval/1","response":"r4"}"#;
    let quoted = serde_json::to_string(statement).unwrap();
    let answers = [
        told(&format!(r#""responses": [{WAITING}], "statement": {quoted}"#)),
        told(&format!(r#""responses": [{}]"#, WAITING.replace("waiting", "applied"))),
    ];
    let agent = agent(folder.path(), &answers);
    let arguments = [
        "respond",
        "approve",
        "r4",
        "--cert",
        "anna.pem",
        "--key",
        "file:anna.key",
        "--state",
        ".",
    ];
    let ran = support::run(folder.path(), &arguments);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let asked: serde_json::Value = serde_json::from_str(&agent.join().unwrap()[1]).unwrap();
    assert_eq!((asked["verb"].as_str(), asked["id"].as_str()), (Some("approve"), Some("r4")));
    let der = Base64::decode_vec(asked["approval"].as_str().unwrap()).unwrap();
    let signed = SignedData::decode(&der).unwrap().verify(&AwsLc).unwrap();
    assert_eq!(signed.content(), statement.as_bytes());
}

#[test]
fn a_refusal_is_told_with_its_code_and_no_agent_is_another_thing() {
    let folder = tempfile::tempdir().unwrap();
    let undo = ["respond", "undo", "r9", "--state", ".", "--json"];
    let ran = support::run(folder.path(), &undo);
    assert_eq!(ran.code, 3, "{}", ran.out);
    assert!(ran.err.contains("no agent answers"), "{}", ran.err);
    let no = r#""responses": [], "refused": { "code": "agent.respond.unknown", "words": "none" }"#;
    let agent = agent(folder.path(), &[told(no)]);
    let ran = support::run(folder.path(), &undo);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["code"], "agent.respond.unknown");
    agent.join().unwrap();
}

#[test]
fn what_was_done_is_told_in_json_as_the_agent_tells_it_and_taken_back_once() {
    let folder = tempfile::tempdir().unwrap();
    let of = |id: &str, action: &str, stage: &str, outcome: &str| {
        format!(
            r#"{{ "id": "{id}", "action": "{action}", "stage": "{stage}", "control": "code",
                "reason": "patched", "outcome": "{outcome}", "target": "device", "token": "t-{id}" }}"#
        )
    };
    let restored = of("r1", "restore", "applied", "/usr/bin/pump is as its package has it");
    let rotated = of("r2", "rotate-key", "applied", "a new key; the old certificate was revoked");
    let undone = of("r1", "restore", "undone", "/usr/bin/pump is as it was found");
    let answers = [
        told(&format!(r#""responses": [{restored}, {rotated}]"#)),
        told(&format!(r#""responses": [{undone}]"#)),
        told(&format!(r#""responses": [{rotated}]"#)),
    ];
    let agent = agent(folder.path(), &answers);
    let json = |arguments: &[&str]| {
        let all = [arguments, &["--state", ".", "--json"]].concat();
        let ran = support::run(folder.path(), &all);
        (ran.code, serde_json::from_str::<serde_json::Value>(&ran.out).unwrap())
    };
    let (code, list) = json(&["respond", "list"]);
    assert_eq!((code, list["schema"].as_str()), (0, Some("touchstone.respond/1")));
    assert_eq!((&list["device"], list["good"].as_bool()), (&"gw-1".into(), Some(true)));
    let expected: serde_json::Value =
        serde_json::from_str(&format!("[{restored}, {rotated}]")).unwrap();
    assert_eq!(list["responses"], expected, "nothing is left out or renamed");

    let (code, taken) = json(&["respond", "undo", "t-r1"]);
    assert_eq!((code, taken["response"]["stage"].as_str()), (0, Some("undone")));
    let (code, kept) = json(&["respond", "undo", "r2"]);
    assert_eq!((code, kept["response"]["stage"].as_str()), (1, Some("applied")), "{kept}");
    let asked = agent.join().unwrap();
    assert_eq!(asked[1..], [r#"{"id":"t-r1","verb":"undo"}"#, r#"{"id":"r2","verb":"undo"}"#]);
}
