//! A reader of what tpm2_eventlog prints, made for just that, and the same lines made of what this
//! crate decoded. Both are lists of lines, so that a difference is one line.

use std::collections::BTreeSet;
use std::fmt::Write;
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::tcg::{
    Content, Description, DevicePath, Event, EventLog, EventType, SignatureDatabase, describe,
};

/// How device paths are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paths {
    /// As text, by libefivar.
    Text,
    /// In hexadecimal.
    Octets,
}

pub(crate) fn hex(octets: &[u8]) -> String {
    let mut text = String::new();
    for octet in octets {
        write!(text, "{octet:02x}").unwrap();
    }
    text
}

/// The lines of a recorded output: strings on one line and unescaped, each key of a signature list
/// on one line, device paths in one form.
pub(crate) fn expected(text: &str, paths: Paths) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut kind = String::new();
    let mut owner = String::new();
    let text = unfold(text);
    let mut rest = text.lines().skip(2).peekable();
    while let Some(line) = rest.next() {
        let line = line.trim().trim_start_matches("- ").to_owned();
        let value = |name: &str| line.strip_prefix(name).map(|value| value.trim().to_owned());
        if line.starts_with("EventNum:")
            || line == "Keys:"
            || line.starts_with("SignatureListSize")
            || line.starts_with("SignatureHeaderSize")
            || line.starts_with("SignatureSize")
        {
            continue;
        }
        if line.starts_with("PCRIndex:") {
            "*".clone_into(&mut kind);
        }
        if let Some(value) = value("SignatureType:") {
            kind = value;
        } else if let Some(value) = value("SignatureOwner:") {
            owner = value;
        } else if let Some(data) = value("SignatureData:") {
            lines.push(format!("key {kind} {owner} {data}"));
        } else if let Some(path) = value("DevicePath:") {
            let path = path.trim_matches('\'');
            lines.push(format!(
                "path {}",
                if paths == Paths::Text { canonical(path) } else { path.into() }
            ));
        } else if let Some(string) = value("String:") {
            lines.push(format!("text {:?}", decode_text(&unescape(string.trim_matches('"')))));
        } else if line == "Event: |-" {
            let text = rest.next().unwrap_or_default().trim().trim_end_matches('\0').to_owned();
            lines.push(format!("text {text:?}"));
        } else {
            // The type of a list without keys, and what stands before `pcrs`, are of no event.
            lines.push(line.replace("  :", " :").replace(" :", ":"));
        }
    }
    lines
}

/// Strings that go on in the next line, on one line.
fn unfold(text: &str) -> String {
    let mut unfolded = String::new();
    let mut goes_on = false;
    for line in text.lines() {
        let line = if goes_on { line.trim_start() } else { line };
        goes_on = line.ends_with('\\') && !line.ends_with("\\\\");
        unfolded.push_str(if goes_on { &line[..line.len() - 1] } else { line });
        if !goes_on {
            unfolded.push('\n');
        }
    }
    unfolded
}

fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        octets.push(match rest.next().unwrap() {
            b'0' => 0,
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            b'e' => 27,
            b'x' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    octets
}

/// UTF-16 if every other octet is zero, else UTF-8; without NULs at the end.
fn decode_text(octets: &[u8]) -> String {
    let odd = octets.len() % 2 == 1 && octets.ends_with(&[0]);
    let octets = if odd { &octets[..octets.len() - 1] } else { octets };
    let wide = octets.len() >= 2
        && octets.len() % 2 == 0
        && octets.chunks(2).filter(|pair| pair[1] == 0).count() * 2 >= octets.len() / 2;
    let text = if wide {
        let units: Vec<u16> =
            octets.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        String::from_utf16(&units).unwrap()
    } else {
        String::from_utf8(octets.to_vec()).unwrap()
    };
    text.trim_end_matches('\0').to_owned()
}

/// A device path in a form that does not tell decimal from hexadecimal, upper from lower case, nor
/// libefivar's names from the specification's.
fn canonical(path: &str) -> String {
    // Before version 39, libefivar ran the numbers of this node together.
    let (all, told) = ("ipv4(0.0.0.00.0.0.0,0,0)", "ipv4(0.0.0.0,0,dhcp,0.0.0.0,0.0.0.0,0.0.0.0)");
    let path = path.to_lowercase().replace("fvvol(", "fv(").replace(all, told);
    let mut text = String::new();
    for node in path.split_inclusive(['/', '(', ',', ')']) {
        let (word, end) = node.split_at(node.trim_end_matches(['/', '(', ',', ')']).len());
        let number = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => word.parse().ok(),
        };
        match number {
            Some(number) => text.push_str(&number.to_string()),
            None => text.push_str(word),
        }
        text.push_str(end);
    }
    match text.split_once("file(\\") {
        Some((before, file)) => format!("{before}\\{}", file.trim_end_matches(')')),
        None => text,
    }
}

/// The same lines, of what was decoded. What the version of the output changes is read from it.
pub(crate) fn printed(log: &EventLog, recorded: &str, paths: Paths) -> Vec<String> {
    let version = if recorded.contains("\nversion: 2\n") { 2 } else { 1 };
    let mut to = vec!["events:".to_owned()];
    for event in log.events() {
        to.push(format!("PCRIndex: {}", event.pcr));
        to.push(format!("EventType: {}", event.kind.name().unwrap_or("Unknown event type")));
        if let Description::SpecId(spec_id) = describe(event) {
            to.push(format!("Digest: \"{}\"", event.digests[0].to_hex()));
            to.push(format!("EventSize: {}", event.data.len()));
            to.extend(["SpecID:", "Signature: Spec ID Event03"].map(str::to_owned));
            to.push(format!("platformClass: {}", spec_id.platform_class));
            let (major, minor, errata) = spec_id.version;
            to.push(format!("specVersionMinor: {minor}"));
            to.push(format!("specVersionMajor: {major}"));
            to.push(format!("specErrata: {errata}"));
            to.push(format!("uintnSize: {}", spec_id.uintn));
            to.push(format!("numberOfAlgorithms: {}", spec_id.banks.len()));
            to.push("Algorithms:".into());
            for (place, bank) in spec_id.banks.iter().enumerate() {
                to.push(format!("Algorithm[{place}]:"));
                to.push(format!("algorithmId: {}", bank.name().unwrap()));
                to.push(format!("digestSize: {}", bank.len));
            }
            let vendor = spec_id.vendor.unwrap();
            to.push(format!("vendorInfoSize: {}", vendor.len()));
            if !vendor.is_empty() {
                to.push(format!("vendorInfo: \"{}\"", hex(&vendor)));
            }
            continue;
        }
        to.push(format!("DigestCount: {}", event.digests.len()));
        to.push("Digests:".into());
        for digest in &event.digests {
            to.push(format!("AlgorithmId: {}", digest.algorithm()));
            to.push(format!("Digest: \"{}\"", digest.to_hex()));
        }
        to.push(format!("EventSize: {}", event.data.len()));
        if !event.data.is_empty() {
            data(&mut to, event, version, paths);
        }
    }
    registers_of(&mut to, log);
    to
}

