//! The CA: roots, issuing CAs below them, and what they sign. Whether somebody deserves a certificate
//! is decided elsewhere.
//!
//! Keys are in files or in elements; several issuing CAs and roots stand beside each other while one
//! takes over from another.

mod chain;
mod crl;
mod keys;
mod profile;
mod responder;
mod roots;
mod upstream;

pub use crl::Published;
pub use keys::CaKey;
pub use profile::{Claimant, DEVICE, Misfit, Profile, WARNED, told};
pub use responder::Status;
pub use roots::signs_elsewhere;
pub use upstream::{Declined, UPSTREAM, Upstream, Wanted};

use crate::config::{CaSettings, Config, CrlSettings, OcspListener};
use crate::state::StateDir;
use crate::store::NewCertificate;
use crate::{Error, clock};
use crl::Lists;
use responder::Delegates;
use roots::{Fallen, Offline};
use std::fmt::Write as _;
use std::net::IpAddr;
use touchstone_appraise::Confirmation;
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{AlternativeName, Certificate, Name, Purpose, TrustStore};
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_drive::element::Elements;
use touchstone_enroll::scep::{Replying, encode_next_ca_certificates};

/// Clocks differ: a certificate is valid from so many seconds ago, or a tenth of its life.
const BACKDATED: u64 = 60;

/// The CA and its keys.
pub struct Authority {
    /// The one in force, and those before it.
    roots: Vec<Certificate>,
    links: Vec<Certificate>,
    /// Roots that sign here: they tell what became of the CAs below them, as issuing CAs do.
    signing: Vec<Issuing>,
    /// Roots that sign elsewhere.
    offline: Vec<Offline>,
    fallen: Fallen,
    /// The one that issues, and others that answer for what they issued.
    issuing: Vec<Issuing>,
    upstreams: Vec<Upstream>,
    profiles: Vec<Profile>,
    ocsp: OcspListener,
    crl: CrlSettings,
    lists: Lists,
    state: StateDir,
}

/// An issuing CA, or a root that signs here.
pub struct Issuing {
    /// Its name in the configuration.
    pub name: String,
    /// SHA-256 of its key, hexadecimal: what rows call it.
    pub id: String,
    /// Its certificate.
    pub certificate: Certificate,
    /// It is to come, and issues nothing yet.
    pub next: bool,
    key: CaKey,
    delegates: Delegates,
}

/// Whom a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// A device: its LDevID.
    Device,
    /// A checkpoint: server to devices, client of the fleet.
    Checkpoint,
    /// Some other server.
    Server,
    /// Some other client.
    Client,
    /// Whoever answers for the CA by OCSP.
    Responder,
    /// A CA.
    Authority,
    /// Something else, by a profile of the configuration.
    Other,
    /// The registration authority in front of the CA: this fleet's own.
    Registration,
}

impl For {
    /// The word in rows and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Checkpoint => "checkpoint",
            Self::Server => "server",
            Self::Client => "client",
            Self::Responder => "ocsp",
            Self::Authority => "ca",
            Self::Other => "other",
            Self::Registration => "registration",
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Device | Self::Other => Kind::Device,
            Self::Checkpoint => Kind::Peer,
            Self::Server => Kind::Server,
            Self::Client => Kind::Client,
            Self::Responder => Kind::OcspResponder,
            Self::Authority => Kind::Intermediate { path_len: 0 },
            Self::Registration => Kind::RegistrationAuthority,
        }
    }
}

/// A certificate that was signed. It does not count before it is recorded.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    what: For,
    profile: String,
    issuer: String,
    crl: String,
}

impl Issuing {
    fn new(name: &str, certificate: Certificate, key: CaKey, next: bool) -> Self {
        let (id, delegates) = (sha256_hex(certificate.spki_der()), Delegates::default());
        Self { name: name.to_owned(), id, certificate, next, key, delegates }
    }
}

