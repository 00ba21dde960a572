//! Real collectors, killed in mid-stream; the sender, too. What was acknowledged is there, and where
//! nothing is acknowledged the log says what is in doubt.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "tests fail loudly"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;
use touchstone_audit::{Code, Entries, Event, Format, Head, Log, Reporter};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{AlternativeName, Certificate, Name};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_fleet::config::{Collector as Settings, Place, Protocol, Tls};
use touchstone_fleet::ship::{self, Pace, Route, Secure, Shipper};
use touchstone_fleet::store::{Db, Store};
use touchstone_peers::{Collector, Credentials};
use touchstone_settings::SecretReference;

const NAME: &str = "siem.test";
const SENDER: &str = "TOUCHSTONE_TEST_SENDER";
/// Events that are written together, and so flushed once.
const GROUP: u64 = 25;
/// Groups that are written for each kill.
const ROUNDS: u64 = 24;

/// A folder with a CA, a collector's certificate and a sender's.
struct Lab {
    folder: TempDir,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let (from, to) = (now.as_secs() - 60, now.as_secs() + 86_400);
        let key = || SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let name = |name| Name::common_name(name).unwrap();
        let root_key = key();
        let template = Template::new(Kind::Root, name("Root"), from, to);
        let root = template.self_sign(&AwsLc, &root_key).unwrap();
        let write =
            |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        write("root.pem", &root.to_pem().unwrap());
        for (kind, who) in [(Kind::Server, NAME), (Kind::Client, "fleet")] {
            let own = key();
            let issuer = Issuer::new(&root, &root_key).unwrap();
            let names = vec![AlternativeName::Dns(who.into())];
            let certificate: Certificate = Template::new(kind, name(who), from, to)
                .with_names(names)
                .issue(&AwsLc, &issuer, own.spki_der())
                .unwrap();
            write(&format!("{who}.pem"), &certificate.to_pem().unwrap());
            write(&format!("{who}.key"), &own.to_pkcs8_pem());
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn credentials(&self) -> Credentials {
        Credentials {
            roots: self.path("root.pem"),
            certificate: self.path(&format!("{NAME}.pem")),
            key: self.path(&format!("{NAME}.key")),
        }
    }
}

/// What a sender is told of a collector.
fn settings(folder: &Path, protocol: Protocol, format: Format, address: &str) -> Settings {
    let key: SecretReference =
        format!("file:{}", folder.join("fleet.key").display()).parse().unwrap();
    let secure = Tls {
        server_name: NAME.into(),
        roots: Some(folder.join("root.pem")),
        identity: Some((folder.join("fleet.pem"), key)),
    };
    let tls = (protocol != Protocol::Otlp).then_some(secure);
    let place = Place::Network { address: address.into(), path: "/v1/logs".into(), tls };
    Settings { name: "soc".into(), protocol, format, place, token: None }
}

fn shipper(folder: &Path, store: &Store, settings: &Settings) -> Shipper {
    let secure = match &settings.place {
        Place::Network { tls: Some(tls), .. } => Some(Secure::new(tls, &[], None).unwrap()),
        _ => None,
    };
    Shipper {
        store: store.clone(),
        log: folder.join("audit.jsonl"),
        name: settings.name.clone(),
        pace: Pace {
            first_pause: Duration::from_millis(2),
            longest_pause: Duration::from_millis(50),
            settles: Duration::from_millis(300),
        },
        route: Route::new(settings, Reporter::new("lab", "touchstone-fleet", "1", 7), secure)
            .unwrap(),
    }
}

/// Appends groups of events, with a clock that goes forwards and back, until it is told to end.
fn write(
    log: &mut Log,
    head: &watch::Sender<Head>,
    pause: Duration,
    end: &AtomicBool,
    ahead: &AtomicU64,
    told: impl Fn(u64),
) {
    let mut round = 0;
    while !end.load(Ordering::Relaxed) {
        if round >= ahead.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        let time = 1_800_000_000 + if round % 2 == 0 { round } else { 86_400 - round % 86_400 };
        let event = |at| {
            Event::new(Code::FlowCut, "plant", "device:17").with("at", at).with("name", "a\nb")
        };
        let events: Vec<_> = (0..GROUP).map(|at| (time, event(at))).collect();
        log.append_all(&events).unwrap();
        // A part begins with an entry of its own.
        if round % 200 == 199 {
            log.begin_part(time).unwrap();
        }
        told(log.head().seq);
        head.send_replace(log.head());
        round += 1;
        std::thread::sleep(pause);
    }
}

/// The hashes of every entry in the log.
fn written(folder: &Path) -> BTreeMap<String, u64> {
    let path = folder.join("audit.jsonl");
    let older = touchstone_audit::parts(&path).unwrap().into_iter().map(|part| part.path);
    let files = older.chain([path]).map(|path| std::fs::File::open(path).unwrap());
    files
        .flat_map(|file| Entries::new(file, &AwsLc).map(Result::unwrap))
        .map(|entry| (entry.hash().to_owned(), entry.seq))
        .collect()
}

/// What a collector wrote down: hashes, each with how often.
fn received(path: &Path) -> BTreeMap<String, u64> {
    let mut times = BTreeMap::new();
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    for line in text.lines() {
        let words = line.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() == 64);
        for word in words.collect::<BTreeSet<_>>() {
            *times.entry(word.to_owned()).or_default() += 1;
        }
    }
    times
}

