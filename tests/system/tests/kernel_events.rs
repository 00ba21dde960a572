//! The agent's BPF programs in a real kernel: they are put in once by a program that ends, and from
//! then on the kernel tells of programs that start, of code that is made writable and executable
//! again, of a process that is taken hold of, and of a module; and what was done is found at once.
//! A kernel that does not let them in is told from one that does.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail loudly"
)]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use touchstone_system::initramfs::{Initramfs, Service};
use touchstone_system::interrupt::Scratch;
use touchstone_system::kernel::Kernel;
use touchstone_system::process::Launch;
use touchstone_system::tools;
use touchstone_system::{bpf, programs, watching};

/// Mounted by systemd elsewhere.
const BEFORE: &str = "\
mount -t bpf bpf /sys/fs/bpf
mkdir /tmp/out
exec >/tmp/out/said 2>&1
";
/// The disk is the first one that is no boot disk.
const AFTER: &str = "
tar -cf /dev/vda -C /tmp/out .
sync
poweroff -f
";

const DEEDS: &str = "\
touchstone-events starts none
touchstone-events starts fanotify
touchstone-agent-watch
echo \"loaded $?\"
ls /sys/fs/bpf/touchstone
touchstone-events starts none
touchstone-events follow 7200 >/tmp/out/events &
follower=$!
until grep -q follows /tmp/out/events; do sleep 0.1; done
nothing
for round in $(seq ROUNDS); do
    for deed in patch both inject own other; do
        victim $deed &
        sleep 2.5
    done
done
echo busy
(while :; do :; done) &
busy=$!
for round in $(seq BUSY); do
    for deed in patch both inject own other; do
        victim $deed &
        sleep 0.4
    done
done
kill $busy
rmmod nft_reject_inet
insmod /lib/modules/nft_reject_inet.ko
sleep 4
kill $follower
wait
touchstone-agent-watch --remove
echo \"removed $?\"
ls /sys/fs/bpf
mkdir -p /var/run
auditd -n -s enable -c /etc/audit &
auditor=$!
for wait in $(seq 50); do auditctl -s | grep -q \"pid $auditor\" || sleep 0.1; done
auditctl -a always,exit -F arch=b64 -S execve,execveat
touchstone-events starts audit
auditctl -D
kill $auditor
echo \"audited $(grep -c type=EXECVE /tmp/audit.log)\"
";

/// As distributions have it, but for the place.
const AUDITD: &str = "\
log_file = /tmp/audit.log
log_format = RAW
flush = INCREMENTAL_ASYNC
freq = 50
space_left = 2
admin_space_left = 1
disk_error_action = IGNORE
";

/// How often each deed is done.
const ROUNDS: usize = 10;
/// And how often while a program takes all of the processor that it is given.
const BUSY: usize = 2;

/// The device's clock counts instructions, of which it does 500 million in a second: what else the
/// machine is busy with does not count, and where the device sleeps the clock goes on at once.
const CLOCK: [&str; 2] = ["-icount", "shift=1,sleep=off"];

/// What was promised.
const PROMISED: f64 = 50.0;

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A PC without firmware of ours does these deeds; what it said, and what was told.
fn boot(words: &str, deeds: &str) -> (Scratch, PathBuf) {
    let scratch = Scratch::new().unwrap();
    let folder = scratch.folder("events").unwrap();
    let at = |name: &str| folder.join(name).display().to_string();
    watching::build_victim(&folder.join("victim")).unwrap();
    let kernel = Kernel::find().unwrap();
    let mut initramfs = Initramfs::new(&kernel).unwrap();
    let events = programs().unwrap().join("touchstone-events");
    let watch = programs().unwrap().join("touchstone-agent-watch");
    initramfs.program(&watch, "/bin/touchstone-agent-watch").unwrap();
    initramfs.program(&events, "/bin/touchstone-events").unwrap();
    for name in ["auditd", "auditctl"] {
        let program = tools::find(name, "auditd").unwrap();
        initramfs.program(&program, &format!("/bin/{name}")).unwrap();
    }
    initramfs.file("/etc/audit/auditd.conf", AUDITD.as_bytes());
    initramfs.program(&folder.join("victim"), "/bin/victim").unwrap();
    initramfs.program(&folder.join("victim"), "/bin/nothing").unwrap();
    initramfs.file(bpf::INSTALLED, &std::fs::read(bpf::object().unwrap()).unwrap());
    initramfs.file("/etc/deeds", [BEFORE, deeds, AFTER].concat().as_bytes());
    initramfs.service(&Service { name: "deeds", command: "sh /etc/deeds" }).unwrap();
    initramfs.write(&folder.join("initrd")).unwrap();
    std::fs::File::create(folder.join("out.img")).unwrap().set_len(8 << 20).unwrap();
    let qemu = tools::find("qemu-system-x86_64", "qemu-system-x86").unwrap();
    let drive = format!("if=none,id=out,format=raw,file={}", at("out.img"));
    let mut machine = Launch::new("qemu", qemu, at("qemu.log"))
        .args(["-machine", "q35,accel=tcg", "-cpu", "max", "-m", "512", "-no-reboot"])
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(CLOCK)
        .args(["-drive", &drive, "-device", "virtio-blk-pci,drive=out"])
        .args(["-serial", &format!("file:{}", at("console.log"))])
        .args(["-kernel", &kernel.image.display().to_string(), "-initrd", &at("initrd")])
        .args(["-append", &format!("console=ttyS0 {words}")])
        .start()
        .unwrap();
    machine.wait(Duration::from_mins(5)).unwrap_or_else(|error| {
        let console = std::fs::read(folder.join("console.log")).unwrap_or_default();
        panic!("{error:#}: {}", String::from_utf8_lossy(&console))
    });
    run(Command::new("tar").arg("-xf").arg(at("out.img")).arg("-C").arg(&folder));
    (scratch, folder)
}

