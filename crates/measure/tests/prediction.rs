//! PCRs told before a boot: the same that `systemd-measure` computes, and that our rig's device had.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::predict::{
    Addition, Authority, Boot, Firmware, InnerKernel, PHASES, Prediction, SecureBoot, State, Uki,
    signature_data, signature_list,
};
use touchstone_measure::tcg::{EventLog, EventType, Guid, SignatureDatabase, describe};
use touchstone_measure::{Problem, authenticode};
use touchstone_peers::{STUB, rig, systemd_measure, unified_kernel_image as build};

const SHA256: HashAlgorithm = HashAlgorithm::Sha256;
const NEEDED: &str = "run cargo xtask test, which installs it";

/// What goes into an image, and under which option `systemd-measure` takes it.
const PARTS: [(&str, &str, &[u8]); 6] = [
    (".linux", "linux", b"the kernel, which nobody starts here"),
    (".osrel", "osrel", b"ID=example\nVERSION_ID=1\n"),
    (".cmdline", "cmdline", b"quiet console=ttyS0"),
    (".initrd", "initrd", &[0x5A; 9_001]),
    (".splash", "splash", b"BM"),
    (".pcrpkey", "pcrpkey", b"-----BEGIN PUBLIC KEY-----\n"),
];

#[test]
fn pcr_11_is_what_systemd_measure_computes() {
    let folder = tempfile::tempdir().unwrap();
    let choices: [&[usize]; 4] = [&[0], &[0, 2, 3], &[3, 0, 1, 2], &[0, 1, 2, 3, 4, 5]];
    let mut compared = 0;
    for choice in choices {
        let parts: Vec<_> = choice.iter().map(|place| PARTS[*place]).collect();
        let image = build(folder.path(), &parts);
        for bank in HashAlgorithm::ALL {
            for count in [0, 1, 2, 4, 6] {
                let mut boot = booted(&image);
                boot.phases = &PHASES[..count];
                let prediction = boot.predict(&AwsLc, bank).unwrap();
                let value = prediction.value(&AwsLc, 11).unwrap().to_hex();
                let phases = PHASES[..count].join(":");
                let theirs = systemd_measure(folder.path(), &parts, &phases, bank.name());
                assert_eq!(value, theirs, "{choice:?} {bank} {phases}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 80);
}

/// The stub of this machine says which sections it measures; others in the image are left out.
#[test]
fn a_section_that_the_stub_does_not_know_is_not_measured() {
    let folder = tempfile::tempdir().unwrap();
    let stub = std::fs::read(STUB).expect(NEEDED);
    let knows =
        |name: &[u8]| stub.windows(name.len() + 1).any(|window| window == [name, b"\0"].concat());
    let parts = [PARTS[0], (".uname", "uname", &b"6.1.0"[..]), (".hwids", "hwids", &b"x"[..])];
    let image = build(folder.path(), &parts);
    let uki = Uki::decode(&image).unwrap();
    let names: Vec<&str> = uki.measured(0).iter().map(|section| section.name).collect();
    for name in [".uname", ".hwids"] {
        assert_eq!(names.contains(&name), knows(name.as_bytes()), "{name}");
    }
    assert!(uki.stub_version() >= 250, "{}", uki.stub_version());
}

/// A boot of an image whose kernel is only text: nothing could measure that into PCR 4, whatever the
/// version of the stub would have done.
fn booted(image: &[u8]) -> Boot<'_> {
    Boot { inner_kernel: Some(InnerKernel::NotMeasured), ..Boot::of(image) }
}

fn rig_log() -> EventLog {
    EventLog::decode(&rig("binary_bios_measurements")).unwrap()
}

fn rig_pcr(pcr: usize) -> String {
    let text = String::from_utf8(rig("pcrs-sha256.txt")).unwrap();
    text.lines().nth(pcr).unwrap().split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn pcr_7_of_the_rig_follows_from_its_certificates() {
    let log = rig_log();
    // Who put the keys there is in the variables; the certificates are our own.
    let owner = |name: &str| {
        let mut events = log.events().iter();
        let data = events.find_map(|event| describe(event).variable(name).map(<[u8]>::to_vec));
        SignatureDatabase::decode(&data.unwrap()).unwrap().entries[0].owner
    };
    let list = |name: &str| {
        let certificate = rig(&format!("secure-boot-{}.der", name.to_lowercase()));
        signature_list(Guid::CERT_X509, owner(name), &certificate)
    };
    let (pk, kek, db) = (list("PK"), list("KEK"), list("db"));
    let dbx = log
        .events()
        .iter()
        .find_map(|event| describe(event).variable("dbx").map(<[u8]>::to_vec))
        .unwrap();
    let entry = signature_data(owner("db"), &rig("secure-boot-db.der"));
    let secure_boot = SecureBoot::on(&pk, &kek, &db, &dbx).verified_by_db(&entry);
    let folder = tempfile::tempdir().unwrap();
    let image = build(folder.path(), &PARTS[..4]);
    let mut boot = booted(&image);
    boot.secure_boot = Some(secure_boot.clone());
    let prediction = boot.predict(&AwsLc, SHA256).unwrap();
    assert_eq!(prediction.value(&AwsLc, 7).unwrap().to_hex(), rig_pcr(7));

    // Each part of it counts.
    let mut off = secure_boot.clone();
    off.state = State::Off;
    let mut without_authority = secure_boot.clone();
    without_authority.authorities.clear();
    let mut other_key = secure_boot.clone();
    other_key.db = &kek;
    let mut with_dbt = secure_boot.clone();
    with_dbt.dbt = Some(&[]);
    for other in [off, without_authority, other_key, with_dbt] {
        boot.secure_boot = Some(other);
        let prediction = boot.predict(&AwsLc, SHA256).unwrap();
        assert_ne!(prediction.value(&AwsLc, 7).unwrap().to_hex(), rig_pcr(7));
    }
    // An authority is measured once, however many images it verified.
    let twice = secure_boot.verified_by_db(&entry);
    boot.secure_boot = Some(twice);
    let prediction = boot.predict(&AwsLc, SHA256).unwrap();
    assert_eq!(prediction.value(&AwsLc, 7).unwrap().to_hex(), rig_pcr(7));
}

#[test]
fn pcr_12_and_13_of_the_rig_are_untouched_and_9_begins_with_its_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let line = rig("cmdline.txt");
    let parts = [PARTS[0], (".cmdline", "cmdline", line.as_slice()), PARTS[3]];
    let image = build(folder.path(), &parts);
    let prediction = booted(&image).predict(&AwsLc, SHA256).unwrap();
    for pcr in [12, 13] {
        let value = prediction.value(&AwsLc, pcr).unwrap().to_hex();
        assert_eq!(value, rig_pcr(usize::try_from(pcr).unwrap()), "PCR {pcr}");
    }
    let log = rig_log();
    let mut of_9 = log.events().iter().filter(|event| event.pcr == 9);
    let first = of_9.next().unwrap().digest(SHA256).unwrap();
    assert_eq!(prediction.digests(9).next(), Some(first));
}

/// The rig's kernel and initramfs are not kept, but their digests are in its log: put in their places,
/// the prediction is what the device measured, event by event, and leads to its registers.
#[test]
fn what_the_rig_measured_is_what_would_have_been_told() {
    let folder = tempfile::tempdir().unwrap();
    let line = rig("cmdline.txt");
    let parts = [PARTS[0], (".cmdline", "cmdline", line.as_slice()), PARTS[3]];
    let image = build(folder.path(), &parts);
    let mut prediction = booted(&image).predict(&AwsLc, SHA256).unwrap();
    let log = rig_log();
    let of = |pcr: u32| {
        let events = log.events().iter().filter(move |event| event.pcr == pcr);
        events.map(|event| (event.kind, event.digest(SHA256).unwrap())).collect::<Vec<_>>()
    };
    let (kernel, initrd) = (of(11)[1].1, of(11)[5].1);
    let uki = of(4)[2].1;
    for step in prediction.steps_mut() {
        match step.what.as_str() {
            "content of .linux" => step.digest = kernel,
            "content of .initrd" | "Linux initrd" => step.digest = initrd,
            "unified kernel image" => step.digest = uki,
            _ => {}
        }
    }
    for pcr in [4, 9, 11, 12, 13] {
        let steps = prediction.steps().iter().filter(|step| step.pcr == pcr);
        // The rig's stub, of systemd 252, did not measure this section.
        let (newer, steps): (Vec<_>, Vec<_>) =
            steps.partition(|step| step.what.ends_with(" of .sbat"));
        let told: Vec<_> = steps.iter().map(|step| (step.kind, step.digest)).collect();
        assert_eq!(told, of(pcr), "PCR {pcr}");
        if newer.is_empty() {
            let value = prediction.value(&AwsLc, pcr).unwrap().to_hex();
            assert_eq!(value, rig_pcr(usize::try_from(pcr).unwrap()), "PCR {pcr}");
        }
    }
}

#[test]
fn pcr_4_is_the_images_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let stub = std::fs::read(STUB).expect(NEEDED);
    // A kernel that is an image itself can be measured once more.
    let image = build(folder.path(), &[(".linux", "linux", stub.as_slice()), PARTS[3]]);
    let digest = |image: &[u8]| authenticode::digest(&AwsLc, SHA256, image).unwrap();
    let mut boot = Boot::of(&image);
    boot.loaders = vec![&stub];
    boot.inner_kernel = Some(InnerKernel::Measured);
    let prediction = boot.predict(&AwsLc, SHA256).unwrap();
    let action = AwsLc.hash(SHA256, &[b"Calling EFI Application from Boot Option"]);
    let separator = AwsLc.hash(SHA256, &[&[0; 4]]);
    let expected = [action, separator, digest(&stub), digest(&image), digest(&stub)];
    assert_eq!(prediction.digests(4).collect::<Vec<_>>(), expected);
    boot.inner_kernel = Some(InnerKernel::NotMeasured);
    boot.firmware = Firmware { separator: u32::MAX, boot_option_action: false };
    let prediction = boot.predict(&AwsLc, SHA256).unwrap();
    let separator = AwsLc.hash(SHA256, &[&[0xFF; 4]]);
    let expected = [separator, digest(&stub), digest(&image)];
    assert_eq!(prediction.digests(4).collect::<Vec<_>>(), expected);
    boot.loaders = vec![&stub, b"no image"];
    let error = boot.predict(&AwsLc, SHA256).unwrap_err();
    assert_eq!((error.problem, error.index), (Problem::ImageMalformed, 1));
}

#[test]
fn a_command_line_from_outside_counts_only_where_the_stub_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let with = build(folder.path(), &PARTS[..4]);
    let without = build(folder.path(), &[PARTS[0], PARTS[3]]);
    let wide: Vec<u8> = "debug".encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let wide = AwsLc.hash(SHA256, &[&wide]);
    let secure = SecureBoot::on(&[1], &[2], &[3], &[]);
    for (image, secure_boot, taken) in [
        (&with, None, true),
        (&without, None, true),
        (&with, Some(secure.clone()), false),
        (&without, Some(secure), true),
    ] {
        let mut boot = booted(image);
        boot.secure_boot = secure_boot;
        boot.command_line = Some("  debug\n");
        // Newer stubs add the image's os-release to what lies in it.
        boot.initrd = Some(b"what the stub puts together");
        let prediction = boot.predict(&AwsLc, SHA256).unwrap();
        assert_eq!(prediction.digests(12).collect::<Vec<_>>() == [wide], taken);
        assert_eq!(prediction.digests(9).next() == Some(wide), taken);
    }
}

#[test]
fn what_cannot_be_told_is_left_out_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let image = build(folder.path(), &PARTS);
    let mut boot = booted(&image);
    boot.extensions = vec![Addition { what: "extension", octets: b"cpio" }];
    let prediction = boot.predict(&AwsLc, SHA256).unwrap();
    // The key of PCR signatures comes to the kernel in an archive that the stub makes.
    let left_out: Vec<u32> = prediction.unpredictable().iter().map(|(pcr, _)| *pcr).collect();
    assert_eq!(left_out, [7, 9]);
    for pcr in [7, 9, 0, 24] {
        assert_eq!(prediction.value(&AwsLc, pcr), None, "PCR {pcr}");
    }
    assert!(prediction.value(&AwsLc, 13).is_some());
    boot.initrd = Some(b"what the stub puts together");
    assert!(boot.predict(&AwsLc, SHA256).unwrap().value(&AwsLc, 9).is_some());
}

