//! A device that has run for long: its IMA list is longer than any message, and than the agent's memory.

use super::{Agent, Fleet, manufactured};
use std::fs;
use std::path::Path;
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::Registers;
use touchstone_element_tpm2::Tpm;
use touchstone_peers::Swtpm;

/// Octets of a list that is longer than a message may be (16 MiB).
const LONG: usize = 18 << 20;

/// Measures files with long names until the list has so many octets, as a kernel would.
fn measure(tpm: &Swtpm, octets: usize) -> (Vec<u8>, u32) {
    let state = tpm.dir.path().join("kernel");
    let mut element = Tpm::connect_tcp(tpm.address().to_string(), state).unwrap();
    let sized =
        |octets: &[u8]| [&u32::try_from(octets.len()).unwrap().to_le_bytes(), octets].concat();
    let (mut list, mut entries) = (Vec::new(), 0u32);
    while list.len() < octets {
        let name = format!("/opt/{entries:04090}\0");
        let digest = AwsLc.hash(HashAlgorithm::Sha256, &[name.as_bytes()]);
        let digest = [b"sha256:\0", digest.as_bytes()].concat();
        let data = [sized(&digest), sized(name.as_bytes())].concat();
        let template = AwsLc.hash(HashAlgorithm::Sha1, &[&data]);
        let head = [&10u32.to_le_bytes(), template.as_bytes(), &sized(b"ima-ng")].concat();
        list.extend([head, sized(&data)].concat());
        let extended = AwsLc.hash(HashAlgorithm::Sha256, &[&data]);
        element.extend_pcr(10, &[extended]).unwrap();
        entries += 1;
    }
    (list, entries)
}

/// How far the fleet said that it has the list, each time.
fn heard(agent: &Agent) -> Vec<u32> {
    let log = agent.log();
    let lines = log.lines().filter(|line| line.contains("entries of the IMA list; it goes on"));
    lines
        .map(|line| {
            let (_, entries) = line.rsplit_once("entries=").unwrap();
            let digits: String = entries.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap()
        })
        .collect()
}

/// Kilobytes of memory that a process and its children have had at their peak.
fn peak(pid: u32) -> u64 {
    let proc = Path::new("/proc").join(pid.to_string());
    let status = fs::read_to_string(proc.join("status")).unwrap();
    let own = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let own: u64 = own.trim().trim_end_matches(" kB").parse().unwrap();
    let children = fs::read_to_string(proc.join(format!("task/{pid}/children"))).unwrap();
    own + children.split_whitespace().map(|child| peak(child.parse().unwrap())).sum::<u64>()
}

#[test]
fn a_list_longer_than_a_message_is_attested_whole_though_everybody_is_killed_meanwhile() {
    let tpm = manufactured();
    let (list, entries) = measure(&tpm, LONG);
    let folder = tpm.dir.path().to_owned();
    fs::write(folder.join("list"), &list).unwrap();
    let roots = r#"endorsement_roots = ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]"#;
    let mut fleet = Fleet::new(&folder, roots);
    let mut agent = Agent::configured(&tpm, &fleet, "");
    let config = fs::read_to_string(folder.join("agent.toml")).unwrap();
    let ima_log = format!("[collect]\nima_log = \"{}\"", folder.join("list").display());
    fs::write(folder.join("agent.toml"), config.replace("[collect]", &ima_log)).unwrap();

    agent.start();
    let first = agent.until(60, "first part", || heard(&agent).last().copied());
    let before = peak(agent.child.as_ref().unwrap().id());
    // The fleet is away for a while, the agent is killed, and they go on where they were.
    agent.until(60, "third of the parts", || (heard(&agent).len() > 24).then_some(()));
    fleet.stop();
    assert!(agent.certificate().is_none(), "nothing is proven yet");
    agent.kill();
    let so_far = heard(&agent);
    fleet.start();
    agent.start();
    agent.until(60, "another part", || (heard(&agent).len() > so_far.len() + 1).then_some(()));
    let after = heard(&agent)[so_far.len()];
    // The fleet may have taken a part whose answer was lost.
    assert!(after > *so_far.last().unwrap(), "{after} after {so_far:?}");
    agent.until(60, "certificate", || agent.certificate());
    let heard = heard(&agent);
    assert!(heard.is_sorted() && first < 200 && heard.last().unwrap() < &entries, "{heard:?}");
    let peak = peak(agent.child.as_ref().unwrap().id());
    println!(
        "{} octets in {} parts; {before} kB before, {peak} kB at the peak",
        list.len(),
        heard.len()
    );
    assert!(peak < before + (8 << 10), "{before} kB before, {peak} kB at the peak");
    assert!(!agent.log().contains("ERROR"), "{}", agent.log());
    agent.kill();
    fleet.stop();
}
