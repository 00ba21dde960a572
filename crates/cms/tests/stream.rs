//! Envelopes that are read and written piece by piece.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use proptest::prelude::*;
use std::path::Path;
use std::sync::LazyLock;
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Certificate, Name};
use touchstone_cms::{DATA, Error, Refusal, SignedData, SignedReader, SignedWriter};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_peers::{corpus, openssl};

const NOW: u64 = 1_800_000_000;

fn signer(kind: SignatureAlgorithm, name: &str) -> (Certificate, SoftSigner) {
    let key = SoftSigner::generate(kind).unwrap();
    let template = Template::new(Kind::CodeSigner, Name::common_name(name).unwrap(), 0, NOW * 2);
    (template.self_sign(&AwsLc, &key).unwrap(), key)
}

fn written(
    mut writer: SignedWriter<'_>,
    keys: &[&SoftSigner],
    content: &[u8],
    piece: usize,
) -> Vec<u8> {
    let mut out = Vec::new();
    content.chunks(piece).for_each(|octets| writer.write(octets, &mut out));
    let mut to_sign = writer.end(NOW).unwrap();
    let messages: Vec<Vec<u8>> = to_sign.messages().iter().map(|it| it.to_vec()).collect();
    // A slow key answers last.
    for (index, message) in messages.iter().enumerate().rev() {
        to_sign.answer(index, keys[index].sign(message).unwrap()).unwrap();
    }
    to_sign.finish(&mut out).unwrap();
    out
}

type Read = Result<(Vec<u8>, Vec<touchstone_cms::SignedBy>), Error>;

fn read(message: &[u8], pieces: impl Iterator<Item = usize>) -> Read {
    let (mut reader, mut content) = (SignedReader::new(&AwsLc), Vec::new());
    let (mut rest, mut pieces) = (message, pieces);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(pieces.next().unwrap_or(1).clamp(1, rest.len()));
        reader.read(piece, |octets| content.extend_from_slice(octets.dangerous()))?;
        rest = after;
    }
    let signed = reader.verify(&[])?;
    Ok((content, signed.signers().to_vec()))
}

#[test]
fn every_kind_of_key_signs_and_is_believed_attached_and_detached() {
    let content = vec![0x30; 100_000];
    for kind in SignatureAlgorithm::ALL {
        if kind == SignatureAlgorithm::EcdsaP384Sha256 {
            continue;
        }
        let (one, one_key) = signer(kind, "one");
        let (two, two_key) = signer(SignatureAlgorithm::EcdsaP256Sha256, "two");
        let by = [(&one, kind), (&two, two_key.algorithm())];
        let writer = SignedWriter::attached(&AwsLc, DATA, &by).unwrap();
        let message = written(writer, &[&one_key, &two_key], &content, 4096);
        let (seen, signers) = read(&message, std::iter::repeat(1500)).unwrap();
        assert!(seen == content, "{kind:?}");
        assert_eq!(signers.len(), 2);
        assert!(signers.iter().any(|by| by.certificate == one && by.algorithm == kind));

        let writer = SignedWriter::detached(&AwsLc, DATA, &by).unwrap();
        let message = written(writer, &[&one_key, &two_key], &content, 10_000);
        let mut reader = SignedReader::new(&AwsLc);
        reader.read(&message, |_| panic!("no content inside")).unwrap();
        let mut detached = reader.detached().unwrap();
        content.chunks(777).for_each(|piece| detached.read(piece));
        assert_eq!(detached.verify(&[]).unwrap().signers().len(), 2);
        // The same in memory.
        let decoded = SignedData::decode(&message).unwrap();
        assert!(decoded.verify_detached(&AwsLc, content.clone()).is_ok());
    }
}

