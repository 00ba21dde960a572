//! The event log of the firmware and the measurement list of IMA, as the kernel gives them.
//! What they say is for `measure` to parse; here they are octets with a limit.

use super::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use touchstone_measure::ima::{Format, Order};

/// The longest log that is put into evidence whole, in octets; a longer IMA list is sent in parts, to a
/// fleet that takes them. What does not fit is refused by name instead of being cut.
pub const LONGEST: usize = 8 << 20;
/// About so many octets of a list are sent at a time: the agent holds a few copies of them, and no more of
/// the list.
pub const PART: usize = 256 << 10;
/// Octets at the end of what was shown that are kept, since a part of them may be asked for again: entries
/// that came between quote and reading.
const AGAIN: usize = 32 << 10;
/// Octets of an entry's data: as many as the verifier takes.
const ENTRY: usize = 1 << 20;
/// Octets that the first entry is looked for in.
const START: u64 = 64 << 10;

/// A log, read whole.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut log = Vec::new();
    // securityfs tells no length, so the limit is kept while reading.
    let limit = LONGEST as u64 + 1;
    file.take(limit).read_to_end(&mut log).map_err(unreadable)?;
    if log.len() > LONGEST {
        return Err(Error::TooLong { path: path.to_owned(), limit: LONGEST });
    }
    Ok(log)
}

/// A list, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The index of the entry that it begins with.
    pub first: u32,
    /// As the kernel shows it.
    pub octets: Vec<u8>,
    /// Whether the list goes on behind it.
    pub goes_on: bool,
}

/// A measurement list that is read on where it was read last. securityfs shows an entry only after going
/// through all before it, so the file stays open, and nothing of it is read twice.
#[derive(Debug)]
pub struct List {
    path: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: BufReader<File>,
    format: Format,
    /// Octets before the place in the file.
    at: u64,
    /// The entry at that place.
    next: u32,
    /// What was shown last, or the end of it, and the entry that this begins with.
    shown: Vec<u8>,
    first: u32,
}

impl List {
    /// The list in that file.
    pub const fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// The list from its entry `first` on, in so many octets or a few more where it is sent in parts. What
    /// lies before is passed over and not kept. It begins with entry 0 if it is shorter, and is whole if
    /// it is not as the kernel writes one: what it is then is for the verifier to say.
    pub fn from(&mut self, first: u32, part: Option<usize>) -> Result<Part, Error> {
        for first in [first, 0] {
            match self.read_from(first, part.unwrap_or(LONGEST)) {
                Ok(Some(shown)) if shown.goes_on && part.is_none() => {
                    self.open = None;
                    return Err(Error::TooLong { path: self.path.clone(), limit: LONGEST });
                }
                Ok(Some(shown)) => return Ok(shown),
                Ok(None) => {}
                Err(source) if source.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(source) => {
                    self.open = None;
                    return Err(Error::Unreadable { path: self.path.clone(), source });
                }
            }
            self.open = None;
        }
        Ok(Part { first: 0, octets: read(&self.path)?, goes_on: false })
    }

    /// `None` if there is no such place in the list.
    fn read_from(&mut self, first: u32, limit: usize) -> io::Result<Option<Part>> {
        let open = self.open.take().filter(|open| open.is_still(&self.path));
        let mut open = match open.map(|open| open.back_to(first)) {
            Some(Ok(Some(open))) => open,
            _ => match Open::at(&self.path, first)? {
                Some(open) => open,
                None => return Ok(None),
            },
        };
        let goes_on = open.show(limit)?;
        let part = Part { first: open.first, octets: open.shown.clone(), goes_on };
        open.keep_end(AGAIN)?;
        self.open = Some(open);
        Ok(Some(part))
    }
}

impl Open {
    /// A list, at its entry `first`; `None` if it is not so long.
    fn at(path: &Path, first: u32) -> io::Result<Option<Self>> {
        let mut file = File::open(path)?;
        let mut start = Vec::new();
        Read::by_ref(&mut file).take(START).read_to_end(&mut start)?;
        let format = Format::of(&start);
        file.seek(SeekFrom::Start(0))?;
        let file = BufReader::with_capacity(16 << 10, file);
        let mut open = Self { file, format, at: 0, next: 0, shown: Vec::new(), first };
        while open.next < first {
            open.shown.clear();
            if !open.entry()? {
                return Ok(None);
            }
        }
        open.shown.clear();
        Ok(Some(open))
    }

    /// Whether it is still the file of that name, and no shorter than what was read.
    fn is_still(&self, path: &Path) -> bool {
        let (Ok(now), Ok(ours)) = (std::fs::metadata(path), self.file.get_ref().metadata()) else {
            return false;
        };
        // securityfs tells no length.
        let holds = now.len() == 0 || now.len() >= self.at;
        holds && (now.dev(), now.ino()) == (ours.dev(), ours.ino())
    }

    /// The same where the next thing to show is the entry `first`, if that is where it stands, or in what
    /// was shown last.
    fn back_to(mut self, first: u32) -> io::Result<Option<Self>> {
        if !(self.first..=self.next).contains(&first) {
            return Ok(None);
        }
        self.pass_over(|_, at| at < first)?;
        Ok(Some(self))
    }

