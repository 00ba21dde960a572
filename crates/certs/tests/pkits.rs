//! NIST's PKITS: every case of its sections 4.1 to 4.16, with its settings and its verdict.
//!
//! The path is not given: it is built from all certificates of the suite, and revocation is learned
//! from all of its CRLs, so that every case has some hundred strangers among its candidates.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use aws_lc_rs::signature::{RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use std::collections::BTreeMap;
use std::path::Path;
use touchstone_certs::{
    Algorithms, Certificate, Crl, Error, PathInputs, Purpose, Revocation, TrustStore,
};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::corpus;

/// A day on which everything that is to be valid is: the suite is from 2001, with its algorithms.
const NOW: u64 = 1_200_000_000;

/// Cases with the default settings, in the order of their numbers: `+` validates, `-` does not, `.`
/// has other settings and is listed below.
const DEFAULT: [(&str, &str); 16] = [
    (
        "4.1",
        "+ValidCertificatePath -InvalidCASignature -InvalidEESignature +ValidDSASignatures \
         +ValidDSAParameterInheritance -InvalidDSASignature",
    ),
    (
        "4.2",
        "-InvalidCAnotBeforeDate -InvalidEEnotBeforeDate +Validpre2000UTCnotBeforeDate \
         +ValidGeneralizedTimenotBeforeDate -InvalidCAnotAfterDate -InvalidEEnotAfterDate \
         -Invalidpre2000UTCEEnotAfterDate +ValidGeneralizedTimenotAfterDate",
    ),
    (
        "4.3",
        "-InvalidNameChaining -InvalidNameChainingOrder +ValidNameChainingWhitespace \
         +ValidNameChainingWhitespace +ValidNameChainingCapitalization +ValidNameUIDs \
         +ValidRFC3280MandatoryAttributeTypes +ValidRFC3280OptionalAttributeTypes \
         +ValidUTF8StringEncodedNames +ValidRolloverfromPrintableStringtoUTF8String \
         +ValidUTF8StringCaseInsensitiveMatch",
    ),
    (
        "4.4",
        "-InvalidMissingCRL -InvalidRevokedCA -InvalidRevokedEE -InvalidBadCRLSignature \
         -InvalidBadCRLIssuerName -InvalidWrongCRL +ValidTwoCRLs -InvalidUnknownCRLEntryExtension \
         -InvalidUnknownCRLExtension -InvalidUnknownCRLExtension -InvalidOldCRLnextUpdate \
         -Invalidpre2000CRLnextUpdate +ValidGeneralizedTimeCRLnextUpdate \
         +ValidNegativeSerialNumber -InvalidNegativeSerialNumber +ValidLongSerialNumber \
         +ValidLongSerialNumber -InvalidLongSerialNumber +ValidSeparateCertificateandCRLKeys \
         -InvalidSeparateCertificateandCRLKeys -InvalidSeparateCertificateandCRLKeys",
    ),
    (
        "4.5",
        "+ValidBasicSelfIssuedOldWithNew -InvalidBasicSelfIssuedOldWithNew \
         +ValidBasicSelfIssuedNewWithOld +ValidBasicSelfIssuedNewWithOld \
         -InvalidBasicSelfIssuedNewWithOld +ValidBasicSelfIssuedCRLSigningKey \
         -InvalidBasicSelfIssuedCRLSigningKey -InvalidBasicSelfIssuedCRLSigningKey",
    ),
    (
        "4.6",
        "-InvalidMissingbasicConstraints -InvalidcAFalse -InvalidcAFalse \
         +ValidbasicConstraintsNotCritical -InvalidpathLenConstraint -InvalidpathLenConstraint \
         +ValidpathLenConstraint +ValidpathLenConstraint -InvalidpathLenConstraint \
         -InvalidpathLenConstraint -InvalidpathLenConstraint -InvalidpathLenConstraint \
         +ValidpathLenConstraint +ValidpathLenConstraint +ValidSelfIssuedpathLenConstraint \
         -InvalidSelfIssuedpathLenConstraint +ValidSelfIssuedpathLenConstraint",
    ),
    (
        "4.7",
        "-InvalidkeyUsageCriticalkeyCertSignFalse -InvalidkeyUsageNotCriticalkeyCertSignFalse \
         +ValidkeyUsageNotCritical -InvalidkeyUsageCriticalcRLSignFalse \
         -InvalidkeyUsageNotCriticalcRLSignFalse",
    ),
    (
        "4.8",
        ".ValidCertificatePath .AllCertificatesNoPolicies .DifferentPolicies -DifferentPolicies \
         -DifferentPolicies .OverlappingPolicies -DifferentPolicies -DifferentPolicies \
         -DifferentPolicies .AllCertificatesSamePolicies .AllCertificatesanyPolicy \
         -DifferentPolicies .AllCertificatesSamePolicies .AnyPolicy +UserNoticeQualifier \
         +UserNoticeQualifier +UserNoticeQualifier .UserNoticeQualifier +UserNoticeQualifier \
         +CPSPointerQualifier",
    ),
    (
        "4.9",
        "+ValidrequireExplicitPolicy +ValidrequireExplicitPolicy -InvalidrequireExplicitPolicy \
         +ValidrequireExplicitPolicy -InvalidrequireExplicitPolicy \
         +ValidSelfIssuedrequireExplicitPolicy -InvalidSelfIssuedrequireExplicitPolicy \
         -InvalidSelfIssuedrequireExplicitPolicy",
    ),
    (
        "4.10",
        ".ValidPolicyMapping .InvalidPolicyMapping .ValidPolicyMapping -InvalidPolicyMapping \
         .ValidPolicyMapping .ValidPolicyMapping -InvalidMappingFromanyPolicy \
         -InvalidMappingToanyPolicy +ValidPolicyMapping -InvalidPolicyMapping \
         +ValidPolicyMapping .ValidPolicyMapping +ValidPolicyMapping +ValidPolicyMapping",
    ),
    (
        "4.11",
        "-InvalidinhibitPolicyMapping +ValidinhibitPolicyMapping -InvalidinhibitPolicyMapping \
         +ValidinhibitPolicyMapping -InvalidinhibitPolicyMapping -InvalidinhibitPolicyMapping \
         +ValidSelfIssuedinhibitPolicyMapping -InvalidSelfIssuedinhibitPolicyMapping \
         -InvalidSelfIssuedinhibitPolicyMapping -InvalidSelfIssuedinhibitPolicyMapping \
         -InvalidSelfIssuedinhibitPolicyMapping",
    ),
    (
        "4.12",
        "-InvalidinhibitAnyPolicy +ValidinhibitAnyPolicy .inhibitAnyPolicy \
         -InvalidinhibitAnyPolicy -InvalidinhibitAnyPolicy -InvalidinhibitAnyPolicy \
         +ValidSelfIssuedinhibitAnyPolicy -InvalidSelfIssuedinhibitAnyPolicy \
         +ValidSelfIssuedinhibitAnyPolicy -InvalidSelfIssuedinhibitAnyPolicy",
    ),
    (
        "4.13",
        "+ValidDNnameConstraints -InvalidDNnameConstraints -InvalidDNnameConstraints \
         +ValidDNnameConstraints +ValidDNnameConstraints +ValidDNnameConstraints \
         -InvalidDNnameConstraints -InvalidDNnameConstraints -InvalidDNnameConstraints \
         -InvalidDNnameConstraints +ValidDNnameConstraints -InvalidDNnameConstraints \
         -InvalidDNnameConstraints +ValidDNnameConstraints -InvalidDNnameConstraints \
         -InvalidDNnameConstraints -InvalidDNnameConstraints +ValidDNnameConstraints \
         +ValidDNnameConstraints -InvalidDNnameConstraints +ValidRFC822nameConstraints \
         -InvalidRFC822nameConstraints +ValidRFC822nameConstraints -InvalidRFC822nameConstraints \
         +ValidRFC822nameConstraints -InvalidRFC822nameConstraints \
         +ValidDNandRFC822nameConstraints -InvalidDNandRFC822nameConstraints \
         -InvalidDNandRFC822nameConstraints +ValidDNSnameConstraints -InvalidDNSnameConstraints \
         +ValidDNSnameConstraints -InvalidDNSnameConstraints +ValidURInameConstraints \
         -InvalidURInameConstraints +ValidURInameConstraints -InvalidURInameConstraints \
         -InvalidDNSnameConstraints",
    ),
    (
        "4.14",
        "+ValiddistributionPoint -InvaliddistributionPoint -InvaliddistributionPoint \
         +ValiddistributionPoint +ValiddistributionPoint -InvaliddistributionPoint \
         +ValiddistributionPoint -InvaliddistributionPoint -InvaliddistributionPoint \
         +ValidNoissuingDistributionPoint -InvalidonlyContainsUserCerts \
         -InvalidonlyContainsCACerts +ValidonlyContainsCACerts -InvalidonlyContainsAttributeCerts \
         -InvalidonlySomeReasons -InvalidonlySomeReasons -InvalidonlySomeReasons \
         +ValidonlySomeReasons +ValidonlySomeReasons -InvalidonlySomeReasons \
         -InvalidonlySomeReasons +ValidIDPwithindirectCRL -InvalidIDPwithindirectCRL \
         +ValidIDPwithindirectCRL +ValidIDPwithindirectCRL -InvalidIDPwithindirectCRL \
         -InvalidcRLIssuer +ValidcRLIssuer +ValidcRLIssuer +ValidcRLIssuer -InvalidcRLIssuer \
         -InvalidcRLIssuer +ValidcRLIssuer -InvalidcRLIssuer -InvalidcRLIssuer",
    ),
    (
        "4.15",
        "-InvaliddeltaCRLIndicatorNoBase +ValiddeltaCRL -InvaliddeltaCRL -InvaliddeltaCRL \
         +ValiddeltaCRL -InvaliddeltaCRL +ValiddeltaCRL +ValiddeltaCRL -InvaliddeltaCRL \
         -InvaliddeltaCRL",
    ),
    (
        "4.16",
        "+ValidUnknownNotCriticalCertificateExtension -InvalidUnknownCriticalCertificateExtension",
    ),
];

