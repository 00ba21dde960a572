//! Devices with long IMA lists: these come in parts, count when their end is proven, and not before. The fleet
//! is killed in between, devices start anew, and some of them lie.
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

use serde_json::Value;
use support::Lab;
use touchstone_peers::Swtpm;
use touchstone_tls::Identity;
use tpm_device::Device;

/// Octets of a part: few, so that a list of hundreds of kilobytes is a long one.
const PART: u32 = 20_000;

/// A fleet with these lines in `[limits]`, and a device that is onboarded.
async fn scene(limits: &str) -> (Swtpm, Lab, Device, String) {
    let swtpm = Swtpm::manufactured();
    let roots = ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]
        .map(|name| std::fs::read_to_string(swtpm.dir.path().join(name)).unwrap());
    let lab = Lab::configured(&roots.concat(), |_, config| format!("{config}\n[limits]\n{limits}"));
    let mut device = Device::new(&swtpm, &lab, "gateway-7");
    device.part = Some(PART);
    let id = device.onboard(&lab).await.unwrap()["device"].as_str().unwrap().to_owned();
    (swtpm, lab, device, id)
}

fn measure(device: &mut Device, files: std::ops::Range<u32>) {
    for file in files {
        device.measure(&format!("/opt/{file:01000}"));
    }
}

fn is_part(answer: &Value) -> Option<u64> {
    assert!(answer.get("ear_jwt").is_some() != answer.get("entries").is_some(), "{answer}");
    answer["entries"].as_u64()
}

/// Attests until there is a result: that, and how often it was told to go on.
async fn attest(device: &Device, lab: &Lab, made: &Identity) -> (Value, u32) {
    for parts in 0.. {
        let answer = device.attest(lab, made).await.unwrap();
        match is_part(&answer) {
            Some(entries) => assert!(entries <= device.list.len() as u64),
            None => return (answer, parts),
        }
    }
    unreachable!("a list has an end")
}

fn shown(lab: &Lab, id: &str) -> Value {
    lab.get(&format!("/api/v1/devices/{id}"))["device"].clone()
}

#[tokio::test]
async fn a_list_that_comes_in_parts_counts_when_its_end_has_come_and_survives_kills() {
    let (_swtpm, mut lab, mut device, id) = scene("").await;
    let made = device.maker_identity();
    measure(&mut device, 0..100);
    for _ in 0..3 {
        assert!(is_part(&device.attest(&lab, &made).await.unwrap()).is_some());
    }
    assert_eq!(shown(&lab, &id)["tier"], "none", "no result before the end");
    assert!(shown(&lab, &id).to_string().contains("so far; none counts"), "{}", shown(&lab, &id));
    assert_eq!(device.enroll(&lab, &id, "ldevid-1").await.err().unwrap().0, 403);
    let (before, _) = *device.shown.lock().unwrap();
    lab.kill_and_restart();
    // The list grows meanwhile, and each part comes with a quote of its own.
    measure(&mut device, 100..120);
    assert!(is_part(&device.attest(&lab, &made).await.unwrap()).is_some());
    assert!(device.shown.lock().unwrap().0 > before, "nothing is sent twice");
    let (result, _) = attest(&device, &lab, &made).await;
    assert_eq!(result["tier"], "affirming", "{result}");
    assert!(shown(&lab, &id).to_string().contains("120 entries"), "{}", shown(&lab, &id));

    assert!(!shown(&lab, &id).to_string().contains("so far; none counts"));

    // What follows comes alone, in parts or not.
    lab.kill_and_restart();
    measure(&mut device, 120..121);
    device.attest(&lab, &made).await.unwrap();
    assert_eq!(*device.shown.lock().unwrap(), (120, 1));
    measure(&mut device, 121..200);
    let (result, parts) = attest(&device, &lab, &made).await;
    assert_eq!((result["tier"].as_str(), parts > 2), (Some("affirming"), true), "{result}");
    assert!(shown(&lab, &id).to_string().contains("200 entries"));
    device.enroll(&lab, &id, "ldevid-1").await.unwrap();
}

