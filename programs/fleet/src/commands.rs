//! What the program does beside serving: make the state, issue certificates by hand, show keys.

use crate::authority::{Authority, For, alternative_name, common_name, signs_elsewhere};
use crate::config::{CaSettings, Config};
use crate::console::secret;
use crate::judge::public_key_pem;
use crate::registration;
use crate::state::{StateDir, write_private};
use crate::store::Db;
use crate::{Error, clock};
use serde::Serialize;
use std::path::{Path, PathBuf};
use touchstone_certs::Certificate;
use touchstone_certs::ocsp::Reason;
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::SoftSigner;
use zeroize::Zeroizing;

/// What `init` has made, or found.
#[derive(Debug, Serialize)]
pub struct State {
    /// The state directory.
    pub state_dir: PathBuf,
    /// The root of the CA, PEM.
    pub roots: PathBuf,
    /// The issuing CA's certificate, PEM.
    pub issuing: PathBuf,
    /// The key that attestation results are verified with, PEM.
    pub verifier_key: PathBuf,
    /// The token of the first operator.
    pub operator_token: PathBuf,
    /// The database.
    pub database: PathBuf,
    /// The audit log.
    pub audit_log: PathBuf,
}

/// Makes the state directory with everything in it. What is there stays as it is.
pub fn init(config: &Config) -> Result<State, Error> {
    let state = StateDir::open(&config.state_dir)?;
    waited(Authority::open(&state, config))?;
    let verifier = verifier_key(&state)?;
    state.write("verifier.pub", verifier.as_bytes())?;
    if state.read("operator.token")?.is_none() {
        let token = Zeroizing::new(secret().map_err(Error::crypto("a token"))?);
        state.write("operator.token", token.as_bytes())?;
    }
    Db::of(&config.database, &state.database(), &config.tenant)?;
    Ok(State {
        roots: state.file(&first(config.authority.roots.iter())),
        issuing: state.file(&first(config.authority.issuing.iter().map(|one| &one.ca))),
        verifier_key: state.file("verifier.pub"),
        operator_token: state.operator_token(),
        database: state.database(),
        audit_log: state.audit_log(),
        state_dir: config.state_dir.clone(),
    })
}

/// The file of the first CA's certificate.
fn first<'a>(mut cas: impl Iterator<Item = &'a CaSettings>) -> String {
    cas.next().map(|ca| format!("{}.pem", ca.name)).unwrap_or_default()
}

/// The public key that attestation results are verified with, in PEM.
pub fn show_verifier_key(config: &Config) -> Result<String, Error> {
    verifier_key(&StateDir::open(&config.state_dir)?)
}

fn verifier_key(state: &StateDir) -> Result<String, Error> {
    let key = state.key("verifier.key", SignatureAlgorithm::EcdsaP256Sha256)?;
    Ok(public_key_pem(key.spki_der()))
}

/// A certificate to issue by hand.
#[derive(Debug)]
pub struct Order {
    /// For whom.
    pub what: For,
    /// The common name, and the name of the files.
    pub name: String,
    /// DNS names, addresses and URIs.
    pub names: Vec<String>,
    /// Where the files go.
    pub out_dir: PathBuf,
    /// How many days it is valid.
    pub days: u64,
}

/// A certificate that was issued by hand.
#[derive(Debug, Serialize)]
pub struct Issued {
    /// Its serial number.
    pub serial: String,
    /// The end of its validity.
    pub not_after: u64,
    /// The certificate and that of its issuer, PEM.
    pub certificate: PathBuf,
    /// Its key, PKCS#8 in PEM.
    pub key: PathBuf,
    /// The root, PEM.
    pub roots: PathBuf,
}

