//! `touchstone cms`.

mod encrypted;
mod keys;
mod show;
mod signed;

use crate::answer::{Answer, Answered, Failure};
use crate::cli::Cms;
use std::path::Path;
use touchstone_certs::Certificate;
use touchstone_cms::{Error, MOST_OCTETS, Refusal};

/// Octets of an envelope that is read into memory.
const MOST: u64 = MOST_OCTETS as u64;

pub(crate) fn run(verb: &Cms) -> Answered {
    match verb {
        Cms::Sign { file, signers, detached, pss, content_type, held, out } => {
            let signers = keys::signers(signers, *pss, held)?;
            signed::sign(file, &signers, content_type, *detached, out)
        }
        Cms::Verify { file, content, trust, certs, signatures, out } => {
            let trust = crate::signing::certificates(trust)?;
            let beside = match certs {
                Some(path) => crate::signing::certificates(path)?,
                None => Vec::new(),
            };
            let wanted = signed::Wanted { trust, beside, signatures: *signatures };
            signed::verify(file, content.as_deref(), &wanted, out.as_deref())
        }
        Cms::Encrypt { file, to, cipher, out } => encrypted::encrypt(file, to, *cipher, out),
        Cms::Decrypt { file, cert, key, legacy, held, out } => {
            let key = keys::decrypter(key, held)?;
            encrypted::decrypt(file, cert, key.as_ref(), *legacy, out)
        }
        Cms::Show { file } => show::show(file),
    }
}

/// The answer is no, and this is why.
fn no(schema: &'static str, file: &Path, error: &Error) -> Answer {
    let mut answer = Answer::new(schema)
        .good(false)
        .with("code", error.code())
        .with("reason", error.to_string())
        .word(format_args!("{}: refused: {error} ({})", file.display(), error.code()));
    if let Some(next) = next(error) {
        answer = answer.word(next);
    }
    answer
}

fn next(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::Refused(Refusal::NoContent) => "give the file that was signed with --content",
        Error::Refused(Refusal::ContentInside) => "leave --content away: it is inside",
        Error::Refused(Refusal::NoCertificate) => "give the signers' certificates with --certs",
        Error::Refused(Refusal::Legacy) => {
            "if it is from an old peer whom you know, --legacy opens it"
        }
        Error::Refused(Refusal::NotARecipient) => "`touchstone cms show` lists its recipients",
        Error::Malformed { .. } => {
            "give DER or BER; `openssl cms -cmsout -inform PEM -outform DER` makes it of PEM"
        }
        _ => return None,
    })
}

fn failed(error: &Error) -> Failure {
    Failure::unknown(error.code(), error, "check the certificates and the keys")
}

/// The first certificate of a PEM file.
fn certificate(path: &Path) -> Result<Certificate, Failure> {
    Ok(crate::signing::certificates(path)?.swap_remove(0))
}
