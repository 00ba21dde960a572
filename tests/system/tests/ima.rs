//! What a real kernel measures, template by template: a PC without firmware of ours boots the
//! distribution's kernel directly, with a TPM of four banks, and writes its lists and PCR values
//! onto a disk. Every list leads to every bank, in ASCII as in binary, and evmctl says so, too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

#[path = "ima/appended.rs"]
mod appended;
#[path = "ima/sealed.rs"]
mod sealed;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use touchstone_crypto::{Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::Pcrs;
use touchstone_measure::ima::signature::{Publishers, SignatureFault};
use touchstone_measure::ima::{
    BootAggregate, DigestKind, Entry, Extension, Field, Log, Subject, boot_aggregate,
};
use touchstone_system::initramfs::{Initramfs, Service};
use touchstone_system::interrupt::Scratch;
use touchstone_system::kernel::Kernel;
use touchstone_system::process::Launch;
use touchstone_system::tools;

/// The publisher's name.
const ACME: &str = "CN=Acme Firmware 2026";

/// What is measured: what root runs, maps and reads, but for what the kernel makes up itself.
const POLICY: &str = "\
dont_measure fsmagic=0x9fa0
dont_measure fsmagic=0x62656572
dont_measure fsmagic=0x64626720
dont_measure fsmagic=0x1021994
dont_measure fsmagic=0x858458f6
dont_measure fsmagic=0x1cd1
dont_measure fsmagic=0x73636673
measure func=BPRM_CHECK mask=MAY_EXEC
measure func=MMAP_CHECK mask=MAY_EXEC
measure func=FILE_CHECK mask=MAY_READ uid=0
";

/// What is measured beside files; always by the template `ima-buf`.
const BUFFERS: &str = "\
measure func=CRITICAL_DATA
measure func=KEY_CHECK
";

/// What is done on the device: run signed programs, read files, read one that is being written.
const DEEDS: &str = "\
BEFORE
cat /etc/ima/policy >/sys/kernel/security/ima/policy || echo 'no policy'
/data/bin/signed true
/data/bin/portable true
cat /data/text '/data/a name with spaces' >/dev/null
exec 3>>/data/log
cat /data/log >/dev/null
exec 3>&-
AFTER
mkdir /tmp/out
for bank in sha1 sha256 sha384 sha512; do
    for pcr in 0 1 2 3 4 5 6 7 8 9 10; do
        echo \"$bank $pcr $(cat /sys/class/tpm/tpm0/pcr-$bank/$pcr)\"
    done
done >/tmp/out/pcrs
cp /sys/kernel/security/ima/binary_runtime_measurements /tmp/out/binary
cp /sys/kernel/security/ima/ascii_runtime_measurements /tmp/out/ascii
tar -cf /dev/vda -C /tmp/out .
sync
poweroff -f
";

/// How a device is booted.
struct Run<'a> {
    kernel: Kernel,
    /// On the kernel's command line.
    words: &'a str,
    policy: &'a str,
    /// What is done before the policy counts.
    before: &'a str,
    /// And at the end.
    after: &'a str,
}

/// What came out.
struct Measured {
    folder: Scratch,
    log: Log,
    publishers: Publishers,
    banks: BTreeMap<HashAlgorithm, Pcrs>,
}

impl Measured {
    /// Boots with these words on the kernel's command line, and this policy.
    fn with(words: &str, policy: &str) -> Self {
        let kernel = Kernel::find().unwrap();
        Self::of_run(&Run { kernel, words, policy, before: "", after: "" })
    }

    fn of_run(run: &Run<'_>) -> Self {
        let scratch = Scratch::new().unwrap();
        let folder = scratch.folder("ima").unwrap();
        let publishers = publisher(&folder);
        data_disk(&folder, &run.kernel);
        boot(&folder, run);
        let said = std::fs::read(folder.join("console.log")).unwrap();
        let said = String::from_utf8_lossy(&said);
        assert!(!said.contains("no policy"), "the kernel does not take the policy: {said}");
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let log = Log::decode(&read("binary")).unwrap();
        let ascii = Log::decode_ascii(&AwsLc, &read("ascii")).unwrap();
        // The list in ASCII was copied a moment later.
        assert_eq!(ascii.octets()[..log.octets().len()], *log.octets());
        let banks = banks(&String::from_utf8(read("pcrs")).unwrap());
        let measured = Self { folder: scratch, log, publishers, banks };
        measured.leads_to_every_bank();
        measured.agrees_with_evmctl();
        measured
    }

