//! Host names and mailboxes: how they are spelled (RFC 5280 §4.2.1.6), and whether a presented one
//! is the one that was wanted (RFC 9525 §6).

/// Whether a dNSName is in the preferred name syntax (RFC 1034 §3.5, RFC 1123 §2.1), and no address
/// in disguise; a wildcard is the whole first label, above two others at least (RFC 9525 §6.3).
pub(crate) fn is_dns_name(name: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(rest) => is_host(rest) && rest.contains('.'),
        None => is_host(name),
    }
}

/// A host name without wildcard.
pub(crate) fn is_host(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.split('.').all(is_label)
        && !last.bytes().all(|octet| octet.is_ascii_digit())
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Local part and host of a mailbox (RFC 5280 §4.2.1.6, in its ASCII form).
pub(crate) fn mailbox(text: &str) -> Option<(&str, &str)> {
    let (local, host) = text.split_once('@')?;
    let plain = local.bytes().all(|octet| octet.is_ascii_graphic());
    (!local.is_empty() && plain && is_host(host)).then_some((local, host))
}

/// The host of a URI that has an authority (RFC 3986 §3.2); `None` if it has none.
pub(crate) fn uri_host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.strip_prefix('[') {
        // An address; it is no host name, and no constraint can speak of it.
        Some(_) => return None,
        None => host.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

/// Whether a presented dNSName stands for `wanted`: a wildcard for exactly one label.
pub(crate) fn dns_matches(presented: &str, wanted: &str) -> bool {
    if !is_dns_name(presented) || !is_host(wanted) {
        return false;
    }
    match presented.strip_prefix("*.") {
        Some(rest) => {
            wanted.split_once('.').is_some_and(|(_, tail)| tail.eq_ignore_ascii_case(rest))
        }
        None => presented.eq_ignore_ascii_case(wanted),
    }
}

/// Whether two mailboxes are the same: the local part to the letter, the host without regard to case.
pub(crate) fn mailbox_matches(presented: &str, wanted: &str) -> bool {
    match (mailbox(presented), mailbox(wanted)) {
        (Some((local, host)), Some((other, wanted))) => {
            local == other && host.eq_ignore_ascii_case(wanted)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_as_dns_spells_them() {
        for good in ["a", "fleet.example", "x-1.example.com", "*.example.com", "1a.2b"] {
            assert!(is_dns_name(good), "{good}");
        }
        let long = "a".repeat(64);
        for bad in
            ["", ".", "a..b", ".a", "a.", "-a", "a-", "a_b", "*", "*.com", "a.*.b", "b*.c.d", &long]
        {
            assert!(!is_dns_name(bad), "{bad}");
        }
        assert!(!is_dns_name("192.0.2.1"));
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert!(dns_matches("*.Example.com", "a.example.COM"));
        for wanted in ["example.com", "b.a.example.com", "*.example.com", ""] {
            assert!(!dns_matches("*.example.com", wanted), "{wanted}");
        }
    }

    #[test]
    fn a_uri_has_its_host_between_user_and_port() {
        assert_eq!(uri_host("https://u@Host.example:8443/x?y"), Some("Host.example"));
        assert_eq!(uri_host("urn:device:pump"), None);
        assert_eq!(uri_host("https://[2001:db8::1]/"), None);
        assert_eq!(uri_host("https:///x"), None);
    }

    #[test]
    fn a_mailbox_has_one_at_sign() {
        assert!(mailbox_matches("Foo@Example.com", "Foo@example.com"));
        assert!(!mailbox_matches("foo@example.com", "Foo@example.com"));
        for bad in ["@a", "a@", "a@b@c", "a b@c", "a"] {
            assert!(mailbox(bad).is_none(), "{bad}");
        }
    }
}
