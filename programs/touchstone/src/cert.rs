//! `touchstone cert`: what a certificate says, and whether to believe it.

mod show;
mod verify;

use crate::answer::{Answered, Failure};
use crate::cli::Cert;
use crate::files::{self, SMALL};
use std::path::Path;
use touchstone_certs::{AlternativeName, Certificate, Error};

pub(crate) fn run(verb: &Cert) -> Answered {
    match verb {
        Cert::Show { file } => show::run(file),
        Cert::Verify(asked) => verify::run(asked),
    }
}

/// The certificates of a file, PEM or DER, at least one.
pub(crate) fn read(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let content = files::read(path, SMALL)?;
    let found = if is_pem(&content) {
        Certificate::from_pem(&content)
    } else {
        Certificate::decode(&content).map(|certificate| vec![certificate])
    };
    found.map_err(|error| unreadable(path, &error, "give certificates in PEM or DER"))
}

/// DER begins with the octet of a SEQUENCE, which no text does.
pub(crate) fn is_pem(content: &[u8]) -> bool {
    content.first() != Some(&0x30)
}

pub(crate) fn unreadable(path: &Path, error: &Error, next: &str) -> Failure {
    Failure::unknown(error.code(), format!("{}: {error}", path.display()), next)
}

/// A moment, as people write it.
pub(crate) fn date(at: u64) -> String {
    if at == touchstone_certs::FOREVER {
        return String::from("never");
    }
    let moment = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    moment.map_or_else(|| at.to_string(), |moment| moment.to_string())
}

/// A name with its form before it.
pub(crate) fn name(name: &AlternativeName) -> String {
    match name {
        AlternativeName::Dns(name) => format!("DNS:{name}"),
        AlternativeName::Uri(uri) => format!("URI:{uri}"),
        AlternativeName::Ip(ip) => format!("IP:{ip}"),
        AlternativeName::Email(mailbox) => format!("email:{mailbox}"),
        AlternativeName::Directory(name) => format!("directory:{name}"),
        AlternativeName::HardwareModule { kind, serial } => {
            format!("hardware:{kind}:{}", crate::answer::hex(serial))
        }
        _ => String::from("a name of another form"),
    }
}
