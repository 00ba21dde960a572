//! Signing contents that do not fit into memory, with keys that take their time.

use crate::encode::{self, OCTET_STRING, SEQUENCE, SET};
use crate::signed::sign::{Draft, Tail, assemble, name_each_other, version};
use crate::signed::stream::Digests;
use crate::{Error, MOST_SIGNERS, Refusal, oids};
use alloc::vec::Vec;
use der::asn1::ObjectIdentifier;
use touchstone_certs::{Certificate, algorithm};
use touchstone_crypto::{Hashing, SignatureAlgorithm};

/// The end of as many elements of indefinite length.
const ENDS: [u8; 6] = [0; 6];

/// Writes a `SignedData` piece by piece, in memory that does not grow with its content.
///
/// With the content inside it is BER of indefinite length, as other implementations stream it, since
/// nobody knows the length yet; with the content beside it, it is DER. Several signers name each
/// other (RFC 5752), so that none can be taken out unseen.
pub struct SignedWriter<'a> {
    crypto: &'a dyn Hashing,
    content_type: ObjectIdentifier,
    signers: Vec<(Certificate, SignatureAlgorithm)>,
    digests: Digests,
    /// What comes before the content and is not written yet; `None` for detached content.
    start: Option<Vec<u8>>,
}

impl<'a> SignedWriter<'a> {
    /// An envelope with the content inside.
    pub fn attached(
        crypto: &'a dyn Hashing,
        content_type: &str,
        signers: &[(&Certificate, SignatureAlgorithm)],
    ) -> Result<Self, Error> {
        let mut writer = Self::detached(crypto, content_type, signers)?;
        let mut digests = Vec::new();
        for (_, algorithm) in &writer.signers {
            digests.push(algorithm::encode_hash(algorithm::hash_of(*algorithm))?);
        }
        let mut start = [&[SEQUENCE, 0x80], encode::oid(&oids::ID_SIGNED_DATA).as_slice()].concat();
        start.extend([0xA0, 0x80, SEQUENCE, 0x80]);
        start.extend(version(writer.content_type, &[]));
        start.extend(encode::set_of(SET, digests));
        start.extend([SEQUENCE, 0x80]);
        start.extend(encode::oid(&writer.content_type));
        start.extend([0xA0, 0x80, OCTET_STRING | 0x20, 0x80]);
        writer.start = Some(start);
        Ok(writer)
    }

    /// An envelope beside its content.
    pub fn detached(
        crypto: &'a dyn Hashing,
        content_type: &str,
        signers: &[(&Certificate, SignatureAlgorithm)],
    ) -> Result<Self, Error> {
        let content_type =
            ObjectIdentifier::new(content_type).map_err(|_| Error::malformed("content type"))?;
        check(signers)?;
        let hashes = signers.iter().map(|(_, algorithm)| algorithm::hash_of(*algorithm));
        let digests = Digests::start(crypto, hashes);
        let signers = signers.iter().map(|(by, how)| ((*by).clone(), *how)).collect();
        Ok(Self { crypto, content_type, signers, digests, start: None })
    }

    /// Takes the next octets of the content; what there is to send meanwhile goes into `out`.
    pub fn write(&mut self, content: &[u8], out: &mut Vec<u8>) {
        self.digests.update(content);
        if let Some(start) = &mut self.start {
            out.append(start);
            if !content.is_empty() {
                out.extend(encode::header(OCTET_STRING, content.len()));
                out.extend_from_slice(content);
            }
        }
    }

    /// The end of the content, which the signers say they signed at the time `at`.
    pub fn end(self, at: u64) -> Result<ToSign<'a>, Error> {
        let digests = self.digests.finish();
        let mut drafts = Vec::with_capacity(self.signers.len());
        for (certificate, algorithm) in &self.signers {
            let hash = algorithm::hash_of(*algorithm);
            let digest = Digests::find(&digests, hash).ok_or(Refusal::UnsupportedAlgorithm)?;
            let content_type = Some(self.content_type);
            drafts.push(Draft::new(certificate, *algorithm, content_type, &digest, at)?);
        }
        name_each_other(self.crypto, &mut drafts, &[])?;
        let messages = drafts.iter().map(Draft::message).collect();
        Ok(ToSign {
            crypto: self.crypto,
            content_type: self.content_type,
            start: self.start,
            signatures: drafts.iter().map(|_| None).collect(),
            messages,
            drafts,
        })
    }
}

fn check(signers: &[(&Certificate, SignatureAlgorithm)]) -> Result<(), Error> {
    if signers.is_empty() {
        return Err(Refusal::NoSigner.into());
    }
    if signers.len() > MOST_SIGNERS {
        return Err(Error::malformed("signers"));
    }
    let twice = signers.iter().enumerate().any(|(index, (certificate, _))| {
        signers.iter().take(index).any(|(earlier, _)| earlier == certificate)
    });
    if twice { Err(Refusal::SignedTwice.into()) } else { Ok(()) }
}

/// Messages that wait for their signatures: a TPM may take its time, and they may come in any order.
pub struct ToSign<'a> {
    crypto: &'a dyn Hashing,
    content_type: ObjectIdentifier,
    start: Option<Vec<u8>>,
    drafts: Vec<Draft>,
    messages: Vec<Vec<u8>>,
    signatures: Vec<Option<Vec<u8>>>,
}

impl ToSign<'_> {
    /// What each signer has to sign (not its digest), in the order in which they were given.
    pub fn messages(&self) -> Vec<&[u8]> {
        self.messages.iter().map(Vec::as_slice).collect()
    }

    /// A signer's signature, in the form that X.509 uses.
    pub fn answer(&mut self, signer: usize, signature: Vec<u8>) -> Result<(), Error> {
        let place = self.signatures.get_mut(signer).ok_or(Refusal::NoSigner)?;
        *place = Some(signature);
        Ok(())
    }

    /// Checks the signatures, and writes the rest of the envelope.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), Error> {
        let (mut tail, mut digests) = (Tail::default(), Vec::new());
        for (draft, signature) in self.drafts.into_iter().zip(self.signatures) {
            let signature = signature.ok_or(Refusal::BadSignature)?;
            digests.push(draft.digest_algorithm().to_vec());
            tail.certificates.push(draft.certificate.der().to_vec());
            tail.signers.push(draft.signed(self.crypto, signature)?.encode());
        }
        if let Some(start) = self.start {
            out.extend(start);
            out.extend(ENDS);
            out.extend(tail.encode());
            out.extend(ENDS);
        } else {
            let version = version(self.content_type, &[]);
            out.extend(assemble(&version, digests, self.content_type, None, tail));
        }
        Ok(())
    }
}
