//! What can be wrong with the use of an index, each in its own words.

use super::attributes::{Attributes, Kind};
use crate::{Error, response_code};
use core::fmt;

/// An index, and what is wrong with its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The index' handle.
    pub index: u32,
    /// What is wrong.
    pub why: Why,
}

/// What is wrong with the use of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// None is defined there.
    Undefined,
    /// One is defined there already.
    Defined,
    /// It is of another kind; `None` for one that is not known here.
    WrongKind {
        /// What it is.
        is: Option<Kind>,
        /// What it would have to be.
        needed: Kind,
    },
    /// It is not any more as it was when we looked: somebody wrote, locked or redefined it.
    Changed,
    /// It was never written.
    NotWritten,
    /// It is locked against that.
    Locked,
    /// It holds, or takes, so many octets at once and no other number.
    WrongSize {
        /// How many.
        size: u16,
    },
    /// The octets are not inside of it.
    OutOfRange {
        /// How many it holds.
        size: u16,
    },
    /// Others than who tried may do that.
    NotAllowed {
        /// Who may: see [`Attributes::readers`] and [`Attributes::writers`].
        attributes: Attributes,
    },
    /// It is larger than an index can be.
    TooLarge,
    /// The TPM has no room for it.
    Full,
}

impl Fault {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self.why {
            Why::Undefined => "tpm2.nv.undefined",
            Why::Defined => "tpm2.nv.defined",
            Why::WrongKind { .. } => "tpm2.nv.kind",
            Why::Changed => "tpm2.nv.changed",
            Why::NotWritten => "tpm2.nv.not-written",
            Why::Locked => "tpm2.nv.locked",
            Why::WrongSize { .. } => "tpm2.nv.size",
            Why::OutOfRange { .. } => "tpm2.nv.range",
            Why::NotAllowed { .. } => "tpm2.nv.not-allowed",
            Why::TooLarge => "tpm2.nv.too-large",
            Why::Full => "tpm2.nv.full",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.index;
        match self.why {
            Why::Undefined => write!(f, "no index 0x{index:08x}; define it first"),
            Why::Defined => {
                write!(f, "the index 0x{index:08x} exists; undefine it or choose another")
            }
            Why::WrongKind { is: Some(is), needed } => {
                write!(
                    f,
                    "the index 0x{index:08x} is of the kind `{is}`, and this needs `{needed}`"
                )
            }
            Why::WrongKind { is: None, needed } => write!(
                f,
                "the index 0x{index:08x} is of a kind not known here, and this needs `{needed}`"
            ),
            Why::Changed => write!(
                f,
                "the index 0x{index:08x} was written, locked or redefined by somebody else; look \
                 again, then try again"
            ),
            Why::NotWritten => {
                write!(f, "the index 0x{index:08x} was never written; write it first")
            }
            Why::Locked => write!(
                f,
                "the index 0x{index:08x} is locked; it stays so until the TPM starts again, or for \
                 good if it was defined that way"
            ),
            Why::WrongSize { size } => {
                write!(f, "the index 0x{index:08x} takes {size} octets, neither fewer nor more")
            }
            Why::OutOfRange { size } => {
                write!(f, "the index 0x{index:08x} holds {size} octets; stay inside of them")
            }
            Why::NotAllowed { attributes } => {
                write!(f, "not with this authorization: the index 0x{index:08x} is written by ")?;
                list(f, &attributes.writers())?;
                f.write_str(" and read by ")?;
                list(f, &attributes.readers())
            }
            Why::TooLarge => {
                write!(f, "the index 0x{index:08x} is larger than this TPM takes; make it smaller")
            }
            Why::Full => write!(
                f,
                "the TPM has no room for the index 0x{index:08x}; undefine one that nobody needs"
            ),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, parties: &[super::Party]) -> fmt::Result {
    if parties.is_empty() {
        return f.write_str("nobody");
    }
    for (place, party) in parties.iter().enumerate() {
        write!(f, "{}{party}", if place == 0 { "" } else { ", " })?;
    }
    Ok(())
}

/// The TPM's no, where it is about the index, in our words.
pub(super) fn told(index: u32, attributes: Attributes, size: u16, error: Error) -> Error {
    let Error::Refused(refusal) = error else { return error };
    let why = match response_code::base(refusal.response) {
        response_code::NV_LOCKED => Why::Locked,
        response_code::NV_UNINITIALIZED => Why::NotWritten,
        response_code::NV_RANGE => Why::OutOfRange { size },
        response_code::NV_SIZE => Why::TooLarge,
        response_code::NV_AUTHORIZATION | response_code::AUTH_UNAVAILABLE => {
            Why::NotAllowed { attributes }
        }
        response_code::NV_DEFINED => Why::Defined,
        response_code::NV_SPACE => Why::Full,
        response_code::HANDLE if refusal.about().is_some_and(|(what, _)| what == "handle") => {
            Why::Undefined
        }
        _ => return error,
    };
    Error::Nv(Fault { index, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Refusal;
    use alloc::string::ToString;

    #[test]
    fn each_no_about_an_index_has_its_own_code_and_others_stay_as_they_are() {
        let attributes = Attributes::new().read_by(&[super::super::Party::Owner]);
        let told = |response| {
            let refused = Error::Refused(Refusal { command: "TPM2_NV_Read", response });
            told(0x0180_0001, attributes, 8, refused)
        };
        for (response, code) in [
            (0x148, "tpm2.nv.locked"),
            (0x14A, "tpm2.nv.not-written"),
            (0x146, "tpm2.nv.range"),
            (0x149, "tpm2.nv.not-allowed"),
            (0x12F, "tpm2.nv.not-allowed"),
            (0x147, "tpm2.nv.too-large"),
            (0x14C, "tpm2.nv.defined"),
            (0x14B, "tpm2.nv.full"),
            (0x28B, "tpm2.nv.undefined"),
            (0x98E, "tpm2.refused"),
            (0x921, "tpm2.refused"),
        ] {
            assert_eq!(told(response).code(), code);
        }
        assert_eq!(
            told(0x149).to_string(),
            "not with this authorization: the index 0x01800001 is written by nobody and read by owner"
        );
    }
}
