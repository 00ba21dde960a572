//! What can be wrong with evidence or an endorsement.

use crate::tpm::TurnedBack;
use core::fmt;
use touchstone_crypto::{Digest, HashAlgorithm};

/// Why evidence or an endorsement is not accepted as genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// An item does not parse; `at` is the octet offset in that item.
    Malformed {
        /// Which item.
        item: &'static str,
        /// Where in it.
        at: usize,
    },
    /// A part of the evidence is not there.
    Missing(&'static str),
    /// An item is larger than its limit.
    TooLarge {
        /// Which item.
        item: &'static str,
        /// The limit in octets or elements.
        limit: usize,
    },
    /// An algorithm, curve or structure that is not offered here.
    Unsupported {
        /// Which item.
        item: &'static str,
        /// Its number in the TCG registry.
        id: u32,
    },
    /// A wrapper that holds something else than evidence of an agent.
    Collection,
    /// The token that evidence came in.
    Token(crate::eat::Error),
    /// A log does not parse.
    Measure(touchstone_measure::Error),
    /// A certificate does not parse or verify.
    Certificate(touchstone_certs::Error),
    /// TPMS_ATTEST without TPM_GENERATED_VALUE: not made by a TPM (TPM 2.0 Part 2 §10.12.8).
    NotGenerated,
    /// TPMS_ATTEST of another type than the one wanted.
    WrongType {
        /// The TPM_ST that was wanted.
        wanted: u16,
        /// The TPM_ST that came.
        found: u16,
    },
    /// The signature is not by the expected key.
    Signature(touchstone_crypto::Error),
    /// The signature is of a scheme that this key does not sign with.
    Scheme,
    /// A signature or PCR values of SHA-1, which is not enough.
    Weak,
    /// A key that TPMs do not sign statements with.
    KeyKind,
    /// The TPM was at a later moment before.
    TurnedBack(TurnedBack),
    /// The qualifying data is another: the answer to another nonce, or other run-time claims.
    NotFresh,
    /// Other PCRs, or another bank, than were asked for.
    Selection,
    /// The PCR values are said to be of others than those that the quote is over.
    PcrLabels,
    /// More or fewer PCR values than the quote is over.
    PcrCount {
        /// As many as the quote is over.
        wanted: usize,
        /// As many as came.
        found: usize,
    },
    /// The PCR values are not those that the quote is over.
    PcrValues,
    /// A bank is selected twice, so that its values could be read in two ways.
    PcrBankTwice(HashAlgorithm),
    /// No quoted PCR vouches for a log that was given.
    NotCovered(&'static str),
    /// The logs do not lead to the quoted PCR values.
    Replay {
        /// The PCR that differs, if the values sent along with the quote show it.
        pcr: Option<u32>,
        /// What the log leads to.
        replayed: Option<Digest>,
        /// What the TPM holds.
        quoted: Option<Digest>,
    },
    /// The IMA list does not go on from where it was quoted last.
    Ima(touchstone_measure::ima::Discontinuity),
    /// The IMA list goes on behind what is shown, so that nothing is proven yet.
    Unfinished,
    /// A key lacks an attribute that it must have.
    KeyAttributes(&'static str),
    /// The certified name is that of another key or index.
    WrongName,
    /// The creation data is not that of the certified key.
    Creation,
    /// The index holds something else.
    Contents,
    /// What was audited is not what the digest says.
    Audit,
    /// The endorsement key and its certificate do not belong together.
    EndorsementKey,
    /// A certificate of the device's maker does not lead to a known one, or not at this time.
    MakersCertificate {
        /// Whose: `IAK`, `IDevID`.
        what: &'static str,
        /// Why.
        error: touchstone_certs::Error,
    },
    /// The IAK lacks an attribute that it must have.
    MakersAttributes(&'static str),
    /// A certificate of the device's maker is for another key.
    MakersKey(&'static str),
    /// A certificate of the device's maker is not of the profile of its kind.
    MakersProfile {
        /// Whose: `IAK`, `IDevID`.
        what: &'static str,
        /// What does not fit, the first of it.
        fault: touchstone_certs::issue::ProfileFault,
    },
    /// The certificates of IAK and IDevID name different hardware modules.
    MakersModule,
    /// No endorsement certificate was sent.
    NoEndorsementCertificate,
    /// No IAK with its maker's certificate was sent.
    NoIak,
    /// Neither was sent.
    NoEndorsement,
}

impl Error {
    /// The same about this item, if it says where one does not parse.
    pub(crate) fn in_item(self, item: &'static str) -> Self {
        match self {
            Self::Malformed { at, .. } => Self::Malformed { item, at },
            other => other,
        }
    }

    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "evidence.malformed",
            Self::Missing(_) => "evidence.missing",
            Self::TooLarge { .. } => "evidence.too-large",
            Self::Unsupported { .. } => "evidence.unsupported",
            Self::Collection => "evidence.cmw.type",
            Self::Token(error) => error.code(),
            Self::Measure(error) => error.code(),
            Self::Certificate(error) | Self::MakersCertificate { error, .. } => error.code(),
            Self::NotGenerated => "evidence.attest.not-generated",
            Self::WrongType { .. } => "evidence.attest.type",
            Self::Signature(_) => "evidence.attest.signature",
            Self::Scheme => "evidence.attest.scheme",
            Self::Weak => "evidence.attest.weak",
            Self::KeyKind => "evidence.key.kind",
            Self::TurnedBack(back) => back.code(),
            Self::PcrLabels => "evidence.pcrs.labels",
            Self::PcrCount { .. } => "evidence.pcrs.count",
            Self::PcrValues => "evidence.pcrs.values",
            Self::PcrBankTwice(_) => "evidence.pcrs.bank-twice",
            Self::NotCovered(_) => "evidence.quote.not-covered",
            Self::NotFresh => "evidence.attest.not-fresh",
            Self::Selection => "evidence.quote.selection",
            Self::Replay { .. } => "evidence.quote.replay",
            Self::Ima(discontinuity) => discontinuity.code(),
            Self::Unfinished => "evidence.ima.unfinished",
            Self::KeyAttributes(_) => "evidence.key.attributes",
            Self::WrongName => "evidence.certify.name",
            Self::Creation => "evidence.creation.data",
            Self::Contents => "evidence.nv.contents",
            Self::Audit => "evidence.audit.digest",
            Self::EndorsementKey => "evidence.ek.mismatch",
            Self::MakersAttributes(_) => "evidence.maker.attributes",
            Self::MakersKey(_) => "evidence.maker.key",
            Self::MakersProfile { .. } => "evidence.maker.profile",
            Self::MakersModule => "evidence.maker.module",
            Self::NoEndorsementCertificate => "evidence.ek.no-certificate",
            Self::NoIak => "evidence.maker.no-iak",
            Self::NoEndorsement => "evidence.endorsement.none",
        }
    }
}

/// Octets that do not parse; `Error::in_item` says of which item.
impl From<touchstone_wire::Malformed> for Error {
    fn from(malformed: touchstone_wire::Malformed) -> Self {
        Self::Malformed { item: "the evidence", at: malformed.at as usize }
    }
}

impl fmt::Display for Error {
    #[expect(clippy::too_many_lines, reason = "one flat match, a phrase for each")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { item, at } => write!(f, "{item} does not parse at octet {at}"),
            Self::Missing(part) => {
                write!(
                    f,
                    "the evidence has no part `{part}`; is the agent older than the verifier?"
                )
            }
            Self::TooLarge { item, limit } => write!(f, "{item} is larger than {limit}"),
            Self::Unsupported { item, id } => write!(f, "{item} {id:#06x} is not supported"),
            Self::Collection => write!(
                f,
                "the conceptual message wrapper is of another type than `{}`",
                crate::quoted::COLLECTION
            ),
            Self::Token(error) => error.fmt(f),
            Self::Measure(error) => error.fmt(f),
            Self::Certificate(error) => error.fmt(f),
            Self::NotGenerated => f.write_str("the attestation was not generated by a TPM"),
            Self::WrongType { wanted, found } => {
                write!(f, "an attestation of type {found:#06x} instead of {wanted:#06x}")
            }
            Self::Signature(error) => write!(f, "the attestation's signature: {error}"),
            Self::Scheme => {
                f.write_str("the signature is of a scheme that this key does not sign with")
            }
            Self::Weak => f.write_str(
                "the signature or all PCR values stand on SHA-1, which can be forged; quote \
                 the sha256 bank with a key that signs with SHA-256",
            ),
            Self::KeyKind => f.write_str(
                "the key is none of RSA, ECC on P-256, P-384 or P-521, and ML-DSA; no TPM signs \
                 statements with it",
            ),
            Self::TurnedBack(back) => {
                write!(f, "{back}; the quote is old, or the TPM was cleared or its state put back")
            }
            Self::PcrLabels => f.write_str(
                "the PCR values are said to be of other PCRs than the quote is over; believe \
                 nothing of them",
            ),
            Self::PcrCount { wanted, found } => {
                write!(f, "{found} PCR values came, and the quote is over {wanted}")
            }
            Self::PcrValues => f.write_str("the PCR values are not those that the quote is over"),
            Self::PcrBankTwice(bank) => {
                write!(f, "the {bank} bank is selected twice; quote each bank once")
            }
            Self::NotCovered(log) => write!(
                f,
                "no quoted PCR vouches for the {log}; quote the PCRs that it was measured into"
            ),
            Self::NotFresh => f.write_str(
                "the qualifying data is not the one asked for; the evidence is old or was changed",
            ),
            Self::Selection => f.write_str("the quote is over other PCRs than were asked for"),
            Self::Replay { pcr: Some(pcr), replayed: Some(replayed), quoted: Some(quoted) } => {
                write!(f, "the log leads PCR {pcr} to {replayed}, the TPM holds {quoted}")
            }
            Self::Replay { .. } => f.write_str("the logs do not lead to the quoted PCR values"),
            Self::Ima(discontinuity) => discontinuity.fmt(f),
            Self::Unfinished => f.write_str(
                "the IMA list goes on behind what is shown, so that nothing is proven yet; show the \
                 rest of it",
            ),
            Self::KeyAttributes(missing) => write!(f, "the key is not {missing}"),
            Self::WrongName => f.write_str("the certified name is that of another key or index"),
            Self::Creation => {
                f.write_str("the creation data is not that of the certified key; it was changed")
            }
            Self::Contents => f.write_str("the index holds something else than it is said to"),
            Self::Audit => f.write_str(
                "other commands ran than the audit log says; do not trust what the log leaves out",
            ),
            Self::EndorsementKey => {
                f.write_str("the endorsement key is not the one in its certificate")
            }
            Self::MakersCertificate { what, error } => {
                write!(f, "the maker's certificate of the {what}: {error}")
            }
            Self::MakersAttributes(missing) => write!(f, "the IAK is not {missing}"),
            Self::MakersKey(what) => {
                write!(f, "the maker's certificate of the {what} is not for that key")
            }
            Self::MakersProfile { what, fault } => {
                write!(f, "the maker's certificate is none of an {what}: {fault}")
            }
            Self::MakersModule => f.write_str(
                "the maker's certificates of IAK and IDevID name different hardware modules",
            ),
            Self::NoEndorsementCertificate => f.write_str(
                "no endorsement certificate; read it from NV index 0x01c00002 or add it by hand",
            ),
            Self::NoIak => f.write_str(
                "no IAK that the device's maker certified; its certificate belongs into NV index \
                 0x01c90008, or into a file that the agent's configuration names",
            ),
            Self::NoEndorsement => f.write_str(
                "neither a certificate of the endorsement key nor an IAK that the device's maker \
                 certified; one of them has to vouch for the TPM",
            ),
        }
    }
}

impl core::error::Error for Error {}

impl From<touchstone_measure::Error> for Error {
    fn from(error: touchstone_measure::Error) -> Self {
        Self::Measure(error)
    }
}

impl From<touchstone_certs::Error> for Error {
    fn from(error: touchstone_certs::Error) -> Self {
        Self::Certificate(error)
    }
}