#[test]
fn openssl_believes_what_we_stream_and_we_what_it_streams() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let write = |name: &str, octets: &[u8]| std::fs::write(dir.join(name), octets).unwrap();
    let content: Vec<u8> = (0..300_000_u32).map(|n| n.to_be_bytes()[3]).collect();
    write("content", &content);
    let (one, one_key) = signer(SignatureAlgorithm::EcdsaP256Sha256, "one");
    let (two, two_key) = signer(SignatureAlgorithm::RsaPssSha256, "two");
    for (name, certificate, key) in [("1", &one, &one_key), ("2", &two, &two_key)] {
        write(&format!("{name}.pem"), certificate.to_pem().unwrap().as_bytes());
        write(&format!("{name}.key"), key.to_pkcs8_pem().as_bytes());
    }
    write("roots.pem", [one.to_pem().unwrap(), two.to_pem().unwrap()].concat().as_bytes());
    let verify = "cms -verify -binary -inform DER -in ours -CAfile roots.pem -purpose any \
                  -partial_chain -no_check_time -out seen";
    let by = [(&one, one_key.algorithm()), (&two, two_key.algorithm())];
    let writer = SignedWriter::attached(&AwsLc, DATA, &by).unwrap();
    write("ours", &written(writer, &[&one_key, &two_key], &content, 4096));
    run(dir, verify);
    assert!(std::fs::read(dir.join("seen")).unwrap() == content);
    let writer = SignedWriter::detached(&AwsLc, DATA, &by).unwrap();
    write("ours", &written(writer, &[&one_key, &two_key], &content, 4096));
    run(dir, &format!("{verify} -content content"));

    let sign = "cms -sign -binary -stream -nodetach -outform DER -in content -out theirs \
                -signer 1.pem -inkey 1.key -signer 2.pem -inkey 2.key";
    for extra in ["", "-keyid"] {
        run(dir, &format!("{sign} {extra}"));
        let theirs = std::fs::read(dir.join("theirs")).unwrap();
        assert_eq!(theirs[..2], [0x30, 0x80], "of indefinite length");
        let (seen, signers) = read(&theirs, std::iter::repeat(4096)).unwrap();
        assert!(seen == content && signers.len() == 2, "{extra}");
    }
}

