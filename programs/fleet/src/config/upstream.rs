//! `[[authority.upstream]]`: somebody else's CA that signs for a profile, over EST.

use super::{within, word};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use touchstone_drive::http::Address;
use touchstone_element::Reference;
use touchstone_settings::{SecretReference, Section};

/// `[[authority.upstream]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// Its name, which a profile's `issuing` names.
    pub name: String,
    /// Its EST server.
    pub address: Address,
    /// Which of its CAs or profiles (RFC 7030 §3.2.2).
    pub label: Option<String>,
    /// PEM files: who may have issued the server's certificate.
    pub trust: Vec<PathBuf>,
    /// PEM files: to whom the certificates that it issues lead; the same where there is none.
    pub anchors: Vec<PathBuf>,
    /// The certificate that the fleet shows, and its key.
    pub identity: Option<(PathBuf, ClientKey)>,
    /// The user and the password that the fleet gives where it is asked for them.
    pub password: Option<(String, SecretReference)>,
    /// How long it may take for an answer.
    pub patience: Duration,
}

/// Where the key of a client's certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientKey {
    /// In a file, PKCS#8 PEM.
    File(SecretReference),
    /// In an element.
    Element(Reference),
}

impl FromStr for ClientKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if Reference::is_meant(text) {
            return text.parse().map(Self::Element).map_err(|error| format!("{error}"));
        }
        text.parse().map(Self::File).map_err(|_| {
            "a client's key is `file:PATH`, `element:tpm/NAME`, `element:software/NAME` or \
             `pkcs11:token=..;object=NAME`"
                .to_owned()
        })
    }
}

pub(super) fn read(section: &Section<'_>, base: &Path) -> Option<UpstreamSettings> {
    let name = word(section, "name", "");
    let address: Option<Address> = section.required("url");
    let label: Option<Option<String>> = section.optional("label");
    let files = |key: &'static str| -> Option<Vec<PathBuf>> {
        let paths: Vec<PathBuf> = section.list(key)?;
        Some(paths.into_iter().map(|path| base.join(path)).collect())
    };
    let (trust, anchors) = (files("trust"), files("anchors"));
    let certificate: Option<Option<PathBuf>> = section.optional("certificate");
    let key: Option<Option<ClientKey>> = section.optional("key");
    let user: Option<Option<String>> = section.optional("user");
    let password: Option<Option<SecretReference>> = section.optional("password");
    let patience = section.duration("patience", Duration::from_secs(20));
    let patience = patience.and_then(|it| within(section, "patience", it, 1, 300));
    let address = address?;
    if !address.is_secure() || !address.path().is_empty() {
        section.refuse("url", "write https://HOST[:PORT], without a path: EST says where it lives");
        return None;
    }
    if label.as_ref()?.as_ref().is_some_and(|it| it.is_empty() || it.contains(['/', '?', '#'])) {
        section.refuse("label", "a label is one part of a path");
        return None;
    }
    let trust = trust?;
    if trust.is_empty() {
        section.refuse("trust", "name at least one PEM file");
        return None;
    }
    let identity = match (certificate?, key?) {
        (Some(certificate), Some(ClientKey::File(key))) => {
            Some((base.join(certificate), ClientKey::File(key.under(base))))
        }
        (Some(certificate), Some(key)) => Some((base.join(certificate), key)),
        (None, None) => None,
        _ => {
            section.refuse("certificate", "`certificate` and `key` come together or not at all");
            return None;
        }
    };
    let password = match (user?, password?) {
        (Some(user), Some(password)) => Some((user, password.under(base))),
        (None, None) => None,
        _ => {
            section.refuse("user", "`user` and `password` come together or not at all");
            return None;
        }
    };
    if identity.is_none() && password.is_none() {
        section.fault("the other CA wants to know who asks; give `certificate` and `key`, or `user` and `password`".to_owned());
        return None;
    }
    let anchors = anchors?;
    let (label, patience) = (label?, patience?);
    Some(UpstreamSettings {
        name: name?,
        address,
        label,
        trust,
        anchors,
        identity,
        password,
        patience,
    })
}
