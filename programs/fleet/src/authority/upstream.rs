//! Somebody else's CA, in front of which the fleet is a registration authority (RFC 7030 §1): who gets
//! a certificate, and for which names and keys, is decided here; what that CA signs is looked at before
//! it is recorded.
//!
//! What is not possible this way: to have it certify less than a request says, mark or shorten a
//! certificate, or revoke one. EST has no words for that.

use super::{Issued, Profile};
use crate::config::{ClientKey, UpstreamSettings};
use crate::{Error, clock, trust};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use touchstone_certs::{AlternativeName, Certificate, CertificateRequest, Name};
use touchstone_crypto::{Crypto, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_drive::element::Elements;
use touchstone_drive::http::{Address, HttpClient, HttpError, converse};
use touchstone_drive::{Reply, StapledStatus};
use touchstone_element::ElementSigner;
use touchstone_engine::{AskKind, Fault as _};
use touchstone_enroll::est::{self, Client, ClientSetup, Event, Want};
use touchstone_enroll::exchange::{Headers, Limits, Request};
use touchstone_httpauth::{Basic, Challenge};
use touchstone_tls::{ClientConfig, Identity};
use zeroize::Zeroizing;

/// What rows call such an issuer: this, its name in the configuration, `/`, and half of the SHA-256 of
/// the issuer's name in the certificate, since several CAs may stand behind one address.
pub const UPSTREAM: &str = "upstream:";
/// Conversations at once, and those that wait for their turn.
const AT_ONCE: usize = 8;
const WAITING: usize = 256;
/// For so long the CA's certificates are taken for what they were, in seconds.
const KNOWN: u64 = 3600;
/// Clocks differ by so much, in seconds.
const SLACK: u64 = 300;
/// When to come back to a CA that is not there, in seconds.
const LATER: u32 = 30;
const AGENT: &str = concat!("touchstone-fleet/", env!("CARGO_PKG_VERSION"));

/// Somebody else's CA.
pub struct Upstream {
    /// Its name in the configuration.
    pub name: String,
    address: Address,
    label: Option<String>,
    anchors: Vec<Certificate>,
    config: ClientConfig,
    password: Option<(String, Zeroizing<String>)>,
    patience: Duration,
    turns: Semaphore,
    waiting: Semaphore,
    idle: Mutex<Vec<HttpClient>>,
    known: Mutex<(u64, Vec<Certificate>)>,
}

/// Why another CA has issued nothing that counts. One variant per check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declined {
    /// It is not there.
    Unreachable(String),
    /// Too many wait for it.
    Busy,
    /// Somebody there has yet to decide: come back after so many seconds.
    Pending(u32),
    /// It does not know the fleet.
    Unauthorized,
    /// It could not.
    Failed(u16),
    /// It said no to the request, in its words.
    Refused(String),
    /// What it sent is not the answer to what was asked.
    Reply {
        /// The stable code of what is wrong.
        code: &'static str,
        /// The same in words.
        text: String,
    },
    /// The request does not say what is to be certified, and another CA signs what it says.
    Subject(String),
    /// The device is under a warning, and the certificate would not say so.
    Warned,
    /// The certificate has another subject than was asked for.
    OtherSubject(String),
    /// The certificate has a name that was not asked for.
    MoreNames(String),
    /// The certificate is a CA's.
    IsCa,
    /// The certificate is not in force now.
    NotNow,
    /// The certificate lives longer than the profile allows.
    TooLong(u64),
    /// The certificate has the serial number of another one of the same CA.
    SerialTwice,
}

impl Declined {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "est.upstream.unreachable",
            Self::Busy => "est.upstream.busy",
            Self::Pending(_) => "est.upstream.pending",
            Self::Unauthorized => "est.upstream.unauthorized",
            Self::Failed(_) => "est.upstream.failed",
            Self::Refused(_) => "est.upstream.refused",
            Self::Reply { .. } => "est.upstream.reply",
            Self::Subject(_) => "est.upstream.subject",
            Self::Warned => "est.upstream.warned",
            Self::OtherSubject(_) => "est.upstream.other-subject",
            Self::MoreNames(_) => "est.upstream.more-names",
            Self::IsCa => "est.upstream.is-ca",
            Self::NotNow => "est.upstream.not-now",
            Self::TooLong(_) => "est.upstream.too-long",
            Self::SerialTwice => "est.upstream.serial",
        }
    }

    /// Whether the other CA has signed something that was not accepted.
    pub const fn is_signed(&self) -> bool {
        matches!(
            self,
            Self::Reply { .. }
                | Self::OtherSubject(_)
                | Self::MoreNames(_)
                | Self::IsCa
                | Self::NotNow
                | Self::TooLong(_)
                | Self::SerialTwice
        )
    }

    /// Whether the client may come back as it is, and after how many seconds.
    pub const fn again(&self) -> Option<u32> {
        match self {
            Self::Refused(_) | Self::Subject(_) | Self::Warned => None,
            Self::Pending(seconds) => Some(*seconds),
            _ => Some(LATER),
        }
    }
}

