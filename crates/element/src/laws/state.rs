//! Laws of elements that know the device's state: registers, binding, reports. And of those that do
//! not: they say so.

use super::{Other, any_key, capabilities, refused, works};
use crate::{Element, KeyAlgorithm, KeySpec, KeyUse, PcrSelection, SealPcrs, SealTo, Sealing};
use touchstone_crypto::{Digest, HashAlgorithm, SignatureAlgorithm};

/// The debug register: no one's state.
const DEBUG: u8 = 16;

/// A key or a secret that is bound to registers stops to work when they move; an element without
/// registers binds nothing, instead of seeming to.
pub fn binding_is_honest(element: &mut dyn Element) {
    let can = capabilities(element);
    let Some(&bank) = can.pcr_banks.first() else {
        let selection = PcrSelection::new(HashAlgorithm::Sha256, &[DEBUG]);
        let (algorithm, key_use) = any_key(&can);
        let spec = KeySpec::new(key_use, algorithm).bound_to(selection.clone());
        refused(element.create_key("law-bound", &spec), "element.unsupported", "a bound key");
        if let Some(sealing) = element.sealing() {
            let sealed = sealing.seal(b"secret", &sealed_to(selection));
            refused(sealed, "element.unsupported", "sealing to registers");
        }
        return;
    };
    let selection = PcrSelection::new(bank, &[DEBUG]);
    let bound = signing_key(&can.keys).map(|(algorithm, signature)| {
        let spec = KeySpec::new(KeyUse::Sign, algorithm).bound_to(selection.clone());
        works(element.create_key("law-bound", &spec), "creating a bound key");
        works(element.sign("law-bound", signature, b"now"), "signing while the state holds");
        signature
    });
    let sealed = element.sealing().map(|sealing| {
        let sealed = works(sealing.seal(b"secret", &sealed_to(selection.clone())), "sealing");
        let opened = works(sealing.unseal(&sealed, None), "unsealing while the state holds");
        assert_eq!(opened.expose(), b"secret", "law: what was sealed comes back");
        sealed
    });
    let step = Digest::zero(bank);
    let registers = element.registers().expect("law: an element with PCR banks has registers");
    works(registers.extend_pcr(DEBUG, &[step]), "extending a register");
    if let Some(signature) = bound {
        let signed = element.sign("law-bound", signature, b"later");
        refused(signed, "element.state.moved", "signing after the state moved");
        works(element.delete_key("law-bound"), "deleting a bound key");
    }
    if let (Some(sealed), Some(sealing)) = (sealed, element.sealing()) {
        let opened = Sealing::unseal(sealing, &sealed, None);
        refused(opened, "element.state.moved", "unsealing after the state moved");
    }
}

fn sealed_to(selection: PcrSelection) -> SealTo {
    SealTo { pcrs: Some(SealPcrs { selection, values: None }), password: None }
}

fn signing_key(keys: &[(KeyAlgorithm, Vec<KeyUse>)]) -> Option<(KeyAlgorithm, SignatureAlgorithm)> {
    let signs = |uses: &[KeyUse]| uses.contains(&KeyUse::Sign);
    let mut curves_first: Vec<_> = keys.iter().filter(|(_, uses)| signs(uses)).collect();
    curves_first.sort_by_key(|(algorithm, _)| *algorithm != KeyAlgorithm::P256);
    let algorithm = curves_first.first()?.0;
    Some((algorithm, *algorithm.signatures().first()?))
}

/// Registers extend as the TCG says: the new value is the hash of the old one and what was measured.
pub fn registers_extend(element: &mut dyn Element, other: &Other<'_>) {
    let can = capabilities(element);
    let Some(registers) = element.registers() else { return };
    for &bank in &can.pcr_banks {
        let all: Vec<u8> = (0..24).rev().collect();
        let values = works(registers.read_pcrs(&PcrSelection::new(bank, &all)), "reading PCRs");
        assert_eq!(values.len(), all.len(), "law: every selected register is read");
        assert!(values.iter().all(|value| value.algorithm() == bank), "law: in its bank");

        let debug = PcrSelection::new(bank, &[DEBUG]);
        let old = works(registers.read_pcrs(&debug), "reading a PCR");
        let measured = other.crypto.hash(bank, &[b"measured"]);
        works(registers.extend_pcr(DEBUG, &[measured]), "extending a PCR");
        let new = works(registers.read_pcrs(&debug), "reading a PCR");
        let old = old.first().map_or(&[][..], Digest::as_bytes);
        let expected = other.crypto.hash(bank, &[old, measured.as_bytes()]);
        assert_eq!(new, [expected], "law: a register is extended");
    }
    let beyond = PcrSelection { algorithm: HashAlgorithm::Sha256, pcrs: vec![24] };
    assert!(registers.read_pcrs(&beyond).is_err(), "law: there is no PCR 24");
    assert!(registers.extend_pcr(24, &[]).is_err(), "law: there is no PCR 24");
}

/// Reports are made by attestation keys and by no others, on what exists. Whether they prove
/// anything is for `touchstone-evidence` to say.
pub fn reports_are_made(element: &mut dyn Element) {
    let can = capabilities(element);
    if element.attesting().is_none() {
        return;
    }
    let attests = |uses: &Vec<KeyUse>| uses.contains(&KeyUse::Attest);
    let (algorithm, _) =
        can.keys.iter().find(|(_, uses)| attests(uses)).expect("law: who attests has keys for it");
    let spec = KeySpec::new(KeyUse::Attest, *algorithm);
    works(element.create_key("law-lak", &spec), "creating an attestation key");
    let signing = signing_key(&can.keys).map(|(algorithm, _)| algorithm);
    if let Some(algorithm) = signing {
        let spec = KeySpec::new(KeyUse::Sign, algorithm);
        works(element.create_key("law-ldevid", &spec), "creating a signing key");
    }
    let bank = can.pcr_banks.first().copied().expect("law: who attests has registers");
    let selection = PcrSelection::new(bank, &[0, DEBUG]);
    let attesting = element.attesting().expect("law: an ability stays");
    works(attesting.endorsement(), "the endorsement");
    works(attesting.device_identity(), "the IDevID");
    works(attesting.initial_attestation(), "the IAK");
    let quote = works(attesting.quote("law-lak", &selection, b"nonce"), "quoting");
    assert!(!quote.attest.is_empty() && !quote.signature.is_empty(), "law: a quote says something");
    let again = works(attesting.quote("law-lak", &selection, b"other"), "quoting");
    assert_ne!(quote.attest, again.attest, "law: the nonce is in the quote");
    let long = attesting.quote("law-lak", &selection, &[0; 65]);
    refused(long, "element.input.bad", "quoting with a nonce of 65 octets");
    refused(attesting.quote("law-none", &selection, b""), "element.key.unknown", "quoting");
    refused(attesting.certify("law-none", "law-lak", b""), "element.key.unknown", "certifying");
    if signing.is_some() {
        let by_other = attesting.quote("law-ldevid", &selection, b"nonce");
        refused(by_other, "element.key.kind", "quoting with a key that signs anything");
        let certified = works(attesting.certify("law-ldevid", "law-lak", b"nonce"), "certifying");
        assert!(!certified.attest.is_empty(), "law: a certification says something");
    }
    works(element.delete_key("law-lak"), "deleting");
    works(element.delete_key("law-ldevid"), "deleting");
}
