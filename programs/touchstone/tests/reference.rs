//! `touchstone reference build`, `import` and `assign`, beside dpkg, rpm and evmctl.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use support::{Ran, folder, run, signer};
use tempfile::TempDir;
use touchstone_appraise::references::Document;
use touchstone_certs::Certificate;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::predict::Boot;
use touchstone_measure::tcg::{EventLog, EventType, describe};
use touchstone_peers::{Part, STUB, Swtpm, rig, systemd_measure, tool, unified_kernel_image};

/// A folder with a publisher.
fn scene() -> TempDir {
    let here = folder(&[]);
    signer(here.path(), "publisher");
    here
}

fn with(here: &Path, verb: &[&str], what: &[&str]) -> Ran {
    let about = ["--tenant", "plant", "--component", "os", "--version", "7"];
    let by = ["--cert", "publisher.pem", "--key", "file:publisher.key", "--out", "out", "--json"];
    run(here, &[&["reference"], verb, what, &about[..], &by[..]].concat())
}

fn build(here: &Path, what: &[&str]) -> Ran {
    with(here, &["build"], what)
}

/// The digests of a document's files by their paths.
fn files(json: &Value) -> Vec<(String, String)> {
    let values = json["document"]["values"].as_array().unwrap();
    let files = values.iter().filter(|value| value["kind"] == "file");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    files.map(|value| (text(&value["path"]), text(&value["digest"]))).collect()
}

fn sha256(content: &[u8]) -> String {
    AwsLc.hash(HashAlgorithm::Sha256, &[content]).to_string()
}

fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A root file system with a program of this machine in it.
fn root(here: &Path) {
    write(&here.join("root/usr/bin/true"), &fs::read("/usr/bin/true").unwrap());
    write(&here.join("root/etc/app.conf"), b"mode = safe\n");
    write(&here.join("root/var/log/messages"), b"noise\n");
    std::os::unix::fs::symlink("usr/bin", here.join("root/bin")).unwrap();
}

#[test]
fn a_root_file_system_becomes_a_signed_set() {
    let here = scene();
    root(here.path());
    let ran = build(here.path(), &["--root", "root", "--exclude", "/var/log/", "--scope", "/usr/"]);
    let json = ran.expect(0).json("touchstone.reference.build/1");
    let expected = [
        ("/etc/app.conf".to_owned(), sha256(b"mode = safe\n")),
        ("/usr/bin/true".to_owned(), sha256(&fs::read("/usr/bin/true").unwrap())),
    ];
    assert_eq!(files(&json), expected);
    let values = json["document"]["values"].as_array().unwrap();
    let code = values.iter().find(|value| value["kind"] == "code").unwrap();
    assert!(!code["ranges"].as_array().unwrap().is_empty());
    assert!(json["set"].as_str().unwrap().starts_with("sha256:"));
    let shown = run(here.path(), &["reference", "show", "out", "--signer", "publisher.pem"]);
    assert!(shown.expect(0).out.contains("1 code, 2 file, 1 file-scope"));

    let ran = build(here.path(), &["--root", "root", "--algorithm", "sha512"]).expect(0);
    let json = ran.json("touchstone.reference.build/1");
    assert!(files(&json).iter().all(|(_, digest)| digest.starts_with("sha512:")));
}

#[test]
fn a_set_says_how_long_lower_versions_count() {
    let here = scene();
    root(here.path());
    let times = ["--root", "root", "--grace", "14d", "--outdated", "30d", "--valid-for", "365d"];
    let json = build(here.path(), &times).expect(0).json("touchstone.reference.build/1");
    let document = &json["document"];
    let [good, known] = ["good_until", "known_until"]
        .map(|member| document["supersedes"][member].as_u64().unwrap());
    assert_eq!(known - good, 30 * 86_400);
    assert!(good >= support::now() + 14 * 86_400 - 60);
    assert!(document["valid_until"].as_u64().unwrap() > known);
    build(here.path(), &["--root", "root", "--outdated", "30d"]).expect(2);
}

#[test]
fn values_that_a_policy_never_reads_are_told() {
    let here = scene();
    root(here.path());
    build(here.path(), &["--root", "root"]).expect(0);
    let policy = r#"policy p version 1 schema 1 control files { title "nothing else runs"
        severity high require ima.unknown-files is empty else executables contraindicated }"#;
    fs::write(here.path().join("files.policy"), policy).unwrap();
    let ran = run(here.path(), &["reference", "show", "out", "--policy", "files.policy"]).expect(1);
    assert!(ran.err.contains("no control of the policy reads the 1 values of code"), "{}", ran.err);
}

