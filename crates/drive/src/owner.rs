//! What an engine's owner answers.

use touchstone_engine::Answer;

/// An [`Answer`] that owns its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Here it is.
    Bytes(Vec<u8>),
    /// The answer is no, and the peer is told.
    Refused {
        /// A stable code, such as `attest.device.unknown`.
        code: String,
        /// Why, for a person, and what to do next.
        text: String,
    },
    /// It could not be found out.
    Failed,
}

impl Reply {
    /// A refusal with these words.
    pub fn refused(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Refused { code: code.into(), text: text.into() }
    }

    /// As an engine takes it.
    pub fn as_answer(&self) -> Answer<'_> {
        match self {
            Self::Bytes(bytes) => Answer::Bytes(bytes),
            Self::Refused { code, text } => Answer::Refused { code, text },
            Self::Failed => Answer::Failed,
        }
    }
}