#[test]
fn a_recorded_boot_leads_where_it_led() {
    let log = rig_log();
    let prediction = Prediction::recorded(&log, SHA256, |pcr| pcr < 8);
    for pcr in 0..8 {
        let value = prediction.value(&AwsLc, pcr).unwrap().to_hex();
        assert_eq!(value, rig_pcr(usize::try_from(pcr).unwrap()), "PCR {pcr}");
    }
    assert_eq!(prediction.value(&AwsLc, 11), None);
    // The next image in place of the one that was booted.
    let mut next = prediction.clone();
    let image = AwsLc.hash(SHA256, &[b"next"]);
    let kind = EventType::EFI_BOOT_SERVICES_APPLICATION;
    next.steps_mut().iter_mut().find(|step| step.kind == kind).unwrap().digest = image;
    assert_ne!(next.value(&AwsLc, 4), prediction.value(&AwsLc, 4));
    assert_eq!(next.value(&AwsLc, 7), prediction.value(&AwsLc, 7));
    // Of a bank that the log has not, nothing can be told.
    let other = Prediction::recorded(&log, HashAlgorithm::Sha384, |_| true);
    assert_eq!(other.value(&AwsLc, 7), None);
    assert!(!other.unpredictable().is_empty());
}

/// A PE32+ image of these sections, without the stub's code: just what says what it is.
fn image(sections: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let table = 0x58 + 0xF0;
    let headers = (table + 40 * sections.len()).next_multiple_of(0x200);
    let mut image = vec![0u8; headers];
    image[..2].copy_from_slice(b"MZ");
    image[0x3C] = 0x40;
    image[0x40..0x44].copy_from_slice(b"PE\0\0");
    image[0x46..0x48].copy_from_slice(&u16::try_from(sections.len()).unwrap().to_le_bytes());
    image[0x54] = 0xF0;
    image[0x58..0x5A].copy_from_slice(&0x20Bu16.to_le_bytes());
    image[0x58 + 60..0x58 + 64].copy_from_slice(&u32::try_from(headers).unwrap().to_le_bytes());
    image[0x58 + 108] = 16;
    for (place, (name, data, zeros)) in sections.iter().enumerate() {
        let at = image.len();
        image.extend_from_slice(data);
        let header = table + 40 * place;
        image[header..header + name.len()].copy_from_slice(name.as_bytes());
        let len = u32::try_from(data.len()).unwrap();
        for (offset, value) in [(8, len + zeros), (16, len), (20, u32::try_from(at).unwrap())] {
            image[header + offset..header + offset + 4].copy_from_slice(&value.to_le_bytes());
        }
    }
    image
}