fn run(dir: &Path, line: &str) {
    openssl(dir, &line.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn whoever_is_taken_out_is_missed() {
    let (one, one_key) = signer(SignatureAlgorithm::EcdsaP256Sha256, "one");
    let (two, two_key) = signer(SignatureAlgorithm::EcdsaP256Sha256, "two");
    let by: [(&Certificate, &dyn Signer); 2] = [(&one, &one_key), (&two, &two_key)];
    let both = SignedData::sign(&AwsLc, b"content", DATA, &by, NOW).unwrap();
    assert!(SignedData::decode(&both).unwrap().verify(&AwsLc).is_ok());
    let left = without_first_signer(&both);
    assert_eq!(refusal(SignedData::decode(&left).unwrap().verify(&AwsLc)), Refusal::SignerMissing);

    // Whoever signs later names those before.
    let first = SignedData::sign(&AwsLc, b"content", DATA, &by[..1], NOW).unwrap();
    let both = SignedData::add_signer(&AwsLc, &first, by[1], NOW).unwrap();
    let verdicts = [&both, &without_first_signer(&both), &without_last_signer(&both)]
        .map(|der| SignedData::decode(der).unwrap().verify(&AwsLc).map(|it| it.signers().len()));
    assert_eq!(verdicts[0], Ok(2));
    let said: Vec<_> = verdicts[1..].iter().map(|verdict| verdict.as_ref().ok()).collect();
    assert!(said.contains(&None), "without the first of them: {verdicts:?}");

    // With another digest its trace stays among those announced.
    let (three, three_key) = signer(SignatureAlgorithm::EcdsaP384Sha384, "three");
    let der = SignedData::add_signer(&AwsLc, &first, (&three, &three_key), NOW).unwrap();
    for left in [without_first_signer(&der), without_last_signer(&der)] {
        let verdict = SignedData::decode(&left).unwrap().verify(&AwsLc);
        assert_eq!(refusal(verdict), Refusal::SignerMissing);
    }
}

/// The elements of DER, each its tag and content; and those put back.
type Elements = Vec<(u8, Vec<u8>)>;

fn elements(mut der: &[u8]) -> Elements {
    let mut found = Vec::new();
    while let [tag, first, ..] = der {
        let (len, start) = match first {
            0x82 => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
            0x81 => (usize::from(der[2]), 3),
            short => (usize::from(*short), 2),
        };
        found.push((*tag, der[start..start + len].to_vec()));
        der = &der[start + len..];
    }
    found
}

fn join(elements: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, content) in elements {
        let len = u16::try_from(content.len()).unwrap().to_be_bytes();
        out.push(*tag);
        match len {
            [0, short @ 0..0x80] => out.push(short),
            [0, short] => out.extend([0x81, short]),
            [high, low] => out.extend([0x82, high, low]),
        }
        out.extend(content);
    }
    out
}

/// The envelope with its parts changed, everything around them made to fit.
fn change(der: &[u8], how: impl FnOnce(&mut Elements)) -> Vec<u8> {
    let mut info = elements(&elements(der)[0].1);
    let mut data = elements(&elements(&info[1].1)[0].1);
    how(&mut data);
    info[1].1 = join(&[(0x30, join(&data))]);
    join(&[(0x30, join(&info))])
}

fn signers(data: &mut [(u8, Vec<u8>)], how: impl FnOnce(&mut Elements)) {
    let infos = data.last_mut().unwrap();
    let mut each = elements(&infos.1);
    how(&mut each);
    infos.1 = join(&each);
}

fn without_first_signer(der: &[u8]) -> Vec<u8> {
    change(der, |data| signers(data, |each| drop(each.remove(0))))
}

fn without_last_signer(der: &[u8]) -> Vec<u8> {
    change(der, |data| signers(data, |each| drop(each.pop())))
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> Refusal {
    match result.unwrap_err() {
        Error::Refused(refusal) => refusal,
        other => panic!("{other}"),
    }
}

#[test]
fn attributes_never_pass_for_content() {
    // The signature is over the SET OF attributes. Whoever makes those the content, and takes them
    // out of the signer's part, has an envelope whose signature is arithmetically good.
    let (one, key) = signer(SignatureAlgorithm::EcdsaP256Sha256, "one");
    let der = SignedData::sign(&AwsLc, b"content", DATA, &[(&one, &key)], NOW).unwrap();
    let forged = change(&der, |data| {
        let mut attributes = Vec::new();
        signers(data, |each| {
            let mut info = elements(&each[0].1);
            let at = info.iter().position(|(tag, _)| *tag == 0xA0).unwrap();
            attributes = join(&[(0x31, info.remove(at).1)]);
            each[0].1 = join(&info);
        });
        let mut encapsulated = elements(&data[2].1);
        encapsulated[1].1 = join(&[(0x04, attributes)]);
        data[2].1 = join(&encapsulated);
    });
    let decoded = SignedData::decode(&forged).unwrap();
    assert_eq!(decoded.unverified_content().unwrap()[0], 0x31);
    assert_eq!(refusal(decoded.verify(&AwsLc)), Refusal::NoSignedAttributes);
    assert_eq!(
        read(&forged, std::iter::repeat(9)).unwrap_err(),
        Refusal::NoSignedAttributes.into()
    );
}

#[test]
fn a_signer_who_is_there_twice_is_seen() {
    let (one, key) = signer(SignatureAlgorithm::EcdsaP256Sha256, "one");
    let der = SignedData::sign(&AwsLc, b"content", DATA, &[(&one, &key)], NOW).unwrap();
    let twice = change(&der, |data| signers(data, |each| each.push(each[0].clone())));
    assert_eq!(refusal(SignedData::decode(&twice).unwrap().verify(&AwsLc)), Refusal::SignedTwice);
}

#[test]
fn what_is_wrong_with_signed_attributes_is_told() {
    let (one, key) = signer(SignatureAlgorithm::EcdsaP256Sha256, "one");
    let der = SignedData::sign(&AwsLc, b"content", DATA, &[(&one, &key)], NOW).unwrap();
    let with = |how: &dyn Fn(&mut Elements)| {
        let der = change(&der, |data| {
            signers(data, |each| {
                let mut info = elements(&each[0].1);
                let at = info.iter().position(|(tag, _)| *tag == 0xA0).unwrap();
                let mut attributes = elements(&info[at].1);
                how(&mut attributes);
                info[at].1 = join(&attributes);
                each[0].1 = join(&info);
            });
        });
        SignedData::decode(&der).and_then(|decoded| decoded.verify(&AwsLc)).unwrap_err().code()
    };
    assert_eq!(with(&|all| all.reverse()), "cms.malformed", "not in the order of DER");
    assert_eq!(with(&|all| all.push(all[3].clone())), "cms.malformed", "one twice");
    assert_eq!(with(&|all| drop(all.remove(0))), "cms.refused.signed-attributes", "no type");
    assert_eq!(with(&|all| all.clear()), "cms.refused.signed-attributes", "none");
    let again = |all: &mut Elements| {
        // A second type, in an attribute with two values.
        let mut first = elements(&all[0].1);
        let mut value = elements(&first[1].1);
        value.push((0x06, vec![0x2B, 0x2B, 0x2B, 0x2B, 0x2B, 0x2B, 0x2B, 0x2B, 0x2B, 0x2B]));
        first[1].1 = join(&value);
        all[0].1 = join(&first);
        all.sort_by_key(|it| join(std::slice::from_ref(it)));
    };
    assert_eq!(with(&again), "cms.refused.signed-attributes", "two types");
}

#[test]
fn a_digest_that_was_not_announced_or_not_signed_is_not_taken() {
    let (one, key) = signer(SignatureAlgorithm::Ed25519, "one");
    let writer = SignedWriter::attached(&AwsLc, DATA, &[(&one, key.algorithm())]).unwrap();
    let mut message = written(writer, &[&key], b"content", 3);
    // SHA-512 stands in front of the content, with the signer, and in what protects the two (RFC 6211).
    let sha512 = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];
    let places: Vec<usize> = (0..message.len())
        .filter(|at| message[*at..].starts_with(&sha512))
        .map(|at| at + sha512.len() - 1)
        .collect();
    let code = |message: &[u8]| read(message, std::iter::repeat(100)).unwrap_err().code();
    let [announced, _, protected] = places[..] else { panic!("{places:?}") };
    message[announced] = 1;
    assert_eq!(code(&message), "cms.refused.digest-not-announced");
    (message[announced], message[protected]) = (3, 2);
    assert_eq!(code(&message), "cms.refused.algorithm-mismatch");
}

#[test]
fn content_that_was_to_be_beside_the_envelope_is_not_taken_from_inside_it() {
    let (one, key) = signer(SignatureAlgorithm::Ed25519, "one");
    let writer = SignedWriter::attached(&AwsLc, DATA, &[(&one, key.algorithm())]).unwrap();
    let message = written(writer, &[&key], b"content", 3);
    let mut reader = SignedReader::new(&AwsLc);
    reader.read(&message, |_| ()).unwrap();
    assert_eq!(reader.detached().err().unwrap().code(), "cms.refused.content-inside");
}

#[test]
fn what_is_cut_off_or_followed_by_more_is_not_an_envelope() {
    let (one, key) = signer(SignatureAlgorithm::Ed25519, "one");
    let writer = SignedWriter::attached(&AwsLc, DATA, &[(&one, key.algorithm())]).unwrap();
    let message = written(writer, &[&key], b"content", 3);
    for cut in 0..message.len() {
        let said = read(&message[..cut], std::iter::repeat(100)).unwrap_err();
        assert_eq!(said.code(), "cms.malformed.cut-off", "{cut}");
    }
    let said = read(&[&message[..], &[0]].concat(), std::iter::repeat(100)).unwrap_err();
    assert_eq!(said.code(), "cms.malformed.trailing");
    let pem = b"-----BEGIN CMS-----";
    assert_eq!(read(pem, std::iter::repeat(3)).unwrap_err().code(), "cms.malformed.other-type");
    let lies = [&message[..], &[]].concat();
    let at = lies.windows(2).rposition(|two| two == [0x04, 0x40]).unwrap();
    let mut lies = lies;
    lies[at + 1] = 0x41;
    assert_eq!(read(&lies, std::iter::repeat(100)).unwrap_err().code(), "cms.malformed");
}

static SAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let (one, one_key) = signer(SignatureAlgorithm::EcdsaP256Sha256, "one");
    let (two, two_key) = signer(SignatureAlgorithm::Ed25519, "two");
    let by = [(&one, one_key.algorithm()), (&two, two_key.algorithm())];
    let writer = SignedWriter::attached(&AwsLc, DATA, &by).unwrap();
    let streamed = written(writer, &[&one_key, &two_key], &[7; 300], 100);
    let by: [(&Certificate, &dyn Signer); 2] = [(&one, &one_key), (&two, &two_key)];
    let der = SignedData::sign(&AwsLc, &[7; 300], DATA, &by, NOW).unwrap();
    let der = SignedData::countersign(&AwsLc, &der, &two, (&one, &one_key), NOW).unwrap();
    vec![streamed, der]
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn how_a_message_is_cut_into_pieces_changes_no_verdict(
        sample in 0..2_usize,
        edits in prop::collection::vec((any::<usize>(), any::<u8>()), 0..3),
        pieces in prop::collection::vec(1..200_usize, 1..8),
    ) {
        let mut message = SAMPLES[sample].clone();
        for (at, value) in edits {
            let at = at % message.len();
            message[at] = value;
        }
        let whole = read(&message, std::iter::repeat(message.len()));
        let cut = read(&message, pieces.into_iter().cycle());
        prop_assert_eq!(&whole, &cut);
        prop_assert_eq!(&whole, &read(&message, std::iter::repeat(1)));
        // And the reader in memory says the same.
        let memory = SignedData::decode(&message).and_then(|decoded| decoded.verify(&AwsLc));
        prop_assert_eq!(
            whole.map(|(content, by)| (content, by.len())),
            memory.map(|signed| (signed.content().to_vec(), signed.signers().len()))
        );
    }
}