    /// Reads on until so many octets are there to be shown, or the list ends: whether it goes on.
    fn show(&mut self, limit: usize) -> io::Result<bool> {
        while self.shown.len() < limit {
            if !self.entry()? {
                return Ok(false);
            }
        }
        Ok(!self.file.fill_buf()?.is_empty())
    }

    /// Reads one entry; `false` at the end.
    fn entry(&mut self) -> io::Result<bool> {
        let len = measured(&mut self.file, self.format, &mut self.shown)?;
        self.at += len as u64;
        self.next += u32::from(len > 0);
        Ok(len > 0)
    }

    /// Keeps so many octets of the entries that were shown last.
    fn keep_end(&mut self, octets: usize) -> io::Result<()> {
        self.pass_over(|rest, _| rest > octets)
    }

    /// Forgets entries that were shown, the first ones, while that says so of how many octets are left and
    /// of the next entry.
    fn pass_over(&mut self, on: impl Fn(usize, u32) -> bool) -> io::Result<()> {
        let (mut rest, mut passed) = (self.shown.as_slice(), Vec::new());
        while on(rest.len(), self.first) && !rest.is_empty() {
            passed.clear();
            measured(&mut rest, self.format, &mut passed)?;
            self.first += 1;
        }
        self.shown = rest.to_vec();
        Ok(())
    }
}

/// Appends one entry: PCR, template digest, the template's name, its data. How many octets it has; 0 at the
/// end of the list.
fn measured(list: &mut impl Read, format: Format, to: &mut Vec<u8>) -> io::Result<usize> {
    let before = to.len();
    if list.by_ref().take(1).read_to_end(to)? == 0 {
        return Ok(0);
    }
    more(list, to, 3)?;
    let digest = more(list, to, format.template_digest)?;
    let is_violation = digest.iter().all(|octet| *octet == 0);
    let len = number(list, to, format)?;
    // The original template does not tell the length of its data: a digest, which some kernels leave out
    // of a violation, and a sized name.
    let len = if more(list, to, len)? == b"ima" {
        let head = if is_violation { number(list, to, format)? } else { 0 };
        if head > 0 {
            head
        } else {
            more(list, to, if is_violation { 16 } else { 20 })?;
            number(list, to, format)?
        }
    } else {
        number(list, to, format)?
    };
    more(list, to, len)?;
    Ok(to.len() - before)
}

fn number(list: &mut impl Read, to: &mut Vec<u8>, format: Format) -> io::Result<usize> {
    let octets = more(list, to, 4)?.try_into().unwrap_or_default();
    let number = match format.order {
        Order::Little => u32::from_le_bytes(octets),
        Order::Big => u32::from_be_bytes(octets),
    };
    Ok(number as usize)
}