fn missing(folder: &Path, collector: &Path) -> (usize, Vec<u64>, u64) {
    let (written, received) = (written(folder), received(collector));
    assert!(received.keys().all(|hash| written.contains_key(hash) || hash.len() == 64));
    let missing = written.iter().filter(|(hash, _)| !received.contains_key(*hash));
    let again = received.values().sum::<u64>() - received.len() as u64;
    (written.len(), missing.map(|(_, seq)| *seq).collect(), again)
}

/// Ships while the collector is killed `kills` times; what the log says is in doubt.
fn killed(
    lab: &Lab,
    settings: &Settings,
    mut collector: Collector,
    kills: u32,
) -> (Collector, Vec<(u64, u64)>) {
    let folder = lab.folder.path().to_owned();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut log, _) = Log::open(&folder.join("audit.jsonl"), Arc::new(AwsLc), 1).unwrap();
    let (head, news) = watch::channel(log.head());
    let store = Store::start(Db::in_memory("default").unwrap()).unwrap();
    let (stop, stopped) = watch::channel(false);
    runtime.spawn(shipper(&folder, &store, settings).run(news, stopped));
    let end = Arc::new(AtomicBool::new(false));
    let last = Arc::new(AtomicU64::new(0));
    // Rounds that may be written, so that a slow collector has an end to reach.
    let ahead = Arc::new(AtomicU64::new(ROUNDS));
    let writer = std::thread::spawn({
        let (end, last, ahead) = (Arc::clone(&end), Arc::clone(&last), Arc::clone(&ahead));
        move || {
            write(&mut log, &head, Duration::from_millis(4), &end, &ahead, |seq| {
                last.store(seq, Ordering::Relaxed);
            });
            head
        }
    });
    let size = |collector: &Collector| std::fs::metadata(&collector.received).unwrap().len();
    let grows = |collector: &Collector| {
        let before = size(collector);
        for _ in 0..10_000 {
            if size(collector) > before {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("nothing arrives: {}", std::fs::read_to_string(&collector.log).unwrap());
    };
    for kill in 0..kills {
        // In mid-stream: while it writes down what comes.
        grows(&collector);
        std::thread::sleep(Duration::from_micros(u64::from(kill * 137 % 5_000)));
        collector.kill();
        collector.start();
        ahead.fetch_add(ROUNDS, Ordering::Relaxed);
    }
    grows(&collector);
    end.store(true, Ordering::Relaxed);
    let _head = writer.join().unwrap();
    let last = last.load(Ordering::Relaxed);
    let reader = ship::reader(&settings.name);
    let done = async || {
        // Slow is not stuck: as long as something arrives, there is an end to reach.
        let (mut reached, mut idle) = (0, 0);
        while idle < 6_000 {
            let reader = reader.clone();
            let at = store.call(move |db| db.cursor(&reader)).await.unwrap();
            if at >= last {
                return;
            }
            (reached, idle) = if at > reached { (at, 0) } else { (reached, idle + 1) };
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let said = std::fs::read_to_string(&collector.log).unwrap();
        panic!("the collector did not get everything: {said}");
    };
    runtime.block_on(done());
    let events = runtime.block_on(store.call(|db| db.events_after(0, 10_000))).unwrap();
    stop.send_replace(true);
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let missed = events.iter().filter(|event| event.code == "audit.export.lost");
    let told =
        missed.map(|event| (number(&event.detail["from"]), number(&event.detail["to"]))).collect();
    (collector, told)
}

#[test]
fn rsyslog_over_relp_loses_nothing_in_a_hundred_kills() {
    let lab = Lab::new();
    let collector = Collector::relp(&lab.path("relp"), &lab.credentials());
    let settings = settings(lab.folder.path(), Protocol::Relp, Format::Rfc5424, &collector.address);
    let (collector, told) = killed(&lab, &settings, collector, 100);
    let (all, missing, again) = missing(lab.folder.path(), &collector.received);
    println!("{all} entries, 100 kills of rsyslogd: {} missing, {again} again", missing.len());
    assert_eq!(missing, Vec::<u64>::new());
    assert_eq!(told, [], "where there are acknowledgements, nothing is in doubt");
    assert!(all > 1_000, "{all}");
}

#[test]
fn otlp_loses_nothing_in_a_hundred_kills() {
    let lab = Lab::new();
    let collector = Collector::otlp(&lab.path("otlp"));
    let settings = settings(lab.folder.path(), Protocol::Otlp, Format::Otlp, &collector.address);
    let (collector, told) = killed(&lab, &settings, collector, 100);
    let (all, missing, again) = missing(lab.folder.path(), &collector.received);
    println!(
        "{all} entries, 100 kills of the OTLP receiver: {} missing, {again} again",
        missing.len()
    );
    let said = std::fs::read_to_string(&collector.log).unwrap();
    assert!(!said.contains("refused"), "{said}");
    assert_eq!(missing, Vec::<u64>::new());
    assert_eq!(told, []);
}

/// Over plain syslog the receiver may have read what it did not write down. Everything that is missing
/// is told of.
fn every_gap_is_told(lab: &Lab, collector: Collector, format: Format, kills: u32) {
    let settings = settings(lab.folder.path(), Protocol::Syslog, format, &collector.address);
    let (collector, told) = killed(lab, &settings, collector, kills);
    let (all, missing, again) = missing(lab.folder.path(), &collector.received);
    println!(
        "{all} entries, {kills} kills: {} missing, {again} again, {} times in doubt",
        missing.len(),
        told.len()
    );
    for seq in missing {
        assert!(told.iter().any(|(from, to)| (*from..=*to).contains(&seq)), "{seq}: {told:?}");
    }
    assert!(!told.is_empty(), "a kill in mid-stream leaves a doubt");
}

#[test]
fn rsyslog_over_tls_has_everything_or_the_log_tells_the_gap() {
    let lab = Lab::new();
    let collector = Collector::rsyslog(&lab.path("rsyslog"), &lab.credentials());
    every_gap_is_told(&lab, collector, Format::Rfc5424, 100);
}

#[test]
fn syslog_ng_over_tls_has_everything_or_the_log_tells_the_gap() {
    let lab = Lab::new();
    let collector = Collector::syslog_ng(&lab.path("syslog-ng"), &lab.credentials());
    every_gap_is_told(&lab, collector, Format::Cef, 100);
}

/// A disk of its own for a receiver, small enough to be filled.
struct Disk(PathBuf);

impl Disk {
    fn new(at: &Path) -> Self {
        std::fs::create_dir(at).unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m,mode=0755", "tmpfs"])
            .arg(at)
            .status()
            .unwrap();
        assert!(done.success(), "needs root, for a disk that can be filled");
        Self(at.to_owned())
    }

    /// Fills it to the last octet.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("ballast")).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(&self.0).status();
    }
}

/// Ships to a collector whose disk is full for a while. The last entry before that, and those that the
/// collector does not have in the end.
fn with_a_full_disk(
    lab: &Lab,
    disk: &Disk,
    settings: &Settings,
    collector: &Collector,
    stuck: bool,
) -> (u64, Vec<u64>) {
    let folder = lab.folder.path().to_owned();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut log, _) = Log::open(&folder.join("audit.jsonl"), Arc::new(AwsLc), 1).unwrap();
    let (head, news) = watch::channel(log.head());
    let store = Store::start(Db::in_memory("default").unwrap()).unwrap();
    let (_stop, stopped) = watch::channel(false);
    runtime.spawn(shipper(&folder, &store, settings).run(news, stopped));
    let cursor = || {
        let reader = ship::reader(&settings.name);
        runtime.block_on(store.call(move |db| db.cursor(&reader))).unwrap()
    };
    let mut append = |count: u64| {
        let event = |at| {
            Event::new(Code::FlowCut, "plant", "device:17").with("at", at).with("name", "a\nb")
        };
        let events: Vec<_> = (0..count).map(|at| (1_800_000_000, event(at))).collect();
        log.append_all(&events).unwrap();
        head.send_replace(log.head());
        log.head().seq
    };
    let reaches = |seq: u64| {
        (0..1_200).any(|_| {
            let reached = cursor() >= seq;
            if !reached {
                std::thread::sleep(Duration::from_millis(25));
            }
            reached
        })
    };
    let said = || std::fs::read_to_string(&collector.log).unwrap();
    let before = append(50);
    assert!(reaches(before), "{}", said());
    disk.fill();
    let last = append(400);
    if stuck {
        std::thread::sleep(Duration::from_secs(1));
        assert!(cursor() < last, "what is not on its disk is not acknowledged: {last}");
    } else {
        assert!(reaches(last), "{}", said());
    }
    disk.make_room();
    let end = append(10);
    assert!(reaches(end), "{} of {end}: {}", cursor(), said());
    let (all, missing, again) = missing(&folder, &collector.received);
    println!("{all} entries, a disk that was full: {} missing, {again} again", missing.len());
    (before, missing)
}

