//! Profiles: what certificates of one kind have in them. The same value issues and checks.

use crate::{AlternativeName, Certificate, FOREVER};
use alloc::vec::Vec;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use core::fmt;
use der::flagset::FlagSet;
use x509_cert::ext::pkix::{KeyUsage, KeyUsages};

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// TCG EK Credential Profile §3.2.16.
const EK_CERTIFICATE: ObjectIdentifier = oid("2.23.133.8.1");
/// RFC 6402 §2.10: `id-kp-cmcRA`.
const CMC_RA: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.28");
/// TCG: a key that attests, `tcg-kp-AIKCertificate`.
const AK_CERTIFICATE: ObjectIdentifier = oid("2.23.133.8.3");
/// TCG, TPM 2.0 Keys for Device Identity and Attestation §8: `tcg-cap-verifiedTPMResidency`.
const TPM_RESIDENCY: ObjectIdentifier = oid("2.23.133.11.1.1");
/// `tcg-cap-verifiedTPMFixed`.
const TPM_FIXED: ObjectIdentifier = oid("2.23.133.11.1.2");
/// `tcg-cap-verifiedTPMRestricted`.
const TPM_RESTRICTED: ObjectIdentifier = oid("2.23.133.11.1.3");

/// What a certificate is for; each has its [`Profile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A trust anchor.
    Root,
    /// A CA below another, with at most `path_len` CAs below it.
    Intermediate {
        /// `pathLenConstraint`.
        path_len: u8,
    },
    /// A device's identity: signs, and is a TLS client.
    Device,
    /// A device's identity from its maker (802.1AR §8.10): without end, with the hardware module's
    /// name, and for no purpose in particular.
    IDevId,
    /// A device's identity from its owner (802.1AR §8.10): signs, and is a TLS client.
    LDevId,
    /// A TPM's key that attests what else the TPM holds, resident, fixed and restricted (TCG, TPM
    /// 2.0 Keys for Device Identity and Attestation §8).
    AttestationKey,
    /// A TPM's endorsement key that decrypts (TCG EK Credential Profile §3.2): RSA.
    EndorsementKey,
    /// A TPM's endorsement key that agrees on keys: elliptic curves.
    EndorsementKeyEcc,
    /// A TLS server.
    Server,
    /// A TLS client that is no device.
    Client,
    /// A server that is a client of its peers too.
    Peer,
    /// A delegated OCSP responder (RFC 6960 §4.2.2.2).
    OcspResponder,
    /// A signer of an indirect CRL, or of an issuer's CRLs with another key (RFC 5280 §5.2.5).
    CrlSigner,
    /// A signer of updates and reference values.
    CodeSigner,
    /// A registration authority in front of a CA: signs CMC responses (RFC 6402 §2.10) and SCEP
    /// replies, and SCEP requests are encrypted to it (RFC 8894 §2.2).
    RegistrationAuthority,
}

/// What certificates of one kind have in them (RFC 5280 §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub(super) ca: Option<Ca>,
    pub(super) usage: FlagSet<KeyUsages>,
    pub(super) extended: Vec<ObjectIdentifier>,
    pub(super) policies: Vec<ObjectIdentifier>,
    pub(super) names: Option<NameKind>,
    pub(super) ocsp_no_check: bool,
    pub(super) must_staple: bool,
    most_lifetime: Option<u64>,
    forever: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ca {
    pub(super) path_len: Option<u8>,
}

/// The form of alternative name that has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameKind {
    HardwareModule,
    Directory,
}

/// In what a certificate is not as its profile says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProfileFault {
    /// It is a CA and should not be, or the other way round.
    BasicConstraints,
    /// Its `pathLenConstraint` is another.
    PathLength,
    /// Its key usage is another.
    KeyUsage,
    /// Its extended key usage is another.
    ExtendedKeyUsage,
    /// A policy is missing.
    Policies,
    /// The alternative name that its kind is known by is missing.
    Names,
    /// It lives longer than its kind may, or ends where its kind has no end.
    Lifetime,
    /// `id-pkix-ocsp-nocheck` is missing (RFC 6960 §4.2.2.2.1).
    OcspNoCheck,
    /// The TLS feature `status_request` is missing (RFC 7633).
    MustStaple,
}

