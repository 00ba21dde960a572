//! What a TPM behind the FIFO interface can do wrong.

use core::fmt;

/// Why the conversation over the FIFO interface failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// No TPM answers: its registers read as all ones or all zeros.
    Absent,
    /// `TPM_INTERFACE_ID` says that the TPM speaks the CRB interface.
    Crb,
    /// `TPM_INTF_CAPABILITY` and `TPM_STS` say that it is a TPM 1.2.
    NotTpm2,
    /// `TPM_ACCESS.tpmRegValidSts` did not come within `TIMEOUT_A`.
    AccessNotValid,
    /// The locality was not granted within `TIMEOUT_A`: another one holds the TPM.
    LocalityRefused,
    /// The locality was taken away in the middle of a command.
    LocalityLost,
    /// `TPM_STS.commandReady` did not come within `TIMEOUT_B`.
    NeverReady,
    /// `TPM_STS.stsValid` did not come within `TIMEOUT_C`.
    StatusNotValid,
    /// `TPM_STS.burstCount` stayed zero for `TIMEOUT_A`.
    NoBurst,
    /// `TPM_STS.Expect` fell before the command's last octet.
    StoppedExpecting,
    /// `TPM_STS.Expect` stood after the command's last octet.
    StillExpecting,
    /// The response did not come in the command's time, nor after it was cancelled.
    NoResponse,
    /// The response's header gives a size below ten octets or beyond the buffer.
    ResponseSize(u32),
    /// `TPM_STS.dataAvail` fell before the response's last octet.
    ResponseShort,
    /// `TPM_STS.dataAvail` stood after the response's last octet.
    ResponseLong,
    /// The command's header does not give the command's own length. Nothing was sent.
    CommandSize,
    /// The TPM on SPI held its wait state beyond any patience.
    SpiWait,
    /// The register is not one of the bus's.
    NoSuchRegister,
}

impl Fault {
    /// The stable code of this fault.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Absent => "tpm2.tis.absent",
            Self::Crb => "tpm2.tis.crb",
            Self::NotTpm2 => "tpm2.tis.not-tpm2",
            Self::AccessNotValid => "tpm2.tis.access.not-valid",
            Self::LocalityRefused => "tpm2.tis.locality.refused",
            Self::LocalityLost => "tpm2.tis.locality.lost",
            Self::NeverReady => "tpm2.tis.never-ready",
            Self::StatusNotValid => "tpm2.tis.status.not-valid",
            Self::NoBurst => "tpm2.tis.no-burst",
            Self::StoppedExpecting => "tpm2.tis.command.stopped-expecting",
            Self::StillExpecting => "tpm2.tis.command.still-expecting",
            Self::NoResponse => "tpm2.tis.response.none",
            Self::ResponseSize(_) => "tpm2.tis.response.size",
            Self::ResponseShort => "tpm2.tis.response.short",
            Self::ResponseLong => "tpm2.tis.response.long",
            Self::CommandSize => "tpm2.tis.command.size",
            Self::SpiWait => "tpm2.tis.spi.wait",
            Self::NoSuchRegister => "tpm2.tis.register",
        }
    }

    /// Whether asking for the response once more (`TPM_STS.responseRetry`) may help: what came may
    /// have been hurt on the bus.
    pub(super) const fn is_of_response(self) -> bool {
        matches!(self, Self::ResponseSize(_) | Self::ResponseShort | Self::ResponseLong)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "no TPM answers on the bus; check its wiring, address and reset",
            Self::Crb => "the TPM speaks the CRB interface, not FIFO",
            Self::NotTpm2 => "the TPM is a TPM 1.2",
            Self::AccessNotValid => "the TPM's access register never became valid; reset it",
            Self::LocalityRefused => "another locality holds the TPM",
            Self::LocalityLost => "the locality was taken away in the middle of a command",
            Self::NeverReady => "the TPM never became ready for a command; reset it",
            Self::StatusNotValid => "the TPM's status never became valid; reset it",
            Self::NoBurst => "the TPM took or gave no octet for too long; reset it",
            Self::StoppedExpecting => "the TPM refused the rest of the command",
            Self::StillExpecting => "the TPM wants more than the whole command",
            Self::NoResponse => "no response in time, nor after the command was cancelled",
            Self::ResponseSize(size) => {
                return write!(f, "the response's size of {size} octets is out of range");
            }
            Self::ResponseShort => "the response ended before its size",
            Self::ResponseLong => "the response went on beyond its size",
            Self::CommandSize => "the command's header does not give its length",
            Self::SpiWait => "the TPM on SPI never ended its wait state",
            Self::NoSuchRegister => "the register is not one of this bus's",
        })
    }
}