#[test]
fn a_countersignature_is_over_the_signature_it_stands_beside() {
    let (one, key) = signer(SignatureAlgorithm::MlDsa65, "one");
    let (notary, notary_key) = signer(SignatureAlgorithm::EcdsaP384Sha384, "notary");
    let der = SignedData::sign(&AwsLc, b"content", DATA, &[(&one, &key)], NOW).unwrap();
    let der = SignedData::countersign(&AwsLc, &der, &one, (&notary, &notary_key), NOW + 5).unwrap();
    let signed = SignedData::decode(&der).unwrap().verify(&AwsLc).unwrap();
    let [counter] = signed.signers()[0].countersigned.as_slice() else { panic!("one") };
    assert_eq!((&counter.certificate, counter.signing_time), (&notary, Some(NOW + 5)));
    let again = SignedData::countersign(&AwsLc, &der, &one, (&notary, &notary_key), NOW).unwrap();
    assert_eq!(refusal(SignedData::decode(&again).unwrap().verify(&AwsLc)), Refusal::SignedTwice);
    // Of another envelope it is worth nothing.
    let other = SignedData::sign(&AwsLc, b"other", DATA, &[(&one, &key)], NOW).unwrap();
    let moved = change(&other, |data| {
        let mut unsigned = Vec::new();
        change(&der, |from| {
            unsigned = elements(&elements(&from.last().unwrap().1)[0].1).pop().unwrap().1;
            data[3] = from[3].clone();
        });
        signers(data, |each| {
            let mut info = elements(&each[0].1);
            info.push((0xA1, unsigned));
            each[0].1 = join(&info);
        });
    });
    let verdict = SignedData::decode(&moved).unwrap().verify(&AwsLc);
    assert_eq!(refusal(verdict), Refusal::DigestMismatch);
}

