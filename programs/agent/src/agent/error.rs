//! Why a round of the agent came to nothing.

use crate::{attest, enrolment, fleet, keys, respond, state, update};

/// Why a round came to nothing. The next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Onboarding or attestation.
    #[error(transparent)]
    Attest(#[from] attest::Error),
    /// A certificate.
    #[error(transparent)]
    Enrolment(#[from] enrolment::Error),
    /// The fleet's API.
    #[error(transparent)]
    Fleet(#[from] fleet::Error),
    /// A key.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The countermeasure.
    #[error(transparent)]
    Respond(#[from] respond::Error),
    /// An update.
    #[error(transparent)]
    Update(#[from] update::Error),
    /// State.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The attestation result is not the verifier's.
    #[error("the attestation result is not believed: {0}")]
    Result(touchstone_appraise::ear::Error),
    /// The attestation result is the verifier's, and not about what was asked.
    #[error("the attestation result is not believed: {0}")]
    NotOurs(&'static str),
    /// The verifier's key can not be used.
    #[error("the verifier's key cannot be used: {0}")]
    Verifier(String),
    /// The inbox can not be used.
    #[error("the inbox cannot be used: {0}")]
    Inbox(std::io::Error),
}

impl Error {
    /// The stable code of this error.
    pub fn code(&self) -> &str {
        match self {
            Self::Attest(error) => error.code(),
            Self::Enrolment(error) => error.code(),
            Self::Fleet(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::Respond(error) => error.code(),
            Self::Update(error) => error.code(),
            Self::State(error) => error.code(),
            Self::Result(error) => error.code(),
            Self::NotOurs(_) => "agent.result.not-ours",
            Self::Verifier(_) => "agent.verifier.key",
            Self::Inbox(_) => "agent.update.inbox",
        }
    }

    /// Whether the fleet was not there at all: another thing than a no.
    pub const fn is_unreachable(&self) -> bool {
        match self {
            Self::Attest(error) => error.is_unreachable(),
            Self::Enrolment(error) => error.is_unreachable(),
            Self::Fleet(error) => error.is_unreachable(),
            _ => false,
        }
    }
}
