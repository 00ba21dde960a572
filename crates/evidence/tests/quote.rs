//! Evidence of the rig's device: what verifies, and every way in which it does not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail loudly"
)]

mod attester;

use attester::{Attester, LAK_ATTRIBUTES, SHA256, SIGN_ATTRIBUTES, attest, challenge};
use attester::{certify, ecc_public, key, signature};
use proptest::prelude::*;
use touchstone_crypto::{Crypto, Digest, Signer};
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::runtime::{Failure, Observation, Observed, RuntimeClaims};
use touchstone_evidence::{Challenge, Error, Evidence, PcrSelection, QuoteParts, claims, tpm};
use touchstone_peers::rig;

fn verify(attester: &Attester, challenge: &Challenge, bytes: &[u8]) -> Result<usize, Error> {
    let evidence = Evidence::decode(bytes)?.verify(&AwsLc, &attester.lak(), challenge)?;
    assert_eq!(evidence.selection(), Some(&challenge.selection));
    Ok(evidence.unquoted())
}

#[test]
fn honest_evidence_verifies_and_tells_its_claims() {
    let (attester, challenge) = (Attester::of_the_rig(), challenge());
    let evidence = Evidence::decode(&attester.evidence(&challenge)).unwrap();
    assert_eq!(evidence.pcrs(), None);
    let evidence = evidence.verify(&AwsLc, &attester.lak(), &challenge).unwrap();
    let claims = claims(&AwsLc, &evidence).unwrap();
    let boot = claims.boot.as_ref().unwrap();

    let fact = boot.secure_boot.unwrap();
    assert_eq!((fact.event, fact.pcr, fact.value), (4, 7, true));
    for (keys, file) in [
        (boot.platform_keys.as_ref().unwrap(), "secure-boot-pk.der"),
        (boot.key_exchange_keys.as_ref().unwrap(), "secure-boot-kek.der"),
        (boot.signature_db.as_ref().unwrap(), "secure-boot-db.der"),
        (&boot.authorities, "secure-boot-db.der"),
    ] {
        assert_eq!(keys.len(), 1, "{file}");
        assert_eq!(keys[0].fingerprint, AwsLc.hash(SHA256, &[&rig(file)]));
    }
    assert_eq!(boot.images.len(), 1);
    assert_eq!((boot.images[0].event, boot.images[0].pcr), (23, 4));
    assert_eq!(boot.contradictions, []);
    assert_eq!(claims.boot_aggregate, Some(true));
    assert_eq!(claims.ima.unwrap().len(), 2);

    // The command line is measured twice, and neither event carries it.
    let line = String::from_utf8(rig("cmdline.txt")).unwrap();
    let forms = touchstone_evidence::claims::measured_forms(&line);
    let lines = &boot.command_lines;
    assert_eq!(lines.iter().map(|line| line.pcr).collect::<Vec<_>>(), [11, 9]);
    for measured in lines {
        assert_eq!(measured.text, None);
        assert!(forms.iter().any(|form| AwsLc.hash(SHA256, &[form]) == measured.digest));
    }
}

#[test]
fn a_replayed_quote_is_refused() {
    let (attester, yesterday) = (Attester::of_the_rig(), challenge());
    let bytes = attester.evidence(&yesterday);
    assert_eq!(verify(&attester, &yesterday, &bytes), Ok(0));
    assert_eq!(verify(&attester, &challenge(), &bytes), Err(Error::NotFresh));
}

#[test]
fn other_run_time_claims_than_the_quoted_ones_are_refused() {
    let (mut attester, challenge) = (Attester::of_the_rig(), challenge());
    let quote = attester.quote(&challenge, &attester.pcrs());
    attester.runtime.uptime_ms += 1;
    let bytes = attester.wrap(&challenge, &quote);
    assert_eq!(verify(&attester, &challenge, &bytes), Err(Error::NotFresh));
}

#[test]
fn an_observation_can_neither_be_left_out_nor_changed_nor_taken_from_earlier_evidence() {
    let mut attester = Attester::of_the_rig();
    let observe = |value: i64, age_ms| Observation {
        name: "system.taint".into(),
        age_ms,
        found: Ok(Observed::Integer(value)),
    };
    let honest = vec![observe(4096, 5)];
    attester.runtime.observations = honest.clone();
    let challenge = challenge();
    let quote = attester.quote(&challenge, &attester.pcrs());
    let with = |observations: Vec<Observation>| {
        let runtime = RuntimeClaims { observations, ..attester.runtime.clone() }.encode();
        let bytes = Evidence::encode(&quote, &attester.event_log, &attester.ima_log, &runtime, &[]);
        verify(&attester, &challenge, &bytes)
    };
    assert!(with(honest).is_ok());
    assert!(with(Vec::new()).is_err(), "left out");
    assert!(with(vec![observe(0, 5)]).is_err(), "another value");
    assert!(with(vec![observe(4096, 0)]).is_err(), "told as newer than it is");
    let failure = Failure { code: "x".into(), words: "y".into() };
    let failed = Observation { found: Err(failure), ..observe(0, 5) };
    assert!(with(vec![failed]).is_err(), "told as a failure");
}

