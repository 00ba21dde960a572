//! Registers of the FIFO interface and their bits (PTP, "FIFO Interface Register Space").

use super::Fault;

pub(super) const ACCESS: u16 = 0x000;
pub(super) const INTF_CAPABILITY: u16 = 0x014;
pub(super) const STS: u16 = 0x018;
pub(super) const DATA_FIFO: u16 = 0x024;
pub(super) const INTERFACE_ID: u16 = 0x030;
pub(super) const DID_VID: u16 = 0xF00;
pub(super) const RID: u16 = 0xF04;

/// `TPM_ACCESS`.
pub(super) mod access {
    pub(in super::super) const VALID: u8 = 1 << 7;
    pub(in super::super) const ACTIVE: u8 = 1 << 5;
    pub(in super::super) const REQUEST_USE: u8 = 1 << 1;
    /// Reserved, and `Seize`, which is written only.
    pub(in super::super) const READS_ZERO: u8 = 1 << 6 | 1 << 3;
}

/// `TPM_STS`.
#[derive(Clone, Copy)]
pub(super) struct Status(u32);

impl Status {
    pub(super) const CANCEL: u32 = 1 << 24;
    pub(super) const VALID: u32 = 1 << 7;
    pub(super) const COMMAND_READY: u32 = 1 << 6;
    pub(super) const GO: u32 = 1 << 5;
    pub(super) const DATA_AVAIL: u32 = 1 << 4;
    pub(super) const EXPECT: u32 = 1 << 3;
    pub(super) const RESPONSE_RETRY: u32 = 1 << 1;
    /// Reserved, and what is written only.
    const READS_ZERO: u32 = Self::GO | Self::RESPONSE_RETRY | 1;

    pub(super) fn decode(octets: [u8; 4]) -> Result<Self, Fault> {
        // All ones are no status: this locality is not the active one, or nobody is there.
        if octets.first() == Some(&0xFF) {
            return Err(Fault::LocalityLost);
        }
        Ok(Self(u32::from_le_bytes(octets)))
    }

    pub(super) const fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    /// Whether `dataAvail` and `Expect` mean something.
    pub(super) const fn is_valid(self) -> bool {
        self.has(Self::VALID) && !self.has(Self::READS_ZERO)
    }

    /// How many octets the FIFO takes or gives now.
    pub(super) fn burst(self) -> usize {
        let [_, low, high, _] = self.0.to_le_bytes();
        usize::from(u16::from_le_bytes([low, high]))
    }

    /// `tpmFamily`.
    pub(super) const fn is_tpm2(self) -> bool {
        self.0 >> 26 & 3 == 1
    }
}

/// `TPM_INTF_CAPABILITY.InterfaceVersion` of a TPM 2.0.
pub(super) const fn is_tpm2_interface(capability: u32) -> bool {
    capability >> 28 & 7 == 3
}

/// `TPM_INTERFACE_ID.InterfaceType`.
pub(super) const fn is_crb(interface_id: u32) -> bool {
    interface_id & 0xF == 1
}
