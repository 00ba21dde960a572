//! `touchstone device`, and what else asks a fleet. The fleet here says what the test tells it to;
//! the real one is met in the system test.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use serde_json::{Value, json};
use support::{fleet, folder, run, secure_fleet, signer};

fn device(tier: &str, stale: bool) -> Value {
    json!({
        "id": "d-17", "name": "gateway 17\u{1b}[31m", "tenant": "plant", "tier": tier,
        "contact": "reachable", "stale": stale, "last_seen": 1, "tier_since": 1,
        "why": "code of /data/app was changed", "later": "ignored",
        "identity": { "proofs": ["endorsement-key", "iak"], "later": 1 },
        "certificate": { "serial": "0a", "not_after": 9, "status": "revoked" },
        "vector": [{ "dimension": "executables", "value": 96, "name": "x", "tier": tier }],
        "controls": [
            { "name": "code-pages", "passed": false, "outcome": "fail",
              "dimension": "executables", "tier": "contraindicated", "severity": "critical",
              "countermeasures": ["alert", "quarantine"],
              "reason": "1 of 9 pages", "because": "patched" },
            { "name": "secure-boot", "passed": true, "outcome": "pass",
              "dimension": "configuration", "tier": "contraindicated", "severity": "high",
              "reason": "it is on", "because": "unsigned" },
        ],
    })
}

#[test]
fn devices_are_listed_with_a_token_from_a_file() {
    let here = folder(&[("op.token", "s3cret\n")]);
    let body = json!({ "schema": "x", "devices": [device("contraindicated", false)] });
    let (url, asked) = fleet("200 OK", &body.to_string());
    let arguments = ["device", "list", "--fleet", &url, "--token", "file:op.token"];
    let ran = run(here.path(), &arguments).expect(0);
    let head = asked.join().unwrap();
    assert!(head.starts_with("GET /api/v1/devices HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer s3cret\r\n"), "{head}");
    assert!(ran.out.contains("d-17    gateway 17\u{fffd}[31m  contraindicated"), "{}", ran.out);

    let (url, _) = fleet("200 OK", &body.to_string());
    let arguments = ["--json", "device", "list", "--fleet", &url, "--token", "file:op.token"];
    let json = run(here.path(), &arguments).json("touchstone.device.list/1");
    assert_eq!(json["devices"][0]["later"], "ignored", "what the fleet says more is passed on");
}

#[test]
fn a_device_is_good_only_by_a_result_that_counts() {
    let here = folder(&[("op.token", "t")]);
    for (tier, stale, code) in
        [("affirming", false, 0), ("affirming", true, 1), ("warning", false, 1), ("none", false, 1)]
    {
        let (url, asked) = fleet("200 OK", &json!({ "device": device(tier, stale) }).to_string());
        let arguments = ["device", "show", "d-17", "--fleet", &url, "--token", "file:op.token"];
        let ran = run(here.path(), &arguments).expect(code);
        assert!(asked.join().unwrap().starts_with("GET /api/v1/devices/d-17 "));
        assert!(ran.out.contains("failed   code-pages: 1 of 9 pages"), "{}", ran.out);
        assert!(ran.out.contains("proven by    endorsement-key, iak\n"), "{}", ran.out);
    }
}

#[test]
fn an_operator_sees_who_waits_to_enrol_and_decides() {
    let here = folder(&[("op.token", "t")]);
    let enrolment = |state: &str| {
        json!({
            "id": 4, "profile": "client", "protocol": "scep", "device": null, "invited": false,
            "subject": "pump-3", "names": ["dns:a.b"], "key": "rsa-2048", "key_sha256": "c0ffee",
            "since": 10, "expires": 99, "state": state, "decided": null, "operator": "anna",
            "reason": null, "serial": null,
        })
    };
    let asked = |verb: &[&str], body: &Value, code: i32| {
        let (url, asked) = fleet("200 OK", &body.to_string());
        let more = ["--fleet", url.as_str(), "--token", "file:op.token"];
        let all: Vec<&str> = ["enrolment"].iter().chain(verb).chain(&more).copied().collect();
        let ran = run(here.path(), &all).expect(code);
        (asked.join().unwrap(), ran.out)
    };
    let (head, out) = asked(&["list"], &json!({ "enrolments": [enrolment("waiting")] }), 1);
    assert!(head.starts_with("GET /api/v1/enrolments "), "{head}");
    assert!(out.contains("nothing but a key") && out.contains("pump-3 dns:a.b"), "{out}");
    let (_, out) = asked(&["list"], &json!({ "enrolments": [enrolment("issued")] }), 0);
    assert!(out.contains("issued, by anna"), "{out}");
    let (head, out) = asked(&["approve", "4"], &json!({ "enrolment": enrolment("approved") }), 0);
    assert!(head.starts_with("POST /api/v1/enrolments/4/approve "), "{head}");
    assert!(out.contains("4: pump-3 by the profile client is approved, by anna"), "{out}");
    let refuse = ["refuse", "4", "--reason", "not ours", "--json"];
    let (head, out) = asked(&refuse, &json!({ "enrolment": enrolment("refused") }), 0);
    assert!(head.starts_with("POST /api/v1/enrolments/4/refuse "), "{head}");
    assert!(out.contains("touchstone.enrolment.show/1"), "{out}");
}

