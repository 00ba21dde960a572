//! What an audit log costs: events a second and the price of a flush, beside rsyslogd, which writes the
//! same events to the same disk in the same run.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints and fails loudly")]

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use touchstone_audit::{Code, Event, Format, Known, Log, Reporter, frame, verify};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::Collector;

const EVENTS: usize = 20_000;
const ROUNDS: u32 = 3;

fn main() {
    // Beside the target folder: /tmp may be memory, where a flush costs nothing.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let flush = best(|| flushed(folder.path()));
    println!("an fdatasync after 500 octets takes {:.2} ms", millis(flush));
    println!("{EVENTS} events, best of {ROUNDS}, events a second:");
    let theirs = best(|| rsyslog(folder.path(), 1024, true));
    let mut group = 1024;
    let ours = best(|| append(folder.path(), group, EVENTS));
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    println!(
        "  groups of 1024, each flushed: {:>8.0}, rsyslogd {:>8.0}: {ratio:.2} times as many",
        rate(EVENTS, ours),
        rate(EVENTS, theirs)
    );
    let unflushed = best(|| rsyslog(folder.path(), 1024, false));
    println!("  rsyslogd without a flush:     {:>8.0}", rate(EVENTS, unflushed));
    let few = 2_000;
    for size in [1, 16, 128] {
        group = size;
        let took = best(|| append(folder.path(), group, few));
        println!("  groups of {size:>4}, each flushed: {:>8.0}", rate(few, took));
    }
    let log = folder.path().join("audit.jsonl");
    let verified = best(|| {
        let began = Instant::now();
        verify(File::open(&log).unwrap(), &AwsLc, &Known::default()).unwrap();
        began.elapsed()
    });
    println!("  verified:                     {:>8.0}", rate(few, verified));
    let entry = Log::open(&folder.path().join("one.jsonl"), Arc::new(AwsLc), 1)
        .unwrap()
        .0
        .append(1, &event(1))
        .unwrap();
    let reporter = Reporter::new("fleet.example", "touchstone-fleet", "1", 1);
    for format in Format::ALL {
        let took = best(|| {
            let began = Instant::now();
            for _ in 0..few {
                black_box(reporter.encode(*format, black_box(&entry)));
            }
            began.elapsed()
        });
        println!("  encoded as {:<8}            {:>8.0}", format.name(), rate(few, took));
    }
}

fn event(at: usize) -> Event {
    Event::new(Code::VerdictChanged, "plant", "device:dev-17")
        .with("from", "affirming")
        .with("tier", "contraindicated")
        .with("message", "the program text of a process is not what its file says")
        .with("event", at)
}

fn append(folder: &Path, group: usize, events: usize) -> Duration {
    let path = folder.join("audit.jsonl");
    let _ = std::fs::remove_file(&path);
    let (mut log, _) = Log::open(&path, Arc::new(AwsLc), 1).unwrap();
    let all: Vec<(u64, Event)> = (0..events).map(|at| (1, event(at))).collect();
    let began = Instant::now();
    for group in all.chunks(group) {
        log.append_all(group).unwrap();
    }
    began.elapsed()
}

/// rsyslogd takes the events over TCP and writes them to a file, in batches.
fn rsyslog(folder: &Path, batch: usize, sync: bool) -> Duration {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let collector = Collector::rsyslog_plain(folder.path(), batch, sync);
    let (mut log, _) = Log::open(&folder.path().join("log"), Arc::new(AwsLc), 1).unwrap();
    let entry = log.append(1, &event(1)).unwrap();
    let message =
        Reporter::new("fleet.example", "touchstone-fleet", "1", 1).encode(Format::Rfc5424, &entry);
    let frames: Vec<u8> = std::iter::repeat_n(frame(&message), EVENTS).flatten().collect();
    let mut stream = TcpStream::connect(&collector.address).unwrap();
    let began = Instant::now();
    stream.write_all(&frames).unwrap();
    let whole = u64::try_from((message.len() + 1) * EVENTS).unwrap();
    while std::fs::metadata(&collector.received).unwrap().len() < whole {
        assert!(began.elapsed() < Duration::from_mins(2), "rsyslogd does not keep up");
        std::thread::sleep(Duration::from_micros(500));
    }
    began.elapsed()
}

fn flushed(folder: &Path) -> Duration {
    let mut file = File::create(folder.join("flush")).unwrap();
    let times = 50;
    let began = Instant::now();
    for _ in 0..times {
        file.write_all(&[b'x'; 500]).unwrap();
        file.sync_data().unwrap();
    }
    began.elapsed() / times
}

fn best(mut run: impl FnMut() -> Duration) -> Duration {
    (0..ROUNDS).map(|_| run()).min().unwrap()
}

fn rate(events: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(events).unwrap()) / took.as_secs_f64()
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}