impl Authority {
    /// Opens the CA of the state directory, and makes what is not there.
    pub async fn open(state: &StateDir, config: &Config) -> Result<Self, Error> {
        let settings = &config.authority;
        let elements = Elements { at: settings.elements.clone(), state: state.file("element") };
        let cas: Vec<CaSettings> = settings
            .roots
            .iter()
            .chain(settings.issuing.iter().map(|issuing| &issuing.ca))
            .cloned()
            .collect();
        let mut keys = keys::open(state, &elements, &cas).await?.into_iter();
        let mut roots = Vec::new();
        for ca in &settings.roots {
            roots.push(chain::root(state, &config.name, ca, keys.next().flatten()).await?);
        }
        let links = chain::links(state, &roots).await?;
        let status = chain::Where { crl: &config.crl, ocsp: &config.ocsp };
        let mut issuing = Vec::new();
        for ca in &settings.issuing {
            let key = keys.next().flatten().ok_or(Error::Closed)?;
            issuing
                .push(chain::issuing(state, &config.name, ca, key, &roots, &links, status).await?);
        }
        let mut upstreams = Vec::new();
        for upstream in &settings.upstreams {
            upstreams.push(Upstream::open(upstream, &elements).await?);
        }
        let certificates = roots.iter().map(|root| root.certificate.clone()).collect();
        let (mut signing, mut offline) = (Vec::new(), Vec::new());
        for root in roots {
            match root.key {
                Some(key) => signing.push(Issuing::new(&root.name, root.certificate, key, false)),
                None => offline.push(Offline::new(&root.name, root.certificate)),
            }
        }
        Ok(Self {
            upstreams,
            roots: certificates,
            links,
            signing,
            offline,
            fallen: Fallen::default(),
            state: state.clone(),
            issuing,
            profiles: profile::all(settings)?,
            ocsp: config.ocsp.clone(),
            crl: config.crl.clone(),
            lists: Lists::default(),
        })
    }

    /// The roots: the one in force, and those before it.
    pub fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    /// The issuing CAs, the one that issues first.
    pub fn issuing(&self) -> &[Issuing] {
        &self.issuing
    }

