//! Manifests that another implementation of draft-ietf-rats-corim-11 has written.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use corim::builder::{ComidBuilder, CorimBuilder};
use corim::types::common::{MeasuredElement, TagIdChoice};
use corim::types::corim::CorimId;
use corim::types::environment::{ClassMap, EnvironmentMap};
use corim::types::measurement::{
    Digest as TheirDigest, IntegrityRegisterId, IntegrityRegisters, MeasurementMap,
    MeasurementValuesMap, RawValueChoice, SvnChoice,
};
use corim::types::signed::{CwtClaims, SignedCorimBuilder};
use corim::types::triples::ReferenceTriple;
use std::collections::BTreeMap;
use touchstone_appraise::references::corim::{Elements, Trust, export, import, sign};
use touchstone_appraise::references::{
    Database, Document, Error, Imported, ReferenceValue, Supersedes,
};
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Certificate, Name, TrustStore};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, SignatureAlgorithm, Signer, ecdsa};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

const NOW: u64 = 1_800_000_000;

fn digest(text: &str) -> Digest {
    AwsLc.hash(HashAlgorithm::Sha256, &[text.as_bytes()])
}

fn environment() -> EnvironmentMap {
    let class = ClassMap {
        class_id: None,
        vendor: Some("Acme".into()),
        model: Some("Gateway".into()),
        layer: None,
        index: None,
    };
    EnvironmentMap { class: Some(class), instance: None, group: None }
}

fn digests(text: &str) -> MeasurementValuesMap {
    let mut values = MeasurementValuesMap::new();
    values.digests = Some(vec![TheirDigest::new(1, digest(text).as_bytes().to_vec())]);
    values
}

fn measured(key: &str, mval: MeasurementValuesMap) -> MeasurementMap {
    MeasurementMap { mkey: Some(MeasuredElement::Text(key.into())), mval, authorized_by: None }
}

fn manifest(measurements: Vec<MeasurementMap>) -> Vec<u8> {
    let comid = ComidBuilder::new(TagIdChoice::Text("gateway".into()))
        .add_reference_triple(ReferenceTriple::new(environment(), measurements))
        .build()
        .unwrap();
    let corim = CorimBuilder::new(CorimId::Text("gateway-12".into())).add_comid_tag(comid).unwrap();
    corim.build_bytes().unwrap()
}

fn read(octets: &[u8]) -> Result<Imported, Error> {
    import(&AwsLc, octets, Elements::default(), None)
}

fn all() -> Vec<MeasurementMap> {
    let mut loader = digests("loader");
    loader.svn = Some(SvnChoice::ExactValue(12));
    let mut line = MeasurementValuesMap::new();
    line.raw_value = Some(RawValueChoice::Bytes(b"quiet ima_policy=tcb\n".to_vec()));
    let mut registers = MeasurementValuesMap::new();
    registers.integrity_registers = Some(IntegrityRegisters(BTreeMap::from([
        (
            IntegrityRegisterId::Uint(4),
            vec![TheirDigest::new(1, digest("pcr 4").as_bytes().to_vec())],
        ),
        (
            IntegrityRegisterId::Text("pcr11".into()),
            vec![TheirDigest::new(1, digest("pcr 11").as_bytes().to_vec())],
        ),
    ])));
    vec![
        measured("loader", loader),
        measured("/usr/bin/pump", digests("pump")),
        measured("command-line", line),
        measured("registers", registers),
    ]
}

fn expected(loader: ReferenceValue) -> Vec<ReferenceValue> {
    let mut values = vec![
        loader,
        ReferenceValue::CommandLine { text: "quiet ima_policy=tcb".into() },
        ReferenceValue::Pcr { index: 4, value: digest("pcr 4") },
        ReferenceValue::Pcr { index: 11, value: digest("pcr 11") },
        ReferenceValue::File { path: "/usr/bin/pump".into(), digest: digest("pump") },
    ];
    values.sort();
    values
}

#[test]
fn a_manifest_of_theirs_is_taken_over() {
    let octets = manifest(all());
    let mut imported = read(&octets).unwrap();
    imported.values.sort();
    let name = "loader of Acme Gateway".to_owned();
    let digest = digest("loader");
    let loader = ReferenceValue::Measurement { name: name.clone(), digest };
    assert_eq!((imported.values, imported.version), (expected(loader), Some(12)));

    let mut images = import(&AwsLc, &octets, Elements::BootImages, None).unwrap();
    images.values.sort();
    assert_eq!(images.values, expected(ReferenceValue::BootImage { name, digest }));
}

