//! One policy asks many devices to act: some do, the rest is held back until a person says so.
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

use support::Lab;
use touchstone_appraise::{Ear, VerifierKey, ear};
use touchstone_crypto::Verified;
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::Swtpm;
use tpm_device::Device;

#[tokio::test]
async fn a_policy_acts_on_as_many_devices_as_the_fleet_allows_and_the_rest_waits_for_an_operator() {
    let (one, two) = (Swtpm::manufactured(), Swtpm::manufactured());
    let root = |swtpm: &Swtpm| {
        ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]
            .map(|name| std::fs::read_to_string(swtpm.dir.path().join(name)).unwrap())
            .concat()
    };
    let mut lab = Lab::configured(&format!("{}{}", root(&one), root(&two)), |_, config| {
        format!("{config}[respond]\ndevices = 1\nevery = \"1h\"\n")
    });
    let mut devices = Vec::new();
    for (swtpm, name) in [(&one, "pump-1"), (&two, "pump-2")] {
        let mut device = Device::new(swtpm, &lab, name);
        let welcome = device.onboard(&lab).await.unwrap();
        let pem = welcome["verifier_key_pem"].as_str().unwrap().to_owned();
        let (_, der) = pem_rfc7468::decode_vec(pem.as_bytes()).unwrap();
        let key = VerifierKey::from_spki(&der).unwrap();
        device.foreign_code = 1;
        devices.push((welcome["device"].as_str().unwrap().to_owned(), key, device));
    }
    let result = async |lab: &Lab, at: usize| -> Verified<Ear> {
        let (_, key, device) = &devices[at];
        let result = device.attest(lab, &device.maker_identity()).await.unwrap();
        ear::verify_jwt(&AwsLc, result["ear_jwt"].as_str().unwrap(), std::slice::from_ref(key))
            .unwrap()
    };
    let first = result(&lab, 0).await;
    assert_eq!((first.status.name(), &first.held), ("contraindicated", &None));
    let second = result(&lab, 1).await;
    assert_eq!(second.status.name(), "contraindicated", "the verdict counts all the same");
    let why = second.held.clone().expect("the second one waits");
    assert!(why.contains("more than 1 devices"), "{why}");

    // A fleet that was killed knows who waits, and nobody else comes in between.
    lab.kill_and_restart();
    assert!(result(&lab, 1).await.held.is_some());
    assert!(result(&lab, 0).await.held.is_none());
    let holds = lab.get("/api/v1/holds");
    assert_eq!(holds["schema"], "touchstone.device.hold.list/1");
    assert_eq!(
        (&holds["holds"][0]["held"], &holds["holds"][1]["held"]),
        (&true.into(), &false.into())
    );
    assert_eq!(holds["holds"][0]["asked"], "quarantine");

    let id = &devices[1].0;
    let release = format!("/api/v1/devices/{id}/hold/release");
    let (status, _) = lab.api("0123456789abcdef-viewer", &["-X", "POST"], &release);
    assert_eq!(status, 403, "a viewer releases nobody");
    let (status, released) = lab.api(&lab.operator_token(), &["-X", "POST"], &release);
    assert_eq!((status, released["hold"]["held"].as_bool()), (200, Some(false)), "{released}");
    let (status, _) = lab.api(&lab.operator_token(), &["-X", "POST"], &release);
    assert_eq!(status, 404);
    assert!(result(&lab, 1).await.held.is_none());
    let codes = lab.codes();
    let count = |code: &str| codes.iter().filter(|known| *known == code).count();
    assert_eq!((count("respond.proposed"), count("respond.approved")), (1, 1), "{codes:?}");
}