    /// Other CAs, in front of which the fleet is a registration authority.
    pub fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }

    /// The other CA that signs by this profile, if one does.
    pub fn upstream_of(&self, profile: &Profile) -> Option<&Upstream> {
        let name = profile.issuing.as_deref()?;
        self.upstreams.iter().find(|upstream| upstream.name == name)
    }

    /// Whoever signs here: roots, then issuing CAs.
    fn signers(&self) -> impl Iterator<Item = &Issuing> {
        self.signing.iter().chain(&self.issuing)
    }

    /// The certificate of the CA of that name, root or not.
    pub fn certificate_of(&self, name: &str) -> Option<&Certificate> {
        let here = self.signers().map(|ca| (&ca.name, &ca.certificate));
        let elsewhere = self.offline.iter().map(|root| (&root.name, &root.certificate));
        here.chain(elsewhere).find(|(known, _)| *known == name).map(|(_, found)| found)
    }

    /// Everything that a client needs to believe a certificate of ours (RFC 7030 §4.1.3).
    pub fn certificates(&self) -> Vec<Certificate> {
        let issuing = self.issuing.iter().filter(|ca| !self.is_revoked(ca));
        let issuing = issuing.map(|ca| &ca.certificate);
        issuing.chain(&self.roots).chain(&self.links).cloned().collect()
    }

    /// A certificate of ours with its issuers, for whoever trusts one root only.
    pub fn chain(&self, leaf: &Certificate) -> Vec<Certificate> {
        let mut chain = vec![leaf.clone()];
        let issuing = self.issuing.iter().map(|ca| &ca.certificate);
        chain.extend(
            issuing.filter(|ca| leaf.verify_signature(&AwsLc, ca.spki_der()).is_ok()).cloned(),
        );
        chain.extend(self.links.iter().filter(|link| self.is_of_root(link)).cloned());
        chain
    }

    /// Whether a link is of the root in force, for those who know a former one.
    fn is_of_root(&self, link: &Certificate) -> bool {
        self.roots.first().is_some_and(|root| root.spki_der() == link.spki_der())
    }

    /// The certificates of the CA to come, signed by the CA that is (RFC 8894 §4.7); `None` where none
    /// is to come.
    pub async fn next(&self) -> Result<Option<Vec<u8>>, Error> {
        let mut next: Vec<Certificate> =
            self.issuing.iter().filter(|ca| ca.next).map(|ca| ca.certificate.clone()).collect();
        let Some(first) = self.issuing.first().filter(|_| !next.is_empty()) else {
            return Ok(None);
        };
        next.extend(self.roots.iter().chain(&self.links).cloned());
        let (certificate, key) = (first.certificate.clone(), first.key.waiting());
        // It may be an element that signs.
        let signed = tokio::task::spawn_blocking(move || {
            let by = Replying { certificate: &certificate, key: &key };
            encode_next_ca_certificates(&AwsLc, &next, &by, clock::now())
        });
        let signed = signed.await.map_err(|_| Error::Closed)?;
        signed.map(Some).map_err(Error::crypto("the next CA's certificates"))
    }

    /// The profile of that name.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }

    /// The same, where it has to be there.
    pub fn needs_profile(&self, name: &str) -> Result<&Profile, Error> {
        self.profile(name).ok_or_else(|| Error::Unknown { what: "profile", name: name.to_owned() })
    }

    /// The certificates of the CA itself, as they are recorded.
    pub fn own(&self) -> Vec<Issued> {
        let own = |certificate: &Certificate, profile: &str| {
            // The root that signed it, and the list of that root.
            let here = self.signing.iter().map(|root| (&root.name, &root.certificate));
            let elsewhere = self.offline.iter().map(|root| (&root.name, &root.certificate));
            let by = here.chain(elsewhere).find(|(_, root)| {
                certificate.issuer_der() == root.subject_der()
                    && certificate.verify_signature(&AwsLc, root.spki_der()).is_ok()
            });
            Issued {
                certificate: certificate.clone(),
                what: For::Authority,
                profile: profile.to_owned(),
                issuer: by.map(|(_, root)| sha256_hex(root.spki_der())).unwrap_or_default(),
                crl: by.map(|(name, _)| name.clone()).unwrap_or_default(),
            }
        };
        let roots = self.roots.iter().map(|root| own(root, "root"));
        let links = self.links.iter().map(|link| own(link, "link"));
        let issuing = self.issuing.iter().map(|ca| own(&ca.certificate, "issuing"));
        roots.chain(links).chain(issuing).collect()
    }

    /// Signs a certificate for a key. Its issuing CA is the profile's, or the first.
    pub async fn issue(
        &self,
        profile: &Profile,
        subject: Name,
        names: Vec<AlternativeName>,
        spki: &[u8],
        lifetime: u64,
    ) -> Result<Issued, Error> {
        let wanted = profile.issuing.as_deref();
        let issuing = match wanted {
            Some(name) => self.issuing.iter().find(|ca| ca.name == name),
            None => self.issuing.first(),
        };
        let issuing = issuing.ok_or_else(|| Error::Unknown {
            what: "issuing CA",
            name: wanted.unwrap_or_default().to_owned(),
        })?;
        let now = clock::now();
        if issuing.certificate.not_after() <= now {
            let words =
                format!("the issuing CA `{}` is over; put a new one above it", issuing.name);
            return Err(Error::Conflict(words));
        }
        if self.is_revoked(issuing) {
            let name = &issuing.name;
            let words =
                format!("the root has revoked the issuing CA `{name}`; put a new one above it");
            return Err(Error::Conflict(words));
        }
        let backdated = now.saturating_sub(BACKDATED.min(lifetime / 10));
        let from = backdated.max(issuing.certificate.not_before());
        let mut template =
            Template::new(profile.content.clone(), subject, from, now.saturating_add(lifetime))
                .with_names(names);
        if let Some(url) = &self.ocsp.url {
            template = template.with_ocsp(url);
        }
        let serial = new_serial()?;
        let crl = self.crl.list_of(&issuing.name, &serial);
        template.serial = Some(serial);
        if let Some(url) = self.crl.url_of(&crl) {
            template = template.with_crls(&[&url]);
            template.delta_crl_urls.extend(self.crl.delta_url_of(&crl));
        }
        template.issuer_url = self.crl.issuer_url_of(&issuing.name);
        let waiting = template
            .to_be_signed(&AwsLc, &issuing.certificate, issuing.key.algorithm(), spki)
            .map_err(Error::crypto("a certificate"))?;
        let certificate = issuing.key.finish("a certificate", waiting).await?;
        if issuing.certificate.constrains_names() {
            self.within_constraints(issuing, &certificate)?;
        }
        Ok(Issued {
            certificate,
            what: profile.what,
            profile: profile.name.clone(),
            issuer: issuing.id.clone(),
            crl,
        })
    }

    /// What nobody would believe is not handed out (RFC 5280 §4.2.1.10).
    fn within_constraints(&self, issuing: &Issuing, new: &Certificate) -> Result<(), Error> {
        let trust = TrustStore::new(self.roots.clone());
        let issuers = [std::slice::from_ref(&issuing.certificate), &self.links].concat();
        let valid = trust.validate(&AwsLc, new, &issuers, clock::now(), Purpose::Any);
        valid.map(drop).map_err(|error| {
            Error::Conflict(format!("the issuing CA `{}` may not: {error}", issuing.name))
        })
    }
}