const NEWER: &[u8] =
    b"#### LoaderInfo: systemd-stub 257.4 ####\0.linux\0.cmdline\0.initrd\0.profile\0";

#[test]
fn a_profile_overrides_sections_and_is_told_in_pcr_12() {
    let image = image(&[
        (".data", NEWER, 0),
        (".linux", b"kernel", 0),
        (".cmdline", b"quiet", 0),
        (".initrd", b"initrd", 2),
        (".profile", b"ID=main", 0),
        (".profile", b"ID=rescue", 0),
        (".cmdline", b"single", 0),
    ]);
    let uki = Uki::decode(&image).unwrap();
    assert_eq!((uki.stub_version(), uki.profiles()), (257, 2));
    let sections = |profile| {
        let measured = uki.measured(profile);
        measured.iter().map(|section| (section.name, section.data.to_vec())).collect::<Vec<_>>()
    };
    let of = |line: &[u8], profile: &[u8]| {
        [
            (".linux", &b"kernel"[..]),
            (".cmdline", line),
            (".initrd", b"initrd"),
            (".profile", profile),
        ]
        .map(|(name, data)| (name, data.to_vec()))
    };
    assert_eq!(sections(0), of(b"quiet", b"ID=main"));
    assert_eq!(sections(1), of(b"single", b"ID=rescue"));
    let mut boot = Boot::of(&image);
    boot.inner_kernel = Some(InnerKernel::NotMeasured);
    boot.profile = 1;
    let prediction = boot.predict(&AwsLc, SHA256).unwrap();
    let number = AwsLc.hash(SHA256, &[b"1\0\0\0"]);
    assert_eq!(prediction.digests(12).collect::<Vec<_>>(), [number]);
    // Zeros behind the content in memory are measured as well.
    let initrd = AwsLc.hash(SHA256, &[b"initrd\0\0"]);
    assert!(prediction.digests(11).any(|digest| digest == initrd));
    // A stub of these versions has the firmware load the kernel, here one which is none, unless
    // Secure Boot is on.
    boot.inner_kernel = None;
    let prediction = boot.predict(&AwsLc, SHA256).unwrap();
    assert_eq!(prediction.value(&AwsLc, 4), None);
    assert!(
        prediction.unpredictable().iter().any(|(pcr, why)| *pcr == 4 && why.contains("Secure"))
    );
    let on = SecureBoot::on(b"", b"", b"", b"");
    boot.secure_boot = Some(SecureBoot { state: State::Off, ..on.clone() });
    assert!(boot.predict(&AwsLc, SHA256).is_err());
    boot.secure_boot = Some(on);
    let prediction = boot.predict(&AwsLc, SHA256).unwrap();
    assert_eq!(prediction.digests(4).count(), 3);
}

