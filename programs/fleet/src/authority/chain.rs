//! The certificates of the CAs themselves: made once, and read from then on.

use super::keys::CaKey;
use super::{BACKDATED, Issuing};
use crate::config::{CaSettings, CrlSettings, IssuingSettings, OcspListener};
use crate::state::StateDir;
use crate::{Error, clock};
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Certificate, Name, Purpose, TrustStore, request};
use touchstone_crypto_awslc::AwsLc;

/// A root, and its key unless that is offline.
pub(super) struct Root {
    pub(super) name: String,
    pub(super) certificate: Certificate,
    pub(super) key: Option<CaKey>,
}

/// Where it can be learned what became of an issuing CA.
#[derive(Clone, Copy)]
pub(super) struct Where<'a> {
    pub(super) crl: &'a CrlSettings,
    pub(super) ocsp: &'a OcspListener,
}

impl Where<'_> {
    /// In the certificate of a CA below that root (RFC 5280 §4.2.1.13, §4.2.2.1).
    fn tell(self, mut template: Template, root: &Root) -> Template {
        if let Some(url) = self.crl.url_of(&root.name) {
            template = template.with_crls(&[&url]);
            // What is brought from elsewhere has no deltas, and no delegate.
            let delta = self.crl.delta_url_of(&root.name).filter(|_| root.key.is_some());
            template.delta_crl_urls.extend(delta);
        }
        template.issuer_url = self.crl.issuer_url_of(&root.name);
        template.ocsp_url = self.ocsp.url.clone().filter(|_| root.key.is_some());
        template
    }

    /// The same as words for the command line where the root is.
    fn words(self, root: &str) -> String {
        let list = self.crl.url_of(root).map(|url| format!(" --crl-url {url}"));
        let issuer = self.crl.issuer_url_of(root).map(|url| format!(" --issuer-url {url}"));
        [list, issuer].into_iter().flatten().collect()
    }
}

/// The root in the state directory, which is made if it is not there.
pub(super) async fn root(
    state: &StateDir,
    fleet: &str,
    ca: &CaSettings,
    key: Option<CaKey>,
) -> Result<Root, Error> {
    let file = format!("{}.pem", ca.name);
    let certificate = match (read(state, &file)?, &key) {
        (Some(found), Some(key)) => of_key(state, &file, found, key)?,
        (Some(found), None) => found,
        (None, Some(key)) => {
            let now = clock::now();
            let template = Template::new(
                Kind::Root,
                subject(fleet, &ca.name)?,
                now.saturating_sub(BACKDATED),
                now.saturating_add(ca.lifetime.as_secs()),
            );
            let waiting = template
                .to_be_self_signed(&AwsLc, key.algorithm(), key.spki_der())
                .map_err(Error::crypto("the root certificate"))?;
            write(state, &file, key.finish("the root certificate", waiting).await?)?
        }
        (None, None) => {
            let words = "is missing; put the certificate of the offline root there";
            return Err(Error::content(&state.file(&file), words));
        }
    };
    Ok(Root { name: ca.name.clone(), certificate, key })
}

/// The certificate of an issuing CA, which the first root signs if it is not there.
pub(super) async fn issuing(
    state: &StateDir,
    fleet: &str,
    settings: &IssuingSettings,
    key: CaKey,
    roots: &[Root],
    links: &[Certificate],
    status: Where<'_>,
) -> Result<Issuing, Error> {
    let ca = &settings.ca;
    let file = format!("{}.pem", ca.name);
    let certificate = match (read(state, &file)?, roots.first()) {
        (Some(found), _) => of_key(state, &file, found, &key)?,
        (None, Some(root @ Root { certificate, key: Some(signer), .. })) => {
            let now = clock::now();
            let template = Template::new(
                Kind::Intermediate { path_len: 0 },
                subject(fleet, &ca.name)?,
                now.saturating_sub(BACKDATED).max(certificate.not_before()),
                now.saturating_add(ca.lifetime.as_secs()),
            )
            .with_name_constraints(settings.permitted.clone(), settings.excluded.clone());
            let waiting = status
                .tell(template, root)
                .to_be_signed(&AwsLc, certificate, signer.algorithm(), key.spki_der())
                .map_err(Error::crypto("the issuing certificate"))?;
            write(state, &file, signer.finish("the issuing certificate", waiting).await?)?
        }
        (None, root) => {
            let root = root.map(|root| root.name.as_str()).unwrap_or_default();
            return Err(ask(state, fleet, ca, &key, root, &status.words(root)).await?);
        }
    };
    let anchors = TrustStore::new(roots.iter().map(|root| root.certificate.clone()).collect());
    let path = state.file(&file);
    let valid = anchors.validate(&AwsLc, &certificate, links, clock::now(), Purpose::Any);
    match valid {
        Ok(_) => {}
        Err(error) if certificate.not_after() <= clock::now() => {
            tracing::warn!("{}: the issuing CA is over: {error}", path.display());
        }
        Err(error) => return Err(Error::content(&path, format!("is below no root: {error}"))),
    }
    if !certificate.is_ca() {
        return Err(Error::content(&path, "is no CA's certificate; sign its request as one"));
    }
    Ok(Issuing::new(&ca.name, certificate, key, settings.next))
}

