//! `touchstone scep`.

mod http;

use crate::answer::{Answer, Answered, Failure};
use crate::cli::{Enrolling, Scep, Server};
use crate::{files, signing};
use http::Url;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Certificate, CertificateRequest, Name, Purpose, TrustStore, request};
use touchstone_crypto::Signer as _;
use touchstone_crypto_awslc::{AwsLc, SoftDecrypter, SoftSigner};
use touchstone_enroll::scep::{
    CHALLENGE_PASSWORD, Capabilities, Enrolment, Error, Operation, Progress, Requester,
    ca_certificates,
};

/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_secs(5);

pub(crate) fn run(verb: &Scep) -> Answered {
    match verb {
        Scep::Caps { server } => caps(&url(server)?),
        Scep::Cacert { server, out } => cacert(&url(server)?, out),
        Scep::Enroll { with, subject, key, challenge } => {
            let pair = load(key)?;
            let subject = Name::parse(subject)
                .map_err(|error| Failure::usage(error, "write it as CN=pump-3,O=Plant"))?;
            let mut attributes = Vec::new();
            if let Some(reference) = challenge {
                let text = files::read_secret(reference, "--challenge")?;
                attributes.push(challenge_attribute(text.trim())?);
            }
            let request = made(&subject, &attributes, &pair.0)?;
            // RFC 8894 §2.3: a certificate of its own, until there is one of the CA.
            let now = files::now()?;
            let template = Template::new(Kind::Client, subject, now - 60, now + 7 * 86_400);
            let certificate =
                template.self_sign(&AwsLc, &pair.0).map_err(|it| failed(&it.into()))?;
            enrol("touchstone.scep.enroll/1", with, &certificate, &pair, request, false)
        }
        Scep::Renew { with, cert, key, new_key } => {
            let (pair, next) = (load(key)?, load(new_key)?);
            let certificate = signing::certificates(cert)?.swap_remove(0);
            if certificate.spki_der() != pair.0.spki_der() {
                let message = format!("the key {key} is not that of {}", cert.display());
                return Err(Failure::usage(message, "give the certificate's own key"));
            }
            let subject = Name::decode(certificate.subject_der());
            let subject = subject.map_err(|error| failed(&error.into()))?;
            let request = made(&subject, &[], &next.0)?;
            enrol("touchstone.scep.renew/1", with, &certificate, &pair, request, true)
        }
    }
}

fn url(server: &Server) -> Result<Url, Failure> {
    Url::parse(&server.url, server.ca_id.as_deref())
}

fn failed(error: &Error) -> Failure {
    let next = "`touchstone scep caps` and `touchstone scep cacert` show what the server is";
    Failure::unknown(error.code(), error, next)
}

fn capabilities(url: &Url) -> Result<Capabilities, Failure> {
    let body = url.get(Operation::GetCaCaps)?;
    Capabilities::decode(&body).map_err(|error| failed(&error))
}

fn caps(url: &Url) -> Answered {
    let found = capabilities(url)?;
    let said: Vec<String> = found.encode().lines().map(str::to_owned).collect();
    let strong = found.check();
    let mut answer = Answer::new("touchstone.scep.caps/1")
        .good(strong.is_ok())
        .with("capabilities", said.clone());
    for word in said {
        answer = answer.line(word);
    }
    Ok(match strong {
        Ok(()) => answer,
        Err(error) => answer.with("code", error.code()).word(error),
    })
}

fn cacert(url: &Url, out: &Path) -> Answered {
    let body = url.get(Operation::GetCaCert)?;
    let certificates = ca_certificates(&body).map_err(|error| failed(&error))?;
    write(out, &certificates)?;
    let mut answer = Answer::new("touchstone.scep.cacert/1")
        .with("certificates", certificates.iter().map(signing::to_json).collect::<Vec<_>>());
    for certificate in &certificates {
        let digest = certificate.fingerprint_sha256(&AwsLc);
        answer = answer.line(format_args!("{}  {digest}", certificate.subject()));
    }
    Ok(answer.word("nobody has signed this: compare a fingerprint that came another way"))
}

fn write(out: &Path, certificates: &[Certificate]) -> Result<(), Failure> {
    let mut pem = String::new();
    for certificate in certificates {
        pem.push_str(&certificate.to_pem().map_err(|error| failed(&error.into()))?);
    }
    files::write(out, pem.as_bytes())
}

