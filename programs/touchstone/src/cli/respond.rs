//! The words of `touchstone respond`.

use super::Signatory;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Which agent.
#[derive(Args, Debug)]
pub(crate) struct Agent {
    /// The folder where the agent on this device keeps its state
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/touchstone")]
    pub(crate) state: PathBuf,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Respond {
    /// What the agent did about verdicts, would do, or waits to be allowed to do
    #[command(after_help = "\
Examples:
  touchstone respond list
  touchstone respond list --json | jq '.responses[] | select(.stage == \"waiting\")'

Each response has a number, what it does, its reason, and where it stands: previewed (the policy is
new), waiting (its target keeps people safe: two have to approve), applied, done, undone, reverted
(nobody asked for it any more), failed, or refused (too many). Exits with 1 while any is waiting.")]
    List {
        #[command(flatten)]
        agent: Agent,
    },
    /// Approve of what is done to a safety asset; two persons have to
    #[command(after_help = "\
Example:
  touchstone respond list
  touchstone respond approve r4 --cert anna.pem --key file:anna.key

The certificate has to lead to the `approvers` of the agent's [respond]. What is signed names the
device, the response, what it does and to what, and nothing else can be done with it. Exits with 1
while another approval is missing.")]
    Approve {
        /// The response's number
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        by: Signatory,
        #[command(flatten)]
        agent: Agent,
    },
    /// Take a response back
    #[command(after_help = "\
Examples:
  touchstone respond undo r4
  touchstone respond undo 5f0c6f0d2b0e4c55a7c1d6a41f7c9b3e

By its number or its undo token. The next verdict may ask for it again: change the policy, or the
`actions` that the agent's [respond] allows, if that is not wanted.")]
    Undo {
        /// The response's number, or its token
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        agent: Agent,
    },
}
