//! Files with their digests, from wherever they are gathered, and what is said about them.

use crate::answer::Failure;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};
use touchstone_appraise::references::{Document, Range, ReferenceValue};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::runtime::code_ranges;

/// Names of left-out files that are told.
const TOLD: usize = 20;

/// What was gathered so far.
pub(super) struct Gathered {
    algorithm: HashAlgorithm,
    excludes: Vec<String>,
    files: BTreeMap<String, (Digest, String)>,
    code: BTreeMap<String, Vec<Range>>,
    /// Why files were left out, and which.
    left_out: BTreeMap<&'static str, Vec<String>>,
    unchecked: usize,
    octets: u64,
    progress: Progress,
}

impl Gathered {
    pub(super) fn new(algorithm: HashAlgorithm, excludes: &[String]) -> Self {
        Self {
            algorithm,
            excludes: excludes.to_vec(),
            files: BTreeMap::new(),
            code: BTreeMap::new(),
            left_out: BTreeMap::new(),
            unchecked: 0,
            octets: 0,
            progress: Progress::new(),
        }
    }

    pub(super) const fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// Whether files below that path are wanted.
    pub(super) fn wants(&self, path: &str) -> bool {
        !self.excludes.iter().any(|prefix| path.starts_with(prefix.as_str()))
    }

    /// A file that is left out, and why.
    pub(super) fn leave_out(&mut self, path: &str, why: &'static str) {
        self.left_out.entry(why).or_default().push(path.to_owned());
    }

    /// A file that is taken as it lies there, because its package has no digest of it.
    pub(super) const fn unchecked(&mut self) {
        self.unchecked += 1;
    }

    /// How many files nothing was compared with.
    pub(super) const fn not_checked(&self) -> usize {
        self.unchecked
    }

    /// A file by its content; of a program also the code.
    pub(super) fn content(
        &mut self,
        path: &str,
        content: &[u8],
        from: &str,
    ) -> Result<(), Failure> {
        self.octets += content.len() as u64;
        let digest = AwsLc.hash(self.algorithm, &[content]);
        if content.starts_with(b"\x7FELF") {
            match code_ranges(&AwsLc, path, content) {
                Ok(ranges) if ranges.is_empty() => {}
                Ok(ranges) => {
                    self.code.insert(path.to_owned(), ranges.iter().map(Range::from).collect());
                }
                // An object for a linker or another machine: the kernel does not run it either.
                Err(_) => self.leave_out(path, "its code cannot be told, only its digest"),
            }
        }
        self.digest(path, digest, from)
    }

    /// A file by its digest.
    pub(super) fn digest(&mut self, path: &str, digest: Digest, from: &str) -> Result<(), Failure> {
        self.progress.tick(self.files.len(), self.octets);
        match self.files.get(path) {
            Some((known, by)) if *known != digest => {
                let message = format!("{path} is {known} in {by} and {digest} in {from}");
                let next = "build one document for each, or --exclude the file";
                Err(Failure::unknown("references.contradiction", message, next))
            }
            _ => {
                self.files.insert(path.to_owned(), (digest, from.to_owned()));
                Ok(())
            }
        }
    }

    /// The same file under another path.
    pub(super) fn link(&mut self, path: &str, target: &str, from: &str) -> Result<(), Failure> {
        if !self.wants(path) {
            return Ok(());
        }
        let Some((digest, _)) = self.files.get(target) else {
            self.leave_out(path, "it is a link to a file that is left out");
            return Ok(());
        };
        let digest = *digest;
        if let Some(ranges) = self.code.get(target).cloned() {
            self.code.insert(path.to_owned(), ranges);
        }
        self.digest(path, digest, from)
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// What was left out: why, how many, and the first of them.
    pub(super) fn left_out(&self) -> impl Iterator<Item = (&'static str, usize, &[String])> {
        self.left_out.iter().map(|(why, paths)| {
            (*why, paths.len(), paths.get(..TOLD.min(paths.len())).unwrap_or(&[]))
        })
    }

    /// Puts everything into a document.
    pub(super) fn into_values(self, document: &mut Document) {
        let Self { files, code, mut progress, .. } = self;
        progress.end();
        let files =
            files.into_iter().map(|(path, (digest, _))| ReferenceValue::File { path, digest });
        document.values.extend(files);
        let code = code.into_iter().map(|(path, ranges)| ReferenceValue::Code { path, ranges });
        document.values.extend(code);
    }
}

/// A line on stderr for whatever takes longer than a second.
struct Progress {
    last: Instant,
    shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self { last: Instant::now(), shown: false }
    }

    fn tick(&mut self, files: usize, octets: u64) {
        if self.last.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.last = Instant::now();
        let mut err = std::io::stderr();
        let (start, end) = if err.is_terminal() { ("\r", "") } else { ("", "\n") };
        let megabytes = octets / 1_000_000;
        // Progress that nobody can be shown is no reason to stop.
        let _ = write!(err, "{start}touchstone: {files} files, {megabytes} MB read{end}");
        let _ = err.flush();
        self.shown = true;
    }

    fn end(&mut self) {
        if self.shown && std::io::stderr().is_terminal() {
            let _ = writeln!(std::io::stderr());
        }
    }
}