/// An RSA key that signs, and the same that opens.
type Pair = (SoftSigner, SoftDecrypter);

fn load(reference: &str) -> Result<Pair, Failure> {
    let pem = files::read_secret(reference, "--key")?;
    let next = "give an RSA key in PKCS#8 PEM: `openssl genpkey -algorithm RSA` makes one";
    let both = SoftSigner::from_pkcs8_pem(&pem).and_then(|signs| {
        let opens = SoftDecrypter::from_pkcs8_pem(&pem)?;
        Ok((signs, opens))
    });
    let rsa = both.ok().filter(|(key, _)| key.algorithm().name().starts_with("rsa"));
    rsa.ok_or_else(|| {
        let message = format!("{reference} is no RSA key, and SCEP encrypts its replies by RSA");
        Failure::usage(message, next)
    })
}

fn challenge_attribute(text: &str) -> Result<request::Attribute, Failure> {
    let value = touchstone_enroll::scep::challenge(text).map_err(|error| failed(&error))?;
    Ok(request::Attribute { oid: CHALLENGE_PASSWORD.into(), value })
}

fn made(
    subject: &Name,
    attributes: &[request::Attribute],
    key: &SoftSigner,
) -> Result<CertificateRequest, Failure> {
    request::build(subject, &[], attributes, key)
        .and_then(|der| CertificateRequest::decode(&der))
        .map_err(|error| failed(&error.into()))
}

fn enrol(
    schema: &'static str,
    with: &Enrolling,
    certificate: &Certificate,
    (signs, opens): &Pair,
    request: CertificateRequest,
    renewal: bool,
) -> Answered {
    let url = url(&with.server)?;
    capabilities(&url)?.check().map_err(|error| failed(&error))?;
    let ca = signing::certificates(&with.ca)?;
    // RFC 8894 §4.2.1.2: an RA's certificate takes the messages when there is one.
    let to = ca.iter().find(|it| !it.is_ca()).or(ca.first());
    let Some(to) = to else { return Err(Failure::usage("no CA", "give --ca")) };
    let requester = Requester { certificate, key: signs, to };
    let mut enrolment = Enrolment::new(&AwsLc, requester, opens, &ca, request, renewal)
        .map_err(|error| failed(&error))?;
    let until = Instant::now() + Duration::from_secs(with.wait);
    loop {
        let message = enrolment.next(&AwsLc, files::now()?).map_err(|error| failed(&error))?;
        let reply = url.post(message)?;
        match enrolment.read(&AwsLc, &reply).map_err(|error| failed(&error))? {
            Progress::Issued { certificate, others } => {
                return issued(schema, with, &ca, &certificate, &others);
            }
            Progress::Failed { info, text } => {
                let text = text.unwrap_or_else(|| "it says no more".to_owned());
                let words = format!("the CA refused: {} ({text})", info.name());
                let answer = Answer::new(schema).good(false).with("fail_info", info.name());
                return Ok(answer.with("reason", text).word(words));
            }
            Progress::Pending if Instant::now() + PAUSE < until => thread::sleep(PAUSE),
            Progress::Pending => {
                let message = format!("nobody has decided within {} s", with.wait);
                let next = "ask again later with the same key: the CA knows the transaction by it";
                return Err(Failure::unknown("touchstone.scep.pending", message, next));
            }
        }
    }
}

fn issued(
    schema: &'static str,
    with: &Enrolling,
    ca: &[Certificate],
    certificate: &Certificate,
    others: &[Certificate],
) -> Answered {
    let store = TrustStore::new(ca.iter().filter(|it| it.is_ca()).cloned().collect());
    let now = files::now()?;
    let chain = store.validate(&AwsLc, certificate, others, now, Purpose::Any);
    if let Err(error) = chain {
        let words = format!("the certificate that came does not lead to the CA: {error}");
        let answer = Answer::new(schema).good(false).with("code", error.code());
        return Ok(answer.with("reason", error.to_string()).word(words));
    }
    write(&with.out, std::slice::from_ref(certificate))?;
    Ok(Answer::new(schema)
        .with("out", with.out.display().to_string())
        .with("certificate", signing::to_json(certificate))
        .line(format_args!("{}  until {}", certificate.subject(), certificate.not_after()))
        .word(format_args!("wrote {}", with.out.display())))
}
