//! The rig's device boots, measures what it promises to measure, and can be touched; a manipulated
//! one is refused by its firmware, or boots without Secure Boot and cannot hide it.
//!
//! `TOUCHSTONE_CAPTURE=<folder>` writes down what the device measured, as in `tests/vectors/rig`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::ima;
use touchstone_measure::predict::{self, signature_data};
use touchstone_measure::tcg::{EventLog, SignatureDatabase};
use touchstone_system::device::{Boot, Device, HOST, Hardware, SecureBoot};
use touchstone_system::image::{BootImage, Recipe};
use touchstone_system::initramfs::{Initramfs, Service};
use touchstone_system::interrupt::Scratch;
use touchstone_system::kernel::Kernel;
use touchstone_system::sensor::CALIBRATION;
use touchstone_system::tpm::{EndorsementAuthority, Tpm};
use touchstone_system::varstore::SecureBootKeys;

const SHA256: HashAlgorithm = HashAlgorithm::Sha256;
const BOOT: Duration = Duration::from_mins(4);
const SENSOR: &str = env!("CARGO_BIN_EXE_touchstone-sensor-1");
const TPM_USERS: &str = env!("CARGO_BIN_EXE_touchstone-tpm-users");

struct Maker {
    scratch: Scratch,
    keys: SecureBootKeys,
    authority: EndorsementAuthority,
}