#[test]
fn another_key_or_a_flipped_bit_is_refused() {
    let (attester, challenge) = (Attester::of_the_rig(), challenge());
    let bytes = attester.evidence(&challenge);
    let stranger = Attester::of_the_rig();
    let refused = verify(&stranger, &challenge, &bytes).unwrap_err();
    assert_eq!(refused.code(), "evidence.attest.signature");

    let mut quote = attester.quote(&challenge, &attester.pcrs());
    let last = quote.attest.len() - 1;
    quote.attest[last] ^= 1;
    let refused = verify(&attester, &challenge, &attester.wrap(&challenge, &quote)).unwrap_err();
    assert_eq!(refused.code(), "evidence.attest.signature");
}

#[test]
fn an_attestation_that_no_tpm_made_is_refused() {
    let (attester, challenge) = (Attester::of_the_rig(), challenge());
    let mut forged = attester.quote(&challenge, &attester.pcrs());
    forged.attest[..4].copy_from_slice(&[0; 4]);
    forged.signature = signature(&attester.key, &forged.attest);
    let bytes = attester.wrap(&challenge, &forged);
    assert_eq!(verify(&attester, &challenge, &bytes), Err(Error::NotGenerated));
}

#[test]
fn a_certification_is_no_quote() {
    let (attester, challenge) = (Attester::of_the_rig(), challenge());
    let qualifying =
        touchstone_evidence::binding(&AwsLc, &challenge.nonce, &attester.runtime.encode());
    let object = ecc_public(attester.key.spki_der(), SIGN_ATTRIBUTES);
    let certified = certify(&attester.key, &object, &qualifying);
    let bytes = attester.wrap(&challenge, &certified);
    let wrong = Error::WrongType { wanted: 0x8018, found: 0x8017 };
    assert_eq!(verify(&attester, &challenge, &bytes), Err(wrong));
}

#[test]
fn a_quote_over_fewer_pcrs_is_refused() {
    let (attester, challenge) = (Attester::of_the_rig(), challenge());
    let mut fewer = challenge.clone();
    fewer.selection = PcrSelection::new(SHA256, &[0, 1]).unwrap();
    let bytes = attester.evidence(&fewer);
    assert_eq!(verify(&attester, &challenge, &bytes), Err(Error::Selection));
}

#[test]
fn a_log_that_hides_an_event_is_refused_and_the_pcr_is_named() {
    let (mut attester, challenge) = (Attester::of_the_rig(), challenge());
    let (quote, honest) = (attester.quote(&challenge, &attester.pcrs()), attester.pcrs());
    let digest = honest.value(4).unwrap();
    // The image that was loaded becomes another.
    let image = touchstone_measure::tcg::EventLog::decode(&attester.event_log).unwrap().events()
        [23]
    .digest(SHA256)
    .unwrap();
    let at = attester.event_log.windows(32).position(|w| w == image.as_bytes()).unwrap();
    attester.event_log[at] ^= 1;

    // The values that come along are the quoted ones.
    let values: Vec<Digest> =
        challenge.selection.pcrs.iter().map(|pcr| honest.value(*pcr).unwrap()).collect();
    let runtime = attester.runtime.encode();
    let encode = |values: &[Digest]| {
        Evidence::encode(&quote, &attester.event_log, &attester.ima_log, &runtime, values)
    };
    let refused = verify(&attester, &challenge, &encode(&values)).unwrap_err();
    let Error::Replay { pcr, quoted, .. } = &refused else { panic!("{refused}") };
    assert_eq!((*pcr, *quoted), (Some(4), Some(digest)));
    assert!(refused.to_string().starts_with("the log leads PCR 4 to sha256:"), "{refused}");

    // Without them, or with lies, it is refused all the same.
    let unknown = Error::Replay { pcr: None, replayed: None, quoted: None };
    assert_eq!(verify(&attester, &challenge, &encode(&[])), Err(unknown.clone()));
    let lies = [Digest::zero(SHA256); 15];
    assert_eq!(verify(&attester, &challenge, &encode(&lies)), Err(unknown));
}