impl fmt::Display for ProfileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BasicConstraints => "basicConstraints do not fit",
            Self::PathLength => "pathLenConstraint does not fit",
            Self::KeyUsage => "keyUsage does not fit",
            Self::ExtendedKeyUsage => "extKeyUsage does not fit",
            Self::Policies => "a certificate policy is missing",
            Self::Names => "the alternative name of its kind is missing",
            Self::Lifetime => "its lifetime does not fit",
            Self::OcspNoCheck => "ocsp-nocheck is missing",
            Self::MustStaple => "the TLS feature status_request is missing",
        })
    }
}

impl Profile {
    fn end_entity(usage: KeyUsages, extended: &[ObjectIdentifier]) -> Self {
        Self {
            ca: None,
            usage: usage.into(),
            extended: extended.to_vec(),
            policies: Vec::new(),
            names: None,
            ocsp_no_check: false,
            must_staple: false,
            most_lifetime: None,
            forever: false,
        }
    }

    fn authority(path_len: Option<u8>) -> Self {
        let usage = KeyUsages::KeyCertSign | KeyUsages::CRLSign | KeyUsages::DigitalSignature;
        let ca = Some(Ca { path_len });
        Self { ca, usage, ..Self::end_entity(KeyUsages::DigitalSignature, &[]) }
    }

    /// The same, living at most so many seconds: short-lived certificates need no revocation.
    #[must_use]
    pub fn living_at_most(mut self, seconds: u64) -> Self {
        self.most_lifetime = Some(seconds);
        self
    }

    /// The same with the TLS feature `status_request`: a server that does not staple its status is
    /// refused (RFC 7633).
    #[must_use]
    pub fn must_staple(mut self) -> Self {
        self.must_staple = true;
        self
    }

    /// The same under this policy, too (a dotted object identifier).
    pub fn with_policy(mut self, policy: &str) -> Result<Self, crate::Error> {
        let policy = ObjectIdentifier::new(policy)
            .map_err(|_| crate::Error::malformed("policy identifier"))?;
        self.policies.push(policy);
        Ok(self)
    }

    /// The end that a certificate of this profile gets if `not_after` was asked for and its issuer
    /// ends at `issuer_end`. One without end has none, whatever its issuer's (802.1AR §8.7).
    pub(super) fn end(&self, not_before: u64, not_after: u64, issuer_end: u64) -> u64 {
        if self.forever {
            return FOREVER;
        }
        let most = self.most_lifetime.map_or(FOREVER, |most| not_before.saturating_add(most));
        not_after.min(most).min(issuer_end)
    }

