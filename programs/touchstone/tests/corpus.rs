//! Whatever lies in the corpus is read or refused as its manifest says. A line of the manifest that no
//! rule here stands for fails: what is added there has to be thought of here.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use serde_json::Value;
use std::path::Path;
use support::run;
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::corpus;

/// What a file has to be.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Wanted {
    /// Certificates; each is read.
    Certificates,
    /// An event log that is read and replayed.
    EventLog,
    /// An IMA list that is read.
    ImaList,
    /// Something that is refused with this code.
    Refused(&'static [&'static str], &'static str),
    /// Read or judged together with another file, by the test named.
    Elsewhere(&'static str),
    /// Text of the corpus for people.
    Words,
}
use Wanted::{Certificates, Elsewhere, EventLog, ImaList, Refused, Words};

/// The first rule whose folder and ending fit counts.
const RULES: &[(&str, &str, Wanted)] = &[
    ("ekcert/", ".txt", Words),
    ("ekcert/", ".cvsignore", Words),
    ("ekcert/", "", Certificates),
    ("secureboot/", ".crt", Certificates),
    ("secureboot/", ".bin", Elsewhere("reference.rs, --revocations")),
    ("eventlog/", ".bin", EventLog),
    ("eventlog/", ".yaml", Elsewhere("measure/tests/tpm2_tools.rs")),
    ("ima/ibm-acs/", "bios.log", EventLog),
    ("ima/ibm-acs/", "imasig.log", ImaList),
    ("ima/ibm-acs/", "imakey.der", Certificates),
    ("ima/keylime/ima-log-", "unknown", Refused(&["log", "ima"], "measure.ima.algorithm")),
    ("ima/keylime/ima-log-", "", ImaList),
    ("ima/keylime/policy-", "", Elsewhere("reference.rs, import keylime")),
    ("ima/keylime/", "", Words),
    ("tpm-quote/keylime/", "", Elsewhere("appraise.rs")),
    ("tpm-quote/rust-keylime/invalid_ima_log.txt", "", Refused(&["log", "ima"], "measure.ima.pcr")),
    ("tpm-quote/rust-keylime/ima_log.txt", "", ImaList),
    ("tpm-quote/rust-keylime/uefi_log.bin", "", EventLog),
    ("tpm-quote/rust-keylime/", "cert.pem", Certificates),
    ("tpm-quote/rust-keylime/test-cert.pem", "", Certificates),
    ("tpm-quote/rust-keylime/", ".pem", Refused(&["cert", "show"], "certs.malformed")),
    ("tpm-quote/rust-keylime/", "", Elsewhere("evidence/tests/corpus.rs")),
    ("lab/tcb-secboot/binary_bios_measurements", "", EventLog),
    ("lab/tcb-secboot/binary_runtime_measurements", "", ImaList),
    ("lab/tcb-secboot/ascii_runtime_measurements", "", ImaList),
    ("lab/tcb-secboot/", ".der", Certificates),
    ("lab/tcb-secboot/ak", "", Elsewhere("appraise.rs, evidence/tests/corpus.rs")),
    ("lab/tcb-secboot/ek", "", Elsewhere("evidence/tests/corpus.rs")),
    ("lab/tcb-secboot/", ".txt", Words),
    ("lab/", "", Certificates),
];

fn wanted(path: &str) -> Option<Wanted> {
    let fits =
        |(folder, end, _): &&(&str, &str, _)| path.starts_with(folder) && path.ends_with(end);
    RULES.iter().find(fits).map(|(.., wanted)| *wanted)
}

#[test]
fn every_line_of_the_manifest_is_read_or_refused_as_it_says() {
    let Some(root) = corpus("MANIFEST.tsv").map(|path| path.parent().unwrap().to_owned()) else {
        return;
    };
    let manifest = std::fs::read_to_string(root.join("MANIFEST.tsv")).unwrap();
    let mut lines = manifest.lines().map(|line| line.split('\t').collect::<Vec<&str>>());
    assert_eq!(lines.next().unwrap().last(), Some(&"expected"));
    let (mut faults, mut done) = (Vec::new(), std::collections::BTreeSet::new());
    for line in lines {
        let (path, expected) = (line[0], *line.last().unwrap());
        let Some(wanted) = wanted(path) else {
            faults.push(format!("{path}: no rule"));
            continue;
        };
        // What the manifest says of a file, and the rule that stands for it.
        let agrees = match expected {
            "trust anchors" | "trust anchor" => matches!(wanted, Certificates | Words),
            "chain to GCE EK/AK CA" => wanted == Certificates,
            "oracle" => matches!(wanted, Elsewhere(_)),
            said if said.starts_with("parses") => wanted == EventLog,
            _ => true,
        };
        if !agrees {
            faults.push(format!("{path}: `{expected}`, and the rule is {wanted:?}"));
        }
        // A file may stand in more than one line.
        if done.insert(path.to_owned())
            && let Err(fault) = holds(&root, path, wanted)
        {
            faults.push(format!("{path}: {fault}"));
        }
    }
    assert!(done.len() >= 200, "only {} files", done.len());
    assert_eq!(faults, [""; 0]);
}

