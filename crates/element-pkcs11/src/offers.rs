//! What a token offers, from its own list of mechanisms: what is not there is not claimed.

use crate::refusal::Fault;
use cryptoki::context::Pkcs11;
use cryptoki::error::{Error as Pkcs11Error, RvError};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismInfo, MechanismType};
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::session::Session;
use cryptoki::slot::Slot;
use cryptoki::types::Ulong;
use touchstone_crypto::{HashAlgorithm, SignatureAlgorithm};
use touchstone_element::{Capabilities, Encryption, KeyAlgorithm, KeyUse};

/// The mechanisms of a token, and the forms of OAEP that it takes.
#[derive(Clone, Default)]
pub(crate) struct Offers {
    mechanisms: Vec<(MechanismType, MechanismInfo)>,
    oaep: Vec<Encryption>,
}

impl Offers {
    /// Asks the token.
    pub(crate) fn read(pkcs11: &Pkcs11, session: &Session, slot: Slot) -> Result<Self, Fault> {
        let mut offers = Self::default();
        for mechanism in pkcs11.get_mechanism_list(slot)? {
            match pkcs11.get_mechanism_info(slot, mechanism) {
                Ok(info) => offers.mechanisms.push((mechanism, info)),
                // Listed and then not known: not offered.
                Err(Pkcs11Error::Pkcs11(RvError::MechanismInvalid, _)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if offers.has(MechanismType::RSA_PKCS_OAEP, MechanismInfo::decrypt) {
            offers.oaep = accepted_oaep(session)?;
        }
        Ok(offers)
    }

    fn info(&self, mechanism: MechanismType) -> Option<&MechanismInfo> {
        self.mechanisms.iter().find(|(known, _)| *known == mechanism).map(|(_, info)| info)
    }

    pub(crate) fn has(&self, mechanism: MechanismType, can: fn(&MechanismInfo) -> bool) -> bool {
        self.info(mechanism).is_some_and(can)
    }

    /// Whether a key of any of these sizes fits: some modules count octets where others count bits
    /// (PKCS#11 3.0 §3.3.2 leaves it to the mechanism), and some say nothing.
    fn sized(&self, mechanism: MechanismType, sizes: &[usize]) -> bool {
        self.info(mechanism).is_some_and(|info| {
            let (least, most) = (info.min_key_size(), info.max_key_size());
            most == 0 || sizes.iter().any(|size| (least..=most).contains(size))
        })
    }

    /// The mechanism that makes keys of this algorithm, if the token has one.
    pub(crate) fn generator(&self, algorithm: KeyAlgorithm) -> Option<Mechanism<'static>> {
        let (mechanism, kind, sizes): (_, _, &[usize]) = match algorithm {
            KeyAlgorithm::Rsa2048 => (Mechanism::RsaPkcsKeyPairGen, Pair, &[2048]),
            KeyAlgorithm::Rsa3072 => (Mechanism::RsaPkcsKeyPairGen, Pair, &[3072]),
            KeyAlgorithm::Rsa4096 => (Mechanism::RsaPkcsKeyPairGen, Pair, &[4096]),
            KeyAlgorithm::P256 => (Mechanism::EccKeyPairGen, Pair, &[256]),
            KeyAlgorithm::P384 => (Mechanism::EccKeyPairGen, Pair, &[384]),
            KeyAlgorithm::P521 => (Mechanism::EccKeyPairGen, Pair, &[521]),
            KeyAlgorithm::Ed25519 => (Mechanism::EccEdwardsKeyPairGen, Pair, &[255, 256]),
            KeyAlgorithm::Aes128 => (Mechanism::AesKeyGen, Single, &[16, 128]),
            KeyAlgorithm::Aes256 => (Mechanism::AesKeyGen, Single, &[32, 256]),
            KeyAlgorithm::HmacSha256 | KeyAlgorithm::HmacSha384 | KeyAlgorithm::HmacSha512 => {
                return self.mac_generator(algorithm);
            }
            _ => return None,
        };
        let type_ = mechanism.mechanism_type();
        let can = match kind {
            Pair => MechanismInfo::generate_key_pair,
            Single => MechanismInfo::generate,
        };
        (self.has(type_, can) && self.sized(type_, sizes)).then_some(mechanism)
    }

    fn mac_generator(&self, algorithm: KeyAlgorithm) -> Option<Mechanism<'static>> {
        let own = match algorithm {
            KeyAlgorithm::HmacSha256 => Mechanism::Sha256KeyGen,
            KeyAlgorithm::HmacSha384 => Mechanism::Sha384KeyGen,
            _ => Mechanism::Sha512KeyGen,
        };
        [Mechanism::GenericSecretKeyGen, own]
            .into_iter()
            .find(|mechanism| self.has(mechanism.mechanism_type(), MechanismInfo::generate))
    }

    /// How to sign: what the token is told, and whether it gets the digest instead of the message.
    /// The digest is less to send and what cards know; signing in several calls is what modules
    /// know with the message only, if they have both.
    pub(crate) fn signer(
        &self,
        algorithm: SignatureAlgorithm,
        calls: Calls,
    ) -> Option<(Mechanism<'static>, Input)> {
        let hash = signature_hash(algorithm);
        let mut ways: Vec<(Mechanism<'static>, Input)> = match (algorithm, hash) {
            (SignatureAlgorithm::Ed25519, _) => {
                use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
                let pure = EddsaParams::new(EddsaSignatureScheme::Ed25519);
                vec![(Mechanism::Eddsa(pure), Input::Message)]
            }
            (_, None) => return None,
            (
                SignatureAlgorithm::RsaPkcs1Sha256
                | SignatureAlgorithm::RsaPkcs1Sha384
                | SignatureAlgorithm::RsaPkcs1Sha512,
                Some(hash),
            ) => vec![
                (Mechanism::RsaPkcs, Input::DigestInfo(hash)),
                (
                    hashed(
                        hash,
                        Mechanism::Sha256RsaPkcs,
                        Mechanism::Sha384RsaPkcs,
                        Mechanism::Sha512RsaPkcs,
                    ),
                    Input::Message,
                ),
            ],
            (
                SignatureAlgorithm::RsaPssSha256
                | SignatureAlgorithm::RsaPssSha384
                | SignatureAlgorithm::RsaPssSha512,
                Some(hash),
            ) => {
                let pss = pss(hash);
                let whole = hashed(
                    hash,
                    Mechanism::Sha256RsaPkcsPss(pss),
                    Mechanism::Sha384RsaPkcsPss(pss),
                    Mechanism::Sha512RsaPkcsPss(pss),
                );
                vec![(Mechanism::RsaPkcsPss(pss), Input::Digest(hash)), (whole, Input::Message)]
            }
            (_, Some(hash)) => vec![
                (Mechanism::Ecdsa, Input::Digest(hash)),
                (
                    hashed(
                        hash,
                        Mechanism::EcdsaSha256,
                        Mechanism::EcdsaSha384,
                        Mechanism::EcdsaSha512,
                    ),
                    Input::Message,
                ),
            ],
        };
        if calls == Calls::Several {
            ways.reverse();
        }
        ways.into_iter().find(|(way, _)| self.has(way.mechanism_type(), MechanismInfo::sign))
    }

    /// How to make the MAC of a key.
    pub(crate) fn mac(&self, algorithm: KeyAlgorithm) -> Option<Mechanism<'static>> {
        let mechanism = match algorithm {
            KeyAlgorithm::HmacSha256 => Mechanism::Sha256Hmac,
            KeyAlgorithm::HmacSha384 => Mechanism::Sha384Hmac,
            KeyAlgorithm::HmacSha512 => Mechanism::Sha512Hmac,
            _ => return None,
        };
        self.has(mechanism.mechanism_type(), MechanismInfo::sign).then_some(mechanism)
    }

