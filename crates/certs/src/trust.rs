//! Trust anchors, and the question that is put to them.

use crate::path::policy::Wanted;
use crate::{Algorithms, Certificate, Crl, Error, ocsp, path};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use const_oid::ObjectIdentifier;
use touchstone_crypto::{Crypto, Verified};

/// What a certificate is about to be relied upon for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// A TPM's endorsement key: extended key usage `tcg-kp-EKCertificate` (2.23.133.8.1) must be
    /// there, and the key must be for encryption or key agreement if it says what it is for (TCG EK
    /// Credential Profile §3.2).
    EndorsementKey,
    /// A device's IDevID or LDevID (802.1AR §8): a key that signs; extended key usage absent, or
    /// with client authentication or `anyExtendedKeyUsage`.
    DeviceIdentity,
    /// A TLS client: a key that signs; extended key usage absent, or with client authentication.
    TlsClient,
    /// A TLS server: a key that signs; extended key usage absent, or with server authentication.
    TlsServer,
    /// A signer of updates or reference values: extended key usage `codeSigning` must be there.
    CodeSigning,
    /// A delegated OCSP responder: extended key usage `OCSPSigning` must be there (RFC 6960
    /// §4.2.2.2).
    OcspSigning,
    /// Any: the chain alone is of interest.
    Any,
}

impl Purpose {
    /// Every purpose, with the name by which it is known in configuration and on the command line.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("endorsement-key", Self::EndorsementKey),
        ("device-identity", Self::DeviceIdentity),
        ("tls-client", Self::TlsClient),
        ("tls-server", Self::TlsServer),
        ("code-signing", Self::CodeSigning),
        ("ocsp-signing", Self::OcspSigning),
        ("any", Self::Any),
    ];

    /// The purpose of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, purpose)| purpose)
    }
}

/// The certificates that are believed without further proof.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustStore {
    anchors: Vec<Certificate>,
}

/// What is asked of a path (RFC 5280 §6.1.1). Names, policies, usages and lengths are always judged;
/// revocation and an acceptable policy are asked for here.
#[derive(Clone, Debug)]
pub struct PathInputs<'a> {
    pub(crate) at: u64,
    pub(crate) purpose: Purpose,
    pub(crate) policies: Wanted,
    pub(crate) algorithms: Algorithms<'a>,
    pub(crate) most_issuers: usize,
    pub(crate) revocation: Option<Revocation<'a>>,
}

/// How it is learned whether a certificate was revoked. What is not known is not good.
///
/// A status response or CRL that says "revoked" decides. Otherwise a response that says "good" is
/// enough, or CRLs that speak for all reasons (RFC 5280 §6.3.3).
#[derive(Clone, Copy, Debug, Default)]
pub struct Revocation<'a> {
    /// Full, delta and indirect CRLs, in any order, with strangers among them.
    pub crls: &'a [Crl],
    /// Status responses, in any order, with strangers among them.
    pub responses: &'a [ocsp::Response],
    /// For how many seconds after its `nextUpdate` a CRL or response is still believed.
    pub grace: u64,
    /// Whether only the leaf is asked about, and its issuers are not.
    pub leaf_only: bool,
}

impl<'a> PathInputs<'a> {
    /// Valid at `at` for `purpose`; any policy, any algorithm that is accepted here, revocation not
    /// asked for.
    pub fn new(at: u64, purpose: Purpose) -> Self {
        let (policies, algorithms) = (Wanted::default(), Algorithms::default());
        Self {
            at,
            purpose,
            policies,
            algorithms,
            most_issuers: path::MOST_ISSUERS,
            revocation: None,
        }
    }

    /// The same, under one of these policies at least (dotted object identifiers): the
    /// `user-initial-policy-set`, with `initial-explicit-policy`.
    pub fn with_policies<T: AsRef<str>>(mut self, policies: &[T]) -> Result<Self, Error> {
        for policy in policies {
            let oid = ObjectIdentifier::new(policy.as_ref())
                .map_err(|_| Error::malformed("policy identifier"))?;
            self.policies.acceptable.insert(oid);
        }
        self.policies.explicit = !self.policies.acceptable.is_empty();
        Ok(self)
    }

