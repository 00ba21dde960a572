//! Going on where the last attestation ended. The list of a boot only grows, so what led to a quoted
//! value once need not be sent or replayed again; and what does not go on from there is told apart:
//! a reboot, a list that was cut, a history that was rewritten.

use super::entry::Extension;
use super::list::Log;
use super::replay::{Prefix, Replay};
use core::fmt;
use touchstone_crypto::{Crypto, Digest};

/// A boot, as the TPM counts it (`TPMS_CLOCK_INFO`). A TPM that slept counts a restart and no reset,
/// and its registers begin anew or go on, as the platform has it (TPM 2.0 Part 1 §12.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// `resetCount`.
    pub resets: u32,
    /// `restartCount`.
    pub restarts: u32,
}

/// Where a quoted list ended: what the Verifier keeps of a device between two attestations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The boot: PCR 10 begins anew with it.
    pub boot: Boot,
    /// Entries that were quoted.
    pub entries: u32,
    /// PCR 10 after them, in the quoted bank.
    pub value: Digest,
    /// How the kernel extends that bank.
    pub extension: Extension,
}

/// How a list goes on from a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// There is no checkpoint: the whole list was replayed.
    Whole,
    /// The list leads from the checkpoint to the quoted value.
    Grown,
    /// The device was started anew since, and the whole list was replayed. After a sleep that kept
    /// PCR 10 the list has [`Grown`](Self::Grown).
    Rebooted,
}

/// A list, or a part of it, that a quote proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    /// How it goes on.
    pub continuity: Continuity,
    /// How much of what was shown is quoted.
    pub prefix: Prefix,
    /// Where to go on next time.
    pub checkpoint: Checkpoint,
    /// The checkpoint that was gone on from, if what lies before it was not shown again.
    pub from: Option<Checkpoint>,
}

/// Why a list does not lead to the quoted value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discontinuity {
    /// The list begins with an entry behind the checkpoint, or before it and not with the first:
    /// show it from the first entry.
    NeedsAll {
        /// The entry that it begins with.
        first: u32,
    },
    /// The list is shorter than what was quoted before, in the same boot.
    Truncated {
        /// Entries that were quoted before.
        acknowledged: u32,
        /// Entries that are shown now.
        shown: u32,
    },
    /// The list has other entries than were quoted before, in the same boot.
    Rewritten {
        /// Entries that were quoted before.
        acknowledged: u32,
    },
    /// The list does not lead to the quoted value.
    Unexplained,
}

impl Discontinuity {
    /// The stable code of this fault.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NeedsAll { .. } => "measure.ima.needs-all",
            Self::Truncated { .. } => "measure.ima.list-truncated",
            Self::Rewritten { .. } => "measure.ima.rewritten",
            Self::Unexplained => "measure.ima.unexplained",
        }
    }
}

impl fmt::Display for Discontinuity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsAll { first } => {
                write!(f, "the IMA list begins with entry {first}; show it from entry 0")
            }
            Self::Truncated { acknowledged, shown } => write!(
                f,
                "the IMA list was cut: {acknowledged} entries were quoted in this boot before, \
                 {shown} are shown"
            ),
            Self::Rewritten { acknowledged } => write!(
                f,
                "the IMA list was rewritten: the {acknowledged} entries that were quoted in this \
                 boot before do not lead to what is quoted now"
            ),
            Self::Unexplained => f.write_str("the IMA list does not lead to the quoted PCR values"),
        }
    }
}

impl core::error::Error for Discontinuity {}

impl Checkpoint {
    /// A checkpoint before the first entry: everything is new.
    const fn start(boot: Boot, bank: touchstone_crypto::HashAlgorithm) -> Self {
        Self { boot, entries: 0, value: Digest::zero(bank), extension: Extension::Hashed }
    }

    /// Where its replay goes on.
    pub const fn replay(&self) -> Replay {
        Replay::resume(self.value, self.extension, self.entries)
    }
}

impl Log {
    /// Finds how much of the list a quote made in `boot` proves, going on from the last
    /// checkpoint: [`first`](Self::first) is either its end or 0. `is_quoted` knows the value of
    /// PCR 10 in the bank of `bank`.
    pub fn prove(
        &self,
        crypto: &dyn Crypto,
        last: Option<&Checkpoint>,
        boot: Boot,
        bank: touchstone_crypto::HashAlgorithm,
        mut is_quoted: impl FnMut(&Digest) -> bool,
    ) -> Result<Proven, Discontinuity> {
        let same = last.filter(|last| last.boot == boot && last.value.algorithm() == bank);
        let (continuity, prefix) = match (same, self.first()) {
            (Some(last), first) if first == last.entries && first > 0 => {
                let prefix = self.prefix_from(crypto, last.replay(), &mut is_quoted);
                let rewritten = Discontinuity::Rewritten { acknowledged: last.entries };
                (Continuity::Grown, prefix.ok_or(rewritten)?)
            }
            (Some(last), 0) => {
                let prefix = self.prefix(crypto, bank, &mut is_quoted);
                (Continuity::Grown, self.check_whole(crypto, last, prefix)?)
            }
            (None, 0) => {
                let prefix = self.prefix(crypto, bank, &mut is_quoted);
                let prefix = prefix.ok_or(Discontinuity::Unexplained)?;
                let slept = |last: &&Checkpoint| {
                    last.boot.resets == boot.resets && last.value.algorithm() == bank
                };
                let continuity = match last {
                    None => Continuity::Whole,
                    Some(_)
                        if last
                            .filter(slept)
                            .is_some_and(|last| self.passes(crypto, last, prefix)) =>
                    {
                        Continuity::Grown
                    }
                    Some(_) => Continuity::Rebooted,
                };
                (continuity, prefix)
            }
            (_, first) => return Err(Discontinuity::NeedsAll { first }),
        };
        let quoted = u32::try_from(prefix.quoted).unwrap_or(u32::MAX);
        let entries = self.first().saturating_add(quoted);
        let (value, extension) = (prefix.value, prefix.extension);
        let checkpoint = Checkpoint { entries, value, extension, ..Checkpoint::start(boot, bank) };
        let from = same.copied().filter(|_| self.first() > 0);
        Ok(Proven { continuity, prefix, checkpoint, from })
    }

    /// A whole list, though some of it was quoted in this boot before: it has to pass there.
    fn check_whole(
        &self,
        crypto: &dyn Crypto,
        last: &Checkpoint,
        prefix: Option<Prefix>,
    ) -> Result<Prefix, Discontinuity> {
        let acknowledged = last.entries;
        let before = usize::try_from(acknowledged).unwrap_or(usize::MAX);
        let shown = u32::try_from(self.len()).unwrap_or(u32::MAX);
        if self.len() < before {
            return Err(Discontinuity::Truncated { acknowledged, shown });
        }
        let prefix = prefix.ok_or(Discontinuity::Unexplained)?;
        if self.passes(crypto, last, prefix) {
            Ok(prefix)
        } else {
            Err(Discontinuity::Rewritten { acknowledged })
        }
    }

    /// Whether a whole list leads through where the last one ended. It does not if the TPM quotes an
    /// earlier value than it did before: then PCR 10 has been reset.
    fn passes(&self, crypto: &dyn Crypto, last: &Checkpoint, prefix: Prefix) -> bool {
        let before = usize::try_from(last.entries).unwrap_or(usize::MAX);
        if prefix.quoted < before {
            return false;
        }
        let mut replay = Replay::new(last.value.algorithm(), last.extension);
        self.entries().take(before).for_each(|entry| replay.extend(crypto, &entry));
        replay.value() == last.value
    }
}
