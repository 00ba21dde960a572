//! What a certificate says, for people: key, usages, extensions by name.

use super::Certificate;
use crate::name::constraints::NameConstraints;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use const_oid::ObjectIdentifier;
use const_oid::db::{DB, rfc5912};
use der::Decode;
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use x509_cert::ext::pkix::KeyUsages;

/// An extension that a certificate has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionInfo {
    /// Its object identifier, with dots.
    pub oid: String,
    /// Its name in its standard, if it is a known one.
    pub name: Option<&'static str>,
    /// Whether it is critical.
    pub critical: bool,
}

impl Certificate {
    /// Its key: `rsa-2048`, `ec-p256`, or the name or number of what it is.
    pub fn key_description(&self) -> String {
        describe_key(self.spki_der())
    }

    /// How it says that it was signed, by its name or number.
    pub fn signature_description(&self) -> String {
        AlgorithmIdentifierRef::from_der(&self.inner.signature_algorithm)
            .map_or_else(|_| String::from("unreadable"), |algorithm| named(algorithm.oid))
    }

    /// What its key may be used for, in the words of RFC 5280 §4.2.1.3; `None` if it does not say.
    pub fn key_usages(&self) -> Option<Vec<&'static str>> {
        let usage = self.extensions().key_usage?;
        let names = [
            (KeyUsages::DigitalSignature, "digitalSignature"),
            (KeyUsages::NonRepudiation, "nonRepudiation"),
            (KeyUsages::KeyEncipherment, "keyEncipherment"),
            (KeyUsages::DataEncipherment, "dataEncipherment"),
            (KeyUsages::KeyAgreement, "keyAgreement"),
            (KeyUsages::KeyCertSign, "keyCertSign"),
            (KeyUsages::CRLSign, "cRLSign"),
            (KeyUsages::EncipherOnly, "encipherOnly"),
            (KeyUsages::DecipherOnly, "decipherOnly"),
        ];
        Some(
            names.into_iter().filter(|(flag, _)| usage.0.contains(*flag)).map(|(_, n)| n).collect(),
        )
    }

    /// How many CAs may be below it (`pathLenConstraint`).
    pub fn path_length(&self) -> Option<u8> {
        self.extensions().path_len
    }

    /// Whether the CA constrains the names of certificates below it.
    pub fn constrains_names(&self) -> bool {
        self.extensions().name_constraints.is_some()
    }

    /// The names that a CA permits and excludes below it, as `permitted DNS:example.com`.
    pub fn name_constraints(&self) -> Vec<String> {
        let constraints = self.extensions().name_constraints.as_ref();
        constraints.map(NameConstraints::describe).unwrap_or_default()
    }

    /// Whether it says that nobody need ask for its status (`id-pkix-ocsp-nocheck`).
    pub fn ocsp_no_check(&self) -> bool {
        self.extensions().ocsp_no_check
    }

    /// Every extension that it has, in its order.
    pub fn extension_list(&self) -> Vec<ExtensionInfo> {
        let all = self.extensions().all.iter();
        all.map(|(oid, critical)| ExtensionInfo {
            oid: oid.to_string(),
            name: DB.by_oid(oid),
            critical: *critical,
        })
        .collect()
    }
}

/// A public key in a word: `ec-p256`, `rsa-2048`, `id-ml-dsa-65`.
pub(crate) fn describe_key(spki_der: &[u8]) -> String {
    let Ok(spki) = SubjectPublicKeyInfoRef::from_der(spki_der) else {
        return String::from("unreadable");
    };
    if let Some(bits) = crate::path::rsa_bits(&spki) {
        return format!("rsa-{bits}");
    }
    match spki.algorithm.parameters_oid() {
        Ok(rfc5912::SECP_256_R_1) => String::from("ec-p256"),
        Ok(rfc5912::SECP_384_R_1) => String::from("ec-p384"),
        Ok(rfc5912::SECP_521_R_1) => String::from("ec-p521"),
        _ => named(spki.algorithm.oid),
    }
}

fn named(oid: ObjectIdentifier) -> String {
    DB.by_oid(&oid).map_or_else(|| oid.to_string(), String::from)
}

/// The name of an extended key usage, policy or extension in its standard, if it is a known one.
pub fn oid_name(oid: &str) -> Option<&'static str> {
    match oid {
        "2.23.133.8.1" => Some("tcg-kp-EKCertificate"),
        "2.23.133.8.3" => Some("tcg-kp-AIKCertificate"),
        "2.23.133.11.1.1" => Some("tcg-cap-verifiedTPMResidency"),
        "2.23.133.11.1.2" => Some("tcg-cap-verifiedTPMFixed"),
        "2.23.133.11.1.3" => Some("tcg-cap-verifiedTPMRestricted"),
        _ => DB.by_oid(&ObjectIdentifier::new(oid).ok()?),
    }
}
