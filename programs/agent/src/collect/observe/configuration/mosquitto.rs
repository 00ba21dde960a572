//! `mosquitto.conf` (mosquitto.conf(5)).

use super::{Weak, is_old_version, lines, weak_ciphers};

/// A listener as far as it was read.
struct Listener {
    line: usize,
    local: bool,
    tls: bool,
}

/// What is weak in it.
pub fn weak(text: &str) -> Vec<Weak> {
    let mut found = Vec::new();
    let mut listeners: Vec<Listener> = Vec::new();
    for (line, text) in lines(text) {
        let (name, value) =
            text.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((text, ""));
        let value = value.trim();
        match name {
            "tls_version" if is_old_version(value) => {
                found.extend(Weak::allowed(line, name, &[value]));
            }
            "ciphers" => {
                found.extend(Weak::allowed(line, name, &weak_ciphers(value)));
            }
            "allow_anonymous" if value == "true" => {
                found.push(Weak::access(line, name, "whoever connects may publish and subscribe"));
            }
            "listener" => {
                let mut words = value.split_ascii_whitespace();
                let port = words.next().unwrap_or_default();
                let local = port == "0" || words.next().is_some_and(is_local);
                listeners.push(Listener { line, local, tls: false });
            }
            "bind_address" | "socket_domain" => {
                if let Some(last) = listeners.last_mut() {
                    last.local |= is_local(value);
                }
            }
            "certfile" | "psk_hint" => {
                if let Some(last) = listeners.last_mut() {
                    last.tls = true;
                }
            }
            _ => {}
        }
    }
    let open = listeners.iter().filter(|listener| !listener.tls && !listener.local);
    found.extend(
        open.map(|it| Weak::cipher(it.line, "listener", "without TLS beyond this host".to_owned())),
    );
    found.sort_by_key(|weak| weak.line);
    found
}

fn is_local(address: &str) -> bool {
    address == "localhost"
        || address.starts_with('/')
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_without_tls_is_told_where_others_can_reach_it() {
        let text = "listener 1883 127.0.0.1\nlistener 8883\ncertfile /c.pem\ntls_version tlsv1.1\n\
                    listener 1884\nallow_anonymous true\n";
        let told: Vec<_> = weak(text).into_iter().map(|it| (it.line, it.setting)).collect();
        let expected = [(4, "tls_version"), (5, "listener"), (6, "allow_anonymous")];
        assert_eq!(told, expected.map(|(line, setting)| (line, setting.to_owned())));
    }
}
