//! `touchstone appraise`, run as a person runs it: on files that tpm2-tools wrote, offline.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail loudly"
)]

mod support;

use base64ct::{Base64UrlUnpadded, Encoding};
use std::path::{Path, PathBuf};
use support::{Ran, folder, run, signer};
use tempfile::TempDir;
use touchstone_appraise::ear::{VerifierKey, verify_cwt, verify_jwt};
use touchstone_appraise::{Dimension, Tier};
use touchstone_certs::Name;
use touchstone_certs::issue::{Kind, Template};
use touchstone_crypto::{Digest, HashAlgorithm, SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::cmw::{Cmw, Record};
use touchstone_evidence::eat::Eat;
use touchstone_evidence::{Evidence, QuoteParts, RuntimeClaims, binding, envelope};
use touchstone_measure::ima;
use touchstone_measure::tcg::{EventLog, EventType};
use touchstone_peers::{Swtpm, corpus, rig};

const NONCE: &str = "3ab100112233445566778899aabbccdd";

/// A TPM into which the boot of the rig's device was measured, and a quote of it.
struct Device {
    tpm: Swtpm,
    here: TempDir,
}

impl Device {
    fn new() -> Self {
        let device = Self { tpm: Swtpm::blank_tcp(), here: folder(&[]) };
        let sha256 = HashAlgorithm::Sha256;
        let log = EventLog::decode(&rig("binary_bios_measurements")).unwrap();
        let measured = log.events().iter().filter(|event| event.kind != EventType::NO_ACTION);
        let mut extended: Vec<String> = measured
            .map(|event| format!("{}:{}", event.pcr, event.digest(sha256).unwrap()))
            .collect();
        let list = ima::Log::decode(&rig("binary_runtime_measurements")).unwrap();
        let how = ima::Extension::Hashed;
        extended.extend(
            list.entries().map(|entry| format!("10:{}", entry.extended(&AwsLc, sha256, how))),
        );
        let extends: Vec<String> =
            extended.iter().map(|spec| spec.replace(":sha256:", ":sha256=")).collect();
        let mut arguments = vec!["tpm2_pcrextend"];
        arguments.extend(extends.iter().map(String::as_str));
        device.tpm.tool(&arguments);
        device.tpm.tool(&["tpm2_createek", "-c", "ek.ctx", "-G", "ecc"]);
        device.tpm.tool(&["tpm2_flushcontext", "-t"]);
        let create = ["tpm2_createak", "-C", "ek.ctx", "-c", "ak.ctx", "-G", "ecc256"];
        device.tpm.tool(&[&create[..], &["-g", "sha256", "-s", "ecdsa", "-u", "ak.pub"]].concat());
        device.tpm.tool(&["tpm2_flushcontext", "-t"]);
        for name in ["binary_bios_measurements", "binary_runtime_measurements"] {
            device.put(name, &rig(name));
        }
        device.quote("sha256:0,1,2,3,4,5,6,7,8,9,10,11,12,14");
        device
    }

    fn put(&self, name: &str, octets: &[u8]) {
        std::fs::write(self.here.path().join(name), octets).unwrap();
    }

    fn quote(&self, selection: &str) {
        let quote = ["tpm2_quote", "-c", "ak.ctx", "-l", selection, "-q", NONCE, "-g", "sha256"];
        self.tpm.tool(&[&quote[..], &["-m", "q.msg", "-s", "q.sig", "-o", "q.pcrs"]].concat());
        self.tpm.tool(&["tpm2_flushcontext", "-t"]);
        for name in ["ak.pub", "q.msg", "q.sig", "q.pcrs"] {
            self.put(name, &self.tpm.read(name));
        }
    }

    fn appraise(&self, more: &[&str]) -> Ran {
        let files = ["--quote", "q.msg", "--signature", "q.sig", "--pcrs", "q.pcrs"];
        let whose = ["--ak", "ak.pub", "--nonce", NONCE];
        run(self.here.path(), &[&["appraise"][..], &files, &whose, more].concat())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.here.path().join(name)
    }

    /// Signs what is known to be good of the rig's device.
    fn references(&self, out: &str, more: &[&str]) {
        let sign = ["reference", "sign", "--tenant", "plant", "--component", "boot"];
        let by = ["--version", "1", "--cert", "publisher.pem", "--key", "file:publisher.key"];
        run(self.here.path(), &[&sign[..], &by, &["--out", out], more].concat()).expect(0);
    }
}

const LOGS: [&str; 4] =
    ["--event-log", "binary_bios_measurements", "--ima-log", "binary_runtime_measurements"];

const POLICY: &str = r#"policy boot version 3 schema 1

control secure-boot {
  title    "Images must be signed"
  severity high
  require  boot.secure-boot
  else     configuration contraindicated
}

control command-line {
  title    "It steers the kernel"
  severity medium
  require  boot.command-line in reference.command-lines
  else     configuration warning
}

control this-boot {
  title    "The list must be of this boot"
  severity critical
  require  ima.boot-aggregate
  else     executables contraindicated
}

control tpm-clock {
  title    "A TPM that was put back is not trusted"
  severity low
  require  quote.clock-safe and quote.reset-count < 4294967295
  else     hardware warning
}
"#;

#[test]
fn a_quote_is_verified_with_its_logs_and_without_a_policy_nothing_is_judged() {
    let device = Device::new();
    let ran = device.appraise(&LOGS).expect(0);
    for wanted in [
        "made by a TPM and signed by the key (ecdsa-p256-sha256), with the nonce",
        "PCR values  sha256 0-12, 14 are those that the quote is over",
        "events lead to PCR sha256 0-9, 11-12, 14",
        "2 entries lead to PCR sha256 10; 0 came after the quote",
        "that the key lives in a genuine TPM: onboarding proves it",
        "the device is none: not judged",
    ] {
        assert!(ran.out.contains(wanted), "{wanted}: {}", ran.out);
    }
    assert!(ran.err.contains("nothing that was measured is judged"), "{}", ran.err);

    let ran = device.appraise(&["--json"]).expect(0);
    let json = ran.json("touchstone.appraise/1");
    assert_eq!((&json["tier"], &json["policy"]), (&"none".into(), &serde_json::Value::Null));
    assert_eq!(json["unexplained"]["sha256"].as_array().unwrap().len(), 14);
    assert_eq!(json["quote"]["nonce"], NONCE);
    device.put("yesterday.json", ran.out.as_bytes());
    device.appraise(&["--after", "yesterday.json"]).expect(0);
    let later = ran.out.replace("\"reset_count\": ", "\"reset_count\": 7");
    device.put("later.json", later.as_bytes());
    let ran = device.appraise(&["--after", "later.json", "--json"]).expect(1);
    assert_eq!(ran.json("touchstone.appraise/1")["code"], "evidence.clock.reset-count");
}

#[test]
fn what_is_not_genuine_is_no_and_what_does_not_parse_is_not_known() {
    let device = Device::new();
    let ran = device.appraise(&["--nonce", "00"]);
    assert_eq!(ran.code, 2, "given twice: {}", ran.err);
    let with = |name: &str, octets: &[u8]| {
        let honest = std::fs::read(device.at(name)).unwrap();
        device.put(name, octets);
        let ran = device.appraise(&LOGS);
        device.put(name, &honest);
        ran
    };
    let pcrs = std::fs::read(device.at("q.pcrs")).unwrap();
    let mut relabelled = pcrs.clone();
    relabelled[8] ^= 0x80;
    let ran = with("q.pcrs", &relabelled).expect(1);
    assert!(ran.out.contains("evidence.pcrs.labels"), "{}", ran.out);
    let mut other = pcrs;
    other[4 + 128 + 4 + 4 + 2] ^= 1;
    assert!(with("q.pcrs", &other).expect(1).out.contains("evidence.pcrs.values"));
    let mut log = rig("binary_bios_measurements");
    let at = log.len() - 1;
    log.truncate(at);
    let ran = with("binary_bios_measurements", &log).expect(3);
    assert!(ran.err.contains("binary_bios_measurements: "), "{}", ran.err);
    let ran = with("binary_runtime_measurements", &[]).expect(1);
    assert!(ran.out.contains("the log leads PCR 10 to"), "{}", ran.out);
    assert!(with("q.msg", b"no quote").expect(1).out.contains("REFUSED"));
    assert!(with("ak.pub", b"no key").expect(3).err.contains("ak.pub: "));
    // PCRs that vouch for no log.
    device.quote("sha256:10");
    let ran = device.appraise(&LOGS).expect(1);
    assert!(ran.out.contains("no quoted PCR vouches for the event log"), "{}", ran.out);
}

#[test]
fn a_policy_judges_by_signed_references_and_tells_each_control() {
    let device = Device::new();
    signer(device.here.path(), "publisher");
    device.put("boot.policy", POLICY.as_bytes());
    let line = String::from_utf8(rig("cmdline.txt")).unwrap();
    device.references("good", &["--command-line", line.trim_end()]);
    let judged = |references: &str, more: &[&str]| {
        let by = ["--policy", "boot.policy", "--references", references];
        device.appraise(&[&by[..], &["--signer", "publisher.pem"], &LOGS, more].concat())
    };
    let ran = judged("good", &[]).expect(0);
    assert!(ran.out.contains("passed   secure-boot: "), "{}", ran.out);
    assert!(ran.out.contains("the device is affirming"), "{}", ran.out);

    device.references("bad", &["--command-line", "another"]);
    let ran = judged("bad", &["--json"]).expect(1);
    let json = ran.json("touchstone.appraise/1");
    assert_eq!((&json["tier"], &json["policy"]), (&"warning".into(), &"boot/3".into()));
    assert_eq!(json["controls"][1]["status"], "failed");
    assert!(json["controls"][1]["reason"].as_str().unwrap().contains("expected `another`"));

    // Without the IMA list its control is not met, and says why.
    let by = ["--policy", "boot.policy", "--references", "good", "--signer", "publisher.pem"];
    let ran = device.appraise(&[&by[..], &LOGS[..2]].concat()).expect(1);
    assert!(ran.out.contains("unknown  this-boot: there is no IMA list"), "{}", ran.out);
    assert!(ran.out.contains("IMA list: it was not given; give --ima-log"), "{}", ran.out);

    // Somebody else's values, and values that nobody compares with anything.
    signer(device.here.path(), "stranger");
    let ran = device.appraise(&[&by[..5], &["stranger.pem"], &LOGS[..]].concat());
    assert!(ran.expect(3).err.contains("good: "));
    device.references("idle", &["--secure-boot-key", "db=publisher.pem"]);
    let ran = judged("idle", &[]).expect(3);
    let wanted = "idle was never evaluated: no control compares values of secure-boot-key db";
    assert!(ran.err.contains(wanted), "{}", ran.err);
    // One kind that is read does not excuse another.
    let both = ["--command-line", line.trim_end(), "--secure-boot-key", "db=publisher.pem"];
    device.references("both", &both);
    let wanted = wanted.replace("idle", "both");
    let ran = judged("both", &[]).expect(3);
    assert!(ran.err.contains(&wanted), "{}", ran.err);
    assert!(!ran.err.contains("command-line"), "{}", ran.err);
    let ran = device.appraise(&["--references", "good", "--signer", "publisher.pem"]);
    ran.expect(2);
}

#[test]
fn a_result_is_signed_for_others_as_jwt_and_as_cwt() {
    let device = Device::new();
    signer(device.here.path(), "publisher");
    device.put("boot.policy", POLICY.as_bytes());
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    device.put("verifier.key", key.to_pkcs8_pem().as_bytes());
    let known = [VerifierKey::new(key.spki_der(), SignatureAlgorithm::EcdsaP256Sha256).unwrap()];
    let sign = |out: &str| {
        let by = ["--policy", "boot.policy", "--device", "gateway-17", "--ear", out];
        let with = ["--key", "file:verifier.key", "--asked-at", "1795900000"];
        device.appraise(&[&by[..], &with, &LOGS].concat()).expect(1);
        std::fs::read(device.at(out)).unwrap()
    };
    let jwt = String::from_utf8(sign("result.jwt")).unwrap();
    let read = verify_jwt(&AwsLc, &jwt, &known).unwrap();
    let also = verify_cwt(&AwsLc, &sign("result.cwt"), &known).unwrap();
    for ear in [read, also] {
        assert_eq!((ear.device.as_str(), ear.status), ("gateway-17", Tier::Warning));
        assert_eq!(ear.evidence_at, Some(1_795_900_000));
        assert_eq!(ear.vector.value(Dimension::Executables), 2);
        assert_eq!(ear.controls.len(), 4);
        let whats: Vec<&str> = ear.not_evaluated.iter().map(|not| not.what.as_str()).collect();
        assert!(whats.contains(&"that the TPM was not put back"), "{whats:?}");
    }
}

/// How long it may be relied upon is for the verifier to say.
#[test]
fn a_result_lives_as_long_as_it_is_told() {
    let device = Device::new();
    device.put("boot.policy", POLICY.as_bytes());
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    device.put("verifier.key", key.to_pkcs8_pem().as_bytes());
    let known = [VerifierKey::new(key.spki_der(), SignatureAlgorithm::EcdsaP256Sha256).unwrap()];
    for (lifetime, more) in [(300, &[][..]), (86_400, &["--lifetime", "86400"])] {
        let by = ["--policy", "boot.policy", "--ear", "r.cwt", "--key", "file:verifier.key"];
        device.appraise(&[&by[..], more, &LOGS].concat()).expect(1);
        let ear = verify_cwt(&AwsLc, &std::fs::read(device.at("r.cwt")).unwrap(), &known).unwrap();
        assert_eq!(ear.expires - ear.issued_at, lifetime);
    }
}

/// Old TPMs have nothing better; it has to be asked for by its full name.
#[test]
fn sha1_is_taken_only_where_it_is_asked_for() {
    let device = Device::new();
    let create = ["tpm2_createak", "-C", "ek.ctx", "-c", "ak.ctx", "-G", "rsa", "-g", "sha1"];
    device.tpm.tool(&[&create[..], &["-s", "rsassa", "-u", "ak.pub"]].concat());
    device.tpm.tool(&["tpm2_flushcontext", "-t"]);
    let quote = ["tpm2_quote", "-c", "ak.ctx", "-l", "sha256:0,7", "-q", NONCE, "-g", "sha1"];
    device.tpm.tool(&[&quote[..], &["-m", "q.msg", "-s", "q.sig", "-o", "q.pcrs"]].concat());
    for name in ["ak.pub", "q.msg", "q.sig", "q.pcrs"] {
        device.put(name, &device.tpm.read(name));
    }
    let refused = device.appraise(&[]).expect(1);
    assert!(refused.out.contains("SHA-1"), "{}", refused.out);
    device.appraise(&["--dangerous-accept-sha1"]).expect(0);
}

fn captured(folder: &Path, names: [&str; 4], nonce: &str, more: &[&str]) -> Ran {
    let [quote, signature, pcrs, ak] = names;
    let files = ["--quote", quote, "--signature", signature, "--pcrs", pcrs, "--ak", ak];
    run(folder, &[&["appraise", "--nonce", nonce, "--json"][..], &files, more].concat())
}

#[test]
fn quotes_of_other_projects_get_the_verdict_of_their_manifest() {
    let Some(lab) = corpus("lab/tcb-secboot") else { return };
    for key in ["ak", "akecc"] {
        for pcrs in ["pcrs", "yaml"] {
            let file = |end: &str| format!("{key}.{end}");
            let (msg, sig, pub_) = (file("quote.msg"), file("quote.sig"), file("pub"));
            let pcrs = format!("{key}.quote.{pcrs}");
            let ran = captured(
                &lab,
                [&msg, &sig, &pcrs, &pub_],
                "6d6f63616e612d6e6f6e63652d303031",
                &LOGS,
            );
            let json = ran.expect(0).json("touchstone.appraise/1");
            assert_eq!(json["explained"]["sha256"].as_array().unwrap().len(), 15, "{key}");
            assert_eq!(
                json["ima_log"]["entries"].as_u64().unwrap()
                    + json["ima_log"]["after_the_quote"].as_u64().unwrap(),
                5004
            );
        }
    }
    // The list as the kernel prints it says the same.
    let ascii = ["--event-log", LOGS[1], "--ima-log", "ascii_runtime_measurements"];
    let names = ["ak.quote.msg", "ak.quote.sig", "ak.quote.pcrs", "ak.pub"];
    let ran = captured(&lab, names, "6d6f63616e612d6e6f6e63652d303031", &ascii).expect(0);
    let json = ran.json("touchstone.appraise/1");
    assert!(json["ima_log"]["entries"].as_u64().unwrap() > 5000, "{json}");
    let Some(keylime) = corpus("tpm-quote/keylime") else { return };
    let names = ["quote.out", "quotesig.out", "quotepcr.out", "akpub.pem"];
    let nonce = "db1db298db6d60e6385b7231743e9c3056a18003";
    let ran = captured(&keylime, names, nonce, &[]).expect(0);
    assert_eq!(
        ran.json("touchstone.appraise/1")["quote"]["firmware_version"],
        "0x2016051100162800"
    );
    captured(&keylime, names, "00", &[]).expect(1);
}

impl Device {
    /// Asks the device's own TPM, as the device does when no verifier can be reached.
    fn itself(&self, more: &[&str]) -> Ran {
        let at = format!("tpm-tcp:{}", self.tpm.address());
        let asked = ["appraise", "--element", &at, "--state", "state", "--pcr", "sha256:0-12,14"];
        run(self.here.path(), &[&asked[..], more].concat())
    }

    fn tool(&self, arguments: &[&str]) -> Ran {
        run(self.here.path(), arguments)
    }
}

#[test]
fn a_device_judges_itself_by_what_others_have_signed() {
    let device = Device::new();
    let here = device.here.path();
    for who in ["publisher", "operator", "security", "stranger"] {
        signer(here, who);
    }
    let at = format!("tpm-tcp:{}", device.tpm.address());
    let create = ["keys", "create", "lak", "--use", "attest"];
    let create = [&["element", "--element", &at, "--state", "state"], &create[..]].concat();
    let ran = device.itself(&LOGS).expect(3);
    assert!(ran.err.contains("element keys create lak --use attest` makes one"), "{}", ran.err);
    device.tool(&create).expect(0);

    let policy = POLICY.replace(
        "control tpm-clock",
        "control here { title \"Asked now\" severity low fresh 1m \
         require element.kind == \"tpm2\" and evidence.age < 1m else hardware warning }\n\
         control tpm-clock",
    );
    device.put("boot.policy", policy.as_bytes());
    let sign = |file: &str, by: &str, out: &str| {
        let (cert, key) = (format!("{by}.pem"), format!("file:{by}.key"));
        device
            .tool(&["policy", "sign", file, "--cert", &cert, "--key", &key, "--out", out])
            .expect(0);
    };
    sign("boot.policy", "operator", "once");
    sign("once", "security", "signed");
    let line = String::from_utf8(rig("cmdline.txt")).unwrap();
    device.references("good", &["--command-line", line.trim_end()]);
    let by = ["--references", "good", "--signer", "publisher.pem"];
    let who = ["--policy-signer", "operator.pem", "--policy-signer", "security.pem"];
    let judged = |policy: &str, who: &[&str], more: &[&str]| {
        device.itself(&[&["--policy", policy], who, &by, &LOGS, more].concat())
    };
    let ran = judged("signed", &who, &["--json"]).expect(0);
    let json = ran.json("touchstone.appraise/1");
    assert_eq!((&json["tier"], &json["policy"]), (&"affirming".into(), &"boot/3".into()));
    assert_eq!(json["quote"]["nonce"].as_str().unwrap().len(), 64);
    let again = judged("signed", &who, &["--json"]).expect(0).json("touchstone.appraise/1");
    assert_ne!(again["quote"]["nonce"], json["quote"]["nonce"], "each time another nonce");
    device.put("today.json", ran.out.as_bytes());

    // Whose word counts, and for which version, is not the device's to say.
    for (policy, who, code) in [
        ("once", &who[..], "update."),
        ("signed", &who[..2], "update."),
        ("signed", &["--policy-signer", "stranger.pem"][..], "update."),
        ("boot.policy", &who[..], "touchstone.policy.envelope"),
    ] {
        let ran = judged(policy, who, &[]).expect(3);
        assert!(ran.err.contains(code), "{policy} {who:?}: {}", ran.err);
    }
    device.put("old.policy", policy.replace("boot version 3", "boot version 2").as_bytes());
    sign("old.policy", "operator", "old.once");
    sign("old.once", "security", "old");
    let ran = judged("old", &who, &["--after", "today.json"]).expect(3);
    assert!(ran.err.contains("touchstone.appraise.policy-rollback"), "{}", ran.err);
    judged("signed", &who, &["--after", "today.json"]).expect(0);

    // Something was started that its list does not tell.
    device.tpm.tool(&["tpm2_pcrextend", &format!("10:sha256={}", "ab".repeat(32))]);
    let ran = judged("signed", &who, &["--json"]).expect(1);
    assert_eq!(ran.json("touchstone.appraise/1")["code"], "evidence.quote.replay");
    device.itself(&["--nonce", "00"]).expect(2);
}

const SENT: &str = r#"policy sent version 1 schema 1

control secure-boot {
  title    "Images must be signed"
  severity high
  require  boot.secure-boot
  else     configuration contraindicated
}

control agent {
  title    "What the agent says counts"
  severity low
  require  agent.version >= 0.1.0
  else     executables warning
}
"#;

impl Device {
    /// Evidence as an agent would send it for the nonce.
    fn evidence(&self) -> Vec<u8> {
        let runtime = RuntimeClaims { agent_version: "0.1.0".into(), ..RuntimeClaims::default() };
        let (runtime, nonce) = (runtime.encode(), nonce_octets());
        let qualifying = Digest::new(HashAlgorithm::Sha256, &binding(&AwsLc, &nonce, &runtime))
            .unwrap()
            .to_hex();
        let quote = ["tpm2_quote", "-c", "ak.ctx", "-q", &qualifying, "-g", "sha256"];
        let all = "sha256:0,1,2,3,4,5,6,7,8,9,10,11,12,13,14";
        self.tpm.tool(&[&quote[..], &["-l", all, "-m", "e.msg", "-s", "e.sig"]].concat());
        self.tpm.tool(&["tpm2_flushcontext", "-t"]);
        let (attest, signature) = (self.tpm.read("e.msg"), self.tpm.read("e.sig"));
        let quote = QuoteParts { attest, signature };
        let [event_log, ima_log] =
            [rig("binary_bios_measurements"), rig("binary_runtime_measurements")];
        Evidence::encode(&quote, &event_log, &ima_log, &runtime, &[])
    }

    fn appraise_sent(&self, file: &str, more: &[&str]) -> Ran {
        let what = ["appraise", "--evidence", file, "--ak", "ak.pub", "--nonce", NONCE];
        run(self.here.path(), &[&what[..], more].concat())
    }
}

fn nonce_octets() -> Vec<u8> {
    let octet = |at: usize| u8::from_str_radix(&NONCE[at..at + 2], 16).unwrap();
    (0..NONCE.len()).step_by(2).map(octet).collect()
}

#[test]
fn evidence_of_an_agent_is_appraised_bare_and_in_a_token_that_the_device_signed() {
    let device = Device::new();
    let identity = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let stranger = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let pem = |key: &SoftSigner| {
        let ending = pem_rfc7468::LineEnding::LF;
        pem_rfc7468::encode_string("PUBLIC KEY", ending, key.spki_der()).unwrap()
    };
    let name = Name::common_name("gateway-17").unwrap();
    let certificate = Template::new(Kind::Root, name, support::now() - 9, support::now() + 99)
        .self_sign(&AwsLc, &identity)
        .unwrap();
    device.put("key.pem", pem(&identity).as_bytes());
    device.put("stranger.pem", pem(&stranger).as_bytes());
    device.put("certificate.pem", certificate.to_pem().unwrap().as_bytes());
    device.put("policy", SENT.as_bytes());
    let evidence = device.evidence();
    let ueid = envelope::ueid(&AwsLc, identity.spki_der());
    let cwt = envelope::seal(&evidence, &nonce_octets(), &ueid, &identity).unwrap();
    let jwt = Eat::dangerous_unverified_cwt(&cwt).unwrap().to_jwt(&identity).unwrap();
    device.put("e.cmw", &evidence);
    device.put("e.cwt", &cwt);
    device.put("e.jwt", format!("{jwt}\n").as_bytes());

    for (file, envelope, by) in [
        ("e.cmw", "CMW", &[][..]),
        ("e.cwt", "EAT, CWT", &["--evidence-key", "key.pem"]),
        ("e.cwt", "EAT, CWT", &["--evidence-key", "certificate.pem"]),
        ("e.jwt", "EAT, JWT", &["--evidence-key", "key.pem"]),
    ] {
        let judged = device.appraise_sent(file, &[by, &["--policy", "policy"]].concat()).expect(0);
        assert!(judged.out.contains("the device is affirming"), "{}", judged.out);
        assert!(judged.out.contains(&format!("evidence    {envelope}")), "{}", judged.out);
        let json = device.appraise_sent(file, &[by, &["--json"]].concat()).expect(0);
        device.put("before.json", json.out.as_bytes());
        let json = json.json("touchstone.appraise/1");
        assert_eq!((&json["envelope"], &json["verified"]), (&envelope.into(), &true.into()));
        assert_eq!(json["explained"]["sha256"].as_array().unwrap().len(), 15);
        let after = device.appraise_sent(file, &[by, &["--after", "before.json"]].concat());
        assert!(after.expect(0).err.contains("no policy"), "{}", judged.out);
        let other = [by, &["--pcr", "sha256:0-7", "--json"]].concat();
        let refused = device.appraise_sent(file, &other).expect(1).json("touchstone.appraise/1");
        assert_eq!(refused["code"], "evidence.quote.selection");
    }
    for file in ["e.cwt", "e.jwt"] {
        let by = ["--evidence-key", "stranger.pem", "--json"];
        let refused = device.appraise_sent(file, &by).expect(1).json("touchstone.appraise/1");
        assert_eq!(refused["code"], "evidence.token.signature");
        let old = ["appraise", "--evidence", file, "--evidence-key", "key.pem", "--ak", "ak.pub"];
        let old = [&old[..], &["--nonce", "00112233445566778899aabbccddeeff", "--json"]].concat();
        let refused = run(device.here.path(), &old).expect(1).json("touchstone.appraise/1");
        assert_eq!(refused["code"], "evidence.eat.not-fresh");
        let whose = device.appraise_sent(file, &[]).expect(2);
        assert!(whose.err.contains("give --evidence-key"), "{}", whose.err);
        // What is in it is listed, and the logs are not printed.
        let shown = run(device.here.path(), &["evidence", "show", file, "--key", "key.pem"]);
        let shown = shown.expect(0);
        assert!(shown.out.contains("part         event-log application/"), "{}", shown.out);
        assert!(
            shown
                .out
                .contains(&format!("ueid         {}", Base64UrlUnpadded::encode_string(&ueid))),
            "{}",
            shown.out
        );
        assert!(shown.out.len() < 4096, "{}", shown.out);
    }
    let keyed = device.appraise_sent("e.cmw", &["--evidence-key", "key.pem"]).expect(2);
    assert!(keyed.err.contains("leave out --evidence-key"), "{}", keyed.err);
    device.put("cut.cwt", &cwt[..cwt.len() - 9]);
    let cut = device.appraise_sent("cut.cwt", &["--evidence-key", "key.pem"]).expect(3);
    assert!(cut.err.contains("evidence.token.malformed"), "{}", cut.err);
    let record = Record::new("application/eat+cwt", cwt).unwrap();
    device.put("nested.cmw", &Cmw::Record(record).to_cbor());
    let nested = device.appraise_sent("nested.cmw", &[]).expect(3);
    assert!(nested.err.contains("evidence.eat.nested"), "{}", nested.err);
    let both = device.appraise_sent("e.cmw", &["--quote", "q.msg"]).expect(2);
    assert!(both.err.contains("cannot be used with"), "{}", both.err);
}
