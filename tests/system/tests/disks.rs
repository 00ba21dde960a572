//! What disks say of their own health, beside what smartctl and nvme-cli read of the same disks: a SATA
//! disk and two NVMe drives, one of which warns, in a PC that QEMU plays.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests fail loudly")]

use std::time::Duration;
use touchstone_system::errand::Errand;
use touchstone_system::initramfs::Initramfs;
use touchstone_system::interrupt::Scratch;
use touchstone_system::kernel::Kernel;
use touchstone_system::{programs, tools};

const DEEDS: &str = "\
for module in $(cat /lib/modules/disks); do insmod /lib/modules/$module.ko; done
until [ -b /dev/sda ] && [ -b /dev/nvme0n1 ] && [ -b /dev/nvme1n1 ]; do sleep 0.2; done
touchstone-observe operation.disk-health
echo without
/sbin/setpriv --bounding-set=-sys_admin,-sys_rawio touchstone-observe operation.disk-health
echo off
smartctl --smart=off /dev/sda
touchstone-observe operation.disk-health
smartctl --smart=on /dev/sda
echo peers
smartctl --health /dev/sda
nvme smart-log /dev/nvme0 | grep critical_warning
nvme smart-log /dev/nvme1 | grep critical_warning
";

#[test]
fn every_disk_is_asked_for_its_health_and_says_what_others_read() {
    let scratch = Scratch::new().unwrap();
    let folder = scratch.folder("disks").unwrap();
    let kernel = Kernel::find().unwrap();
    let mut initramfs = Initramfs::new(&kernel).unwrap();
    initramfs.disks(&kernel).unwrap();
    let observe = programs().unwrap().join("touchstone-observe");
    initramfs.program(&observe, "/bin/touchstone-observe").unwrap();
    for (name, package) in
        [("smartctl", "smartmontools"), ("nvme", "nvme-cli"), ("setpriv", "util-linux")]
    {
        let program = tools::find(name, package).unwrap();
        initramfs.program(&program, &format!("/sbin/{name}")).unwrap();
    }
    for name in ["sata", "good", "warns"] {
        std::fs::File::create(folder.join(name)).unwrap().set_len(8 << 20).unwrap();
    }
    let drive =
        |name: &str| format!("if=none,id={name},format=raw,file={}", folder.join(name).display());
    let (sata, good, warns) = (drive("sata"), drive("good"), drive("warns"));
    #[rustfmt::skip]
    let parts = [
        "-drive", &sata, "-device", "ide-hd,bus=ide.0,drive=sata",
        "-drive", &good, "-device", "nvme,serial=good,drive=good",
        // Its reliability has suffered, and it can only be read.
        "-drive", &warns, "-device", "nvme,serial=warns,drive=warns,smart_critical_warning=12",
    ];
    let patience = Duration::from_mins(5);
    let errand = Errand { words: "", memory: 512, parts: &parts, patience };
    errand.run(&folder, &kernel, initramfs, DEEDS).unwrap();
    let said = std::fs::read_to_string(folder.join("said")).unwrap();
    eprintln!("{said}");
    let disks = |said: &str| -> Vec<String> {
        let told = said.lines().filter_map(|line| line.strip_prefix("operation.disk-health: "));
        told.filter(|disk| !disk.starts_with("vd")).map(str::to_owned).collect()
    };
    let (privileged, said) = said.split_once("\nwithout\n").unwrap();
    let (without, said) = said.split_once("\noff\n").unwrap();
    let (off, peers) = said.split_once("\npeers\n").unwrap();
    let warns = "it is no longer reliable; it can only be read";
    let good = "nvme0n1 | nvme | good | ".to_owned();
    let failing = format!("nvme1n1 | nvme | failing | {warns}");
    assert_eq!(disks(privileged), [&good, &failing, "sda | ata | good | "]);
    let lacks = |disk: &str, kind: &str, capability: &str| {
        let why = "it may not be asked for its health: the agent lacks";
        format!("{disk} | {kind} | untold | {why} CAP_SYS_{capability}")
    };
    assert_eq!(
        disks(without),
        [
            lacks("nvme0n1", "nvme", "ADMIN"),
            lacks("nvme1n1", "nvme", "ADMIN"),
            lacks("sda", "ata", "RAWIO")
        ]
    );
    let [_, _, sata] = &disks(off)[..] else { panic!("{off}") };
    assert!(sata.contains("| untold | it does not tell its health: SMART is off"), "{sata}");

    assert!(peers.contains("self-assessment test result: PASSED"), "{peers}");
    let warnings: Vec<&str> = peers
        .lines()
        .filter_map(|line| Some(line.strip_prefix("critical_warning")?.split_once(':')?.1.trim()))
        .collect();
    assert_eq!(warnings, ["0", "0xc"]);
}
