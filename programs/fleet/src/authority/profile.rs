//! Profiles: what is issued to whom, and which names a request may ask for.

use super::For;
use crate::Error;
use crate::config::{Approval, AuthoritySettings, NamePattern, ProfileSettings, Proof};
use std::net::IpAddr;
use touchstone_certs::issue::{self, Kind};
use touchstone_certs::{AlternativeName, Certificate, CertificateRequest, Name};
use touchstone_element::KeyAlgorithm;

/// The name of the profile of devices' certificates (LDevID).
pub const DEVICE: &str = "device";

/// A name in certificates that were issued under a warning.
pub const WARNED: &str = "urn:touchstone:tier:warning";
/// What the fleet alone says of somebody.
const OURS: &str = "urn:touchstone:";

/// What is issued under one name.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name, which is its EST label.
    pub name: String,
    /// Whom it is for.
    pub what: For,
    /// What its certificates have in them.
    pub content: issue::Profile,
    /// How long they are valid, in seconds.
    pub lifetime: u64,
    /// The issuing CA, or another CA; the first issuing CA otherwise.
    pub issuing: Option<String>,
    /// What proves that the key is where it should be.
    pub proof: Proof,
    /// Whether a certificate depends on the verdict on its device.
    pub verdict: bool,
    /// Who has to agree to a first certificate.
    pub approval: Approval,
    /// For how long a request waits for that, in seconds.
    pub approval_lasts: u64,
    names: Vec<NamePattern>,
    keys: Vec<KeyAlgorithm>,
}

/// What is known of somebody who asks for a certificate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claimant<'a> {
    /// The device's id, when it was onboarded.
    pub device: Option<&'a str>,
    /// The IDevID.
    pub idevid: Option<&'a Certificate>,
    /// The certificate that is to be renewed.
    pub held: Option<&'a Certificate>,
}

/// Why a request does not fit its profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It claims a name that it may not have.
    Claims(String),
    /// It claims none, and the profile gives none.
    Nameless,
    /// The fleet would name the device, and does not know it.
    NoDevice,
    /// The maker's certificate says no serial number (802.1AR §8.10.4).
    NoHardwareModule,
    /// A key of a kind that is not certified.
    Key(String),
}

impl Misfit {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Claims(_) => "est.subject.claims",
            Self::Nameless => "est.subject.none",
            Self::NoDevice => "est.device.unknown",
            Self::NoHardwareModule => "est.subject.hardware-module",
            Self::Key(_) => "est.key.kind",
        }
    }
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Claims(name) => {
                write!(f, "the request claims `{name}`, which it may not; ask for less")
            }
            Self::Nameless => {
                f.write_str("the request names nobody, and this profile gives no name")
            }
            Self::NoDevice => f.write_str("onboard the device first"),
            Self::NoHardwareModule => {
                f.write_str("the IDevID has no hardwareModuleName, which this profile takes over")
            }
            Self::Key(kind) => {
                write!(f, "keys of the kind {kind} are not certified; make another")
            }
        }
    }
}

/// All of them: those that every fleet has, and those of the configuration.
pub(super) fn all(settings: &AuthoritySettings) -> Result<Vec<Profile>, Error> {
    let lifetime = settings.certificate_lifetime.as_secs();
    let fixed = |what: For, proof, verdict| Profile {
        name: what.name().to_owned(),
        what,
        content: what.kind().into(),
        lifetime,
        issuing: None,
        proof,
        verdict,
        approval: Approval::None,
        approval_lasts: 0,
        names: Vec::new(),
        keys: Vec::new(),
    };
    let mut all = vec![
        fixed(For::Device, Proof::Tpm, true),
        fixed(For::Checkpoint, Proof::ByHand, false),
        fixed(For::Server, Proof::ByHand, false),
        fixed(For::Client, Proof::ByHand, false),
        fixed(For::Registration, Proof::ByHand, false),
    ];
    for settings in &settings.profiles {
        let profile = Profile::configured(settings)?;
        // A profile of the same name stands in the place of the fixed one.
        all.retain(|known| known.name != profile.name);
        all.push(profile);
    }
    Ok(all)
}

