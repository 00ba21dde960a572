//! Why the keeper says no.

use crate::{collect, keys, respond, state, trail, update};

/// Why the keeper says no.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// Something can not be measured.
    #[error(transparent)]
    Collect(#[from] collect::Error),
    /// The countermeasure.
    #[error(transparent)]
    Respond(#[from] respond::Error),
    /// An update.
    #[error(transparent)]
    Update(#[from] update::Error),
    /// State.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The audit log.
    #[error(transparent)]
    Trail(#[from] trail::Error),
    /// The inbox can not be used.
    #[error("the inbox cannot be used: {0}")]
    Inbox(std::io::Error),
    /// A question does not parse.
    #[error("the fleet's {what} is not understood: {reason}")]
    Question {
        /// Which question.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Evidence can not be put into a token.
    #[error("no token of the evidence is signed: {0}; write envelope = \"cmw\" in [collect]")]
    Envelope(touchstone_evidence::eat::Error),
    /// A certificate is not the one that was requested.
    #[error("the certificate is not kept: {0}")]
    Certificate(String),
    /// The attestation result is not the verifier's.
    #[error("the attestation result is not believed: {0}")]
    Result(touchstone_appraise::ear::Error),
    /// The attestation result is the verifier's, and not about what was asked.
    #[error("the attestation result is not believed: {0}")]
    NotOurs(&'static str),
    /// The verifier's key can not be used.
    #[error("the verifier's key cannot be used: {0}")]
    Verifier(String),
    /// The fleet tells another key than before.
    #[error(
        "the fleet tells another key for its results than before; if it was built anew, remove {}, or name the key as `verifier` in [fleet]", .0.display()
    )]
    VerifierChanged(std::path::PathBuf),
    /// The network half asks for what it has no reason to.
    #[error("the network half may not do that: {0}")]
    Forbidden(&'static str),
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Keys(error) => error.code(),
            Self::Collect(error) => error.code(),
            Self::Respond(error) => error.code(),
            Self::Update(error) => error.code(),
            Self::State(error) => error.code(),
            Self::Trail(error) => error.code(),
            Self::Inbox(_) => "agent.update.inbox",
            Self::Question { .. } => "agent.exchange.question",
            Self::Envelope(error) => error.code(),
            Self::Certificate(_) => "agent.certificate.other",
            Self::Result(error) => error.code(),
            Self::NotOurs(_) => "agent.result.not-ours",
            Self::Verifier(_) => "agent.verifier.key",
            Self::VerifierChanged(_) => "agent.verifier.changed",
            Self::Forbidden(_) => "agent.keeper.forbidden",
        }
    }
}
