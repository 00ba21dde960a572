use super::*;
use crate::{Broken, CheckpointFault, Flaw, LogKey, verify};
use std::fs;
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

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
    judge(path, &Known { head: known.copied(), ..Known::default() })
}

fn judge(path: &Path, known: &Known<'_>) -> Result<crate::Report, Broken> {
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
    let entries = log.append_all(&[(9, event(3)), (9, event(4))]).unwrap();
    assert_eq!(entries[1].seq, 5);
    let report = check(&path, Some(&entries[0].head())).unwrap();
    assert_eq!((report.entries, report.head, report.torn), (5, log.head(), 0));
    assert_eq!(log.append_all(&[]).unwrap(), []);
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
    assert_eq!(check(&path, None), Err(Broken { part: 0, line: 2, flaw: Flaw::Changed }));
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
    assert_eq!(check(&path, None), Err(Broken { part: 0, line: 2, flaw }));
}

#[test]
fn a_replaced_line_breaks_the_one_after() {
    let (_folder, path) = three();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let first = Entry::decode(&AwsLc, lines[0].as_bytes()).unwrap();
    let forged = Entry::after(&first.head(), &AwsLc, 1, &event(99)).line();
    fs::write(&path, format!("{}\n{forged}\n{}\n", lines[0], lines[2])).unwrap();
    assert_eq!(check(&path, None), Err(Broken { part: 0, line: 3, flaw: Flaw::Unchained }));
}