#[test]
fn what_has_no_counterpart_is_refused_by_name() {
    let refused = |mval: MeasurementValuesMap, words: &str| {
        let error = read(&manifest(vec![measured("loader", mval)])).unwrap_err();
        assert_eq!(error.code(), "references.not-understood");
        assert!(error.to_string().contains(words), "{error}");
    };
    let mut name = digests("loader");
    name.ueid = Some(vec![1; 17]);
    refused(name, "measurements[0].mval.ueid: it has no counterpart");
    let mut address = digests("loader");
    address.serial_number = Some("7".into());
    refused(address, "serial-number");
    let mut unknown = digests("loader");
    unknown.digests = Some(vec![TheirDigest::new(12, vec![1; 32])]);
    refused(unknown, "digests: the algorithm");
    let mut short = digests("loader");
    short.digests = Some(vec![TheirDigest::new(1, vec![1; 31])]);
    refused(short, "not as many octets as sha256 has");
    let mut raw = MeasurementValuesMap::new();
    raw.raw_value = Some(RawValueChoice::Bytes(vec![1]));
    refused(raw, "raw-value: of loader");
    let mut extension = digests("loader");
    extension.extra_entries.insert(-7, corim::cbor::value::Value::Bool(true));
    refused(extension, "a value with the key -7");

    let mut versions = all();
    let mut other = digests("other");
    other.svn = Some(SvnChoice::MinValue(13));
    versions.push(measured("other", other));
    let error = read(&manifest(versions)).unwrap_err();
    assert!(error.to_string().contains("version 13 beside 12"), "{error}");

    let hostile = read(&manifest(vec![measured("/usr/../etc/passwd", digests("x"))])).unwrap_err();
    assert_eq!(hostile.code(), "references.path");
    for octets in [&[][..], b"\xd9\x01\xf5", b"{}", &[0x81; 5000]] {
        assert_eq!(read(octets).unwrap_err().code(), "references.not-understood");
    }
    let whole = manifest(all());
    for len in 0..whole.len() {
        assert!(read(&whole[..len]).is_err(), "cut at {len}");
    }
    assert!(read(&[&whole[..], &[0]].concat()).is_err());
}

fn signer(kind: Kind, name: &str) -> (SoftSigner, Certificate) {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let name = Name::common_name(name).unwrap();
    let template = Template::new(kind, name, NOW - 60, NOW + 60);
    let certificate = template.self_sign(&AwsLc, &key).unwrap();
    (key, certificate)
}

fn signed(key: &SoftSigner, certificate: &Certificate) -> Vec<u8> {
    let chain = corim::types::signed::CoseX509::Single(certificate.der().to_vec());
    let mut builder = SignedCorimBuilder::new(-7, manifest(all()))
        .set_cwt_claims(CwtClaims::new("Acme"))
        .x5chain(chain);
    let message = builder.to_be_signed(&[]).unwrap();
    let signature = ecdsa::der_to_fixed(&key.sign(&message).unwrap(), 32).unwrap();
    builder.build_with_signature(signature).unwrap()
}

#[test]
fn a_signed_manifest_counts_by_its_signer() {
    let (key, certificate) = signer(Kind::CodeSigner, "Acme firmware");
    let octets = signed(&key, &certificate);
    let anchors = TrustStore::new(vec![certificate.clone()]);
    let by =
        |anchors, now| import(&AwsLc, &octets, Elements::default(), Some(Trust { anchors, now }));
    let imported = by(&anchors, NOW).unwrap();
    assert_eq!(imported.signer.as_deref(), Some("CN=Acme firmware"));
    assert_eq!(imported.values.len(), 5);

    let (_, stranger) = signer(Kind::CodeSigner, "somebody");
    let others = TrustStore::new(vec![stranger]);
    let refused = by(&others, NOW).unwrap_err();
    assert!(refused.to_string().starts_with("not signed by a trusted publisher"), "{refused}");
    assert!(by(&anchors, NOW + 61).is_err(), "the certificate is over");
    assert!(read(&octets).is_err(), "who may sign has to be said");
    let unsigned = manifest(all());
    let trust = Trust { anchors: &anchors, now: NOW };
    assert!(import(&AwsLc, &unsigned, Elements::default(), Some(trust)).is_err());

    let mut changed = octets.clone();
    let at = changed.windows(4).rposition(|window| window == b"pump").unwrap();
    changed[at] ^= 1;
    let refused = import(&AwsLc, &changed, Elements::default(), Some(trust)).unwrap_err();
    assert!(refused.to_string().contains("not one of CN=Acme firmware over this manifest"));
}

fn document() -> Document {
    let mut document = Document::new("acme", "gateway-os", 12);
    let name = |name: &str| name.to_owned();
    document.valid_until = Some(NOW + 3600);
    document.values = vec![
        ReferenceValue::BootImage { name: name("shim"), digest: digest("shim") },
        ReferenceValue::BootImage { name: name("grub"), digest: digest("grub") },
        ReferenceValue::Measurement { name: name("/initrd"), digest: digest("initrd") },
        ReferenceValue::Firmware { name: name("bios 1.2"), pcr0: digest("pcr 0") },
        ReferenceValue::Pcr { index: 0, value: digest("another pcr 0") },
        ReferenceValue::Pcr { index: 11, value: digest("pcr 11") },
        ReferenceValue::Pcr { index: 11, value: digest("pcr 11, later") },
        ReferenceValue::CommandLine { text: name("quiet ima_policy=tcb") },
        ReferenceValue::File { path: name("/usr/bin/pump"), digest: digest("pump") },
        ReferenceValue::FileVariants {
            path: name("/etc/pump.conf"),
            digests: vec![digest("slow"), digest("fast")],
        },
    ];
    for database in [Database::Pk, Database::Kek, Database::Db, Database::Dbx] {
        let fingerprint = digest(&format!("{database:?}"));
        document.values.push(ReferenceValue::SecureBootKey { database, fingerprint });
    }
    document
}