fn data(to: &mut Vec<String>, event: &Event, version: u8, paths: Paths) {
    let described = describe(event);
    let octets = format!("Event: \"{}\"", hex(&event.data));
    match described {
        Description::Variable { vendor, name, data } => {
            to.push("Event:".into());
            to.push(format!("VariableName: {vendor}"));
            to.push(format!("UnicodeNameLength: {}", name.encode_utf16().count()));
            to.push(format!("VariableDataLength: {}", data.len()));
            to.push(format!("UnicodeName: {name}"));
            variable(to, event, version, &name, &data, paths);
        }
        Description::Image { address, len, link_address, path } => {
            to.push("Event:".into());
            to.push(format!("ImageLocationInMemory: {address:#x}"));
            to.push(format!("ImageLengthInMemory: {len}"));
            to.push(format!("ImageLinkTimeAddress: {link_address:#x}"));
            to.push(format!("LengthOfDevicePath: {}", path.0.len()));
            let behind = &event.data[32 + path.0.len()..];
            to.push(path_line(&path, behind, paths));
        }
        Description::FirmwareBlob { base, len, .. } => {
            to.push("Event:".into());
            to.push(format!("BlobBase: {base:#x}"));
            to.push(format!("BlobLength: {len:#x}"));
        }
        Description::Gpt(gpt) if version == 2 => {
            to.extend(["Event:", "Header:"].map(str::to_owned));
            to.push(format!("Signature: \"{}\"", String::from_utf8_lossy(&gpt.signature)));
            to.push(format!("Revision: {:#x}", gpt.revision));
            to.push(format!("HeaderSize: {}", gpt.header_len));
            to.push(format!("HeaderCRC32: {:#x}", gpt.header_crc));
            to.push(format!("MyLBA: {:#x}", gpt.blocks.0));
            to.push(format!("AlternateLBA: {:#x}", gpt.blocks.1));
            to.push(format!("FirstUsableLBA: {:#x}", gpt.usable.0));
            to.push(format!("LastUsableLBA: {:#x}", gpt.usable.1));
            to.push(format!("DiskGUID: {}", gpt.disk));
            to.push(format!("PartitionEntryLBA: {:#x}", gpt.entries.0));
            to.push(format!("NumberOfPartitionEntry: {}", gpt.entries.1));
            to.push(format!("SizeOfPartitionEntry: {}", gpt.entries.2));
            to.push(format!("PartitionEntryArrayCRC32: {:#x}", gpt.entries_crc));
            to.push(format!("NumberOfPartitions: {}", gpt.partitions.len()));
            to.push("Partitions:".into());
            for partition in gpt.partitions {
                to.push(format!("PartitionTypeGUID: {}", partition.kind));
                to.push(format!("UniquePartitionGUID: {}", partition.guid));
                to.push(format!("StartingLBA: {:#x}", partition.blocks.0));
                to.push(format!("EndingLBA: {:#x}", partition.blocks.1));
                to.push(format!("Attributes: {:#x}", partition.attributes));
                to.push(format!("PartitionName: \"{}\"", partition.name));
            }
        }
        Description::StartupLocality(locality) if version == 2 => {
            to.push("Event:".into());
            to.push(format!("StartupLocality: {locality}"));
        }
        Description::Text(text)
            if matches!(event.kind, EventType::EFI_ACTION | EventType::POST_CODE) =>
        {
            to.push(format!("text {text:?}"));
        }
        Description::Text(text) if event.kind == EventType::IPL => {
            to.push("Event:".into());
            to.push(format!("text {text:?}"));
        }
        Description::Separator(value) => {
            to.push(format!("Event: \"{}\"", hex(&value.to_le_bytes())));
        }
        _ => to.push(octets.chars().take(8 + 2 * 1024).collect()),
    }
}

