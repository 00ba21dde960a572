//! Each check, its code and its words.

use core::fmt;

macro_rules! refusals {
    ($($(#[$doc:meta])+ $name:ident $code:literal $words:literal)+) => {
        /// Why a certificate, request, CRL or status response is not accepted. One variant per check.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Refusal {
            $($(#[$doc])+ $name,)+
        }

        impl Refusal {
            /// Every check.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable code of this refusal.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }
        }

        impl fmt::Display for Refusal {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $words,)+
                })
            }
        }
    };
}

refusals! {
    /// Before its `notBefore` (RFC 5280 §6.1.3 (a)(2)).
    NotYetValid "certs.refused.not-yet-valid" "not valid yet; check the clock"
    /// After its `notAfter` (RFC 5280 §6.1.3 (a)(2)).
    Expired "certs.refused.expired" "expired; renew it, or check the clock"
    /// No certificate of its issuer leads to a trust anchor.
    UntrustedIssuer "certs.refused.untrusted-issuer"
        "no configured trust anchor stands behind its issuer"
    /// Its signature is not by the issuer's key (RFC 5280 §6.1.3 (a)(1)).
    BadSignature "certs.refused.signature" "the signature is not by its issuer"
    /// Signed with an algorithm that is too old, not wanted or not known here.
    UnsupportedAlgorithm "certs.refused.algorithm" "its signature algorithm is not accepted"
    /// Its key is too short, on a weak curve, or of a kind that is not known here.
    WeakKey "certs.refused.key" "its key is too weak, or of a kind that is not accepted"
    /// It issued a certificate without being a CA (RFC 5280 §6.1.4 (k)).
    NotACa "certs.refused.not-a-ca" "it issued a certificate but is not a CA"
    /// Its key may not sign certificates (RFC 5280 §6.1.4 (n)).
    MayNotSignCertificates "certs.refused.key-cert-sign"
        "its key usage does not allow signing certificates"
    /// More CAs below it than its `pathLenConstraint` allows (RFC 5280 §6.1.4 (m)).
    PathTooLong "certs.refused.path-length" "more CAs below it than it allows"
    /// It carries a critical extension that is not known here (RFC 5280 §6.1.4 (o)).
    UnknownCriticalExtension "certs.refused.critical-extension"
        "it has a critical extension that is not known here"
    /// An extension is critical that must not be (RFC 5280 §4.2.1, §4.2.2).
    WrongCriticality "certs.refused.criticality" "it has an extension that must not be critical"
    /// Its subject is empty and no critical subjectAltName stands in (RFC 5280 §4.1.2.6).
    Nameless "certs.refused.nameless" "it names nobody"
    /// It does not say who issued it (RFC 5280 §4.1.2.4).
    IssuerNameless "certs.refused.issuer-nameless" "it does not name its issuer"
    /// Its serial number has more than 20 octets (RFC 5280 §4.1.2.2).
    LongSerial "certs.refused.serial" "its serial number is longer than 20 octets"
    /// An alternative name is not spelled as its form says (RFC 5280 §4.2.1.6).
    BadName "certs.refused.name" "one of its alternative names is not spelled as its kind asks"
    /// A CA above allows names, and not this one (RFC 5280 §6.1.3 (b)).
    NameNotPermitted "certs.refused.name-not-permitted"
        "a CA above it does not permit one of its names"
    /// A CA above excludes one of its names (RFC 5280 §6.1.3 (c)).
    NameExcluded "certs.refused.name-excluded" "a CA above it excludes one of its names"
    /// Name constraints where they cannot be evaluated, or in a certificate that is no CA's
    /// (RFC 5280 §4.2.1.10).
    UnsupportedConstraints "certs.refused.constraints"
        "name constraints stand above it, or in it, that cannot be evaluated"
    /// No acceptable policy holds for the whole path, and one is required (RFC 5280 §6.1.3 (f)).
    NoAcceptablePolicy "certs.refused.policy"
        "no acceptable certificate policy holds for the whole path"
    /// It maps from or to `anyPolicy` (RFC 5280 §6.1.4 (a)).
    BadPolicyMapping "certs.refused.policy-mapping" "it maps policies from or to anyPolicy"
    /// Its key usage or extended key usage does not cover the purpose.
    WrongPurpose "certs.refused.purpose" "not issued for this purpose"
    /// It is not what its profile asks for.
    WrongProfile "certs.refused.profile" "it is not as its profile asks"
    /// The chain is longer, or the candidates are more, than anyone honest needs.
    TooMuchWork "certs.refused.too-much-work" "the chain is too long or has too many candidates"
    /// The key of the signer is not the key in the certificate given for it.
    KeyMismatch "certs.refused.key-mismatch" "the signer's key is not the one in the certificate"
    /// Its issuer has revoked it (RFC 5280 §6.3.3 (i), (j)).
    Revoked "certs.refused.revoked" "its issuer has revoked it"
    /// No CRL and no status response at hand speaks for it, for all reasons (RFC 5280 §6.3.3).
    StatusUndetermined "certs.refused.status-undetermined"
        "no CRL and no OCSP response at hand tells whether it is revoked"
    /// The CRL that speaks for it should have had a successor (RFC 5280 §5.1.2.5).
    CrlStale "certs.crl.stale" "its CRL is out of date; fetch a newer one"
    /// The CRL that speaks for it was made later than now.
    CrlFromTheFuture "certs.crl.future" "its CRL is from the future; check the clock"
    /// Nobody who may is known to have signed the CRL that speaks for it (RFC 5280 §6.3.3 (f), (g)).
    CrlUnauthorized "certs.crl.unauthorized"
        "its CRL is not signed by anyone who may speak for its issuer"
    /// The CRL that speaks for it has something critical that is not known here (RFC 5280 §5.2).
    CrlCriticalExtension "certs.crl.critical-extension"
        "its CRL has a critical extension that is not known here"
    /// A status response is not for this certificate (RFC 6960 §3.2 (1)).
    WrongCertificate "certs.ocsp.wrong-certificate"
        "the status response is about another certificate"
    /// A status response is not by the issuer or a responder of its (RFC 6960 §4.2.2.2).
    UnauthorizedResponder "certs.ocsp.unauthorized-responder"
        "the responder may not speak for the issuer"
    /// A status response is not signed by the responder that it names (RFC 6960 §3.2 (2)).
    BadResponseSignature "certs.ocsp.signature"
        "the status response is not signed by the responder that it names"
    /// A status response is too old (RFC 6960 §3.2 (6)).
    Stale "certs.ocsp.stale" "the status response is not from this time"
    /// A status response is not yet valid (RFC 6960 §3.2 (5)).
    FutureUpdate "certs.ocsp.future" "the status response is from the future; check the clock"
    /// A status response does not answer our nonce but another (RFC 9654 §2.1).
    NonceMismatch "certs.ocsp.nonce" "the status response does not answer this request"
    /// A status response has no nonce, and ours was to be answered (RFC 9654 §2.1).
    NonceMissing "certs.ocsp.nonce-missing"
        "the status response has no nonce, so it may be an old one"
    /// The responder does not know the certificate (RFC 6960 §2.2).
    UnknownStatus "certs.ocsp.unknown" "the responder does not know it"
    /// The responder answered with an error status (RFC 6960 §4.2.1).
    ResponderFailed "certs.ocsp.responder-failed" "the status responder answered with an error"
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::string::ToString;

    #[test]
    fn each_check_has_a_code_and_words_of_its_own() {
        let codes: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
        let words: BTreeSet<_> = Refusal::ALL.iter().map(ToString::to_string).collect();
        assert_eq!((codes.len(), words.len()), (Refusal::ALL.len(), Refusal::ALL.len()));
        assert!(words.iter().all(|words| !words.ends_with('.')));
    }
}
