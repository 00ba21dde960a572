//! Which proof a profile takes: a software TPM answers the fleet's challenges, and gives other answers than
//! were asked for.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod support;
#[path = "support/tpm_device.rs"]
mod tpm_device;

use std::sync::Arc;
use support::Lab;
use touchstone_certs::{Certificate, Name};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_element::{
    Attesting, Credential, Element, ElementSigner, KeyAlgorithm, KeySpec, KeyUse, Secret,
};
use touchstone_enroll::est::attributes::Attributes;
use touchstone_enroll::{Activation, AttestedRequest, TpmCertify, est};
use touchstone_evidence::endorse::{challenge_binding, ldevid_binding};
use touchstone_peers::Swtpm;
use touchstone_tls::Identity;
use tpm_device::{Answer, Device, request};

fn scene() -> (Swtpm, Lab) {
    let swtpm = Swtpm::manufactured();
    let roots: String = ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]
        .map(|name| std::fs::read_to_string(swtpm.dir.path().join(name)).unwrap())
        .concat();
    let lab = Lab::configured(&roots, |_, config| {
        format!(
            "{config}\n[[authority.profile]]\nname = 'device'\nkind = 'device'\nlifetime = '1h'\n\
             proof = 'challenge'\n\
             [[authority.profile]]\nname = 'valve'\nkind = 'device'\nlifetime = '1h'\n\
             proof = 'challenge'\n\
             [[authority.profile]]\nname = 'plain'\nkind = 'device'\nlifetime = '1h'\nproof = 'tpm'\n"
        )
    });
    (swtpm, lab)
}

/// What a request has to contain, as the fleet says it to whoever shows this.
async fn wanted(lab: &Lab, shown: &Identity, path: &str) -> Result<Option<Activation>, Answer> {
    let path = format!("/.well-known/est/{path}");
    let answer = request(lab, shown, "GET", &path, &[], Vec::new()).await;
    if answer.0 != 200 {
        return Err(answer);
    }
    let der = est::decode_attributes(est::CSRATTRS_TYPE, &answer.2).unwrap();
    Ok(Activation::of(&Attributes::decode(&der).unwrap()).unwrap())
}

/// The secret in the fleet's challenge.
async fn secret(lab: &Lab, device: &Device, shown: &Identity, path: &str) -> Vec<u8> {
    let Activation { blob, secret } = wanted(lab, shown, path).await.unwrap().unwrap();
    let opened = device.tpm.lock().unwrap().activate("lak", &Credential { blob, secret }).unwrap();
    opened.expose().to_vec()
}

/// A request by `signs`, in which `by` certifies `key` with that qualifying data.
fn csr(
    device: &Device,
    id: &str,
    (by, key, signs): (&str, &str, &str),
    qualifying: &[u8],
) -> Vec<u8> {
    let certify = {
        let mut tpm = device.tpm.lock().unwrap();
        for (name, is_for) in [(by, KeyUse::Attest), (key, KeyUse::Sign), (signs, KeyUse::Sign)] {
            if tpm.public_key(name).unwrap().is_none() {
                tpm.create_key(name, &KeySpec::new(is_for, KeyAlgorithm::P256)).unwrap();
            }
        }
        let public = tpm.public_key(key).unwrap().unwrap().native;
        let certified = tpm.certify(key, by, qualifying).unwrap();
        TpmCertify { attest: certified.attest, signature: certified.signature, public }
    };
    let signer = ElementSigner::new(Arc::clone(&device.tpm), signs).unwrap();
    let subject = Name::common_name(id).unwrap();
    AttestedRequest::build(&subject, &[], &certify, &[], &signer).unwrap()
}