#[test]
fn an_event_that_claims_another_pcr_is_refused() {
    let (mut attester, challenge) = (Attester::of_the_rig(), challenge());
    let quote = attester.quote(&challenge, &attester.pcrs());
    let log = touchstone_measure::tcg::EventLog::decode(&attester.event_log).unwrap();
    // PCR, type, number of digests, TPM_ALG_ID, and then the digest of the image.
    let image = log.events()[23].digest(SHA256).unwrap();
    let at = attester.event_log.windows(32).position(|w| w == image.as_bytes()).unwrap() - 14;
    assert_eq!(attester.event_log[at..at + 4], [4, 0, 0, 0]);
    for pcr in (0..24).filter(|pcr| *pcr != 4) {
        attester.event_log[at] = pcr;
        let runtime = attester.runtime.encode();
        let bytes = Evidence::encode(&quote, &attester.event_log, &attester.ima_log, &runtime, &[]);
        let refused = verify(&attester, &challenge, &bytes).unwrap_err();
        assert_eq!(refused.code(), "evidence.quote.replay", "PCR {pcr}: {refused}");
    }
}

#[test]
fn ima_entries_behind_the_quote_are_no_evidence() {
    let (mut attester, challenge) = (Attester::of_the_rig(), challenge());
    let quote = attester.quote(&challenge, &attester.pcrs());
    let entries = attester.ima_log.clone();
    attester.ima_log.extend(entries);
    let bytes = attester.wrap(&challenge, &quote);
    assert_eq!(verify(&attester, &challenge, &bytes), Ok(2));
    let evidence = Evidence::decode(&bytes).unwrap();
    let evidence = evidence.verify(&AwsLc, &attester.lak(), &challenge).unwrap();
    assert_eq!(evidence.ima_log().unwrap().len(), 2);
}

#[test]
fn a_removed_ima_entry_is_noticed() {
    let (mut attester, challenge) = (Attester::of_the_rig(), challenge());
    let quote = attester.quote(&challenge, &attester.pcrs());
    attester.ima_log.clear();
    let runtime = attester.runtime.encode();
    let bytes = Evidence::encode(&quote, &attester.event_log, &attester.ima_log, &runtime, &[]);
    let refused = verify(&attester, &challenge, &bytes).unwrap_err();
    assert_eq!(refused.code(), "evidence.quote.replay");
}

#[test]
fn without_pcr_10_in_the_quote_the_ima_list_says_nothing() {
    let (attester, mut challenge) = (Attester::of_the_rig(), challenge());
    challenge.selection = PcrSelection::new(SHA256, &[0, 4, 7]).unwrap();
    let bytes = attester.evidence(&challenge);
    assert_eq!(verify(&attester, &challenge, &bytes), Ok(2));
    let evidence = Evidence::decode(&bytes).unwrap();
    let evidence = evidence.verify(&AwsLc, &attester.lak(), &challenge).unwrap();
    let claims = claims(&AwsLc, &evidence).unwrap();
    let boot = claims.boot.as_ref().unwrap();
    assert_eq!(claims.ima, None);
    // Nor do events of other PCRs.
    assert!(boot.command_lines.is_empty());
}

/// systemd-stub measures credentials into the PCR of the command line, and tells what they are.
#[test]
fn what_is_measured_beside_the_command_line_is_none() {
    let (mut attester, challenge) = (Attester::of_the_rig(), challenge());
    let utf16 = |text: &str| -> Vec<u8> {
        text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
    };
    let mut add = |digest: Digest, data: &[u8]| {
        attester.event_log.extend(12u32.to_le_bytes());
        attester.event_log.extend(0xDu32.to_le_bytes());
        attester.event_log.extend(1u32.to_le_bytes());
        attester.event_log.extend(SHA256.tpm_id().to_le_bytes());
        attester.event_log.extend(digest.as_bytes());
        attester.event_log.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        attester.event_log.extend(data);
    };
    let (line, about) = (utf16("quiet splash"), utf16("Credentials initrd"));
    let credentials = AwsLc.hash(SHA256, &[b"a cpio archive"]);
    add(AwsLc.hash(SHA256, &[&line]), &line);
    add(credentials, &about);
    let evidence = Evidence::decode(&attester.evidence(&challenge)).unwrap();
    let evidence = evidence.verify(&AwsLc, &attester.lak(), &challenge).unwrap();
    let boot = claims(&AwsLc, &evidence).unwrap().boot.unwrap();
    let lines: Vec<_> = boot.command_lines.iter().filter(|line| line.pcr == 12).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].text.as_deref(), Some("quiet splash"));
    let others: Vec<_> = boot.others.iter().filter(|other| other.pcr == 12).collect();
    assert_eq!(others.len(), 1, "{others:?}");
    assert_eq!((others[0].digest, others[0].text.as_str()), (credentials, "Credentials initrd"));
}

