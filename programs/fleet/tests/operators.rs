//! The fleet as operators meet it: command line, API, console, certificate status, restarts. The
//! peers are curl and OpenSSL.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use support::{Lab, Party, curl, tool, until};
use touchstone_audit::{Known, LogKey};
use touchstone_certs::issue::Kind;
use touchstone_crypto_awslc::AwsLc;

fn lab() -> Lab {
    Lab::new(&Party::new(Kind::Root, "TPM Maker").certificate.to_pem().unwrap())
}

#[test]
fn only_a_token_with_its_role_opens_the_api() {
    let lab = lab();
    let url = format!("http://{}/api/v1/devices", lab.console);
    assert_eq!(curl(&[&url]).0, 401);
    assert_eq!(lab.api("nonsense", &[], "/api/v1/devices").0, 401);
    let viewer = "0123456789abcdef-viewer";
    let (status, me) = lab.api(viewer, &[], "/api/v1/whoami");
    assert_eq!((status, me["role"].as_str()), (200, Some("viewer")));
    let (status, problem) = lab.api(viewer, &["--data-binary", "x"], "/api/v1/updates");
    assert_eq!((status, problem["code"].as_str()), (403, Some("api.role")));
    let token = lab.operator_token();
    let (status, problem) = lab.api(&token, &["--data-binary", "x"], "/api/v1/updates");
    assert_eq!(status, 422, "{problem}");
    let (status, problem) = lab.api(&token, &["--data-binary", "x"], "/api/v1/references");
    assert_eq!((status, problem["code"].as_str()), (422, Some("reference.refused")));
    let (status, problem) = lab.api(&token, &[], "/api/v1/devices/dev-none");
    assert_eq!((status, problem["code"].as_str()), (404, Some("api.unknown")));
    assert_eq!(lab.api(&token, &[], "/api/v1/nothing").1["code"], "api.no-such-path");
}

#[test]
fn the_description_names_every_way_in_and_each_answers() {
    let lab = lab();
    let (status, body) = curl(&[&format!("http://{}/openapi.json", lab.console)]);
    assert_eq!(status, 200);
    let description: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let token = lab.operator_token();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys().map(|name| name.to_uppercase()) {
            let path = path.replace("{id}", "dev-none");
            if path.ends_with("/stream") {
                continue;
            }
            let (status, answer) = lab.api(&token, &["-X", &method], &path);
            assert!(![401, 403, 405, 500].contains(&status), "{method} {path}: {status}");
            assert_ne!(answer["code"], "api.no-such-path", "{method} {path}");
        }
    }
}

#[test]
fn an_update_that_is_handed_in_is_carried_and_not_judged() {
    let lab = lab();
    let stranger = Party::new(Kind::CodeSigner, "Stranger");
    let manifest =
        touchstone_update::Manifest::new(&AwsLc, "meter", 3, b"program", "heals").unwrap();
    let signers: &[(_, &dyn touchstone_crypto::Signer)] = &[(&stranger.certificate, &stranger.key)];
    let envelope =
        touchstone_update::seal(&AwsLc, &manifest, b"program", signers, support::now()).unwrap();
    let file = lab.path("update.cms");
    std::fs::write(&file, envelope).unwrap();
    let body = format!("@{}", file.display());
    let token = lab.operator_token();
    let (status, answer) = lab.api(&token, &["--data-binary", &body], "/api/v1/updates");
    assert_eq!((status, answer["signers"][0].as_str()), (200, Some("CN=Stranger")), "{answer}");
    assert_eq!(lab.get("/api/v1/updates")["updates"][0]["version"], 3);
    let (status, _) = lab.api(&token, &["--data-binary", &body], "/api/v1/updates?device=dev-none");
    assert_eq!(status, 404);
}