#[tokio::test]
async fn a_wrong_end_throws_away_what_came_before_and_is_told() {
    let (_swtpm, lab, mut device, id) = scene("").await;
    let made = device.maker_identity();
    measure(&mut device, 0..10);
    attest(&device, &lab, &made).await;
    measure(&mut device, 10..100);
    let good = device.list.clone();
    // One of the many files is said to be another.
    device.list[15] = device.list[14].clone();
    let (result, parts) = attest(&device, &lab, &made).await;
    assert!(parts > 2);
    assert_eq!(result["tier"], "contraindicated", "{result}");
    let told = lab.get("/api/v1/events?after=0&limit=1000");
    let told = told["events"].as_array().unwrap().iter();
    let refused: Vec<_> = told.filter(|it| it["code"] == "attest.evidence.refused").collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0]["detail"]["reason_code"], "measure.ima.rewritten");
    assert!(refused[0]["message"].as_str().unwrap().contains("are thrown away"), "{refused:?}");

    // Nothing of the lie is left: the true list is asked for from where it was proven.
    device.list = good;
    device.attest(&lab, &made).await.unwrap();
    assert_eq!(device.shown.lock().unwrap().0, 10);
    let (result, _) = attest(&device, &lab, &made).await;
    assert_eq!(result["tier"], "affirming", "{result}");
    assert!(shown(&lab, &id).to_string().contains("100 entries"));
}

#[tokio::test]
async fn a_device_that_starts_anew_half_way_begins_anew() {
    let (mut swtpm, lab, mut device, id) = scene("").await;
    let made = device.maker_identity();
    measure(&mut device, 0..100);
    for _ in 0..3 {
        device.attest(&lab, &made).await.unwrap();
    }
    device.reboot(&mut swtpm);
    measure(&mut device, 200..260);
    assert!(is_part(&device.attest(&lab, &made).await.unwrap()).is_some());
    assert_eq!(device.shown.lock().unwrap().0, 0);
    let (result, _) = attest(&device, &lab, &made).await;
    assert_eq!(result["tier"], "affirming", "{result}");
    assert!(shown(&lab, &id).to_string().contains("60 entries"));
    // And a part of the old list is nothing to go on from.
    device.reboot(&mut swtpm);
    measure(&mut device, 0..1);
    assert_eq!(device.attest(&lab, &made).await.unwrap()["tier"], "affirming");
}

#[tokio::test]
async fn a_list_that_is_too_long_is_refused_with_what_to_do_and_no_result_counts() {
    let limits = "ima_list = 1048576\nima_entries = 1000";
    let (mut swtpm, lab, mut device, id) = scene(limits).await;
    device.part = Some(300_000);
    let made = device.maker_identity();
    measure(&mut device, 0..1000);
    let refused = loop {
        match device.attest(&lab, &made).await {
            Ok(answer) => assert!(is_part(&answer).is_some()),
            Err(refused) => break refused,
        }
    };
    assert!(refused.starts_with("attest.ima.too-long: "), "{refused}");
    assert!(refused.contains("1048576 octets or 1000 entries"), "{refused}");
    assert!(refused.contains("raise `ima_list` or `ima_entries` in [limits]"), "{refused}");
    assert_eq!(shown(&lab, &id)["tier"], "none");
    assert!(lab.codes().contains(&"attest.evidence.refused".to_owned()));
    // It is not sent again from its start.
    let (first, _) = *device.shown.lock().unwrap();
    let again = device.attest(&lab, &made).await.unwrap_err();
    assert!(again.starts_with("attest.ima.too-long"), "{again}");
    assert_eq!(device.shown.lock().unwrap().0, first);
    // An agent that sends the rest at once is told the same.
    device.part = None;
    let whole = device.attest(&lab, &made).await.unwrap_err();
    assert!(whole.starts_with("attest.ima.too-long"), "{whole}");
    device.reboot(&mut swtpm);
    measure(&mut device, 0..10);
    assert_eq!(device.attest(&lab, &made).await.unwrap()["tier"], "affirming");
}

#[tokio::test]
async fn a_list_in_crumbs_is_refused_and_one_without_end_counts_for_nothing() {
    let (_swtpm, lab, mut device, id) = scene("ima_pending_lifetime = \"10s\"").await;
    let made = device.maker_identity();
    measure(&mut device, 0..100);
    device.part = Some(100);
    let crumbs = device.attest(&lab, &made).await.unwrap_err();
    assert!(crumbs.starts_with("attest.ima.part-short"), "{crumbs}");
    device.part = Some(PART);
    device.attest(&lab, &made).await.unwrap();
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_secs(12) {
        std::thread::sleep(std::time::Duration::from_secs(1));
        // It goes on and on, and its end does not come.
        let last = u32::try_from(device.list.len()).unwrap();
        measure(&mut device, last..last + 30);
        if let Err(told) = device.attest(&lab, &made).await {
            assert!(told.starts_with("measure.ima.needs-all"), "{told}");
            break;
        }
    }
    assert!(began.elapsed() > std::time::Duration::from_secs(9), "not before its time");
    device.attest(&lab, &made).await.unwrap();
    assert_eq!(device.shown.lock().unwrap().0, 0, "what came is gone");
    assert_eq!(shown(&lab, &id)["tier"], "none");
}