#[test]
fn an_otlp_receiver_with_a_full_disk_gets_everything_once_there_is_room() {
    let lab = Lab::new();
    let disk = Disk::new(&lab.path("disk"));
    let collector = Collector::otlp(&lab.path("disk/otlp"));
    let settings = settings(lab.folder.path(), Protocol::Otlp, Format::Otlp, &collector.address);
    let (_, missing) = with_a_full_disk(&lab, &disk, &settings, &collector, true);
    assert_eq!(missing, Vec::<u64>::new());
}

/// rsyslog's omfile counts a message as done that it could not write, so it acknowledges what it lost.
/// No sender can know; comparing the log with what it wrote does.
#[test]
fn rsyslog_with_a_full_disk_acknowledges_what_it_loses_and_comparing_shows_which() {
    let lab = Lab::new();
    let disk = Disk::new(&lab.path("disk"));
    let collector = Collector::relp(&lab.path("disk/relp"), &lab.credentials());
    let settings = settings(lab.folder.path(), Protocol::Relp, Format::Rfc5424, &collector.address);
    let (before, missing) = with_a_full_disk(&lab, &disk, &settings, &collector, false);
    assert!(!missing.is_empty() && missing.iter().all(|seq| *seq > before), "{missing:?}");
    let said = std::fs::read_to_string(&collector.log).unwrap();
    assert!(said.contains("No space left on device"), "{said}");
}

