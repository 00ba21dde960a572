//! What operators are told of: who came in and who did not, which policy is in force, what was refused.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod support;

use serde_json::Value;
use support::{Lab, Party, curl, until};
use touchstone_certs::issue::Kind;

fn lab() -> Lab {
    Lab::new(&Party::new(Kind::Root, "TPM Maker").certificate.to_pem().unwrap())
}

fn events(lab: &Lab, code: &str) -> Vec<Value> {
    let list = lab.get("/api/v1/events?after=0&limit=1000");
    let events = list["events"].as_array().unwrap();
    events.iter().filter(|event| event["code"] == code).cloned().collect()
}

#[test]
fn whoever_comes_in_and_whoever_does_not_is_an_event() {
    let lab = lab();
    let login = format!("http://{}/console/login", lab.console);
    for _ in 0..3 {
        assert_eq!(curl(&["-d", "token=wrong", &login]).0, 403);
        assert_eq!(lab.api("nonsense", &[], "/api/v1/devices").0, 401);
    }
    let refused = events(&lab, "operator.refused");
    assert_eq!(refused.len(), 1, "once a minute: {refused:?}");
    assert_eq!(refused[0]["detail"]["address"], "127.0.0.1");
    assert!(!refused[0].to_string().contains("wrong"), "no token is repeated: {refused:?}");

    let viewer = "0123456789abcdef-viewer";
    assert_eq!(lab.api(viewer, &["--data-binary", "x"], "/api/v1/updates").0, 403);
    let refused = events(&lab, "operator.refused");
    assert_eq!((refused.len(), refused[1]["subject"].as_str()), (2, Some("operator:noc")));

    assert!(events(&lab, "operator.admitted").is_empty());
    let token = lab.operator_token();
    assert_eq!(curl(&["-d", &format!("token={token}"), &login]).0, 303);
    let link = lab.api(&token, &["-X", "POST"], "/api/v1/console/link").1;
    let url = format!("http://{}{}", lab.console, link["path"].as_str().unwrap());
    assert_eq!(curl(&[&url]).0, 303);
    let by: Vec<_> = events(&lab, "operator.admitted")
        .iter()
        .map(|event| (event["subject"].clone(), event["detail"]["by"].clone()))
        .collect();
    let admin = |by: &str| (Value::from("operator:admin"), Value::from(by));
    assert_eq!(by, [admin("token"), admin("link")]);
}

#[test]
fn a_policy_is_told_when_it_comes_into_force_and_when_it_is_refused() {
    let mut lab = lab();
    lab.kill_and_restart();
    let loaded = events(&lab, "policy.loaded");
    assert_eq!(loaded.len(), 1, "a restart changes nothing: {loaded:?}");
    let detail = &loaded[0]["detail"];
    assert_eq!((&detail["name"], &detail["version"]), (&"gateway".into(), &1.into()));

    let good = std::fs::read_to_string(lab.path("policy.txt")).unwrap();
    std::fs::write(lab.path("policy.txt"), good.replace("device.onboarded", "device.onborded"))
        .unwrap();
    assert!(lab.terminate().success());
    for _ in 0..2 {
        assert_eq!(lab.fleet(&[]).status.code(), Some(3));
    }
    std::fs::write(lab.path("policy.txt"), good.replace("version 1", "version 2")).unwrap();
    lab.start();
    let refused = events(&lab, "policy.refused");
    assert_eq!(refused.len(), 1, "the same refusal is told once: {refused:?}");
    assert!(refused[0]["message"].as_str().unwrap().contains("policy.txt:"), "{refused:?}");
    let loaded = events(&lab, "policy.loaded");
    assert_eq!(loaded.last().unwrap()["detail"]["version"], 2);
    until("the audit log", || {
        let log = std::fs::read_to_string(lab.path("state/audit.jsonl")).unwrap();
        (log.contains("\"policy.refused\"") && log.matches("\"policy.loaded\"").count() == 2)
            .then_some(())
    });
}

#[test]
fn reference_values_that_are_refused_are_an_event_with_their_digest_and_who_brought_them() {
    let lab = lab();
    let token = lab.operator_token();
    assert_eq!(lab.api(&token, &["--data-binary", "x"], "/api/v1/references").0, 422);
    let refused = events(&lab, "reference.refused");
    let detail = &refused[0]["detail"];
    assert_eq!((refused.len(), detail["by"].as_str()), (1, Some("admin")));
    assert_eq!(detail["sha256"].as_str().unwrap().len(), 64);
}
