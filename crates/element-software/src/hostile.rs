//! For the fuzzer: everything here that takes octets apart.

use crate::body::Body;
use crate::{header, seal, second};

/// Takes `octets` apart as each thing that may be read from a disk or handed in. Nothing panics, and
/// what reads back writes the same.
pub fn parse(octets: &[u8]) {
    // Damage is found by the digest, which a fuzzer would hardly make: so both without and with it.
    let (whole, _) = header::assemble(octets, &[]);
    for file in [octets, &whole] {
        if let Ok(file) = header::take_apart(file) {
            assert_eq!(file.header.encode(), file.bound, "a header reads back");
        }
    }
    if let Ok(body) = Body::decode(octets)
        && let Ok(again) = body.encode(0)
    {
        assert_eq!(*again, octets, "a body reads back");
    }
    let _ = second::decode(octets);
    let _ = seal::decode(octets);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeySource, Second, Settings, Software, key};
    use proptest::prelude::*;
    use touchstone_element::{
        Certificates, Counting, Element, KeyAlgorithm, KeySpec, KeyUse, SealTo, Sealing, Storage,
    };

    /// A store, a mark, a sealed secret and a body, as they come.
    fn samples() -> Vec<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let settings = Settings::new(at("element"), KeySource::MachineSecret(at("secret")));
        let mut element = Software::open(settings.with_second(Second::File(at("mark")))).unwrap();
        let spec = KeySpec::new(KeyUse::Sign, KeyAlgorithm::Ed25519);
        element.create_key("ldevid", &spec).unwrap();
        element.store_certificate("ldevid", b"0").unwrap();
        element.increment("updates").unwrap();
        element.store("value", b"value").unwrap();
        let sealed = element.seal(b"secret", &SealTo::default()).unwrap();

        let mut body = Body::default();
        for (name, key_use, algorithm) in [
            ("ldevid", KeyUse::Sign, KeyAlgorithm::Ed25519),
            ("mac", KeyUse::Mac, KeyAlgorithm::HmacSha256),
        ] {
            body.keys.insert(name.into(), key::generate(key_use, algorithm).unwrap());
        }
        body.counters.insert("updates".into(), 3);
        body.values.insert("value".into(), b"value".to_vec().into());
        let body = body.encode(0).unwrap().to_vec();
        let read = |path| std::fs::read(path).unwrap();
        vec![read(at("element/store")), read(at("mark")), sealed, body]
    }

    #[test]
    fn what_we_write_reads_back_and_cut_or_changed_it_never_panics() {
        for sample in samples() {
            parse(&sample);
            for at in 0..sample.len() {
                parse(&sample[..at]);
                let mut changed = sample.clone();
                changed[at] = !changed[at];
                parse(&changed);
            }
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
            parse(&octets);
        }
    }
}
