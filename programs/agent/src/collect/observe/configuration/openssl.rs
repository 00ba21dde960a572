//! `openssl.cnf` (config(5), SSL_CONF_cmd(3)): what every program gets that uses OpenSSL.

use super::{Weak, is_old_version, lines, weak_ciphers};

/// What is weak in it.
pub fn weak(text: &str) -> Vec<Weak> {
    lines(text).filter_map(|(line, text)| setting(line, text)).collect()
}

fn setting(line: usize, text: &str) -> Option<Weak> {
    let (name, value) = text.split_once('=')?;
    // `system_default.MinProtocol` and the like name the command behind the last dot.
    let name = name.trim().rsplit('.').next()?;
    command(line, name, value.split('#').next()?.trim())
}

/// One command of SSL_CONF_cmd(3), wherever it is written.
pub(super) fn command(line: usize, name: &str, value: &str) -> Option<Weak> {
    match name.to_ascii_lowercase().as_str() {
        "minprotocol" if is_old_version(value) || value.eq_ignore_ascii_case("none") => {
            Weak::allowed(line, name, &[value])
        }
        "protocol" => {
            let mut old = value.split([',', ' ']).map(str::trim).filter(|it| !it.starts_with('-'));
            let old = old.find(|it| is_old_version(it.trim_start_matches('+')))?;
            Weak::allowed(line, name, &[old])
        }
        "cipherstring" | "ciphers" => Weak::allowed(line, name, &weak_ciphers(value)),
        "options" => {
            let bad = ["UnsafeLegacyRenegotiation", "UnsafeLegacyServerConnect"];
            let bad = bad.into_iter().find(|it| value.split([',', ' ']).any(|word| word == *it))?;
            Some(Weak::cipher(line, name, format!("{bad} takes away a protection (RFC 5746)")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distributions_file_is_good_and_a_lowered_one_is_told() {
        let good =
            "[system_default_sect]\nMinProtocol = TLSv1.2\nCipherString = DEFAULT:@SECLEVEL=2\n";
        assert_eq!(weak(good), []);
        let text = "# x\n[s]\nMinProtocol = TLSv1 # legacy\nCipherString = ALL:RC4-SHA\nOptions = UnsafeLegacyServerConnect\n";
        let told: Vec<_> = weak(text).into_iter().map(|it| (it.line, it.setting)).collect();
        let expected = [(3, "MinProtocol"), (4, "CipherString"), (5, "Options")];
        assert_eq!(told, expected.map(|(line, setting)| (line, setting.to_owned())));
    }
}
