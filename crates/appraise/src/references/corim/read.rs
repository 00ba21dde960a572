//! Reading a manifest of others.

use super::{BYTES, COMID, CORIM, COSE_SIGN1, EPOCH, Elements, Kind, Trust, X5CHAIN};
use crate::references::imported::{Files, Imported, refuse};
use crate::references::{Error, MAX_DOCUMENT, ReferenceValue, limits};
use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use ciborium::Value;
use coset::{CoseSign1, TaggedCborSerializable, iana};
use touchstone_certs::{Certificate, Purpose};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, SignatureAlgorithm, ecdsa};

// CBOR tags (draft-ietf-rats-corim-11, section "CBOR Tags Registrations").
const SVN: u64 = 552;
const MIN_SVN: u64 = 553;
const UUID: u64 = 37;
const OID: u64 = 111;
/// How deep a manifest may be nested.
const DEPTH: usize = 48;

/// Reads a manifest. One that is signed must be signed by whom `trust` knows; without `trust` only
/// one that is not signed is read, and whoever hands it in answers for it.
pub fn import(
    crypto: &dyn Crypto,
    octets: &[u8],
    elements: Elements,
    trust: Option<Trust<'_>>,
) -> Result<Imported, Error> {
    if octets.len() > MAX_DOCUMENT {
        return Err(Error::TooLarge);
    }
    let manifest = item(octets, "the manifest")?;
    let mut signer = None;
    let unsigned = match (&manifest, trust) {
        (Value::Tag(COSE_SIGN1, _), Some(trust)) => {
            let (payload, by) = opened(crypto, octets, trust)?;
            signer = Some(by);
            item(&payload, "the payload")?
        }
        (Value::Tag(COSE_SIGN1, _), None) => {
            return refuse("the manifest", "it is signed; say who may have signed it");
        }
        (_, Some(_)) => return refuse("the manifest", "it is not signed"),
        (_, None) => manifest,
    };
    let Value::Tag(CORIM, map) = unsigned else {
        return refuse("the manifest", "no CoRIM (tag 501) and no signed one (tag 18)");
    };
    let mut reading = Reading { elements, files: Files::default(), imported: Imported::default() };
    reading.corim(&map, trust.map(|trust| trust.now))?;
    let mut imported = reading.imported;
    imported.values.extend(reading.files.into_values());
    imported.signer = signer;
    limits::check(imported.values.iter())?;
    Ok(imported)
}

fn item(octets: &[u8], at: &str) -> Result<Value, Error> {
    let mut rest = octets;
    match ciborium::de::from_reader_with_recursion_limit(&mut rest, DEPTH) {
        Ok(value) if rest.is_empty() => Ok(value),
        Ok(_) => refuse(at, "octets follow it"),
        Err(error) => refuse(at, format!("not CBOR: {error}")),
    }
}

/// The payload of a COSE_Sign1 whose certificate is trusted, and the certificate's subject.
fn opened(
    crypto: &dyn Crypto,
    octets: &[u8],
    trust: Trust<'_>,
) -> Result<(Vec<u8>, String), Error> {
    let at = "the signature";
    let Ok(signed) = CoseSign1::from_tagged_slice(octets) else {
        return refuse(at, "not a COSE_Sign1");
    };
    if !signed.protected.header.crit.is_empty() {
        return refuse(at, "it has critical headers that are not known");
    }
    let chain = chain(&signed)?;
    let Some((leaf, others)) = chain.split_first() else {
        return refuse(at, "it names no certificate (x5chain)");
    };
    let in_time = (leaf.not_before()..=leaf.not_after()).contains(&trust.now);
    if !(in_time && trust.anchors.certificates().contains(leaf)) {
        trust.anchors.validate(crypto, leaf, others, trust.now, Purpose::CodeSigning)?;
    }
    let Some((algorithm, numbers)) = algorithm(&signed) else {
        return refuse(at, "not by ECDSA on a NIST curve, PS256, PS384, PS512 or Ed25519");
    };
    let verified = signed.verify_signature(&[], |signature, message| {
        let der = if numbers { ecdsa::fixed_to_der(signature)? } else { signature.to_vec() };
        crypto.verify(algorithm, leaf.spki_der(), message, &der)
    });
    if verified.is_err() {
        return refuse(at, format!("not one of {} over this manifest", leaf.subject()));
    }
    match signed.payload {
        Some(payload) => Ok((payload, leaf.subject().to_owned())),
        None => refuse(at, "the manifest is not in it (detached)"),
    }
}