/// Appends so many octets; these.
fn more<'t>(list: &mut impl Read, to: &'t mut Vec<u8>, len: usize) -> io::Result<&'t [u8]> {
    // No entry has so many: the list is not as the kernel writes one.
    if len > ENTRY {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let start = to.len();
    to.resize(start + len, 0);
    let octets = to.get_mut(start..).unwrap_or_default();
    list.read_exact(octets)?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(template: &[u8], data: &[u8]) -> Vec<u8> {
        let sized =
            |octets: &[u8]| [&u32::try_from(octets.len()).unwrap().to_le_bytes(), octets].concat();
        let data =
            if template == b"ima" { [&[7; 20], &sized(data)[..]].concat() } else { sized(data) };
        [&10u32.to_le_bytes(), &[1; 20][..], &sized(template), &data].concat()
    }

    #[test]
    fn only_what_lies_behind_the_known_entries_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        let long = vec![9; 200_000];
        let entries =
            [entry(b"ima-ng", b"first"), entry(b"ima", b"/bin/a"), entry(b"ima-sig", &long)];
        let list = entries.concat();
        std::fs::write(&path, &list).unwrap();
        let mut read_on = List::new(path.clone());
        for from in 0..=3 {
            let octets = entries[from..].concat();
            let first = u32::try_from(from).unwrap();
            let rest = Part { first, octets, goes_on: false };
            assert_eq!(List::new(path.clone()).from(first, None).unwrap(), rest);
            assert_eq!(read_on.from(first, None).unwrap(), rest);
        }
        // Another boot's list is shorter: all of it is new.
        let whole = Part { first: 0, octets: list.clone(), goes_on: false };
        assert_eq!(read_on.from(4, None).unwrap(), whole);
        std::fs::write(&path, &list[..list.len() - 1]).unwrap();
        assert_eq!(read_on.from(3, None).unwrap().first, 0);
    }

    /// A list in a file, and what is at the entry of each number.
    fn listed(entries: &[Vec<u8>]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, entries.concat()).unwrap();
        (folder, path)
    }

    fn grow(path: &Path, more: &[u8]) {
        let mut file = File::options().append(true).open(path).unwrap();
        io::Write::write_all(&mut file, more).unwrap();
    }

    proptest::proptest! {
        #[test]
        fn parts_put_together_are_the_list(
            lens in proptest::collection::vec(0usize..5000, 1..40),
            part in 1usize..20_000,
            again in 0u32..3,
        ) {
            let entries: Vec<_> = lens.iter().map(|&len| entry(b"ima-ng", &vec![3; len])).collect();
            let (_folder, path) = listed(&entries[..entries.len() / 2]);
            let mut list = List::new(path.clone());
            let (mut all, mut first, mut rest) = (Vec::new(), 0, true);
            loop {
                let shown = list.from(first, Some(part)).unwrap();
                assert_eq!(shown.first, first);
                let octets = shown.octets.len();
                let longest = entries.iter().map(Vec::len).max().unwrap();
                assert!(octets < part + longest && (octets >= part || !shown.goes_on));
                all.truncate(entries[..first as usize].concat().len());
                all.extend(shown.octets);
                let mut end = 0;
                first = 0;
                while end < all.len() {
                    end += entries[first as usize].len();
                    first += 1;
                }
                if !shown.goes_on {
                    if !std::mem::take(&mut rest) {
                        break;
                    }
                    // It goes on meanwhile, and some of it is not quoted yet.
                    grow(&path, &entries[entries.len() / 2..].concat());
                    first = first.saturating_sub(again);
                }
            }
            assert_eq!(all, entries.concat());
        }
    }

    #[test]
    fn a_list_that_is_another_by_now_is_read_from_its_start() {
        let entries: Vec<_> = (0..9u8).map(|nth| entry(b"ima-ng", &[nth; 100])).collect();
        let (_folder, path) = listed(&entries);
        let mut list = List::new(path.clone());
        assert_eq!(list.from(0, Some(500)).unwrap().octets, entries[..4].concat());
        // The same file, shorter; and another one of the same name.
        std::fs::write(&path, entries[5..7].concat()).unwrap();
        assert_eq!(list.from(4, Some(500)).unwrap().octets, entries[5..7].concat());
        let other = path.with_extension("new");
        std::fs::write(&other, entries[3..].concat()).unwrap();
        std::fs::rename(other, &path).unwrap();
        assert_eq!(list.from(1, None).unwrap().octets, entries[4..].concat());
    }

    #[test]
    fn lists_of_other_forms_are_cut_between_entries_too() {
        let big = |len: usize| u32::try_from(len).unwrap().to_be_bytes();
        let entry = |octets: &[u8]| {
            [&big(10)[..], &[7; 32], &big(6), b"ima-ng", &big(octets.len()), octets].concat()
        };
        let data =
            |path: &[u8]| [&big(40)[..], b"sha256:\0", &[5; 32], &big(path.len()), path].concat();
        let entries: Vec<_> =
            [&b"/a\0"[..], b"/bc\0", b"/def\0"].map(|path| entry(&data(path))).into();
        let (_folder, path) = listed(&entries);
        let mut list = List::new(path);
        for (first, wanted) in entries.iter().enumerate() {
            let shown = list.from(u32::try_from(first).unwrap(), Some(1)).unwrap();
            assert_eq!((&shown.octets, shown.goes_on), (wanted, first < 2));
        }
    }

    #[test]
    fn violations_in_the_original_template_have_a_digest_or_none() {
        let sized =
            |octets: &[u8]| [&[u8::try_from(octets.len()).unwrap(), 0, 0, 0], octets].concat();
        let violation =
            |data: &[u8]| [&10u32.to_le_bytes()[..], &[0; 20], &sized(b"ima"), data].concat();
        let with = violation(&[&[0; 20], &sized(b"/bin/a")[..]].concat());
        let entries = [violation(&sized(b"/bin/b")), with, entry(b"ima", b"/bin/c")];
        let (_folder, path) = listed(&entries);
        for from in 0..3 {
            let shown = List::new(path.clone()).from(u32::try_from(from).unwrap(), None).unwrap();
            assert_eq!(shown.octets, entries[from..].concat());
        }
    }

    #[test]
    fn a_long_list_is_sent_in_parts_or_not_at_all() {
        let long = entry(b"ima-ng", &vec![9; 1 << 19]);
        let (_folder, path) = listed(&vec![long.clone(); 17]);
        let mut list = List::new(path);
        assert_eq!(list.from(0, None).unwrap_err().code(), "agent.collect.too-long");
        let shown = list.from(0, Some(PART)).unwrap();
        assert_eq!((shown.octets.len(), shown.goes_on), (long.len(), true));
    }

    #[test]
    fn a_log_too_long_for_evidence_is_refused_and_not_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, b"first").unwrap();
        assert_eq!(read(&path).unwrap(), b"first");
        File::create(&path).unwrap().set_len(LONGEST as u64 + 1).unwrap();
        assert_eq!(read(&path).unwrap_err().code(), "agent.collect.too-long");
        assert_eq!(read(&folder.path().join("no")).unwrap_err().code(), "agent.collect.unreadable");
    }
}