impl std::fmt::Display for Declined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the CA behind this fleet is not there: {why}"),
            Self::Busy => f.write_str("too many wait for the CA behind this fleet"),
            Self::Pending(_) => f.write_str("the CA behind this fleet has yet to decide"),
            Self::Unauthorized => {
                f.write_str("the CA behind this fleet does not know the fleet; ask its operator")
            }
            Self::Failed(status) => write!(f, "the CA behind this fleet answered {status}"),
            Self::Refused(words) => write!(f, "the CA behind this fleet refused: {words}"),
            Self::Reply { text, .. } => write!(f, "the CA's reply is not believed: {text}"),
            Self::Subject(wanted) => write!(
                f,
                "the CA behind this fleet signs what a request says; have it say `{wanted}`"
            ),
            Self::Warned => f.write_str(
                "under a warning a certificate is short and says so, which the CA behind this \
                 fleet cannot be asked for; heal the device first",
            ),
            Self::OtherSubject(name) => {
                write!(f, "the CA certified the subject `{name}`, which was not asked for")
            }
            Self::MoreNames(name) => {
                write!(f, "the CA certified `{name}`, which was not asked for")
            }
            Self::IsCa => f.write_str("the CA issued a CA's certificate, which was not asked for"),
            Self::NotNow => f.write_str("the CA issued a certificate that is not in force now"),
            Self::TooLong(most) => write!(
                f,
                "the CA's certificate lives longer than the {most} s of the profile; raise its \
                 `lifetime`, or have the CA issue shorter ones"
            ),
            Self::SerialTwice => f.write_str(
                "the CA behind this fleet has used the certificate's serial number before; \
                 tell its operator",
            ),
        }
    }
}

/// What another CA is asked to sign.
pub struct Wanted<'a> {
    /// The request, whose signature is good.
    pub request: &'a [u8],
    /// The subject that was decided.
    pub subject: &'a Name,
    /// The names that were decided.
    pub names: &'a [AlternativeName],
    /// Whether its holder is under a warning.
    pub warned: bool,
}

impl Upstream {
    /// What the configuration says of it; it is not spoken with yet.
    pub(crate) async fn open(
        settings: &UpstreamSettings,
        elements: &Elements,
    ) -> Result<Self, Error> {
        let files = |paths: &[std::path::PathBuf]| {
            let mut all = Vec::new();
            for path in paths {
                all.extend(trust::certificates(path)?);
            }
            Ok::<_, Error>(all)
        };
        let (roots, anchors) = (files(&settings.trust)?, files(&settings.anchors)?);
        let ders: Vec<Vec<u8>> = roots.iter().map(|root| root.der().to_vec()).collect();
        let status = StapledStatus::new(Arc::new(AwsLc), &ders).with_grace(SLACK);
        let mut setup = touchstone_tls::ClientSetup::new(&ders)
            .alpn(&[b"http/1.1"])
            .with_tls12()
            .status_check(Arc::new(status));
        let unusable = Error::crypto::<touchstone_tls::ConfigError>;
        if let Some((path, key)) = &settings.identity {
            let chain = trust::certificates(path)?;
            let key = signer(key, elements).await?;
            if chain.first().is_none_or(|leaf| leaf.spki_der() != key.spki_der()) {
                let words = "is not the certificate of the key beside it; give both of one";
                return Err(Error::content(path, words));
            }
            let chain: Vec<Vec<u8>> = chain.iter().map(|it| it.der().to_vec()).collect();
            let identity = Identity::from_signer(&chain, key);
            setup = setup.identity(identity.map_err(unusable("a client for another CA"))?);
        }
        let password = match &settings.password {
            Some((user, secret)) => {
                let password = secret.read().map_err(Error::file(&secret.path()))?;
                Some((user.clone(), password))
            }
            None => None,
        };
        Ok(Self {
            name: settings.name.clone(),
            address: settings.address.clone(),
            label: settings.label.clone(),
            anchors: if anchors.is_empty() { roots } else { anchors },
            config: setup.build().map_err(unusable("a client for another CA"))?,
            password,
            patience: settings.patience,
            turns: Semaphore::new(AT_ONCE),
            waiting: Semaphore::new(WAITING),
            idle: Mutex::default(),
            known: Mutex::default(),
        })
    }

