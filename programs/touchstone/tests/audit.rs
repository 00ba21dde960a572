//! `touchstone audit`, on a log as the fleet writes it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use std::path::Path;
use std::sync::Arc;
use support::{fleet, folder, run};
use touchstone_audit::{Code, Event, Head, Log, Notary};
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

fn write(folder: &Path, entries: u64) -> Head {
    let (mut log, _) = Log::open(&folder.join("audit.jsonl"), Arc::new(AwsLc), 0).unwrap();
    for at in 0..entries {
        let event = Event::new(Code::FlowCut, "plant", "device:17").with("at", at);
        log.append(at, &event).unwrap();
    }
    log.head()
}

fn notary() -> Notary {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    Notary::new(&AwsLc, "plant/audit", Arc::new(key)).unwrap()
}

#[test]
fn a_whole_log_is_good_and_its_head_is_told() {
    let here = folder(&[]);
    let head = write(here.path(), 3).to_string();
    let ran = run(here.path(), &["audit", "verify", "audit.jsonl"]).expect(0);
    assert!(ran.out.contains("whole, 3 entries") && ran.out.contains(&head), "{}", ran.out);
    assert!(ran.err.contains("cannot be told without a known head"), "{}", ran.err);
    let ran = run(here.path(), &["audit", "verify", "audit.jsonl", "--head", &head, "--json"]);
    let json = ran.expect(0).json("touchstone.audit.verify/2");
    assert_eq!((&json["entries"], &json["head"]), (&3.into(), &head.into()));
}

#[test]
fn a_changed_line_is_named() {
    let here = folder(&[]);
    write(here.path(), 3);
    let path = here.path().join("audit.jsonl");
    let text = std::fs::read_to_string(&path).unwrap().replace("\"at\":\"1\"", "\"at\":\"9\"");
    std::fs::write(&path, text).unwrap();
    let ran = run(here.path(), &["audit", "verify", "audit.jsonl"]).expect(1);
    assert!(ran.err.starts_with("audit.jsonl:2: changed after it was written"), "{}", ran.err);
    let ran = run(here.path(), &["audit", "verify", "audit.jsonl", "--json"]).expect(1);
    let json = ran.json("touchstone.audit.verify/2");
    assert_eq!((&json["line"], &json["code"]), (&2.into(), &"audit.line.changed".into()));
}

#[test]
fn a_cut_end_shows_by_a_known_head_or_by_asking_the_fleet() {
    let here = folder(&[("op.token", "t")]);
    let head = write(here.path(), 3);
    let path = here.path().join("audit.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let two: String = text.lines().take(2).flat_map(|line| [line, "\n"]).collect();
    std::fs::write(&path, two).unwrap();
    run(here.path(), &["audit", "verify", "audit.jsonl"]).expect(0);
    let known = head.to_string();
    let ran = run(here.path(), &["audit", "verify", "audit.jsonl", "--head", &known]).expect(1);
    assert!(ran.err.contains("the end was cut off"), "{}", ran.err);

    let ask = |body: &str, code| {
        let (url, asked) = fleet("200 OK", body);
        let arguments = ["audit", "verify", "audit.jsonl", "--ask-fleet", "--fleet", &url];
        let ran = run(here.path(), &[&arguments[..], &["--token", "file:op.token"]].concat());
        assert!(asked.join().unwrap().starts_with("GET /api/v1/audit/head "));
        ran.expect(code).err
    };
    let (seq, hash, key) = (head.seq, head.hash.to_hex(), notary().key().to_string());
    let body = format!("{{\"entries\":{seq},\"head\":\"{hash}\",\"key\":\"{key}\"}}");
    assert!(ask(&body, 1).contains("audit.chain.cut"));
    // Without a key it cannot be told who signed, and nothing is good then.
    let words = ask(&format!("{{\"entries\":{seq},\"head\":\"{hash}\"}}"), 3);
    assert!(words.contains("holds no key"), "{words}");
}

#[test]
fn an_unfinished_line_is_told_and_a_missing_log_is_no_answer() {
    let here = folder(&[]);
    write(here.path(), 2);
    let path = here.path().join("audit.jsonl");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"v\":1,\"se");
    std::fs::write(&path, bytes).unwrap();
    let ran = run(here.path(), &["audit", "verify", "audit.jsonl"]).expect(0);
    assert!(ran.err.contains("10 octets of an unfinished line"), "{}", ran.err);
    run(here.path(), &["audit", "verify", "other.jsonl"]).expect(3);
    run(here.path(), &["audit", "verify", "audit.jsonl", "--head", "12"]).expect(2);
}

