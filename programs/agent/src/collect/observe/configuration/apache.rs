//! Apache's configuration: one directive in a line, which `\` at its end makes longer. Names of
//! directives are of either case.

use super::{Weak, weak_ciphers};

/// What is weak in it.
pub fn weak(text: &str) -> Vec<Weak> {
    directives(text).into_iter().filter_map(|(line, words)| directive(line, &words)).collect()
}

fn directive(line: usize, words: &[String]) -> Option<Weak> {
    let (name, values) = words.split_first()?;
    let cipher = |why: &str| Some(Weak::cipher(line, name, why.to_owned()));
    match name.to_ascii_lowercase().as_str() {
        "sslprotocol" | "sslproxyprotocol" => Weak::allowed(line, name, &old_versions(values)),
        "sslciphersuite" | "sslproxyciphersuite" => {
            let weak: Vec<&str> = values.iter().flat_map(|it| weak_ciphers(it)).collect();
            Weak::allowed(line, name, &weak)
        }
        "sslinsecurerenegotiation" if is(values, "on") => {
            cipher("it takes away a protection (RFC 5746)")
        }
        "sslproxyverify" if is(values, "none") => cipher("whoever answers is believed"),
        "sslverifyclient" if is(values, "optional_no_ca") => {
            Some(Weak::access(line, name, "whoever shows a certificate is believed"))
        }
        "options" if values.iter().any(|it| it.trim_start_matches('+') == "Indexes") => {
            Some(Weak::access(line, name, "folders are listed to whoever asks"))
        }
        "traceenable" if is(values, "on") || is(values, "extended") => {
            Some(Weak::access(line, name, "requests are sent back with their secrets"))
        }
        _ => None,
    }
}

fn is(values: &[String], wanted: &str) -> bool {
    matches!(values, [only] if only.eq_ignore_ascii_case(wanted))
}

/// The old versions that are left when the words are read from the first to the last: a bare name
/// begins anew, `+` adds, `-` takes away, and `all` is every version that OpenSSL has.
fn old_versions(values: &[String]) -> Vec<&'static str> {
    const OLD: [&str; 3] = ["SSLv3", "TLSv1", "TLSv1.1"];
    let mut allowed = [false; OLD.len()];
    for value in values {
        let (sign, version) = match value.strip_prefix('+') {
            Some(version) => (Some(true), version),
            None => value.strip_prefix('-').map_or((None, value.as_str()), |it| (Some(false), it)),
        };
        let all = version.eq_ignore_ascii_case("all");
        if sign.is_none() {
            allowed = [false; OLD.len()];
        }
        for (allowed, old) in allowed.iter_mut().zip(OLD) {
            // OpenSSL as it is distributed has no SSLv3 for `all` to mean.
            if version.eq_ignore_ascii_case(old) || (all && old != "SSLv3") {
                *allowed = sign.unwrap_or(true);
            }
        }
    }
    OLD.into_iter().zip(allowed).filter(|(_, allowed)| *allowed).map(|(old, _)| old).collect()
}

/// Each directive with the line that it begins in.
fn directives(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let (mut whole, mut begun) = (String::new(), 1);
    for (index, line) in text.lines().enumerate() {
        if whole.is_empty() {
            begun = index + 1;
        }
        if let Some(line) = line.strip_suffix('\\') {
            whole.push_str(line);
            whole.push(' ');
            continue;
        }
        whole.push_str(line);
        let line = std::mem::take(&mut whole);
        let line = line.trim();
        if !line.is_empty() && !line.starts_with(['#', '<']) {
            let words = line.split_ascii_whitespace();
            found.push((begun, words.map(|it| it.trim_matches(['"', '\'']).to_owned()).collect()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(usize, String)> {
        weak(text).into_iter().map(|it| (it.line, it.setting)).collect()
    }

    #[test]
    fn directives_are_found_in_either_case_and_over_lines() {
        let text = "<VirtualHost *:443>\nsslprotocol all -SSLv3\n  SSLCipherSuite HIGH:\\\n!aNULL \\\nRC4-SHA\n\
                    Options -Indexes +FollowSymLinks\nOptions Indexes\n# SSLProxyVerify none\n\
                    SSLProxyVerify none\n</VirtualHost>\nSSLVerifyClient optional_no_ca\n";
        let expected = [
            (2, "sslprotocol"),
            (3, "SSLCipherSuite"),
            (7, "Options"),
            (9, "SSLProxyVerify"),
            (11, "SSLVerifyClient"),
        ];
        assert_eq!(told(text), expected.map(|(line, setting)| (line, setting.to_owned())));
        for cut in 0..text.len() {
            let _ = weak(&text[..cut]);
        }
    }

    #[test]
    fn protocols_are_what_is_left_at_the_end() {
        for good in [
            "SSLProtocol -all +TLSv1.2 +TLSv1.3",
            "SSLProtocol all -SSLv3 -TLSv1 -TLSv1.1",
            "SSLProtocol TLSv1.3",
            "SSLCipherSuite TLSv1.3 TLS_AES_256_GCM_SHA384",
        ] {
            assert_eq!(told(good), [], "{good}");
        }
        let why = |text| weak(text).remove(0).why;
        assert_eq!(why("SSLProtocol all -SSLv3"), "TLSv1, TLSv1.1 is allowed");
        assert_eq!(why("SSLProtocol -all +TLSv1.1 +TLSv1.2"), "TLSv1.1 is allowed");
        assert_eq!(why("SSLProtocol SSLv3"), "SSLv3 is allowed");
    }
}