/// Settings that are not the default.
#[derive(Clone, Copy)]
enum With {
    Default,
    /// initial-explicit-policy.
    Explicit,
    /// initial-explicit-policy, and these of NIST's test policies.
    ExplicitAnd(&'static [u8]),
    /// A user-initial-policy-set of these.
    Policies(&'static [u8]),
    /// initial-policy-mapping-inhibit.
    NoMapping,
    /// initial-policy-mapping-inhibit, and a user-initial-policy-set of these.
    NoMappingAnd(&'static [u8]),
    /// initial-any-policy-inhibit.
    NoAny,
}

use With::{Default, Explicit, ExplicitAnd, NoAny, NoMapping, NoMappingAnd, Policies};

/// Section and subsection, name and number of the certificate, settings, and whether it validates.
const OTHERS: [(&str, &str, With, bool); 41] = [
    ("4.8.1.1", "ValidCertificatePathTest1", Explicit, true),
    ("4.8.1.2", "ValidCertificatePathTest1", ExplicitAnd(&[1]), true),
    ("4.8.1.3", "ValidCertificatePathTest1", ExplicitAnd(&[2]), false),
    ("4.8.1.4", "ValidCertificatePathTest1", ExplicitAnd(&[1, 2]), true),
    ("4.8.2.1", "AllCertificatesNoPoliciesTest2", Default, true),
    ("4.8.2.2", "AllCertificatesNoPoliciesTest2", Explicit, false),
    ("4.8.3.1", "DifferentPoliciesTest3", Default, true),
    ("4.8.3.2", "DifferentPoliciesTest3", Explicit, false),
    ("4.8.3.3", "DifferentPoliciesTest3", ExplicitAnd(&[1, 2]), false),
    ("4.8.6.1", "OverlappingPoliciesTest6", Default, true),
    ("4.8.6.2", "OverlappingPoliciesTest6", Policies(&[1]), true),
    ("4.8.6.3", "OverlappingPoliciesTest6", Policies(&[2]), false),
    ("4.8.10.1", "AllCertificatesSamePoliciesTest10", Default, true),
    ("4.8.10.2", "AllCertificatesSamePoliciesTest10", Policies(&[1]), true),
    ("4.8.10.3", "AllCertificatesSamePoliciesTest10", Policies(&[2]), true),
    ("4.8.11.1", "AllCertificatesanyPolicyTest11", Default, true),
    ("4.8.11.2", "AllCertificatesanyPolicyTest11", Policies(&[1]), true),
    ("4.8.13.1", "AllCertificatesSamePoliciesTest13", Policies(&[1]), true),
    ("4.8.13.2", "AllCertificatesSamePoliciesTest13", Policies(&[2]), true),
    ("4.8.13.3", "AllCertificatesSamePoliciesTest13", Policies(&[3]), true),
    ("4.8.14.1", "AnyPolicyTest14", Policies(&[1]), true),
    ("4.8.14.2", "AnyPolicyTest14", Policies(&[2]), false),
    ("4.8.18.1", "UserNoticeQualifierTest18", Policies(&[1]), true),
    ("4.8.18.2", "UserNoticeQualifierTest18", Policies(&[2]), true),
    ("4.10.1.1", "ValidPolicyMappingTest1", Policies(&[1]), true),
    ("4.10.1.2", "ValidPolicyMappingTest1", Policies(&[2]), false),
    ("4.10.1.3", "ValidPolicyMappingTest1", NoMappingAnd(&[1]), false),
    ("4.10.2.1", "InvalidPolicyMappingTest2", Default, false),
    ("4.10.2.2", "InvalidPolicyMappingTest2", NoMapping, false),
    ("4.10.3.1", "ValidPolicyMappingTest3", Policies(&[1]), false),
    ("4.10.3.2", "ValidPolicyMappingTest3", Policies(&[2]), true),
    ("4.10.5.1", "ValidPolicyMappingTest5", Policies(&[1]), true),
    ("4.10.5.2", "ValidPolicyMappingTest5", Policies(&[6]), false),
    ("4.10.6.1", "ValidPolicyMappingTest6", Policies(&[1]), true),
    ("4.10.6.2", "ValidPolicyMappingTest6", Policies(&[6]), false),
    ("4.10.12.1", "ValidPolicyMappingTest12", Policies(&[1]), true),
    ("4.10.12.2", "ValidPolicyMappingTest12", Policies(&[2]), true),
    ("4.12.3.1", "inhibitAnyPolicyTest3", Default, true),
    ("4.12.3.2", "inhibitAnyPolicyTest3", NoAny, false),
    // The suite's own reading of 4.8.1 and 4.8.11 with nothing asked for.
    ("4.8.1", "ValidCertificatePathTest1", Default, true),
    ("4.8.11", "AllCertificatesanyPolicyTest11", Explicit, true),
];

/// What is decided otherwise here, and why. A case that changes its mind fails the test.
const OTHERWISE: [(&str, &str, &str); 2] = [
    ("4.1.4", "certs.refused.key", "DSA is not an algorithm of ours (FIPS 186-5 withdrew it)"),
    ("4.1.5", "certs.refused.key", "as above"),
];

/// The provider of the suite's time: it verifies RSA with SHA-1 and 1024 bits, which ours does not.
struct Old;

impl Crypto for Old {
    fn hash(&self, algorithm: HashAlgorithm, parts: &[&[u8]]) -> Digest {
        AwsLc.hash(algorithm, parts)
    }

    fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        spki_der: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), touchstone_crypto::Error> {
        assert_eq!(algorithm, SignatureAlgorithm::RsaPkcs1Sha1);
        UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, spki_der)
            .verify(message, signature)
            .map_err(|_| touchstone_crypto::Error::BadSignature)
    }

    fn random(&self, out: &mut [u8]) -> Result<(), touchstone_crypto::Error> {
        AwsLc.random(out)
    }
}

struct Suite {
    trust: TrustStore,
    certificates: Vec<Certificate>,
    crls: Vec<Crl>,
    ends: BTreeMap<String, Certificate>,
}

impl Suite {
    fn read(dir: &Path) -> Self {
        let mut suite = Self {
            trust: TrustStore::default(),
            certificates: Vec::new(),
            crls: Vec::new(),
            ends: BTreeMap::new(),
        };
        for path in touchstone_peers::files(&dir.join("certs")) {
            let certificate = Certificate::decode(&std::fs::read(&path).unwrap()).unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if name == "TrustAnchorRootCertificate" {
                suite.trust.add(certificate);
            } else if let Some(name) = name.strip_suffix("EE") {
                suite.ends.insert(name.to_owned(), certificate);
            } else {
                suite.certificates.push(certificate);
            }
        }
        for path in touchstone_peers::files(&dir.join("crls")) {
            suite.crls.push(Crl::decode(&std::fs::read(&path).unwrap()).unwrap());
        }
        suite
    }

