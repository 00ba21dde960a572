//! What can go wrong in a conversation with a TPM.

use crate::policy::Unsatisfied;
use crate::transport::TransportError;
use crate::{nv, response_code};
use core::fmt;

/// Why a TPM did not do as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The command or its response was lost on the way.
    Transport(TransportError),
    /// The TPM said no.
    Refused(Refusal),
    /// An authorization value is wrong. It was tried once and not again.
    WrongAuthorization {
        /// The TPM's no.
        refusal: Refusal,
        /// Where the TPM stands now, when this try counted: an entity that is not protected against
        /// guessing counts none.
        lockout: Option<Lockout>,
    },
    /// The TPM takes no authorization that counts for now, right or wrong.
    LockedOut(Lockout),
    /// The TPM is in failure mode and does nothing more.
    Failed {
        /// What its self-test says (`TPM2_GetTestResult`), a response code.
        result: Option<u32>,
    },
    /// Somebody cancelled the command.
    Canceled,
    /// A policy does not hold.
    Unsatisfied(Unsatisfied),
    /// The TPM has no room for more, and nothing of ours stands in the way.
    Exhausted(Slots),
    /// What came from a TPM, or was said to, does not parse.
    Malformed(&'static str),
    /// A response's HMAC is wrong: somebody sits between us and the TPM.
    Tampered,
    /// What was handed in is out of range.
    BadInput(&'static str),
    /// The TPM, this kind of key, or this code, cannot do that.
    Unsupported(&'static str),
    /// A non-volatile index does not fit its use.
    Nv(nv::Fault),
    /// The TPM was busy for as long as we waited.
    Busy,
    /// The crypto provider failed.
    Crypto(touchstone_crypto::Error),
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Transport(error) => error.code(),
            Self::Refused(_) => "tpm2.refused",
            Self::WrongAuthorization { .. } => "tpm2.authorization.wrong",
            Self::LockedOut(_) => "tpm2.authorization.locked-out",
            Self::Failed { .. } => "tpm2.failed",
            Self::Canceled => "tpm2.canceled",
            Self::Unsatisfied(why) => why.code(),
            Self::Exhausted(slots) => slots.code(),
            Self::Malformed(_) => "tpm2.malformed",
            Self::Tampered => "tpm2.tampered",
            Self::BadInput(_) => "tpm2.input.bad",
            Self::Unsupported(_) => "tpm2.unsupported",
            Self::Nv(fault) => fault.code(),
            Self::Busy => "tpm2.busy",
            Self::Crypto(_) => "tpm2.crypto",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => write!(f, "{error}"),
            Self::Refused(refusal) | Self::WrongAuthorization { refusal, lockout: None } => {
                write!(f, "{refusal}")
            }
            Self::WrongAuthorization { refusal, lockout: Some(lockout) } => {
                let left = lockout.tries_left();
                write!(f, "{refusal}; {left} more wrong ones lock the TPM, which forgives one ")?;
                write!(f, "every {}", Seconds(lockout.interval))
            }
            Self::LockedOut(lockout) => write!(
                f,
                "the TPM is locked after {} wrong authorizations: wait {} until it forgives one, \
                 or reset it with the lockout authorization (`tpm2_dictionarylockout --clear-lockout`)",
                lockout.failed,
                Seconds(lockout.interval)
            ),
            Self::Failed { result } => {
                f.write_str(
                    "the TPM is in failure mode; power the device off and on, and replace ",
                )?;
                f.write_str("the TPM when that does not help")?;
                match result {
                    Some(result) => write!(f, " (its self-test says 0x{result:03x})"),
                    None => Ok(()),
                }
            }
            Self::Canceled => {
                f.write_str("the command was cancelled; send it again when it is still wanted")
            }
            Self::Unsatisfied(why) => write!(f, "{why}"),
            Self::Exhausted(slots) => write!(f, "{slots}"),
            Self::Malformed(what) => write!(f, "the TPM's answer does not parse: {what}"),
            Self::Tampered => f.write_str(
                "a response's HMAC is wrong: somebody sits between us and the TPM; \
                 do not trust this device until the connection to its TPM was examined",
            ),
            Self::BadInput(what) => f.write_str(what),
            Self::Unsupported(what) => write!(f, "not supported by this TPM: {what}"),
            Self::Nv(fault) => write!(f, "{fault}"),
            Self::Busy => f.write_str("the TPM stayed busy; try again later"),
            Self::Crypto(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for Error {}

impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl From<touchstone_crypto::Error> for Error {
    fn from(error: touchstone_crypto::Error) -> Self {
        Self::Crypto(error)
    }
}

/// The TPM's own no: which command, and its response code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The command, as Part 3 names it: `TPM2_Quote`.
    pub command: &'static str,
    /// The response code, as the TPM gave it (TPM 2.0 Part 2 §6.6).
    pub response: u32,
}

impl Refusal {
    /// The code's name without its position: `TPM_RC_AUTH_FAIL`.
    pub fn name(&self) -> &'static str {
        response_code::name(self.response)
    }

    /// What it complains of: `parameter 2`, `handle 1`, `session 1`, or nothing.
    pub const fn about(&self) -> Option<(&'static str, u8)> {
        response_code::about(self.response)
    }

    /// What it means, and what to do.
    pub fn words(&self) -> &'static str {
        response_code::words(self.response)
    }

    /// Whether it is this code, wherever it points; see [`crate::response_code`].
    pub const fn is(&self, base: u32) -> bool {
        response_code::base(self.response) == base
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} refused with {} (0x{:03x}", self.command, self.name(), self.response)?;
        if let Some((what, number)) = self.about() {
            write!(f, ", {what} {number}")?;
        }
        write!(f, "): {}", self.words())
    }
}

/// Where a TPM stands with wrong authorizations (TPM 2.0 Part 1 §19.8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// Wrong ones that were not forgiven yet.
    pub failed: u32,
    /// With so many it locks.
    pub allowed: u32,
    /// It forgives one every so many seconds; never, when that is zero.
    pub interval: u32,
    /// After a wrong lockout authorization, that is refused for so many seconds; until the next
    /// start, when that is zero.
    pub recovery: u32,
}