impl Issued {
    /// As it is recorded.
    pub fn row(&self, device: Option<&str>) -> NewCertificate {
        let certificate = &self.certificate;
        NewCertificate {
            serial: certificate.serial(),
            device: device.map(str::to_owned),
            kind: self.what.name(),
            profile: self.profile.clone(),
            issuer: self.issuer.clone(),
            crl: self.crl.clone(),
            subject: certificate.subject().to_owned(),
            spki_sha256: sha256_hex(certificate.spki_der()),
            jkt: thumbprint(certificate.spki_der()),
            der: certificate.der().to_vec(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        }
    }
}

/// RFC 7638 thumbprint of a key; empty for a kind of key that no result can be bound to.
pub fn thumbprint(spki: &[u8]) -> String {
    let confirmation = Confirmation::of(&AwsLc, spki).ok();
    confirmation.and_then(|it| it.jkt().map(str::to_owned)).unwrap_or_default()
}

/// SHA-256 in hexadecimal.
pub fn sha256_hex(octets: &[u8]) -> String {
    AwsLc.hash(HashAlgorithm::Sha256, &[octets]).to_hex()
}

/// Octets in hexadecimal.
pub fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut hex, octet| {
        // Writing to a String does not fail.
        let _ = write!(hex, "{octet:02x}");
        hex
    })
}

/// Reads a name on the command line or in the configuration: an address, a URI, or a host.
pub fn alternative_name(text: &str) -> AlternativeName {
    match text.parse::<IpAddr>() {
        Ok(address) => AlternativeName::Ip(address),
        Err(_) if text.contains("://") || text.starts_with("urn:") => {
            AlternativeName::Uri(text.to_owned())
        }
        Err(_) => AlternativeName::Dns(text.to_owned()),
    }
}

/// 16 random octets, positive and of one length (RFC 5280 §4.1.2.2).
fn new_serial() -> Result<Vec<u8>, Error> {
    let mut serial = vec![0; 16];
    AwsLc.random(&mut serial).map_err(Error::crypto("a serial number"))?;
    serial.first_mut().into_iter().for_each(|first| *first = *first & 0x3F | 0x40);
    Ok(serial)
}

/// `CN=..`.
pub fn common_name(text: &str) -> Result<Name, Error> {
    Name::common_name(text).map_err(Error::crypto("a subject's name"))
}

#[cfg(test)]
mod tests;
