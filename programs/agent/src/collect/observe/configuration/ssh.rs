//! `sshd_config` (sshd_config(5)).

use super::{Weak, lines};

/// What is weak in it. A list that begins with `-` takes something away and cannot add.
pub fn weak(text: &str) -> Vec<Weak> {
    lines(text).filter_map(|(line, text)| setting(line, text)).collect()
}

fn setting(line: usize, text: &str) -> Option<Weak> {
    let (name, value) = text.split_once(|c: char| c.is_ascii_whitespace() || c == '=')?;
    let value = value.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '=');
    let value = value.trim_matches('"');
    let says = |word: &str| value.eq_ignore_ascii_case(word);
    let algorithms = |is_weak: fn(&str) -> bool| {
        if value.starts_with('-') {
            return None;
        }
        let list = value.trim_start_matches(['+', '^']).split(',');
        let weak: Vec<&str> = list.map(str::trim).filter(|name| is_weak(name)).collect();
        (!weak.is_empty())
            .then(|| Weak::cipher(line, name, format!("{} is allowed", weak.join(", "))))
    };
    match name.to_ascii_lowercase().as_str() {
        "ciphers" => algorithms(|name| {
            name.contains("cbc") || name.starts_with("arcfour") || name.contains("blowfish")
        }),
        "macs" => algorithms(|name| {
            name.contains("md5") || name.contains("sha1") || name.starts_with("umac-64")
        }),
        "kexalgorithms" => {
            algorithms(|name| name.ends_with("-sha1") || name.starts_with("diffie-hellman-group1-"))
        }
        "hostkeyalgorithms" | "pubkeyacceptedalgorithms" | "pubkeyacceptedkeytypes" => {
            algorithms(|name| name.starts_with("ssh-dss") || name == "ssh-rsa")
        }
        "permitemptypasswords" if says("yes") => {
            Some(Weak::access(line, name, "whoever has an empty password needs none"))
        }
        "permitrootlogin" if says("yes") => {
            Some(Weak::access(line, name, "root can be logged in to with a password"))
        }
        "passwordauthentication" if says("yes") => {
            Some(Weak::access(line, name, "passwords can be guessed"))
        }
        "hostbasedauthentication" if says("yes") => {
            Some(Weak::access(line, name, "another host's word lets users in"))
        }
        "strictmodes" if says("no") => {
            Some(Weak::access(line, name, "keys that others can write are believed"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_algorithms_and_open_doors_are_told_apart() {
        let text = "Port 22\nCiphers aes256-gcm@openssh.com,3des-cbc\nMACs -hmac-sha1\n\
                    PermitRootLogin yes\nPasswordAuthentication no\nKexAlgorithms=+diffie-hellman-group14-sha1\n";
        let told: Vec<_> = weak(text).into_iter().map(|it| (it.line, it.tls)).collect();
        assert_eq!(told, [(2, true), (4, false), (6, true)]);
        assert_eq!(weak(text)[0].why, "3des-cbc is allowed");
    }
}
