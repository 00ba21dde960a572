//! `[authority]`: the CAs, where their keys are, and what they issue.

use super::{ClientKey, UpstreamSettings, optional, upstream, within, word};
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use touchstone_certs::Name;
use touchstone_certs::issue::{Kind, Subtree};
use touchstone_drive::element::Location;
use touchstone_element::{KeyAlgorithm, Reference};
use touchstone_settings::Section;

const YEAR: u64 = 365 * 86400;

/// `[authority]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthoritySettings {
    /// The elements that keys may be in, of each kind at most one.
    pub elements: Vec<Location>,
    /// The roots: the first one is in force, the others were before.
    pub roots: Vec<CaSettings>,
    /// The issuing CAs: the first one issues what names no other.
    pub issuing: Vec<IssuingSettings>,
    /// How long an LDevID certificate is valid.
    pub certificate_lifetime: Duration,
    /// Other CAs, in front of which the fleet is a registration authority.
    pub upstreams: Vec<UpstreamSettings>,
    /// What else is issued.
    pub profiles: Vec<ProfileSettings>,
}

/// `[[authority.root]]`, and what an issuing CA has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaSettings {
    /// Its name: in its subject, and of its files.
    pub name: String,
    /// Where its key is.
    pub key: KeyPlace,
    /// What kind of key is made where there is none.
    pub algorithm: KeyAlgorithm,
    /// How long its certificate lives.
    pub lifetime: Duration,
}

/// `[[authority.issuing]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuingSettings {
    /// Name, key, lifetime.
    pub ca: CaSettings,
    /// Names that its certificates may have; any, where a form is not mentioned.
    pub permitted: Vec<Subtree>,
    /// Names that its certificates may not have.
    pub excluded: Vec<Subtree>,
    /// It is to come: everybody may know it, and it issues nothing yet.
    pub next: bool,
}

/// Where the key of a CA is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// In the state directory.
    File,
    /// In an element.
    Element(Reference),
    /// Nowhere near: its certificates are brought.
    Offline,
}

/// `[[authority.profile]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileSettings {
    /// Its name, which is its EST label.
    pub name: String,
    /// What its certificates are for.
    pub kind: Kind,
    /// How long they are valid.
    pub lifetime: Duration,
    /// The issuing CA, or another CA; the first issuing CA otherwise.
    pub issuing: Option<String>,
    /// What proves that the key is where it should be.
    pub proof: Proof,
    /// Whether a certificate depends on the verdict on its device.
    pub verdict: bool,
    /// Who has to agree to a first certificate.
    pub approval: Approval,
    /// For how long a request waits for that, and a decision for whoever asked.
    pub approval_lasts: Duration,
    /// Names that may be asked for; the fleet names its device itself where there are none.
    pub names: Vec<NamePattern>,
    /// The kinds of keys that are certified.
    pub keys: Vec<KeyAlgorithm>,
    /// With the TLS feature `status_request` (RFC 7633).
    pub must_staple: bool,
    /// Certificate policies, dotted object identifiers.
    pub policies: Vec<String>,
}

/// What proves that a key is where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The attestation key of the device's TPM certifies it (`TPM2_Certify`).
    Tpm,
    /// The same, in answer to a credential that only this TPM can open, with this attestation key: it
    /// proves anew, each time, that they are still together (TPM 2.0 Part 1 §24).
    Challenge,
    /// Whoever asks shows the IDevID of a known maker.
    IDevId,
    /// Whoever asks shows a certificate of a known maker's or of the fleet's, and nothing more.
    None,
    /// Nobody asks for it: an operator has it issued by hand.
    ByHand,
}

/// Who has to agree to a first certificate; a renewal of what there is needs nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Nobody: whoever proves what the profile wants gets one.
    None,
    /// An operator, beside that proof.
    Operator,
    /// An operator, and nothing else where nobody was invited: for clients of SCEP that can be given no
    /// challenge.
    OperatorAlone,
}

/// A name that a request may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// `cn:TEXT`: a common name. `{idevid}` stands for that of the IDevID, `{device}` for the
    /// device's id.
    CommonName(String),
    /// `dns:NAME`, or `dns:*.DOMAIN` for any host of it.
    Dns(String),
    /// `uri:PREFIX*`, or `uri:URI`.
    Uri(String),
    /// `ip:ADDRESS/BITS`.
    Ip(IpAddr, u8),
}