#[test]
fn an_operator_sees_who_is_held_back_and_releases_a_device() {
    let here = folder(&[("op.token", "t")]);
    let hold = |held: bool| {
        json!({
            "device": "d-17", "policy": "plant/3", "asked": "stop-unit", "since": 10,
            "admitted": null, "operator": null, "held": held,
        })
    };
    let asked = |verb: &[&str], body: &Value, code: i32| {
        let (url, asked) = fleet("200 OK", &body.to_string());
        let more = ["--fleet", url.as_str(), "--token", "file:op.token"];
        let all: Vec<&str> = ["device", "hold"].iter().chain(verb).chain(&more).copied().collect();
        let ran = run(here.path(), &all).expect(code);
        (asked.join().unwrap(), ran.out)
    };
    let (head, out) = asked(&["list"], &json!({ "holds": [hold(true)] }), 1);
    assert!(head.starts_with("GET /api/v1/holds "), "{head}");
    assert!(out.contains("held") && out.contains("stop-unit"), "{out}");
    let (_, out) = asked(&["list", "--json"], &json!({ "holds": [hold(false)] }), 0);
    assert!(out.contains("touchstone.device.hold.list/1"), "{out}");
    let (head, out) = asked(&["release", "d-17"], &json!({ "hold": hold(false) }), 0);
    assert!(head.starts_with("POST /api/v1/devices/d-17/hold/release "), "{head}");
    assert_eq!(out, "d-17 is told with its next result: stop-unit\n");
}