/// Makes a key and a certificate for it. The fleet may run meanwhile.
pub fn issue_certificate(config: &Config, order: &Order) -> Result<Issued, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if order.name.is_empty() || !order.name.chars().all(plain) || order.name.starts_with('.') {
        return Err(Error::Conflict(
            "a name has letters, digits, `-`, `_` and `.`; other names go into --san".into(),
        ));
    }
    let state = StateDir::open(&config.state_dir)?;
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256)
        .map_err(Error::crypto("a new key"))?;
    let names = order.names.iter().map(|name| alternative_name(name)).collect();
    let lifetime = order.days.saturating_mul(86400);
    let (authority, issued) = waited(async {
        let authority = Authority::open(&state, config).await?;
        let what = order.what.name();
        let profile = authority
            .profile(what)
            .ok_or_else(|| Error::Unknown { what: "profile", name: what.to_owned() })?;
        let subject = common_name(&order.name)?;
        let issued = authority.issue(profile, subject, names, key.spki_der(), lifetime).await?;
        Ok((authority, issued))
    })?;
    let mut db = Db::of(&config.database, &state.database(), &config.tenant)?;
    db.add_certificate(&issued.row(None), clock::now())?;
    let certificate = issued.certificate;
    std::fs::create_dir_all(&order.out_dir).map_err(Error::file(&order.out_dir))?;
    let place = |name: &str| order.out_dir.join(name);
    let issued = Issued {
        serial: certificate.serial(),
        not_after: certificate.not_after(),
        certificate: place(&format!("{}.pem", order.name)),
        key: place(&format!("{}.key", order.name)),
        roots: place("roots.pem"),
    };
    write_private(&issued.key, key.to_pkcs8_pem().as_bytes())?;
    let chain = authority.chain(&certificate).iter().map(pem).collect::<Result<String, _>>()?;
    public(&issued.certificate, &chain)?;
    let roots = authority.roots().iter().map(pem).collect::<Result<String, _>>()?;
    public(&issued.roots, &roots)?;
    Ok(issued)
}

/// Waits for what an element may take its time for.
pub fn waited<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Network { what: "cannot start the runtime".into(), error })?
        .block_on(work)
}

/// A certificate that was revoked by hand.
#[derive(Debug, Serialize)]
pub struct Revoked {
    /// Its serial number.
    pub serial: String,
    /// Whose it was.
    pub subject: String,
    /// Why, in the words of RFC 5280 §5.3.1.
    pub reason: String,
}

/// Revokes a certificate. A fleet that runs tells so at once, and lists it within seconds. Where several
/// CAs gave the number, `issuer` names the one that is meant.
pub fn revoke_certificate(
    config: &Config,
    serial: &str,
    issuer: Option<&str>,
    reason: &str,
) -> Result<Revoked, Error> {
    let reason = Reason::from_name(reason)
        .filter(|reason| !matches!(reason, Reason::RemoveFromCrl | Reason::CertificateHold))
        .ok_or_else(|| {
            Error::Conflict(format!(
                "`{reason}` is no reason; write keyCompromise, superseded, cessationOfOperation, \
                 privilegeWithdrawn, affiliationChanged or unspecified"
            ))
        })?;
    let state = StateDir::open(&config.state_dir)?;
    let mut db = Db::of(&config.database, &state.database(), &config.tenant)?;
    let serial = serial.to_lowercase();
    let row = db.only(&serial, issuer, clock::now())?;
    if let Some(root) = signs_elsewhere(&state, &config.authority, &row.issuer)? {
        return Err(Error::Conflict(format!(
            "the root `{root}` is offline; revoke it there with `touchstone ca revoke`, and put the \
             list that `touchstone ca crl` signs to {}",
            state.file(&format!("{root}.crl")).display()
        )));
    }
    let row = db.revoke_certificate(&serial, issuer, reason.name(), clock::now())?;
    Ok(Revoked { serial, subject: row.subject, reason: reason.name().to_owned() })
}

/// Somebody who may enrol without a device's identity.
#[derive(Debug)]
pub struct Guest {
    /// The common name of its certificate, and its user name in HTTP.
    pub name: String,
    /// What the certificate is for: a client or a server.
    pub what: For,
    /// For how many minutes.
    pub minutes: u64,
}

/// An invitation that was made.
#[derive(Debug, Serialize)]
pub struct Invited {
    /// Whom it is for.
    pub name: String,
    /// The challenge of SCEP, and the password of EST. It is kept nowhere.
    pub challenge: String,
    /// Until when, in Unix seconds.
    pub expires: u64,
}

/// Makes an invitation, good once. The fleet may run meanwhile.
pub fn invite(config: &Config, guest: &Guest) -> Result<Invited, Error> {
    let (new, challenge) =
        registration::invitation(&guest.name, guest.what, guest.minutes, "the command line")?;
    let state = StateDir::open(&config.state_dir)?;
    let expires = new.expires;
    Db::of(&config.database, &state.database(), &config.tenant)?.invite(&new, clock::now())?;
    Ok(Invited { name: guest.name.clone(), challenge, expires })
}

fn pem(certificate: &Certificate) -> Result<String, Error> {
    certificate.to_pem().map_err(Error::crypto("a certificate"))
}

/// A file that everybody may read.
fn public(path: &Path, text: &str) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    write_private(path, text.as_bytes())?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
        .map_err(Error::file(path))
}
