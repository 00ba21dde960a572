//! Signing in two steps, for keys that take their time: the octets are made here, signed wherever the
//! key lives, and put together here.

use crate::certificate::Signed;
use crate::{Error, Refusal, algorithm};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Encode, Sequence};
use touchstone_crypto::{Crypto, SignatureAlgorithm, Signer};

type Assemble<T> = Box<dyn FnOnce(&Signed<'_>) -> Result<T, Error> + Send>;

/// Something that lacks nothing but its signature.
///
/// ```
/// # use touchstone_certs::issue::{Kind, Template};
/// # use touchstone_certs::Name;
/// # use touchstone_crypto::{SignatureAlgorithm, Signer};
/// # use touchstone_crypto_awslc::{AwsLc, SoftSigner};
/// # let tpm = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
/// let template = Template::new(Kind::Root, Name::common_name("Plant 7")?, 0, 60);
/// let waiting = template.to_be_self_signed(&AwsLc, tpm.algorithm(), tpm.spki_der())?;
/// let signature = tpm.sign(waiting.octets())?; // now, or tomorrow
/// let certificate = waiting.attach(&AwsLc, &signature)?;
/// assert_eq!(certificate.subject(), "CN=Plant 7");
/// # Ok::<(), touchstone_certs::Error>(())
/// ```
pub struct ToBeSigned<T> {
    tbs: Vec<u8>,
    algorithm: SignatureAlgorithm,
    signer_spki: Vec<u8>,
    signer: Vec<u8>,
    assemble: Assemble<T>,
}

#[derive(Sequence)]
struct Envelope<'a> {
    tbs: AnyRef<'a>,
    algorithm: AnyRef<'a>,
    signature: BitStringRef<'a>,
}

impl<T> ToBeSigned<T> {
    /// `signer` is whose key signs, a name in DER.
    pub(crate) fn new(
        tbs: Vec<u8>,
        algorithm: SignatureAlgorithm,
        signer_spki: &[u8],
        signer: &[u8],
        assemble: impl FnOnce(&Signed<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Self {
        let assemble = Box::new(assemble);
        let (signer_spki, signer) = (signer_spki.to_vec(), signer.to_vec());
        Self { tbs, algorithm, signer_spki, signer, assemble }
    }

    /// What is to be signed.
    pub fn octets(&self) -> &[u8] {
        &self.tbs
    }

    /// How it is to be signed.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Whose key is to sign it, `SubjectPublicKeyInfo` in DER.
    pub fn signer_spki_der(&self) -> &[u8] {
        &self.signer_spki
    }

    /// Puts it together, if the signature is by that key.
    pub fn attach(self, crypto: &dyn Crypto, signature: &[u8]) -> Result<T, Error> {
        let checked = crypto.verify(self.algorithm, &self.signer_spki, &self.tbs, signature);
        if checked.is_err() {
            let signer = crate::Name::decode(&self.signer).map(|name| alloc::format!("{name}"));
            return Err(Error::refused(Refusal::BadSignature, &signer.unwrap_or_default()));
        }
        self.put(signature)
    }

    /// In one step, with a key at hand.
    pub(crate) fn sign(self, signer: &dyn Signer) -> Result<T, Error> {
        let signature = signer.sign(&self.tbs)?;
        self.put(&signature)
    }

    fn put(self, signature: &[u8]) -> Result<T, Error> {
        let algorithm = algorithm::encode_signature(self.algorithm)?;
        (self.assemble)(&Signed { tbs: &self.tbs, algorithm: &algorithm, signature })
    }
}

impl<T> fmt::Debug for ToBeSigned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToBeSigned({} octets, {})", self.tbs.len(), self.algorithm.name())
    }
}

/// `SIGNED{ToBeSigned}`.
pub(crate) fn envelope(signed: &Signed<'_>) -> Result<Vec<u8>, Error> {
    let failed = Error::der("signed structure");
    Envelope {
        tbs: AnyRef::from_der(signed.tbs).map_err(&failed)?,
        algorithm: AnyRef::from_der(signed.algorithm).map_err(&failed)?,
        signature: BitStringRef::from_bytes(signed.signature).map_err(&failed)?,
    }
    .to_der()
    .map_err(failed)
}
