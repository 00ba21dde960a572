//! What entries are about beside files, and very long lists.

use super::SHA256;
use super::made::{entry, file, labelled, name};
use touchstone_crypto::Crypto;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::ima::{Entries, Format, Log, Subject};

/// An `ima-buf` entry: the data, its digest, and the name it was measured under.
fn buffer(event: &str, data: &[u8]) -> Log {
    let digest = labelled(&AwsLc.hash(SHA256, &[data]));
    Log::decode(&entry("ima-buf", &[&digest, &name(event), data])).unwrap()
}

#[test]
fn buffers_are_named_for_what_they_are() {
    let table = b"dm_version=4.47.0;name=root,uuid=,major=253,minor=0,minor_count=1,num_targets=1;";
    let key = [&[0x30, 0x82, 0x05, 0x28][..], &[7; 40]].concat();
    let cases: [(&str, &[u8], &str, &str); 9] = [
        (
            "kexec-cmdline",
            b"root=/dev/sda ro",
            "kexec-command-line",
            "kexec command line `root=/dev/sda ro`",
        ),
        (".builtin_trusted_keys", &key, "key", "key on keyring .builtin_trusted_keys (44 octets)"),
        (
            "dm_table_load",
            table,
            "device-mapper",
            "dm_table_load: dm_version=4.47.0;name=root,uuid=,major=253,minor=0,minor_count=1,num_targets=1;",
        ),
        (
            "selinux-state-1595389364:287899386",
            b"enforcing=1",
            "selinux",
            "selinux-state-1595389364:287899386",
        ),
        ("kernel_version", b"6.1.0-56-amd64", "kernel-version", "kernel version 6.1.0-56-amd64"),
        (
            "kexec_load",
            b"kexec_segment_size=4096",
            "carried-list",
            "kexec_load: kexec_segment_size=4096",
        ),
        (".blacklist", b"bin:ab12", "blocked-hash", "blocked hash bin:ab12"),
        ("my-service", b"\x01\x02", "critical-data", "my-service (2 octets)"),
        ("/bin/a", b"", "file", "/bin/a"),
    ];
    for (event, data, kind, words) in cases {
        let list = buffer(event, data);
        let subject = list.get(0).unwrap().subject();
        assert_eq!((subject.kind(), subject.to_string().as_str()), (kind, words));
    }
    let list = buffer(".ima", &key);
    let Subject::Key { keyring, certificate } = list.get(0).unwrap().subject() else { panic!() };
    assert_eq!((keyring.as_ref(), certificate), (".ima", &key[..]));
}

#[test]
fn a_file_is_no_boot_aggregate_by_its_name_alone() {
    let list = Log::decode(&file("boot_aggregate", b"a").repeat(2)).unwrap();
    assert_eq!(list.get(0).unwrap().subject(), Subject::BootAggregate);
    assert_eq!(list.get(1).unwrap().subject(), Subject::File("boot_aggregate".into()));
}

#[test]
fn a_million_entries_are_read() {
    const MANY: usize = 1_000_000;
    let octets = file("/usr/bin/sensor", b"sensor").repeat(MANY);
    let streamed = Entries::new(&octets, Format::default());
    assert_eq!(streamed.flatten().count(), MANY);
    let list = Log::decode(&octets).unwrap();
    assert_eq!(list.entries().last().unwrap().index as usize, MANY - 1);
}
