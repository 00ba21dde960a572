//! Endorsements: why an attestation key is to be believed. An Attester hands over, once, the
//! certificate of its endorsement key (EK), its attestation key (LAK) and, if it has one, its
//! IDevID certified by the LAK.
//!
//! Why the LAK is to be believed has two proofs. By the EK's certificate, what verifies here is half of
//! it: a genuine TPM has this EK, and whoever holds the LAK holds the IDevID; that EK and LAK are in the
//! *same* TPM is shown by the device opening a credential made for both (MakeCredential,
//! ActivateCredential; TPM 2.0 Part 1 §24). By the device's maker, it is whole: the maker certified an
//! IAK, and the IAK certifies the LAK, which both never leave their TPM.

mod maker;

pub use maker::{MadeDevice, MakersKeys, MakersProof};

use crate::Error;
use crate::cbor::{Reader, encode};
use crate::tpm::{LakPublic, PublicArea, verify_certify};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use spki::SubjectPublicKeyInfoRef;
use spki::der::Decode;
use touchstone_certs::{Certificate, Purpose, TrustStore};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, Verified};

/// The most certificates in a bundle.
pub const MAX_CERTIFICATES: usize = 8;

const ITEM: &str = "endorsement bundle";
const VERSION: u64 = 2;

/// What an Attester hands over at onboarding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// TPMT_PUBLIC of the endorsement key.
    pub ek_public: Vec<u8>,
    /// Its certificate in DER, then those of its issuers as far as the device has them.
    pub ek_certificates: Vec<Vec<u8>>,
    /// TPMT_PUBLIC of the attestation key.
    pub lak_public: Vec<u8>,
    /// The IDevID key, certified by the attestation key.
    pub device_identity: Option<CertifiedKey>,
    /// The IAK, which certifies the attestation key.
    pub maker: Option<MakersProof>,
}

/// Which proof a verifier wants. Whatever is looked at has to be right, also where the other would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// One of the two; both are looked at.
    #[default]
    Either,
    /// The EK's certificate; an IAK is not looked at.
    EndorsementKey,
    /// The maker's certificate of the IAK; that of an EK is not looked at.
    Iak,
    /// Both.
    Both,
}

/// Whom a verifier believes.
#[derive(Clone, Copy, Debug)]
pub struct Believed<'a> {
    /// Who may have made TPMs, and so certified EKs.
    pub tpm_makers: &'a TrustStore,
    /// Who may have made devices, and so certified IAKs and IDevIDs.
    pub device_makers: &'a TrustStore,
    /// By which of them.
    pub wanted: Wanted,
}

/// A key and what TPM2_Certify says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedKey {
    /// TPMT_PUBLIC.
    pub public: Vec<u8>,
    /// TPMS_ATTEST.
    pub attest: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub signature: Vec<u8>,
}

/// What is known about a device's keys once its credential was activated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endorsed {
    /// The attestation key.
    pub lak: LakPublic,
    /// TPMT_PUBLIC of the endorsement key: what to make the credential for.
    pub ek_public: Vec<u8>,
    /// What its certificate says, if that is a proof.
    pub ek: Option<CertifiedEk>,
    /// What the device's maker says, if that is a proof.
    pub made: Option<MadeDevice>,
    /// `SubjectPublicKeyInfo` of the IDevID, if it was certified.
    pub identity_spki: Option<Vec<u8>>,
}

/// The certificate of an endorsement key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedEk {
    /// Its SHA-256 fingerprint.
    pub fingerprint: Digest,
    /// Who issued it (RFC 4514).
    pub issuer: String,
}

/// The qualifying data of the LAK's certification by the IAK:
/// SHA-256("touchstone-lak-v1" || SHA-256(TPMT_PUBLIC of the IAK)).
pub fn lak_binding(crypto: &dyn Crypto, iak_public: &[u8]) -> [u8; 32] {
    let sha256 = HashAlgorithm::Sha256;
    let iak = crypto.hash(sha256, &[iak_public]);
    let mut out = [0; 32];
    out.copy_from_slice(crypto.hash(sha256, &[b"touchstone-lak-v1", iak.as_bytes()]).as_bytes());
    out
}

