//! `touchstone est`: a client of anybody's EST server.

mod proof;
mod request;

use crate::answer::{Answer, Answered, Failure};
use crate::cli::{Est, EstRequest, EstServer};
use crate::{files, signing};
use request::Asker;
use std::sync::Arc;
use std::time::Duration;
use touchstone_certs::{Certificate, CertificateRequest};
use touchstone_crypto::{Crypto, Signer as _};
use touchstone_crypto_awslc::{AwsLc, SoftDecrypter, SoftSigner};
use touchstone_drive::http::{Address, HttpClient, HttpError, converse};
use touchstone_engine::Fault;
use touchstone_enroll::est::attributes::{Attributes, KeyKind};
use touchstone_enroll::est::{Client, ClientSetup, Error, Event, Given, Want, keygen};
use touchstone_enroll::exchange::Limits;
use touchstone_tls::Identity;
use zeroize::Zeroizing;

/// The longest that a server may put us off at a time.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// How long a server may take for one answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// What we call ourselves.
const AGENT: &str = concat!("touchstone/", env!("CARGO_PKG_VERSION"));
/// A server that does not answer so often in a row is not there.
const MOST_FAILURES: u32 = 3;

pub(crate) fn run(verb: &Est) -> Answered {
    match verb {
        Est::Cacerts { server, fingerprint, out } => {
            let fingerprint = fingerprint.as_deref().map(sha256).transpose()?;
            let setup = ClientSetup { fingerprint, ..setup(server, None)? };
            // A fingerprint counts in the place of anchors.
            let anchors = if fingerprint.is_some() { Vec::new() } else { setup.anchors.clone() };
            let setup = ClientSetup { anchors, ..setup };
            match talk(server, Want::CaCerts, setup, Asker::none())? {
                Said::Event(Event::Authorities { believed, .. }) => {
                    let mut answer = Answer::new("touchstone.est.cacerts/1");
                    write(out, &believed)?;
                    let json: Vec<_> = believed.iter().map(signing::to_json).collect();
                    answer = answer.with("certificates", json);
                    for it in &believed {
                        let digest = it.fingerprint_sha256(&AwsLc);
                        answer = answer.line(format_args!("{}  {digest}", it.subject()));
                    }
                    Ok(answer.word(format_args!("wrote {}", out.display())))
                }
                other => other.no("touchstone.est.cacerts/1"),
            }
        }
        Est::Csrattrs { server } => {
            match talk(server, Want::CsrAttrs, setup(server, None)?, Asker::none())? {
                Said::Event(Event::Attributes(der)) => attributes(&der),
                other => other.no("touchstone.est.csrattrs/1"),
            }
        }
        Est::Enroll { server, new_key, proof, request } => {
            let (key, prover) = proof::key(new_key, proof, &server.held)?;
            let asker = Asker::new(request, key)?.proving(prover);
            issue("touchstone.est.enroll/1", server, Want::Enroll, request, asker, None)
        }
        Est::Renew { server, new_key, proof, request } => {
            let Some(cert) = &server.cert else {
                return Err(Failure::usage("renewal shows the certificate", "give --cert, --key"));
            };
            let held = signing::certificates(cert)?.swap_remove(0);
            let key = new_key.as_ref().or(server.key.as_ref()).map_or("", String::as_str);
            let (key, prover) = proof::key(key, proof, &server.held)?;
            let asker = Asker::after(&held, key)?.proving(prover);
            issue("touchstone.est.renew/1", server, Want::Reenroll, request, asker, None)
        }
        Est::Serverkeygen { server, request, key_out, encrypted } => {
            // What signs the request proves nothing (RFC 7030 §4.4.1).
            let key = SoftSigner::generate(touchstone_crypto::SignatureAlgorithm::EcdsaP256Sha256);
            let key = key.map_err(|it| Failure::unknown(it.code(), it, "try again"))?;
            let mut asker = Asker::new(request, Arc::new(key))?;
            if *encrypted {
                asker.encrypt_to(&shown(server)?)?;
            }
            let want = Want::ServerKeygen(*encrypted);
            let schema = "touchstone.est.serverkeygen/1";
            issue(schema, server, want, request, asker, Some(key_out))
        }
    }
}

/// What came of it.
enum Said {
    Event(Event),
    No(Error, Option<Event>),
}

impl Said {
    /// The server's no.
    fn no(self, schema: &'static str) -> Answered {
        let Self::No(error, event) = self else {
            return Err(Failure::unknown("touchstone.est", "an answer to nothing", "try again"));
        };
        let answer = Answer::new(schema).good(false).with("code", error.code());
        if let Some(Event::Later { after }) = event {
            let answer = answer.with("retry_after", after.as_secs());
            let words = format!("{error} (in {} s)", after.as_secs());
            return Ok(answer.with("reason", error.to_string()).word(words));
        }
        let Some(Event::Refused { status, code, text }) = event else {
            return Ok(answer.with("reason", error.to_string()).word(error));
        };
        let words = if text.is_empty() { error.to_string() } else { text };
        let shown = code.as_ref().map(|it| format!(", {it}")).unwrap_or_default();
        Ok(answer
            .with("status", status)
            .with("server_code", code)
            .with("reason", words.as_str())
            .word(format_args!("the server refused: {words} ({status}{shown})")))
    }
}