    /// Which way each bank was extended.
    fn leads_to_every_bank(&self) {
        for (algorithm, pcrs) in &self.banks {
            let held = pcrs.value(10).unwrap();
            let prefix = self.log.prefix(&AwsLc, *algorithm, |value| *value == held);
            let prefix =
                prefix.unwrap_or_else(|| panic!("{algorithm}: the list does not lead to {held}"));
            assert!(prefix.quoted > 5 && prefix.left_over < 5, "{algorithm}: {prefix:?}");
            let hashed = matches!(algorithm, HashAlgorithm::Sha1 | HashAlgorithm::Sha256);
            // Debian's kernel has SHA-384 and SHA-512 as modules, which are not there so early.
            let allowed = prefix.extension == Extension::Hashed
                || (!hashed && prefix.extension == Extension::PaddedSha1Only);
            assert!(allowed, "{algorithm}: {prefix:?}");
        }
        let banks: Vec<&Pcrs> = self.banks.values().collect();
        let aggregate = boot_aggregate(&AwsLc, &self.log.get(0).unwrap(), &banks);
        assert!(matches!(aggregate, BootAggregate::Over { .. }), "{aggregate:?}");
    }

    fn agrees_with_evmctl(&self) {
        let path = self.folder.path().join("ima");
        let mut lines = String::new();
        for pcr in 0..11 {
            let value = self.banks[&HashAlgorithm::Sha256].value(pcr).unwrap();
            write!(lines, "PCR-{pcr:02}: ").unwrap();
            for octet in value.as_bytes() {
                write!(lines, "{octet:02x} ").unwrap();
            }
            lines.push('\n');
        }
        std::fs::write(path.join("pcrs-sha256"), lines).unwrap();
        let output = Command::new(tools::find("evmctl", "ima-evm-utils").unwrap())
            .args([
                "ima_measurement",
                "--ignore-violations",
                "--pcrs",
                "sha256,pcrs-sha256",
                "binary",
            ])
            .current_dir(&path)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        if self.log.entries().any(|entry| entry.violation && entry.digest().is_none()) {
            // This kernel puts no digest into violations, and evmctl takes the name for one.
            assert!(said.contains("file pathname is too long"), "evmctl reads them now: {said}");
            return;
        }
        assert!(said.contains("Matched per TPM bank calculated digest(s)."), "{said}");
    }

    fn of(&self, path: &str) -> Entry<'_> {
        let found = self.log.entries().find(|entry| entry.path() == path);
        found.unwrap_or_else(|| panic!("{path} was not measured"))
    }

    fn verdict(&self, path: &str) -> Result<String, SignatureFault> {
        let publisher = self.of(path).verify_signature(&AwsLc, &self.publishers)?;
        Ok(publisher.name().to_owned())
    }

    /// What every template says of files, buffers and violations.
    fn check(&self, template: &str, hash: HashAlgorithm) {
        let text = self.of("/data/text");
        assert_eq!(text.template.name(), template);
        assert_eq!(text.digest(), Some(digest(hash, b"text")));
        assert_eq!(text.explains(&AwsLc), Some(true));
        assert_eq!(self.of("/data/a_name_with_spaces").digest(), Some(digest(hash, b"spaces")));
        assert!(self.log.entries().any(|entry| entry.violation && entry.path() == "/data/log"));
    }

    /// The certificates of the keys that the kernel was built with.
    fn builtin_keys(&self) -> Vec<Vec<u8>> {
        let certificate = |entry: Entry<'_>| match entry.subject() {
            Subject::Key { keyring, certificate } => {
                let of_ours = keyring == ".builtin_trusted_keys"
                    && touchstone_certs::Certificate::decode(certificate).is_ok();
                of_ours.then(|| certificate.to_vec())
            }
            _ => None,
        };
        self.log.entries().filter_map(certificate).collect()
    }

    fn has_keys(&self) {
        assert!(!self.builtin_keys().is_empty(), "no key was measured");
    }
}