impl Maker {
    fn new() -> Self {
        let scratch = Scratch::new().unwrap();
        let keys = SecureBootKeys::generate("Example Works").unwrap();
        let authority = EndorsementAuthority::new(&scratch.folder("ek-ca").unwrap()).unwrap();
        Self { scratch, keys, authority }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn image(&self) -> BootImage {
        let kernel = Kernel::find().unwrap();
        let mut root = Initramfs::new(&kernel).unwrap();
        root.libraries_of(Path::new(SENSOR)).unwrap();
        root.libraries_of(Path::new(TPM_USERS)).unwrap();
        root.file("/etc/hostname", b"line-1\n");
        for service in [
            Service { name: "agent", command: "sh -c 'while true; do sleep 1; done'" },
            Service { name: "sensor", command: "/data/app/sensor" },
        ] {
            root.service(&service).unwrap();
        }
        root.write(&self.path("initrd")).unwrap();
        let recipe = Recipe {
            kernel: &kernel,
            initramfs: &self.path("initrd"),
            more_command_line: "example.mode=good",
        };
        BootImage::build(&recipe, &self.path("plain.efi")).unwrap()
    }

    fn assemble(&self, image: &BootImage, secure_boot: &SecureBoot<'_>) -> Hardware {
        let data = self.scratch.folder("data").unwrap();
        std::fs::create_dir_all(data.join("app")).unwrap();
        std::fs::copy(SENSOR, data.join("app/sensor")).unwrap();
        let tpm = Tpm::manufacture(&self.scratch.folder("tpm").unwrap(), &self.authority).unwrap();
        let folder = self.scratch.folder("device").unwrap();
        Hardware::assemble(&folder, image, secure_boot, &data, tpm).unwrap()
    }
}

#[test]
fn a_device_measures_its_boot_and_can_be_touched() {
    let maker = Maker::new();
    let image = maker.image().signed(&maker.keys, &maker.path("signed.efi")).unwrap();
    let hardware = maker.assemble(&image, &SecureBoot::On(&maker.keys));
    let device = hardware.power_on().unwrap();
    let took = device.wait_until_up(BOOT).unwrap();
    eprintln!("userspace after {:.1} s", took.as_secs_f32());

    assert_eq!(device.ask("uname -r").unwrap(), Kernel::find().unwrap().version);
    device.ask("test -c /dev/tpmrm0").unwrap();
    assert!(secure_boot_is_on(&device));
    services_come_back(&device);
    what_was_measured_is_what_was_promised(&device, &image);
    the_registers_are_those_that_were_told(&device, &image, &maker.keys);
    the_running_program_is_in_the_ima_list(&device);
    nftables_work_and_can_be_taken_back(&device);
    files_travel_whole(&device);
    many_use_the_tpm_at_once_and_leave_nothing(&device);
    a_running_program_can_be_patched(&device);
    assert!(device.shell("sleep 60", Duration::from_secs(1)).unwrap().status > 128);
    if let Some(folder) = std::env::var_os("TOUCHSTONE_CAPTURE") {
        capture(&device, &maker, &hardware, &image, Path::new(&folder));
    }

    device.ask("echo kept >/data/note").unwrap();
    device.power_off().unwrap();
    let device = hardware.power_on().unwrap();
    device.wait_until_up(BOOT).unwrap();
    assert_eq!(device.ask("cat /data/note").unwrap(), "kept");
    what_was_measured_is_what_was_promised(&device, &image);
}

#[test]
fn an_image_changed_after_signing_is_refused_by_the_firmware() {
    let maker = Maker::new();
    let signed = maker.image().signed(&maker.keys, &maker.path("signed.efi")).unwrap();
    let path = maker.path("tampered.efi");
    let tampered = signed.tampered("example.mode=good", "example.mode=evil", &path).unwrap();
    assert_ne!(tampered.measured().unwrap().image, signed.measured().unwrap().image);
    let hardware = maker.assemble(&tampered, &SecureBoot::On(&maker.keys));
    let device = hardware.power_on().unwrap();
    match device.boot(BOOT).unwrap() {
        Boot::Refused(line) => assert!(line.contains("Access Denied"), "{line}"),
        Boot::Up(after) => panic!("a tampered image booted in {after:?}"),
    }
}

#[test]
fn without_secure_boot_a_foreign_image_boots_and_cannot_hide_it() {
    let maker = Maker::new();
    let path = maker.path("tampered.efi");
    let foreign = maker.image().tampered("example.mode=good", "example.mode=evil", &path).unwrap();
    let hardware = maker.assemble(&foreign, &SecureBoot::Off);
    let device = hardware.power_on().unwrap();
    device.wait_until_up(BOOT).unwrap();
    assert!(device.ask("cat /proc/cmdline").unwrap().contains("example.mode=evil"));
    assert!(!secure_boot_is_on(&device));
    what_was_measured_is_what_was_promised(&device, &foreign);
}

fn secure_boot_is_on(device: &Device) -> bool {
    let variable = device
        .pull("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c")
        .unwrap();
    // Four bytes of attributes, then the value (UEFI §3.3).
    assert_eq!(variable.len(), 5);
    variable[4] == 1
}

fn services_come_back(device: &Device) {
    let agent = device.service("agent").unwrap();
    let script = format!(
        "kill -9 {agent}; for i in $(seq 50); do sleep 0.1; [ $(cat /run/agent.pid) != {agent} ] && \
         kill -0 $(cat /run/agent.pid) && exit 0; done; exit 1"
    );
    device.ask(&script).unwrap();
    assert_ne!(device.service("agent").unwrap(), agent);
}

/// The event log replays to the PCRs, and has the digests that the image's maker computed.
fn what_was_measured_is_what_was_promised(device: &Device, image: &BootImage) {
    let log = device.pull("/sys/kernel/security/tpm0/binary_bios_measurements").unwrap();
    let log = EventLog::decode(&log).unwrap();
    let pcrs = log.replay(&AwsLc, SHA256);
    let values = pcr_values(device);
    for pcr in (0..24).filter(|pcr| *pcr != 10) {
        let replayed = pcrs.value(pcr).unwrap().to_hex();
        assert_eq!(replayed, values[usize::try_from(pcr).unwrap()], "PCR {pcr}");
    }
    let found = |pcr: u32, what: &str, digest: &Digest| {
        let mut events = log.events().iter().filter(|event| event.pcr == pcr);
        let found = events.any(|event| event.digest(SHA256) == Some(*digest));
        assert!(found, "no event for {what} {}:\n{}", digest.to_hex(), listing(&log, pcr));
    };
    let measured = image.measured().unwrap();
    found(4, "the image", &measured.image);
    found(9, "the initramfs", &measured.initrd);
    found(9, "the command line", &measured.load_options);
    for (name, digest) in &measured.sections {
        if [".linux", ".cmdline", ".initrd"].contains(&name.as_str()) {
            found(11, name, digest);
        }
    }
    let mut expected: Vec<Digest> = measured.sections.iter().map(|(_, digest)| *digest).collect();
    let names = measured.sections.iter().map(|(name, _)| [name.as_bytes(), b"\0"].concat());
    expected.extend(names.map(|name| AwsLc.hash(SHA256, &[&name])));
    for event in log.events().iter().filter(|event| event.pcr == 11) {
        let digest = event.digest(SHA256).unwrap();
        assert!(expected.contains(&digest), "event {}:\n{}", event.index, listing(&log, 11));
    }
}

/// Told before the boot, from the signed image and the variables of Secure Boot: the values that the
/// TPM holds after it.
fn the_registers_are_those_that_were_told(
    device: &Device,
    image: &BootImage,
    keys: &SecureBootKeys,
) {
    const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
    const SECURITY: &str = "d719b2cb-3d3a-4596-a3bc-dad00e67656f";
    // Four bytes of attributes, then the content; a variable that does not exist has none.
    let variable = |name: &str, vendor: &str| {
        let path = format!("/sys/firmware/efi/efivars/{name}-{vendor}");
        device.pull(&path).map_or_else(|_| Vec::new(), |octets| octets[4..].to_vec())
    };
    let (pk, kek) = (variable("PK", GLOBAL), variable("KEK", GLOBAL));
    let (db, dbx) = (variable("db", SECURITY), variable("dbx", SECURITY));
    let database = SignatureDatabase::decode(&db).unwrap();
    let entry = database.entries.iter().find(|entry| entry.data == keys.db).unwrap();
    let entry = signature_data(entry.owner, &entry.data);
    let uki = std::fs::read(image.path()).unwrap();
    let mut boot = predict::Boot::of(&uki);
    boot.secure_boot = Some(predict::SecureBoot::on(&pk, &kek, &db, &dbx).verified_by_db(&entry));
    let prediction = boot.predict(&AwsLc, SHA256).unwrap();
    assert_eq!(prediction.unpredictable(), []);
    let held = pcr_values(device);
    for pcr in [4, 7, 9, 11, 12, 13] {
        let told = prediction.value(&AwsLc, pcr).unwrap().to_hex();
        assert_eq!(told, held[usize::try_from(pcr).unwrap()], "PCR {pcr}");
    }
}

fn listing(log: &EventLog, pcr: u32) -> String {
    let mut text = String::new();
    for event in log.events().iter().filter(|event| event.pcr == pcr) {
        let digest = event.digest(SHA256).map(|digest| digest.to_hex()).unwrap_or_default();
        let data = String::from_utf8_lossy(&event.data);
        writeln!(text, "{} {:?} {digest} {data:?}", event.index, event.kind).unwrap();
    }
    text
}

fn pcr_values(device: &Device) -> Vec<String> {
    let script = "cd /sys/class/tpm/tpm0/pcr-sha256; for i in $(seq 0 23); do cat $i; done";
    device.ask(script).unwrap().lines().map(str::to_ascii_lowercase).collect()
}

fn the_running_program_is_in_the_ima_list(device: &Device) {
    device.service("sensor").unwrap();
    let list = device.pull("/sys/kernel/security/ima/binary_runtime_measurements").unwrap();
    let list = ima::Log::decode(&list).unwrap();
    assert!(list.get(0).unwrap().is_boot_aggregate());
    let entry = list.entries().find(|entry| entry.path() == "/data/app/sensor").unwrap();
    let program = std::fs::read(SENSOR).unwrap();
    assert_eq!(entry.digest(), Some(AwsLc.hash(SHA256, &[&program])));
    assert_eq!(list.replay_pcr10(&AwsLc, SHA256).to_hex(), pcr_values(device)[10]);
}

fn nftables_work_and_can_be_taken_back(device: &Device) {
    let table = format!(
        "table inet touchstone {{ chain out {{ type filter hook output priority 0; policy drop; \
         oif lo accept; ct state established,related accept; ip daddr {HOST} tcp dport {{ 443, 8443 }} accept; \
         reject with tcp reset; }}\n chain in {{ type filter hook input priority 0; policy drop; \
         iif lo accept; ct state established accept; }}\n}}\n"
    );
    device.push(table.as_bytes(), "/run/quarantine.nft", false).unwrap();
    device.ask("nft -f /run/quarantine.nft").unwrap();
    assert!(device.ask("nft list ruleset").unwrap().contains("tcp dport { 443, 8443 } accept"));
    assert!(device.ask("nft -j list tables").unwrap().contains("touchstone"));
    device.ask("nft delete table inet touchstone").unwrap();
    assert_eq!(device.ask("nft list ruleset").unwrap(), "");
}

fn files_travel_whole(device: &Device) {
    let content: Vec<u8> =
        (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let start = std::time::Instant::now();
    device.push(&content, "/tmp/a folder/it's big", true).unwrap();
    let (pushed, start) = (start.elapsed(), std::time::Instant::now());
    assert_eq!(device.pull("/tmp/a folder/it's big").unwrap(), content);
    eprintln!("3 MB pushed in {pushed:?}, pulled in {:?}", start.elapsed());
    assert!(device.push(b"x", "/proc/nowhere/x", false).is_err());
    device.push(b"still here", "/tmp/whole", false).unwrap();
    assert_eq!(device.ask("cat /tmp/whole").unwrap(), "still here");
}

/// Through the kernel's resource manager; and what it hides from its users is looked for beside it.
fn many_use_the_tpm_at_once_and_leave_nothing(device: &Device) {
    const USERS: usize = 8;
    let stripped = tempfile::NamedTempFile::new().unwrap();
    let mut strip = Command::new("objcopy");
    strip.args(["--strip-all", TPM_USERS]).arg(stripped.path());
    assert!(strip.status().unwrap().success());
    let program = std::fs::read(stripped.path()).unwrap();
    device.push(&program, "/tmp/users", true).unwrap();
    let users = |arguments: &str| {
        let script = format!("/tmp/users {arguments}");
        let said = device.shell(&script, Duration::from_mins(1)).unwrap();
        assert_eq!(said.status, 0, "`{script}`: {}", said.text());
        said.text()
    };
    let start = std::time::Instant::now();
    let seen = users(&format!("/dev/tpmrm0 crowd {USERS} 3"));
    eprintln!("{USERS} users of the TPM: {} in {:?}", seen.trim(), start.elapsed());
    let right = 4 * 3 * USERS;
    let all = format!("objects: {}, sessions: {}, right: {right}", 2 * USERS, 2 * USERS);
    assert!(seen.contains(&all), "{seen}");
    users("/dev/tpm0 left");
    let limits = users("/dev/tpmrm0 limits");
    eprintln!("limits: {}, in {:?}", limits.trim().replace('\n', ", "), start.elapsed());
    assert!(limits.contains("objects for one") && limits.contains("sessions for all"), "{limits}");
    users("/dev/tpm0 left");

    // Killed in the middle of it, with all that is loaded and open.
    let kill = "/tmp/users /dev/tpmrm0 crowd 4 1000 & sleep 2; kill -9 $!; wait $!; [ $? = 137 ]";
    let said = device.shell(kill, Duration::from_secs(20)).unwrap();
    assert_eq!(said.status, 0, "{}", said.text());
    users("/dev/tpm0 left");
    users("/dev/tpmrm0 crowd 2 1");
    users("/dev/tpm0 left");
    eprintln!("killed and come back in {:?}", start.elapsed());
}

/// The attack of the demonstration: IMA saw the file, and does not see this.
fn a_running_program_can_be_patched(device: &Device) {
    let pid = device.service("sensor").unwrap();
    let maps = device.ask(&format!("cat /proc/{pid}/maps")).unwrap();
    let code = maps
        .lines()
        .find(|line| line.contains(" r-xp ") && line.ends_with("/data/app/sensor"))
        .unwrap();
    let (start, end) = code.split(' ').next().unwrap().split_once('-').unwrap();
    let start = u64::from_str_radix(start, 16).unwrap();
    let pages = (u64::from_str_radix(end, 16).unwrap() - start) / 4096;
    let memory = format!("/proc/{pid}/mem");
    let dump = format!("dd if={memory} of=/run/code bs=4096 skip={} count={pages}", start / 4096);
    device.ask(&dump).unwrap();
    let code = device.pull("/run/code").unwrap();
    let constant = CALIBRATION.to_le_bytes();
    let at = code.windows(4).position(|window| window == constant).unwrap() as u64;
    let patch = format!(
        r"printf '\001\002\003\004' | dd of={memory} bs=1 seek={} conv=notrunc",
        start + at
    );
    device.ask(&patch).unwrap();
    let back = format!("dd if={memory} bs=1 skip={} count=4 2>/dev/null | od -An -tx1", start + at);
    assert_eq!(device.ask(&back).unwrap(), "01 02 03 04");
    assert_eq!(device.service("sensor").unwrap(), pid);
}

fn capture(device: &Device, maker: &Maker, hardware: &Hardware, image: &BootImage, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let write = |name: &str, content: &[u8]| std::fs::write(folder.join(name), content).unwrap();
    let security = "/sys/kernel/security";
    let log = device.pull(&format!("{security}/tpm0/binary_bios_measurements")).unwrap();
    write("binary_bios_measurements", &log);
    let list = device.pull(&format!("{security}/ima/binary_runtime_measurements")).unwrap();
    write("binary_runtime_measurements", &list);
    let mut pcrs = String::new();
    for (pcr, value) in pcr_values(device).iter().enumerate() {
        writeln!(pcrs, "{pcr} {value}").unwrap();
    }
    write("pcrs-sha256.txt", pcrs.as_bytes());
    let certificates = hardware.tpm().certificates();
    write("ek-rsa2048.der", &certificates[0]);
    write("ek-ecc-p384.der", &certificates[1]);
    write("ek-chain.pem", maker.authority.chain_pem().unwrap().as_bytes());
    write("cmdline.txt", image.command_line().as_bytes());
    write("secure-boot-db.der", &maker.keys.db);
    write("secure-boot-kek.der", &maker.keys.kek);
    write("secure-boot-pk.der", &maker.keys.pk);
}
