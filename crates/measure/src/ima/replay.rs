//! Replay: the value of the PCR that a list leads to, and how much of a list a quote proves.

use super::entry::{Entry, Extension};
use super::list::Log;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// Entries that may come between a quote and the reading of the list before a search for the
/// quoted value begins anew from the front.
const RECENT: usize = 1024;

/// The value of PCR 10 in one bank, entry by entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    value: Digest,
    extension: Extension,
    entries: u32,
}

impl Replay {
    /// Before the first entry: a PCR of zeros.
    pub const fn new(bank: HashAlgorithm, extension: Extension) -> Self {
        Self { value: Digest::zero(bank), extension, entries: 0 }
    }

    /// After `entries` entries that led to `value`.
    pub const fn resume(value: Digest, extension: Extension, entries: u32) -> Self {
        Self { value, extension, entries }
    }

    /// PCR := H(PCR || what the entry extends).
    pub fn extend(&mut self, crypto: &dyn Crypto, entry: &Entry<'_>) {
        let bank = self.value.algorithm();
        let extended = entry.extended(crypto, bank, self.extension);
        self.value = crypto.hash(bank, &[self.value.as_bytes(), extended.as_bytes()]);
        self.entries = self.entries.saturating_add(1);
    }

    /// The value.
    pub const fn value(&self) -> Digest {
        self.value
    }

    /// How entries are extended.
    pub const fn extension(&self) -> Extension {
        self.extension
    }

    /// Entries that led to the value.
    pub const fn entries(&self) -> u32 {
        self.entries
    }
}

/// How much of a list a quote proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Entries that the quoted value accounts for.
    pub quoted: usize,
    /// Entries behind them.
    pub left_over: usize,
    /// The value of the PCR after the quoted entries.
    pub value: Digest,
    /// How the kernel extended this bank.
    pub extension: Extension,
}

impl Log {
    /// The value of PCR 10 after all entries, beginning with a PCR of zeros, as kernels since 5.8
    /// extend it.
    pub fn replay_pcr10(&self, crypto: &dyn Crypto, bank: HashAlgorithm) -> Digest {
        self.replay(crypto, Replay::new(bank, Extension::Hashed)).value()
    }

    /// Goes on with all entries.
    pub fn replay(&self, crypto: &dyn Crypto, mut replay: Replay) -> Replay {
        self.entries().for_each(|entry| replay.extend(crypto, &entry));
        replay
    }

    /// The longest prefix after which PCR 10 has a value that `is_quoted`, beginning with a PCR of
    /// zeros and however the kernel extended this bank; `None` if there is no such prefix.
    pub fn prefix(
        &self,
        crypto: &dyn Crypto,
        bank: HashAlgorithm,
        mut is_quoted: impl FnMut(&Digest) -> bool,
    ) -> Option<Prefix> {
        let ways = Extension::ALL.into_iter().filter(|way| match way {
            Extension::Hashed => true,
            Extension::PaddedSha1 => bank != HashAlgorithm::Sha1,
            // A list without a violation looks the same in both ways of padding.
            Extension::PaddedSha1Only => {
                bank != HashAlgorithm::Sha1 && self.entries().any(|entry| entry.violation)
            }
        });
        ways.into_iter().find_map(|extension| {
            self.prefix_from(crypto, Replay::new(bank, extension), &mut is_quoted)
        })
    }

    /// As [`prefix`](Self::prefix), going on from what was replayed before.
    pub fn prefix_from(
        &self,
        crypto: &dyn Crypto,
        from: Replay,
        is_quoted: &mut impl FnMut(&Digest) -> bool,
    ) -> Option<Prefix> {
        let prefix = |quoted: usize, value| Prefix {
            quoted,
            left_over: self.len() - quoted,
            value,
            extension: from.extension(),
        };
        // From the end: entries that came between quote and reading are few.
        let old = self.len().saturating_sub(RECENT);
        let mut recent = Vec::with_capacity(self.len() - old + 1);
        let mut replay = from;
        self.entries().take(old).for_each(|entry| replay.extend(crypto, &entry));
        recent.push(replay.value());
        for entry in self.entries_from(old) {
            replay.extend(crypto, &entry);
            recent.push(replay.value());
        }
        let found =
            recent.iter().rev().zip((0..=self.len()).rev()).find(|(value, _)| is_quoted(value));
        if let Some((value, quoted)) = found {
            return Some(prefix(quoted, *value));
        }
        // An old quote. The first hit is the only one, unless a hash collides.
        let mut replay = from;
        for (quoted, entry) in self.entries().enumerate().take(old) {
            if is_quoted(&replay.value()) {
                return Some(prefix(quoted, replay.value()));
            }
            replay.extend(crypto, &entry);
        }
        None
    }
}
