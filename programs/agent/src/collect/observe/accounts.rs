//! Passwords: empty ones, those that the maker gave every device, and those kept in a way that is
//! broken. Only digests of hashes are compared; no password and no hash is kept or told.

use super::super::finding::plain;
use super::{Collected, Fault, Root, list};
use aws_lc_rs::digest::{SHA256, digest};
use std::path::Path;
use touchstone_crypto::{Digest, HashAlgorithm};
use touchstone_evidence::runtime::Observed;

/// The maker's list: a SHA-256 (`sha256:<hex>`) over the password field of each account of the
/// factory's image, as `/etc/shadow` holds it, salt and all; one a line.
const FACTORY: &str = "/etc/touchstone/factory-passwords";

/// Accounts that whoever knows the maker, or nothing at all, can log in to.
pub fn weak_passwords(root: &Root) -> Collected {
    let factory = factory(root)?;
    let shadow = root.required("/etc/shadow")?;
    let passwd = root.read("/etc/passwd")?.unwrap_or_default();
    let fields = shadow.lines().chain(passwd.lines()).filter_map(account);
    let weak = fields.filter_map(|(user, field)| Some((user, weakness(field, &factory)?)));
    list(
        weak.map(|(user, why)| {
            let user = plain(Path::new(user));
            Observed::record([("user", user.into()), ("why", why.into())])
        })
        .collect(),
    )
}

/// shadow(5), passwd(5): name and password field.
pub fn account(line: &str) -> Option<(&str, &str)> {
    let mut fields = line.split(':');
    let user = fields.next().filter(|user| !user.is_empty())?;
    Some((user, fields.next()?))
}

/// What is weak about a password field (crypt(5)); `None` for one that is good, locked, or elsewhere.
fn weakness(field: &str, factory: &[Digest]) -> Option<&'static str> {
    if field.is_empty() {
        return Some("the password is empty");
    }
    if field == "x" || field.starts_with(['!', '*']) {
        return None;
    }
    let of_field = digest(&SHA256, field.as_bytes());
    if factory.iter().any(|known| known.as_bytes() == of_field.as_ref()) {
        return Some("the password is the one that the maker gave");
    }
    match field.strip_prefix('$').and_then(|rest| rest.split('$').next()) {
        None => Some("the password is kept by DES, which is broken"),
        Some("1" | "md5") => Some("the password is kept by MD5, which is broken"),
        Some("3") => Some("the password is kept by MD4, which is broken"),
        Some(_) => None,
    }
}

fn factory(root: &Root) -> Result<Vec<Digest>, Fault> {
    let text = root.read(FACTORY)?.unwrap_or_default();
    let lines = text.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| {
            let known = Digest::parse(line).ok();
            known.filter(|it| it.algorithm() == HashAlgorithm::Sha256).ok_or_else(|| {
                let why = format!("line {} is not `sha256:<hex>`", index + 1);
                Fault::Malformed { path: root.path(FACTORY), why }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_given_and_broken_ones_are_told_and_good_ones_are_not() {
        let given = "$y$j9T$salt$hash";
        let known = Digest::new(HashAlgorithm::Sha256, digest(&SHA256, given.as_bytes()).as_ref());
        let factory = [known.unwrap()];
        for (field, told) in [
            ("", Some("empty")),
            (given, Some("maker")),
            ("$1$abc$def", Some("MD5")),
            ("abJnggxhB/yWI", Some("DES")),
            ("$y$j9T$other$hash", None),
            ("$6$a$b", None),
            ("!", None),
            ("*", None),
            ("x", None),
        ] {
            let why = weakness(field, &factory);
            assert_eq!(why.is_some(), told.is_some(), "{field}: {why:?}");
            assert!(why.unwrap_or_default().contains(told.unwrap_or_default()), "{field}");
        }
        assert_eq!(account("root:$y$x:19000:0:::::"), Some(("root", "$y$x")));
        assert_eq!(account("nonsense"), None);
    }
}