    /// `initial-explicit-policy`: whether some acceptable policy must hold for the whole path.
    #[must_use]
    pub fn with_explicit_policy(mut self, required: bool) -> Self {
        self.policies.explicit = required;
        self
    }

    /// `initial-policy-mapping-inhibit`: mappings between policies do not count.
    #[must_use]
    pub fn without_policy_mapping(mut self) -> Self {
        self.policies.inhibit_mapping = true;
        self
    }

    /// `initial-any-policy-inhibit`: `anyPolicy` in a certificate stands for none.
    #[must_use]
    pub fn without_any_policy(mut self) -> Self {
        self.policies.inhibit_any = true;
        self
    }

    /// The same with these algorithms and keys.
    #[must_use]
    pub fn with_algorithms(mut self, algorithms: Algorithms<'a>) -> Self {
        self.algorithms = algorithms;
        self
    }

    /// The same with at most so many CAs between leaf and anchor; self-issued ones are not counted.
    #[must_use]
    pub fn with_most_intermediates(mut self, most: usize) -> Self {
        self.most_issuers = most.saturating_add(1).min(path::MOST_ISSUERS);
        self
    }

    /// The same, and nothing in the path is revoked.
    #[must_use]
    pub fn with_revocation(mut self, revocation: Revocation<'a>) -> Self {
        self.revocation = Some(revocation);
        self
    }
}

/// A leaf, and who vouches for it up to a trust anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub(crate) leaf: Certificate,
    pub(crate) issuers: Vec<Certificate>,
    pub(crate) policies: Vec<ObjectIdentifier>,
}

impl TrustStore {
    /// A store of these anchors.
    pub fn new(anchors: Vec<Certificate>) -> Self {
        Self { anchors }
    }

    /// A store of the certificates in a PEM file.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        Ok(Self::new(Certificate::from_pem(pem)?))
    }

    /// One anchor more.
    pub fn add(&mut self, anchor: Certificate) {
        self.anchors.push(anchor);
    }

    /// The anchors.
    pub fn certificates(&self) -> &[Certificate] {
        &self.anchors
    }

    /// Whether there is no anchor, so that nothing can be valid.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// Finds a path from `leaf` over some of `intermediates` (in any order, with strangers among
    /// them) to an anchor, all of it valid at `at` for `purpose`.
    pub fn validate(
        &self,
        crypto: &dyn Crypto,
        leaf: &Certificate,
        intermediates: &[Certificate],
        at: u64,
        purpose: Purpose,
    ) -> Result<Verified<Chain>, Error> {
        self.validate_with(crypto, leaf, intermediates, &PathInputs::new(at, purpose))
    }

    /// As [`validate`](Self::validate), with everything that RFC 5280 §6.1.1 lets one ask for.
    /// Certificates of CRL issuers and of other CAs are among `intermediates`.
    pub fn validate_with(
        &self,
        crypto: &dyn Crypto,
        leaf: &Certificate,
        intermediates: &[Certificate],
        inputs: &PathInputs<'_>,
    ) -> Result<Verified<Chain>, Error> {
        path::validate(crypto, &self.anchors, leaf, intermediates, inputs).map(Verified::vouch)
    }
}

impl Chain {
    /// The certificate that was asked about.
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// Its issuer, that one's issuer, and so on; the last is the trust anchor.
    pub fn issuers(&self) -> &[Certificate] {
        &self.issuers
    }

    /// The acceptable policies that hold for the whole path, in the words of the anchor's domain
    /// (`user-constrained-policy-set`, RFC 5280 §6.1.6): dotted object identifiers.
    pub fn policies(&self) -> Vec<String> {
        self.policies.iter().map(ToString::to_string).collect()
    }

    /// The trust anchor.
    pub fn anchor(&self) -> &Certificate {
        self.issuers.last().unwrap_or(&self.leaf)
    }
}
