//! Why a policy does not hold.

use core::fmt;

/// The assertion that does not hold, and what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsatisfied {
    /// PCRs hold other values: the device is in another state.
    Pcr,
    /// No approval by the key for a policy that holds.
    Authorize,
    /// None of the policies at hand is the one that the index holds.
    AuthorizeNv,
    /// Nobody signs with the key, or the signature is another's.
    Signed,
    /// The index is gone, or it is another than the policy was made for.
    NvChanged,
    /// What the index holds does not compare as the policy wants.
    Nv,
    /// The TPM's clock or counters do not compare as the policy wants.
    CounterTimer,
    /// The policy is for another command.
    Command,
    /// The policy is for the duplication of another object, or to another parent.
    Duplication,
    /// The policy is for another template.
    Template,
    /// The policy is for other parameters.
    Parameters,
    /// The policy is for other handles.
    Handles,
    /// The command came from another locality.
    Locality,
    /// The index was written, or was not, and should be otherwise.
    NvWritten,
    /// Nobody is at the device and confirms.
    Presence,
    /// The session or an approval in it has expired.
    Expired,
    /// The entity's policy is another than the one that was satisfied.
    Other,
}

impl Unsatisfied {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Pcr => "tpm2.policy.pcr",
            Self::Authorize => "tpm2.policy.authorize",
            Self::AuthorizeNv => "tpm2.policy.authorize-nv",
            Self::Signed => "tpm2.policy.signed",
            Self::NvChanged => "tpm2.policy.nv.changed",
            Self::Nv => "tpm2.policy.nv",
            Self::CounterTimer => "tpm2.policy.counter-timer",
            Self::Command => "tpm2.policy.command",
            Self::Duplication => "tpm2.policy.duplication",
            Self::Template => "tpm2.policy.template",
            Self::Parameters => "tpm2.policy.parameters",
            Self::Handles => "tpm2.policy.handles",
            Self::Locality => "tpm2.policy.locality",
            Self::NvWritten => "tpm2.policy.nv.written",
            Self::Presence => "tpm2.policy.presence",
            Self::Expired => "tpm2.policy.expired",
            Self::Other => "tpm2.policy.other",
        }
    }
}

impl Unsatisfied {
    /// What it asks for, and what can be done.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Pcr => {
                "the policy asks for other PCR values: the device is in another state than the one \
                 it was bound to; bring it back, or bind anew"
            }
            Self::Authorize => {
                "the policy asks for one that its key approved of; get an approval for the state \
                 the device is in"
            }
            Self::AuthorizeNv => {
                "the policy asks for the one that its index holds, which is none of those at hand; \
                 get the policy that was written there last"
            }
            Self::Signed => "the policy asks for a signature by its key; have it signed",
            Self::NvChanged => {
                "the policy names an index that is gone or was defined anew; bind anew"
            }
            Self::Nv => "the policy asks for something else in its index",
            Self::CounterTimer => "the policy asks for another time or count of restarts",
            Self::Command => "the policy is for another command",
            Self::Duplication => "the policy is for another object or another new parent",
            Self::Template => "the policy is for another template",
            Self::Parameters => "the policy is for other parameters",
            Self::Handles => "the policy is for other objects",
            Self::Locality => "the policy asks for another locality; send the command from there",
            Self::NvWritten => {
                "the policy asks for an index that was written, or for one that was not"
            }
            Self::Presence => "the policy asks for somebody at the device who confirms",
            Self::Expired => "the policy session has expired; start another",
            Self::Other => "the policy is not the one this was made with; use the right one",
        }
    }
}

impl fmt::Display for Unsatisfied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}