/// Builds a package as dpkg-deb does, packed in that way.
fn deb(here: &Path, packing: &str) {
    let tree = here.join("pump");
    write(&tree.join("DEBIAN/control"), b"Package: pump\nVersion: 2.1\nArchitecture: all\nMaintainer: Example <a@example.com>\nDescription: pump\n");
    write(&tree.join("bin/pump"), b"#!/bin/sh\necho pump\n");
    write(&tree.join("etc/pump.conf"), b"speed = 3\n");
    write(&tree.join("DEBIAN/conffiles"), b"/etc/pump.conf\n");
    let _ = fs::hard_link(tree.join("bin/pump"), tree.join("bin/pumpctl"));
    let packing = format!("-Z{packing}");
    tool("dpkg-deb", here, &["--root-owner-group", &packing, "--build", "pump", "pump.deb"]);
}

#[test]
fn what_dpkg_deb_packs_is_read_however_it_is_packed() {
    for packing in ["gzip", "xz", "zstd", "none"] {
        let here = scene();
        deb(here.path(), packing);
        let ran = build(here.path(), &["--dpkg", "pump.deb"]).expect(0);
        let pump = sha256(b"#!/bin/sh\necho pump\n");
        let expected = [
            ("/etc/pump.conf".to_owned(), sha256(b"speed = 3\n")),
            ("/usr/bin/pump".to_owned(), pump.clone()),
            ("/usr/bin/pumpctl".to_owned(), pump),
        ];
        assert_eq!(files(&ran.json("touchstone.reference.build/1")), expected, "{packing}");
    }
    let here = scene();
    deb(here.path(), "xz");
    let mut package = fs::read(here.path().join("pump.deb")).unwrap();
    let at = package.len() - package.len() / 5;
    package[at] ^= 0x55;
    fs::write(here.path().join("pump.deb"), &package).unwrap();
    let refused = build(here.path(), &["--dpkg", "pump.deb"]).expect(3);
    assert!(refused.err.contains("reference.deb."), "{}", refused.err);
    assert!(!here.path().join("out").exists(), "half of a package is none");
}

#[test]
fn what_dpkg_installed_is_hashed_as_it_lies_there() {
    let here = scene();
    let here = here.path();
    deb(here, "xz");
    for folder in ["updates", "info", "triggers"] {
        fs::create_dir_all(here.join("root/var/lib/dpkg").join(folder)).unwrap();
    }
    fs::create_dir_all(here.join("root/usr/bin")).unwrap();
    std::os::unix::fs::symlink("usr/bin", here.join("root/bin")).unwrap();
    write(&here.join("root/var/lib/dpkg/status"), b"");
    let root = format!("--root={}", here.join("root").display());
    tool(
        "dpkg",
        here,
        &[&root, "--force-not-root", "--force-script-chrootless", "--install", "pump.deb"],
    );
    let database = ["--dpkg", "root/var/lib/dpkg"];
    let json = build(here, &database).expect(0).json("touchstone.reference.build/1");
    let paths: Vec<String> = files(&json).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["/etc/pump.conf", "/usr/bin/pump", "/usr/bin/pumpctl"]);

    fs::write(here.join("root/usr/bin/pumpctl"), "#!/bin/sh\necho trojan\n").unwrap();
    let ran = build(here, &database).expect(0);
    let json = ran.json("touchstone.reference.build/1");
    assert!(ran.err.contains("it was changed since it was installed"), "{}", ran.err);
    assert!(files(&json).iter().all(|(path, _)| path != "/usr/bin/pumpctl"));
    build(here, &["--dpkg", "root/var"]).expect(2);

    // The settings, whose digests stand elsewhere in the database.
    fs::write(here.join("root/usr/bin/pumpctl"), "#!/bin/sh\necho pump\n").unwrap();
    fs::write(here.join("root/etc/pump.conf"), "let everybody in\n").unwrap();
    let json = build(here, &database).expect(0).json("touchstone.reference.build/1");
    assert!(files(&json).iter().all(|(path, _)| path != "/etc/pump.conf"), "{json}");
    let json = build(here, &[&database[..], &["--take-changed"]].concat()).expect(0);
    let json = json.json("touchstone.reference.build/1");
    assert!(files(&json).iter().any(|(path, _)| path == "/etc/pump.conf"), "{json}");

    // A package without digests, as one of several architectures, with a diversion of its own.
    let info = here.join("root/var/lib/dpkg/info");
    fs::rename(info.join("pump.list"), info.join("pump:amd64.list")).unwrap();
    fs::remove_file(info.join("pump.md5sums")).unwrap();
    let diversions = "/usr/bin/pump\n/usr/bin/pump.distrib\npump\n";
    fs::write(here.join("root/var/lib/dpkg/diversions"), diversions).unwrap();
    let ran = build(here, &database).expect(0);
    let json = ran.json("touchstone.reference.build/1");
    assert!(files(&json).iter().any(|(path, _)| path == "/usr/bin/pump"), "{json}");
    assert!(json["not_checked"].as_u64().unwrap() >= 2, "{json}");
    assert!(ran.err.contains("their packages have no digests of them"), "{}", ran.err);
}

