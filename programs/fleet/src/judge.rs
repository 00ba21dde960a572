//! What the fleet answers when an exchange asks: the Verifier and the registrar of RFC 9334, with
//! the store behind them. The judgement itself is `evidence`'s and `appraise`'s.

mod appraise;
mod approval;
mod certify;
mod identify;
mod lists;
mod onboard;
mod proof;
mod remembered;

pub use approval::{Way, admitted, way};
pub use certify::NotIssued;
pub(crate) use identify::peer_sha256;
pub use identify::{Identity, Person};
pub(crate) use onboard::public_key_pem;

use crate::Error;
use crate::authority::Authority;
use crate::config::Config;
use crate::serve::Peer;
use crate::store::Store;
use crate::throttle::Throttle;
use crate::trust::Trust;
use std::sync::Arc;
use touchstone_crypto_awslc::SoftSigner;
use touchstone_engine::{Answer, AskKind};

/// Who answers.
pub struct Judge {
    config: Config,
    store: Store,
    authority: Arc<Authority>,
    trust: Arc<Trust>,
    key: Arc<SoftSigner>,
    refusals: Throttle,
    challenges: proof::Challenges,
    remembered: Arc<remembered::Remembered>,
    /// Large pieces of work at once.
    work: tokio::sync::Semaphore,
}

/// What an exchange has to remember between its two questions.
#[derive(Default)]
pub enum Memory {
    /// Nothing was asked yet.
    #[default]
    Nothing,
    /// A credential was sent.
    Onboarding(Box<onboard::Pending>),
    /// A nonce was sent.
    Attesting(Box<appraise::Pending>),
}

/// An answer that is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum No {
    /// Judged, and no: the device is told both.
    Refused {
        /// The stable code.
        code: &'static str,
        /// Why, and what to do.
        text: String,
    },
    /// It could not be found out.
    Failed,
}

impl No {
    pub(crate) fn refused(code: &'static str, text: impl Into<String>) -> Self {
        Self::Refused { code, text: text.into() }
    }

    /// As the engine takes it.
    pub fn as_answer(&self) -> Answer<'_> {
        match self {
            Self::Refused { code, text } => Answer::Refused { code, text },
            Self::Failed => Answer::Failed,
        }
    }
}

impl From<Error> for No {
    fn from(error: Error) -> Self {
        if let Error::Conflict(words) = &error {
            return Self::refused("fleet.conflict", words.as_str());
        }
        tracing::error!(code = error.code(), %error, "no answer");
        Self::Failed
    }
}

impl Judge {
    /// A judge for one fleet.
    pub fn new(
        config: Config,
        store: Store,
        authority: Arc<Authority>,
        trust: Arc<Trust>,
        key: SoftSigner,
    ) -> Self {
        let work = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let work = tokio::sync::Semaphore::new(work);
        let (refusals, remembered) = (Throttle::default(), Arc::default());
        let (key, challenges) = (Arc::new(key), proof::Challenges::default());
        Self { config, store, authority, trust, key, refusals, challenges, remembered, work }
    }

    /// Answers what an exchange with `peer` asks.
    pub async fn answer(
        &self,
        kind: AskKind,
        question: Vec<u8>,
        peer: &Peer,
        memory: &mut Memory,
    ) -> Result<Vec<u8>, No> {
        let answer = match (kind, std::mem::take(memory)) {
            (AskKind::Endorse, Memory::Nothing) => self.endorse(question, peer, memory).await,
            (AskKind::Conclude, Memory::Onboarding(pending)) => {
                self.conclude(&question, *pending).await
            }
            (AskKind::Challenge, Memory::Nothing) => self.challenge(&question, peer, memory).await,
            (AskKind::Appraise, Memory::Attesting(pending)) => {
                Box::pin(self.appraise(question, peer, *pending)).await
            }
            _ => {
                tracing::error!(?kind, "an exchange asked out of turn");
                Err(No::Failed)
            }
        };
        if let Err(No::Refused { code, text }) = &answer {
            tracing::warn!(address = %peer.address, code, text, "refused");
        }
        answer
    }

    /// Does heavy work off the threads that serve connections, a few pieces at a time.
    async fn heavy<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, No> {
        let _turn = self.work.acquire().await.map_err(|_| No::Failed)?;
        tokio::task::spawn_blocking(work).await.map_err(|error| {
            tracing::error!(%error, "a piece of work failed");
            No::Failed
        })
    }
}
