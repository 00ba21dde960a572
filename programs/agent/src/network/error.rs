//! Why a round of the network half came to nothing.

use super::{attest, confine, enrolment, fleet, tunnel};
use crate::link::{Broken, Gone, Refused};

/// The keeper's no, in its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub Refused);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.words)
    }
}

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
    /// A tunnel.
    #[error(transparent)]
    Tunnel(#[from] tunnel::Error),
    /// The view could not be closed.
    #[error(transparent)]
    Confine(#[from] confine::Error),
    /// The keeper says no.
    #[error("{0}")]
    Keeper(Refusal),
    /// The keeper answers something else than was asked.
    #[error("the keeper answers something else than was asked; are both halves one program?")]
    Answer,
    /// The keeper is gone.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The line to the keeper ended.
    #[error(transparent)]
    Line(Broken),
    /// An identity can not be used.
    #[error("the certificates of this device cannot be used: {0}")]
    Identity(String),
    /// The system does not give what every program needs.
    #[error("the system refuses: {0}")]
    System(std::io::Error),
}

impl Error {
    /// The stable code of this error: the keeper's own where it said no.
    pub fn code(&self) -> &str {
        match self {
            Self::Attest(error) => error.code(),
            Self::Enrolment(error) => error.code(),
            Self::Fleet(error) => error.code(),
            Self::Tunnel(error) => error.code(),
            Self::Confine(error) => error.code(),
            Self::Keeper(no) => &no.0.code,
            Self::Answer => "agent.link.answer",
            Self::Gone(_) => "agent.link.gone",
            Self::Line(broken) => broken.code(),
            Self::Identity(_) => "agent.identity.certificate",
            Self::System(_) => "agent.system",
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

    /// As the keeper is told.
    pub(super) fn as_refused(&self) -> Refused {
        Refused { code: self.code().to_owned(), words: self.to_string() }
    }
}