/// The certificates are not in the examples, but their keys are known: of the seed 0, 1, 2 and so on
/// (RFC 9881 appendix C). So one is made by the name that the message has for its signer.
fn example_signer(der: &[u8], kind: SignatureAlgorithm, set: u8) -> Certificate {
    let seed: Vec<u8> = (0..32).collect();
    let pkcs8 = join(&[(
        0x30,
        join(&[
            (0x02, vec![0]),
            (0x30, join(&[(0x06, vec![0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, set])])),
            (0x04, join(&[(0x80, seed)])),
        ]),
    )]);
    let key = SoftSigner::load_pkcs8_der(kind, &pkcs8).unwrap();
    let mut named = Vec::new();
    change(der, |data| signers(data, |each| named = elements(&elements(&each[0].1)[1].1)));
    let issuer = Name::decode(&join(&named[..1])).unwrap();
    let mut template = Template::new(Kind::CodeSigner, issuer, 0, NOW * 2);
    template.serial = Some(named[1].1.clone());
    template.self_sign(&AwsLc, &key).unwrap()
}

#[test]
fn the_examples_of_rfc_9882_are_believed() {
    let Some(dir) = corpus("pki/cms-ml-dsa/examples") else { return };
    for (name, kind, set) in [
        ("mldsa44", SignatureAlgorithm::MlDsa44, 17),
        ("mldsa65", SignatureAlgorithm::MlDsa65, 18),
        ("mldsa87", SignatureAlgorithm::MlDsa87, 19),
    ] {
        let text = std::fs::read(dir.join(format!("{name}-signed-attrs.pem"))).unwrap();
        let (_, der) = pem_rfc7468::decode_vec(&text).unwrap();
        let decoded = SignedData::decode(&der).unwrap();
        assert_eq!(refusal(decoded.clone().verify(&AwsLc)), Refusal::NoCertificate);
        let beside = [example_signer(&der, kind, set)];
        let signed = decoded.verify_with(&AwsLc, &beside).unwrap();
        assert!(signed.content().starts_with(b"ML-DSA-"), "{name}");
        assert_eq!(signed.signers()[0].algorithm, kind);
    }
}
