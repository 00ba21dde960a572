//! lighttpd's configuration: `name = value`, where a value may be a list over several lines.

use super::openssl::command;
use super::{Weak, weak_ciphers};

/// What is weak in it.
pub fn weak(text: &str) -> Vec<Weak> {
    settings(text).into_iter().flat_map(|(line, name, value)| setting(line, name, &value)).collect()
}

fn setting(line: usize, name: &str, value: &str) -> Vec<Weak> {
    let texts = texts(value);
    let on = texts.first() == Some(&"enable");
    match name {
        "ssl.openssl.ssl-conf-cmd" => {
            // Pairs, as `"MinProtocol" => "TLSv1.2"`.
            let (pairs, _) = texts.as_chunks();
            pairs.iter().filter_map(|[name, value]| command(line, name, value)).collect()
        }
        "ssl.cipher-list" => texts
            .first()
            .and_then(|list| Weak::allowed(line, name, &weak_ciphers(list)))
            .into_iter()
            .collect(),
        "ssl.use-sslv2" | "ssl.use-sslv3" if on => {
            vec![Weak::cipher(line, name, "an old version is allowed".to_owned())]
        }
        "ssl.disable-client-renegotiation" if texts.first() == Some(&"disable") => {
            vec![Weak::cipher(line, name, "it takes away a protection (RFC 5746)".to_owned())]
        }
        "dir-listing.activate" | "server.dir-listing" if on => {
            vec![Weak::access(line, name, "folders are listed to whoever asks")]
        }
        _ => Vec::new(),
    }
}

/// What stands between quotation marks.
fn texts(value: &str) -> Vec<&str> {
    value.split('"').skip(1).step_by(2).collect()
}

/// Each setting with the line that it begins in.
fn settings(text: &str) -> Vec<(usize, &str, String)> {
    let mut found: Vec<(usize, &str, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let begins = line.split_once('=').filter(|(name, _)| {
            let name = name.trim().trim_end_matches('+').trim_end();
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
        });
        match (begins, found.last_mut()) {
            (Some((name, value)), _) => {
                let name = name.trim().trim_end_matches('+').trim_end();
                found.push((index + 1, name, value.to_owned()));
            }
            (None, Some((.., value))) => {
                value.push(' ');
                value.push_str(line);
            }
            (None, None) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_over_lines() {
        let text = "server.port = 443\n$SERVER[\"socket\"] == \":443\" {\n  ssl.openssl.ssl-conf-cmd = (\n    \
                    \"MinProtocol\" => \"TLSv1.1\",\n    \"CipherString\" => \"HIGH:RC4-SHA\"\n  )\n}\n\
                    # dir-listing.activate = \"enable\"\ndir-listing.activate = \"enable\"\n\
                    ssl.cipher-list = \"HIGH:!aNULL\"\nssl.use-sslv3 = \"enable\"\n";
        let told: Vec<_> = weak(text).into_iter().map(|it| (it.line, it.setting)).collect();
        let expected = [
            (3, "MinProtocol"),
            (3, "CipherString"),
            (9, "dir-listing.activate"),
            (11, "ssl.use-sslv3"),
        ];
        assert_eq!(told, expected.map(|(line, setting)| (line, setting.to_owned())));
        for cut in 0..text.len() {
            let _ = weak(&text[..cut]);
        }
    }

    #[test]
    fn what_is_good_is_not_told() {
        let good = "ssl.openssl.ssl-conf-cmd = (\"MinProtocol\" => \"TLSv1.2\", \"Options\" => \
                    \"-SessionTicket\")\nserver.dir-listing = \"disable\"\n";
        assert_eq!(weak(good), []);
    }
}