/// The algorithm, and whether its signatures are two numbers of one length.
fn algorithm(signed: &CoseSign1) -> Option<(SignatureAlgorithm, bool)> {
    use iana::Algorithm as Cose;
    let coset::Algorithm::Assigned(algorithm) = signed.protected.header.alg.as_ref()? else {
        return None;
    };
    Some(match algorithm {
        Cose::ES256 | Cose::ESP256 => (SignatureAlgorithm::EcdsaP256Sha256, true),
        Cose::ES384 | Cose::ESP384 => (SignatureAlgorithm::EcdsaP384Sha384, true),
        Cose::ES512 | Cose::ESP512 => (SignatureAlgorithm::EcdsaP521Sha512, true),
        Cose::PS256 => (SignatureAlgorithm::RsaPssSha256, false),
        Cose::PS384 => (SignatureAlgorithm::RsaPssSha384, false),
        Cose::PS512 => (SignatureAlgorithm::RsaPssSha512, false),
        Cose::EdDSA | Cose::Ed25519 => (SignatureAlgorithm::Ed25519, false),
        _ => return None,
    })
}

/// The certificates in x5chain, the signer's first.
fn chain(signed: &CoseSign1) -> Result<Vec<Certificate>, Error> {
    let headers = signed.protected.header.rest.iter().chain(&signed.unprotected.rest);
    let found = headers.filter(|(label, _)| *label == coset::Label::Int(X5CHAIN));
    let mut certificates = Vec::new();
    for (_, value) in found {
        let ders = match value {
            Value::Array(ders) => ders.as_slice(),
            one => core::slice::from_ref(one),
        };
        for der in ders {
            let Some(der) = der.as_bytes() else { return refuse("x5chain", "not octets") };
            certificates.push(Certificate::decode(der)?);
        }
    }
    Ok(certificates)
}

/// A map's entries by number, each with the place that it stands at.
fn entries<'v>(value: &'v Value, at: &str) -> Result<Vec<(i128, &'v Value)>, Error> {
    let Value::Map(map) = value else { return refuse(at, "not a map") };
    let mut entries: Vec<(i128, &Value)> = Vec::with_capacity(map.len());
    for (key, value) in map {
        let Some(key) = key.as_integer().map(i128::from) else {
            return refuse(at, format!("the key {key:?} is not a number"));
        };
        if entries.iter().any(|(known, _)| *known == key) {
            return refuse(at, format!("it has the key {key} twice"));
        }
        entries.push((key, value));
    }
    Ok(entries)
}

fn array<'v>(value: &'v Value, at: &str) -> Result<&'v [Value], Error> {
    match value {
        Value::Array(items) if !items.is_empty() => Ok(items),
        _ => refuse(at, "not an array with something in it"),
    }
}

fn text<'v>(value: &'v Value, at: &str) -> Result<&'v str, Error> {
    value.as_text().map_or_else(|| refuse(at, "not a text"), Ok)
}

fn number(value: &Value, at: &str) -> Result<u64, Error> {
    let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
    number.map_or_else(|| refuse(at, "not a whole number"), Ok)
}

/// The names of triples that are not reference values.
fn triples_name(key: i128) -> String {
    let known = match key {
        1 => "endorsed-triples",
        2 => "identity-triples",
        3 => "attest-key-triples",
        4 => "dependency-triples",
        5 => "membership-triples",
        6 => "coswid-triples",
        8 => "conditional-endorsement-series-triples",
        10 => "conditional-endorsement-triples",
        other => return format!("triples with the key {other}"),
    };
    known.to_owned()
}

/// The names of measured values that have no counterpart.
fn value_name(key: i128) -> String {
    let known = match key {
        3 => "flags",
        5 => "raw-value-mask",
        6 => "mac-addr",
        7 => "ip-addr",
        8 => "serial-number",
        9 => "ueid",
        10 => "uuid",
        13 => "cryptokeys",
        15 => "int-range",
        other => return format!("a value with the key {other}"),
    };
    known.to_owned()
}

struct Reading {
    elements: Elements,
    files: Files,
    imported: Imported,
}