#[test]
fn a_part_that_is_missing_is_told_by_its_name() {
    let (attester, challenge) = (Attester::of_the_rig(), challenge());
    let bytes = attester.evidence(&challenge);
    let at = bytes.windows(7).position(|w| w == b"ima-log").unwrap();
    let mut without = bytes;
    without[at..at + 7].copy_from_slice(b"imalist");
    let refused = Evidence::decode(&without).unwrap_err();
    assert_eq!((refused.code(), &refused), ("evidence.missing", &Error::Missing("ima-log")));
    assert!(refused.to_string().contains("has no part `ima-log`"), "{refused}");
}

#[test]
fn data_that_was_not_measured_is_a_contradiction_and_no_claim() {
    let (mut attester, challenge) = (Attester::of_the_rig(), challenge());
    // SecureBoot's data sits at the end of event 4; the digest stays, so the replay does too.
    let log = touchstone_measure::tcg::EventLog::decode(&attester.event_log).unwrap();
    let data = &log.events()[4].data;
    let at = attester.event_log.windows(data.len()).position(|w| w == data).unwrap();
    attester.event_log[at + data.len() - 1] = 0;
    let evidence = Evidence::decode(&attester.evidence(&challenge)).unwrap();
    let evidence = evidence.verify(&AwsLc, &attester.lak(), &challenge).unwrap();
    let claims = claims(&AwsLc, &evidence).unwrap();
    let boot = claims.boot.as_ref().unwrap();
    assert_eq!(boot.secure_boot, None);
    assert_eq!(boot.contradictions.len(), 1);
    assert_eq!(boot.contradictions[0].event, 4);
}

#[test]
fn a_key_that_may_sign_anything_is_no_attestation_key() {
    let key = key();
    for (attributes, missing) in [
        (SIGN_ATTRIBUTES, "restricted to what the TPM made"),
        (LAK_ATTRIBUTES & !0x2, "bound to one TPM"),
        (LAK_ATTRIBUTES & !0x20, "bound to one TPM"),
        (LAK_ATTRIBUTES & !0x4_0000, "a signing key"),
        (LAK_ATTRIBUTES | 0x2_0000, "a signing key"),
    ] {
        let native = ecc_public(key.spki_der(), attributes);
        let refused = tpm::LakPublic::from_native(&native).unwrap_err();
        assert_eq!(refused, Error::KeyAttributes(missing), "{attributes:#x}");
    }
    let native = ecc_public(key.spki_der(), LAK_ATTRIBUTES);
    let lak = tpm::LakPublic::from_native(&native).unwrap();
    assert_eq!(lak.spki_der(), key.spki_der());
    assert_eq!(tpm::spki_of(&native).unwrap(), key.spki_der());
}

#[test]
fn a_certified_key_is_the_one_that_was_named() {
    let attester = Attester::of_the_rig();
    let object = ecc_public(key().spki_der(), SIGN_ATTRIBUTES);
    let QuoteParts { attest, signature } = certify(&attester.key, &object, b"context");
    let check = |object: &[u8], context: &[u8]| {
        tpm::verify_certify(&AwsLc, &attest, &signature, &attester.lak(), object, context)
            .map(|certified| certified.name.clone())
    };
    assert_eq!(check(&object, b"context").unwrap(), tpm::name_of(&AwsLc, &object).unwrap());
    assert_eq!(check(&object, b"another"), Err(Error::NotFresh));
    let other = ecc_public(key().spki_der(), SIGN_ATTRIBUTES);
    assert_eq!(check(&other, b"context"), Err(Error::WrongName));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_evidence_never_panics_and_never_verifies(
        at in any::<prop::sample::Index>(),
        value in 1u8..,
    ) {
        let (attester, challenge) = (Attester::of_the_rig(), challenge());
        let mut bytes = attester.evidence(&challenge);
        let at = at.index(bytes.len());
        bytes[at] ^= value;
        if let Ok(evidence) = Evidence::decode(&bytes)
            && let Ok(evidence) = evidence.verify(&AwsLc, &attester.lak(), &challenge) {
            // What explains the measurements, and nothing else, may differ.
            prop_assert_eq!(evidence.pcrs(), Some(&attester.pcrs()));
            prop_assert_eq!(evidence.runtime(), Some(&attester.runtime));
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = Evidence::decode(&bytes);
        let _ = Challenge::decode(&bytes);
        let _ = tpm::Attest::decode(&bytes);
        let _ = tpm::Attest::decode(&attest(0x8018, &[], &bytes));
        let _ = tpm::Signature::decode(&bytes);
        let _ = tpm::PublicArea::decode(&bytes);
        let _ = touchstone_evidence::endorse::Bundle::decode(&bytes);
        let _ = touchstone_evidence::RuntimeClaims::decode(&bytes);
        let _ = touchstone_evidence::runtime::code_ranges(&AwsLc, "x", &bytes);
    }
}