impl Profile {
    fn configured(settings: &ProfileSettings) -> Result<Self, Error> {
        let mut content = issue::Profile::from(settings.kind);
        for policy in &settings.policies {
            content = content.with_policy(policy).map_err(Error::crypto("a profile's policy"))?;
        }
        if settings.must_staple {
            content = content.must_staple();
        }
        let what = match settings.kind {
            Kind::Device | Kind::LDevId if settings.names.is_empty() => For::Device,
            Kind::Server => For::Server,
            Kind::Client => For::Client,
            _ => For::Other,
        };
        Ok(Self {
            name: settings.name.clone(),
            what,
            content,
            lifetime: settings.lifetime.as_secs(),
            issuing: settings.issuing.clone(),
            proof: settings.proof,
            verdict: settings.verdict,
            approval: settings.approval,
            approval_lasts: settings.approval_lasts.as_secs(),
            names: settings.names.clone(),
            keys: settings.keys.clone(),
        })
    }

    /// Whether certificates of this profile are told apart by the device that the fleet knows.
    pub fn names_devices(&self) -> bool {
        self.names.is_empty()
    }

    /// The subject and the other names that a certificate for the request gets.
    pub fn subject(
        &self,
        request: &CertificateRequest,
        who: &Claimant<'_>,
    ) -> Result<(Name, Vec<AlternativeName>), Misfit> {
        if !self.names.is_empty() {
            return self.chosen(request, who);
        }
        let device = who.device.ok_or(Misfit::NoDevice)?;
        let subject = Name::common_name(device).map_err(|_| Misfit::NoDevice)?;
        let mut names = vec![AlternativeName::Uri(format!("urn:touchstone:device:{device}"))];
        let module = |certificate: &Certificate| {
            let mut names = certificate.alternative_names().iter();
            names.find(|name| matches!(name, AlternativeName::HardwareModule { .. })).cloned()
        };
        let known = who.idevid.and_then(module).or_else(|| who.held.and_then(module));
        if self.content == issue::Profile::from(Kind::LDevId) || known.is_some() {
            names.push(known.ok_or(Misfit::NoHardwareModule)?);
        }
        // The name of before is the maker's, or the fleet's.
        let makers = who.idevid.map(|idevid| idevid.subject_der().to_vec());
        let claimed = request.subject();
        let claimed_der = claimed.to_der().unwrap_or_default();
        if !claimed.is_empty() && *claimed != subject && Some(claimed_der) != makers {
            return Err(Misfit::Claims(claimed.to_string()));
        }
        match request.alternative_names().iter().find(|name| !names.contains(name)) {
            Some(name) => Err(Misfit::Claims(told(name))),
            None => Ok((subject, names)),
        }
    }

    /// Names that the request has chosen among those that it may have.
    fn chosen(
        &self,
        request: &CertificateRequest,
        who: &Claimant<'_>,
    ) -> Result<(Name, Vec<AlternativeName>), Misfit> {
        let (subject, names) = (request.subject(), request.alternative_names());
        if let Some(held) = who.held {
            // RFC 7030 §4.2.2: a renewal is for the names that there are.
            let before = Name::decode(held.subject_der()).unwrap_or_else(|_| Name::empty());
            if *subject != before {
                return Err(Misfit::Claims(subject.to_string()));
            }
            let mut before = held.alternative_names().to_vec();
            // What the verdict was then says nothing of now.
            before.retain(|name| *name != AlternativeName::Uri(WARNED.to_owned()));
            return match names.iter().find(|name| !before.contains(name)) {
                Some(name) => Err(Misfit::Claims(told(name))),
                None => Ok((subject.clone(), before)),
            };
        }
        if subject.is_empty() && names.is_empty() {
            return Err(Misfit::Nameless);
        }
        if !subject.is_empty() {
            let text = subject.common_name_text().unwrap_or_default();
            // A common name and nothing else: what stands beside it nobody has looked at.
            let plain = Name::common_name(&text).is_ok_and(|name| name == *subject);
            if !plain || !self.names.iter().any(|pattern| allows_common_name(pattern, &text, who)) {
                return Err(Misfit::Claims(subject.to_string()));
            }
        }
        match names.iter().find(|name| !self.names.iter().any(|one| allows(one, name, who))) {
            Some(name) => Err(Misfit::Claims(told(name))),
            None => Ok((subject.clone(), names.to_vec())),
        }
    }

