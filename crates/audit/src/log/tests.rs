use super::*;
use crate::{Broken, Flaw};
use std::fs;
use touchstone_crypto_awslc::AwsLc;

fn open(path: &Path) -> Result<(Log, Recovery), Error> {
    Log::open(path, Arc::new(AwsLc), 1_000)
}

fn event(at: u64) -> Event {
    Event::new(Code::VerdictChanged, "plant", "device:17").with("at", at)
}

/// A log of three entries.
fn three() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (mut log, recovery) = open(&path).unwrap();
    assert_eq!(recovery, Recovery { entries: 0, torn: 0 });
    for at in 0..3 {
        assert_eq!(log.append(at, &event(at)).unwrap().seq, at + 1);
    }
    (folder, path)
}

fn check(path: &Path, known: Option<&Head>) -> Result<crate::Report, Broken> {
    match verify(File::open(path).unwrap(), &AwsLc, known) {
        Ok(report) => Ok(report),
        Err(Error::Broken(broken)) => Err(broken),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_log_goes_on_where_it_was() {
    let (_folder, path) = three();
    let (mut log, recovery) = open(&path).unwrap();
    assert_eq!(recovery, Recovery { entries: 3, torn: 0 });
    let entries = log.append_all(9, &[event(3), event(4)]).unwrap();
    assert_eq!(entries[1].seq, 5);
    let report = check(&path, Some(&entries[0].head())).unwrap();
    assert_eq!((report.entries, report.head, report.torn), (5, log.head(), 0));
    assert_eq!(log.append_all(9, &[]).unwrap(), []);
}

#[test]
fn a_torn_last_line_is_cut_and_the_log_says_so() {
    let (_folder, path) = three();
    let whole = fs::read(&path).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|c| *c == b'\n').unwrap() + 1;
    for end in last + 1..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let torn = u64::try_from(end - last).unwrap();
        assert_eq!(check(&path, None).unwrap().torn, torn);
        let (log, recovery) = open(&path).unwrap();
        assert_eq!(recovery, Recovery { entries: 2, torn });
        assert_eq!(log.head().seq, 3);
        drop(log);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().last().unwrap().contains("\"code\":\"audit.recovered\""), "{text}");
        assert_eq!(check(&path, None).unwrap().entries, 3);
    }
}

#[test]
fn a_changed_line_is_named() {
    let (_folder, path) = three();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"at\":\"1\"", "\"at\":\"7\"", 1)).unwrap();
    assert_eq!(check(&path, None), Err(Broken { line: 2, flaw: Flaw::Changed }));
    let refused = open(&path).err().unwrap();
    assert_eq!(refused.code(), "audit.line.changed");
    assert!(refused.to_string().starts_with("line 2: changed after it was written"));
}

#[test]
fn a_removed_line_is_named() {
    let (_folder, path) = three();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    fs::write(&path, format!("{}\n{}\n", lines[0], lines[2])).unwrap();
    let flaw = Flaw::Sequence { expected: 2, found: 3 };
    assert_eq!(check(&path, None), Err(Broken { line: 2, flaw }));
}

#[test]
fn a_replaced_line_breaks_the_one_after() {
    let (_folder, path) = three();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let first = Entry::decode(&AwsLc, lines[0].as_bytes()).unwrap();
    let forged = Entry::after(&first.head(), &AwsLc, 1, &event(99)).line();
    fs::write(&path, format!("{}\n{forged}\n{}\n", lines[0], lines[2])).unwrap();
    assert_eq!(check(&path, None), Err(Broken { line: 3, flaw: Flaw::Unchained }));
}

#[test]
fn a_cut_end_shows_to_whoever_knows_the_head() {
    let (_folder, path) = three();
    let known = check(&path, None).unwrap().head;
    let text = fs::read_to_string(&path).unwrap();
    let two: String = text.lines().take(2).flat_map(|line| [line, "\n"]).collect();
    fs::write(&path, &two).unwrap();
    assert!(check(&path, None).is_ok(), "nobody can tell without the head");
    assert_eq!(check(&path, Some(&known)), Err(Broken { line: 3, flaw: Flaw::CutOff { known } }));
    let (mut log, _) = open(&path).unwrap();
    log.append(5, &event(5)).unwrap();
    assert_eq!(
        check(&path, Some(&known)),
        Err(Broken { line: 3, flaw: Flaw::Rewritten { known } })
    );
}

#[test]
fn two_writers_are_one_too_many() {
    let (_folder, path) = three();
    let first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(Error::Locked)));
    drop(first);
    assert!(open(&path).is_ok());
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    // Every write to this device fails with "no space left".
    let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let path = PathBuf::from("/dev/full");
    let crypto: Arc<dyn Crypto> = Arc::new(AwsLc);
    let mut log = Log { file, path, crypto, head: Head::EMPTY, length: 0, stopped: false };
    let refused = log.append(1, &event(1)).unwrap_err();
    assert_eq!(refused.code(), "audit.io");
    // It cannot be cut either, so the log takes nothing more.
    assert!(matches!(log.append(2, &event(2)), Err(Error::Stopped)));
    assert_eq!(log.head(), Head::EMPTY);
}

#[test]
fn the_log_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = three();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_line_without_end_is_not_read_into_memory() {
    let endless = std::io::Read::take(std::io::repeat(b'a'), 1 << 30);
    let refused = verify(endless, &AwsLc, None).unwrap_err();
    assert_eq!(refused.code(), "audit.line.length");
}