#[test]
fn an_operator_decides_about_a_devices_certificates() {
    let here = folder(&[("op.token", "t")]);
    let decision = json!({
        "id": 1, "device": "d-17", "effect": "deny", "reason": "stolen", "operator": "anna",
        "created": 10, "expires": 604_810, "ended": null, "ended_by": null, "in_force": true,
    });
    let at = |verb: &[&str], url: &str| -> Vec<String> {
        let more = ["--fleet", url, "--token", "file:op.token"];
        let all = ["device", "override"].iter().chain(verb).chain(&more);
        all.map(|word| (*word).to_owned()).collect()
    };
    let asked = |verb: &[&str], body: &Value| {
        let (url, asked) = fleet("200 OK", &body.to_string());
        let arguments = at(verb, &url);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ran = run(here.path(), &arguments).expect(0);
        (asked.join().unwrap(), ran.out)
    };
    let one = json!({ "override": decision });
    let set = ["set", "d-17", "--deny", "--for", "7d", "--reason", "stolen"];
    let (head, out) = asked(&set, &one);
    assert!(head.starts_with("POST /api/v1/devices/d-17/override HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    assert_eq!(out, "d-17: deny, until 1970-01-08T00:00:10Z: stolen\n");
    let (head, _) = asked(&["end", "d-17"], &one);
    assert!(head.starts_with("DELETE /api/v1/devices/d-17/override "), "{head}");
    let (head, out) = asked(&["list"], &json!({ "overrides": [decision] }));
    assert!(head.starts_with("GET /api/v1/overrides "), "{head}");
    assert!(out.contains("d-17    deny") && out.contains("anna"), "{out}");
    for (wrong, told) in [
        (&["set", "d-17", "--allow", "--for", "soon", "--reason", "x"][..], "write 30m"),
        (&["set", "d-17", "--for", "1h", "--reason", "x"], "--allow"),
        (&["set", "d-17", "--allow", "--deny", "--for", "1h", "--reason", "x"], "--deny"),
        (&["end", "a/b"], "the ids"),
    ] {
        let arguments = at(wrong, "http://127.0.0.1:1");
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ran = run(here.path(), &arguments).expect(2);
        assert!(ran.err.contains(told), "{}", ran.err);
    }
}

#[test]
fn what_the_fleet_refuses_is_passed_on() {
    let here = folder(&[("op.token", "t")]);
    let body = json!({ "code": "api.unknown", "message": "no device named `x`", "next": "list" });
    let (url, _) = fleet("404 Not Found", &body.to_string());
    let ran =
        run(here.path(), &["device", "show", "x", "--fleet", &url, "--token", "file:op.token"]);
    assert_eq!(ran.expect(3).err, "touchstone: no device named `x`; list (api.unknown)\n");
}

#[test]
fn a_fleet_that_is_not_there_is_no_answer() {
    let here = folder(&[("op.token", "t")]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let ran = run(here.path(), &["device", "list", "--fleet", &url, "--token", "file:op.token"]);
    assert!(ran.expect(3).err.contains("touchstone.fleet.unreachable"));
}

#[test]
fn asking_wrongly_is_told_before_anybody_is_asked() {
    let here = folder(&[("op.token", "t"), ("empty.token", "\n")]);
    for (arguments, told) in [
        (["device", "list", "--fleet", "http://127.0.0.1:1", "--token", "s3cret"], "write `file:`"),
        (["device", "list", "--fleet", "http://10.0.0.1", "--token", "file:op.token"], "ssh -L"),
        (
            ["device", "list", "--fleet", "http://[::1]:1", "--token", "file:empty.token"],
            "no token",
        ),
        (
            ["device", "show", "a/b", "--fleet=http://[::1]:1", "--token", "file:op.token"],
            "the ids",
        ),
    ] {
        let ran = run(here.path(), &arguments).expect(2);
        assert!(ran.err.contains(told) && !ran.err.contains("s3cret"), "{}", ran.err);
    }
    assert!(run(here.path(), &["device", "list"]).expect(2).err.contains("TOUCHSTONE_TOKEN"));
}

#[test]
fn an_answer_of_another_form_is_not_taken_for_one() {
    let here = folder(&[("op.token", "t")]);
    for body in ["", "[]", "{}", "{\"devices\":{}}", "{\"devices\":[{\"id\":3}]}"] {
        let (url, _) = fleet("200 OK", body);
        let arguments = ["device", "list", "--fleet", &url, "--token", "file:op.token"];
        run(here.path(), &arguments).expect(3);
    }
}

#[test]
fn a_policy_is_tried_on_what_a_device_proved_last() {
    let policy = r#"policy next version 2 schema 1
        control secure-boot { title "signed images" severity high
            require boot.secure-boot else configuration contraindicated }
        control agent { title "new agents" severity low because "old agents have faults"
            require agent.version >= 2.0.0 else executables warning }
        control files { title "nothing else runs" severity low
            require ima.unknown-files is empty else file-system warning }
    "#;
    let here = folder(&[("op.token", "t"), ("next.policy", policy)]);
    let explain = |stale: bool, claims: Value, control: &str, more: &[&str]| {
        let body = json!({
            "schema": "touchstone.device.claims/1", "device": "d-17", "policy": "gateway/1",
            "evidence_at": 8, "appraised_at": 9, "expires": 99, "stale": stale,
            "claims": claims, "omitted": ["ima.unknown-files"], "later": 1,
        });
        let (url, asked) = fleet("200 OK", &body.to_string());
        let arguments = ["policy", "explain", "next.policy", "--control", control, "--device"];
        let access = ["d-17", "--fleet", &url, "--token", "file:op.token"];
        let ran = run(here.path(), &[&arguments[..], &access[..], more].concat());
        (ran, asked)
    };
    let known = json!({ "boot.secure-boot": true, "agent.version": "1.4.2" });
    let (ran, asked) = explain(false, known.clone(), "secure-boot", &[]);
    assert!(ran.expect(0).out.contains("passed   secure-boot: boot.secure-boot is true"));
    assert!(asked.join().unwrap().starts_with("GET /api/v1/devices/d-17/claims HTTP/1.1\r\n"));

    let (ran, _) = explain(false, known.clone(), "agent", &["--json"]);
    let json = ran.expect(1).json("touchstone.policy.explain/1");
    assert_eq!((&json["device"], &json["appraised_at"]), (&json!("d-17"), &json!(9)));
    let control = &json["controls"][0];
    assert_eq!(control["explanation"], "agent.version is 1.4.2, wanted at least 2.0.0");

    let (ran, _) = explain(false, known.clone(), "files", &[]);
    let ran = ran.expect(1);
    assert!(ran.out.contains("unknown  files: ") && ran.err.contains("ima.unknown-files"));

    let (ran, _) = explain(true, known, "secure-boot", &[]);
    assert!(ran.expect(1).err.contains("how it was and not how it is"));
    let (ran, _) = explain(false, json!({ "boot.from-tomorrow": 1 }), "agent", &[]);
    assert!(ran.expect(3).err.contains("of one release"));
}

#[test]
fn what_is_not_known_is_shown_as_such() {
    let here = folder(&[("op.token", "t")]);
    let mut device = device("warning", false);
    device["controls"][0]["outcome"] = "unknown".into();
    let (url, _) = fleet("200 OK", &json!({ "device": device }).to_string());
    let arguments = ["device", "show", "d-17", "--fleet", &url, "--token", "file:op.token"];
    let ran = run(here.path(), &arguments).expect(1);
    assert!(ran.out.contains("unknown  code-pages: 1 of 9 pages"), "{}", ran.out);
}

#[test]
fn a_fleet_elsewhere_is_asked_over_tls_under_its_own_root() {
    let here = folder(&[("op.token", "t")]);
    let body = json!({ "devices": [] }).to_string();
    let ask = |url: &str, roots: &str| {
        let arguments = ["device", "list", "--fleet", url, "--token", "file:op.token"];
        run(here.path(), &[&arguments[..], &["--roots", roots]].concat())
    };
    let (url, thread) = secure_fleet(here.path(), &body);
    ask(&url, "roots.pem").expect(0);
    thread.join().unwrap();

    signer(here.path(), "stranger");
    let (url, thread) = secure_fleet(here.path(), &body);
    assert!(ask(&url, "stranger.pem").expect(3).err.contains("touchstone.fleet.unreachable"));
    thread.join().unwrap();
}
