//! Whatever the octets are: no panic, no endless growth, and an error that says where.

use super::SHA256;
use super::made::{entry, file, labelled, name, sized};
use proptest::prelude::*;
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::ima::{Entries, Extension, Format, Limits, Log, Subject};
use touchstone_measure::{Error, Problem};
use touchstone_peers::rig;

/// Reads everything that an entry offers.
fn look(bytes: &[u8]) {
    match Log::decode(bytes) {
        Ok(log) => {
            for entry in log.entries() {
                let _ = (entry.path(), entry.digest(), entry.subject().to_string());
                let _ = (entry.explains(&AwsLc), entry.fields().count());
            }
            for extension in Extension::ALL {
                let replay = touchstone_measure::ima::Replay::new(SHA256, extension);
                log.replay(&AwsLc, replay);
            }
        }
        Err(error) => assert!(error.at <= bytes.len(), "{error}"),
    }
}

proptest! {
    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        look(&bytes);
        // Behind a good start.
        look(&[&file("/bin/a", b"a")[..], &bytes].concat());
    }

    #[test]
    fn a_damaged_list_never_panics(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = rig("binary_runtime_measurements");
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        look(&bytes);
    }

    #[test]
    fn fields_of_any_content_never_panic(
        template in proptest::sample::select(vec![
            "ima-ng", "ima-sig", "ima-ngv2", "ima-sigv2", "ima-buf", "ima-modsig", "evm-sig",
            "d|n", "d-ng|n-ng|iuid|imode", "d-ng|n-ng|xattrnames|xattrlengths|xattrvalues",
        ]),
        fields in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..10),
    ) {
        let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
        look(&entry(template, &fields));
    }
}

fn refused(bytes: &[u8]) -> Error {
    Log::decode(bytes).unwrap_err()
}

#[test]
fn a_cut_list_says_which_entry_and_where() {
    let bytes = rig("binary_runtime_measurements");
    let whole = Log::decode(&bytes).unwrap();
    let starts: Vec<usize> = whole.entries().map(|entry| entry.at).collect();
    for cut in 1..bytes.len() {
        let last = starts.iter().rposition(|start| *start < cut).unwrap();
        match Log::decode(&bytes[..cut]) {
            Ok(log) => assert!(starts.contains(&cut) && log.len() == last + 1, "cut at {cut}"),
            Err(error) => {
                let place = (error.index as usize, error.at);
                assert_eq!(error.problem, Problem::ImaTruncated, "cut at {cut}");
                assert_eq!(place, (last, starts[last]), "cut at {cut}");
            }
        }
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    let good = entry("ima-ng", &[&labelled(&AwsLc.hash(SHA256, &[])), &name("/bin/a")]);
    let name_len = 24;
    let data_len = name_len + 4 + "ima-ng".len();
    let field_len = data_len + 4;
    let with = |at: usize, value: u32| {
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&value.to_le_bytes());
        refused(&bad).problem
    };
    assert_eq!(with(name_len, u32::MAX), Problem::ImaTruncated);
    assert_eq!(with(data_len, u32::MAX), Problem::ImaTooLarge);
    assert_eq!(with(data_len, 1 << 19), Problem::ImaTruncated);
    assert_eq!(with(field_len, u32::MAX), Problem::ImaField);
    assert_eq!(with(field_len, 39), Problem::ImaField);
    assert_eq!(with(field_len, 41), Problem::ImaField);
}

#[test]
fn a_field_that_is_not_what_it_should_be_is_refused() {
    let digest = labelled(&AwsLc.hash(SHA256, &[]));
    let path = name("/bin/a");
    let cases: [(&str, &[&[u8]], Problem); 13] = [
        ("ima-ng", &[&digest], Problem::ImaField),
        ("ima-ng", &[&digest, &path, &[]], Problem::ImaField),
        ("ima-sig", &[&digest, &path], Problem::ImaField),
        ("ima-ng", &[&digest[..39], &path], Problem::ImaField),
        ("ima-ng", &[b"sha256:", &path], Problem::ImaField),
        ("ima-ng", &[&digest, b"/bin/a"], Problem::ImaField),
        ("ima-ng", &[&digest, b"/bin\0/a\0"], Problem::ImaField),
        ("ima-ng", &[&digest, b""], Problem::ImaField),
        ("ima-ngv2", &[&digest, &path], Problem::ImaField),
        ("ima-ng", &[b"ima:sha256:\0", &path], Problem::ImaField),
        ("ima-ng", &[b"whirl:\0abcd", &path], Problem::ImaAlgorithm),
        ("d-ng|n-ng|iuid", &[&digest, &path, &[1, 2, 3]], Problem::ImaField),
        ("d-ng|n-ng|nosuch", &[&digest, &path, &[]], Problem::ImaTemplate),
    ];
    for (template, fields, problem) in cases {
        assert_eq!(refused(&entry(template, fields)).problem, problem, "{template} {fields:?}");
    }
}

