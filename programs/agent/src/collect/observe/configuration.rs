//! How services are set up: settings that were good once and are weak now, or never were good. Each
//! is told with its file and line. What a configuration leaves open is the program's own default,
//! which is not judged here.

pub mod apache;
pub mod lighttpd;
pub mod mosquitto;
pub mod nginx;
pub mod openssl;
pub mod ssh;

use super::{Collected, Fault, Root, list, read};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use touchstone_evidence::runtime::Observed;

/// Files that include others are followed so far.
const MOST_FILES: usize = 256;

/// Something in a configuration that is weak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weak {
    /// The line, counted from 1.
    pub line: usize,
    /// The setting, as its program names it.
    pub setting: String,
    /// What is weak about it.
    pub why: String,
    /// It is about protocols and ciphers; otherwise about who may do what.
    pub tls: bool,
}

impl Weak {
    fn cipher(line: usize, setting: &str, why: String) -> Self {
        Self { line, setting: setting.to_owned(), why, tls: true }
    }

    /// Versions or ciphers that are let in, if there are any.
    fn allowed(line: usize, setting: &str, weak: &[&str]) -> Option<Self> {
        let why = || format!("{} is allowed", weak.join(", "));
        (!weak.is_empty()).then(|| Self::cipher(line, setting, why()))
    }

    fn access(line: usize, setting: &str, why: &str) -> Self {
        Self { line, setting: setting.to_owned(), why: why.to_owned(), tls: false }
    }
}

type Reader = fn(&str) -> Vec<Weak>;

/// Where configurations are: files, or folders with a suffix of the files in them.
const PLACES: &[(&str, &str, Reader)] = &[
    ("/etc/ssl/openssl.cnf", "", openssl::weak),
    ("/etc/pki/tls/openssl.cnf", "", openssl::weak),
    ("/etc/ssh/sshd_config", "", ssh::weak),
    ("/etc/ssh/sshd_config.d", ".conf", ssh::weak),
    ("/etc/mosquitto/mosquitto.conf", "", mosquitto::weak),
    ("/etc/mosquitto/conf.d", ".conf", mosquitto::weak),
    ("/etc/nginx/nginx.conf", "", nginx::weak),
    ("/etc/nginx/conf.d", ".conf", nginx::weak),
    ("/etc/nginx/sites-enabled", "", nginx::weak),
    ("/etc/apache2/apache2.conf", "", apache::weak),
    ("/etc/apache2/mods-enabled", ".conf", apache::weak),
    ("/etc/apache2/conf-enabled", ".conf", apache::weak),
    ("/etc/apache2/sites-enabled", ".conf", apache::weak),
    ("/etc/httpd/conf/httpd.conf", "", apache::weak),
    ("/etc/httpd/conf.d", ".conf", apache::weak),
    ("/etc/lighttpd/lighttpd.conf", "", lighttpd::weak),
    ("/etc/lighttpd/conf-enabled", ".conf", lighttpd::weak),
    ("/etc/lighttpd/conf.d", ".conf", lighttpd::weak),
];

/// Weak protocols, ciphers, exchanges and MACs.
pub fn weak_tls(root: &Root) -> Collected {
    found(root, true)
}

/// Settings that let in whoever should not be.
pub fn insecure_settings(root: &Root) -> Collected {
    found(root, false)
}

fn found(root: &Root, tls: bool) -> Collected {
    let mut found = Vec::new();
    for (place, suffix, weak) in PLACES {
        for path in files(&root.path(place), suffix)? {
            let Some(text) = read(&path)? else { continue };
            let shown = root.shown(&path);
            found.extend(weak(&text).into_iter().filter(|it| it.tls == tls).map(|it| {
                Observed::record([
                    ("path", shown.as_str().into()),
                    ("line", i64::try_from(it.line).unwrap_or(0).into()),
                    ("setting", it.setting.into()),
                    ("why", it.why.into()),
                ])
            }));
        }
    }
    list(found)
}

/// A file, or those of a folder by name; none where there is nothing.
fn files(place: &Path, suffix: &str) -> Result<Vec<PathBuf>, Fault> {
    let fault =
        |error: io::Error| Fault::Unreadable { path: place.to_owned(), why: error.to_string() };
    match fs::metadata(place) {
        Ok(found) if found.is_file() => return Ok(vec![place.to_owned()]),
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fault(error)),
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(place).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path.is_file() && path.to_string_lossy().ends_with(suffix) {
            files.push(path);
        }
        if files.len() > MOST_FILES {
            return Err(Fault::TooMany);
        }
    }
    files.sort();
    Ok(files)
}

/// The lines of a configuration with their numbers, without comments and blank ones.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';']))
}

/// Words of OpenSSL's cipher lists that let in what is broken (openssl-ciphers(1)).
fn weak_ciphers(list: &str) -> Vec<&str> {
    const WEAK: &[&str] = &[
        "NULL",
        "eNULL",
        "aNULL",
        "EXP",
        "EXPORT",
        "LOW",
        "RC4",
        "RC2",
        "DES",
        "3DES",
        "DES-CBC3",
        "MD5",
        "ADH",
        "AECDH",
        "IDEA",
        "SEED",
        "COMPLEMENTOFALL",
    ];
    let words = list.split([':', ',', ' ', '+']).map(|word| word.trim_matches(['\'', '"']));
    words
        .filter(|word| !word.starts_with(['!', '-']))
        .filter(|word| {
            let parts = || word.split(['-', '_']);
            let level = word.strip_prefix("@SECLEVEL=").and_then(|level| level.parse::<u8>().ok());
            level.is_some_and(|level| level < 1)
                || WEAK.contains(word)
                || parts()
                    .any(|part| matches!(part, "RC4" | "NULL" | "MD5" | "DES" | "EXP" | "CBC3"))
        })
        .collect()
}

/// Versions of TLS that RFC 8996 and RFC 7568 forbid, in the spellings of OpenSSL, the web
/// servers and mosquitto.
fn is_old_version(version: &str) -> bool {
    let version = version.to_ascii_lowercase().replace(['.', '_'], "");
    matches!(version.as_str(), "sslv2" | "sslv3" | "tlsv1" | "tlsv10" | "tlsv11" | "all")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_list_excludes_is_not_weak() {
        assert_eq!(weak_ciphers("HIGH:!aNULL:!MD5:!3DES"), Vec::<&str>::new());
        assert_eq!(weak_ciphers("ECDHE-RSA-AES128-GCM-SHA256:RC4-SHA"), ["RC4-SHA"]);
        assert_eq!(weak_ciphers("DEFAULT:@SECLEVEL=0"), ["@SECLEVEL=0"]);
        assert_eq!(weak_ciphers("DES-CBC3-SHA,NULL"), ["DES-CBC3-SHA", "NULL"]);
    }

    #[test]
    fn old_versions_are_known_in_every_spelling() {
        for old in ["SSLv3", "TLSv1", "TLSv1.0", "tlsv1.1", "TLSv1_1"] {
            assert!(is_old_version(old), "{old}");
        }
        for good in ["TLSv1.2", "tlsv1.3", "TLSv1_2"] {
            assert!(!is_old_version(good), "{good}");
        }
    }
}
