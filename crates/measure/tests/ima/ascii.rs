//! The list in ASCII.

use super::SHA256;
use super::made::{entry, labelled, name, violation};
use proptest::prelude::*;
use touchstone_crypto::Crypto;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::Problem;
use touchstone_measure::ima::{Entry, Field, Log, is_ascii};

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |text, octet| text + &format!("{octet:02x}"))
}

/// As the kernel prints an entry (`ima_ascii_measurements_show`).
fn print(entry: &Entry<'_>) -> String {
    let mut line = format!("10 {} {}", hex(entry.template_digest), entry.template.name());
    for (field, octets) in entry.fields() {
        line.push(' ');
        if octets.is_empty() {
            continue;
        }
        let text = match field {
            Field::DigestNg | Field::DigestNgV2 | Field::DigestModsig => {
                let nul = octets.iter().position(|octet| *octet == 0).unwrap();
                format!("{}{}", String::from_utf8_lossy(&octets[..nul]), hex(&octets[nul + 1..]))
            }
            Field::NameNg | Field::Name | Field::XattrNames => {
                let text = octets.strip_suffix(&[0]).unwrap_or(octets);
                String::from_utf8(text.to_vec()).unwrap()
            }
            Field::Uid | Field::Gid | Field::Mode => entry.number(field).unwrap().to_string(),
            _ => hex(octets),
        };
        line.push_str(&text);
    }
    line.push('\n');
    line
}

fn printed(log: &Log) -> String {
    log.entries().map(|entry| print(&entry)).collect()
}

/// An entry of each template.
fn every_template(path: &str) -> Vec<u8> {
    let digest = labelled(&AwsLc.hash(SHA256, &[path.as_bytes()]));
    let typed = [b"verity:", &digest[..]].concat();
    let zeros = [&b"sha256:\0"[..], &[0; 20]].concat();
    let path = name(path);
    let owner: [&[u8]; 3] = [&7u32.to_le_bytes(), &0u32.to_le_bytes(), &0o100_644u16.to_le_bytes()];
    let xattrs: [&[u8]; 4] = [b"\x05\x02sig", b"security.ima\0", &[2, 0, 0, 0], b"ab"];
    [
        entry("ima-ng", &[&digest, &path]),
        violation("ima-ng", &[&zeros, &path]),
        entry("ima-sig", &[&digest, &path, &[]]),
        entry("ima-sig", &[&digest, &path, &[3, 2, 4]]),
        entry("ima-ngv2", &[&typed, &path]),
        entry("ima-sigv2", &[&typed, &path, &[6, 3, 4]]),
        entry("ima-buf", &[&digest, &path, b"console=ttyS0"]),
        entry("ima-modsig", &[&digest, &path, &[], &digest, &[0x30, 0x82]]),
        entry("ima-modsig", &[&digest, &path, &[], &[], &[]]),
        entry("evm-sig", &[&[&digest[..], &path], &xattrs[..], &owner[..]].concat()),
        entry("d-ng|n-ng|imode|sig", &[&digest, &path, owner[2], &[]]),
    ]
    .concat()
}

#[test]
fn every_template_reads_back_what_was_printed() {
    let log = Log::decode(&every_template("/usr/bin/sensor")).unwrap();
    let text = printed(&log);
    assert!(is_ascii(text.as_bytes()) && !is_ascii(log.octets()));
    assert_eq!(Log::decode_ascii(&AwsLc, text.as_bytes()).unwrap(), log);
    let without_end = text.trim_end_matches('\n');
    assert_eq!(Log::decode_ascii(&AwsLc, without_end.as_bytes()).unwrap(), log);
    assert!(Log::decode_ascii(&AwsLc, b"").unwrap().is_empty());
}

#[test]
fn a_name_with_line_breaks_hides_nothing_and_invents_nothing() {
    let innocent = Log::decode(&entry(
        "ima-ng",
        &[&labelled(&AwsLc.hash(SHA256, &[b"agent"])), &name("/usr/bin/agent")],
    ))
    .unwrap();
    // A file whose name looks like the entry of another.
    let evil = format!("/tmp/x\n{}", printed(&innocent).trim_end());
    let fields: [&[u8]; 2] =
        [&labelled(&AwsLc.hash(SHA256, &[b"evil"])), &name(&evil.replace(' ', "_"))];
    let log = Log::decode(&entry("ima-ng", &fields)).unwrap();
    let read = Log::decode_ascii(&AwsLc, printed(&log).as_bytes()).unwrap();
    assert_eq!(read, log);
    assert_eq!(read.len(), 1);
}

#[test]
fn a_changed_line_is_refused_by_its_entry() {
    let log = Log::decode(&every_template("/usr/bin/sensor")).unwrap();
    let text = printed(&log);
    let second = text.find('\n').unwrap() + 1;
    let refused = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        Log::decode_ascii(&AwsLc, changed.as_bytes()).unwrap_err()
    };
    let other_name = refused("/usr/bin/sensor", "/usr/bin/censor");
    assert_eq!(
        (other_name.problem, other_name.index, other_name.at),
        (Problem::ImaTemplateDigest, 0, 0)
    );
    assert_eq!(refused("10 ", "11 ").problem, Problem::ImaPcr);
    assert_eq!(refused("10 ", "xx ").problem, Problem::ImaAscii);
    assert_eq!(refused("ima-ng", "ima-xx").problem, Problem::ImaTemplate);
    assert_eq!(refused("sha256:", "sha255:").problem, Problem::ImaAlgorithm);
    let cut = &text[..second + 50];
    assert_eq!(Log::decode_ascii(&AwsLc, cut.as_bytes()).unwrap_err().index, 1);
}

proptest! {
    #[test]
    fn any_name_reads_back(path in "[!-~]{1,40}", broken in "[!-~\n]{1,40}") {
        // Spaces are not printed in names; and a violation has no digest that could tell where a
        // name with line breaks ends.
        let broken = entry("ima-ng", &[&labelled(&AwsLc.hash(SHA256, &[])), &name(&broken)]);
        let log = Log::decode(&[every_template(&path), broken].concat()).unwrap();
        prop_assert_eq!(Log::decode_ascii(&AwsLc, printed(&log).as_bytes()).unwrap(), log);
    }

    #[test]
    fn noise_never_panics(text in "(10 [0-9a-f]{40} ima-ng )?[ -~\n]{0,200}") {
        let _ = Log::decode_ascii(&AwsLc, text.as_bytes());
    }
}