#[test]
fn a_signed_head_shows_that_nobody_wrote_the_log_anew() {
    let here = folder(&[]);
    let notary = notary();
    write(here.path(), 3);
    let path = here.path().join("audit.jsonl");
    let (mut log, _) = Log::open(&path, Arc::new(AwsLc), 0).unwrap();
    let head = log.sign(9, &notary).unwrap();
    drop(log);
    std::fs::write(here.path().join("audit.pub"), notary.key().to_string()).unwrap();
    std::fs::write(here.path().join("kept.note"), &head.detail["checkpoint"]).unwrap();
    let verify = ["audit", "verify", "audit.jsonl", "--key", "audit.pub"];
    let checked = [&verify[..], &["--checkpoint", "kept.note"]].concat();
    let ran = run(here.path(), &checked).expect(0);
    assert!(ran.out.contains("signed up to entry 3 by plant/audit"), "{}", ran.out);
    let json = run(here.path(), &[&checked[..], &["--json"]].concat()).expect(0);
    let json = json.json("touchstone.audit.verify/2");
    assert_eq!((&json["signed"], &json["known_checkpoint"]), (&3.into(), &3.into()));

    // Somebody writes another log of that length; without the key it cannot be signed.
    std::fs::remove_file(&path).unwrap();
    write(here.path(), 4);
    run(here.path(), &["audit", "verify", "audit.jsonl"]).expect(0);
    let ran = run(here.path(), &verify).expect(1);
    assert!(ran.err.contains("audit.tree.unsigned"), "{}", ran.err);

    let forged = head.detail["checkpoint"].replacen("\n3\n", "\n4\n", 1);
    std::fs::write(here.path().join("kept.note"), forged).unwrap();
    let ran = run(here.path(), &checked).expect(1);
    assert!(ran.err.contains("audit.checkpoint.signature"), "{}", ran.err);
    std::fs::write(here.path().join("audit.pub"), "nonsense").unwrap();
    run(here.path(), &verify).expect(3);
}

/// A log in three parts: entries 1 to 3, 4 to 7, 8 to 11.
fn write_parts(folder: &Path) {
    let (mut log, _) = Log::open(&folder.join("audit.jsonl"), Arc::new(AwsLc), 0).unwrap();
    for part in 0..3 {
        if part > 0 {
            log.begin_part(9).unwrap();
        }
        for at in 0..3 {
            let event = Event::new(Code::FlowCut, "plant", "device:17").with("at", at);
            log.append(at, &event).unwrap();
        }
    }
}

#[test]
fn parts_are_read_as_one_log_and_a_missing_one_is_told() {
    let here = folder(&[]);
    write_parts(here.path());
    let ran = run(here.path(), &["audit", "verify", "audit.jsonl", "--json"]).expect(0);
    let json = ran.json("touchstone.audit.verify/2");
    assert_eq!((&json["entries"], &json["parts"]), (&11.into(), &3.into()));
    let first = here.path().join("audit.000000000001.jsonl");
    let text = std::fs::read_to_string(&first).unwrap();
    std::fs::write(&first, text.replace("device:17", "device:18")).unwrap();
    let ran = run(here.path(), &["audit", "verify", "audit.jsonl"]).expect(1);
    assert!(ran.err.starts_with("audit.000000000001.jsonl:1: changed"), "{}", ran.err);
    std::fs::remove_file(&first).unwrap();
    let ran = run(here.path(), &["audit", "verify", "audit.jsonl"]).expect(1);
    assert!(ran.err.contains("entries 1 to 3 are not here"), "{}", ran.err);
    run(here.path(), &["audit", "verify", "audit.jsonl", "--from", "3"]).expect(1);
    run(here.path(), &["audit", "verify", "audit.jsonl", "--from", "4"]).expect(0);
    std::fs::remove_file(here.path().join("audit.000000000004.jsonl")).unwrap();
    run(here.path(), &["audit", "verify", "audit.jsonl", "--from", "4"]).expect(1);
}

#[test]
fn entries_are_shown_filtered_and_written_for_a_siem() {
    let here = folder(&[]);
    write_parts(here.path());
    let show = |more: &[&str]| {
        run(here.path(), &[&["audit", "show", "audit.jsonl"], more].concat()).expect(0)
    };
    let ran = show(&["--code", "flow.", "--from", "3", "--to", "6"]);
    assert_eq!(ran.out.lines().count(), 3, "{}", ran.out);
    assert!(ran.out.contains("1970-01-01T00:00:02Z warning  flow.cut"), "{}", ran.out);
    assert_eq!(show(&["--severity", "error"]).out, "");
    assert_eq!(show(&["--subject", "device:1"]).out, "");
    let ran = show(&["--limit", "2", "--json"]);
    let json = ran.json("touchstone.audit.show/1");
    assert_eq!((json["entries"].as_array().unwrap().len(), &json["more"]), (2, &true.into()));
    for format in ["rfc5424", "cef", "leef", "ocsf", "otlp", "hec"] {
        let export = ["audit", "export", "audit.jsonl", "--format", format, "--hostname", "h"];
        let ran = run(here.path(), &export).expect(0);
        assert_eq!(ran.out.lines().count(), 11, "{format}: {}", ran.out);
    }
    run(here.path(), &["audit", "export", "audit.jsonl", "--format", "gelf"]).expect(2);
    run(here.path(), &["audit", "show", "audit.jsonl", "--severity", "bad"]).expect(2);
}

#[test]
fn what_a_siem_misses_or_has_twice_is_told() {
    let here = folder(&[]);
    write_parts(here.path());
    let export = ["audit", "export", "audit.jsonl", "--format", "ocsf"];
    let lines = run(here.path(), &export).expect(0).out;
    let received = here.path().join("received");
    let compare = ["audit", "compare", "audit.jsonl", "--received", "received"];
    std::fs::write(&received, &lines).unwrap();
    run(here.path(), &compare).expect(0);
    let kept = |at: usize| ![1, 2, 3, 9].contains(&at);
    let some = lines.lines().enumerate().filter(|(at, _)| kept(*at)).map(|(_, line)| line);
    let some: Vec<&str> = some.chain(lines.lines().take(1)).collect();
    std::fs::write(&received, some.join("\n")).unwrap();
    let ran = run(here.path(), &compare).expect(1);
    assert!(ran.out.starts_with("11 entries: 7 received, 4 missing, 1 again"), "{}", ran.out);
    assert!(ran.out.ends_with("missing 2-4\nmissing 10\n"), "{}", ran.out);
}