#[test]
fn an_entry_that_is_relabelled_cannot_hide_its_file() {
    // The same octets, and so the same PCR: the name of the template is not hashed.
    let fields: [&[u8]; 2] = [&labelled(&AwsLc.hash(SHA256, &[b"evil"])), &name("/usr/bin/evil")];
    for template in ["d-ng|xattrnames", "d-ng|sig", "d-ng|buf", "d-modsig|n-ng"] {
        assert_eq!(refused(&entry(template, &fields)).problem, Problem::ImaTemplate, "{template}");
    }
    let shown = Log::decode(&entry("d-ng|n-ng", &fields)).unwrap();
    assert_eq!(shown.get(0).unwrap().path(), "/usr/bin/evil");
}

#[test]
fn limits_are_kept() {
    let list = [file("/bin/a", b"a"), file("/bin/b", b"b")].concat();
    let read = |limits| Log::read(list.clone(), Format::default(), limits, 0);
    let all = Limits::default();
    assert_eq!(read(all).unwrap().len(), 2);
    for limits in [
        Limits { octets: list.len() - 1, ..all },
        Limits { entries: 1, ..all },
        Limits { entry: 20, ..all },
    ] {
        assert_eq!(read(limits).unwrap_err().problem, Problem::ImaTooLarge);
    }
    let mut entries = Entries::new(&list, Format::default()).within(Limits { entries: 1, ..all });
    assert!(entries.next().unwrap().is_ok());
    assert_eq!(entries.next().unwrap().unwrap_err().index, 1);
    assert!(entries.next().is_none(), "nothing follows an error");
}

#[test]
fn an_entry_for_another_pcr_is_refused() {
    let mut bytes = rig("binary_runtime_measurements");
    bytes[0] = 11;
    assert_eq!(refused(&bytes).code(), "measure.ima.pcr");
}

#[test]
fn an_unknown_template_or_algorithm_is_named() {
    let mut bytes = rig("binary_runtime_measurements");
    bytes[28] = b'x';
    let error = refused(&bytes);
    assert!(error.to_string().contains("ima_template=ima-ng"), "{error}");

    let mut bytes = rig("binary_runtime_measurements");
    let label = bytes.windows(7).position(|window| window == b"sha256:").unwrap();
    bytes[label..label + 6].copy_from_slice(b"md6256");
    assert_eq!(refused(&bytes).code(), "measure.ima.algorithm");
}

#[test]
fn an_algorithm_that_is_not_computed_here_is_carried() {
    let digest = [&b"sm3:\0"[..], &[7; 32]].concat();
    let list = Log::decode(&entry("ima-ng", &[&digest, &name("/bin/a")])).unwrap();
    let first = list.get(0).unwrap();
    assert_eq!((first.digest(), first.file_digest().unwrap().octets), (None, &[7; 32][..]));
    assert_eq!(first.file_digest().unwrap().to_string(), format!("sm3:{}", "07".repeat(32)));
    assert_eq!(first.explains(&AwsLc), Some(true));
}

#[test]
fn a_name_that_is_no_text_or_breaks_lines_stays_what_it_is() {
    let digest = labelled(&AwsLc.hash(SHA256, &[]));
    let read = |name: &[u8]| Log::decode(&entry("ima-ng", &[&digest, name])).unwrap();
    let odd = read(b"/tmp/\xff\xfe\0");
    assert_eq!(odd.get(0).unwrap().path(), "/tmp/\\xff\\xfe");
    assert_eq!(odd.get(0).unwrap().name(), b"/tmp/\xff\xfe");
    let two = read(b"/tmp/a\n10 0000 ima-ng\0");
    assert_eq!(two.get(0).unwrap().subject(), Subject::File("/tmp/a\n10 0000 ima-ng".into()));
}

#[test]
fn a_list_of_a_big_endian_host_or_of_another_bank_is_recognised() {
    let digest = labelled(&AwsLc.hash(SHA256, &[b"a"]));
    let big =
        |octets: &[u8]| [&u32::try_from(octets.len()).unwrap().to_be_bytes(), octets].concat();
    let owner = [0, 0, 3, 0xE8];
    let data = [big(&digest), big(&name("/bin/a")), big(&owner)].concat();
    let template_digest = AwsLc.hash(HashAlgorithm::Sha1, &[&data]);
    let header = [&10u32.to_be_bytes(), template_digest.as_bytes()].concat();
    let list = Log::decode(&[header, big(b"d-ng|n-ng|iuid"), big(&data)].concat()).unwrap();
    let first = list.get(0).unwrap();
    assert_eq!((first.path().as_ref(), first.explains(&AwsLc)), ("/bin/a", Some(true)));
    assert_eq!(first.number(touchstone_measure::ima::Field::Uid), Some(1000));

    for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
        let data = [sized(&digest), sized(&name("/bin/a"))].concat();
        let template_digest = AwsLc.hash(hash, &[&data]);
        let header = [&10u32.to_le_bytes(), template_digest.as_bytes()].concat();
        let list = Log::decode(&[header, sized(b"ima-ng"), sized(&data)].concat()).unwrap();
        assert_eq!(list.format().template_digest, hash.len());
        assert_eq!(list.get(0).unwrap().explains(&AwsLc), Some(true));
    }
}