#[test]
fn rotel_reads_what_is_sent_to_it() {
    let lab = Lab::new();
    let collector = Collector::rotel(&lab.path("rotel"));
    let settings = settings(lab.folder.path(), Protocol::Otlp, Format::Otlp, &collector.address);
    let (collector, _) = killed(&lab, &settings, collector, 0);
    let text = std::fs::read_to_string(&collector.received).unwrap();
    for words in ["service.name: Str(touchstone-fleet)", "SEVERITY_NUMBER_WARN", "device:17"] {
        assert!(text.contains(words), "{words}: {}", &text[..2_000.min(text.len())]);
    }
}

/// Not a test unless it is told where: writes and ships until it is killed, and says which entry is
/// on its disk.
#[test]
fn sender() {
    let Some(told) = std::env::var_os(SENDER) else { return };
    let told = told.into_string().unwrap();
    let (folder, address) = told.split_once('|').unwrap();
    let folder = Path::new(folder);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut log, _) = Log::open(&folder.join("audit.jsonl"), Arc::new(AwsLc), 1).unwrap();
    let (head, news) = watch::channel(log.head());
    let store = Store::start(Db::open(&folder.join("fleet.db"), "default").unwrap()).unwrap();
    let (_stop, stopped) = watch::channel(false);
    let settings = settings(folder, Protocol::Relp, Format::Ocsf, address);
    runtime.spawn(shipper(folder, &store, &settings).run(news, stopped));
    let (end, ahead) = (AtomicBool::new(false), AtomicU64::new(u64::MAX));
    write(&mut log, &head, Duration::from_millis(4), &end, &ahead, |seq| {
        println!("\nwritten {seq}");
    });
}