#[test]
fn what_is_no_unified_kernel_image_is_refused() {
    let future = b"#### LoaderInfo: systemd-stub 999 ####\0.linux\0";
    for (sections, problem) in [
        (vec![(".data", NEWER, 0)], Problem::ImageNoUki),
        (vec![(".linux", &b"kernel"[..], 0)], Problem::ImageNoUki),
        // The kernel may say what it wants: only the stub's own parts count.
        (vec![(".linux", NEWER, 0)], Problem::ImageNoUki),
        (vec![(".data", &future[..], 0), (".linux", b"k", 0)], Problem::ImageStubUnknown),
        (vec![(".data", NEWER, 0), (".linux", b"k", 1 << 30)], Problem::ImageMalformed),
    ] {
        let error = Uki::decode(&image(&sections)).unwrap_err();
        assert_eq!(error.problem, problem, "{error}");
    }
    let whole = image(&[(".data", NEWER, 0), (".linux", b"kernel", 0)]);
    for cut in 0..whole.len() {
        assert!(Uki::decode(&whole[..cut]).is_err(), "cut at {cut}");
    }
}

/// What the fuzz target `image` does, on images that were damaged at random.
mod damaged {
    use super::*;
    use proptest::prelude::*;

    fn read(image: &[u8]) {
        let _ = authenticode::digest(&AwsLc, SHA256, image);
        let Ok(uki) = Uki::decode(image) else { return };
        for profile in 0..=u32::try_from(uki.profiles()).unwrap() {
            assert!(uki.measured(profile).iter().all(|section| section.data.len() <= image.len()));
            let mut boot = booted(image);
            (boot.profile, boot.phases) = (profile, &PHASES);
            if let Ok(prediction) = boot.predict(&AwsLc, SHA256) {
                let _ = prediction.value(&AwsLc, 11);
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut image = image(&[
                (".data", NEWER, 0),
                (".linux", b"kernel", 3),
                (".cmdline", b"quiet", 0),
                (".profile", b"ID=main", 0),
                (".initrd", b"initrd", 0),
            ]);
            read(&image[..cut.index(image.len())]);
            for (at, value) in damage {
                let at = at.index(image.len());
                image[at] = value;
            }
            read(&image);
        }
    }
}

#[test]
fn shims_authorities_are_measured_by_their_own_variables() {
    let folder = tempfile::tempdir().unwrap();
    let image = build(folder.path(), &PARTS[..4]);
    let mut secure_boot = SecureBoot::on(&[], &[], &[], &[]);
    let sbat = b"sbat,1,2024010900\n";
    secure_boot.authorities.push(Authority {
        vendor: Guid::SHIM_LOCK,
        name: "SbatLevel",
        data: sbat,
    });
    let mut boot = booted(&image);
    boot.secure_boot = Some(secure_boot);
    let prediction = boot.predict(&AwsLc, SHA256).unwrap();
    let measured = touchstone_measure::tcg::variable_data(Guid::SHIM_LOCK, "SbatLevel", sbat);
    let last: Option<Digest> = prediction.digests(7).last();
    assert_eq!(last, Some(AwsLc.hash(SHA256, &[&measured])));
}