/// The qualifying data of the IDevID's certification:
/// SHA-256("touchstone-idevid-v1" || SHA-256(TPMT_PUBLIC of the LAK)).
pub fn identity_binding(crypto: &dyn Crypto, lak_public: &[u8]) -> [u8; 32] {
    let sha256 = HashAlgorithm::Sha256;
    let lak = crypto.hash(sha256, &[lak_public]);
    let mut out = [0; 32];
    out.copy_from_slice(crypto.hash(sha256, &[b"touchstone-idevid-v1", lak.as_bytes()]).as_bytes());
    out
}

/// The qualifying data of an LDevID key's certification by the LAK:
/// SHA-256("touchstone-ldevid-v1" || device id).
pub fn ldevid_binding(crypto: &dyn Crypto, device: &str) -> [u8; 32] {
    let parts = [&b"touchstone-ldevid-v1"[..], device.as_bytes()];
    let mut out = [0; 32];
    out.copy_from_slice(crypto.hash(HashAlgorithm::Sha256, &parts).as_bytes());
    out
}

/// The same where the fleet wants it proven anew that the LAK is in the TPM of the EK: only that TPM opens
/// the credential with the secret (TPM 2.0 Part 1 §24), so that only it can have certified
/// SHA-256("touchstone-ldevid-challenge-v1" || SHA-256(secret) || device id).
pub fn challenge_binding(crypto: &dyn Crypto, device: &str, secret: &[u8]) -> [u8; 32] {
    let sha256 = HashAlgorithm::Sha256;
    let secret = crypto.hash(sha256, &[secret]);
    let parts = [&b"touchstone-ldevid-challenge-v1"[..], secret.as_bytes(), device.as_bytes()];
    let mut out = [0; 32];
    out.copy_from_slice(crypto.hash(sha256, &parts).as_bytes());
    out
}

/// The qualifying data of an audit log key's certification by the LAK:
/// SHA-256("touchstone-audit-log-v1" || the log's name).
pub fn log_binding(crypto: &dyn Crypto, log: &str) -> [u8; 32] {
    let parts = [&b"touchstone-audit-log-v1"[..], log.as_bytes()];
    let mut out = [0; 32];
    out.copy_from_slice(crypto.hash(HashAlgorithm::Sha256, &parts).as_bytes());
    out
}

impl Bundle {
    /// CBOR: `[2, EK public, [* certificate], LAK public, [] / [public, attest, signature],
    /// [] / [IAK public, [* certificate], attest, signature]]`.
    pub fn encode(&self) -> Vec<u8> {
        encode(|out| {
            out.array(6)?.u64(VERSION)?.bytes(&self.ek_public)?;
            out.array(self.ek_certificates.len() as u64)?;
            for certificate in &self.ek_certificates {
                out.bytes(certificate)?;
            }
            out.bytes(&self.lak_public)?;
            match &self.device_identity {
                Some(key) => {
                    out.array(3)?.bytes(&key.public)?.bytes(&key.attest)?.bytes(&key.signature)?;
                }
                None => {
                    out.array(0)?;
                }
            }
            match &self.maker {
                Some(proof) => proof.encode(out)?,
                None => {
                    out.array(0)?;
                }
            }
            Ok(())
        })
    }