#[test]
fn a_sender_that_is_killed_a_hundred_times_loses_nothing_either() {
    use std::io::{BufRead, BufReader};
    let lab = Lab::new();
    let collector = Collector::relp(&lab.path("relp"), &lab.credentials());
    let told = format!("{}|{}", lab.folder.path().display(), collector.address);
    let mut acknowledged = 0;
    for kill in 0..100 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["sender", "--exact", "--nocapture"])
            .env(SENDER, &told)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let said = said.lines().map_while(Result::ok);
        let mut written =
            said.filter_map(|line| line.strip_prefix("written ")?.parse::<u64>().ok());
        // However slow the machine is, so many are on the disk; then it is in the middle of something.
        let before = written.by_ref().take(3).last();
        std::thread::sleep(Duration::from_millis(kill * 7 % 20));
        child.kill().unwrap();
        acknowledged = written.last().or(before).expect("the sender writes");
        child.wait().unwrap();
    }
    // What is left goes out from where the last one was.
    let settings = settings(lab.folder.path(), Protocol::Relp, Format::Ocsf, &collector.address);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (log, _) = Log::open(&lab.path("audit.jsonl"), Arc::new(AwsLc), 1).unwrap();
    assert!(log.head().seq >= acknowledged, "{} of {acknowledged}", log.head().seq);
    let store = Store::start(Db::open(&lab.path("fleet.db"), "default").unwrap()).unwrap();
    let ((_head, news), (_stop, stopped)) = (watch::channel(log.head()), watch::channel(false));
    runtime.spawn(shipper(lab.folder.path(), &store, &settings).run(news, stopped));
    let reader = ship::reader(&settings.name);
    runtime.block_on(async {
        for _ in 0..6_000 {
            let reader = reader.clone();
            if store.call(move |db| db.cursor(&reader)).await.unwrap() >= log.head().seq {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the collector did not get everything");
    });
    let (all, missing, again) = missing(lab.folder.path(), &collector.received);
    println!("{all} entries, 100 kills of the sender: {} missing, {again} again", missing.len());
    assert_eq!(missing, Vec::<u64>::new());
    assert!(all > 1_000, "{all}");
}
