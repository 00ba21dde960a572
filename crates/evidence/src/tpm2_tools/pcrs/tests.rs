use super::*;
use touchstone_peers::pcr_file;

const SHA256: HashAlgorithm = HashAlgorithm::Sha256;

fn digest(octet: u8) -> Vec<u8> {
    vec![octet; 32]
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
    let pcrs = vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 23];
    let (labels, read) = labelled(&pcr_file(&[(0x0B, pcrs.clone())], &values));
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
    let good = pcr_file(&[(0x0B, vec![0])], &[digest(1)]);
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
