//! The TCG event log of a platform's firmware: the crypto-agile format of the PC Client Platform
//! Firmware Profile (PFP) §10.2.2, and the SHA-1 format of §10.2.1 before it. This is what Linux
//! shows in `binary_bios_measurements`. Logs of confidential guests (CCEL, ACPI 6.5 §5.2.34) have
//! the same form and count other registers: see [`EventLog::decode_cc`].
//!
//! An event's digests are what the PCRs saw. Its data only explains them: before relying on the
//! data, ask [`Event::explains`] or [`Event::binding`], because whoever hands over a log can write
//! anything there.

mod anomaly;
mod binding;
mod cc;
mod decode;
mod describe;
mod device_path;
mod final_events;
mod gpt;
mod guid;
mod kind;
mod no_action;
mod platform;
mod signatures;
mod tags;
mod text;
mod variable;

pub use anomaly::{Anomaly, Oddity};
pub use binding::Binding;
pub use cc::{Ccel, GuestKind, RTMR_COUNT, Rtmrs, rtmr_of_pcr};
pub use decode::{MAX_EVENTS, MAX_LOG};
pub use describe::{Description, describe};
pub use device_path::{DevicePath, Node, Nodes};
pub use gpt::{Gpt, Partition};
pub use guid::Guid;
pub use kind::EventType;
pub use no_action::{PlatformReference, SpecId};
pub use platform::{DeviceSecurity, HandoffTable};
pub use signatures::{Signature, SignatureDatabase};
pub use tags::tag_name;
pub use variable::{Content, LoadOption, variable_data};

use crate::Pcrs;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// A parsed event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLog {
    events: Vec<Event>,
    banks: Vec<Bank>,
    /// The banks of them that are known here.
    algorithms: Vec<HashAlgorithm>,
    registers: Registers,
    /// Octets of padding behind the last event.
    padding: usize,
}

/// What the numbers in a log's events count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registers {
    /// PCRs of a TPM.
    Pcrs,
    /// Measurement registers of a confidential guest: 0 is MRTD, 1 to 4 are RTMR 0 to 3 (UEFI 2.10
    /// §38.4.1).
    ConfidentialComputing,
}

/// A bank that a log carries digests for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bank {
    /// `TPM_ALG_ID`.
    pub id: u16,
    /// Octets of its digests, as the log declares.
    pub len: usize,
}

impl Bank {
    /// The algorithm, if digests of it can be made here.
    pub fn algorithm(&self) -> Option<HashAlgorithm> {
        HashAlgorithm::from_tpm_id(self.id)
    }

    /// The name of the algorithm (TCG Algorithm Registry §6.4); `None` if it has none.
    pub fn name(&self) -> Option<&'static str> {
        match self.id {
            0x0012 => Some("sm3_256"),
            0x0027 => Some("sha3_256"),
            0x0028 => Some("sha3_384"),
            0x0029 => Some("sha3_512"),
            _ => self.algorithm().map(HashAlgorithm::name),
        }
    }
}

/// One event: what was extended where, and what the firmware says it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place in the log; the Spec ID event is 0.
    pub index: u32,
    /// The octet offset in the log at which it begins.
    pub at: usize,
    /// The PCR that it was extended into; in the log of a confidential guest, the register.
    pub pcr: u32,
    /// Its type.
    pub kind: EventType,
    /// The digests, one per bank whose algorithm is known here.
    pub digests: Vec<Digest>,
    /// The digests of other algorithms, as they are.
    pub others: Vec<OtherDigest>,
    /// What the firmware says about it; not proven by itself ([`explains`](Self::explains)).
    pub data: Vec<u8>,
}

/// A digest of an algorithm that is not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherDigest {
    /// `TPM_ALG_ID`.
    pub id: u16,
    /// As many octets as the log declares.
    pub octets: Vec<u8>,
}

impl EventLog {
    /// The events in their order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The banks that the log carries digests for, as far as known here.
    pub fn algorithms(&self) -> &[HashAlgorithm] {
        &self.algorithms
    }