fn holds(root: &Path, path: &str, wanted: Wanted) -> Result<(), String> {
    let ask = |words: &[&str]| {
        let ran = run(root, &[words, &["--json", path]].concat());
        if ran.code == 3 { Err(ran.err) } else { Ok(serde_json::from_str::<Value>(&ran.out)) }
    };
    let some = |words: &[&str], list: &str| {
        let answer = ask(words)?.map_err(|error| error.to_string())?;
        let len = answer[list].as_array().map_or(0, Vec::len);
        if len == 0 { Err(format!("nothing in `{list}`")) } else { Ok(()) }
    };
    match wanted {
        Certificates => some(&["cert", "show"], "certificates"),
        EventLog => some(&["log", "boot"], "events"),
        ImaList => some(&["log", "ima"], "entries"),
        Refused(words, code) => match ask(words) {
            Err(told) if told.contains(code) => Ok(()),
            Err(told) => Err(format!("wanted {code}: {told}")),
            Ok(_) => Err(format!("wanted {code}, and it was read")),
        },
        Elsewhere(_) | Words if root.join(path).is_file() => Ok(()),
        Elsewhere(_) | Words => Err("is missing".to_owned()),
    }
}

/// Logs whose machines' registers are known: the bank, the registers, and the SHA-256 of their
/// values in hexadecimal, one behind the other. Of glinux-alex it is not known what PCR 0 held.
const REGISTERS: &str = "\
rhel8-uefi sha1 0,1,2,3,4,5,6,7,8,9,14 3249a63ca8bd27b32c433427eafed03426b69f012e76a04f2c1d205e74f14ebb
rhel8-uefi sha256 0,1,2,3,4,5,6,7,8,9,14 0789368b9a2eb7879a5435fb8f66f4265db05afc1da00a47bf848aee74e6b0ce
ubuntu-2104-no-dbx sha1 0,1,2,3,4,5,6,7,8,9,14 63850fba84a84d07201211bee294832aad5bc07ec6824cbb553653ffea29a4a4
ubuntu-2104-no-dbx sha256 0,1,2,3,4,5,6,7,8,9,14 a6715790ead2fe47decc0fbb905df915116a21b3160551e0a8a74f4a3b246da1
ubuntu-2104-no-secure-boot sha1 0,1,2,3,4,5,6,7,8,9,14 9ad46b466cf33f76b2acef86f7a0638ed02e2aa115c7ade8f562a124d1bb3725
ubuntu-2104-no-secure-boot sha256 0,1,2,3,4,5,6,7,8,9,14 714c0b34f48b26003738f2f3cd145cafb138da32159d24783b516d9705f11cd8
glinux-alex sha1 1,2,3,4,5,6,7 4e5217fe499ad51de977dd56a3eaf30cc15382f3251a9fa91d2628c35b389b4d
glinux-alex sha256 1,2,3,4,5,6,7 53040a14f9a54c3b9e0e52853e1ab1241f550854565e27c0d1a526202b6be254
arch-linux-workstation sha1 0,1,2,3,4,5,6,7,8 6adf3e8bb11bfc6cede91f2f1f767b02548fa1f9a47cda1a053bcc1837dc9161
arch-linux-workstation sha256 0,1,2,3,4,5,6,7,8 5b1f84cbc5caad0dfc5e57e6b9ae9d8f22fcb63b592a4b2fd1763c30958c9b3d
debian-10 sha1 0,1,2,3,4,5,6,7 7ea5bcf4de8a133eb53cd8bc8e762314d42c6ea168769dc574bc2bcd6e2bf69a
";

#[test]
fn logs_lead_to_the_registers_that_their_machines_had() {
    let Some(root) = corpus("eventlog/goog-tpm") else { return };
    for line in REGISTERS.lines() {
        let [log, bank, pcrs, known] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let ran = run(&root, &["--json", "log", "boot", &format!("{log}.bin"), "--bank", bank]);
        let told: Value = serde_json::from_str(&ran.out).unwrap();
        let values: String =
            pcrs.split(',').map(|pcr| told["pcrs"][pcr].as_str().unwrap()).collect();
        let found = AwsLc.hash(HashAlgorithm::Sha256, &[values.as_bytes()]);
        assert_eq!(found.to_hex(), known, "{log} {bank}");
    }
}