const SPEC: &str = "\
Name: pump
Version: 2.1
Release: 1
Summary: pump
License: MIT
BuildArch: noarch
%description
pump
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc
printf 'pump' > %{buildroot}/usr/bin/pump
printf 'speed = 3' > %{buildroot}/etc/pump.conf
ln -s pump %{buildroot}/usr/bin/link
%files
/usr/bin/pump
/usr/bin/link
%config /etc/pump.conf
%ghost /etc/pump.state
";

/// Builds a package as rpmbuild does.
fn rpm(here: &Path) {
    fs::write(here.join("pump.spec"), SPEC).unwrap();
    let top = format!("_topdir {}", here.join("build").display());
    let to = format!("_rpmdir {}", here.display());
    let define = ["--define", &top, "--define", &to, "--define", "_build_name_fmt pump.rpm"];
    let how = [
        "--define",
        "_source_filedigest_algorithm 8",
        "--define",
        "_binary_filedigest_algorithm 8",
    ];
    tool("rpmbuild", here, &[&["-bb"], &define[..], &how[..], &["pump.spec"]].concat());
}

#[test]
fn what_rpmbuild_packs_is_read_from_the_package_and_from_the_database() {
    let here = scene();
    let here = here.path();
    rpm(here);
    let expected = [
        ("/etc/pump.conf".to_owned(), sha256(b"speed = 3")),
        ("/usr/bin/pump".to_owned(), sha256(b"pump")),
    ];
    let json = build(here, &["--rpm", "pump.rpm"]).expect(0).json("touchstone.reference.build/1");
    assert_eq!(files(&json), expected);

    let database = format!("{}", here.join("root/var/lib/rpm").display());
    fs::create_dir_all(&database).unwrap();
    tool("rpm", here, &["--dbpath", &database, "--initdb"]);
    let install =
        ["--dbpath", &database, "--justdb", "--nodeps", "--nosignature", "-i", "pump.rpm"];
    tool("rpm", here, &install);
    let from = ["--rpm", "root/var/lib/rpm"];
    let json = build(here, &from).expect(0).json("touchstone.reference.build/1");
    assert_eq!(files(&json), expected);

    let refused = build(here, &["--rpm", "pump.rpm", "--algorithm", "sha512"]).expect(3);
    assert!(refused.err.contains("reference.rpm.algorithm"), "{}", refused.err);
    let mut package = fs::read(here.join("pump.rpm")).unwrap();
    let at = package.windows(9).rposition(|window| window == b"pump.conf").unwrap();
    package[at] ^= 1;
    fs::write(here.join("pump.rpm"), package).unwrap();
    let refused = build(here, &["--rpm", "pump.rpm"]).expect(3);
    assert!(refused.err.contains("its header was changed"), "{}", refused.err);
}

#[test]
fn two_sources_that_contradict_each_other_are_refused() {
    let here = scene();
    root(here.path());
    write(&here.path().join("other/etc/app.conf"), b"mode = fast\n");
    let ran = build(here.path(), &["--root", "root", "--root", "other"]).expect(3);
    let words = "and sha256:";
    assert!(ran.err.contains("/etc/app.conf is sha256:") && ran.err.contains(words), "{}", ran.err);
    assert!(ran.err.contains("references.contradiction"));
}