impl Default for AuthoritySettings {
    fn default() -> Self {
        Self {
            elements: Vec::new(),
            roots: vec![CaSettings::new("root", 30)],
            issuing: vec![IssuingSettings {
                ca: CaSettings::new("issuing", 15),
                permitted: Vec::new(),
                excluded: Vec::new(),
                next: false,
            }],
            certificate_lifetime: Duration::from_hours(24),
            upstreams: Vec::new(),
            profiles: Vec::new(),
        }
    }
}

impl CaSettings {
    fn new(name: &str, years: u64) -> Self {
        Self {
            name: name.to_owned(),
            key: KeyPlace::File,
            algorithm: KeyAlgorithm::P256,
            lifetime: Duration::from_secs(years * YEAR),
        }
    }
}

impl FromStr for KeyPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "file" => Ok(Self::File),
            "offline" => Ok(Self::Offline),
            _ if Reference::is_meant(text) => {
                text.parse().map(Self::Element).map_err(|error| format!("{error}"))
            }
            _ => Err("a CA's key is `file`, `offline`, `element:tpm/NAME`, \
                      `element:software/NAME` or `pkcs11:token=..;object=NAME`"
                .to_owned()),
        }
    }
}

impl FromStr for Proof {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "tpm" => Ok(Self::Tpm),
            "challenge" => Ok(Self::Challenge),
            "idevid" => Ok(Self::IDevId),
            "none" => Ok(Self::None),
            "by-hand" => Ok(Self::ByHand),
            _ => Err("a proof is `tpm`, `challenge`, `idevid`, `none` or `by-hand`"),
        }
    }
}

impl FromStr for Approval {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "none" => Ok(Self::None),
            "operator" => Ok(Self::Operator),
            "operator-alone" => Ok(Self::OperatorAlone),
            _ => Err("an approval is `none`, `operator` or `operator-alone`"),
        }
    }
}

impl FromStr for NamePattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORMS: &str =
            "write `cn:TEXT`, `dns:HOST`, `dns:*.DOMAIN`, `uri:PREFIX*` or `ip:ADDRESS/BITS`";
        let (form, value) = text.split_once(':').ok_or(FORMS)?;
        if value.is_empty() {
            return Err(FORMS);
        }
        match form {
            "cn" => Ok(Self::CommonName(value.to_owned())),
            "dns" => Ok(Self::Dns(value.to_ascii_lowercase())),
            "uri" => Ok(Self::Uri(value.to_owned())),
            "ip" => network(value).map(|(address, bits)| Self::Ip(address, bits)).ok_or(FORMS),
            _ => Err(FORMS),
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommonName(text) => write!(f, "cn:{text}"),
            Self::Dns(text) => write!(f, "dns:{text}"),
            Self::Uri(text) => write!(f, "uri:{text}"),
            Self::Ip(address, bits) => write!(f, "ip:{address}/{bits}"),
        }
    }
}

/// `ADDRESS`, or `ADDRESS/BITS`.
fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(whole);
    (bits <= whole).then_some((address, bits))
}

/// A name constraint, in the words of a name's pattern: `dns:`, `email:`, `uri:`, `ip:`, `dir:`.
struct Constraint(Subtree);

impl FromStr for Constraint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORMS: &str = "write `dns:DOMAIN`, `email:HOST`, `uri:HOST`, `ip:ADDRESS/BITS` or \
                             `dir:O=Acme` (RFC 5280 §4.2.1.10)";
        let (form, value) =
            text.split_once(':').filter(|(_, value)| !value.is_empty()).ok_or(FORMS)?;
        let subtree = match form {
            "dns" => Subtree::Dns(value.to_owned()),
            "email" => Subtree::Email(value.to_owned()),
            "uri" => Subtree::Uri(value.to_owned()),
            "dir" => Subtree::Directory(Name::parse(value).map_err(|_| FORMS)?),
            "ip" => {
                network(value).map(|(address, bits)| Subtree::Ip(address, bits)).ok_or(FORMS)?
            }
            _ => return Err(FORMS),
        };
        Ok(Self(subtree))
    }
}

struct Algorithm(KeyAlgorithm);

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let signs = |algorithm: &&KeyAlgorithm| !algorithm.signatures().is_empty();
        KeyAlgorithm::from_name(name).filter(|one| signs(&one)).map(Self).ok_or_else(|| {
            let names: Vec<_> =
                KeyAlgorithm::ALL.iter().filter(signs).map(|one| one.name()).collect();
            format!("use one of {}", names.join(", "))
        })
    }
}