    /// Whether a key of this kind is certified; `kind` as certificates describe their keys.
    pub fn certifies(&self, kind: &str) -> Result<(), Misfit> {
        let wanted = |algorithm: &KeyAlgorithm| described(*algorithm) == Some(kind);
        let strong = kind.strip_prefix("rsa-").is_some_and(|bits| {
            bits.parse::<u32>().is_ok_and(|bits| (2048..=8192).contains(&bits))
        });
        let good = if self.keys.is_empty() {
            strong || KeyAlgorithm::ALL.iter().any(wanted)
        } else {
            self.keys.iter().any(wanted)
        };
        if good { Ok(()) } else { Err(Misfit::Key(kind.to_owned())) }
    }
}

/// How a certificate describes such a key.
const fn described(algorithm: KeyAlgorithm) -> Option<&'static str> {
    Some(match algorithm {
        KeyAlgorithm::Rsa2048 => "rsa-2048",
        KeyAlgorithm::Rsa3072 => "rsa-3072",
        KeyAlgorithm::Rsa4096 => "rsa-4096",
        KeyAlgorithm::P256 => "ec-p256",
        KeyAlgorithm::P384 => "ec-p384",
        KeyAlgorithm::P521 => "ec-p521",
        KeyAlgorithm::Ed25519 => "id-Ed25519",
        KeyAlgorithm::MlDsa44 => "id-ml-dsa-44",
        KeyAlgorithm::MlDsa65 => "id-ml-dsa-65",
        KeyAlgorithm::MlDsa87 => "id-ml-dsa-87",
        _ => return None,
    })
}

fn allows_common_name(pattern: &NamePattern, text: &str, who: &Claimant<'_>) -> bool {
    match pattern {
        NamePattern::CommonName(wanted) => filled(wanted, who).is_some_and(|it| it == text),
        // A host's name as common name says no more than it does as a dNSName.
        NamePattern::Dns(_) => allows(pattern, &AlternativeName::Dns(text.to_owned()), who),
        _ => false,
    }
}

fn allows(pattern: &NamePattern, name: &AlternativeName, who: &Claimant<'_>) -> bool {
    match (pattern, name) {
        (NamePattern::Dns(wanted), AlternativeName::Dns(name)) => {
            let Some(wanted) = filled(wanted, who) else { return false };
            let name = name.to_ascii_lowercase();
            let label = |host: &str| !host.is_empty() && !host.contains(['.', '*']);
            match wanted.strip_prefix("*.") {
                Some(domain) => name
                    .strip_suffix(domain)
                    .and_then(|rest| rest.strip_suffix('.'))
                    .is_some_and(label),
                None => name == wanted,
            }
        }
        (NamePattern::Uri(_), AlternativeName::Uri(name)) if name.starts_with(OURS) => false,
        (NamePattern::Uri(wanted), AlternativeName::Uri(name)) => {
            let Some(wanted) = filled(wanted, who) else { return false };
            match wanted.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => *name == wanted,
            }
        }
        (NamePattern::Ip(network, bits), AlternativeName::Ip(address)) => {
            within(*network, *bits, *address)
        }
        _ => false,
    }
}

/// A pattern with what is known in it; `None` when that is not known.
fn filled(pattern: &str, who: &Claimant<'_>) -> Option<String> {
    let mut text = pattern.to_owned();
    if text.contains("{device}") {
        text = text.replace("{device}", who.device?);
    }
    if text.contains("{idevid}") {
        text = text.replace("{idevid}", &who.idevid?.common_name()?);
    }
    Some(text)
}

fn within(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, true),
        IpAddr::V6(address) => (u128::from(address), false),
    };
    let ((network, four), (address, also)) = (number(network), number(address));
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    four == also && network & mask == address & mask
}

/// A name in words.
pub fn told(name: &AlternativeName) -> String {
    match name {
        AlternativeName::Dns(text) => format!("dns:{text}"),
        AlternativeName::Uri(text) => format!("uri:{text}"),
        AlternativeName::Email(text) => format!("email:{text}"),
        AlternativeName::Ip(address) => format!("ip:{address}"),
        AlternativeName::Directory(name) => format!("dir:{name}"),
        AlternativeName::HardwareModule { kind, .. } => format!("hardware module {kind}"),
        _ => "a name of another form".to_owned(),
    }
}

#[cfg(test)]
mod tests;