#[test]
fn publishers_come_with_their_names_and_places() {
    let here = scene();
    signer(here.path(), "acme");
    let ran =
        build(here.path(), &["--publisher", "Acme=acme.pem", "--publisher-path", "Acme=/usr/"]);
    let json = ran.expect(0).json("touchstone.reference.build/1");
    let publisher = &json["document"]["values"][0];
    assert_eq!(publisher["kind"], "publisher");
    assert_eq!((&publisher["name"], &publisher["paths"][0]), (&"Acme".into(), &"/usr/".into()));
    build(here.path(), &["--publisher-path", "Acme=/usr/"]).expect(2);
    build(here.path(), &[]).expect(2);
}

#[test]
fn keylimes_policies_are_taken_over_or_refused_by_name() {
    let Some(corpus) = touchstone_peers::corpus("ima/keylime") else { return };
    let here = scene();
    let import = |name: &str| {
        let file = corpus.join(name);
        with(here.path(), &["import", "keylime"], &[file.to_str().unwrap()])
    };
    for (name, algorithm) in [
        ("policy-sha1", "sha1"),
        ("policy-sha256", "sha256"),
        ("policy-sha384", "sha384"),
        ("policy-sha512", "sha512"),
    ] {
        let json = import(name).expect(0).json("touchstone.reference.import/1");
        let found = files(&json);
        assert_eq!(found.len(), 1, "{name}");
        assert!(found[0].1.starts_with(algorithm), "{name}: {found:?}");
        let list = import(&name.replace("policy", "allowlist")).expect(0);
        let list = files(&list.json("touchstone.reference.import/1"));
        assert!(list[0].1.starts_with(algorithm), "{list:?}");
    }
    for unknown in ["policy-unknown", "allowlist-unknown"] {
        let refused = import(unknown).expect(3);
        assert!(refused.err.contains("references.not-understood"), "{}", refused.err);
    }
    let json = import("ima-allowlist-short.txt").expect(0).json("touchstone.reference.import/1");
    assert!(files(&json).len() > 5);
    assert!(json["notes"][0].as_str().unwrap().contains("boot_aggregate"));
}

#[test]
fn an_assignment_names_devices_and_sets() {
    let here = scene();
    fs::write(here.path().join("hostname"), "gateway-7\n").unwrap();
    let assign = |sets: &str| {
        run(
            here.path(),
            &[
                "reference",
                "assign",
                "--tenant",
                "plant",
                "--name",
                "line-a",
                "--version",
                "1",
                "--device",
                "gateway-*",
                "--set",
                sets,
                "--file",
                "/etc/hostname=hostname",
                "--cert",
                "publisher.pem",
                "--key",
                "file:publisher.key",
                "--out",
                "out",
                "--json",
            ],
        )
    };
    let json = assign("os").expect(0).json("touchstone.reference.assign/1");
    assert_eq!(json["assignment"]["sets"][0]["component"], "os");
    assert_eq!(json["assignment"]["add"][0]["digest"], sha256(b"gateway-7\n"));
    assign("sha256:00").expect(2);

    // What a set knows and these devices do not have.
    let mut old = Document::new("plant", "os", 1);
    old.file(&AwsLc, "/etc/old", b"old\n").unwrap();
    fs::write(here.path().join("old.json"), old.to_json()).unwrap();
    let what = ["--name", "line-b", "--device", "gateway-8", "--set", "os", "--version", "1"];
    let more = ["--remove", "old.json", "--out", "out", "--json", "--tenant", "plant"];
    let by = ["--cert", "publisher.pem", "--key", "file:publisher.key"];
    let ran = run(here.path(), &[&["reference", "assign"][..], &what, &more, &by].concat());
    let json = ran.expect(0).json("touchstone.reference.assign/1");
    assert_eq!(json["assignment"]["remove"][0]["digest"], sha256(b"old\n"), "{json}");
}

/// The lab's device, quoted by tpm2-tools.
fn lab(arguments: &[&str]) -> Option<(TempDir, Ran)> {
    let corpus = touchstone_peers::corpus("lab/tcb-secboot")?;
    let here = scene();
    for name in ["ak.quote.msg", "ak.quote.sig", "ak.quote.pcrs", "ak.pub"] {
        fs::copy(corpus.join(name), here.path().join(name)).unwrap();
    }
    let event_log = corpus.join("binary_bios_measurements").display().to_string();
    let list = corpus.join("binary_runtime_measurements").display().to_string();
    let quote =
        ["--quote", "ak.quote.msg", "--signature", "ak.quote.sig", "--pcrs", "ak.quote.pcrs"];
    let logs = ["--ak", "ak.pub", "--event-log", &event_log, "--ima-log", &list];
    let ran = build(here.path(), &[&quote[..], &logs[..], arguments].concat());
    Some((here, ran))
}

