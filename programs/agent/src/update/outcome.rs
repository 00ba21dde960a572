//! What became of updates, kept until the fleet has heard of it and a while longer for the status.

use crate::state::{Error, State};
use serde::{Deserialize, Serialize};
use std::fmt::Display;

const FILE: &str = "outcomes.json";

/// So many outcomes are kept.
const KEPT: usize = 32;

/// What became of an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// When, in Unix seconds.
    pub time: u64,
    /// The fleet's order, 0 for an envelope that came by hand.
    pub order: u64,
    /// The component.
    pub component: String,
    /// The version.
    pub version: u64,
    /// The result.
    #[serde(flatten)]
    pub result: Ending,
    /// Whether the fleet has heard of it.
    pub reported: bool,
}

/// Applied, refused by rule, or failed in doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Ending {
    /// It is in place.
    Applied,
    /// The rules said no.
    Refused {
        /// The stable code.
        code: String,
        /// Why, in words.
        reason: String,
    },
    /// The rules said yes and the doing went wrong.
    Failed {
        /// The stable code.
        code: String,
        /// Why, in words.
        reason: String,
    },
}

impl Ending {
    pub(crate) fn refused(code: &str, reason: &impl Display) -> Self {
        Self::Refused { code: code.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn failed(code: &str, reason: &impl Display) -> Self {
        Self::Failed { code: code.to_owned(), reason: reason.to_string() }
    }

    /// `applied`, `refused` or `failed`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
        }
    }

    /// Code and reason.
    pub fn why(&self) -> (&str, &str) {
        match self {
            Self::Applied => ("update.applied", "in place"),
            Self::Refused { code, reason } | Self::Failed { code, reason } => (code, reason),
        }
    }
}

impl Outcome {
    pub(crate) fn new(
        time: u64,
        order: u64,
        component: &str,
        version: u64,
        result: Ending,
    ) -> Self {
        // What an envelope claims is kept only as far as it is short.
        let component = component.chars().take(64).collect();
        Self { time, order, component, version, result, reported: false }
    }
}

/// The outcomes, oldest first.
#[derive(Debug)]
pub(crate) struct Outcomes {
    state: State,
    kept: Vec<Outcome>,
}

impl Outcomes {
    pub(crate) fn load(state: &State) -> Result<Self, Error> {
        let kept = state.load_json(FILE)?.unwrap_or_default();
        Ok(Self { state: state.clone(), kept })
    }

    pub(crate) fn as_slice(&self) -> &[Outcome] {
        &self.kept
    }

    pub(crate) fn keep(&mut self, outcome: Outcome) -> Result<(), Error> {
        // What was heard of goes first; what was not, only when there is too much of it.
        if self.kept.len() >= KEPT {
            let heard = self.kept.iter().position(|outcome| outcome.reported).unwrap_or(0);
            self.kept.remove(heard);
        }
        self.kept.push(outcome);
        self.state.store_json(FILE, &self.kept)
    }

    pub(crate) fn reported(&mut self, outcome: &Outcome) -> Result<(), Error> {
        if let Some(kept) = self.kept.iter_mut().find(|kept| *kept == outcome) {
            kept.reported = true;
        }
        self.state.store_json(FILE, &self.kept)
    }
}