fn setup(server: &EstServer, request: Option<&EstRequest>) -> Result<ClientSetup, Failure> {
    Ok(ClientSetup {
        crypto: Arc::new(AwsLc),
        now: files::now()?,
        origin: address(&server.url)?.origin(),
        label: server.label.clone(),
        anchors: anchors(server)?,
        fingerprint: None,
        csrattrs: request.is_some_and(|it| !it.no_csrattrs),
        retries: request.map_or(0, |it| it.retries),
        longest_pause: LONGEST_PAUSE,
    })
}

fn address(url: &str) -> Result<Address, Failure> {
    let form = "write https://HOST[:PORT], without a path: EST says where it lives";
    let address: Address = url.parse().map_err(|error| Failure::usage(error, form))?;
    if !address.is_secure() || !address.path().is_empty() {
        return Err(Failure::usage(format!("`{url}` is no address of an EST server"), form));
    }
    Ok(address)
}

fn anchors(server: &EstServer) -> Result<Vec<Certificate>, Failure> {
    server.trust.as_ref().map_or_else(|| Ok(Vec::new()), |path| signing::certificates(path))
}

fn link(server: &EstServer, want: Want, fingerprint: bool) -> Result<HttpClient, Failure> {
    let address = address(&server.url)?;
    let roots: Vec<Vec<u8>> = anchors(server)?.iter().map(|root| root.der().to_vec()).collect();
    let setup = match (&server.trust, want) {
        (Some(_), _) => touchstone_tls::ClientSetup::new(&roots),
        // RFC 7030 §4.1.1: the fingerprint decides, whoever sent the certificate.
        (None, Want::CaCerts) if fingerprint => {
            touchstone_tls::ClientSetup::dangerous_provisional()
        }
        (None, _) => {
            let next = "give --trust; `touchstone est cacerts --fingerprint` gets it";
            return Err(Failure::usage("nobody is trusted", next));
        }
    };
    let mut setup = setup.alpn(&[b"http/1.1"]).with_tls12();
    let host = address.host().to_owned();
    let unusable = |error: touchstone_tls::ConfigError| {
        let message = format!("no TLS with `{host}`: {error}");
        Failure::usage(message, "check --url, --trust, --cert and --key")
    };
    if let (Some(cert), Some(key)) = (&server.cert, &server.key) {
        let chain: Vec<Vec<u8>> =
            signing::certificates(cert)?.iter().map(|it| it.der().to_vec()).collect();
        let key = request::key(key, &server.held)?;
        setup = setup.identity(Identity::from_signer(&chain, key).map_err(unusable)?);
    }
    let config = setup.build().map_err(unusable)?;
    HttpClient::secure(address, config, AGENT, PATIENCE).map_err(unusable)
}

fn unreachable(error: &HttpError) -> Failure {
    Failure::unknown("touchstone.est.unreachable", error, "check --url and --trust")
}

fn talk(
    server: &EstServer,
    want: Want,
    setup: ClientSetup,
    mut asker: Asker,
) -> Result<Said, Failure> {
    let mut link = link(server, want, setup.fingerprint.is_some())?;
    let mut id = [0; 16];
    AwsLc.random(&mut id).map_err(|it| Failure::unknown(it.code(), it, "try again"))?;
    let limits = Limits { deadline: Duration::from_hours(2), ..Limits::default() };
    let client = Client::of(want, setup, id, limits);
    asker.password = match (&server.user, &server.password) {
        (Some(user), Some(password)) => {
            let password = files::read_secret(password, "--password")?;
            Some((user.clone(), Zeroizing::new(password.trim_end_matches('\n').to_owned())))
        }
        _ => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unknown("touchstone.platform", error, "try again"))?;
    let ended =
        runtime.block_on(converse(client, &mut link, MOST_FAILURES, |kind, question, binding| {
            asker.answer(kind, question, binding)
        }));
    if let Some(failure) = asker.failure {
        return Err(failure);
    }
    match ended.map_err(|it| unreachable(&it))? {
        Ok(mut events) if !events.is_empty() => Ok(Said::Event(events.swap_remove(0))),
        Ok(_) => Ok(Said::No(Error::NoCertificate, None)),
        Err(mut error) => match (error.end.take(), error.post.take()) {
            // Without an answer nothing was refused.
            (Some(Error::TimedOut) | None, Some(post)) => Err(unreachable(&post)),
            (Some(end), _) => Ok(Said::No(end, error.events.pop())),
            (None, None) => Err(Failure::unknown(error.code(), "it waits for ever", "try again")),
        },
    }
}