#[test]
fn what_a_good_device_proved_is_recorded_and_marked_so() {
    let Some((_here, ran)) = lab(&["--nonce", "6d6f63616e612d6e6f6e63652d303031"]) else { return };
    let json = ran.expect(0).json("touchstone.reference.build/1");
    let document = &json["document"];
    assert_eq!(document["values"].as_array().unwrap().len(), 0, "nobody released any of it");
    let recorded = document["recorded"].as_array().unwrap();
    let count = |kind: &str| recorded.iter().filter(|value| value["kind"] == kind).count();
    assert!(count("file") > 2000 && count("pcr") == 11 && count("boot-image") >= 3, "{recorded:?}");
    assert!(count("secure-boot-key") >= 3 && count("firmware") == 1);
    assert_eq!(json["recorded"].as_u64().unwrap(), recorded.len() as u64);

    let Some((_here, ran)) = lab(&["--nonce", "00"]) else { return };
    assert!(ran.expect(3).err.contains("the recorded boot is not proven"));
}

/// Nobody starts this kernel, but some stubs have the firmware measure it: it has to be a PE image.
static PARTS: LazyLock<[Part<'static>; 4]> = LazyLock::new(|| {
    [
        (".linux", "linux", fs::read(STUB).unwrap().leak()),
        (".cmdline", "cmdline", b"quiet console=ttyS0"),
        (".initrd", "initrd", &[0x5A; 9_001]),
        (".osrel", "osrel", b"ID=example\n"),
    ]
});

/// The registers that one image is told to lead to, by number.
fn told(json: &Value, pcr: u32) -> Vec<String> {
    let values = json["predicted"][0]["pcrs"][pcr.to_string()].as_array();
    values.into_iter().flatten().map(|value| value.as_str().unwrap().to_owned()).collect()
}

/// How many there are, but for the kernel in the image, which some versions of the stub have measured.
fn boot_images(json: &Value) -> usize {
    let values = json["document"]["values"].as_array().unwrap();
    let images = values.iter().filter(|value| value["kind"] == "boot-image");
    images.filter(|value| value["name"] != "kernel of image.efi").count()
}

#[test]
fn the_registers_of_a_unified_kernel_image_are_those_of_systemd_measure() {
    let here = scene();
    let here = here.path();
    unified_kernel_image(here, &*PARTS);
    for bank in ["sha1", "sha256", "sha384", "sha512"] {
        let how = ["--uki", "image.efi", "--bank", bank, "--phase", "sysinit", "--phase", "ready"];
        let json = build(here, &how).expect(0).json("touchstone.reference.build/1");
        let theirs =
            ["enter-initrd:leave-initrd:sysinit", "enter-initrd:leave-initrd:sysinit:ready"]
                .map(|phases| format!("{bank}:{}", systemd_measure(here, &*PARTS, phases, bank)));
        assert_eq!(told(&json, 11), theirs);
        // The stubs of some versions have the kernel in the image measured unless Secure Boot is on.
        let why = "whether the kernel in the image is measured depends on Secure Boot";
        let open = usize::from(json["predicted"][0]["not_told"]["4"] == why);
        for (pcr, values) in [(4, 1 - open), (12, 1), (13, 1)] {
            assert_eq!(told(&json, pcr).len(), values, "PCR {pcr}: {json}");
        }
        let values = json["document"]["values"].as_array().unwrap();
        let count = |kind: &str| values.iter().filter(|value| value["kind"] == kind).count();
        // Two of PCR 11, and one of 4, 12 and 13 each; 9 only where the stub adds nothing.
        assert_eq!(count("pcr"), 5 - open + told(&json, 9).len());
        assert_eq!((boot_images(&json), count("command-line")), (1, 1), "{values:?}");
    }
    let ran = build(here, &["--uki", "image.efi"]).expect(0);
    assert!(ran.err.contains("PCR 7 is not told: the variables of Secure Boot are not known"));
    let json = ran.json("touchstone.reference.build/1");
    let theirs = systemd_measure(here, &*PARTS, "", "sha256");
    assert_eq!(told(&json, 11), [format!("sha256:{theirs}")]);
    assert_eq!(told(&json, 7), [""; 0]);
    let ran = build(here, &["--uki", "image.efi", "--phase", "lunch"]).expect(2);
    assert!(ran.err.contains("give one of enter-initrd"), "{}", ran.err);
    let ran = build(here, &["--uki", "linux"]).expect(3);
    assert!(ran.err.contains("measure.image"), "{}", ran.err);
    build(here, &["--phase", "ready"]).expect(2);
}

