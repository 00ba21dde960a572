//! nginx' configuration: directives end with `;`, several may stand in a line.

use super::{Weak, is_old_version, weak_ciphers};

/// What is weak in it.
pub fn weak(text: &str) -> Vec<Weak> {
    directives(text).into_iter().filter_map(|(line, words)| directive(line, &words)).collect()
}

fn directive(line: usize, words: &[&str]) -> Option<Weak> {
    let (name, values) = words.split_first()?;
    match *name {
        "ssl_protocols" | "proxy_ssl_protocols" => {
            let old: Vec<&str> = values.iter().copied().filter(|it| is_old_version(it)).collect();
            Weak::allowed(line, name, &old)
        }
        "ssl_ciphers" | "proxy_ssl_ciphers" => {
            let weak: Vec<&str> = values.iter().flat_map(|it| weak_ciphers(it)).collect();
            Weak::allowed(line, name, &weak)
        }
        "ssl" if values == ["off"] => {
            Some(Weak::cipher(line, name, "TLS is switched off".to_owned()))
        }
        "proxy_ssl_verify" if values == ["off"] => {
            Some(Weak::cipher(line, name, "whoever answers is believed".to_owned()))
        }
        "autoindex" if values == ["on"] => {
            Some(Weak::access(line, name, "folders are listed to whoever asks"))
        }
        _ => None,
    }
}

/// Each directive with the line that it begins in. Blocks are directives that end with `{`.
fn directives(text: &str) -> Vec<(usize, Vec<&str>)> {
    let mut found = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    let mut begun = 1;
    for (index, line) in text.lines().enumerate() {
        let mut rest = line;
        while let Some((word, ends, after)) = word(rest) {
            if words.is_empty() {
                begun = index + 1;
            }
            if !word.is_empty() {
                words.push(word);
            }
            if ends && !words.is_empty() {
                found.push((begun, std::mem::take(&mut words)));
            }
            rest = after;
        }
    }
    found
}

/// The next word of a line, whether it ends its directive, and what is behind it.
fn word(line: &str) -> Option<(&str, bool, &str)> {
    let line = line.trim_start();
    let first = line.chars().next()?;
    if first == '#' {
        return None;
    }
    if matches!(first, '\'' | '"') {
        let (quoted, after) = line.get(1..)?.split_once(first)?;
        return Some((quoted, false, after));
    }
    let end =
        line.find(|c: char| c.is_ascii_whitespace() || ";{}".contains(c)).unwrap_or(line.len());
    let (word, after) = line.split_at_checked(end)?;
    match after.strip_prefix([';', '{', '}']) {
        Some(after) => Some((word, true, after)),
        None => Some((word, false, after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_found_wherever_they_stand() {
        let text = "http { ssl_protocols TLSv1 TLSv1.2; # TLSv1.1\n server {\n ssl_ciphers\n  'HIGH:!aNULL:RC4-SHA'; autoindex on; }\n}";
        let told: Vec<_> = weak(text).into_iter().map(|it| (it.line, it.setting)).collect();
        let expected = [(1, "ssl_protocols"), (3, "ssl_ciphers"), (4, "autoindex")];
        assert_eq!(told, expected.map(|(line, setting)| (line, setting.to_owned())));
        assert_eq!(weak("ssl_protocols TLSv1.2 TLSv1.3;"), []);
        for cut in 0..text.len() {
            let _ = weak(&text[..cut]);
        }
    }
}