    /// Whether the token encrypts so.
    pub(crate) fn encrypts(&self, encryption: Encryption) -> bool {
        let both = |mechanism| {
            self.has(mechanism, MechanismInfo::encrypt)
                && self.has(mechanism, MechanismInfo::decrypt)
        };
        match encryption {
            Encryption::AesGcm => both(MechanismType::AES_GCM),
            Encryption::AesCfb => both(MechanismType::AES_CFB128),
            oaep => self.oaep.contains(&oaep),
        }
    }

    pub(crate) fn agrees(&self) -> bool {
        self.has(MechanismType::ECDH1_DERIVE, MechanismInfo::derive)
    }

    /// The lists that an element gives.
    pub(crate) fn capabilities(&self, random: bool) -> Capabilities {
        let keys = KeyAlgorithm::ALL.iter().filter(|algorithm| {
            // Names and ids of keys are drawn from the token's own source.
            random && self.generator(**algorithm).is_some()
        });
        let keys: Vec<_> = keys
            .map(|&algorithm| (algorithm, self.uses(algorithm)))
            .filter(|(_, uses)| !uses.is_empty())
            .collect();
        let known = |list: &dyn Fn(KeyAlgorithm) -> bool| keys.iter().any(|(key, _)| list(*key));
        Capabilities {
            signatures: SignatureAlgorithm::ALL
                .into_iter()
                .filter(|algorithm| self.signer(*algorithm, Calls::One).is_some())
                .filter(|algorithm| known(&|key| key.signatures().contains(algorithm)))
                .collect(),
            encryptions: Encryption::ALL
                .iter()
                .copied()
                .filter(|encryption| self.encrypts(*encryption))
                .filter(|encryption| known(&|key| key.encryptions().contains(encryption)))
                .collect(),
            keys,
            ..Capabilities::default()
        }
    }