/// A TPM into which these were measured, and the log of it.
struct Booted {
    tpm: Swtpm,
    log: Vec<u8>,
}

impl Booted {
    fn new() -> Self {
        let tpm = Swtpm::blank_tcp();
        tpm.tool(&["tpm2_createek", "-c", "ek.ctx", "-G", "ecc"]);
        tpm.tool(&["tpm2_flushcontext", "-t"]);
        let create = ["tpm2_createak", "-C", "ek.ctx", "-c", "ak.ctx", "-G", "ecc256"];
        tpm.tool(&[&create[..], &["-g", "sha256", "-s", "ecdsa", "-u", "ak.pub"]].concat());
        tpm.tool(&["tpm2_flushcontext", "-t"]);
        let log = rig("binary_bios_measurements");
        let header = 32 + EventLog::decode(&log).unwrap().events()[0].data.len();
        Self { tpm, log: log[..header].to_vec() }
    }

    /// What is measured, with the data that explains it as far as the firmware tells it.
    fn measure(&mut self, pcr: u32, kind: EventType, digest: &Digest, what: &str) {
        let explains = |data: &&[u8]| AwsLc.hash(HashAlgorithm::Sha256, &[data]) == *digest;
        let data = [what.as_bytes(), &[0; 4]].into_iter().find(explains).unwrap_or_default();
        self.tpm.tool(&["tpm2_pcrextend", &format!("{pcr}:sha256={}", digest.to_hex())]);
        for word in [pcr, kind.0, 1] {
            self.log.extend(word.to_le_bytes());
        }
        self.log.extend(HashAlgorithm::Sha256.tpm_id().to_le_bytes());
        self.log.extend(digest.as_bytes());
        self.log.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        self.log.extend(data);
    }

    /// How a verifier fares with it that has these reference values.
    fn appraised(&self, here: &Path, references: &str) -> Ran {
        let quote = ["tpm2_quote", "-c", "ak.ctx", "-g", "sha256", "-q", "00112233"];
        let over = ["-l", "sha256:0,1,2,3,4,5,6,7,8,9,11,12,13,14"];
        let out = ["-m", "q.msg", "-s", "q.sig", "-o", "q.pcrs"];
        self.tpm.tool(&[&quote[..], &over, &out].concat());
        self.tpm.tool(&["tpm2_flushcontext", "-t"]);
        for name in ["ak.pub", "q.msg", "q.sig", "q.pcrs"] {
            fs::write(here.join(name), self.tpm.read(name)).unwrap();
        }
        fs::write(here.join("log"), &self.log).unwrap();
        let quoted = ["--quote", "q.msg", "--signature", "q.sig", "--pcrs", "q.pcrs"];
        let whose = ["--ak", "ak.pub", "--nonce", "00112233", "--event-log", "log"];
        let by = ["--policy", "registers.policy", "--references", references];
        let signer = ["--signer", "publisher.pem", "--json"];
        run(here, &[&["appraise"][..], &quoted, &whose, &by, &signer].concat())
    }
}