impl Reading {
    /// `unsigned-corim-map`.
    fn corim(&mut self, map: &Value, now: Option<u64>) -> Result<(), Error> {
        let mut tags = None;
        for (key, value) in entries(map, "corim")? {
            match key {
                // id, entities: who says what, for people.
                0 | 5 => {}
                1 => tags = Some(value),
                2 => {
                    return refuse(
                        "corim.dependent-rims",
                        "the manifests it depends on are not here",
                    );
                }
                3 => {
                    return refuse(
                        "corim.profile",
                        "a profile changes what values mean; none is known",
                    );
                }
                4 => self.validity(value, now)?,
                other => return refuse(format!("corim, key {other}"), "not known"),
            }
        }
        let Some(tags) = tags else { return refuse("corim.tags", "missing") };
        for (at, tag) in array(tags, "corim.tags")?.iter().enumerate() {
            let at = format!("corim.tags[{at}]");
            match tag {
                Value::Tag(COMID, octets) => {
                    let Some(octets) = octets.as_bytes() else { return refuse(at, "not octets") };
                    self.comid(&item(octets, &at)?, &at)?;
                }
                Value::Tag(505, _) => return refuse(at, "a CoSWID tag, which is not read here"),
                Value::Tag(508, _) => {
                    return refuse(at, "a list of tags (CoTL), which is not read here");
                }
                _ => return refuse(at, "a tag that is not known"),
            }
        }
        Ok(())
    }

    /// `validity-map`.
    fn validity(&mut self, value: &Value, now: Option<u64>) -> Result<(), Error> {
        let at = "corim.rim-validity";
        for (key, value) in entries(value, at)? {
            let Value::Tag(EPOCH, time) = value else { return refuse(at, "not a time (tag 1)") };
            let time = number(time, at)?;
            match key {
                0 if now.is_some_and(|now| now < time) => {
                    return refuse(at, format!("it does not count before {time} (Unix seconds)"));
                }
                0 => {}
                1 if now.is_some_and(|now| now >= time) => {
                    return refuse(at, format!("it counted until {time} (Unix seconds)"));
                }
                1 => self.imported.valid_until = Some(time),
                other => return refuse(at, format!("the key {other} is not known")),
            }
        }
        Ok(())
    }

    /// `concise-mid-tag`.
    fn comid(&mut self, map: &Value, at: &str) -> Result<(), Error> {
        let mut triples = None;
        for (key, value) in entries(map, at)? {
            match key {
                // language, tag-identity, entities: for people.
                0..=2 => {}
                3 => {
                    return refuse(format!("{at}.linked-tags"), "tags that it amends are not here");
                }
                4 => triples = Some(value),
                other => return refuse(format!("{at}, key {other}"), "not known"),
            }
        }
        let Some(triples) = triples else { return refuse(format!("{at}.triples"), "missing") };
        for (key, value) in entries(triples, at)? {
            if key != 0 {
                let why = "no reference values; this reads reference-triples";
                return refuse(format!("{at}.{}", triples_name(key)), why);
            }
            for (number, triple) in array(value, at)?.iter().enumerate() {
                self.triple(triple, &format!("{at}.reference-triples[{number}]"))?;
            }
        }
        Ok(())
    }

    /// `reference-triple-record`.
    fn triple(&mut self, triple: &Value, at: &str) -> Result<(), Error> {
        let [environment, measurements] = array(triple, at)? else {
            return refuse(at, "not an environment and its measurements");
        };
        let about = environment_name(environment, &format!("{at}.environment"))?;
        for (number, measurement) in array(measurements, at)?.iter().enumerate() {
            self.measurement(measurement, &about, &format!("{at}.measurements[{number}]"))?;
        }
        Ok(())
    }

    /// `measurement-map`.
    fn measurement(&mut self, map: &Value, about: &str, at: &str) -> Result<(), Error> {
        let (mut element, mut values) = (None, None);
        for (key, value) in entries(map, at)? {
            match key {
                0 => element = Some(element_name(value, &format!("{at}.mkey"))?),
                1 => values = Some(value),
                2 => {
                    let why = "who has authority over an element is not judged here";
                    return refuse(format!("{at}.authorized-by"), why);
                }
                other => return refuse(format!("{at}, key {other}"), "not known"),
            }
        }
        let Some(values) = values else { return refuse(format!("{at}.mval"), "missing") };
        self.values(values, element.as_deref(), about, &format!("{at}.mval"))
    }