    fn ask(&self, end: &str, with: With) -> Result<(), Error> {
        let named = |policies: &[u8]| {
            let name = |number: &u8| format!("2.16.840.1.101.3.2.1.48.{number}");
            policies.iter().map(name).collect::<Vec<_>>()
        };
        let revocation = Revocation { crls: &self.crls, ..Revocation::default() };
        let inputs = PathInputs::new(NOW, Purpose::Any)
            .with_revocation(revocation)
            .with_algorithms(Algorithms::default().dangerous().with_sha1_and_rsa_1024());
        let inputs = match with {
            Default => inputs,
            Explicit => inputs.with_explicit_policy(true),
            ExplicitAnd(policies) => inputs.with_policies(&named(policies))?,
            Policies(policies) => {
                inputs.with_policies(&named(policies))?.with_explicit_policy(false)
            }
            NoMapping => inputs.without_policy_mapping(),
            NoMappingAnd(policies) => inputs
                .with_policies(&named(policies))?
                .with_explicit_policy(false)
                .without_policy_mapping(),
            NoAny => inputs.without_any_policy(),
        };
        let end = &self.ends[end];
        self.trust.validate_with(&Old, end, &self.certificates, &inputs).map(drop)
    }
}

#[test]
fn every_case_of_pkits_has_its_verdict() {
    let Some(dir) = corpus("pki/pkits/PKITS") else { return };
    let suite = Suite::read(&dir);
    let mut wrong = Vec::new();
    let mut count = 0;
    let mut otherwise = Vec::new();
    let mut judge = |section: &str, end: &str, with: With, wanted: bool| {
        count += 1;
        let said = suite.ask(end, with);
        let code = said.as_ref().map_or_else(Error::code, |()| "valid");
        if said.is_ok() != wanted {
            otherwise.push((section.to_owned(), code));
            if !OTHERWISE.iter().any(|(known, expected, _)| *known == section && *expected == code)
            {
                wrong.push(format!("{section} {end}: {said:?}"));
            }
        }
    };
    for (section, names) in DEFAULT {
        for (index, name) in names.split_whitespace().enumerate() {
            let (verdict, name) = name.split_at(1);
            if verdict != "." {
                let (section, end) =
                    (format!("{section}.{}", index + 1), format!("{name}Test{}", index + 1));
                judge(&section, &end, Default, verdict == "+");
            }
        }
    }
    for (section, end, with, wanted) in OTHERS {
        judge(section, end, with, wanted);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(otherwise.len(), OTHERWISE.len(), "{otherwise:?}");
    assert_eq!(count, 249, "cases");
}

#[test]
fn by_default_the_whole_suite_is_too_weak() {
    let Some(dir) = corpus("pki/pkits/PKITS") else { return };
    let suite = Suite::read(&dir);
    let end = &suite.ends["ValidCertificatePathTest1"];
    let asked =
        suite.trust.validate(&AwsLc, end, &suite.certificates, NOW, Purpose::Any).unwrap_err();
    assert_eq!(asked.code(), "certs.refused.key");
}

/// Every verdict of "not valid" has the reason that its section is about.
#[test]
fn the_cases_are_refused_for_what_they_are_about() {
    let Some(dir) = corpus("pki/pkits/PKITS") else { return };
    let suite = Suite::read(&dir);
    let cases = [
        ("InvalidCASignatureTest2", "certs.refused.signature"),
        ("InvalidEESignatureTest3", "certs.refused.signature"),
        ("InvalidCAnotBeforeDateTest1", "certs.refused.not-yet-valid"),
        ("InvalidEEnotAfterDateTest6", "certs.refused.expired"),
        ("InvalidNameChainingOrderTest2", "certs.refused.untrusted-issuer"),
        ("InvalidMissingCRLTest1", "certs.refused.status-undetermined"),
        ("InvalidRevokedCATest2", "certs.refused.revoked"),
        ("InvalidRevokedEETest3", "certs.refused.revoked"),
        ("InvalidBadCRLSignatureTest4", "certs.crl.unauthorized"),
        ("InvalidOldCRLnextUpdateTest11", "certs.crl.stale"),
        ("InvalidUnknownCRLExtensionTest9", "certs.crl.critical-extension"),
        ("InvalidLongSerialNumberTest18", "certs.refused.revoked"),
        ("InvalidMissingbasicConstraintsTest1", "certs.refused.not-a-ca"),
        ("InvalidpathLenConstraintTest5", "certs.refused.path-length"),
        ("InvalidkeyUsageCriticalkeyCertSignFalseTest1", "certs.refused.key-cert-sign"),
        ("InvalidkeyUsageCriticalcRLSignFalseTest4", "certs.crl.unauthorized"),
        ("DifferentPoliciesTest4", "certs.refused.policy"),
        ("InvalidMappingFromanyPolicyTest7", "certs.refused.policy-mapping"),
        ("InvalidDNnameConstraintsTest2", "certs.refused.name-not-permitted"),
        ("InvalidDNSnameConstraintsTest33", "certs.refused.name-excluded"),
        ("InvaliddistributionPointTest6", "certs.refused.revoked"),
        ("InvaliddeltaCRLTest3", "certs.refused.revoked"),
        ("InvalidUnknownCriticalCertificateExtensionTest2", "certs.refused.critical-extension"),
    ];
    for (end, code) in cases {
        assert_eq!(suite.ask(end, Default).unwrap_err().code(), code, "{end}");
    }
}