/// Writes a request for whoever holds the root; says what to do with it.
async fn ask(
    state: &StateDir,
    fleet: &str,
    ca: &CaSettings,
    key: &CaKey,
    root: &str,
    status: &str,
) -> Result<Error, Error> {
    let subject = subject(fleet, &ca.name)?;
    let waiting = request::to_be_signed(&subject, &[], &[], key.algorithm(), key.spki_der())
        .map_err(Error::crypto("a request for the root"))?;
    let der = key.finish("a request for the root", waiting).await?;
    let pem = pem_rfc7468::encode_string("CERTIFICATE REQUEST", pem_rfc7468::LineEnding::LF, &der);
    let pem = pem.map_err(Error::crypto("a request for the root"))?;
    let file = state.file(&format!("{}.csr", ca.name));
    state.write(&format!("{}.csr", ca.name), pem.as_bytes())?;
    let words = format!(
        "is missing; have the root `{root}` sign {} as an issuing CA (`touchstone ca issue \
         --profile issuing{status}`), and put the certificate there",
        file.display()
    );
    Ok(Error::content(&state.file(&format!("{}.pem", ca.name)), words))
}

/// What links the root in force with those before it, both ways (RFC 4210 §4.4, RFC 7030 §4.1.3).
pub(super) async fn links(state: &StateDir, roots: &[Root]) -> Result<Vec<Certificate>, Error> {
    let Some((new, former)) = roots.split_first() else { return Ok(Vec::new()) };
    let mut links = Vec::new();
    for old in former {
        for (of, by) in [(new, old), (old, new)] {
            links.extend(link(state, of, by).await?);
        }
    }
    Ok(links)
}

async fn link(state: &StateDir, of: &Root, by: &Root) -> Result<Option<Certificate>, Error> {
    let file = format!("{}-with-{}.pem", of.name, by.name);
    if let Some(found) = read(state, &file)? {
        let same = found.spki_der() == of.certificate.spki_der()
            && found.verify_signature(&AwsLc, by.certificate.spki_der()).is_ok();
        let words = "does not link the two roots; remove it, and it is made anew";
        return if same { Ok(Some(found)) } else { Err(Error::content(&state.file(&file), words)) };
    }
    let Some(signer) = &by.key else {
        let path = state.file(&file);
        tracing::warn!(
            "{} is missing, and the root that makes it is offline; bring it: `touchstone ca \
             rollover` writes it as {}",
            path.display(),
            if of.certificate.not_before() >= by.certificate.not_before() {
                "new-with-old.pem"
            } else {
                "old-with-new.pem"
            }
        );
        return Ok(None);
    };
    let subject = Name::decode(of.certificate.subject_der()).map_err(Error::crypto("a root"))?;
    // RFC 4210 §4.4.1: for as long as both live.
    let from = of.certificate.not_before().max(by.certificate.not_before());
    let until = of.certificate.not_after().min(by.certificate.not_after());
    let waiting = Template::new(Kind::Root, subject, from, until)
        .to_be_signed(&AwsLc, &by.certificate, signer.algorithm(), of.certificate.spki_der())
        .map_err(Error::crypto("a link between roots"))?;
    let made = signer.finish("a link between roots", waiting).await?;
    write(state, &file, made).map(Some)
}

fn subject(fleet: &str, ca: &str) -> Result<Name, Error> {
    Name::common_name(&format!("{fleet} {ca}")).map_err(Error::crypto("a CA's name"))
}

pub(super) fn read(state: &StateDir, file: &str) -> Result<Option<Certificate>, Error> {
    let Some(pem) = state.read(file)? else { return Ok(None) };
    let path = state.file(file);
    let mut found = Certificate::from_pem(pem.as_bytes())
        .map_err(|error| Error::content(&path, error.to_string()))?;
    if found.is_empty() {
        return Err(Error::content(&path, "holds no certificate; restore it from a backup"));
    }
    Ok(Some(found.remove(0)))
}

fn write(state: &StateDir, file: &str, made: Certificate) -> Result<Certificate, Error> {
    let pem = made.to_pem().map_err(Error::crypto("a certificate"))?;
    state.write(file, pem.as_bytes())?;
    tracing::info!(file, subject = made.subject(), "made a certificate of the CA");
    Ok(made)
}

/// It has to be that of its key.
fn of_key(
    state: &StateDir,
    file: &str,
    found: Certificate,
    key: &CaKey,
) -> Result<Certificate, Error> {
    if found.spki_der() == key.spki_der() {
        return Ok(found);
    }
    let words = "not the certificate of the key that the configuration names; restore both";
    Err(Error::content(&state.file(file), words))
}