struct KindName(Kind);

impl FromStr for KindName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let kind = Kind::from_name(name);
        kind.filter(|kind| !matches!(kind, Kind::Root | Kind::Intermediate { .. }))
            .map(Self)
            .ok_or_else(|| {
                let named =
                    Kind::NAMES.into_iter().filter(|name| !matches!(*name, "root" | "issuing"));
                format!("use one of {}", named.collect::<Vec<_>>().join(", "))
            })
    }
}

/// Everything of `[authority]`, or what stands for it when it is left out.
pub(super) fn read(root: &Section<'_>, base: &Path) -> Option<AuthoritySettings> {
    let section = |it: &Section<'_>| section(it, base);
    optional(root, "authority", AuthoritySettings::default(), section)
}

fn section(section: &Section<'_>, base: &Path) -> Option<AuthoritySettings> {
    let default = AuthoritySettings::default();
    let elements: Option<Vec<Location>> = section.list("elements");
    let roots: Vec<_> = section.sections("root").iter().map(|one| ca(one, 30)).collect();
    let issuing: Vec<_> = section.sections("issuing").iter().map(self::issuing).collect();
    let lifetime = lifetime(section, "certificate_lifetime", default.certificate_lifetime, 366);
    let profiles: Vec<_> = section.sections("profile").iter().map(profile).collect();
    let upstreams: Vec<_> =
        section.sections("upstream").iter().map(|one| upstream::read(one, base)).collect();
    let elements = elements?;
    for (index, one) in elements.iter().enumerate() {
        if elements.iter().skip(index + 1).any(|other| other.kind() == one.kind()) {
            section.refuse("elements", "name at most one element of each kind");
            return None;
        }
    }
    let roots: Vec<CaSettings> = roots.into_iter().collect::<Option<_>>()?;
    let issuing: Vec<IssuingSettings> = issuing.into_iter().collect::<Option<_>>()?;
    let settings = AuthoritySettings {
        elements,
        roots: if roots.is_empty() { default.roots } else { roots },
        issuing: if issuing.is_empty() { default.issuing } else { issuing },
        certificate_lifetime: lifetime?,
        upstreams: upstreams.into_iter().collect::<Option<_>>()?,
        profiles: profiles.into_iter().collect::<Option<_>>()?,
    };
    consistent(section, &settings).then_some(settings)
}

/// What no part can tell by itself.
fn consistent(section: &Section<'_>, settings: &AuthoritySettings) -> bool {
    let issuing = || settings.issuing.iter().map(|one| &one.ca);
    let others = || settings.upstreams.iter().map(|one| one.name.as_str());
    let mut names: Vec<&str> =
        settings.roots.iter().chain(issuing()).map(|ca| ca.name.as_str()).chain(others()).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair.first() == pair.last());
    if let Some([name, _]) = twice {
        section.fault(format!("two CAs are named `{name}`; give each its own name"));
        return false;
    }
    for ca in settings.roots.iter().chain(issuing()) {
        if let KeyPlace::Element(reference) = &ca.key
            && reference.name().is_some()
            && !settings.elements.iter().any(|at| at.kind() == reference.kind())
        {
            let kind = reference.kind().name();
            section.refuse("elements", format!("name the {kind} element that `{}` uses", ca.name));
            return false;
        }
    }
    if let Some(first) = settings.issuing.first().filter(|it| it.next) {
        let name = &first.ca.name;
        section.fault(format!("the first issuing CA issues, so `{name}` cannot be the next one"));
        return false;
    }
    if let Some(ca) = issuing().find(|ca| ca.key == KeyPlace::Offline) {
        section.fault(format!("the issuing CA `{}` cannot be offline; only roots can", ca.name));
        return false;
    }
    let mut profiles: Vec<&str> = settings.profiles.iter().map(|one| one.name.as_str()).collect();
    profiles.sort_unstable();
    if let Some([name, _]) = profiles.windows(2).find(|pair| pair.first() == pair.last()) {
        section.fault(format!("two profiles are named `{name}`; give each its own name"));
        return false;
    }
    for upstream in &settings.upstreams {
        if let Some((_, ClientKey::Element(reference))) = &upstream.identity
            && reference.name().is_some()
            && !settings.elements.iter().any(|at| at.kind() == reference.kind())
        {
            let (kind, name) = (reference.kind().name(), &upstream.name);
            section.refuse("elements", format!("name the {kind} element that `{name}` uses"));
            return false;
        }
    }
    for profile in &settings.profiles {
        let invited = matches!(profile.name.as_str(), "client" | "server");
        let fault = match profile.approval {
            Approval::OperatorAlone if profile.name != "client" => {
                "approval = \"operator-alone\" is for the profile `client` alone"
            }
            Approval::Operator if profile.proof == Proof::ByHand && !invited => {
                "nobody asks for what is issued by hand, so that there is nothing to approve"
            }
            _ => "",
        };
        if !fault.is_empty() {
            section.fault(format!("profile `{}`: {fault}", profile.name));
            return false;
        }
        let Some(name) = &profile.issuing else { continue };
        let elsewhere = others().any(|other| other == name);
        if elsewhere && !sent_on(profile) {
            let words = format!(
                "profile `{}` is not for `{name}`: another CA signs what devices ask for, with \
                 neither policies nor must_staple of ours, and not what is issued by hand",
                profile.name
            );
            section.fault(words);
            return false;
        }
        let issues = |it: &IssuingSettings| it.ca.name == *name && !it.next;
        if !elsewhere && !settings.issuing.iter().any(issues) {
            let words = format!("profile `{}` names no issuing CA: `{name}`", profile.name);
            section.fault(words);
            return false;
        }
    }
    true
}

