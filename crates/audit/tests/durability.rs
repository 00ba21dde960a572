//! A writer that is killed in mid-stream, and one whose disk is full: what it answered for is there.
//! The writer is this program itself, started again.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests fail loudly")]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use touchstone_audit::{Code, Event, Known, Log, parts, verify_parts};
use touchstone_crypto_awslc::AwsLc;

const WRITER: &str = "TOUCHSTONE_TEST_WRITER";
const ROUNDS: u64 = 100;

/// Not a test unless it is told where to write: appends until it is killed or the disk is full, and
/// says which entry it answered for last.
#[test]
fn writer() {
    let Some(path) = std::env::var_os(WRITER) else { return };
    let path = Path::new(&path);
    let (mut log, recovery) = Log::open(path, Arc::new(AwsLc), 1).unwrap();
    println!("\nopened {} {}", recovery.entries, recovery.torn);
    for round in 0.. {
        let events: Vec<_> = (0..=(round % 40)).map(|at| (round, event(at))).collect();
        if let Err(error) = log.append_all(&events) {
            println!("refused {} {}", log.head().seq, error.code());
            // The writer goes on, and so does the log once there is room again.
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        if round % 64 == 63 && log.begin_part(round).is_err() {
            println!("refused {} part", log.head().seq);
        }
        println!("acknowledged {}", log.head().seq);
    }
}

fn event(at: u64) -> Event {
    Event::new(Code::FlowCut, "plant", "device:17").with("at", at).with("room", "x".repeat(300))
}

fn start(path: &Path, shell: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let own = std::env::current_exe().unwrap();
    let mut child = Command::new("sh")
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(own)
        .args(["writer", "--exact", "--nocapture"])
        .env(WRITER, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    (child, said)
}

/// The whole log's number of entries, after it was verified from its first entry on.
fn verified(path: &Path) -> u64 {
    let older = parts(path).unwrap().into_iter().map(|part| part.path);
    let all = older.chain([path.to_owned()]).map(|path| File::open(path).unwrap());
    let report = verify_parts(all, &AwsLc, &Known::default()).unwrap();
    assert_eq!(report.first, 1);
    report.entries
}

#[test]
fn nothing_acknowledged_is_lost_to_a_hundred_sigkills() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (mut acknowledged, mut torn) = (0, 0);
    for round in 0..ROUNDS {
        let (mut child, said) = start(&path, "");
        let mut lines = said.lines().map(Result::unwrap);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(3_000 + 397 * (round * 7 % 50)));
            child.kill().unwrap();
            child.wait().unwrap();
        });
        for line in &mut lines {
            let mut words = line.split(' ');
            match words.next() {
                Some("opened") => {
                    let entries: u64 = words.next().unwrap().parse().unwrap();
                    torn += u64::from(words.next() != Some("0"));
                    assert!(entries + 4_000 >= acknowledged, "parts count from their start");
                }
                // The last line may have been cut by the kill itself: then it was not said.
                Some("acknowledged") => {
                    let seq = words.next().and_then(|seq| seq.parse().ok()).unwrap_or(0);
                    acknowledged = acknowledged.max(seq);
                }
                _ => {}
            }
        }
        killer.join().unwrap();
        if path.exists() {
            assert!(
                verified(&path) >= acknowledged,
                "round {round}: {acknowledged} was answered for"
            );
        }
    }
    assert!(acknowledged > ROUNDS, "the writer came to write: {acknowledged}");
    println!("{ROUNDS} kills, {acknowledged} entries acknowledged, {torn} torn ends recovered");
}

#[test]
fn a_full_disk_costs_nothing_that_was_acknowledged_and_the_log_goes_on_with_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    // The kernel refuses to let a file grow beyond 64 KiB, as it does on a full disk.
    let (mut child, said) = start(&path, "trap '' XFSZ; ulimit -f 128;");
    let mut acknowledged = 0;
    let mut refused = 0;
    for line in said.lines().map(Result::unwrap) {
        let seq = || line.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
        if line.starts_with("acknowledged") {
            acknowledged = seq();
        } else if line.starts_with("refused") {
            assert!(line.ends_with("audit.io"), "it is refused each time anew: {line}");
            assert_eq!(seq(), acknowledged, "what was refused left nothing behind");
            refused += 1;
            if refused == 5 {
                break;
            }
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(verified(&path), acknowledged);
    let (mut log, recovery) = Log::open(&path, Arc::new(AwsLc), 1).unwrap();
    assert_eq!((recovery.entries, recovery.torn), (acknowledged, 0));
    log.append(2, &event(0)).unwrap();
    assert_eq!(verified(&path), acknowledged + 1);
    std::io::stdout().flush().unwrap();
}