    /// What keys of this algorithm can be for on this token. PKCS#11 has no restricted keys, so
    /// none can attest.
    pub(crate) fn uses(&self, algorithm: KeyAlgorithm) -> Vec<KeyUse> {
        let offered = |key_use: &KeyUse| match key_use {
            KeyUse::Sign => algorithm
                .signatures()
                .first()
                .is_some_and(|usual| self.signer(*usual, Calls::One).is_some()),
            KeyUse::Decrypt => {
                algorithm.encryptions().iter().any(|encryption| self.encrypts(*encryption))
            }
            KeyUse::Agree => self.agrees(),
            KeyUse::Mac => self.mac(algorithm).is_some(),
            _ => false,
        };
        algorithm.uses().iter().copied().filter(offered).collect()
    }
}

enum Kind {
    Pair,
    Single,
}
use Kind::{Pair, Single};

/// In how many calls something is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calls {
    One,
    /// The PIN stands between the first and the last.
    Several,
}

/// What is handed to the token to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Message,
    Digest(HashAlgorithm),
    /// `DigestInfo` in DER (RFC 8017 §9.2).
    DigestInfo(HashAlgorithm),
}

const fn signature_hash(algorithm: SignatureAlgorithm) -> Option<HashAlgorithm> {
    Some(match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256
        | SignatureAlgorithm::EcdsaP384Sha256
        | SignatureAlgorithm::RsaPkcs1Sha256
        | SignatureAlgorithm::RsaPssSha256 => HashAlgorithm::Sha256,
        SignatureAlgorithm::EcdsaP384Sha384
        | SignatureAlgorithm::EcdsaP521Sha384
        | SignatureAlgorithm::RsaPkcs1Sha384
        | SignatureAlgorithm::RsaPssSha384 => HashAlgorithm::Sha384,
        SignatureAlgorithm::EcdsaP521Sha512
        | SignatureAlgorithm::RsaPkcs1Sha512
        | SignatureAlgorithm::RsaPssSha512 => HashAlgorithm::Sha512,
        _ => return None,
    })
}

fn hashed<T>(hash: HashAlgorithm, sha256: T, sha384: T, sha512: T) -> T {
    match hash {
        HashAlgorithm::Sha384 => sha384,
        HashAlgorithm::Sha512 => sha512,
        _ => sha256,
    }
}

/// RFC 8017 §9.1: the mask's hash is the message's, the salt as long as the hash.
fn pss(hash: HashAlgorithm) -> PkcsPssParams {
    PkcsPssParams {
        hash_alg: hashed(hash, MechanismType::SHA256, MechanismType::SHA384, MechanismType::SHA512),
        mgf: hashed(
            hash,
            PkcsMgfType::MGF1_SHA256,
            PkcsMgfType::MGF1_SHA384,
            PkcsMgfType::MGF1_SHA512,
        ),
        s_len: Ulong::new(hashed(hash, 32, 48, 64)),
    }
}

/// RSAES-OAEP as the token is told; `None` for what is not OAEP.
pub(crate) fn oaep(encryption: Encryption) -> Option<Mechanism<'static>> {
    let (hash, mask) = match encryption {
        Encryption::RsaOaepSha1 => (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1),
        Encryption::RsaOaepSha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
        Encryption::RsaOaepSha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384),
        Encryption::RsaOaepSha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512),
        _ => return None,
    };
    Some(Mechanism::RsaPkcsOaep(PkcsOaepParams::new(hash, mask, PkcsOaepSource::empty())))
}

/// The forms of OAEP that the token takes. No list tells which hashes those are, so each is tried
/// once, with a public key that lives only in the session.
fn accepted_oaep(session: &Session) -> Result<Vec<Encryption>, Fault> {
    // Odd and 2048 bits long: nobody will decrypt what is encrypted to it.
    let mut modulus = vec![0xc5; 256];
    modulus.iter_mut().skip(1).step_by(2).for_each(|octet| *octet = 0x3b);
    let key = session.create_object(&[
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(KeyType::RSA),
        Attribute::Token(false),
        Attribute::Private(false),
        Attribute::Encrypt(true),
        Attribute::Modulus(modulus),
        Attribute::PublicExponent(vec![1, 0, 1]),
    ]);
    let key = match key {
        Ok(key) => key,
        Err(error) if Fault::lost(&error) => return Err(error.into()),
        // A token without session objects of that kind: only the oldest form is safe to claim.
        Err(_) => return Ok(vec![Encryption::RsaOaepSha1]),
    };
    let mut accepted = Vec::new();
    for &encryption in Encryption::ALL {
        let Some(mechanism) = oaep(encryption) else { continue };
        match session.encrypt(&mechanism, key, b"probe") {
            Ok(_) => accepted.push(encryption),
            Err(error) if Fault::lost(&error) => return Err(error.into()),
            Err(_) => {}
        }
    }
    session.destroy_object(key)?;
    Ok(accepted)
}