    /// To whom its certificates lead.
    pub fn anchors(&self) -> &[Certificate] {
        &self.anchors
    }

    /// Whether it is there, by its name, its certificates lead to the anchors, and it knows the fleet.
    pub async fn check(&self) -> Result<(), Declined> {
        self.ask(Want::CaCerts, None).await?;
        self.knows_us().await
    }

    /// RFC 7030 §3.2.3: who asks is looked at before what is asked, so that nothing at all is asked for, and
    /// only a no to whoever asks counts.
    async fn knows_us(&self) -> Result<(), Declined> {
        let unreachable = |error: HttpError| Declined::Unreachable(error.to_string());
        let operation = est::Operation::SimpleEnroll;
        let path = est::path_with(operation, self.label.as_deref());
        let headers = Headers::new().with("content-type", est::REQUEST_TYPE);
        let mut request = Request { method: operation.method(), path, headers, body: Vec::new() };
        let (mut link, _) = self.link()?;
        let mut answer = link.request(&request).await.map_err(unreachable)?;
        if answer.status == 401 {
            let challenges: Vec<&str> = answer.headers.all("www-authenticate").collect();
            let (method, path) = (request.method.name(), &request.path);
            let question = format!("{method} {path}\n{}", challenges.join("\n"));
            let Reply::Bytes(header) = self.secret(question.as_bytes()) else {
                return Err(Declined::Unauthorized);
            };
            let header = String::from_utf8(header).map_err(|_| Declined::Unauthorized)?;
            request.headers = request.headers.with("authorization", &header);
            // It may have closed behind its no.
            let (mut link, _) = self.link()?;
            answer = link.request(&request).await.map_err(unreachable)?;
        }
        match answer.status {
            401 | 403 => Err(Declined::Unauthorized),
            404 => Err(Declined::Failed(404)),
            _ => Ok(()),
        }
    }

    /// Its certificates: what it says they are, or what is known of them while it is not there.
    pub async fn certificates(&self) -> Vec<Certificate> {
        let now = clock::now();
        let (at, known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !known.is_empty() && at.saturating_add(KNOWN) > now {
            return known;
        }
        let told = match self.ask(Want::CaCerts, None).await {
            Ok(Event::Authorities { believed, .. }) => believed,
            Ok(_) => Vec::new(),
            Err(declined) => {
                tracing::warn!(code = declined.code(), upstream = self.name, "{declined}");
                Vec::new()
            }
        };
        if told.is_empty() {
            return if known.is_empty() { self.anchors.clone() } else { known };
        }
        let mut all = told;
        all.extend(self.anchors.iter().cloned());
        all.dedup();
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = (now, all.clone());
        all
    }

    /// Has it sign, and looks at what came.
    pub async fn issue(&self, profile: &Profile, wanted: &Wanted<'_>) -> Result<Issued, Declined> {
        if wanted.warned {
            return Err(Declined::Warned);
        }
        let request = CertificateRequest::decode(wanted.request);
        let said = request.as_ref().map(|it| it.subject().to_string()).unwrap_or_default();
        // As text, since clients differ in the string types that they use.
        if said != wanted.subject.to_string() {
            return Err(Declined::Subject(wanted.subject.to_string()));
        }
        match self.ask(Want::Enroll, Some(wanted.request)).await? {
            Event::Issued { certificate, .. } => {
                let now = clock::now();
                checked(&certificate, wanted.subject, wanted.names, (profile.lifetime, now))?;
                let by: String =
                    super::sha256_hex(certificate.issuer_der()).chars().take(32).collect();
                let issuer = format!("{UPSTREAM}{}/{by}", self.name);
                Ok(Issued {
                    certificate,
                    what: profile.what,
                    profile: profile.name.clone(),
                    issuer,
                    crl: String::new(),
                })
            }
            _ => Err(Declined::Failed(200)),
        }
    }

    async fn ask(&self, want: Want, request: Option<&[u8]>) -> Result<Event, Declined> {
        let _place = self.waiting.try_acquire().map_err(|_| Declined::Busy)?;
        let _turn = self.turns.acquire().await.map_err(|_| Declined::Busy)?;
        let mut id = [0; 16];
        AwsLc.random(&mut id).map_err(|error| Declined::Unreachable(error.to_string()))?;
        let setup = ClientSetup {
            crypto: Arc::new(AwsLc),
            now: clock::now(),
            origin: self.address.origin(),
            label: self.label.clone(),
            anchors: self.anchors.clone(),
            fingerprint: None,
            csrattrs: false,
            // Whoever asked waits for it, and comes back with the same request.
            retries: 0,
            longest_pause: self.patience,
        };
        let limits = Limits { deadline: self.patience, ..Limits::default() };
        let client = Client::of(want, setup, id, limits);
        let (mut link, used) = self.link()?;
        // A connection that idled may have been closed meanwhile.
        let failures = if used { 2 } else { 1 };
        let owner = |kind: AskKind, question: &[u8], _| match (kind, request) {
            (AskKind::Request, Some(request)) => Reply::Bytes(request.to_vec()),
            (AskKind::Secret, _) => self.secret(question),
            _ => Reply::Failed,
        };
        let ended = converse(client, &mut link, failures, owner).await;
        let ended = ended.map_err(|error| Declined::Unreachable(error.to_string()))?;
        let told = match ended {
            Ok(mut events) => events.pop().ok_or(Declined::Failed(200)),
            Err(error) => {
                let post = error.post.as_ref().map(ToString::to_string);
                Err(declined(error.end, error.events.last(), post))
            }
        };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if link.is_open() && idle.len() < AT_ONCE {
            idle.push(link);
        }
        told
    }

    fn link(&self) -> Result<(HttpClient, bool), Declined> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(link) = idle {
            return Ok((link, true));
        }
        let link =
            HttpClient::secure(self.address.clone(), self.config.clone(), AGENT, self.patience);
        let link = link.map_err(|error| Declined::Unreachable(error.to_string()))?;
        Ok((link, false))
    }

