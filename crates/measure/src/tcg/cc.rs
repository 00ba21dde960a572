//! Logs of confidential guests: the ACPI table CCEL (ACPI 6.5 §5.2.34) that says where one is, and
//! the registers that its events count (UEFI 2.10 §38.4.1, Intel TDX GHCI §4.3).

use super::{Event, EventLog, EventType, Registers};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_wire::Reader;

/// MRTD and four RTMRs.
pub(super) const REGISTER_COUNT: u32 = 5;

/// Runtime measurement registers of a TDX guest.
pub const RTMR_COUNT: u32 = 4;

/// The RTMR that a TDX guest's firmware extends in place of a PCR; `None` for PCR 0, whose place MRTD
/// takes, and for PCRs that have none.
pub const fn rtmr_of_pcr(pcr: u32) -> Option<u32> {
    match pcr {
        1 | 7 => Some(0),
        2..=6 => Some(1),
        8..=15 => Some(2),
        _ => None,
    }
}

/// The values of the RTMRs, in SHA-384.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rtmrs {
    values: [Digest; RTMR_COUNT as usize],
    touched: u32,
}

impl Rtmrs {
    /// The value of an RTMR; `None` if there is none of that number.
    pub fn value(&self, rtmr: u32) -> Option<Digest> {
        self.values.get(usize::try_from(rtmr).ok()?).copied()
    }

    /// Whether anything was extended into it.
    pub const fn is_touched(&self, rtmr: u32) -> bool {
        rtmr < RTMR_COUNT && self.touched & (1 << rtmr) != 0
    }
}

impl Event {
    /// The RTMR that this event of a confidential guest's log was extended into.
    pub const fn rtmr(&self) -> Option<u32> {
        match self.pcr {
            1..=RTMR_COUNT => Some(self.pcr - 1),
            _ => None,
        }
    }
}

impl EventLog {
    /// The values of the RTMRs that these events lead to; all zeros if this is no log of a
    /// confidential guest. MRTD is of before the guest ran: no event extends it.
    pub fn rtmrs(&self, crypto: &dyn Crypto) -> Rtmrs {
        let bank = HashAlgorithm::Sha384;
        let mut rtmrs = Rtmrs { values: [Digest::zero(bank); RTMR_COUNT as usize], touched: 0 };
        if self.registers != Registers::ConfidentialComputing {
            return rtmrs;
        }
        for event in self.events.iter().filter(|event| event.kind != EventType::NO_ACTION) {
            let slot = event.rtmr().and_then(|rtmr| {
                let value = rtmrs.values.get_mut(usize::try_from(rtmr).ok()?)?;
                Some((rtmr, value))
            });
            let (Some((rtmr, value)), Some(digest)) = (slot, event.digest(bank)) else { continue };
            *value = crypto.hash(bank, &[value.as_bytes(), digest.as_bytes()]);
            rtmrs.touched |= 1 << rtmr;
        }
        rtmrs
    }
}

/// The ACPI table that says where the log of a confidential guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ccel {
    /// What kind of guest it is.
    pub kind: GuestKind,
    /// Its subtype.
    pub subtype: u8,
    /// Octets that the area of the log has at the least.
    pub area_len: u64,
    /// Where it is in memory.
    pub area_at: u64,
}

/// What kind of guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuestKind {
    /// AMD SEV.
    Sev,
    /// Intel TDX.
    Tdx,
    /// Another, by its number.
    Other(u8),
}

impl Ccel {
    /// Reads the table; `None` if it is another, or if its length or checksum is wrong.
    pub fn decode(table: &[u8]) -> Option<Self> {
        let sum = table.iter().fold(0u8, |sum, octet| sum.wrapping_add(*octet));
        let mut reader = Reader::new(table);
        if reader.take(4).ok()? != b"CCEL" || sum != 0 {
            return None;
        }
        let len = usize::try_from(reader.u32_le().ok()?).ok()?;
        if len != table.len() {
            return None;
        }
        reader.take(28).ok()?; // the rest of the header of every ACPI table
        let kind = match reader.u8().ok()? {
            1 => GuestKind::Sev,
            2 => GuestKind::Tdx,
            other => GuestKind::Other(other),
        };
        let subtype = reader.u8().ok()?;
        reader.u16_le().ok()?;
        Some(Self {
            kind,
            subtype,
            area_len: reader.u64_le().ok()?,
            area_at: reader.u64_le().ok()?,
        })
    }
}
