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

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use touchstone_system::errand::Errand;
use touchstone_system::initramfs::Initramfs;
use touchstone_system::interrupt::Scratch;
use touchstone_system::kernel::Kernel;
use touchstone_system::tools;
use touchstone_system::{bpf, programs, starts, verdict, watching};

/// bpffs is mounted by systemd elsewhere.
const BEFORE: &str = "\
mount -t bpf bpf /sys/fs/bpf
mkdir /tmp/verdict
tar -xf /verdict.tar -C /tmp/verdict
";

const DEEDS: &str = "\
touchstone-agent-watch
echo \"loaded $?\"
ls /sys/fs/bpf/touchstone
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
touchstone-events verdicts VERDICTS /tmp/verdict /bin/victim >/tmp/out/verdicts
touchstone-agent-watch --remove
echo \"removed $?\"
ls /sys/fs/bpf
mkdir -p /var/run
touchstone-events starts 20 5 /bin/nothing
";

/// How often each deed is done.
const ROUNDS: usize = 10;
/// And how often while a program takes all of the processor that it is given.
const BUSY: usize = 2;
/// And how often while agent, TPM and fleet are in the device.
const VERDICTS: usize = 10;

/// The device's clock counts instructions, of which it does 500 million in a second: what else the
/// machine is busy with does not count, and where the device sleeps the clock goes on at once.
const CLOCK: [&str; 2] = ["-icount", "shift=1,sleep=off"];

/// What was promised, in milliseconds.
const PROMISED: f64 = 50.0;
/// And how much more a start may take with the agent's programs at the kernel's LSM hooks, in percent.
const PROMISED_START: f64 = 1.0;

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
    for name in ["touchstone-agent", "touchstone-fleet"] {
        let program = programs().unwrap().join(name);
        initramfs.program(&program, &format!("/bin/{name}")).unwrap();
    }
    for (name, package) in [("auditd", "auditd"), ("auditctl", "auditd"), ("swtpm", "swtpm")] {
        let program = tools::find(name, package).unwrap();
        initramfs.program(&program, &format!("/bin/{name}")).unwrap();
    }
    let made = scratch.folder("verdict").unwrap();
    verdict::make(&made, Path::new("/tmp/verdict"), [8443, 8080, 8081]).unwrap();
    run(Command::new("tar").arg("-cf").arg(at("verdict.tar")).arg("-C").arg(&made).arg("."));
    initramfs.file("/verdict.tar", &std::fs::read(at("verdict.tar")).unwrap());
    initramfs.program(&folder.join("victim"), "/bin/victim").unwrap();
    // It has a loader, as most programs.
    let nothing = tools::find("true", "coreutils").unwrap();
    initramfs.program(&nothing, "/bin/nothing").unwrap();
    let object = std::fs::read(bpf::object().unwrap()).unwrap();
    initramfs.file(bpf::INSTALLED, &object);
    // Where the programs are, the rig looks for it.
    initramfs.file("/bin/watch.bpf.o", &object);
    let patience = Duration::from_mins(10);
    let errand = Errand { words, memory: 768, parts: &CLOCK, patience };
    errand.run(&folder, &kernel, initramfs, &[BEFORE, deeds].concat()).unwrap();
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
    let deeds = deeds.replace("VERDICTS", &VERDICTS.to_string());
    let (_scratch, folder) = boot("lsm=lockdown,yama,integrity,bpf", &deeds);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let (said, events) = (read("said"), read("events"));
    eprintln!("{said}\n{events}");
    assert_eq!(line(&said, "loaded"), ["0"]);
    assert_eq!(line(&said, "removed"), ["0"]);
    assert!(said.contains("module_loaded\n"), "{said}");

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
    verdicts_follow(&read("verdicts"));
    starts_are_cheap(&said);
}

/// From each deed to the record of the fleet's verdict: agent, TPM and fleet share the processor.
fn verdicts_follow(told: &str) {
    let mut took: Vec<(Duration, Vec<Duration>)> = Vec::new();
    for line in told.lines().filter_map(|line| line.strip_prefix("verdict ")) {
        let mut times = line.split_whitespace().skip(1);
        let mut time = || times.next().map(|it| Duration::from_micros(it.parse().unwrap()));
        let whole = time().unwrap();
        took.push((whole, std::iter::from_fn(time).collect()));
    }
    assert_eq!(took.len(), VERDICTS * verdict::DEEDS.len(), "{told}");
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    for (at, worker) in verdict::WORKERS.iter().enumerate() {
        let mut of: Vec<_> = took.iter().map(|(_, of)| of[at]).collect();
        of.sort_unstable();
        let middle = ms(watching::percentile(&of, 50));
        eprintln!("  of the processor's time before a verdict, {worker} has {middle:.1} ms");
    }
    let mut whole: Vec<_> = took.into_iter().map(|(whole, _)| whole).collect();
    whole.sort_unstable();
    let at = |percent| ms(watching::percentile(&whole, percent));
    let (middle, nine_of_ten, most) = (at(50), at(90), at(99));
    eprintln!(
        "{} deeds, verdict recorded within p50 {middle:.1} ms, p90 {nine_of_ten:.1} ms, p99 {most:.1} ms",
        whole.len()
    );
    assert!(nine_of_ten < PROMISED, "verdicts came late");
    // Now and then a deed comes while all code is looked at, or evidence is made of that.
    assert!(most < PROMISED * 2.0, "a verdict came very late");
}

/// What a start costs whoever is not looked at.
fn starts_are_cheap(said: &str) {
    for hook in starts::HOOKS {
        let times = line(said, &format!("starts {hook} "));
        let times: Vec<f64> = times.iter().map(|it| it.parse::<f64>().unwrap() / 1e3).collect();
        let (alone, with) = (times[0], times[2]);
        let more = (with / alone - 1.0) * 100.0;
        eprintln!("a start takes {alone:.1} us, with {hook} {with:.1} us, {more:.1} % more");
        assert!(hook != "lsm" || more < PROMISED_START, "the hooks cost a start too much");
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
