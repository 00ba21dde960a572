use super::*;
use crate::{Event, Log, Notary, parts};
use std::path::PathBuf;
use std::sync::Arc;
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

struct Writer {
    folder: tempfile::TempDir,
    log: Log,
    notary: Notary,
}

impl Writer {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (log, _) = Log::open(&folder.path().join("audit.jsonl"), Arc::new(AwsLc), 1).unwrap();
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let notary = Notary::new(&AwsLc, "dev-7/audit", Arc::new(key)).unwrap();
        Self { folder, log, notary }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    fn happens(&mut self, what: &str) {
        let event = Event::new(Code::CodeChanged, "plant", "device:7").with("what", what);
        self.log.append(1, &event).unwrap();
    }

    fn signs(&mut self) {
        self.log.sign(1, &self.notary).unwrap();
    }

    /// All lines from that entry on.
    fn lines(&self, from: u64) -> Vec<u8> {
        let older = parts(&self.path()).unwrap().into_iter().map(|part| part.path);
        let all = older.chain([self.path()]).map(|path| std::fs::read_to_string(path).unwrap());
        let all = all.collect::<String>();
        let lines =
            all.lines().filter(|line| Entry::decode(&AwsLc, line.as_bytes()).unwrap().seq >= from);
        lines.flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
    }

    fn take(&self, replica: &Replica, lines: &[u8]) -> Result<Taken, Broken> {
        replica.take(&AwsLc, self.notary.key(), self.log.head().seq, lines)
    }
}

fn seqs(taken: &Taken) -> Vec<u64> {
    taken.entries.iter().map(|entry| entry.seq).collect()
}

#[test]
fn what_is_signed_is_taken_once_and_in_order_across_parts() {
    let mut writer = Writer::new();
    writer.happens("one");
    let unsigned = writer.take(&Replica::default(), &writer.lines(1)).unwrap_err();
    assert_eq!(unsigned.flaw, Flaw::Unsigned { signed: 0 });
    writer.signs();
    writer.happens("two");
    let first = writer.take(&Replica::default(), &writer.lines(1)).unwrap();
    assert_eq!((seqs(&first), first.missing), (vec![1], None), "the rest is not signed yet");
    writer.log.begin_part(1).unwrap();
    writer.happens("three");
    writer.signs();
    let second = writer.take(&first.replica, &writer.lines(2)).unwrap();
    assert_eq!((seqs(&second), second.missing), (vec![2, 3, 4, 5], None));
    let kept: Replica = second.replica.to_string().parse().unwrap();
    assert_eq!(kept, second.replica);
    let again = writer.take(&second.replica, &writer.lines(2)).unwrap_err();
    assert_eq!(again.flaw, Flaw::Sequence { expected: 6, found: 2 });
    let nothing = writer.take(&second.replica, b"").unwrap();
    assert_eq!(nothing.replica, second.replica);
    for text in ["", "x", "1:00", "0:"] {
        assert_eq!(text.parse::<Replica>(), Err(ParseReplicaError), "{text}");
    }
}

#[test]
fn a_log_that_was_written_anew_shortened_or_signed_by_another_is_refused() {
    let mut writer = Writer::new();
    writer.happens("one");
    writer.happens("two");
    writer.signs();
    let taken = writer.take(&Replica::default(), &writer.lines(1)).unwrap();
    // The same key, another past: what a device is like whose disk was rolled back.
    let rolled_back = |events: &[&str]| {
        let mut other = Writer::new();
        other.notary = writer.notary.clone();
        for what in events {
            other.happens(what);
            other.signs();
        }
        other
    };
    let other = rolled_back(&["one", "another"]);
    let fork = other.take(&taken.replica, &other.lines(3)).unwrap_err();
    assert_eq!(fork.flaw, Flaw::Unchained);
    let shorter = rolled_back(&[]);
    let cut = shorter.take(&taken.replica, b"").unwrap_err();
    assert_eq!(cut.flaw, Flaw::CutOff { known: taken.replica.head() });
    let mut stranger = Writer::new();
    stranger.happens("one");
    stranger.signs();
    let forged = writer.take(&Replica::default(), &stranger.lines(1)).unwrap_err();
    assert_eq!(forged.flaw, Flaw::Checkpoint(crate::CheckpointFault::Unsigned));
}

#[test]
fn entries_that_nobody_took_in_time_are_told_as_missing_and_the_log_goes_on() {
    let mut writer = Writer::new();
    writer.happens("one");
    writer.signs();
    let taken = writer.take(&Replica::default(), &writer.lines(1)).unwrap();
    writer.happens("lost");
    writer.log.begin_part(1).unwrap();
    writer.log.prune(1).unwrap();
    writer.happens("kept");
    writer.signs();
    let later = writer.take(&taken.replica, &writer.lines(4)).unwrap();
    assert_eq!((later.missing, seqs(&later)), (Some((2, 3)), vec![4, 5, 6]));
    // Anywhere else than at the beginning of a part, a gap is none that the writer made.
    let cut = writer.take(&taken.replica, &writer.lines(5)).unwrap_err();
    assert_eq!(cut.flaw, Flaw::Sequence { expected: 2, found: 5 });
}

#[test]
fn every_bit_that_flips_on_the_way_is_found() {
    let mut writer = Writer::new();
    writer.happens("one");
    writer.happens("two");
    writer.signs();
    let lines = writer.lines(1);
    let whole = writer.take(&Replica::default(), &lines).unwrap();
    let covered: usize = lines.split_inclusive(|c| *c == b'\n').take(2).map(<[u8]>::len).sum();
    for at in 0..lines.len() * 8 {
        let mut bent = lines.clone();
        bent[at / 8] ^= 1 << (at % 8);
        // What the signed entry says beside its head is not covered by it, and is not taken either.
        if let Ok(taken) = writer.take(&Replica::default(), &bent) {
            assert!(at / 8 >= covered && taken == whole, "bit {at}");
        }
    }
}