    /// `measurement-values-map`.
    fn values(
        &mut self,
        map: &Value,
        element: Option<&str>,
        about: &str,
        at: &str,
    ) -> Result<(), Error> {
        let entries = entries(map, at)?;
        let name = entries.iter().find(|(key, _)| *key == 11).map(|(_, name)| *name);
        let name = name.map(|name| text(name, at)).transpose()?;
        for (key, value) in entries {
            match key {
                0 => self.version(value, &format!("{at}.version"))?,
                1 => {
                    let (at, svn) = (format!("{at}.svn"), svn(value));
                    let Some(svn) = svn else { return refuse(at, "not a security version number") };
                    self.version_is(number(svn, &at)?, &at)?;
                }
                2 => {
                    let digests = digests(value, &format!("{at}.digests"))?;
                    self.digests(&digests, element, name, about);
                }
                4 => self.raw_value(value, element, &format!("{at}.raw-value"))?,
                // name: for people.
                11 => {}
                14 => {
                    let firmware = element.and_then(Kind::named) == Some(Kind::Firmware);
                    let firmware = firmware.then(|| name.unwrap_or("firmware"));
                    self.registers(value, firmware, &format!("{at}.integrity-registers"))?;
                }
                other => {
                    let why = "it has no counterpart here";
                    return refuse(format!("{at}.{}", value_name(other)), why);
                }
            }
        }
        Ok(())
    }

    fn digests(
        &mut self,
        digests: &[Digest],
        element: Option<&str>,
        name: Option<&str>,
        about: &str,
    ) {
        for digest in digests {
            if let Some(path) = element.filter(|element| element.starts_with('/')) {
                self.files.add(path, *digest);
                continue;
            }
            let digest = *digest;
            let kind = element.and_then(Kind::named);
            if let Some(Kind::SecureBootKey(database)) = kind {
                let fingerprint = digest;
                self.imported.values.push(ReferenceValue::SecureBootKey { database, fingerprint });
                continue;
            }
            let name = match (name, element) {
                (Some(name), _) => name.to_owned(),
                (None, Some(element)) if about.is_empty() => element.to_owned(),
                (None, Some(element)) => format!("{element} of {about}"),
                (None, None) => about.to_owned(),
            };
            self.imported.values.push(match (kind, self.elements) {
                (Some(Kind::BootImage), _) | (None, Elements::BootImages) => {
                    ReferenceValue::BootImage { name, digest }
                }
                _ => ReferenceValue::Measurement { name, digest },
            });
        }
    }

    /// `version-map`: one whole number is a version here.
    fn version(&mut self, value: &Value, at: &str) -> Result<(), Error> {
        for (key, value) in entries(value, at)? {
            match key {
                0 => {
                    let version = text(value, at)?;
                    let Ok(number) = version.parse::<u64>() else {
                        self.imported.notes.push(format!(
                            "{at}: `{version}` is not a whole number; say which version it is"
                        ));
                        continue;
                    };
                    self.version_is(number, at)?;
                }
                // version-scheme: how versions compare. Whole numbers compare in one way only.
                1 => {}
                other => return refuse(at, format!("the key {other} is not known")),
            }
        }
        Ok(())
    }

    fn version_is(&mut self, version: u64, at: &str) -> Result<(), Error> {
        match self.imported.version {
            Some(other) if other != version => {
                let why = format!("version {version} beside {other}; split it by versions");
                refuse(at, why)
            }
            _ => {
                self.imported.version = Some(version);
                Ok(())
            }
        }
    }

    /// `raw-value`: the text of a command line, by its element's name.
    fn raw_value(&mut self, value: &Value, element: Option<&str>, at: &str) -> Result<(), Error> {
        let Value::Tag(BYTES, octets) = value else {
            return refuse(at, "not octets (tag 560); masks have no counterpart here");
        };
        let line = octets.as_bytes().and_then(|octets| core::str::from_utf8(octets).ok());
        match (element, line) {
            (Some(super::COMMAND_LINE | "cmdline"), Some(line)) => {
                let text = line.trim_end_matches(['\n', '\0']).to_owned();
                self.imported.values.push(ReferenceValue::CommandLine { text });
                Ok(())
            }
            (element, _) => {
                let element = element.unwrap_or("an element without a key");
                refuse(at, format!("of {element}; only that of `command-line` is known"))
            }
        }
    }

