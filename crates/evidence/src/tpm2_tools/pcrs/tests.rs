use super::*;

const SHA256: HashAlgorithm = HashAlgorithm::Sha256;

fn digest(octet: u8) -> Vec<u8> {
    vec![octet; 32]
}

/// As tpm2-tools write it: banks with their bits, then the values, eight at a time.
fn written(banks: &[(u16, [u8; 3])], values: &[Vec<u8>]) -> Vec<u8> {
    let mut file = u32::try_from(banks.len()).unwrap().to_le_bytes().to_vec();
    for (id, bits) in banks {
        file.extend(id.to_le_bytes());
        file.push(3);
        file.extend(bits);
        file.extend([0, 0]);
    }
    file.resize(4 + 16 * 8, 0);
    let lists: Vec<&[Vec<u8>]> = values.chunks(8).collect();
    file.extend(u32::try_from(lists.len()).unwrap().to_le_bytes());
    for list in lists {
        file.extend(u32::try_from(list.len()).unwrap().to_le_bytes());
        for at in 0..8 {
            let value = list.get(at).map_or(&[][..], Vec::as_slice);
            file.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
            file.extend([value, &vec![0; 64 - value.len()]].concat());
        }
    }
    file
}

fn labelled(file: &[u8]) -> (Vec<PcrSelection>, Vec<Vec<u8>>) {
    match PcrFile::decode(file).unwrap().0 {
        Form::Labelled { labels, values } => (labels, values),
        Form::Bare(_) => panic!("no labels"),
    }
}

#[test]
fn a_serialized_file_says_what_its_values_are_of() {
    let values: Vec<Vec<u8>> = (0..10).map(digest).collect();
    let (labels, read) = labelled(&written(&[(0x0B, [0xFF, 0x01, 0x80])], &values));
    let pcrs = vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 23];
    assert_eq!(labels, [PcrSelection { algorithm: SHA256, pcrs }]);
    assert_eq!(read, values);
}

#[test]
fn a_printed_list_says_the_same() {
    let hex = "AB".repeat(32);
    let quoted = format!(
        "quoted: ff54\nsignature:\n  alg: ecdsa\n  sig: 00\npcrs:\n  sha256:\n    0 : 0x{hex}\n    \
         10: 0x{hex}\ncalcDigest: 8a3e\n"
    );
    let read = format!("  sha256:\n    0 : 0x{hex}\n    10: 0x{hex}\n");
    for text in [quoted, read] {
        let (labels, values) = labelled(text.as_bytes());
        assert_eq!(labels, [PcrSelection { algorithm: SHA256, pcrs: vec![0, 10] }]);
        assert_eq!(values, [digest(0xAB), digest(0xAB)]);
    }
}

#[test]
fn a_printed_list_out_of_order_or_with_odd_values_is_refused_with_its_place() {
    let hex = "ab".repeat(32);
    for (text, at) in [
        (format!("  sha256:\n    1 : 0x{hex}\n    0 : 0x{hex}\n"), 85),
        (format!("  sha256:\n    1 : 0x{hex}\n    1 : 0x{hex}\n"), 85),
        (format!("  sha256:\n    24: 0x{hex}\n"), 10),
        (format!("  sha256:\n    1 : 0x{hex}ab\n"), 10),
        (format!("    1 : 0x{hex}\n"), 0),
        (format!("  sm3_256:\n    1 : 0x{hex}\n"), 0),
    ] {
        let refused = PcrFile::decode(text.as_bytes()).unwrap_err();
        assert_eq!(refused, Error::Malformed { item: ITEM, at }, "{text}");
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    let good = written(&[(0x0B, [1, 0, 0])], &[digest(1)]);
    let with = |at: usize, octet: u8| {
        let mut file = good.clone();
        file[at] = octet;
        PcrFile::decode(&file)
    };
    // More digests in a list than it has room for; a digest longer than its buffer; a selection
    // longer than its bits; PCRs that do not exist.
    for (at, octet) in [(136, 9), (140, 65), (6, 5)] {
        assert!(matches!(with(at, octet), Err(Error::Malformed { .. })), "{at}");
    }
    let mut beyond = good.clone();
    (beyond[6], beyond[10]) = (4, 1);
    assert!(matches!(PcrFile::decode(&beyond), Err(Error::Malformed { .. })));
    let unknown = Error::Unsupported { item: "PCR bank", id: 0x12 };
    assert_eq!(with(4, 0x12), Err(unknown));
    assert_eq!(
        PcrFile::decode(&vec![0; MAX_PCR_FILE + 1]),
        Err(Error::TooLarge { item: ITEM, limit: MAX_PCR_FILE })
    );
}