#[tokio::test]
async fn a_profile_may_want_it_proven_anew_that_attestation_key_and_endorsement_key_are_in_one_tpm()
{
    let (swtpm, lab) = scene();
    let device = Device::new(&swtpm, &lab, "gateway-7");
    let made = device.maker_identity();
    let Err((status, refused, _)) = wanted(&lab, &made, "csrattrs").await else { panic!() };
    assert_eq!((status, refused.as_str()), (403, "est.device.unknown"), "not onboarded");
    let id = device.onboard(&lab).await.unwrap()["device"].as_str().unwrap().to_owned();
    device.attest(&lab, &made).await.unwrap();
    assert_eq!(wanted(&lab, &made, "plain/csrattrs").await.unwrap(), None, "`tpm` asks for none");

    let ask = async |shown: &Identity, operation: &str, key: &str, csr: &[u8]| {
        device.est(&lab, shown, operation, key, csr.to_vec()).await
    };
    let refused = async |operation: &str, key: &str, csr: &[u8]| {
        let (status, code, _) = ask(&made, operation, key, csr).await.err().unwrap();
        assert_eq!(status, 403, "{code}");
        code
    };
    let usual = ("lak", "ldevid-1", "ldevid-1");
    let of = |secret: &[u8]| challenge_binding(&AwsLc, &id, secret);

    // No proof; one that answers nothing; one for somebody else.
    let plain = device.attested_request(&id, "ldevid-1");
    assert_eq!(refused("simpleenroll", "ldevid-1", &plain).await, "est.challenge.none");
    let bare = {
        let signer = ElementSigner::new(Arc::clone(&device.tpm), "ldevid-1").unwrap();
        let subject = Name::common_name(&id).unwrap();
        touchstone_certs::request::build(&subject, &[], &[], &signer).unwrap()
    };
    assert_eq!(refused("simpleenroll", "ldevid-1", &bare).await, "enroll.attestation.none");
    let invented = csr(&device, &id, usual, &of(&[7; 32]));
    assert_eq!(refused("simpleenroll", "ldevid-1", &invented).await, "est.challenge.none");

    // A challenge of another profile, another key than the certified one, another attestation key.
    let valve = secret(&lab, &device, &made, "valve/csrattrs").await;
    let other = csr(&device, &id, usual, &of(&valve));
    assert_eq!(refused("simpleenroll", "ldevid-1", &other).await, "est.challenge.profile");
    let given = secret(&lab, &device, &made, "csrattrs").await;
    let other = csr(&device, &id, ("lak", "ldevid-1", "ldevid-2"), &of(&given));
    assert_eq!(refused("simpleenroll", "ldevid-2", &other).await, "est.key.other");
    let other = csr(&device, &id, ("lak-2", "ldevid-1", "ldevid-1"), &of(&given));
    let code = refused("simpleenroll", "ldevid-1", &other).await;
    assert_eq!(
        code, "evidence.attest.signature",
        "signed by a key that is not the attestation key"
    );

    // A key that was elsewhere before.
    {
        let outside = SoftSigner::generate(support::P256).unwrap();
        let secret = Secret::new(outside.pkcs8_der().to_vec());
        let mut tpm = device.tpm.lock().unwrap();
        let importing = tpm.importing().unwrap();
        importing.import_key("outside", KeyUse::Sign, KeyAlgorithm::P256, &secret).unwrap();
    }
    let other = csr(&device, &id, ("lak", "outside", "outside"), &of(&given));
    assert_eq!(refused("simpleenroll", "outside", &other).await, "est.key.attributes");
    // Nor does the fleet make a device's key.
    assert_eq!(refused("serverkeygen", "ldevid-1", &plain).await, "est.key.made");

    // The answer; again, as it was; by another request.
    let good = csr(&device, &id, usual, &of(&given));
    let ldevid = ask(&made, "simpleenroll", "ldevid-1", &good).await.unwrap();
    let again = ask(&made, "simpleenroll", "ldevid-1", &good).await.unwrap();
    assert_eq!(again.certificate.serial(), ldevid.certificate.serial());
    let replayed = csr(&device, &id, ("lak", "ldevid-3", "ldevid-3"), &of(&given));
    assert_eq!(refused("simpleenroll", "ldevid-3", &replayed).await, "est.challenge.used");

    // A renewal keeps its key, and answers all the same.
    let local = device.local_identity(&ldevid);
    let (status, code, _) = device.renew(&lab, &ldevid).await.err().unwrap();
    assert_eq!((status, code.as_str()), (403, "enroll.attestation.none"));
    let given = secret(&lab, &device, &local, "csrattrs").await;
    let renewal = csr(&device, &id, usual, &of(&given));
    let renewed = ask(&local, "simplereenroll", "ldevid-1", &renewal).await.unwrap();
    assert_eq!(renewed.certificate.spki_der(), ldevid.certificate.spki_der());

    // By `tpm` a challenge is no answer: it is not what was asked.
    let stray = csr(&device, &id, ("lak", "ldevid-4", "ldevid-4"), &of(&given));
    assert_eq!(
        refused("plain/simpleenroll", "ldevid-4", &stray).await,
        "evidence.attest.not-fresh"
    );
    let right = csr(&device, &id, ("lak", "ldevid-4", "ldevid-4"), &ldevid_binding(&AwsLc, &id));
    let issued: Certificate =
        ask(&made, "plain/simpleenroll", "ldevid-4", &right).await.unwrap().certificate;
    assert_eq!(issued.subject(), format!("CN={id}"));
}

#[tokio::test]
async fn an_attestation_key_that_signs_anything_is_not_onboarded() {
    let (swtpm, lab) = scene();
    let device = Device::new(&swtpm, &lab, "gateway-7").with_an_open_attestation_key();
    let refused = device.onboard(&lab).await.unwrap_err();
    assert!(refused.starts_with("evidence.key.attributes"), "{refused}");
    assert!(refused.contains("restricted to what the TPM made"), "{refused}");
}
