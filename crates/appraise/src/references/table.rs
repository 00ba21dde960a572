//! Files with their digests, as compactly as they can be looked up: the paths in one text, the
//! digests of one algorithm in one array, and an index of four octets a slot. About 100 octets for
//! a file with a path of 45, where a map of texts and lists takes three times that.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use touchstone_crypto::{Digest, HashAlgorithm};

const FREE: u32 = u32::MAX;

/// Files with the contents that they may have.
#[derive(Debug, Default)]
pub(super) struct FileTable {
    /// The paths in their order, without anything between them.
    text: Box<str>,
    /// Where each path ends in `text`.
    ends: Box<[u32]>,
    columns: Vec<Column>,
}

/// The digests of one algorithm, by path.
#[derive(Debug)]
struct Column {
    algorithm: HashAlgorithm,
    octets: Box<[u8]>,
    /// The path of each digest, by its place among the paths; never falls.
    paths: Box<[u32]>,
    /// Open addressing: digests by [`slot`].
    index: Box<[u32]>,
}

impl FileTable {
    /// A table of these files; again is the same.
    pub(super) fn new(mut files: Vec<(&str, Digest)>) -> Self {
        files.sort_unstable();
        files.dedup();
        let mut table = Self::default();
        let (mut text, mut ends) = (String::new(), Vec::new());
        let mut building: Vec<(HashAlgorithm, Vec<u8>, Vec<u32>)> = Vec::new();
        let mut last = None;
        for (path, digest) in files {
            if last != Some(path) {
                text.push_str(path);
                ends.push(u32::try_from(text.len()).unwrap_or(FREE));
                last = Some(path);
            }
            let at = u32::try_from(ends.len() - 1).unwrap_or(FREE);
            let algorithm = digest.algorithm();
            if !building.iter().any(|(of, ..)| *of == algorithm) {
                building.push((algorithm, Vec::new(), Vec::new()));
            }
            if let Some((_, octets, paths)) = building.iter_mut().find(|(of, ..)| *of == algorithm)
            {
                octets.extend_from_slice(digest.as_bytes());
                paths.push(at);
            }
        }
        table.text = text.into_boxed_str();
        table.ends = ends.into_boxed_slice();
        for (algorithm, octets, paths) in building {
            let column = Column {
                algorithm,
                octets: octets.into_boxed_slice(),
                paths: paths.into_boxed_slice(),
                index: Box::default(),
            };
            let index = table.indexed(&column);
            table.columns.push(Column { index, ..column });
        }
        table
    }

    fn indexed(&self, column: &Column) -> Box<[u32]> {
        // At most three quarters of the slots are taken, so that what is not there is seen soon.
        let slots = (column.paths.len() * 4 / 3 + 1).next_power_of_two();
        let mut index = vec![FREE; slots].into_boxed_slice();
        for (entry, path) in (0u32..).zip(&column.paths) {
            let (Some(digest), Some(path)) = (column.digest(entry), self.path(*path)) else {
                continue;
            };
            let mut at = slot(digest, path);
            while let Some(taken) = index.get_mut(at & (slots - 1)) {
                if *taken == FREE {
                    *taken = entry;
                    break;
                }
                at += 1;
            }
        }
        index
    }

    fn path(&self, at: u32) -> Option<&str> {
        let at = usize::try_from(at).ok()?;
        let end = usize::try_from(*self.ends.get(at)?).ok()?;
        let start = match at.checked_sub(1) {
            Some(before) => usize::try_from(*self.ends.get(before)?).ok()?,
            None => 0,
        };
        self.text.get(start..end)
    }

    /// Whether the file at `path` may have this content.
    pub(super) fn contains(&self, path: &str, digest: &Digest) -> bool {
        let Some(column) = self.columns.iter().find(|c| c.algorithm == digest.algorithm()) else {
            return false;
        };
        let slots = column.index.len();
        let mut at = slot(digest.as_bytes(), path);
        while let Some(&entry) = column.index.get(at & (slots - 1)) {
            if entry == FREE {
                return false;
            }
            let found = column.digest(entry) == Some(digest.as_bytes())
                && column.path_of(entry).and_then(|at| self.path(at)) == Some(path);
            if found {
                return true;
            }
            at += 1;
        }
        false
    }

    /// The contents that the file at `path` may have.
    pub(super) fn digests_of(&self, path: &str) -> impl Iterator<Item = Digest> {
        let place = self.place(path);
        self.columns.iter().flat_map(move |column| {
            let start = place.map_or(0, |at| column.paths.partition_point(|&of| of < at));
            let of_path = column.paths.iter().enumerate().skip(start);
            of_path
                .take_while(move |(_, of)| Some(**of) == place)
                .filter_map(|(entry, _)| column.get(u32::try_from(entry).ok()?))
        })
    }

