//! What an engine cannot know or do by itself, and the answers.

/// The number of an open question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A question to the owner. Trust enters every protocol through this door, and only here: it is also
/// the line along which privileges are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The answer names it.
    pub ticket: Ticket,
    /// What is asked.
    pub kind: AskKind,
    /// Octets of the question in the buffer of the poll.
    pub len: usize,
}

/// The kinds of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AskKind {
    /// Sign these octets.
    Sign,
    /// Agree on a secret with this public key.
    Agree,
    /// What should the Attester prove? The question is its opening.
    Challenge,
    /// Evidence for this challenge.
    Evidence,
    /// An attestation result for this evidence.
    Appraise,
    /// A credential that only the element of this claim can open.
    Endorse,
    /// The secret inside this credential.
    Activate,
    /// What follows from this proof of possession?
    Conclude,
    /// May this peer in?
    Admit,
    /// A secret by this name.
    Secret,
    /// The certificates of this CA.
    Authorities,
    /// What should a request for a certificate contain?
    Attributes,
    /// A certificate for this request.
    Issue,
    /// A request for a certificate that contains this.
    Request,
    /// A signed envelope around these octets.
    Seal,
}

/// The owner's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer<'a> {
    /// Here it is.
    Bytes(&'a [u8]),
    /// The answer is no. The peer is told both.
    Refused {
        /// A stable code, such as `attest.device.unknown`.
        code: &'a str,
        /// Why, for a person, and what to do next.
        text: &'a str,
    },
    /// It could not be found out. The peer is told only that.
    Failed,
}