#[test]
fn the_console_lets_in_whoever_has_a_token_and_sets_a_cookie_that_others_can_not_use() {
    let lab = lab();
    let page = format!("http://{}/console", lab.console);
    let login = format!("{page}/login");
    assert_eq!(curl(&[&page]).0, 303);
    assert_eq!(curl(&["-d", "token=wrong", &login]).0, 403);
    let jar = lab.path("jar").display().to_string();
    let token = format!("token={}", lab.operator_token());
    let (status, _) = curl(&["-H", "Origin: http://evil.test", "-d", &token, &login]);
    assert_eq!(status, 403, "another site can not log anybody in");
    let (status, headers) = curl(&["-i", "-c", &jar, "-d", &token, &login]);
    assert_eq!(status, 303);
    let headers = String::from_utf8(headers).unwrap();
    assert!(headers.contains("HttpOnly; SameSite=Strict"), "{headers}");
    let (status, html) = curl(&["-i", "-b", &jar, &page]);
    let html = String::from_utf8(html).unwrap();
    assert_eq!(status, 200);
    assert!(html.contains("default-src 'none'") && html.contains("Log out"), "{html}");
    assert!(html.contains("service.started"));
    let (status, _) = curl(&["-b", &jar, &format!("{page}/devices/dev-none")]);
    assert_eq!(status, 404);
    assert_eq!(curl(&["-b", &jar, "-d", "", &format!("{page}/logout")]).0, 303);
    assert_eq!(curl(&["-b", &jar, &page]).0, 303, "logged out");
}

#[test]
fn a_login_link_opens_the_console_once() {
    let lab = lab();
    let token = lab.operator_token();
    let (status, link) = lab.api(&token, &["-X", "POST"], "/api/v1/console/link?next=/console");
    assert_eq!(status, 200, "{link}");
    let url = format!("http://{}{}", lab.console, link["path"].as_str().unwrap());
    let jar = lab.path("jar").display().to_string();
    let (status, html) = curl(&["-L", "-c", &jar, "-b", &jar, &url]);
    assert_eq!(status, 200);
    assert!(String::from_utf8(html).unwrap().contains("Log out"));
    assert_eq!(curl(&[&url]).0, 403);
    let (status, _) = lab.api(&token, &["-X", "POST"], "/api/v1/console/link?next=//evil.test");
    assert_eq!(status, 400);
}

#[test]
fn events_are_streamed_as_they_happen() {
    let lab = lab();
    let before = lab.get("/api/v1/events?after=0")["next"].as_u64().unwrap();
    let bearer = format!("Authorization: Bearer {}", lab.operator_token());
    let url = format!("http://{}/api/v1/events/stream?after={before}", lab.console);
    let mut stream = Command::new("curl")
        .args(["-sN", "--noproxy", "*", "--max-time", "20", "-H", &bearer, &url])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(stream.stdout.take().unwrap()).lines().map(Result::unwrap);
    let issued = lab.fleet(&[
        "issue-certificate",
        "--kind",
        "client",
        "--name",
        "someone",
        "--out-dir",
        "out",
    ]);
    assert!(issued.status.success());
    // Another process wrote that; the fleet notices with its next look.
    let data = lines.find(|line| line.starts_with("data: ")).unwrap();
    assert!(data.contains("\"code\":\"cert.issued\"") && data.contains("CN=someone"), "{data}");
    stream.kill().unwrap();
    stream.wait().unwrap();
}

#[test]
fn openssl_hears_the_status_of_what_was_issued() {
    let lab = lab();
    let issued = lab.fleet(&[
        "--json",
        "issue-certificate",
        "--kind",
        "server",
        "--name",
        "broker",
        "--san",
        "broker.test",
        "--out-dir",
        "out",
    ]);
    let issued: serde_json::Value = serde_json::from_slice(&issued.stdout).unwrap();
    assert_eq!(lab.ocsp_status(issued["serial"].as_str().unwrap()), "good");
    assert_eq!(lab.ocsp_status("0123456789"), "unknown");
    let (chain, roots) = (lab.path("out/broker.pem"), lab.roots());
    let chain = chain.display().to_string();
    tool(
        "openssl",
        &[
            "verify",
            "-CAfile",
            &roots,
            "-untrusted",
            &chain,
            "-verify_hostname",
            "broker.test",
            &chain,
        ],
    );
    let get = format!("http://{}/ocsp/AAAA", lab.ocsp);
    let (status, body) = curl(&[&get]);
    assert_eq!((status, body), (200, vec![0x30, 3, 10, 1, 1]), "malformedRequest");
}