    /// HTTP Digest where it is offered with SHA-256, else Basic (RFC 7030 §3.2.3).
    fn secret(&self, question: &[u8]) -> Reply {
        let Some((user, password)) = &self.password else { return Reply::Failed };
        let text = String::from_utf8_lossy(question);
        let (request, challenges) = text.split_once('\n').unwrap_or_default();
        let (method, path) = request.split_once(' ').unwrap_or_default();
        if let Some(challenge) = challenges.lines().find_map(|it| Challenge::parse(it).ok()) {
            let header = challenge.answer(&AwsLc, user, password, method, path);
            return header.map_or(Reply::Failed, |it| Reply::Bytes(it.into_bytes()));
        }
        let basic = |line: &str| line.trim().to_ascii_lowercase().starts_with("basic");
        match Basic::new(user, password) {
            Ok(basic_of) if challenges.lines().any(basic) => {
                Reply::Bytes(basic_of.header().as_bytes().to_vec())
            }
            _ => Reply::Failed,
        }
    }
}

/// Why a conversation has brought nothing.
fn declined(end: Option<est::Error>, event: Option<&Event>, post: Option<String>) -> Declined {
    let seconds = |after: Duration| u32::try_from(after.as_secs()).unwrap_or(u32::MAX);
    match (end, event) {
        (Some(est::Error::StillPending), Some(Event::Later { after })) => {
            Declined::Pending(seconds(*after).clamp(1, 86_400))
        }
        (Some(est::Error::Unauthorized | est::Error::OwnerFailed), _) => Declined::Unauthorized,
        (Some(est::Error::NotOffered), _) => Declined::Failed(404),
        (Some(est::Error::Refused { status }), _) if status >= 500 => Declined::Failed(status),
        (Some(est::Error::Refused { status }), Some(Event::Refused { text, .. })) => {
            let words = if text.is_empty() { "it does not say why" } else { text };
            Declined::Refused(format!("{words} ({status})"))
        }
        (Some(est::Error::TimedOut) | None, _) => {
            Declined::Unreachable(post.unwrap_or_else(|| "no answer in time".to_owned()))
        }
        (Some(error), _) => Declined::Reply { code: error.code(), text: error.to_string() },
    }
}

/// Same key and chain are the engine's to see; here is that it says no more than was asked.
fn checked(
    got: &Certificate,
    subject: &Name,
    names: &[AlternativeName],
    (lifetime, now): (u64, u64),
) -> Result<(), Declined> {
    if got.is_ca() {
        return Err(Declined::IsCa);
    }
    let certified = Name::decode(got.subject_der()).map(|it| it.to_string());
    if certified.as_deref().ok() != Some(subject.to_string().as_str()) {
        return Err(Declined::OtherSubject(got.subject().to_owned()));
    }
    if let Some(name) = got.alternative_names().iter().find(|name| !names.contains(name)) {
        return Err(Declined::MoreNames(super::profile::told(name)));
    }
    if got.not_before() > now.saturating_add(SLACK) || got.not_after() <= now {
        return Err(Declined::NotNow);
    }
    if got.not_after() > now.saturating_add(lifetime).saturating_add(SLACK) {
        return Err(Declined::TooLong(lifetime));
    }
    Ok(())
}