/// Whether a request for it can be sent on as it is.
fn sent_on(profile: &ProfileSettings) -> bool {
    let ours = ["checkpoint", "server", "client", "registration"];
    profile.proof != Proof::ByHand
        && !ours.contains(&profile.name.as_str())
        && profile.policies.is_empty()
        && !profile.must_staple
}

fn ca(section: &Section<'_>, years: u64) -> Option<CaSettings> {
    let name = word(section, "name", "");
    let key = section.or("key", KeyPlace::File);
    let algorithm = section.or("algorithm", Algorithm(KeyAlgorithm::P256));
    let lifetime = lifetime(section, "lifetime", Duration::from_secs(years * YEAR), 100 * 366);
    Some(CaSettings { name: name?, key: key?, algorithm: algorithm?.0, lifetime: lifetime? })
}

fn issuing(section: &Section<'_>) -> Option<IssuingSettings> {
    let subtrees = |key: &'static str| -> Option<Vec<Subtree>> {
        let list: Vec<Constraint> = section.list(key)?;
        Some(list.into_iter().map(|one| one.0).collect())
    };
    let ca = ca(section, 15);
    let (permitted, excluded) = (subtrees("permitted"), subtrees("excluded"));
    let next = section.flag("next", false);
    Some(IssuingSettings { ca: ca?, permitted: permitted?, excluded: excluded?, next: next? })
}

fn profile(section: &Section<'_>) -> Option<ProfileSettings> {
    let name = word(section, "name", "");
    let kind: Option<KindName> = section.required("kind");
    let lifetime = lifetime(section, "lifetime", Duration::from_hours(24), 10 * 366);
    let issuing: Option<Option<String>> = section.optional("issuing");
    let proof = section.or("proof", Proof::Tpm);
    let verdict = section.flag("verdict", true);
    let approval = section.or("approval", Approval::None);
    let approval_lasts = section
        .duration("approval_lasts", Duration::from_hours(7 * 24))
        .and_then(|lasts| within(section, "approval_lasts", lasts, 60, 366 * 86400));
    let names: Option<Vec<NamePattern>> = section.list("names");
    let keys: Option<Vec<Algorithm>> = section.list("keys");
    let must_staple = section.flag("must_staple", false);
    let policies: Option<Vec<String>> = section.list("policies");
    Some(ProfileSettings {
        name: name?,
        kind: kind?.0,
        lifetime: lifetime?,
        issuing: issuing?,
        proof: proof?,
        verdict: verdict?,
        approval: approval?,
        approval_lasts: approval_lasts?,
        names: names?,
        keys: keys?.into_iter().map(|one| one.0).collect(),
        must_staple: must_staple?,
        policies: policies?,
    })
}

fn lifetime(
    section: &Section<'_>,
    key: &'static str,
    default: Duration,
    days: u64,
) -> Option<Duration> {
    let lifetime = section.duration(key, default)?;
    within(section, key, lifetime, 60, days * 86400)
}