#[test]
fn a_device_is_judged_by_the_registers_that_were_told_of_its_image() {
    let here = scene();
    let here = here.path();
    let policy = "policy registers version 1 schema 1\n\
        control registers { title \"as told\" severity critical \
        require boot.unexpected-pcrs is empty else executables contraindicated }\n\
        control images { title \"as released\" severity critical \
        require boot.unknown-images is empty and boot.unknown-measurements is empty \
        else executables contraindicated }\n\
        control line { title \"as released\" severity low \
        require boot.command-line in reference.command-lines else configuration warning }\n";
    fs::write(here.join("registers.policy"), policy).unwrap();
    unified_kernel_image(here, &*PARTS);
    for bank in ["sha256", "sha384"] {
        build(here, &["--uki", "image.efi", "--bank", bank]).expect(0);
        fs::rename(here.join("out"), here.join(bank)).unwrap();
    }
    let uki = fs::read(here.join("image.efi")).unwrap();
    let prediction = Boot::of(&uki).predict(&AwsLc, HashAlgorithm::Sha256).unwrap();
    let mut booted = Booted::new();
    for step in prediction.steps() {
        booted.measure(step.pcr, step.kind, &step.digest, &step.what);
    }
    let status = |ran: &Ran, at: usize| {
        let json = ran.json("touchstone.appraise/1");
        json["controls"][at]["status"].as_str().unwrap().to_owned()
    };
    let ran = booted.appraised(here, "sha256");
    assert!(ran.code < 2, "{}", ran.err);
    assert_eq!(status(&ran, 0), "passed", "{}", ran.out);
    assert_eq!(status(&ran, 1), "passed", "{}", ran.out);

    // Values of a bank that is not quoted are compared with nothing.
    let ran = booted.appraised(here, "sha384").expect(3);
    let words = "nothing to compare values of pcr with: the quote is of sha256";
    assert!(ran.err.contains(words), "{}", ran.err);

    // An extension beside the image, as the stub measures it.
    let extension = AwsLc.hash(HashAlgorithm::Sha256, &[b"an extension"]);
    booted.measure(13, EventType::IPL, &extension, "");
    let ran = booted.appraised(here, "sha256").expect(1);
    assert!(ran.out.contains("PCR 13 is sha256:"), "{}", ran.out);
    assert_eq!((status(&ran, 0), status(&ran, 1)), ("failed".into(), "failed".into()));
}

#[test]
fn shim_leaves_pcr_7_open() {
    let here = scene();
    let here = here.path();
    // The stub, passed off as shim: by its SBAT, or as an older one by what it tells its keys in.
    let mut stub = fs::read(STUB).unwrap();
    let at = stub.windows(8).position(|window| window == b"\nsystemd").unwrap();
    stub[at..at + 10].copy_from_slice(b"\nshim,4,ab");
    fs::write(here.join("new.efi"), stub).unwrap();
    let variable: Vec<u8> = "MokListRT".encode_utf16().flat_map(u16::to_le_bytes).collect();
    unified_kernel_image(here, &[(".vendor", "vendor", &variable)]);
    fs::rename(here.join("image.efi"), here.join("old.efi")).unwrap();
    unified_kernel_image(here, &*PARTS);
    for shim in ["new.efi", "old.efi"] {
        let how = ["--uki", "image.efi", "--loader", shim];
        let json = build(here, &how).expect(0).json("touchstone.reference.build/1");
        let not_told = &json["predicted"][0]["not_told"];
        assert!(not_told["7"].as_str().unwrap().contains("shim"), "{shim}: {not_told}");
        assert_eq!(boot_images(&json), 2);
    }
}

/// What the rig's device booted from: its variables are in its log, its certificates are our own.
#[test]
fn secure_boots_register_is_what_the_rigs_device_had() {
    let here = scene();
    let here = here.path();
    let log = EventLog::decode(&rig("binary_bios_measurements")).unwrap();
    for name in ["PK", "KEK", "db", "dbx"] {
        let mut events = log.events().iter();
        let content =
            events.find_map(|event| describe(event).variable(name).map(<[u8]>::to_vec)).unwrap();
        // db as efivarfs shows it, the others as signature lists.
        let attributes: &[u8] = if name == "db" { &[7, 0, 0, 0] } else { &[] };
        fs::write(here.join(name), [attributes, &content].concat()).unwrap();
    }
    for name in ["db", "kek"] {
        let certificate = Certificate::decode(&rig(&format!("secure-boot-{name}.der"))).unwrap();
        fs::write(here.join(format!("{name}.pem")), certificate.to_pem().unwrap()).unwrap();
    }
    unified_kernel_image(here, &*PARTS);
    let variables = ["pk=PK", "kek=KEK", "db=db", "dbx=dbx"];
    let given: Vec<&str> = variables.iter().flat_map(|of| ["--efi-variable", of]).collect();
    let with = |signed_by: &str, given: &[&str]| {
        build(here, &[&["--uki", "image.efi", "--signed-by", signed_by], given].concat())
    };
    let json = with("db.pem", &given).expect(0).json("touchstone.reference.build/1");
    let pcrs = String::from_utf8(rig("pcrs-sha256.txt")).unwrap();
    let held = pcrs.lines().nth(7).unwrap().split(' ').nth(1).unwrap();
    assert_eq!(told(&json, 7), [format!("sha256:{held}")]);

    let refused = with("kek.pem", &given).expect(3);
    assert!(refused.err.contains("reference.uki.signed-by"), "{}", refused.err);
    let missing = with("db.pem", &given[..6]).expect(2);
    assert!(missing.err.contains("`--efi-variable dbx=FILE` is missing"), "{}", missing.err);
    with("db.pem", &[&given[..], &["--efi-variable", "db=db"]].concat()).expect(2);
    with("db.pem", &[&given[..6], &["--efi-variable", "moklist=dbx"]].concat()).expect(2);
    let damaged = with("db.pem", &[&given[..6], &["--efi-variable", "dbx=db.pem"]].concat());
    assert!(damaged.expect(3).err.contains("reference.uki.variable"));
    build(here, &["--uki", "image.efi", "--signed-by", "db.pem"]).expect(2);
}