/// The key of the certificate that the fleet shows.
async fn signer(key: &ClientKey, elements: &Elements) -> Result<Arc<dyn Signer>, Error> {
    match key {
        ClientKey::File(secret) => {
            let path = secret.path();
            let pem = secret.read().map_err(Error::file(&path))?;
            let key = SoftSigner::from_pkcs8_pem(&pem);
            Ok(Arc::new(key.map_err(|error| Error::content(&path, error.to_string()))?))
        }
        ClientKey::Element(reference) => {
            let (elements, reference) = (elements.clone(), reference.clone());
            let opened = tokio::task::spawn_blocking(move || {
                let failed = |error| Error::element(&reference.to_string())(error);
                let (element, name) = elements.open(&reference).map_err(failed)?;
                ElementSigner::new(Arc::new(Mutex::new(element)), &name).map_err(failed)
            });
            Ok(Arc::new(opened.await.map_err(|_| Error::Closed)??))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_certs::issue::{Kind, Template};
    use touchstone_crypto::SignatureAlgorithm;

    const NOW: u64 = 1_800_000_000;

    fn made(change: impl FnOnce(&mut Template)) -> Certificate {
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let subject = Name::common_name("pump-3").unwrap();
        let mut template = Template::new(Kind::Client, subject, NOW - 60, NOW + 3600)
            .with_names(vec![AlternativeName::Dns("pump-3.example".into())]);
        change(&mut template);
        template.self_sign(&AwsLc, &key).unwrap()
    }

    fn judged(got: &Certificate) -> Result<(), Declined> {
        let names = [AlternativeName::Dns("pump-3.example".into())];
        checked(got, &Name::common_name("pump-3").unwrap(), &names, (3600, NOW))
    }

    #[test]
    fn a_certificate_says_no_more_than_was_asked() {
        assert_eq!(judged(&made(|_| {})), Ok(()));
        assert_eq!(judged(&made(|it| it.names.clear())), Ok(()), "less is not more");
        let other = made(|it| it.subject = Name::common_name("pump-4").unwrap());
        assert_eq!(judged(&other), Err(Declined::OtherSubject("CN=pump-4".into())));
        let more = made(|it| it.names.push(AlternativeName::Dns("admin.example".into())));
        assert_eq!(judged(&more), Err(Declined::MoreNames("dns:admin.example".into())));
        let ca = made(|it| it.profile = Kind::Intermediate { path_len: 0 }.into());
        assert_eq!(judged(&ca), Err(Declined::IsCa));
        let long = made(|it| it.not_after = NOW + 3600 + SLACK + 1);
        assert_eq!(judged(&long), Err(Declined::TooLong(3600)));
        let over = made(|it| it.not_after = NOW);
        assert_eq!(judged(&over), Err(Declined::NotNow));
        let early = made(|it| it.not_before = NOW + SLACK + 1);
        assert_eq!(judged(&early), Err(Declined::NotNow));
    }

    #[test]
    fn every_end_of_a_conversation_has_its_own_word() {
        let later = Event::Later { after: Duration::from_secs(7) };
        let no = |text: &str| Event::Refused { status: 400, code: None, text: text.into() };
        let of = |end, event: Option<&Event>| declined(Some(end), event, None);
        assert_eq!(of(est::Error::StillPending, Some(&later)), Declined::Pending(7));
        assert_eq!(of(est::Error::Unauthorized, None), Declined::Unauthorized);
        assert_eq!(of(est::Error::OwnerFailed, None), Declined::Unauthorized);
        assert_eq!(of(est::Error::NotOffered, None), Declined::Failed(404));
        assert_eq!(of(est::Error::Refused { status: 502 }, None), Declined::Failed(502));
        let refused = of(est::Error::Refused { status: 400 }, Some(&no("no such name")));
        assert_eq!(refused, Declined::Refused("no such name (400)".into()));
        let reply = of(est::Error::AnotherKey, None);
        assert!(matches!(reply, Declined::Reply { code: "est.refused.another-key", .. }));
        let silent = declined(None, None, Some("refused".into()));
        assert_eq!(silent, Declined::Unreachable("refused".into()));
    }
}