fn everything() -> String {
    [POLICY, BUFFERS].concat()
}

fn digest(hash: HashAlgorithm, content: &[u8]) -> Digest {
    touchstone_crypto::Crypto::hash(&AwsLc, hash, &[content])
}

fn run(program: &str, package: &str, folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(tools::find(program, package).unwrap())
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    output.stdout
}

/// A publisher with a key of its own.
fn publisher(folder: &Path) -> Publishers {
    let arguments = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "key.pem",
        "-out",
        "cert.der",
        "-outform",
        "DER",
        "-days",
        "9",
        "-subj",
        "/CN=Acme Firmware 2026",
    ];
    run("openssl", "openssl", folder, &arguments);
    let certificate = std::fs::read(folder.join("cert.der")).unwrap();
    Publishers::from_certificates(&AwsLc, [&certificate[..]]).unwrap()
}

/// The device's disk: two signed programs and some files.
fn data_disk(folder: &Path, kernel: &Kernel) {
    let data = folder.join("data");
    std::fs::create_dir_all(data.join("bin")).unwrap();
    let busybox = tools::find("busybox", "busybox-static").unwrap();
    for program in ["bin/signed", "bin/portable"] {
        std::fs::copy(&busybox, data.join(program)).unwrap();
    }
    for (name, content) in [("text", "text"), ("a name with spaces", "spaces"), ("log", "log")] {
        std::fs::write(data.join(name), content).unwrap();
    }
    std::fs::write(sealed::on_the_host(folder), sealed::CONTENT.repeat(2_000)).unwrap();
    let evmctl = |arguments: &[&str]| {
        let printed = run("evmctl", "ima-evm-utils", folder, arguments);
        unhex(String::from_utf8(printed).unwrap().trim())
    };
    let signed = evmctl(&["ima_sign", "-n", "--key", "key.pem", "data/bin/signed"]);
    let content = std::fs::read(&busybox).unwrap();
    let hash = [&[4, 4], digest(HashAlgorithm::Sha256, &content).as_bytes()].concat();
    let ima = hash.iter().fold("--ima=".to_owned(), |text, octet| text + &format!("{octet:02x}"));
    // evmctl reads the mode as a decimal number: 0o100755.
    let owner = ["--uid=0", "--gid=0", "--mode=33261", "--caps=", "--generation="];
    let sign = ["sign", "-n", "--portable", "--key", "key.pem", &ima];
    let portable = evmctl(&[&sign[..], &owner, &["data/bin/portable"]].concat());

    let sealed = sealed::signature(folder, &signed);
    appended::module(kernel, &data.join("module.ko"));

    let image = folder.join("data.img");
    std::fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
    // fs-verity wants blocks as large as pages.
    let arguments = ["-q", "-F", "-t", "ext4", "-O", "verity", "-b", "4096", "-E"];
    let arguments = [&arguments[..], &["root_owner=0:0", "-d", "data", "data.img"]].concat();
    run("mke2fs", "e2fsprogs", folder, &arguments);
    let owner = format!("set_inode_field {} uid {}", sealed::FILE, sealed::OWNER);
    run("debugfs", "e2fsprogs", folder, &["-w", "-R", &owner, "data.img"]);
    let attribute = format!("ea_set {} security.ima -f value", sealed::FILE);
    std::fs::write(folder.join("value"), sealed).unwrap();
    run("debugfs", "e2fsprogs", folder, &["-w", "-R", &attribute, "data.img"]);
    for (file, attribute, value) in [
        ("/bin/signed", "security.ima", signed),
        ("/bin/portable", "security.ima", hash),
        ("/bin/portable", "security.evm", portable),
    ] {
        std::fs::write(folder.join("value"), value).unwrap();
        for command in [
            format!("set_inode_field {file} uid 0"),
            format!("set_inode_field {file} gid 0"),
            format!("set_inode_field {file} mode 0100755"),
            format!("ea_set {file} {attribute} -f value"),
        ] {
            run("debugfs", "e2fsprogs", folder, &["-w", "-R", &command, "data.img"]);
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Boots the kernel, lets it do its deeds, and unpacks what it wrote.
fn boot(folder: &Path, run: &Run<'_>) {
    let words = run.words;
    let kernel = &run.kernel;
    let mut initramfs = Initramfs::new(kernel).unwrap();
    if run.before.contains("fsverity") {
        let fsverity = tools::find("fsverity", "fsverity").unwrap();
        initramfs.program(&fsverity, "/bin/fsverity").unwrap();
    }
    initramfs.file("/etc/ima/policy", run.policy.as_bytes());
    let deeds = DEEDS.replace("BEFORE", run.before).replace("AFTER", run.after);
    initramfs.file("/etc/ima/deeds", deeds.as_bytes());
    initramfs.service(&Service { name: "ima", command: "sh /etc/ima/deeds" }).unwrap();
    initramfs.write(&folder.join("initrd")).unwrap();
    std::fs::File::create(folder.join("out.img")).unwrap().set_len(16 << 20).unwrap();
    let at = |name: &str| folder.join(name).display().to_string();
    std::fs::create_dir(folder.join("tpm")).unwrap();
    // As it comes: all four banks are active.
    let swtpm = tools::find("swtpm", "swtpm").unwrap();
    let mut tpm = Launch::new("swtpm", swtpm, at("swtpm.log"))
        .args(["socket", "--tpm2", "--terminate", "--tpmstate", &format!("dir={}", at("tpm"))])
        .args(["--ctrl", &format!("type=unixio,path={}", at("tpm.sock"))])
        .start()
        .unwrap();
    let socket = folder.join("tpm.sock");
    tpm.wait_until("its socket", Duration::from_secs(30), |_| Ok(socket.exists())).unwrap();
    let drive = |id: &str, more: &str| {
        format!("if=none,id={id},format=raw,file={}{more}", at(&format!("{id}.img")))
    };
    let qemu = tools::find("qemu-system-x86_64", "qemu-system-x86").unwrap();
    let mut machine = Launch::new("qemu", qemu, at("qemu.log"))
        .args(["-machine", "q35,accel=tcg", "-cpu", "max", "-m", "512", "-no-reboot"])
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-chardev", &format!("socket,id=tpm,path={}", at("tpm.sock"))])
        .args(["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"])
        .args(["-drive", &drive("out", ""), "-device", "virtio-blk-pci,drive=out"])
        .args(["-drive", &drive("data", ""), "-device", "virtio-blk-pci,drive=data"])
        .args(["-serial", &format!("file:{}", at("console.log"))])
        .args(["-kernel", &kernel.image.display().to_string(), "-initrd", &at("initrd")])
        .args(["-append", &format!("console=ttyS0 audit=0 {words}")])
        .start()
        .unwrap();
    machine
        .wait(Duration::from_mins(5))
        .unwrap_or_else(|error| panic!("{error:#}: {}", console(&folder.join("console.log"))));
    self::run("tar", "tar", folder, &["-xf", "out.img"]);
}

fn console(path: &PathBuf) -> String {
    let said = std::fs::read(path).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    said.lines().rev().take(30).collect::<Vec<_>>().join("\n")
}

/// `<bank> <pcr> <value>` on each line.
fn banks(lines: &str) -> BTreeMap<HashAlgorithm, Pcrs> {
    let mut banks = BTreeMap::new();
    for line in lines.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [bank, pcr, value] = words[..] else { panic!("{line}") };
        let algorithm = HashAlgorithm::from_name(bank).unwrap();
        let value = Digest::new(algorithm, &unhex(value)).unwrap();
        let pcrs: &mut Pcrs = banks.entry(algorithm).or_insert_with(|| Pcrs::reset(algorithm));
        assert!(pcrs.set(pcr.parse().unwrap(), value));
    }
    assert_eq!(banks.len(), 4);
    banks
}

#[test]
fn signatures_and_typed_digests_of_a_kernel_are_read() {
    let measured = Measured::with("ima_template=ima-sigv2 ima_hash=sha256", &everything());
    measured.check("ima-sigv2", HashAlgorithm::Sha256);
    measured.has_keys();
    assert_eq!(measured.verdict("/data/bin/signed"), Ok(ACME.to_owned()));
    // Its metadata is in no field of this template.
    assert_eq!(measured.verdict("/data/bin/portable"), Err(SignatureFault::NoMetadata));
    assert_eq!(measured.verdict("/data/text"), Err(SignatureFault::Absent));
    assert_eq!(measured.of("/data/text").file_digest().unwrap().kind, DigestKind::Content);
}

#[test]
fn the_metadata_of_a_kernel_s_entries_is_what_was_signed() {
    let measured = Measured::with("ima_template=evm-sig ima_hash=sha256", &everything());
    measured.check("evm-sig", HashAlgorithm::Sha256);
    assert_eq!(measured.verdict("/data/bin/portable"), Ok(ACME.to_owned()));
    assert_eq!(measured.verdict("/data/bin/signed"), Err(SignatureFault::Absent));
    assert_eq!(measured.of("/data/bin/portable").number(Field::Mode), Some(0o100_755));
}

#[test]
fn a_custom_template_and_long_digests_of_a_kernel_are_read() {
    // Its hash is that of no program: the kernel hashes with it whatever is not signed otherwise.
    let format = "d-ng|n-ng|imode|iuid|sig";
    let measured =
        Measured::with(&format!("ima_template_fmt={format} ima_hash=sha1"), &everything());
    measured.check(format, HashAlgorithm::Sha1);
    let signed = measured.of("/data/bin/signed");
    assert_eq!((signed.number(Field::Mode), signed.number(Field::Uid)), (Some(0o100_755), Some(0)));
    // What is signed is hashed as its signature says.
    assert_eq!(measured.verdict("/data/bin/signed"), Ok(ACME.to_owned()));
}

#[test]
fn the_template_for_appended_signatures_is_read_where_there_are_none() {
    let measured = Measured::with("ima_template=ima-modsig ima_hash=sha256", &everything());
    measured.check("ima-modsig", HashAlgorithm::Sha256);
    assert_eq!(measured.verdict("/data/bin/signed"), Ok(ACME.to_owned()));
    assert_eq!(measured.of("/data/text").field(Field::Modsig), Some(&[][..]));
    assert_eq!(measured.of("/data/text").modsig_digest(), None);
}

#[test]
fn the_original_template_of_a_kernel_is_read() {
    let measured = Measured::with("ima_template=ima ima_hash=sha1", POLICY);
    // evmctl takes no lists that mix it with others, so no buffers are measured.
    measured.check("ima", HashAlgorithm::Sha1);
}

#[test]
fn typed_digests_of_a_kernel_without_signatures_are_read() {
    let measured = Measured::with("ima_template=ima-ngv2 ima_hash=sha256", &everything());
    measured.check("ima-ngv2", HashAlgorithm::Sha256);
    measured.has_keys();
    assert_eq!(measured.of("/data/text").file_digest().unwrap().kind, DigestKind::Content);
    // The template has no field for what is there.
    assert_eq!(measured.verdict("/data/bin/signed"), Err(SignatureFault::Absent));
}

/// A kernel that has SHA-512 only as a module, as Debian's, says so and takes its default instead.
#[test]
fn files_that_a_kernel_hashed_with_sha512_are_read() {
    let measured = Measured::with("ima_template=ima-ng ima_hash=sha512", &everything());
    let console = std::fs::read(measured.folder.path().join("ima/console.log")).unwrap();
    let console = String::from_utf8_lossy(&console).into_owned();
    let hash = if console.contains("going to use default hash algorithm") {
        HashAlgorithm::Sha256
    } else {
        HashAlgorithm::Sha512
    };
    measured.check("ima-ng", hash);
}