/// The words of the first line that begins so, after those.
fn line<'a>(text: &'a str, begins: &str) -> Vec<&'a str> {
    let found = text.lines().find_map(|line| line.strip_prefix(begins));
    found.unwrap_or_else(|| panic!("no `{begins}` in\n{text}")).split_whitespace().collect()
}

#[test]
fn the_kernel_tells_at_once_and_what_was_done_is_found() {
    let deeds = DEEDS.replace("ROUNDS", &ROUNDS.to_string()).replace("BUSY", &BUSY.to_string());
    let (_scratch, folder) = boot("lsm=lockdown,yama,integrity,bpf", &deeds);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let (said, events) = (read("said"), read("events"));
    eprintln!("{said}\n{events}");
    assert_eq!(line(&said, "loaded"), ["0"]);
    assert_eq!(line(&said, "removed"), ["0"]);
    assert!(said.contains("module_loaded\n"), "{said}");

    // What it costs whoever is not looked at: the clock counts instructions, so that nothing else is in it.
    let starts = |how: &str| {
        let best = |line: &str| line.split_whitespace().next().unwrap().parse::<f64>().unwrap();
        said.lines().filter_map(|line| line.strip_prefix(how)).map(best).collect::<Vec<_>>()
    };
    let none = starts("starts none ");
    let (fanotify, audit) = (starts("starts fanotify ")[0], starts("starts audit ")[0]);
    eprintln!("a start of a program takes {} us", none[0]);
    for (how, with) in [("LSM hooks", none[1]), ("fanotify", fanotify), ("auditd", audit)] {
        eprintln!("  with {how} {with} us, {:.1} % more", (with / none[0] - 1.0) * 100.0);
    }
    assert!(line(&said, "audited")[0].parse::<u32>().unwrap() > 0, "auditd wrote what was started");

    assert!(events.lines().any(|it| it.starts_with("saw Started") && it.ends_with("/bin/nothing")));
    assert!(events.lines().any(|it| it.starts_with("saw Module")), "{events}");
    let (idle, busy) = said.split_once("\nbusy\n").unwrap();
    for (deed, ..) in watching::DEEDS {
        for (how, said, times) in [("idle", idle, ROUNDS), ("busy", busy, BUSY)] {
            let took = watching::latencies(deed, said, &events).unwrap();
            let at = |percent| watching::percentile(&took, percent).as_secs_f64() * 1e3;
            let (middle, most) = (at(50), at(99));
            eprintln!(
                "{deed}, {how}: {times} times, found within p50 {middle:.1} ms, p99 {most:.1} ms"
            );
            assert_eq!(took.len(), times);
            assert!(most < PROMISED, "{deed} was found late where the device is {how}");
        }
    }
}

#[test]
fn a_kernel_without_bpf_among_its_security_modules_says_so() {
    let deeds = "\
touchstone-agent-watch
echo \"loaded $?\"
ls /sys/fs/bpf
umount /sys/kernel/security
touchstone-agent-watch
echo \"again $?\"
ls /sys/fs/bpf
";
    let (_scratch, folder) = boot("lsm=lockdown,yama,integrity", deeds);
    let said = std::fs::read_to_string(folder.join("said")).unwrap();
    assert_eq!(line(&said, "loaded"), ["1"]);
    assert!(said.contains("add it to lsm= on the kernel's command line [agent.lsm.unlisted]"));
    // Whoever cannot be asked is found out: the programs are in, and the kernel does not call them.
    assert_eq!(line(&said, "again"), ["1"]);
    assert!(said.contains("[agent.lsm.silent]"), "{said}");
    assert!(!said.contains("\ntouchstone\n"), "nothing stays pinned: {said}");
}