/// Every value, as it stands in ours, so that nothing of it got lost or became something else.
fn sorted(mut values: Vec<ReferenceValue>) -> Vec<ReferenceValue> {
    for value in &mut values {
        if let ReferenceValue::FileVariants { digests, .. } = value {
            digests.sort();
        }
    }
    values.sort();
    values
}

#[test]
fn what_we_export_comes_back_whole() {
    let document = document();
    let written = export(&document).unwrap();
    assert!(written.left_out.is_empty(), "{:?}", written.left_out);
    let imported = read(&written.octets).unwrap();
    assert_eq!((imported.version, imported.valid_until), (Some(12), Some(NOW + 3600)));
    assert_eq!(sorted(imported.values), sorted(document.values.clone()));

    let mut turned = document.clone();
    turned.values.reverse();
    turned.values.push(document.values[0].clone());
    assert_eq!(export(&turned).unwrap(), written, "the same values give the same octets");

    let (key, certificate) = signer(Kind::CodeSigner, "Acme firmware");
    let signed = sign(&written.octets, &certificate, &key).unwrap();
    let anchors = TrustStore::new(vec![certificate]);
    let trust = |now| Some(Trust { anchors: &anchors, now });
    let imported = import(&AwsLc, &signed, Elements::default(), trust(NOW)).unwrap();
    assert_eq!(imported.signer.as_deref(), Some("CN=Acme firmware"));
    let mut changed = signed.clone();
    let at = changed.windows(4).position(|window| window == b"pump").unwrap();
    changed[at] ^= 1;
    assert!(import(&AwsLc, &changed, Elements::default(), trust(NOW)).is_err());
}

#[test]
fn their_implementation_reads_what_we_export() {
    let document = document();
    let written = export(&document).unwrap();
    let now = i64::try_from(NOW).unwrap();
    let (manifest, comids) = corim::validate::decode_and_validate_at(&written.octets, now).unwrap();
    assert_eq!(manifest.id, CorimId::Text("acme/gateway-os/12".into()));
    let triples = comids[0].triples.reference_triples.as_ref().unwrap();
    let class = triples[0].environment().class.as_ref().unwrap();
    assert_eq!(
        (class.vendor.as_deref(), class.model.as_deref()),
        (Some("acme"), Some("gateway-os"))
    );
    let of = |key: &str| -> Vec<&MeasurementValuesMap> {
        let key = Some(MeasuredElement::Text(key.into()));
        let same = triples[0].measurements().iter().filter(|element| element.mkey == key);
        same.map(|element| &element.mval).collect()
    };
    let theirs = TheirDigest::new(1, digest("pump").as_bytes().to_vec());
    assert_eq!(of("/usr/bin/pump")[0].digests, Some(vec![theirs]));
    assert_eq!((of("/etc/pump.conf").len(), of("boot-image").len()), (2, 2));
    let pcr0 = &of("firmware")[0].integrity_registers.as_ref().unwrap().0;
    assert!(pcr0.contains_key(&IntegrityRegisterId::Uint(0)));
    assert!(corim::validate::decode_and_validate_at(&written.octets, now + 3601).is_err());

    let (key, certificate) = signer(Kind::CodeSigner, "Acme firmware");
    let signed = sign(&written.octets, &certificate, &key).unwrap();
    let (envelope, _) =
        corim::types::signed::decode_and_validate_signed_corim_at(&signed, None, now).unwrap();
    let message = envelope.to_be_signed(&[]).unwrap();
    let der = ecdsa::fixed_to_der(&envelope.signature).unwrap();
    let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
    AwsLc.verify(algorithm, key.spki_der(), &message, &der).unwrap();
}

#[test]
fn what_corim_has_no_words_for_is_counted() {
    let mut document = document();
    document.file_scope("/usr/");
    document.values.push(ReferenceValue::Code { path: "/usr/bin/pump".into(), ranges: vec![] });
    let sha1 = AwsLc.hash(HashAlgorithm::Sha1, &[b"old"]);
    document.values.push(ReferenceValue::File { path: "/usr/bin/old".into(), digest: sha1 });
    let name = "boot_aggregate".to_owned();
    document.values.push(ReferenceValue::File { path: name, digest: digest("aggregate") });
    document.recorded.push(ReferenceValue::CommandLine { text: "debug".into() });
    document.supersedes = Some(Supersedes { good_until: NOW, known_until: NOW });
    let written = export(&document).unwrap();
    assert_eq!(written.left_out.len(), 6, "{:?}", written.left_out);
    assert!(written.left_out.values().all(|count| *count == 1));
    assert_eq!(read(&written.octets).unwrap().values.len(), self::document().values.len());
}