impl Lockout {
    /// How many more wrong ones it takes until it locks.
    pub const fn tries_left(&self) -> u32 {
        self.allowed.saturating_sub(self.failed)
    }

    /// Whether it is locked.
    pub const fn is_locked(&self) -> bool {
        self.failed >= self.allowed
    }
}

/// A span of time as people say it.
struct Seconds(u32);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("time the TPM starts"),
            seconds @ 1..120 => write!(f, "{seconds} s"),
            seconds @ 120..7200 => write!(f, "{} min", seconds / 60),
            seconds => write!(f, "{} h", seconds / 3600),
        }
    }
}

/// What a TPM has few of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// Places for loaded objects; many TPMs have three.
    Objects,
    /// Places for open sessions; many TPMs have three, and some tens of saved ones.
    Sessions,
    /// Memory.
    Memory,
    /// Places in its lasting storage.
    Storage,
}

impl Slots {
    /// What a refusal says is full.
    pub(crate) const fn full(refusal: Refusal) -> Option<Self> {
        Some(match response_code::base(refusal.response) {
            response_code::OBJECT_MEMORY | response_code::OBJECT_HANDLES => Self::Objects,
            response_code::SESSION_MEMORY
            | response_code::SESSION_HANDLES
            | response_code::CONTEXT_GAP => Self::Sessions,
            response_code::MEMORY => Self::Memory,
            response_code::NV_SPACE => Self::Storage,
            _ => return None,
        })
    }

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Objects => "tpm2.exhausted.objects",
            Self::Sessions => "tpm2.exhausted.sessions",
            Self::Memory => "tpm2.exhausted.memory",
            Self::Storage => "tpm2.exhausted.storage",
        }
    }
}

impl Slots {
    /// What is full, and what to do.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Objects => {
                "the TPM is full of loaded objects (many have room for three, with those that are used \
                 where they are persistent); flush those no longer needed, use /dev/tpmrm0, or run \
                 `tpm2_flushcontext -t` for what others left"
            }
            Self::Sessions => {
                "the TPM is full of sessions; end those no longer needed, use /dev/tpmrm0, or run \
                 `tpm2_flushcontext -l -s` for what others left"
            }
            Self::Memory => {
                "the TPM is out of memory; flush objects and end sessions no longer needed, or use \
                 /dev/tpmrm0"
            }
            Self::Storage => {
                "the TPM's lasting storage is full; undefine an index or evict a key nobody needs"
            }
        }
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}