    /// `integrity-registers`: PCRs, by their numbers; PCR 0 of a `firmware` is one version of it.
    fn registers(&mut self, value: &Value, firmware: Option<&str>, at: &str) -> Result<(), Error> {
        let Value::Map(map) = value else { return refuse(at, "not a map") };
        for (key, value) in map {
            let named = |name: &str| {
                let digits = name.strip_prefix("pcr").or(name.strip_prefix("PCR"));
                digits.unwrap_or(name).trim_start_matches('-').parse::<u32>().ok()
            };
            let index = match key {
                Value::Integer(index) => u32::try_from(*index).ok(),
                Value::Text(name) => named(name),
                _ => None,
            };
            let Some(index) = index.filter(|index| *index < 24) else {
                return refuse(at, format!("{key:?} is not the number of a PCR"));
            };
            for value in digests(value, at)? {
                self.imported.values.push(match firmware {
                    Some(name) if index == 0 => {
                        ReferenceValue::Firmware { name: name.to_owned(), pcr0: value }
                    }
                    _ => ReferenceValue::Pcr { index, value },
                });
            }
        }
        Ok(())
    }
}

fn svn(value: &Value) -> Option<&Value> {
    match value {
        Value::Integer(_) => Some(value),
        Value::Tag(SVN | MIN_SVN, value) => Some(value),
        _ => None,
    }
}

/// `$measured-element-type-choice`.
fn element_name(value: &Value, at: &str) -> Result<String, Error> {
    match value {
        Value::Text(name) => Ok(name.clone()),
        Value::Integer(number) => Ok(i128::from(*number).to_string()),
        Value::Tag(UUID | OID, octets) if octets.is_bytes() => {
            let octets = octets.as_bytes().map_or(&[][..], Vec::as_slice);
            Ok(octets.iter().fold(String::new(), |hex, octet| hex + &format!("{octet:02x}")))
        }
        _ => refuse(at, "neither a text, a number, a UUID nor an OID"),
    }
}

/// What an environment is called, for people. One that names instances or groups is for some
/// devices only, which an assignment says here.
fn environment_name(map: &Value, at: &str) -> Result<String, Error> {
    let mut name = Vec::new();
    for (key, value) in entries(map, at)? {
        match key {
            0 => {
                for (key, value) in entries(value, at)? {
                    match (key, value) {
                        (1 | 2, Value::Text(part)) => name.push(part.clone()),
                        (0, Value::Tag(UUID | OID | BYTES, _)) | (3 | 4, Value::Integer(_)) => {}
                        (other, _) => {
                            return refuse(
                                format!("{at}.class"),
                                format!("key {other} is not known"),
                            );
                        }
                    }
                }
            }
            1 => {
                return refuse(
                    format!("{at}.instance"),
                    "say with an assignment which devices it is for",
                );
            }
            2 => {
                return refuse(
                    format!("{at}.group"),
                    "say with an assignment which devices it is for",
                );
            }
            other => return refuse(at, format!("the key {other} is not known")),
        }
    }
    Ok(name.join(" "))
}

/// `digests-type`: algorithms by the Named Information registry (RFC 6920 §9.4).
fn digests(value: &Value, at: &str) -> Result<Vec<Digest>, Error> {
    let read = |digest: &Value| {
        let [algorithm, octets] = array(digest, at)? else {
            return refuse(at, "not an algorithm and octets");
        };
        let id = algorithm.as_integer().map(i128::from);
        let known = match (id, algorithm.as_text()) {
            (Some(1), _) | (_, Some("sha-256")) => HashAlgorithm::Sha256,
            (Some(7), _) | (_, Some("sha-384")) => HashAlgorithm::Sha384,
            (Some(8), _) | (_, Some("sha-512")) => HashAlgorithm::Sha512,
            _ => return refuse(at, format!("the algorithm {algorithm:?} is not known")),
        };
        let octets = octets.as_bytes().map_or(&[][..], Vec::as_slice);
        let digest = Digest::new(known, octets);
        digest.map_or_else(|| refuse(at, format!("not as many octets as {known} has")), Ok)
    };
    array(value, at)?.iter().map(read).collect()
}