    /// Every bank that the log carries digests for.
    pub fn banks(&self) -> &[Bank] {
        &self.banks
    }

    /// What its events count.
    pub const fn registers(&self) -> Registers {
        self.registers
    }

    /// The Spec ID event's content; `None` in the SHA-1 format.
    pub fn spec_id(&self) -> Option<SpecId> {
        self.events.first().and_then(SpecId::of)
    }

    /// The PCR values that these events lead to, in the bank of `algorithm`.
    ///
    /// `EV_NO_ACTION` is never extended (PFP §10.4.5). PCR 0 begins with the locality that a
    /// `StartupLocality` event before its first extend names (PFP §10.4.5.3), or with 4 where the first
    /// is a H-CRTM's (TPM 2.0 Part 1 §34.3). PCR 17 to 22 begin with zeros: only a dynamic launch,
    /// which resets them, lets anybody extend them (TCG PC Client PTP §4.6.2). An event without a
    /// digest for this bank leaves its PCR as it was, so the replay will not match a quote; nor
    /// does anything in the log of a confidential guest, see [`rtmrs`](Self::rtmrs).
    pub fn replay(&self, crypto: &dyn Crypto, algorithm: HashAlgorithm) -> Pcrs {
        let mut pcrs = Pcrs::reset(algorithm);
        if self.registers != Registers::Pcrs {
            return pcrs;
        }
        let mut begun = 0u32;
        for event in &self.events {
            let bit = 1u32.checked_shl(event.pcr).unwrap_or(0);
            let first = begun & bit == 0;
            if event.kind == EventType::NO_ACTION {
                if let Some(locality) = event.startup_locality().filter(|_| first) {
                    pcrs.set(0, last_octet(algorithm, locality));
                }
            } else if let Some(digest) = event.digest(algorithm) {
                if first && event.pcr == 0 && event.kind == EventType::EFI_HCRTM_EVENT {
                    pcrs.set(0, last_octet(algorithm, 4));
                }
                if first && DYNAMIC.contains(&event.pcr) {
                    pcrs.set(event.pcr, Digest::zero(algorithm));
                }
                pcrs.extend(crypto, event.pcr, &digest);
                begun |= bit;
            }
        }
        pcrs
    }
}

/// The PCRs of a dynamic launch.
const DYNAMIC: core::ops::RangeInclusive<u32> = 17..=22;

impl Event {
    /// The digest for a bank.
    pub fn digest(&self, algorithm: HashAlgorithm) -> Option<Digest> {
        self.digests.iter().find(|digest| digest.algorithm() == algorithm).copied()
    }

    /// Whether `measured` is what was extended into the bank of `algorithm`.
    pub fn is_digest_of(
        &self,
        crypto: &dyn Crypto,
        algorithm: HashAlgorithm,
        measured: &[u8],
    ) -> bool {
        self.digest(algorithm) == Some(crypto.hash(algorithm, &[measured]))
    }

    /// Whether the event's data itself is what was measured, and so as well proven as the digest.
    pub fn explains(&self, crypto: &dyn Crypto, algorithm: HashAlgorithm) -> bool {
        self.is_digest_of(crypto, algorithm, &self.data)
    }

    /// The locality that PCR 0 begins with, if this event tells one that counts.
    pub fn startup_locality(&self) -> Option<u8> {
        match self.data.strip_prefix(no_action::STARTUP_LOCALITY) {
            // 3 and 4: TPM2_Startup from locality 3, or a H-CRTM event (PFP §10.4.5.3).
            Some([locality @ (3 | 4)]) if self.pcr == 0 && self.kind == EventType::NO_ACTION => {
                Some(*locality)
            }
            _ => None,
        }
    }
}

fn last_octet(algorithm: HashAlgorithm, octet: u8) -> Digest {
    let mut bytes = [0; 64];
    let value = bytes.get_mut(..algorithm.len()).and_then(|bytes| {
        *bytes.last_mut()? = octet;
        Digest::new(algorithm, bytes)
    });
    value.unwrap_or(Digest::zero(algorithm))
}