fn variable(
    to: &mut Vec<String>,
    event: &Event,
    version: u8,
    name: &str,
    data: &[u8],
    paths: Paths,
) {
    let known = match (version, event.kind) {
        (2, EventType::EFI_VARIABLE_DRIVER_CONFIG) => {
            matches!(name, "PK" | "KEK" | "db" | "dbx" | "SecureBoot")
        }
        (2, EventType::EFI_VARIABLE_AUTHORITY) => {
            matches!(name, "MokListTrusted" | "db" | "Shim" | "vendor_db" | "SbatLevel")
        }
        (2, _) => name.starts_with("Boot"),
        _ => false,
    };
    let before = to.len();
    match event.content().unwrap() {
        Content::Switch(on) if known => {
            to.push(format!("Enabled: '{}'", if on { "Yes" } else { "No" }));
        }
        Content::Database(SignatureDatabase { entries }) if known => {
            for entry in entries {
                to.push(format!("key {} {} {}", entry.kind, entry.owner, hex(&entry.data)));
            }
        }
        // tpm2_eventlog says no type of these, so the one of the list before still stands.
        Content::Authority(entry) if known => {
            to.push(format!("key * {} {}", entry.owner, hex(&entry.data)));
        }
        Content::Sbat(text) if known => to.push(format!("text {text:?}")),
        Content::Order(numbers) if known => {
            to.extend(numbers.iter().map(|number| format!("Boot{number:04x}")));
        }
        Content::Load(option) if known => {
            to.push(format!("Enabled: '{}'", if option.is_active() { "Yes" } else { "No" }));
            to.push(format!("FilePathListLength: {}", option.paths.0.len()));
            to.push(format!("Description: \"{}\"", option.description));
            to.push(path_line(&option.paths, &option.optional, paths));
        }
        _ if data.is_empty() => return,
        _ => return to.push(format!("VariableData: \"{}\"", hex(data))),
    }
    to.insert(before, "VariableData:".into());
}

fn path_line(path: &DevicePath, behind: &[u8], paths: Paths) -> String {
    match paths {
        Paths::Octets => format!("path {}{}", hex(&path.0), hex(behind)),
        Paths::Text if path.0.is_empty() => "path ".into(),
        Paths::Text => format!("path {}", canonical(&path.to_string())),
    }
}

fn registers_of(to: &mut Vec<String>, log: &EventLog) {
    to.push("pcrs:".into());
    for algorithm in HashAlgorithm::ALL.into_iter().filter(|bank| log.algorithms().contains(bank)) {
        let pcrs = log.replay(&AwsLc, algorithm);
        let touched: Vec<u32> = (0..24).filter(|pcr| pcrs.is_touched(*pcr)).collect();
        if !touched.is_empty() {
            to.push(format!("{algorithm}:"));
        }
        for pcr in touched {
            to.push(format!("{pcr}: 0x{}", pcrs.value(pcr).unwrap().to_hex()));
        }
    }
}

/// Of each event its register, type, digests and length, whatever the version of the output.
pub(crate) fn heads(text: &str) -> Vec<String> {
    let wanted = ["PCRIndex:", "EventType:", "Digest:", "EventSize:"];
    let lines = text.lines().take_while(|line| *line != "pcrs:");
    let lines = lines.map(|line| line.trim().to_owned());
    lines.filter(|line| wanted.iter().any(|name| line.starts_with(name))).collect()
}

pub(crate) fn own_heads(log: &EventLog) -> Vec<String> {
    let known: BTreeSet<u16> = HashAlgorithm::ALL.map(HashAlgorithm::tpm_id).into();
    let mut to = Vec::new();
    for event in log.events() {
        to.push(format!("PCRIndex: {}", event.pcr));
        to.push(format!("EventType: {}", event.kind.name().unwrap_or("Unknown event type")));
        for digest in &event.digests {
            assert!(known.contains(&digest.algorithm().tpm_id()));
            to.push(format!("Digest: \"{}\"", digest.to_hex()));
        }
        to.push(format!("EventSize: {}", event.data.len()));
    }
    to
}

/// Bank, register and value in hexadecimal.
pub(crate) fn registers(text: &str) -> Vec<(String, u32, String)> {
    let (mut bank, mut found) = (String::new(), Vec::new());
    for line in text.lines().skip_while(|line| *line != "pcrs:").skip(1) {
        match line.split_once(": 0x") {
            Some((pcr, value)) => {
                found.push((bank.clone(), pcr.trim().parse().unwrap(), value.trim().to_owned()));
            }
            None => line.trim().trim_end_matches(':').clone_into(&mut bank),
        }
    }
    found
}