    /// Where the path stands among the paths.
    fn place(&self, path: &str) -> Option<u32> {
        let (mut low, mut high) = (0, u32::try_from(self.ends.len()).unwrap_or(FREE));
        while low < high {
            let middle = low + (high - low) / 2;
            match self.path(middle)?.cmp(path) {
                core::cmp::Ordering::Equal => return Some(middle),
                core::cmp::Ordering::Less => low = middle + 1,
                core::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Every digest, as often as a file has it.
    pub(super) fn digests(&self) -> impl Iterator<Item = Digest> {
        self.columns.iter().flat_map(|column| {
            let entries = 0..u32::try_from(column.paths.len()).unwrap_or(FREE);
            entries.filter_map(|entry| column.get(entry))
        })
    }

    /// Octets of memory that it takes beside itself.
    pub(super) fn octets(&self) -> usize {
        let column =
            |column: &Column| column.octets.len() + 4 * (column.paths.len() + column.index.len());
        self.text.len() + 4 * self.ends.len() + self.columns.iter().map(column).sum::<usize>()
    }
}

impl Column {
    fn digest(&self, entry: u32) -> Option<&[u8]> {
        let (len, at) = (self.algorithm.len(), usize::try_from(entry).ok()?);
        self.octets.get(at * len..(at + 1) * len)
    }

    fn get(&self, entry: u32) -> Option<Digest> {
        Digest::new(self.algorithm, self.digest(entry)?)
    }

    fn path_of(&self, entry: u32) -> Option<u32> {
        self.paths.get(usize::try_from(entry).ok()?).copied()
    }
}

/// Where to look first. Digests are as good as random; the path is mixed in, because many files of
/// a system are equal. The table's own content decides how long a search takes, not what is looked
/// up.
fn slot(digest: &[u8], path: &str) -> usize {
    let head = digest.first_chunk::<8>().map_or(0, |head| u64::from_le_bytes(*head));
    let mut mixed = head;
    let mut words = path.as_bytes().chunks_exact(8);
    for word in &mut words {
        let word = word.first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
        mixed = (mixed.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    for octet in words.remainder() {
        mixed = (mixed.rotate_left(5) ^ u64::from(*octet)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    usize::try_from(mixed >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_crypto::Crypto;
    use touchstone_crypto_awslc::AwsLc;

    fn digest(text: &str) -> Digest {
        AwsLc.hash(HashAlgorithm::Sha256, &[text.as_bytes()])
    }

    #[test]
    fn what_was_put_in_is_found_and_nothing_else() {
        let paths: Vec<String> = (0..5000).map(|n| format!("/usr/lib/{n}")).collect();
        let mut files: Vec<(&str, Digest)> =
            paths.iter().map(|path| (path.as_str(), digest(path))).collect();
        let sha1 = AwsLc.hash(HashAlgorithm::Sha1, &[b"old"]);
        files.push(("/usr/lib/7", digest("update")));
        files.push(("/usr/lib/7", sha1));
        files.push(("/usr/lib/7", sha1));
        let table = FileTable::new(files);
        assert!(paths.iter().all(|path| table.contains(path, &digest(path))));
        assert!(!table.contains("/usr/lib/8", &digest("/usr/lib/9")), "another file's content");
        assert!(!table.contains("/usr/lib/5000", &digest("/usr/lib/5000")));
        assert!(!table.contains("/usr/lib/8", &sha1));
        assert_eq!(table.digests_of("/usr/lib/7").count(), 3);
        assert_eq!(table.digests_of("/usr/lib").count(), 0);
        assert_eq!(table.digests().count(), 5002);
    }

    #[test]
    fn a_thousand_equal_files_are_found_as_fast_as_others() {
        let paths: Vec<String> = (0..20_000).map(|n| format!("/usr/share/doc/{n}/empty")).collect();
        let table = FileTable::new(paths.iter().map(|path| (path.as_str(), digest(""))).collect());
        let start = std::time::Instant::now();
        assert!(paths.iter().all(|path| table.contains(path, &digest(""))));
        assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
    }

    #[test]
    fn a_file_takes_about_a_hundred_octets() {
        let paths: Vec<String> = (0..10_000)
            .map(|n| format!("/usr/lib/x86_64-linux-gnu/package-{n:05}/lib.so"))
            .collect();
        let table = FileTable::new(paths.iter().map(|p| (p.as_str(), digest(p))).collect());
        let each = table.octets() / paths.len();
        assert!((80..110).contains(&each), "{each} octets");
    }

    #[test]
    fn an_empty_table_knows_nothing() {
        let table = FileTable::new(Vec::new());
        assert!(!table.contains("/a", &digest("/a")));
        assert_eq!(table.digests_of("/a").count(), 0);
    }
}
