//! What is odd about a log. An oddity is no verdict: firmware has many, and the replay tells whether
//! the log is the one that the registers saw.

use super::{Binding, Event, EventLog, EventType, Registers};
use alloc::vec::Vec;
use core::fmt;
use touchstone_crypto::{Crypto, HashAlgorithm};

/// Something odd, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// What.
    pub oddity: Oddity,
    /// The event; `None` if it is about the log as a whole.
    pub event: Option<u32>,
    /// The register that it is about, or that of the event.
    pub pcr: Option<u32>,
}

/// What can be odd, one variant per check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Oddity {
    /// The Spec ID event names a register, or has a digest (PFP §10.4.5.1).
    SpecIdMeasured,
    /// The Spec ID event ends before the vendor's part, or goes on behind it.
    SpecIdLength,
    /// Octets that are no event follow the last one.
    Padding,
    /// The log has a bank whose algorithm is not known here.
    UnknownBank,
    /// The event's type is not in the profile.
    UnknownType,
    /// The event has no digest for this bank: its register cannot be replayed.
    NoDigest,
    /// The data is not what was measured, though the profile says that it is.
    Differs,
    /// `EV_NO_ACTION` with something else than zeros as its digest.
    NoActionDigest,
    /// A `StartupLocality` event that comes after PCR 0 was extended, or names a locality that
    /// there is none for: it does not count.
    LateLocality,
    /// A separator that says that something failed (PFP §3.3.2.2).
    ErrorSeparator,
    /// A second separator in the same register.
    SecondSeparator,
    /// A register of the firmware has events and no separator (PFP §3.3.2.2).
    NoSeparator,
    /// The firmware does not say that its boot services ended: what follows was measured before the
    /// log was complete, or the log is older than the end of the boot (PFP §3.3.4.6).
    NoExitBootServices,
}

impl Oddity {
    /// The stable code of this oddity.
    pub const fn code(self) -> &'static str {
        match self {
            Self::SpecIdMeasured => "spec-id-measured",
            Self::SpecIdLength => "spec-id-length",
            Self::Padding => "padding",
            Self::UnknownBank => "unknown-bank",
            Self::UnknownType => "unknown-type",
            Self::NoDigest => "no-digest",
            Self::Differs => "differs",
            Self::NoActionDigest => "no-action-digest",
            Self::LateLocality => "late-locality",
            Self::ErrorSeparator => "error-separator",
            Self::SecondSeparator => "second-separator",
            Self::NoSeparator => "no-separator",
            Self::NoExitBootServices => "no-exit-boot-services",
        }
    }
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SpecIdMeasured => "the Spec ID event names a register or a digest",
            Self::SpecIdLength => "the Spec ID event is shorter or longer than what it holds",
            Self::Padding => "octets of padding follow the last event",
            Self::UnknownBank => "a bank is of an algorithm that cannot be replayed here",
            Self::UnknownType => "its type is not in the profile",
            Self::NoDigest => "it has no digest for this bank, so its register cannot be replayed",
            Self::Differs => "what it says is not what was measured",
            Self::NoActionDigest => "nothing is measured by its type, and it has a digest",
            Self::LateLocality => "it tells a start-up locality that does not count",
            Self::ErrorSeparator => "the firmware reports an error",
            Self::SecondSeparator => "its register had a separator before",
            Self::NoSeparator => "the register has events and no separator",
            Self::NoExitBootServices => "the end of the boot services is not in the log",
        })
    }
}

impl EventLog {
    /// What is odd, in the order of the events, and then of the log as a whole.
    pub fn anomalies(&self, crypto: &dyn Crypto, algorithm: HashAlgorithm) -> Vec<Anomaly> {
        let mut found = Vec::new();
        let mut seen = Seen::default();
        for event in &self.events {
            let mut tell = |oddity| {
                let pcr = Some(event.pcr).filter(|pcr| *pcr != u32::MAX);
                found.push(Anomaly { oddity, event: Some(event.index), pcr });
            };
            self.of_form(event, &mut tell);
            match event.binding(crypto, algorithm) {
                Binding::NoDigest => tell(Oddity::NoDigest),
                Binding::Differs if event.is_error(crypto, algorithm) => {
                    tell(Oddity::ErrorSeparator);
                }
                Binding::Differs => tell(Oddity::Differs),
                _ => {}
            }
            seen.take(event, &mut tell);
        }
        let mut tell = |oddity, pcr| found.push(Anomaly { oddity, event: None, pcr });
        if self.registers == Registers::Pcrs {
            for pcr in (0..8).filter(|pcr| seen.measured & !seen.separated & (1 << pcr) != 0) {
                tell(Oddity::NoSeparator, Some(pcr));
            }
            if seen.separated != 0 && !seen.exit_boot_services {
                tell(Oddity::NoExitBootServices, None);
            }
        }
        if self.banks.iter().any(|bank| bank.algorithm().is_none()) {
            tell(Oddity::UnknownBank, None);
        }
        if self.padding > 0 {
            tell(Oddity::Padding, None);
        }
        found
    }

    fn of_form(&self, event: &Event, tell: &mut impl FnMut(Oddity)) {
        if event.kind.name().is_none() {
            tell(Oddity::UnknownType);
        }
        if event.kind != EventType::NO_ACTION {
            return;
        }
        let zeros = event.digests.iter().all(|digest| digest.as_bytes().iter().all(|&o| o == 0));
        if event.index == 0 {
            let Some(spec_id) = self.spec_id() else { return };
            if event.pcr != 0 || !zeros {
                tell(Oddity::SpecIdMeasured);
            }
            if spec_id.vendor.is_none() || spec_id.left_over > 0 {
                tell(Oddity::SpecIdLength);
            }
        } else if !zeros {
            tell(Oddity::NoActionDigest);
        }
    }
}

impl Event {
    /// A separator after an error is measured as 1, whatever its data tells of the error (PFP §3.3.2.2).
    fn is_error(&self, crypto: &dyn Crypto, algorithm: HashAlgorithm) -> bool {
        self.kind == EventType::SEPARATOR
            && self.is_digest_of(crypto, algorithm, &1u32.to_le_bytes())
    }
}

/// What the events before have told.
#[derive(Default)]
struct Seen {
    measured: u32,
    separated: u32,
    exit_boot_services: bool,
}

impl Seen {
    fn take(&mut self, event: &Event, tell: &mut impl FnMut(Oddity)) {
        if event.kind == EventType::NO_ACTION {
            let tells = event.data.starts_with(super::no_action::STARTUP_LOCALITY);
            let zero = event.data.last() == Some(&0);
            let counts = event.startup_locality().is_some() && self.measured & 1 == 0;
            if tells && !counts && !zero {
                tell(Oddity::LateLocality);
            }
            return;
        }
        let bit = 1u32.checked_shl(event.pcr).unwrap_or(0);
        self.measured |= bit;
        if event.kind == EventType::SEPARATOR {
            if self.separated & bit != 0 {
                tell(Oddity::SecondSeparator);
            }
            if event.data == 1u32.to_le_bytes() {
                tell(Oddity::ErrorSeparator);
            }
            self.separated |= bit;
        }
        self.exit_boot_services |= event.kind == EventType::EFI_ACTION
            && event.data.starts_with(b"Exit Boot Services Returned");
    }
}