#[test]
fn a_set_is_exported_as_a_corim_and_comes_back() {
    let here = scene();
    let here = here.path();
    signer(here, "stranger");
    root(here);
    let by = ["--cert", "publisher.pem", "--key", "file:publisher.key", "--json"];
    deb(here, "xz");
    build(here, &["--dpkg", "pump.deb"]).expect(0);
    fs::rename(here.join("out"), here.join("pump.references")).unwrap();
    let export =
        |what: &[&str]| run(here, &[&["reference", "export", "corim"], what, &by].concat());
    let how = ["pump.references", "--signer", "publisher.pem", "--out", "pump.corim"];
    let json = export(&how).expect(0).json("touchstone.reference.export/1");
    assert_eq!((&json["version"], &json["left_out"]), (&7.into(), &serde_json::json!({})));
    let how = ["pump.corim", "--signer", "publisher.pem"];
    let json =
        with(here, &["import", "corim"], &how).expect(0).json("touchstone.reference.import/1");
    assert_eq!(files(&json).len(), 3);
    let json = run(here, &["reference", "show", "pump.references", "--json"]).expect(0);
    let pump = files(&json.json("touchstone.reference.show/1"));
    let back = run(here, &["reference", "show", "out", "--json"]).expect(0);
    assert_eq!(files(&back.json("touchstone.reference.show/1")), pump);

    let how = ["pump.references", "--signer", "stranger.pem", "--out", "no.corim"];
    assert!(export(&how).expect(3).err.contains("not signed by a trusted publisher"));
    build(here, &["--root", "root"]).expect(0);
    let how = ["out", "--signer", "publisher.pem", "--out", "no.corim"];
    let refused = export(&how).expect(3);
    assert!(refused.err.contains("no words for code as it is in memory (1)"), "{}", refused.err);
    assert!(!here.join("no.corim").exists());
    let ran = export(&[&how[..], &["--partly"]].concat()).expect(0);
    assert!(ran.err.contains("left out: code as it is in memory (1)"), "{}", ran.err);
}

/// Microsoft's own updates of dbx: certificates and digests of loaders with known holes.
#[test]
fn published_revocations_are_taken_over() {
    let Some(corpus) = touchstone_peers::corpus("secureboot") else { return };
    let here = scene();
    for (name, wanted) in [
        ("dbxupdate-2014-08-11.bin", 13),
        ("dbxupdate_x64-2020-10-12.bin", 186),
        ("dbxupdate_x64-2021-04-29.bin", 211),
    ] {
        let file = corpus.join(name);
        let how = ["--revocations", file.to_str().unwrap()];
        let json = with(here.path(), &["sign"], &how).expect(0).json("touchstone.reference.sign/1");
        let values = json["document"]["values"].as_array().unwrap();
        assert_eq!(values.len(), wanted, "{name}");
        assert!(values.iter().all(|value| value["database"] == "dbx"), "{name}");
    }
    fs::write(here.path().join("noise"), [7; 100]).unwrap();
    let refused = with(here.path(), &["sign"], &["--revocations", "noise"]).expect(3);
    assert!(refused.err.contains("references.revocations"), "{}", refused.err);
}
