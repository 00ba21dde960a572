//! The records of a CA: a line of JSON for each thing it did, written and synchronised before the
//! thing is handed out.

use crate::answer::Failure;
use crate::files::{self, LARGE};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use touchstone_certs::crl::Revoked;
use touchstone_certs::ocsp::Reason;

/// What a CA did.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Record {
    Issued { at: u64, serial: String, subject: String, sha256: String, not_after: u64 },
    Revoked { at: u64, serial: String, reason: String },
    Listed { at: u64, number: u64, delta: bool },
    RolledOver { at: u64, sha256: String },
}

/// The records, held by this process alone.
pub(super) struct Records {
    path: PathBuf,
    file: File,
    all: Vec<Record>,
}

impl Records {
    /// Reads them and keeps others out. A line that was not written to its end is no record: its
    /// certificate was not handed out.
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join("records.jsonl");
        let failed = |error: std::io::Error| {
            let message = format!("cannot open {}: {error}", path.display());
            Failure::unknown("touchstone.ca.records", message, "is it the folder of a CA?")
        };
        let file = File::options().append(true).open(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        let text = files::read_text(&path, LARGE)?;
        let whole = whole(&text);
        if whole < text.len() {
            let whole = u64::try_from(whole).unwrap_or(u64::MAX);
            File::options()
                .write(true)
                .open(&path)
                .and_then(|file| file.set_len(whole))
                .map_err(failed)?;
        }
        let all = parsed(&path, text.get(..whole).unwrap_or_default())?;
        Ok(Self { path, file, all })
    }

    /// Makes a new, empty file.
    pub(super) fn create(dir: &Path) -> Result<(), Failure> {
        files::write(&dir.join("records.jsonl"), b"")
    }

    /// Writes a record, and returns when it is on the disk.
    pub(super) fn add(&mut self, record: Record) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            let message = format!("cannot write {}: {error}", self.path.display());
            Failure::unknown("touchstone.ca.records", message, "check the space on the disk")
        };
        let line = serde_json::to_string(&record).map_err(|error| failed(&error))? + "\n";
        self.file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_all())
            .map_err(|error| failed(&error))?;
        self.all.push(record);
        Ok(())
    }

    pub(super) fn issued(&self, wanted: &str) -> bool {
        let mut all = self.all.iter();
        all.any(|record| matches!(record, Record::Issued { serial, .. } if serial == wanted))
    }

    /// How many times the key was changed.
    pub(super) fn rollovers(&self) -> usize {
        self.all.iter().filter(|record| matches!(record, Record::RolledOver { .. })).count()
    }

    pub(super) fn next_number(&self) -> u64 {
        let listed = self.all.iter().filter_map(|record| match record {
            Record::Listed { number, .. } => Some(*number),
            _ => None,
        });
        listed.max().map_or(1, |number| number.saturating_add(1))
    }

    /// The number of the last full list, and what was revoked when it was signed.
    pub(super) fn last_full(&self) -> Option<(u64, Vec<Revoked>)> {
        let (end, number) =
            self.all.iter().enumerate().rev().find_map(|(index, record)| match record {
                Record::Listed { number, delta: false, .. } => Some((index, *number)),
                _ => None,
            })?;
        Some((number, revoked(self.all.get(..end).unwrap_or_default())))
    }

    pub(super) fn revoked(&self) -> Vec<Revoked> {
        revoked(&self.all)
    }
}

/// How much of the text is whole records: what was not written to its end is none.
fn whole(text: &str) -> usize {
    text.rfind('\n').map_or(0, |end| end + 1)
}

fn parsed(path: &Path, text: &str) -> Result<Vec<Record>, Failure> {
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| {
                let message = format!("{}:{}: {error}", path.display(), index + 1);
                Failure::unknown("touchstone.ca.records", message, "restore the file")
            })
        })
        .collect()
}

/// The records as a reader has them, beside whoever writes.
pub(crate) struct Known {
    issued: BTreeSet<String>,
    revoked: BTreeMap<String, Revoked>,
    /// Length and time of the file when it was read.
    as_of: (u64, Option<SystemTime>),
}

/// What is known of a certificate.
pub(crate) enum Standing {
    Good,
    Revoked { at: u64, reason: Reason },
    Unknown,
}

impl Known {
    pub(crate) fn read(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join("records.jsonl");
        let as_of = as_of(&path)?;
        let text = files::read_text(&path, LARGE)?;
        let all = parsed(&path, text.get(..whole(&text)).unwrap_or_default())?;
        let issued = all.iter().filter_map(|record| match record {
            Record::Issued { serial, .. } => Some(serial.clone()),
            _ => None,
        });
        let revoked = revoked(&all).into_iter().map(|one| (one.serial.clone(), one)).collect();
        Ok(Self { issued: issued.collect(), revoked, as_of })
    }

    /// Reads them again if they were written to.
    pub(crate) fn follow(&mut self, dir: &Path) -> Result<(), Failure> {
        if as_of(&dir.join("records.jsonl"))? != self.as_of {
            *self = Self::read(dir)?;
        }
        Ok(())
    }

    pub(crate) fn standing(&self, serial: &str) -> Standing {
        match self.revoked.get(serial) {
            Some(one) => Standing::Revoked { at: one.at, reason: one.reason },
            None if self.issued.contains(serial) => Standing::Good,
            None => Standing::Unknown,
        }
    }
}

fn as_of(path: &Path) -> Result<(u64, Option<SystemTime>), Failure> {
    let data = std::fs::metadata(path).map_err(|error| {
        let message = format!("cannot look at {}: {error}", path.display());
        Failure::unknown("touchstone.ca.records", message, "is it the folder of a CA?")
    })?;
    Ok((data.len(), data.modified().ok()))
}

/// What is revoked after these records: the last one about a certificate counts.
fn revoked(records: &[Record]) -> Vec<Revoked> {
    let mut state = BTreeMap::new();
    for record in records {
        if let Record::Revoked { at, serial, reason } = record {
            let reason = Reason::from_name(reason).unwrap_or(Reason::Unspecified);
            state.insert(serial.clone(), Revoked { serial: serial.clone(), at: *at, reason });
        }
    }
    state.into_values().filter(|one| one.reason != Reason::RemoveFromCrl).collect()
}
