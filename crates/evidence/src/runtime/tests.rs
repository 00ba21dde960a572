use super::*;
use touchstone_crypto_awslc::AwsLc;

#[test]
fn claims_read_back_what_was_written() {
    let digest = code_digest(&AwsLc, b"page");
    let range = CodeRange { path: "/data/app/app".into(), offset: 4096, len: 8192, digest };
    let claims = RuntimeClaims {
        agent_version: "0.1.0".into(),
        uptime_ms: 1,
        command_line: "quiet".into(),
        watched: vec!["/data/app/app".into(), "/missing".into()],
        processes: vec![Process {
            path: "/data/app/app".into(),
            pid: 212,
            start: 77,
            anonymous_executable: 1,
            ranges: vec![range],
        }],
        components: vec![Component { name: "app".into(), version: 2 }],
        observations: vec![
            Observation {
                name: "system.taint".into(),
                age_ms: 12,
                found: Ok(Observed::Integer(-4096)),
            },
            Observation {
                name: "config.weak-tls".into(),
                age_ms: 60_000,
                found: Ok(Observed::list([Observed::record([
                    ("path", "/etc/ssl/openssl.cnf".into()),
                    ("digest", digest.into()),
                    ("known", true.into()),
                    ("since", Observed::Time(1_790_000_000)),
                    ("for", Observed::Span(90_000)),
                ])])),
            },
            Observation {
                name: "config.mounts".into(),
                age_ms: 0,
                found: Err(Failure { code: "agent.observe.unreadable".into(), words: "no".into() }),
            },
        ],
    };
    let bytes = claims.encode();
    assert_eq!(RuntimeClaims::decode(&bytes), Ok(claims));
    for cut in 0..bytes.len() {
        assert!(RuntimeClaims::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(RuntimeClaims::decode(&longer).is_err());
}

#[test]
fn claims_of_an_agent_without_observations_are_still_read() {
    let mut bytes = RuntimeClaims { uptime_ms: 7, ..RuntimeClaims::default() }.encode();
    assert_eq!((bytes[0], bytes[1], bytes.pop()), (0x88, 2, Some(0x80)));
    (bytes[0], bytes[1]) = (0x87, 1);
    assert_eq!(RuntimeClaims::decode(&bytes).unwrap().uptime_ms, 7);
    bytes[1] = 2;
    assert!(RuntimeClaims::decode(&bytes).is_err(), "a version without what it says it has");
}

#[test]
fn values_are_not_nested_without_end() {
    let nested = |depth| {
        let value = (0..depth).fold(Observed::Boolean(true), |inner, _| Observed::list([inner]));
        let deep = Observation { name: "x".into(), age_ms: 0, found: Ok(value) };
        RuntimeClaims { observations: vec![deep], ..RuntimeClaims::default() }.encode()
    };
    assert!(RuntimeClaims::decode(&nested(3)).is_ok());
    assert!(RuntimeClaims::decode(&nested(4)).is_err());
    assert!(RuntimeClaims::decode(&nested(500)).is_err());
}

#[test]
fn a_promise_of_many_processes_costs_nothing() {
    // [1, "", 0, "", [], array(2^32 - 1), ..
    let bytes = [0x87, 0x01, 0x60, 0x00, 0x60, 0x80, 0x9A, 0xFF, 0xFF, 0xFF, 0xFF];
    let error = RuntimeClaims::decode(&bytes).unwrap_err();
    assert_eq!(error, Error::TooLarge { item: ITEM, limit: MAX_ITEMS });
}

/// The kernel's view of this very test: what it mapped executable from the test's own file must be
/// what the file's ranges say.
#[cfg(target_os = "linux")]
#[test]
fn ranges_of_a_file_are_what_the_kernel_maps() {
    use std::os::unix::fs::FileExt;
    let path = std::env::current_exe().unwrap();
    let path = path.to_str().unwrap();
    let expected = code_ranges(&AwsLc, path, &std::fs::read(path).unwrap()).unwrap();
    assert!(!expected.is_empty());

    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let mut mapped = Vec::new();
    for line in std::fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.get(5) != Some(&path) || !words[1].contains('x') {
            continue;
        }
        let (from, to) = words[0].split_once('-').unwrap();
        let [from, to, offset] =
            [from, to, words[2]].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        let mut octets = vec![0; usize::try_from(to - from).unwrap()];
        memory.read_exact_at(&mut octets, from).unwrap();
        let digest = code_digest(&AwsLc, &octets);
        mapped.push(CodeRange { path: path.into(), offset, len: to - from, digest });
    }
    assert_eq!(mapped, expected);
}
