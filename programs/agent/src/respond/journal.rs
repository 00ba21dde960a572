//! What was done, is waiting, or was kept from being done: durable, so that an agent that is killed
//! knows what it has to take back.

use super::action::{Action, Target};
use crate::state::{self, State};
use serde::{Deserialize, Serialize};

const FILE: &str = "responses.json";

/// The most responses that are kept; the oldest that are over go first.
const MOST: usize = 256;

/// Where a response stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// A new policy asked for it, and it was only shown what would happen.
    Previewed,
    /// Its target is a safety asset: it waits for two approvals.
    Waiting,
    /// It is being done; an agent that finds this after a start does not know how far it came.
    Begun,
    /// It is in force.
    Applied,
    /// It was done and there is nothing to take back.
    Done,
    /// Somebody, or a good verdict, took it back.
    Undone,
    /// Nobody asked for it any more, so that it ended by itself.
    Reverted,
    /// It could not be done.
    Failed,
    /// An interlock kept it from being done.
    Refused,
}

impl Stage {
    /// Whether something of it can still change.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Begun | Self::Applied)
    }

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Previewed => "previewed",
            Self::Waiting => "waiting",
            Self::Begun => "begun",
            Self::Applied => "applied",
            Self::Done => "done",
            Self::Undone => "undone",
            Self::Reverted => "reverted",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// One response to one finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// Its number on this device: `r17`.
    pub id: String,
    /// What.
    pub action: Action,
    /// Against what.
    pub target: Target,
    /// The control that was not met.
    pub control: String,
    /// Why it was not.
    pub reason: String,
    /// The policy that asks for it: `<name>/<version>`.
    pub policy: String,
    /// What it does, or would do.
    pub preview: String,
    /// Where it stands.
    pub stage: Stage,
    /// Since when, in Unix seconds.
    pub since: u64,
    /// When it ends by itself, unless a verdict asks for it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// What takes it back: known to whoever may read the agent's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// What is needed to take it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Who has approved of it: the SHA-256 of each one's key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<String>,
    /// How it went, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outcome: String,
}

/// Every response, oldest first, and the policies that were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// `touchstone.agent.responses/1`
    pub schema: String,
    /// The number of the next response.
    pub next: u64,
    /// Responses.
    pub responses: Vec<Response>,
    /// When each policy was first seen, by `<name>/<version>`.
    pub policies: std::collections::BTreeMap<String, u64>,
}

impl Journal {
    /// As an agent before left it.
    pub fn load(state: &State) -> Result<Self, state::Error> {
        let fresh =
            || Self { schema: "touchstone.agent.responses/1".to_owned(), ..Self::default() };
        Ok(state.load_json(FILE)?.unwrap_or_else(fresh))
    }

    /// Keeps it, down to the disk.
    pub fn store(&mut self, state: &State) -> Result<(), state::Error> {
        while self.responses.len() > MOST {
            let over = self.responses.iter().position(|it| !it.stage.is_open());
            // What is open is never forgotten, however much there is of it.
            let Some(over) = over else { break };
            self.responses.remove(over);
        }
        while self.policies.len() > 64 {
            let oldest = self.policies.iter().min_by_key(|(_, at)| **at).map(|(it, _)| it.clone());
            let Some(oldest) = oldest else { break };
            self.policies.remove(&oldest);
        }
        state.store_json(FILE, self)
    }
}
