//! The CA as others meet it: keys in a TPM and in a PKCS#11 token, certificate status and CRLs as
//! OpenSSL and caches see them, profiles by EST, and a thousand who enrol while the fleet is killed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Lab, P256, Party, curl, now, tool, until, write_pem};
use touchstone_certs::issue::Kind;
use touchstone_certs::{AlternativeName, Certificate, Name, request};
use touchstone_crypto::Signer;
use touchstone_crypto_awslc::SoftSigner;
use touchstone_enroll::est;
use touchstone_fleet::authority::Authority;
use touchstone_fleet::config::{self, Database, PostgresSettings};
use touchstone_fleet::state::StateDir;
use touchstone_fleet::store::{Db, Store};
use touchstone_peers::{Postgres, SoftHsm, Swtpm};

fn lab(change: impl FnOnce(&Path, &str) -> String) -> Lab {
    Lab::configured(&Party::new(Kind::Root, "TPM Maker").certificate.to_pem().unwrap(), change)
}

fn in_authority(config: &str, more: &str) -> String {
    config.replacen("[authority]\n", &format!("[authority]\n{more}"), 1)
}

/// A certificate by hand: its file, and its serial number.
fn issue(lab: &Lab, kind: &str, name: &str) -> (String, String) {
    let out = lab.fleet(&[
        "--json",
        "issue-certificate",
        "--kind",
        kind,
        "--name",
        name,
        "--san",
        "localhost",
        "--out-dir",
        "out",
    ]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let issued: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let file = lab.path("out").join(format!("{name}.pem")).display().to_string();
    (file, issued["serial"].as_str().unwrap().to_owned())
}

#[test]
fn keys_of_the_ca_stay_in_a_tpm_and_openssl_believes_what_they_sign() {
    let swtpm = Swtpm::blank_tcp();
    let address = swtpm.address();
    let lab = lab(|_, config| {
        let more = format!(
            "elements = ['tpm-tcp:{address}']\n\
             [[authority.root]]\nname = 'root'\nkey = 'element:tpm/ca-root'\n\
             [[authority.issuing]]\nname = 'issuing'\nkey = 'element:tpm/ca-issuing'\n"
        );
        config.replacen(
            "[authority]\ncertificate_lifetime = \"10m\"\n",
            &format!("[authority]\ncertificate_lifetime = \"10m\"\n{more}"),
            1,
        )
    });
    assert!(!lab.path("state/root.key").exists() && !lab.path("state/issuing.key").exists());
    let shown = Command::new("openssl")
        .args(["s_client", "-connect", &lab.device, "-servername", "fleet.test", "-status"])
        .args(["-CAfile", &lab.roots(), "-verify_return_error", "-verify_hostname", "fleet.test"])
        .stdin(Stdio::null())
        .output()
        .expect("openssl is missing; run cargo xtask test, which installs it");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for expected in
        ["OCSP Response Status: successful", "Cert Status: good", "Verify return code: 0 (ok)"]
    {
        assert!(shown.contains(expected), "{expected}:\n{shown}");
    }
}

#[test]
fn keys_of_the_ca_stay_in_a_pkcs11_token() {
    SoftHsm::with("keys_of_the_ca_stay_in_a_pkcs11_token", |hsm| {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let (root, issuing) = (hsm.uri(";object=ca-root"), hsm.uri(";object=ca-issuing"));
        let text = config::DEFAULT
            .replacen("key = \"file\"", &format!("key = \"{root}\""), 1)
            .replacen("key = \"file\"", &format!("key = \"{issuing}\""), 1)
            .replacen("algorithm = \"p-256\"", "algorithm = \"rsa-3072\"", 1)
            .replacen("algorithm = \"p-256\"", "algorithm = \"p-384\"", 1);
        let config = config::read("fleet.toml", &text, dir.path()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let authority = Authority::open(&state, &config).await.unwrap();
            let key = SoftSigner::generate(P256).unwrap();
            let profile = authority.profile("server").unwrap();
            let names = vec![AlternativeName::Dns("broker.example".into())];
            let subject = Name::common_name("broker").unwrap();
            let issued =
                authority.issue(profile, subject, names, key.spki_der(), 600).await.unwrap();
            let write = |name: &str, certificates: &[Certificate]| {
                let pem: String = certificates.iter().map(|one| one.to_pem().unwrap()).collect();
                let path = dir.path().join(name).display().to_string();
                std::fs::write(&path, pem).unwrap();
                path
            };
            let chain = authority.chain(&issued.certificate);
            let (roots, leaf) = (write("roots", authority.roots()), write("leaf", &chain[..1]));
            let issuers = write("issuers", &chain[1..]);
            tool("openssl", &["verify", "-CAfile", &roots, "-untrusted", &issuers, &leaf]);
        });
        let objects = hsm.pkcs11_tool(&["--list-objects", "--type", "privkey"]);
        assert!(objects.contains("ca-root") && objects.contains("ca-issuing"), "{objects}");
        assert!(objects.contains("never extractable"), "{objects}");
        assert!(!state.file("issuing.key").exists());
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_tpm_holds_up_nobody_who_does_not_need_it() {
    let swtpm = Swtpm::blank_tcp();
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let start = config::DEFAULT.find("[[authority.root]]").unwrap();
    let end = config::DEFAULT.find("[verdict]").unwrap();
    let cas = "[[authority.issuing]]\nname = 'slow'\nkey = 'element:tpm/slow'\nalgorithm = 'rsa-2048'\n\
         [[authority.issuing]]\nname = 'quick'\n\
         [[authority.profile]]\nname = 'by-quick'\nkind = 'server'\nissuing = 'quick'\n\
         names = ['dns:*.example']\n";
    let text = [&config::DEFAULT[..start], cas, &config::DEFAULT[end..]].concat();
    let text =
        text.replace("elements = []", &format!("elements = ['tpm-tcp:{}']", swtpm.address()));
    let config = config::read("fleet.toml", &text, dir.path()).unwrap();
    let authority = std::sync::Arc::new(Authority::open(&state, &config).await.unwrap());
    let issue = |profile: &'static str| {
        let authority = std::sync::Arc::clone(&authority);
        async move {
            let key = SoftSigner::generate(P256).unwrap();
            let names = vec![AlternativeName::Dns("a.example".into())];
            let profile = authority.profile(profile).unwrap();
            authority.issue(profile, Name::empty(), names, key.spki_der(), 600).await.unwrap()
        }
    };
    let slow: Vec<_> = (0..40).map(|_| tokio::spawn(issue("server"))).collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let quick = issue("by-quick").await;
    let waiting = slow.iter().filter(|work| !work.is_finished()).count();
    assert!(waiting > 0, "the TPM was quicker than a key in memory");
    for work in slow {
        let certificate = work.await.unwrap().certificate;
        certificate
            .verify_signature(
                &touchstone_crypto_awslc::AwsLc,
                authority.issuing()[0].certificate.spki_der(),
            )
            .unwrap();
    }
    assert_eq!(quick.certificate.issuer(), authority.issuing()[1].certificate.subject());
}

/// What OpenSSL asks about a certificate, in base64 for a URL.
fn question(lab: &Lab, certificate: &str, name: &str) -> String {
    let (issuer, out) = (lab.path("state/issuing.pem"), lab.path(name));
    let (issuer, out) = (issuer.display().to_string(), out.display().to_string());
    tool(
        "openssl",
        &["ocsp", "-issuer", &issuer, "-cert", certificate, "-no_nonce", "-reqout", &out],
    );
    let encoded = tool("openssl", &["base64", "-A", "-in", &out]);
    String::from_utf8(encoded).unwrap().replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

fn fetched(lab: &Lab, path: &str, more: &[&str]) -> (u16, String, Vec<u8>) {
    let (head, url) =
        (lab.path("head").display().to_string(), format!("http://{}{path}", lab.ocsp));
    let mut arguments = vec!["-D", &head];
    arguments.extend(more);
    arguments.push(&url);
    let (status, body) = curl(&arguments);
    (status, std::fs::read_to_string(&head).unwrap().to_lowercase(), body)
}

#[test]
fn status_is_answered_as_openssl_and_caches_want_it() {
    let lab = lab(|_, config| config.to_owned());
    let (file, serial) = issue(&lab, "server", "broker");
    assert_eq!(lab.ocsp_status(&serial), "good", "OpenSSL sends a nonce and compares it");
    assert_eq!(lab.ocsp_status("7f000000000000000000000000000001"), "unknown");

    let path = format!("/ocsp/{}", question(&lab, &file, "question"));
    let (status, head, body) = fetched(&lab, &path, &[]);
    assert_eq!(status, 200);
    for expected in [
        "application/ocsp-response",
        "cache-control: max-age=",
        "etag: \"",
        "expires: ",
        "last-modified: ",
    ] {
        assert!(head.contains(expected), "{expected}: {head}");
    }
    let (_, _, again) = fetched(&lab, &path, &[]);
    assert_eq!(again, body, "signed once, handed out again");
    let tag = head.split("etag: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    let known = format!("If-None-Match: {tag}");
    assert_eq!(fetched(&lab, &path, &["-H", &known]).0, 304);
    std::fs::write(lab.path("answer"), &body).unwrap();
    let (answer, issuer) = (lab.path("answer"), lab.path("state/issuing.pem"));
    let shown = Command::new("openssl")
        .args(["ocsp", "-respin", answer.to_str().unwrap(), "-issuer", issuer.to_str().unwrap()])
        .args(["-cert", &file, "-CAfile", &lab.roots(), "-text"])
        .output()
        .unwrap();
    let shown = [shown.stdout, shown.stderr].concat();
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.contains("Response verify OK") && shown.contains("OCSP Signing"), "{shown}");

    // Revoked by hand: what was kept is not handed out any more.
    let args = ["revoke-certificate", "--serial", &serial, "--reason", "keyCompromise"];
    assert!(lab.fleet(&args).status.success());
    assert_eq!(lab.fleet(&args).status.code(), Some(1), "once is enough");
    assert_eq!(lab.ocsp_status(&serial), "revoked");
    assert_ne!(fetched(&lab, &path, &[]).2, body);
    let wrong = lab.fleet(&["revoke-certificate", "--serial", "00"]);
    assert_eq!(wrong.status.code(), Some(1));
}

#[test]
fn what_is_no_question_or_not_ours_gets_an_error_that_is_not_signed() {
    let lab = lab(|_, config| config.to_owned());
    let stranger = Party::new(Kind::Root, "Somebody Else");
    let leaf = stranger.issue(Kind::Server, "x", stranger.key.spki_der());
    let strange = touchstone_certs::ocsp::Request::new(
        &touchstone_crypto_awslc::AwsLc,
        &leaf,
        &stranger.certificate,
        None,
    );
    let post = |body: &[u8]| {
        std::fs::write(lab.path("body"), body).unwrap();
        let data = format!("@{}", lab.path("body").display());
        let kind = "Content-Type: application/ocsp-request";
        fetched(&lab, "/ocsp", &["-H", kind, "--data-binary", &data])
    };
    let error = |code: u8| vec![0x30, 3, 0x0A, 1, code];
    let (status, _, body) = post(&strange.unwrap().encode().unwrap());
    assert_eq!((status, body), (200, error(6)), "unauthorized");
    assert_eq!(post(b"nonsense").2, error(1));
    assert_eq!(post(&vec![0x30; 60_000]).2, error(1));
    assert_eq!(post(&vec![0x30; 70_000]).0, 413, "larger than any question");
    assert_eq!(fetched(&lab, "/ocsp/%%%", &[]).2.len().min(5), 5);
    assert_eq!(fetched(&lab, "/ocsp/bm9uc2Vuc2U%3D", &[]).2, error(1));
    let form = fetched(&lab, "/ocsp", &["-d", "a=b"]);
    assert_eq!(form.2, error(1), "of another media type");
    assert_eq!(fetched(&lab, "/crl/none.crl", &[]).0, 404);
    assert_eq!(fetched(&lab, "/crl/..%2f..%2froot.key", &[]).0, 404);
}

#[test]
fn crls_are_there_in_parts_and_with_deltas_and_openssl_checks_by_them() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let lab = lab(|_, config| {
        let base = format!("http://127.0.0.1:{port}");
        let listen = format!("[ocsp]\nlisten = \"127.0.0.1:{port}\"\n");
        let crl =
            format!("[crl]\nurl = \"{base}\"\nshards = 2\ndelta = \"20s\"\nlifetime = \"1h\"\n");
        config.replace("[ocsp]\nlisten = \"127.0.0.1:0\"\n", &(listen + &crl))
    });
    let certificates: Vec<_> =
        (0..6).map(|index| issue(&lab, "server", &format!("server-{index}"))).collect();
    let read = |file: &str| Certificate::from_pem(&std::fs::read(file).unwrap()).unwrap().remove(0);
    let gone = read(&certificates[0].0);
    let urls = (gone.crl_urls().remove(0), gone.delta_crl_urls().remove(0));
    let path = |url: &str| url.split_once(&port.to_string()).unwrap().1.to_owned();
    assert!(urls.0.contains("of2.crl") && urls.1.contains("of2-delta.crl"), "{urls:?}");
    assert_eq!(gone.issuer_urls(), [format!("http://127.0.0.1:{port}/ca/issuing.cer")]);
    let (_, head, der) = fetched(&lab, "/ca/issuing.cer", &[]);
    assert!(head.contains("application/pkix-cert"), "{head}");
    assert!(Certificate::decode(&der).unwrap().is_ca());

    let args = ["revoke-certificate", "--serial", &certificates[0].1];
    assert!(lab.fleet(&args).status.success());
    let pem = |path: &str, name: &str| {
        let (status, head, der) = fetched(&lab, path, &[]);
        assert!(status == 200 && head.contains("application/pkix-crl"), "{status} {head}");
        let (out, file) = (lab.path(name), lab.path("der"));
        std::fs::write(&file, &der).unwrap();
        tool(
            "openssl",
            &[
                "crl",
                "-inform",
                "DER",
                "-in",
                file.to_str().unwrap(),
                "-out",
                out.to_str().unwrap(),
            ],
        );
        let text = tool("openssl", &["crl", "-in", out.to_str().unwrap(), "-text", "-noout"]);
        (out.display().to_string(), String::from_utf8(text).unwrap(), head)
    };
    let serial = certificates[0].1.to_uppercase();
    let (delta, text, _) = until("the delta", || {
        Some(pem(&path(&urls.1), "delta.pem")).filter(|(_, text, _)| text.contains(&serial))
    });
    assert!(text.contains("Delta CRL Indicator: critical"), "{text}");
    let (full, text, head) = pem(&path(&urls.0), "full.pem");
    assert!(!text.contains(&serial), "the full list is of before");
    assert!(text.contains("Issuing Distribution Point: critical"), "{text}");
    assert!(head.contains("cache-control: max-age=") && head.contains("etag:"), "{head}");
    let issuing = lab.path("state/issuing.pem").display().to_string();
    tool("openssl", &["crl", "-in", &full, "-CAfile", &issuing, "-noout"]);

    let both = [&full, &delta].map(|file| std::fs::read(file).unwrap()).concat();
    let lists = lab.path("lists.pem");
    std::fs::write(&lists, both).unwrap();
    let check = |file: &str| {
        let output = Command::new("openssl")
            .args(["verify", "-CAfile", &lab.roots(), "-untrusted", &issuing])
            .args(["-CRLfile", lists.to_str().unwrap(), "-crl_check", "-use_deltas"])
            .args(["-extended_crl", file])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let (good, said) = check(&certificates[0].0);
    assert!(!good && said.contains("certificate revoked"), "{said}");
    let beside = certificates[1..].iter().find(|(file, _)| read(file).crl_urls()[0] == urls.0);
    if let Some((file, _)) = beside {
        let (good, said) = check(file);
        assert!(good, "{said}");
    }
    // Numbers go on when the fleet starts anew.
    let number = |text: &str| -> u64 {
        let at = text.split("X509v3 CRL Number:").nth(1).unwrap().trim();
        let digits = at.split_whitespace().next().unwrap();
        match digits.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
            None => digits.parse().unwrap(),
        }
    };
    let before = number(&text);
    let mut lab = lab;
    lab.kill_and_restart();
    let der = fetched(&lab, &path(&urls.0), &[]).2;
    let again = touchstone_certs::Crl::decode(&der).unwrap();
    assert!(u64::from_str_radix(&again.number(), 16).unwrap() > before, "{}", again.number());
    assert!(again.revoked().any(|one| one.serial == certificates[0].1), "in the full list now");
}

/// nginx with a certificate of the fleet's, whose status it asks for and staples.
struct Nginx {
    child: std::process::Child,
    address: String,
}

impl Nginx {
    fn start(lab: &Lab, chain: &str, key: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = lab.dir.path().display();
        let roots = lab.roots();
        let config = format!(
            "daemon off; master_process off; pid {at}/nginx.pid; error_log {at}/nginx.log info;\n\
             events {{}}\nhttp {{ access_log off; client_body_temp_path {at}/t1;\n\
             proxy_temp_path {at}/t2; fastcgi_temp_path {at}/t3; uwsgi_temp_path {at}/t4;\n\
             scgi_temp_path {at}/t5;\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.3;\n\
             ssl_certificate {chain}; ssl_certificate_key {key};\n\
             ssl_trusted_certificate {roots}; ssl_stapling on; ssl_stapling_verify on; }} }}\n"
        );
        std::fs::write(lab.path("nginx.conf"), config).unwrap();
        let child = Command::new("nginx")
            .args(["-c", &format!("{at}/nginx.conf"), "-p", &at.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is missing; run cargo xtask test, which installs it");
        Self { child, address: format!("127.0.0.1:{port}") }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn our_client_believes_what_nginx_staples_and_insists_where_the_certificate_does() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let lab = lab(|_, config| {
        let listen = format!(
            "[ocsp]\nlisten = \"127.0.0.1:{port}\"\nurl = \"http://127.0.0.1:{port}/ocsp\"\n\
             holds = \"10m\"\n"
        );
        let promised = "[[authority.profile]]\nname = 'server'\nkind = 'server'\n\
                        proof = 'by-hand'\nverdict = false\nmust_staple = true\n";
        let config = config.replace("[ocsp]\nlisten = \"127.0.0.1:0\"\n", &listen);
        format!("{config}\n{promised}")
    });
    let (chain, serial) = issue(&lab, "server", "web");
    let key = lab.path("out/web.key").display().to_string();
    let nginx = Nginx::start(&lab, &chain, &key);
    let roots =
        touchstone_tls::certificates_from_pem(&std::fs::read(lab.roots()).unwrap()).unwrap();
    let met = async |address: &str| -> Result<(), String> {
        let check = touchstone_drive::StapledStatus::new(
            std::sync::Arc::new(touchstone_crypto_awslc::AwsLc),
            &roots,
        );
        let tls = touchstone_tls::ClientSetup::new(&roots)
            .status_check(std::sync::Arc::new(check))
            .build()
            .unwrap();
        let name = touchstone_tls::ServerName::parse("localhost").unwrap();
        let tcp = tokio::net::TcpStream::connect(address).await.map_err(|e| e.to_string())?;
        let met = touchstone_drive::TlsStream::connect(tcp, &tls, &name).await;
        met.map(drop).map_err(|error| error.code().to_owned())
    };
    // nginx asks for the status when the first client comes, and staples it from then on.
    let heard = async |nginx: &Nginx, wanted: &Result<(), String>| {
        let mut refused = Vec::new();
        for _ in 0..200 {
            let met = met(&nginx.address).await;
            if met == *wanted {
                return refused;
            }
            refused.extend(met.err().filter(|code| code.starts_with("tls.")));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(lab.path("nginx.log")).unwrap_or_default();
        panic!("{wanted:?} did not come: {refused:?}\n{log}");
    };
    let refused = heard(&nginx, &Ok(())).await;
    assert!(!refused.is_empty(), "the first client met it without");
    assert!(refused.iter().all(|code| code == "tls.status.not-stapled"), "{refused:?}");
    drop(nginx);
    assert!(lab.fleet(&["revoke-certificate", "--serial", &serial]).status.success());
    let nginx = Nginx::start(&lab, &chain, &key);
    // nginx staples nothing but a good status; a certificate that promised one is refused without.
    let asked = || {
        let log = std::fs::read_to_string(lab.path("nginx.log")).unwrap_or_default();
        log.contains("certificate status \"revoked\" in the OCSP response")
    };
    for _ in 0..200 {
        let met = met(&nginx.address).await;
        assert_ne!(met, Ok(()));
        if asked() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(asked());
    assert_eq!(met(&nginx.address).await, Err("tls.status.not-stapled".to_owned()));
}

const SITE: &str = "[[authority.profile]]\nname = 'site'\nkind = 'peer'\nlifetime = '1h'\n\
                    proof = 'idevid'\nverdict = false\nnames = ['cn:{idevid}', 'dns:*.plant-7.example']\n\
                    keys = ['p-256']\nmust_staple = true\n";

/// Asks by EST with curl: status, code, body.
fn ask(lab: &Lab, identity: (&str, &str), path: &str, csr: &[u8]) -> (u16, String, Vec<u8>) {
    let body = lab.path("csr");
    std::fs::write(&body, est::encode_request(csr)).unwrap();
    let (data, head) = (format!("@{}", body.display()), lab.path("head").display().to_string());
    let url = format!("https://{}/.well-known/est/{path}", lab.device);
    let (status, body) = curl(&[
        "--cacert",
        &lab.roots(),
        "--cert",
        identity.0,
        "--key",
        identity.1,
        "-D",
        &head,
        "-H",
        "Content-Type: application/pkcs10",
        "--data-binary",
        &data,
        &url,
    ]);
    let head = std::fs::read_to_string(&head).unwrap();
    let code = head.lines().find_map(|line| line.strip_prefix("touchstone-code: "));
    (status, code.unwrap_or_default().trim().to_owned(), body)
}

#[test]
fn a_profile_issues_what_its_request_may_ask_for_and_says_what_it_may_not() {
    let lab = lab(|_, config| format!("{config}\n{SITE}"));
    let idevid = SoftSigner::generate(P256).unwrap();
    let made = lab.maker.issue(Kind::Device, "pump-3", idevid.spki_der());
    let (cert, key) = write_pem(&lab.path("idevid"), &[&made], &idevid);
    let identity = (cert.as_str(), key.as_str());
    let signer = SoftSigner::generate(P256).unwrap();
    let csr = |subject: &str, dns: &str, signer: &SoftSigner| {
        let names = vec![AlternativeName::Dns(dns.into())];
        request::build(&Name::parse(subject).unwrap(), &names, &[], signer).unwrap()
    };
    let good = csr("CN=pump-3", "a.plant-7.example", &signer);
    let (status, code, body) = ask(&lab, identity, "site/simpleenroll", &good);
    assert_eq!((status, code.as_str()), (200, ""), "{}", String::from_utf8_lossy(&body));
    let issued = est::decode_enrolled(est::ENROLLED_TYPE, &body, signer.spki_der()).unwrap();
    assert_eq!(issued.subject(), "CN=pump-3");
    assert!(issued.must_staple() && issued.not_after() <= now() + 3600);
    let again = ask(&lab, identity, "site/simpleenroll", &good).2;
    let again = est::decode_enrolled(est::ENROLLED_TYPE, &again, signer.spki_der()).unwrap();
    assert_eq!(again.serial(), issued.serial(), "sent again soon, answered as before");

    let p384 =
        SoftSigner::generate(touchstone_crypto::SignatureAlgorithm::EcdsaP384Sha384).unwrap();
    let mut forged = csr("CN=pump-3", "a.plant-7.example", &signer);
    *forged.last_mut().unwrap() ^= 1;
    for (request, path, expected) in [
        (
            csr("CN=pump-4", "a.plant-7.example", &signer),
            "site/simpleenroll",
            (403, "est.subject.claims"),
        ),
        (
            csr("CN=pump-3", "plant-8.example", &signer),
            "site/simpleenroll",
            (403, "est.subject.claims"),
        ),
        (csr("CN=pump-3", "a.plant-7.example", &p384), "site/simpleenroll", (403, "est.key.kind")),
        (forged, "site/simpleenroll", (400, "est.request.signature")),
        (good.clone(), "none/simpleenroll", (403, "est.profile.unknown")),
        (good.clone(), "server/simpleenroll", (403, "est.profile.unknown")),
        (good.clone(), "site/simplereenroll", (403, "est.certificate")),
        (good.clone(), "simpleenroll", (403, "est.device.unknown")),
    ] {
        let (status, code, _) = ask(&lab, identity, path, &request);
        assert_eq!((status, code.as_str()), expected, "{path}");
    }

    // With its own certificate it renews, for the same names and by the same profile.
    let issuing = Certificate::from_pem(&std::fs::read(lab.path("state/issuing.pem")).unwrap());
    let chain = [&issued, &issuing.unwrap()[0]];
    let (cert, key) = write_pem(&lab.path("site"), &chain, &signer);
    let next = SoftSigner::generate(P256).unwrap();
    let renewal = csr("CN=pump-3", "a.plant-7.example", &next);
    let mine = (cert.as_str(), key.as_str());
    let (status, code, body) = ask(&lab, mine, "site/simplereenroll", &renewal);
    assert_eq!((status, code.as_str()), (200, ""), "{}", String::from_utf8_lossy(&body));
    let renewed = est::decode_enrolled(est::ENROLLED_TYPE, &body, next.spki_der()).unwrap();
    assert_eq!((renewed.subject(), renewed.serial() != issued.serial()), ("CN=pump-3", true));
    let more = csr("CN=pump-3", "b.plant-7.example", &next);
    for (identity, path, request, expected) in [
        (mine, "site/simplereenroll", &more, "est.subject.claims"),
        (mine, "simplereenroll", &renewal, "est.certificate"),
        (mine, "site/simpleenroll", &renewal, "est.certificate"),
        (identity, "site/simplereenroll", &renewal, "est.certificate"),
    ] {
        let (status, code, _) = ask(&lab, identity, path, request);
        assert_eq!((status, code.as_str()), (403, expected), "{path}");
    }
    let args = ["revoke-certificate", "--serial", &issued.serial()];
    assert!(lab.fleet(&args).status.success());
    let (status, code, _) = ask(&lab, mine, "site/simplereenroll", &renewal);
    assert_eq!((status, code.as_str()), (403, "attest.certificate.revoked"));
}

/// One who enrols: an IDevID, and the key that is to be certified.
struct Client {
    identity: touchstone_tls::Identity,
    key: SoftSigner,
    csr: Vec<u8>,
}

/// What is killed while they enrol.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Killed {
    Fleet,
    Database,
}

#[test]
fn a_fleet_on_postgresql_goes_on_where_it_was_killed_and_lets_no_other_beside_it() {
    let server = Postgres::start(&[]);
    let url = server.database();
    let on_it = |_: &Path, config: &str| format!("{config}[database]\nurl = \"{url}\"\n");
    let mut first = lab(on_it);
    let (_, serial) = issue(&first, "server", "broker");
    assert_eq!(first.ocsp_status(&serial), "good");
    first.kill_and_restart();
    assert_eq!(first.ocsp_status(&serial), "good");
    assert!(first.fleet(&["revoke-certificate", "--serial", &serial]).status.success());
    assert_eq!(first.ocsp_status(&serial), "revoked");
    let codes = first.codes();
    let count = |code: &str| codes.iter().filter(|found| *found == code).count();
    assert_eq!((count("service.started"), count("cert.revoked")), (2, 1), "{codes:?}");

    let state = first.path("other");
    let config = std::fs::read_to_string(first.path("fleet.toml")).unwrap();
    let other =
        config.replace("state_dir = \"state\"", &format!("state_dir = '{}'", state.display()));
    std::fs::write(first.path("other.toml"), other).unwrap();
    let told = Command::new(env!("CARGO_BIN_EXE_touchstone-fleet"))
        .current_dir(first.dir.path())
        .args(["--config", "other.toml"])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&told.stderr);
    assert!(words.contains("fleet.database.taken") && words.contains("stop it first"), "{words}");

    server.kill();
    let (status, answer) = first.api(&first.operator_token(), &[], "/api/v1/devices");
    assert_eq!((status, answer["code"].as_str()), (503, Some("fleet.database.away")), "{answer}");
    assert!(!answer.to_string().contains("/tmp"), "where it is, is nobody's business: {answer}");
    let mut server = server;
    server.restart();
    until("the database", || {
        (first.api(&first.operator_token(), &[], "/api/v1/devices").0 == 200).then_some(())
    });
    assert_eq!(first.ocsp_status(&serial), "revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_enrol_while_the_fleet_is_killed_and_each_is_recorded_once() {
    a_thousand_enrol(None, Killed::Fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_enrol_while_the_fleet_is_killed_and_postgresql_has_each_once() {
    a_thousand_enrol(Some(Postgres::start(&[])), Killed::Fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_enrol_while_postgresql_itself_is_killed_and_it_has_each_once() {
    a_thousand_enrol(Some(Postgres::start(&[])), Killed::Database).await;
}

async fn a_thousand_enrol(mut server: Option<Postgres>, killed: Killed) {
    const CLIENTS: usize = 1000;
    let ports: Vec<u16> = (0..3)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
        .map(|listener| listener.local_addr().unwrap().port())
        .collect();
    let url = server.as_ref().map(Postgres::database);
    let mut lab = lab(|_, config| {
        let mut config = format!("{config}\n{SITE}");
        for port in &ports {
            config = config.replacen("127.0.0.1:0\"", &format!("127.0.0.1:{port}\""), 1);
        }
        url.iter().fold(config, |config, url| format!("{config}[database]\nurl = \"{url}\"\n"))
    });
    let began = Instant::now();
    let clients: Vec<Client> = (0..CLIENTS)
        .map(|index| {
            let (idevid, key) =
                (SoftSigner::generate(P256).unwrap(), SoftSigner::generate(P256).unwrap());
            let name = format!("pump-{index}");
            let made = lab.maker.issue(Kind::Device, &name, idevid.spki_der());
            let chain = [made.der().to_vec()];
            let identity =
                touchstone_tls::Identity::from_signer(&chain, std::sync::Arc::new(idevid)).unwrap();
            let csr = request::build(&Name::common_name(&name).unwrap(), &[], &[], &key).unwrap();
            Client { identity, key, csr }
        })
        .collect();
    let roots =
        touchstone_tls::certificates_from_pem(&std::fs::read(lab.roots()).unwrap()).unwrap();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let address = lab.device.clone();
    let mut work = tokio::task::JoinSet::new();
    for client in clients {
        let (roots, address, done) = (roots.clone(), address.clone(), std::sync::Arc::clone(&done));
        work.spawn(async move {
            loop {
                if let Ok(body) = attempt(&client, &roots, &address).await {
                    let spki = client.key.spki_der();
                    let got = est::decode_enrolled(est::ENROLLED_TYPE, &body, spki).unwrap();
                    done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    return got;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    }
    let reached = |count: usize| done.load(std::sync::atomic::Ordering::Relaxed) >= count;
    for kill_at in [CLIENTS / 5, CLIENTS / 2] {
        while !reached(kill_at) {
            assert!(began.elapsed() < Duration::from_mins(2), "{done:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        match (killed, &mut server) {
            (Killed::Database, Some(server)) => {
                server.kill();
                // Nobody is told anything but to come back.
                let (status, head, _) = fetched(&lab, "/crl/issuing.crl", &[]);
                assert!(status == 200 || head.contains("retry-after"), "{status} {head}");
                tokio::time::sleep(Duration::from_millis(500)).await;
                server.restart();
            }
            _ => lab.kill_and_restart(),
        }
    }
    let got: Vec<Certificate> = work.join_all().await;
    assert_eq!(got.len(), CLIENTS);
    let took = began.elapsed();
    let kind = if server.is_some() { "PostgreSQL" } else { "SQLite" };
    let what = if killed == Killed::Database { "it" } else { "the fleet" };
    eprintln!("{CLIENTS} enrolled with {kind} in {took:?}, {what} killed twice");

    assert!(lab.terminate().success());
    let database = url.map_or(Database::Sqlite, |url| {
        let (password, roots, identity) = (None, None, None);
        Database::Postgres(PostgresSettings { url, password, roots, identity })
    });
    let (path, recorded) = (lab.path("state/fleet.db"), got.clone());
    assert_eq!(path.exists(), server.is_none());
    let open = move || {
        let mut db = Db::of(&database, &path, "default")?.alone()?;
        for certificate in &recorded {
            db.recorded(certificate, now())?.expect("what left is what was recorded");
        }
        Ok(db)
    };
    let store = Store::open(open).await.unwrap();
    each_is_logged_once(&lab, CLIENTS);
    drop(store);
}

fn each_is_logged_once(lab: &Lab, clients: usize) {
    let issued = |audit: &str| -> Vec<String> {
        let lines = audit.lines().filter(|line| line.contains("\"cert.issued\""));
        let site = lines.filter(|line| line.contains("\"profile\":\"site\""));
        site.map(|line| line.split("\"serial\":\"").nth(1).unwrap()[..32].to_owned()).collect()
    };
    let audit = std::fs::read_to_string(lab.path("state/audit.jsonl")).unwrap();
    let known = touchstone_audit::Known::default();
    touchstone_audit::verify(audit.as_bytes(), &touchstone_crypto_awslc::AwsLc, &known).unwrap();
    let mut logged = issued(&audit);
    logged.sort_unstable();
    let count = logged.len();
    logged.dedup();
    assert_eq!(count, logged.len(), "no certificate is in the audit log twice");
    assert_eq!(count, clients, "who asked again was answered as before");
}

/// One attempt on a connection of its own: the body of a good answer.
async fn attempt(client: &Client, roots: &[Vec<u8>], address: &str) -> Result<Vec<u8>, String> {
    use http_body_util::{BodyExt, Full};
    use hyper::body::Bytes;
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let tls = touchstone_tls::ClientSetup::new(roots).identity(client.identity.clone());
    let tls = tls.handshake_timeout(Duration::from_mins(1)).build().unwrap();
    let tcp = tokio::net::TcpStream::connect(address).await.map_err(|error| told(&error))?;
    let name = touchstone_tls::ServerName::parse("fleet.test").unwrap();
    let stream = touchstone_drive::TlsStream::connect(tcp, &tls, &name)
        .await
        .map_err(|error| told(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream))
            .await
            .map_err(|error| told(&error))?;
    let driver = tokio::spawn(connection);
    let request = hyper::Request::post("/.well-known/est/site/simpleenroll")
        .header("host", "fleet.test")
        .header("content-type", est::REQUEST_TYPE)
        .body(Full::new(Bytes::from(est::encode_request(&client.csr))))
        .unwrap();
    let answer = sender.send_request(request).await.map_err(|error| told(&error))?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.map_err(|error| told(&error))?.to_bytes();
    driver.abort();
    let body = body.to_vec();
    match status {
        200 => Ok(body),
        // Anything but "come back later" is a fault of the fleet.
        503 => Err("busy".to_owned()),
        other => panic!("{other}: {}", String::from_utf8_lossy(&body)),
    }
}
