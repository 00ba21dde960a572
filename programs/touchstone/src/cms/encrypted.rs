//! Encrypting files, and opening them.

use super::{MOST, certificate, failed, no};
use crate::answer::{Answer, Answered};
use crate::cli::Cipher;
use crate::files;
use crate::signing;
use std::path::{Path, PathBuf};
use touchstone_cms::{Accept, ContentCipher, DATA, Enveloped, Error, Recipient, Refusal};
use touchstone_crypto::Decrypter;
use touchstone_crypto_awslc::AwsLc;

pub(super) fn encrypt(file: &Path, to: &[PathBuf], cipher: Cipher, out: &Path) -> Answered {
    let certificates = to.iter().map(|path| certificate(path)).collect::<Result<Vec<_>, _>>()?;
    let recipients: Vec<_> = certificates.iter().map(Recipient::new).collect();
    let cipher = match cipher {
        Cipher::Aes128Gcm => ContentCipher::Aes128Gcm,
        Cipher::Aes256Gcm => ContentCipher::Aes256Gcm,
    };
    let content = zeroize::Zeroizing::new(files::read(file, MOST - (64 << 10))?);
    let der = Enveloped::encrypt(&AwsLc, &content, DATA, cipher, &recipients);
    files::write(out, &der.map_err(|error| failed(&error))?)?;
    let mut answer = Answer::new("touchstone.cms.encrypt/1")
        .with("out", out.display().to_string())
        .with("cipher", cipher.name())
        .with("recipients", certificates.iter().map(signing::to_json).collect::<Vec<_>>());
    for certificate in &certificates {
        answer = answer.line(format_args!("for  {}", certificate.subject()));
    }
    Ok(answer.word(format_args!("wrote {}", out.display())))
}

pub(super) fn decrypt(
    file: &Path,
    cert: &Path,
    key: &dyn Decrypter,
    legacy: bool,
    out: &Path,
) -> Answered {
    let schema = "touchstone.cms.decrypt/1";
    let certificate = certificate(cert)?;
    let octets = files::read(file, MOST)?;
    let accept = if legacy { Accept::dangerous_legacy() } else { Accept::STRICT };
    let opened = Enveloped::decode(&octets).and_then(|envelope| {
        let content = envelope.decrypt(&AwsLc, &certificate, key, accept)?;
        Ok((envelope.cipher(), content))
    });
    let (cipher, content) = match opened {
        Ok(opened) => opened,
        Err(error @ (Error::Crypto(_) | Error::Refused(Refusal::KeyMismatch))) => {
            return Err(failed(&error));
        }
        Err(error) => return Ok(no(schema, file, &error)),
    };
    files::write_secret(out, &content)?;
    let answer = Answer::new(schema)
        .with("out", out.display().to_string())
        .with("cipher", cipher.name())
        .with("octets", content.len())
        .word(format_args!("wrote {}", out.display()));
    Ok(if legacy { answer.word("whether it was changed, nothing shows") } else { answer })
}