    /// Whether a certificate is one of this profile; if not, everything that is wrong with it.
    pub fn check(&self, certificate: &Certificate) -> Result<(), Vec<ProfileFault>> {
        let extensions = certificate.extensions();
        let lifetime = certificate.not_after().saturating_sub(certificate.not_before());
        let path_len = self.ca.and_then(|ca| ca.path_len);
        let missing = |wanted: &ObjectIdentifier| {
            !extensions.policies.as_deref().unwrap_or_default().contains(wanted)
        };
        let extended = extensions.extended_key_usage.as_deref().unwrap_or_default();
        let named =
            |kind: NameKind| certificate.alternative_names().iter().any(|name| kind.is_of(name));
        let checks = [
            (ProfileFault::BasicConstraints, self.ca.is_some() == certificate.is_ca()),
            (ProfileFault::PathLength, extensions.path_len == path_len),
            (ProfileFault::KeyUsage, extensions.key_usage == Some(KeyUsage(self.usage))),
            (
                ProfileFault::ExtendedKeyUsage,
                extended.len() == self.extended.len()
                    && self.extended.iter().all(|usage| extended.contains(usage)),
            ),
            (ProfileFault::Policies, !self.policies.iter().any(missing)),
            (ProfileFault::Names, self.names.is_none_or(named)),
            (
                ProfileFault::Lifetime,
                self.most_lifetime.is_none_or(|most| lifetime <= most)
                    && (!self.forever || certificate.not_after() == FOREVER),
            ),
            (ProfileFault::OcspNoCheck, !self.ocsp_no_check || extensions.ocsp_no_check),
            (ProfileFault::MustStaple, !self.must_staple || certificate.must_staple()),
        ];
        let faults: Vec<_> =
            checks.into_iter().filter(|(_, good)| !good).map(|(fault, _)| fault).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Whether the names of a certificate to be are what the profile asks for.
    pub(super) fn has_names(&self, names: &[AlternativeName]) -> bool {
        self.names.is_none_or(|kind| names.iter().any(|name| kind.is_of(name)))
    }
}

impl NameKind {
    fn is_of(self, name: &AlternativeName) -> bool {
        match self {
            Self::HardwareModule => matches!(name, AlternativeName::HardwareModule { .. }),
            Self::Directory => matches!(name, AlternativeName::Directory(_)),
        }
    }
}

impl From<Kind> for Profile {
    fn from(kind: Kind) -> Self {
        use KeyUsages::{CRLSign, DigitalSignature, KeyAgreement, KeyEncipherment};
        use rfc5912::{
            ID_KP_CLIENT_AUTH, ID_KP_CODE_SIGNING, ID_KP_OCSP_SIGNING, ID_KP_SERVER_AUTH,
        };
        let ek = |usage| Self {
            names: Some(NameKind::Directory),
            ..Self::end_entity(usage, &[EK_CERTIFICATE])
        };
        match kind {
            Kind::Root => Self::authority(None),
            Kind::Intermediate { path_len } => Self::authority(Some(path_len)),
            Kind::Device | Kind::Client => Self::end_entity(DigitalSignature, &[ID_KP_CLIENT_AUTH]),
            Kind::LDevId => Self {
                names: Some(NameKind::HardwareModule),
                ..Self::end_entity(DigitalSignature, &[ID_KP_CLIENT_AUTH])
            },
            Kind::IDevId => Self {
                names: Some(NameKind::HardwareModule),
                forever: true,
                ..Self::end_entity(DigitalSignature, &[])
            },
            Kind::AttestationKey => Self {
                policies: [TPM_RESIDENCY, TPM_FIXED, TPM_RESTRICTED].to_vec(),
                ..Self::end_entity(DigitalSignature, &[AK_CERTIFICATE])
            },
            Kind::EndorsementKey => ek(KeyEncipherment),
            Kind::EndorsementKeyEcc => ek(KeyAgreement),
            Kind::Server => Self::end_entity(DigitalSignature, &[ID_KP_SERVER_AUTH]),
            Kind::Peer => {
                Self::end_entity(DigitalSignature, &[ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH])
            }
            Kind::OcspResponder => Self {
                ocsp_no_check: true,
                ..Self::end_entity(DigitalSignature, &[ID_KP_OCSP_SIGNING])
            },
            Kind::CrlSigner => Self::end_entity(CRLSign, &[]),
            Kind::CodeSigner => Self::end_entity(DigitalSignature, &[ID_KP_CODE_SIGNING]),
            Kind::RegistrationAuthority => {
                let usage = DigitalSignature | KeyEncipherment;
                Self { usage, ..Self::end_entity(DigitalSignature, &[CMC_RA]) }
            }
        }
    }
}

impl Kind {
    /// The names by which a kind is known in configuration and on the command line, `path_len`
    /// being 0.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "root" => Self::Root,
            "issuing" => Self::Intermediate { path_len: 0 },
            "device" => Self::Device,
            "idevid" => Self::IDevId,
            "ldevid" => Self::LDevId,
            "ak" => Self::AttestationKey,
            "ek" => Self::EndorsementKey,
            "ek-ecc" => Self::EndorsementKeyEcc,
            "server" => Self::Server,
            "client" => Self::Client,
            "peer" => Self::Peer,
            "ocsp-signing" => Self::OcspResponder,
            "crl-signing" => Self::CrlSigner,
            "code-signing" => Self::CodeSigner,
            "registration" => Self::RegistrationAuthority,
            _ => return None,
        })
    }

    /// Every name that [`from_name`](Self::from_name) knows.
    pub const NAMES: [&'static str; 15] = [
        "root",
        "issuing",
        "device",
        "idevid",
        "ldevid",
        "ak",
        "ek",
        "ek-ecc",
        "server",
        "client",
        "peer",
        "ocsp-signing",
        "crl-signing",
        "code-signing",
        "registration",
    ];
}