    /// Reads what [`encode`](Self::encode) writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(ITEM, bytes);
        reader.tuple(6)?;
        if reader.u64()? != VERSION {
            return Err(reader.malformed());
        }
        let bundle = Self {
            ek_public: reader.bytes()?.to_vec(),
            ek_certificates: reader
                .list(MAX_CERTIFICATES, |reader| reader.bytes().map(<[u8]>::to_vec))?,
            lak_public: reader.bytes()?.to_vec(),
            device_identity: match reader.array(3)? {
                0 => None,
                3 => Some(CertifiedKey {
                    public: reader.bytes()?.to_vec(),
                    attest: reader.bytes()?.to_vec(),
                    signature: reader.bytes()?.to_vec(),
                }),
                _ => return Err(reader.malformed()),
            },
            maker: MakersProof::read(&mut reader)?,
        };
        reader.end()?;
        Ok(bundle)
    }

    /// Checks what can be checked before the credential, as `believed` wants it at `now`: the EK's
    /// certificate leads to a maker of TPMs and is for this EK; the IAK's leads to a maker of devices,
    /// and the IAK certifies the LAK; the LAK may only sign what the TPM made; the IDevID, if there is
    /// one, is certified by the LAK. `idevid` are the certificates whose key the peer has proven to hold
    /// (in TLS), its own first; if there are any, the certified IDevID must be that key.
    pub fn verify(
        self,
        crypto: &dyn Crypto,
        believed: &Believed<'_>,
        idevid: &[Certificate],
        now: u64,
    ) -> Result<Verified<Endorsed>, Error> {
        let lak = LakPublic::from_native(&self.lak_public)?;
        let ek = PublicArea::decode(&self.ek_public)?;
        if !(ek.attributes.decrypts() && ek.attributes.is_restricted() && ek.attributes.is_bound())
        {
            return Err(Error::KeyAttributes("an endorsement key"));
        }
        let by_ek = match believed.wanted {
            Wanted::Iak => None,
            Wanted::Either if self.ek_certificates.is_empty() => None,
            _ => Some(self.certified_ek(crypto, &ek, believed.tpm_makers, now)?),
        };
        let by_maker = match (believed.wanted, &self.maker) {
            (Wanted::EndorsementKey, _) | (Wanted::Either, None) => None,
            (_, None) => return Err(Error::NoIak),
            (_, Some(proof)) => {
                let lak_public = &self.lak_public;
                Some(proof.verify(crypto, believed.device_makers, lak_public, idevid, now)?)
            }
        };
        if by_ek.is_none() && by_maker.is_none() {
            return Err(Error::NoEndorsement);
        }
        let certified_spki = self.identity(crypto, &lak)?;
        if let Some(shown) = idevid.first()
            && certified_spki.as_deref() != Some(shown.spki_der())
        {
            return Err(Error::WrongName);
        }
        Ok(Verified::vouch(Endorsed {
            lak,
            ek_public: self.ek_public,
            ek: by_ek,
            made: by_maker,
            identity_spki: certified_spki,
        }))
    }

    fn certified_ek(
        &self,
        crypto: &dyn Crypto,
        ek: &PublicArea,
        makers: &TrustStore,
        now: u64,
    ) -> Result<CertifiedEk, Error> {
        let certificates = decoded(&self.ek_certificates)?;
        let (leaf, issuers) = certificates.split_first().ok_or(Error::NoEndorsementCertificate)?;
        makers.validate(crypto, leaf, issuers, now, Purpose::EndorsementKey)?;
        if !same_key(&ek.spki_der, leaf.spki_der()) {
            return Err(Error::EndorsementKey);
        }
        let issuer = leaf.issuer().to_owned();
        Ok(CertifiedEk { fingerprint: leaf.fingerprint_sha256(crypto), issuer })
    }

    fn identity(&self, crypto: &dyn Crypto, lak: &LakPublic) -> Result<Option<Vec<u8>>, Error> {
        let Some(key) = &self.device_identity else { return Ok(None) };
        let binding = identity_binding(crypto, &self.lak_public);
        let certified =
            verify_certify(crypto, &key.attest, &key.signature, lak, &key.public, &binding)?;
        if !certified.public.attributes.is_bound() {
            return Err(Error::KeyAttributes("bound to one TPM"));
        }
        if !certified.public.attributes.signs() {
            return Err(Error::KeyAttributes("a signing key"));
        }
        Ok(Some(certified.public.spki_der.clone()))
    }
}

fn decoded(certificates: &[Vec<u8>]) -> Result<Vec<Certificate>, Error> {
    certificates.iter().map(|der| Certificate::decode(der).map_err(Error::from)).collect()
}

/// Whether two `SubjectPublicKeyInfo`s hold the same key: EK certificates may name RSAES-OAEP where
/// others name rsaEncryption (TCG EK Credential Profile §3.2.10).
fn same_key(ours: &[u8], certified: &[u8]) -> bool {
    let key = |der| SubjectPublicKeyInfoRef::from_der(der).ok().map(|info| info.subject_public_key);
    key(ours).is_some_and(|ours| key(certified) == Some(ours))
}