fn issue(
    schema: &'static str,
    server: &EstServer,
    want: Want,
    request: &EstRequest,
    asker: Asker,
    key_out: Option<&std::path::PathBuf>,
) -> Answered {
    let said = talk(server, want, setup(server, Some(request))?, asker)?;
    let Said::Event(Event::Issued { certificate, chain, key }) = said else {
        return said.no(schema);
    };
    if let (Some(given), Some(path)) = (&key, key_out) {
        let pkcs8 = match given {
            Given::Plain(pkcs8) => pkcs8.clone(),
            Given::Encrypted(der) => opened(server, der)?,
        };
        let made = SoftSigner::from_pkcs8_der(&pkcs8).map_err(|it| {
            let next = "ask the server's operator for a key of another kind";
            Failure::unknown(it.code(), "the key that came does not load", next)
        })?;
        if made.spki_der() != certificate.spki_der() {
            return Said::No(Error::KeyMismatch, None).no(schema);
        }
        files::write_secret(path, made.to_pkcs8_pem().as_bytes())?;
    }
    let all: Vec<Certificate> = std::iter::once(&certificate).chain(&chain).cloned().collect();
    write(&request.out, &all)?;
    Ok(Answer::new(schema)
        .with("out", request.out.display().to_string())
        .with("certificate", signing::to_json(&certificate))
        .with("chain", chain.iter().map(signing::to_json).collect::<Vec<_>>())
        .line(format_args!("{}  until {}", certificate.subject(), certificate.not_after()))
        .word(format_args!("wrote {}", request.out.display())))
}

/// The certificate that TLS shows.
fn shown(server: &EstServer) -> Result<Certificate, Failure> {
    let path = server.cert.clone().unwrap_or_default();
    Ok(signing::certificates(&path)?.swap_remove(0))
}

/// A key that was encrypted to the one of --cert.
fn opened(server: &EstServer, der: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let key = server.key.clone().unwrap_or_default();
    let pem = files::read_secret(&key, "the key of --cert, for an encrypted key,")?;
    let opens = SoftDecrypter::from_pkcs8_pem(&pem)
        .map_err(|it| Failure::unknown(it.code(), it, "give the key of --cert in PKCS#8 PEM"))?;
    let next = "ask the server's operator to whom it encrypted";
    let opened = keygen::decrypt(&AwsLc, der, &shown(server)?, &opens)
        .map_err(|it| Failure::unknown(it.code(), it, next))?;
    Ok(opened.into_inner().key)
}

fn write(out: &std::path::Path, certificates: &[Certificate]) -> Result<(), Failure> {
    let mut pem = String::new();
    for certificate in certificates {
        pem.push_str(&certificate.to_pem().map_err(|it| {
            Failure::unknown(it.code(), it, "ask the server's operator for its certificate")
        })?);
    }
    files::write(out, pem.as_bytes())
}

fn attributes(der: &[u8]) -> Answered {
    let answer = Answer::new("touchstone.est.csrattrs/1");
    if der.is_empty() {
        return Ok(answer.with("any", true).line("nothing in particular"));
    }
    let wanted = Attributes::decode(der)
        .map_err(|it| Failure::unknown(it.code(), it, "ask the server's operator"))?;
    let key = match wanted.key() {
        Some(KeyKind::Ec(Some(curve))) => Some(format!("ec {curve}")),
        Some(KeyKind::Ec(None)) => Some("ec".to_owned()),
        Some(KeyKind::Rsa(Some(bits))) => Some(format!("rsa {bits}")),
        Some(KeyKind::Rsa(None)) => Some("rsa".to_owned()),
        Some(KeyKind::Other(oid)) => Some(oid),
        None => None,
    };
    let extensions: Vec<String> = wanted.extensions().into_iter().map(|it| it.oid).collect();
    let valued: Vec<String> = wanted.valued.iter().map(|it| it.oid.clone()).collect();
    let mut shown = answer
        .with("any", false)
        .with("key", key.clone())
        .with("named", wanted.named.clone())
        .with("valued", valued)
        .with("extensions", extensions.clone())
        .with("template", wanted.template.is_some());
    if let Some(key) = key {
        shown = shown.line(format_args!("key        {key}"));
    }
    for oid in &wanted.named {
        shown = shown.line(format_args!("attribute  {oid}"));
    }
    for oid in &extensions {
        shown = shown.line(format_args!("extension  {oid}"));
    }
    Ok(shown)
}

fn sha256(hex: &str) -> Result<[u8; 32], Failure> {
    let plain: String = hex.chars().filter(|c| *c != ':').collect();
    let digest = touchstone_crypto::Digest::parse(&format!("sha256:{}", plain.to_lowercase()));
    let octets = digest.ok().and_then(|it| <[u8; 32]>::try_from(it.as_bytes()).ok());
    octets.ok_or_else(|| {
        Failure::usage(format!("`{hex}` is no SHA-256"), "write its 64 hexadecimal digits")
    })
}

/// A request reads back.
pub(super) fn read_back(der: &[u8]) -> Result<CertificateRequest, touchstone_certs::Error> {
    CertificateRequest::decode(der)
}
