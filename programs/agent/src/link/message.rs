//! What the halves say to each other. How it looks as octets is in `codec`.

use touchstone_engine::AskKind;

/// What the network half may ask for, or tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Onboarded? With a certificate?
    Standing,
    /// The certificates that go with a key.
    Identity(Key),
    /// A signature that authenticates us in a TLS 1.3 handshake; nothing else is signed.
    Sign {
        /// By which key.
        key: Key,
        /// What is signed (RFC 8446 §4.4.3).
        message: Vec<u8>,
    },
    /// What makes the attestation key believable.
    Endorse,
    /// The secret inside this credential.
    Activate(Vec<u8>),
    /// The fleet has onboarded us.
    Welcome {
        /// As whom.
        device: String,
        /// Whose we are.
        tenant: String,
        /// The key that signs results, as PEM.
        verifier_key_pem: String,
    },
    /// Evidence for a challenge.
    Evidence {
        /// The key that the fleet sees in TLS: if evidence goes into a token, it signs that.
        key: Key,
        /// The challenge.
        challenge: Vec<u8>,
    },
    /// The verdict on the evidence that was given last: a signed result. May a certificate be asked
    /// for by it?
    Verdict(String),
    /// A certificate request: for the key that is certified, or for a new one.
    Request {
        /// For the same key.
        renew: bool,
        /// What is to be opened and answered with it (`TPM2B_ID_OBJECT || TPM2B_ENCRYPTED_SECRET`);
        /// empty if nothing is.
        challenge: Vec<u8>,
    },
    /// The certificate that was requested, in DER, then those of its issuers.
    Certificate(Vec<Vec<u8>>),
    /// The fleet does not count this any more.
    Forget(Forget),
    /// Does this order wait for nothing but its report?
    Settled(u64),
    /// An update envelope. Was it installed?
    Envelope {
        /// The fleet's order.
        order: u64,
        /// The envelope.
        envelope: Vec<u8>,
    },
    /// An order that can not be followed.
    Decline {
        /// The fleet's order.
        order: u64,
        /// The component that it names.
        component: String,
        /// The version that it names.
        version: u64,
        /// Why.
        why: Why,
        /// In words.
        words: String,
    },
    /// Look into the inbox; what is to be reported?
    Errands,
    /// The fleet has heard of the report that was given last.
    Reported,
    /// What is new in the device's audit log.
    Log {
        /// The log that the fleet has taken entries of.
        log: String,
        /// The last of them.
        after: u64,
    },
    /// How things are. Not answered, and not to be left out for long.
    State(State),
}

/// A key that the network half may use, by what it is for. The attestation key is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The maker's IDevID.
    Maker,
    /// The fleet's LDevID.
    Fleet,
}

/// What is to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forget {
    /// That we were onboarded, and the certificate.
    Device,
    /// The certificate.
    Certificate,
    /// The certificate request that is under way: the next one is made anew.
    Request,
}

/// Why an order can not be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its kind is not understood.
    Kind,
    /// The fleet does not give its envelope.
    Gone,
}

/// How the network half finds things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether the fleet was reached; `None` before it was tried.
    pub reached: Option<bool>,
    /// What went wrong last.
    pub fault: Option<Refused>,
    /// Open connections of tunnels.
    pub tunnels: u32,
}

/// The keeper's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// Yes or no.
    Truth(bool),
    /// What was asked for.
    Bytes(Vec<u8>),
    /// Where we stand.
    Standing(Standing),
    /// The certificates of a key.
    Identity(Identity),
    /// A certificate request.
    Request {
        /// In DER.
        request: Vec<u8>,
        /// The key that it is for: `SubjectPublicKeyInfo` in DER.
        spki_der: Vec<u8>,
    },
    /// What errands there were.
    Errands {
        /// Whether something was installed.
        installed: bool,
        /// What the fleet must hear of.
        report: Option<Report>,
    },
    /// The answer is no.
    Refused(Refused),
}

/// Where we stand with the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Who we are, if we were onboarded.
    pub device: Option<String>,
    /// The serial number of the certificate, if there is one that has not run out.
    pub serial: Option<String>,
    /// Half of its life is over.
    pub due: bool,
}

/// The certificates of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of the algorithm that the key signs by.
    pub algorithm: String,
    /// In DER, leaf first.
    pub chain: Vec<Vec<u8>>,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The order.
    pub order: u64,
    /// `applied`, `refused` or `failed`.
    pub outcome: String,
    /// The stable code.
    pub code: String,
    /// Why, in words.
    pub reason: String,
}

/// A no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The stable code.
    pub code: String,
    /// In words.
    pub words: String,
}

impl Ask {
    /// What an engine asks of its owner, if the keeper is who answers that. The fleet sees `key` in TLS.
    pub fn of(kind: AskKind, question: Vec<u8>, key: Key) -> Option<Self> {
        match kind {
            AskKind::Evidence => Some(Self::Evidence { key, challenge: question }),
            AskKind::Activate => Some(Self::Activate(question)),
            _ => None,
        }
    }
}
