use super::*;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

fn notary(algorithm: SignatureAlgorithm) -> Notary {
    let signer = SoftSigner::generate(algorithm).unwrap();
    Notary::new(&AwsLc, "plant.example/audit", Arc::new(signer)).unwrap()
}

fn root() -> Digest {
    Digest::new(HashAlgorithm::Sha256, &[7; 32]).unwrap()
}

#[test]
fn what_is_signed_opens_with_the_key_and_no_other() {
    for algorithm in [SignatureAlgorithm::EcdsaP256Sha256, SignatureAlgorithm::Ed25519] {
        let notary = notary(algorithm);
        let note = notary.sign(1042, root()).unwrap();
        let key = LogKey::parse(&AwsLc, &notary.key().to_string()).unwrap();
        assert_eq!(&key, notary.key());
        let opened = key.open(&AwsLc, &note).unwrap();
        assert_eq!((opened.size, opened.root), (1042, root()));
        assert_eq!(Checkpoint::of_note(&note), Ok(opened));
        let other = self::notary(algorithm);
        assert_eq!(other.key().open(&AwsLc, &note), Err(CheckpointFault::Unsigned));
        let forged = note.replacen("1042", "1043", 1);
        assert_eq!(key.open(&AwsLc, &forged), Err(CheckpointFault::Signature));
        // Other people may add their signatures.
        let cosigned = format!("{note}\u{2014} witness.example AAAAAAAA\n");
        assert!(key.open(&AwsLc, &cosigned).is_ok());
    }
}

#[test]
fn the_example_of_c2sp_has_the_parts_that_it_says() {
    // c2sp.org/tlog-checkpoint: the text of its example.
    let note = "example.com/behind-the-sofa\n20852163\n\
                CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
                \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOo\
                RDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    let checkpoint = Checkpoint::of_note(note).unwrap();
    assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size, 20_852_163);
    assert!(note.starts_with(&checkpoint.text()));
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let good = "a\n1\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n\n";
    assert!(Checkpoint::of_note(good).is_ok());
    let bad = [
        ("", CheckpointFault::NotANote),
        ("a\n1\n", CheckpointFault::NotANote),
        ("a\n1\tx\n\n", CheckpointFault::NotANote),
        ("a\n1\n\n", CheckpointFault::Form),
        (&good.replacen("1\n", "01\n", 1), CheckpointFault::Form),
        (&good.replacen("1\n", "-1\n", 1), CheckpointFault::Form),
        (&good.replacen("a\n", "a b\n", 1), CheckpointFault::Form),
        (&good.replacen("Bwc", "Bw", 1), CheckpointFault::Form),
        (&good.replacen("c=\n", "c=\nmore\n", 1), CheckpointFault::Form),
    ];
    for (note, fault) in bad {
        assert_eq!(Checkpoint::of_note(note), Err(fault), "{note:?}");
    }
    let long = format!("{}\n\n", "a".repeat(MAX_NOTE));
    assert_eq!(Checkpoint::of_note(&long), Err(CheckpointFault::NotANote));
}

#[test]
fn a_key_that_was_miswritten_is_refused() {
    let text = notary(SignatureAlgorithm::Ed25519).key().to_string();
    let renamed = text.replacen("plant", "plans", 1);
    for wrong in ["", "a+b", "a+b+c", &text[..text.len() - 4], &renamed] {
        assert_eq!(LogKey::parse(&AwsLc, wrong), Err(CheckpointFault::Key), "{wrong}");
    }
    let rsa = SignatureAlgorithm::RsaPkcs1Sha256;
    assert_eq!(LogKey::new(&AwsLc, "a", rsa, &[]), Err(CheckpointFault::Algorithm));
}