#[test]
fn a_cut_end_shows_to_whoever_knows_the_head() {
    let (_folder, path) = three();
    let known = check(&path, None).unwrap().head;
    let text = fs::read_to_string(&path).unwrap();
    let two: String = text.lines().take(2).flat_map(|line| [line, "\n"]).collect();
    fs::write(&path, &two).unwrap();
    assert!(check(&path, None).is_ok(), "nobody can tell without the head");
    assert_eq!(
        check(&path, Some(&known)),
        Err(Broken { part: 0, line: 3, flaw: Flaw::CutOff { known } })
    );
    let (mut log, _) = open(&path).unwrap();
    log.append(5, &event(5)).unwrap();
    assert_eq!(
        check(&path, Some(&known)),
        Err(Broken { part: 0, line: 3, flaw: Flaw::Rewritten { known } })
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
    let (head, tree, unsigned) = (Head::EMPTY, Tree::new(), Unsigned::default());
    let (first, signed, length, stopped) = (1, 0, 0, false);
    let mut log = Log { file, path, crypto, head, tree, first, signed, unsigned, length, stopped };
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
    let refused = verify(endless, &AwsLc, &Known::default()).unwrap_err();
    assert_eq!(refused.code(), "audit.line.length");
}

fn notary() -> Notary {
    let signer = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    Notary::new(&AwsLc, "plant.example/audit", Arc::new(signer)).unwrap()
}

/// A log of seven entries whose head was signed twice: after the first three and before the last.
fn signed(notary: &Notary) -> (tempfile::TempDir, PathBuf) {
    let (folder, path) = three();
    let (mut log, _) = open(&path).unwrap();
    assert_eq!(log.sign(3, notary).unwrap().seq, 4);
    log.append(4, &event(4)).unwrap();
    log.sign(5, notary).unwrap();
    log.append(6, &event(6)).unwrap();
    (folder, path)
}

/// The log as somebody writes it anew who has no key: `keep` says which entries stay.
fn rewritten(path: &Path, keep: impl Fn(&Entry) -> bool) {
    let text = fs::read_to_string(path).unwrap();
    let entries = text.lines().map(|line| Entry::decode(&AwsLc, line.as_bytes()).unwrap());
    let (mut head, mut anew) = (Head::EMPTY, String::new());
    for entry in entries.filter(keep) {
        let code = Code::from_name(&entry.code).unwrap();
        let event = Event::new(code, &entry.tenant, &entry.subject);
        let event = entry.detail.iter().fold(event, |event, (name, value)| event.with(name, value));
        let entry = Entry::after(&head, &AwsLc, entry.time, &event);
        head = entry.head();
        anew += &(entry.line() + "\n");
    }
    fs::write(path, anew).unwrap();
}

#[test]
fn a_signed_log_verifies_with_its_key_and_with_no_other() {
    let notary = notary();
    let (_folder, path) = signed(&notary);
    let report = judge(&path, &Known { key: Some(notary.key()), ..Known::default() }).unwrap();
    assert_eq!((report.entries, report.signed), (7, 5));
    let other = self::notary();
    assert_eq!(
        judge(&path, &Known { key: Some(other.key()), ..Known::default() }),
        Err(Broken { part: 0, line: 4, flaw: Flaw::Checkpoint(CheckpointFault::Unsigned) })
    );
}

#[test]
fn who_has_no_key_cannot_write_the_log_anew() {
    let notary = notary();
    let known = Known { key: Some(notary.key()), ..Known::default() };
    let (_folder, path) = signed(&notary);
    rewritten(&path, |entry| entry.seq != 2);
    assert!(check(&path, None).is_err(), "the signed head is of other entries, key or not");
    assert_eq!(judge(&path, &known), Err(Broken { part: 0, line: 3, flaw: Flaw::OtherTree }));

    let (_folder, path) = signed(&notary);
    rewritten(&path, |entry| entry.code != "audit.signed");
    assert_eq!(
        judge(&path, &known),
        Err(Broken { part: 0, line: 6, flaw: Flaw::Unsigned { signed: 0 } })
    );
}

#[test]
fn a_checkpoint_that_somebody_kept_shows_a_cut_end() {
    let notary = notary();
    let (_folder, path) = signed(&notary);
    let text = fs::read_to_string(&path).unwrap();
    let sixth = Entry::decode(&AwsLc, text.lines().nth(5).unwrap().as_bytes()).unwrap();
    let checkpoint = notary.key().open(&AwsLc, &sixth.detail["checkpoint"]).unwrap();
    let known = Known { checkpoint: Some(checkpoint.clone()), ..Known::default() };
    assert_eq!(judge(&path, &known).unwrap().entries, 7);
    let cut: String = text.lines().take(4).flat_map(|line| [line, "\n"]).collect();
    fs::write(&path, cut).unwrap();
    assert_eq!(
        judge(&path, &known),
        Err(Broken { part: 0, line: 5, flaw: Flaw::Shorter { known: 5 } })
    );
    let (mut log, _) = open(&path).unwrap();
    log.append(4, &event(44)).unwrap();
    assert_eq!(
        judge(&path, &known),
        Err(Broken { part: 0, line: 5, flaw: Flaw::OtherRoot { known: 5 } })
    );
}

#[test]
fn a_head_is_due_after_a_minute_a_thousand_entries_or_a_critical_one() {
    let notary = notary();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (mut log, _) = open(&path).unwrap();
    assert!(!log.is_due(u64::MAX), "there is nothing to sign");
    log.append(100, &event(0)).unwrap();
    assert!(!log.is_due(159) && log.is_due(160));
    // Who starts again owes what was owed before.
    drop(log);
    let (mut log, _) = open(&path).unwrap();
    assert_eq!(log.due_at(), Some(160));
    log.sign(160, &notary).unwrap();
    assert!(!log.is_due(u64::MAX), "a signed head needs no head of its own");
    log.append_all(&vec![(200, event(1)); 999]).unwrap();
    assert!(!log.is_due(200));
    log.append(200, &event(2)).unwrap();
    assert!(log.is_due(200));
    log.sign(200, &notary).unwrap();
    log.append(300, &event(3).severity(Severity::Critical)).unwrap();
    assert!(log.is_due(300));
    log.sign(300, &notary).unwrap();
    log.append(9_000, &event(4)).unwrap();
    assert!(log.is_due(100), "a clock that was set back puts nothing off");
}

/// The parts of a log, the oldest first.
fn all(path: &Path) -> Vec<File> {
    let older = parts(path).unwrap().into_iter().map(|part| part.path);
    older.chain([path.to_owned()]).map(|path| File::open(path).unwrap()).collect()
}

/// A log of three parts with signed heads, in the first of them and in the last.
fn in_parts(notary: &Notary) -> (tempfile::TempDir, PathBuf) {
    let (folder, path) = signed(notary);
    let (mut log, _) = open(&path).unwrap();
    let old = log.begin_part(7).unwrap();
    assert_eq!(old.file_name().unwrap(), "audit.000000000001.jsonl");
    log.append(8, &event(8)).unwrap();
    // Whoever goes on in a part knows what was signed before it.
    drop(log);
    let (mut log, _) = open(&path).unwrap();
    log.begin_part(9).unwrap();
    log.append(10, &event(10)).unwrap();
    log.sign(11, notary).unwrap();
    assert_eq!(log.head().seq, 12);
    (folder, path)
}

#[test]
fn a_log_in_parts_is_one_log() {
    let notary = notary();
    let (_folder, path) = in_parts(&notary);
    let known = Known { key: Some(notary.key()), ..Known::default() };
    let report = crate::verify_parts(all(&path), &AwsLc, &known).unwrap();
    assert_eq!((report.first, report.entries, report.signed), (1, 12, 11));
    // The last part alone still leads from what came before: its signed head covers all of it.
    let report = judge(&path, &known).unwrap();
    assert_eq!((report.first, report.entries, report.signed), (10, 12, 11));
    let shared = fs::read(&path).unwrap();
    let changed = String::from_utf8(shared).unwrap().replacen("\"peaks\":\"", "\"peaks\":\"0", 1);
    fs::write(&path, changed).unwrap();
    assert_eq!(judge(&path, &known).unwrap_err().flaw, Flaw::Changed);
}

#[test]
fn a_part_that_was_removed_exchanged_or_put_in_shows() {
    let notary = notary();
    let (_folder, path) = in_parts(&notary);
    let middle = parts(&path).unwrap()[1].path.clone();
    let first = parts(&path).unwrap()[0].path.clone();
    let broken = |parts: Vec<&PathBuf>| {
        let parts = parts.into_iter().map(|path| File::open(path).unwrap());
        match crate::verify_parts(parts, &AwsLc, &Known::default()) {
            Err(Error::Broken(Broken { part, line, flaw })) => (part, line, flaw),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(broken(vec![&first, &path]), (1, 1, Flaw::Continuation));
    assert_eq!(broken(vec![&first, &path, &middle]), (1, 1, Flaw::Continuation));
    assert_eq!(broken(vec![&first, &middle, &middle]), (2, 1, Flaw::Continuation));
    assert_eq!(broken(vec![&first, &first]), (1, 1, Flaw::Sequence { expected: 8, found: 1 }));
    let text = fs::read_to_string(&path).unwrap();
    let text = text.lines().next().unwrap().to_owned() + "\n" + &text;
    fs::write(&path, text).unwrap();
    assert_eq!(broken(vec![&path]), (0, 2, Flaw::Continuation));
}

#[test]
fn the_oldest_part_goes_only_with_a_word_in_the_log() {
    let notary = notary();
    let (_folder, path) = in_parts(&notary);
    let (mut log, _) = open(&path).unwrap();
    let known = log.head();
    assert_eq!(log.prune(20).unwrap(), Some((1, 7)));
    let report = crate::verify_parts(all(&path), &AwsLc, &Known::default()).unwrap();
    assert_eq!((report.first, report.pruned), (8, 7));
    assert_eq!(log.prune(21).unwrap(), Some((8, 9)));
    assert_eq!(log.prune(22).unwrap(), None);
    let report =
        crate::verify_parts(all(&path), &AwsLc, &Known { head: Some(known), ..Known::default() });
    let report = report.unwrap();
    assert_eq!((report.first, report.pruned, report.entries), (10, 9, 14));
    // What is known of what was removed cannot be compared, and that is no good answer.
    let early = Known { head: Some(Head { seq: 3, ..known }), ..Known::default() };
    let error = crate::verify_parts(all(&path), &AwsLc, &early).unwrap_err();
    assert_eq!(error.code(), "audit.parts.incomplete");
}

#[test]
fn a_part_that_was_half_begun_is_the_current_one() {
    let (_folder, path) = three();
    // The machine stopped after the second name was given, and before the first was taken over.
    fs::hard_link(&path, parts::name(&path, 1)).unwrap();
    fs::write(path.with_extension("next"), b"{\"v\":1,\"se").unwrap();
    assert_eq!(parts(&path).unwrap(), []);
    let (mut log, recovery) = open(&path).unwrap();
    assert_eq!(recovery.entries, 3);
    assert!(!parts::name(&path, 1).exists());
    log.begin_part(9).unwrap();
    assert_eq!(parts(&path).unwrap().len(), 1);
    assert_eq!(crate::verify_parts(all(&path), &AwsLc, &Known::default()).unwrap().entries, 4);
}

#[test]
fn nobody_else_begins_a_part_meanwhile() {
    let (_folder, path) = three();
    let (mut log, _) = open(&path).unwrap();
    log.begin_part(9).unwrap();
    assert!(matches!(open(&path), Err(Error::Locked)));
}

#[test]
fn every_flipped_bit_is_found_in_its_line() {
    let notary = notary();
    let (_folder, path) = signed(&notary);
    let whole = fs::read(&path).unwrap();
    let mut line = 1;
    for at in 0..whole.len() - 1 {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let refused = verify(bytes.as_slice(), &AwsLc, &Known::default()).unwrap_err();
        let Error::Broken(broken) = refused else { panic!("{refused}") };
        assert_eq!(broken.line, line, "octet {at}: {broken}");
        line += u64::from(whole[at] == b'\n');
    }
}

#[test]
fn nobody_else_tells_that_a_head_was_signed() {
    let (_folder, path) = three();
    let (mut log, _) = open(&path).unwrap();
    let event = Event::new(Code::AuditSigned, "", "audit");
    assert!(matches!(log.append(9, &event), Err(Error::Reserved)));
    assert!(matches!(log.append_all(&[(9, event)]), Err(Error::Reserved)));
    assert_eq!(check(&path, None).unwrap().entries, 3);
}

/// A key that is out of reach.
struct Gone(SoftSigner);

impl touchstone_crypto::Signer for Gone {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }

    fn spki_der(&self) -> &[u8] {
        self.0.spki_der()
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, touchstone_crypto::Error> {
        Err(touchstone_crypto::Error::SignerFailed)
    }
}

#[test]
fn a_notary_that_fails_stops_no_entry_and_is_told_of() {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let gone = Notary::new(&AwsLc, "a", Arc::new(Gone(key))).unwrap();
    let (_folder, path) = three();
    let (mut log, _) = open(&path).unwrap();
    assert_eq!(log.sign(100, &gone).unwrap_err().code(), "audit.checkpoint.element");
    assert!(!log.is_due(159) && log.is_due(160), "it is tried again, not at once");
    log.append(100, &event(9)).unwrap();
    assert_eq!(check(&path, None).unwrap().entries, 5);
    let key: &LogKey = gone.key();
    let known = Known { key: Some(key), ..Known::default() };
    assert_eq!(judge(&path, &known).unwrap_err().flaw, Flaw::Unsigned { signed: 0 });
}
