//! Carrying a command to a TPM and its response back.

#[cfg(all(test, feature = "std"))]
mod canned;
#[cfg(feature = "std")]
mod control;
#[cfg(feature = "std")]
mod device;
#[cfg(feature = "std")]
mod line;
mod locality;
#[cfg(feature = "std")]
mod simulator;
#[cfg(feature = "std")]
mod stream;
pub mod tis;

#[cfg(feature = "std")]
pub use control::{Abilities, Control, Request};
#[cfg(feature = "std")]
pub use device::Device;
pub use locality::Locality;
#[cfg(feature = "std")]
pub use simulator::Simulator;
#[cfg(feature = "std")]
pub use stream::Stream;

use core::fmt;

/// The largest command or response in octets (`MAX_RESPONSE_SIZE` of every known TPM).
pub const MAX_MESSAGE: usize = 4096;

/// A way to a TPM.
pub trait Transport {
    /// Sends one command and waits for its response, which it puts at the start of `response`
    /// ([`MAX_MESSAGE`] octets fit all). Gives the response's length.
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError>;

    /// Lets so much time pass. How a busy TPM is waited for.
    fn pause(&mut self, millis: u32);

    /// Whether a resource manager stands between, so that nobody else's objects and sessions are
    /// seen, and ours go when the connection does.
    fn is_managed(&self) -> bool {
        false
    }
}

/// Why a command did not reach the TPM, or its response not us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// The operating system's error number.
    Os(i32),
    /// The connection ended.
    Closed,
    /// No response in time.
    TimedOut,
    /// What came is no response: its size is out of range, or it was cut short.
    Malformed(&'static str),
    /// The resource manager has no room for one more object or session of ours.
    NoRoom,
    /// The TPM's interface broke its protocol.
    Interface(&'static str),
    /// The platform around a software TPM refused, with its code.
    Platform(u32),
    /// The FIFO interface's conversation failed.
    Tis(tis::Fault),
}

impl TransportError {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Os(_) => "tpm2.transport.os",
            Self::Closed => "tpm2.transport.closed",
            Self::TimedOut => "tpm2.transport.timeout",
            Self::Malformed(_) => "tpm2.transport.malformed",
            Self::NoRoom => "tpm2.transport.no-room",
            Self::Interface(_) => "tpm2.transport.interface",
            Self::Platform(_) => "tpm2.transport.platform",
            Self::Tis(fault) => fault.code(),
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os(number) => write!(f, "the operating system's error {number}"),
            Self::Closed => f.write_str("the connection to the TPM ended"),
            Self::TimedOut => f.write_str("the TPM did not respond in time"),
            Self::NoRoom => f.write_str("the resource manager has no room for one more of ours"),
            Self::Malformed(what) | Self::Interface(what) => f.write_str(what),
            Self::Platform(code) => write!(f, "the software TPM's platform refused: {code:#x}"),
            Self::Tis(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for TransportError {}

impl From<tis::Fault> for TransportError {
    fn from(fault: tis::Fault) -> Self {
        Self::Tis(fault)
    }
}

/// For a bus that cannot fail, as memory.
impl From<core::convert::Infallible> for TransportError {
    fn from(never: core::convert::Infallible) -> Self {
        match never {}
    }
}

#[cfg(feature = "std")]
impl From<std::io::Error> for TransportError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        match (error.kind(), error.raw_os_error()) {
            (ErrorKind::WouldBlock | ErrorKind::TimedOut, _) => Self::TimedOut,
            (
                ErrorKind::UnexpectedEof
                | ErrorKind::WriteZero
                | ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe,
                _,
            ) => Self::Closed,
            (_, Some(number)) => Self::Os(number),
            (_, None) => Self::Interface("the operating system gave no reason"),
        }
    }
}