#[test]
fn curl_and_openssl_read_cacerts() {
    let lab = lab();
    let url = format!("https://{}/.well-known/est/cacerts", lab.device);
    let (status, body) = curl(&["--cacert", &lab.roots(), &url]);
    assert_eq!(status, 200);
    let file = lab.path("cacerts.b64");
    std::fs::write(&file, body).unwrap();
    let file = file.display().to_string();
    let der = lab.path("cacerts.der").display().to_string();
    tool("openssl", &["base64", "-d", "-in", &file, "-out", &der]);
    let printed = tool("openssl", &["pkcs7", "-inform", "DER", "-in", &der, "-print_certs"]);
    let printed = String::from_utf8(printed).unwrap();
    assert_eq!(printed.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(printed.contains("touchstone root") && printed.contains("touchstone issuing"));
}

#[test]
fn a_killed_fleet_has_lost_nothing_and_its_audit_log_is_whole() {
    let mut lab = lab();
    let file = lab.path("update.cms").display().to_string();
    let body = format!("@{file}");
    let publisher: &[(_, &dyn touchstone_crypto::Signer)] =
        &[(&lab.publisher.certificate, &lab.publisher.key)];
    let envelopes: Vec<Vec<u8>> = (1..=8)
        .map(|version| {
            let manifest =
                touchstone_update::Manifest::new(&AwsLc, "meter", version, b"x", "").unwrap();
            touchstone_update::seal(&AwsLc, &manifest, b"x", publisher, support::now()).unwrap()
        })
        .collect();
    let mut acknowledged = Vec::new();
    for (number, envelope) in envelopes.iter().enumerate() {
        std::fs::write(&file, envelope).unwrap();
        let token = lab.operator_token();
        let (status, answer) = lab.api(&token, &["--data-binary", &body], "/api/v1/updates");
        assert_eq!(status, 200);
        acknowledged.push(answer["update"].as_str().unwrap().to_owned());
        if number % 3 == 0 {
            lab.kill_and_restart();
        }
    }
    let roots = std::fs::read(lab.roots()).unwrap();
    lab.kill_and_restart();
    assert_eq!(std::fs::read(lab.roots()).unwrap(), roots, "the CA is the same");
    let list = lab.get("/api/v1/updates");
    let kept: Vec<&str> =
        list["updates"].as_array().unwrap().iter().map(|u| u["update"].as_str().unwrap()).collect();
    assert!(acknowledged.iter().all(|update| kept.contains(&update.as_str())));
    let events = lab.codes().len() as u64;
    let head = until("the audit log", || {
        let head = lab.get("/api/v1/audit/head");
        (head["entries"].as_u64()? >= events).then_some(head)
    });
    let log = std::fs::File::open(lab.path("state/audit.jsonl")).unwrap();
    let key = LogKey::parse(&AwsLc, head["key"].as_str().unwrap()).unwrap();
    // The log goes on while it is read: it has to lead up to what was told.
    let told = format!("{}:{}", head["entries"], head["head"].as_str().unwrap());
    let known = Known { head: Some(told.parse().unwrap()), key: Some(&key), checkpoint: None };
    touchstone_audit::verify(log, &AwsLc, &known).unwrap();
    let text = std::fs::read_to_string(lab.path("state/audit.jsonl")).unwrap();
    assert_eq!(text.matches("update.stored").count(), acknowledged.len(), "each once");
}

#[test]
fn a_fleet_ends_in_good_order_and_says_so() {
    let mut lab = lab();
    assert!(lab.terminate().success());
    let log = std::fs::read_to_string(lab.path("state/audit.jsonl")).unwrap();
    let mut last = log.lines().rev();
    assert!(last.next().unwrap().contains("audit.signed"), "{log}");
    assert!(last.next().unwrap().contains("service.stopped"), "{log}");
}

#[test]
fn help_teaches_with_examples_and_exit_codes() {
    let lab = lab();
    let help = String::from_utf8(lab.fleet(&["--help"]).stdout).unwrap();
    for words in ["touchstone-fleet --print-default >", "touchstone-fleet init", "Exit: 0 good"] {
        assert!(help.contains(words), "{help}");
    }
    let help = lab.fleet(&["issue-certificate", "--help"]).stdout;
    assert!(String::from_utf8(help).unwrap().contains("Examples:"));
    assert_eq!(lab.fleet(&["--nonsense"]).status.code(), Some(2));
    let printed = String::from_utf8(lab.fleet(&["--print-default"]).stdout).unwrap();
    assert!(printed.contains("[appraisal]"), "{printed}");
}

#[test]
fn two_fleets_do_not_run_on_one_state() {
    let lab = lab();
    let second = lab.fleet(&[]);
    assert_eq!(second.status.code(), Some(3));
    let words = String::from_utf8(second.stderr).unwrap();
    assert!(words.contains("another fleet runs"), "{words}");
}

#[test]
fn a_check_tells_every_fault_of_the_configuration_and_its_files() {
    let lab = lab();
    assert_eq!(lab.fleet(&["--check"]).status.code(), Some(0));
    std::fs::write(lab.path("publisher.pem"), "nonsense").unwrap();
    std::fs::write(lab.path("policy.txt"), support::POLICY.replace("onboarded\n", "onbored\n"))
        .unwrap();
    let checked = lab.fleet(&["--check"]);
    assert_eq!(checked.status.code(), Some(2));
    let words = String::from_utf8(checked.stderr).unwrap();
    assert!(words.contains("publisher.pem: "), "{words}");
    assert!(words.contains("policy.txt:6:") && words.contains("did you mean"), "{words}");
    let config = std::fs::read_to_string(lab.path("fleet.toml")).unwrap();
    let broken =
        config.replace("interval", "intervall").replace("role = \"viewer\"", "role = \"king\"");
    std::fs::write(lab.path("fleet.toml"), broken).unwrap();
    let checked = lab.fleet(&["--check"]);
    assert_eq!(checked.status.code(), Some(2));
    let words = String::from_utf8(checked.stderr).unwrap();
    assert!(words.contains("fleet.toml:16: no field named `intervall`"), "{words}");
    assert!(words.contains("did you mean `interval`?"), "{words}");
    assert!(words.contains("roles are `viewer` and `operator`"), "{words}");
}

#[test]
fn what_init_prints_is_there_and_again_is_the_same() {
    let lab = lab();
    let first = lab.fleet(&["init", "--json"]);
    let state: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(state["schema"], "touchstone.fleet.init/1");
    for name in ["roots", "issuing", "verifier_key", "operator_token", "database", "audit_log"] {
        assert!(lab.path(state[name].as_str().unwrap()).exists(), "{name}");
    }
    assert_eq!(lab.fleet(&["init", "--json"]).stdout, first.stdout);
    let shown = lab.fleet(&["show-verifier-key"]).stdout;
    assert_eq!(shown, std::fs::read(lab.path("state/verifier.pub")).unwrap());
}

#[test]
fn events_reach_a_syslog_server_over_mutual_tls_and_again_after_it_was_away() {
    let mut lab = lab();
    let issued = lab.fleet(&[
        "issue-certificate",
        "--kind",
        "server",
        "--name",
        "siem",
        "--san",
        "siem.test",
        "--out-dir",
        "out",
    ]);
    assert!(issued.status.success());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = std::fs::read_to_string(lab.path("fleet.toml")).unwrap();
    let syslog = format!("[syslog]\ntarget = \"127.0.0.1:{port}\"\nserver_name = \"siem.test\"\n");
    std::fs::write(lab.path("fleet.toml"), format!("{config}\n{syslog}")).unwrap();
    lab.kill_and_restart();
    let roots = lab.roots();
    let server = |lab: &Lab| {
        Command::new("openssl")
            .current_dir(lab.path("out"))
            .args(["s_server", "-accept", &port.to_string(), "-quiet", "-Verify", "3"])
            .args(["-verify_return_error", "-cert", "siem.pem", "-cert_chain", "siem.pem"])
            .args(["-key", "siem.key", "-CAfile", &roots])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let hear = |server: &mut std::process::Child, wanted: &str| {
        let mut out = server.stdout.take().unwrap();
        let mut heard = Vec::new();
        let mut buf = [0; 4096];
        while !String::from_utf8_lossy(&heard).contains(wanted) {
            let len = std::io::Read::read(&mut out, &mut buf).unwrap();
            assert!(len > 0, "the fleet hung up: {}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&buf[..len]);
        }
        server.kill().unwrap();
        server.wait().unwrap();
        String::from_utf8_lossy(&heard).into_owned()
    };
    let mut first = server(&lab);
    let heard = hear(&mut first, "service.started");
    let (len, message) = heard.split_once(' ').unwrap();
    assert!(len.parse::<usize>().is_ok() && message.starts_with("<109>1 20"), "{heard}");
    assert!(heard.contains("touchstone-fleet") && heard.contains("seq=\"1\""), "{heard}");
    lab.get("/api/v1/whoami");
    lab.kill_and_restart();
    let mut second = server(&lab);
    let heard = hear(&mut second, "service.started");
    assert!(heard.contains("seq=\"1\""), "what it may have missed comes again: {heard}");
}
