//! Using keys: sign, decrypt, agree, authenticate, encrypt (TPM 2.0 Part 3 §14, §15, §17, §20).

use crate::Error;
use crate::auth::Auth;
use crate::code;
use crate::command::Command;
use crate::handle::{Entity, Hierarchy};
use crate::kdf::Octets;
use crate::marshal::{Reader, Writer};
use crate::object::Object;
use crate::object::creation::ticket;
use crate::public::{
    ALG_CFB, ALG_ECDSA, ALG_ECSCHNORR, ALG_HMAC, ALG_NULL, ALG_OAEP, ALG_RSAES, ALG_RSAPSS,
    ALG_RSASSA, EC_PUBLIC_KEY, oid,
};
use crate::tpm::Tpm;
use alloc::vec::Vec;
use der::Decode;
use spki::SubjectPublicKeyInfoRef;
use touchstone_crypto::{Curve, Direction, HashAlgorithm, SignatureAlgorithm};
use zeroize::Zeroizing;

const ST_VERIFIED: u16 = 0x8022;
const ST_HASHCHECK: u16 = 0x8024;

/// `TPM2B_MAX_BUFFER`: what every TPM takes at once.
const CHUNK: usize = 1024;

/// How a key signs (`TPMT_SIG_SCHEME`, Part 2 §11.2.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningScheme {
    /// As the key was made for.
    OfKey,
    /// RSASSA-PKCS1-v1_5.
    RsaPkcs1(HashAlgorithm),
    /// RSASSA-PSS.
    RsaPss(HashAlgorithm),
    /// ECDSA.
    Ecdsa(HashAlgorithm),
    /// EC-Schnorr.
    EcSchnorr(HashAlgorithm),
    /// HMAC, of an HMAC key.
    Hmac(HashAlgorithm),
}

impl SigningScheme {
    pub(crate) fn parts(self) -> Option<(u16, HashAlgorithm)> {
        match self {
            Self::OfKey => None,
            Self::RsaPkcs1(hash) => Some((ALG_RSASSA, hash)),
            Self::RsaPss(hash) => Some((ALG_RSAPSS, hash)),
            Self::Ecdsa(hash) => Some((ALG_ECDSA, hash)),
            Self::EcSchnorr(hash) => Some((ALG_ECSCHNORR, hash)),
            Self::Hmac(hash) => Some((ALG_HMAC, hash)),
        }
    }

    /// The scheme of a signature algorithm of X.509.
    pub fn of(algorithm: SignatureAlgorithm) -> Result<Self, Error> {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        use SignatureAlgorithm as S;
        Ok(match algorithm {
            S::EcdsaP256Sha256 | S::EcdsaP384Sha256 => Self::Ecdsa(Sha256),
            S::EcdsaP384Sha384 | S::EcdsaP521Sha384 => Self::Ecdsa(Sha384),
            S::EcdsaP521Sha512 => Self::Ecdsa(Sha512),
            S::RsaPkcs1Sha256 => Self::RsaPkcs1(Sha256),
            S::RsaPkcs1Sha384 => Self::RsaPkcs1(Sha384),
            S::RsaPkcs1Sha512 => Self::RsaPkcs1(Sha512),
            S::RsaPssSha256 => Self::RsaPss(Sha256),
            S::RsaPssSha384 => Self::RsaPss(Sha384),
            S::RsaPssSha512 => Self::RsaPss(Sha512),
            _ => return Err(Error::Unsupported("signing with this algorithm")),
        })
    }

    /// The hash that is signed; `None` when only the key says.
    pub fn hash(self) -> Option<HashAlgorithm> {
        self.parts().map(|(_, hash)| hash)
    }

    pub(crate) fn write(self, writer: Writer) -> Writer {
        match self.parts() {
            None => writer.u16(ALG_NULL),
            Some((scheme, hash)) => writer.u16(scheme).u16(hash.tpm_id()),
        }
    }
}

/// How something is encrypted to an RSA key (`TPMT_RSA_DECRYPT`, Part 2 §11.2.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaEncryption {
    /// As the key was made for.
    OfKey,
    /// RSAES-OAEP (RFC 8017 §7.1).
    Oaep(HashAlgorithm),
    /// RSAES-PKCS1-v1_5 (RFC 8017 §7.2): for old ciphertexts.
    Pkcs1,
}

impl RsaEncryption {
    fn write(self, writer: Writer) -> Writer {
        match self {
            Self::OfKey => writer.u16(ALG_NULL),
            Self::Oaep(hash) => writer.u16(ALG_OAEP).u16(hash.tpm_id()),
            Self::Pkcs1 => writer.u16(ALG_RSAES),
        }
    }
}

/// A point on a curve, its coordinates with the most significant octet first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// x.
    pub x: Vec<u8>,
    /// y.
    pub y: Vec<u8>,
}

impl Point {
    /// The point of a public key, `SubjectPublicKeyInfo` in DER (RFC 5480 §2), and its curve.
    pub fn from_spki_der(spki: &[u8]) -> Result<(Curve, Self), Error> {
        const BAD: Error = Error::BadInput("not the public key of an elliptic curve");
        let spki = SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| BAD)?;
        let named = spki.algorithm.parameters_oid().map_err(|_| BAD)?;
        if spki.algorithm.oid != EC_PUBLIC_KEY {
            return Err(BAD);
        }
        let curve = Curve::ALL
            .into_iter()
            .find(|curve| oid(*curve).is_ok_and(|known| known == named))
            .ok_or(Error::Unsupported("a curve other than P-256, P-384 and P-521"))?;
        match spki.subject_public_key.as_bytes() {
            Some([4, point @ ..]) if point.len() == 2 * curve.len() => {
                let (x, y) = point.split_at(curve.len());
                Ok((curve, Self { x: x.to_vec(), y: y.to_vec() }))
            }
            _ => Err(BAD),
        }
    }

    fn encode(&self) -> Result<Vec<u8>, Error> {
        Ok(Writer::default().sized(&self.x)?.sized(&self.y)?.done())
    }

    fn decode(octets: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(octets);
        let point = Self { x: reader.sized()?.to_vec(), y: reader.sized()?.to_vec() };
        reader.end()?;
        Ok(point)
    }
}

/// A digest that the TPM made itself, and its word that the message is none of its own statements:
/// what a restricted key signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// The digest.
    pub digest: Vec<u8>,
    /// `TPMT_TK_HASHCHECK`.
    pub ticket: Vec<u8>,
}

impl Tpm {
    /// `TPM2_Sign`: a `TPMT_SIGNATURE` over a digest.
    pub fn sign(
        &mut self,
        key: &Object,
        auth: Auth,
        scheme: SigningScheme,
        digest: &[u8],
    ) -> Result<Vec<u8>, Error> {
        // No ticket: TPMT_TK_HASHCHECK of the null hierarchy (Part 3 §20.2).
        let ticket = Writer::default().u16(ST_HASHCHECK).u32(Hierarchy::Null.handle()).u16(0);
        self.sign_with(key, auth, scheme, digest, &ticket.done())
    }

    /// The same by a restricted key, which signs only what the TPM hashed itself: see
    /// [`hash`](Self::hash).
    pub fn sign_hashed(
        &mut self,
        key: &Object,
        auth: Auth,
        scheme: SigningScheme,
        hashed: &Hashed,
    ) -> Result<Vec<u8>, Error> {
        self.sign_with(key, auth, scheme, &hashed.digest, &hashed.ticket)
    }

    fn sign_with(
        &mut self,
        key: &Object,
        auth: Auth,
        scheme: SigningScheme,
        digest: &[u8],
        ticket: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let parameters = scheme.write(Writer::default().sized(digest)?).octets(ticket);
        let command = Command::new(code::SIGN).authorized(&key.entity, auth).parameters(parameters);
        Ok(self.run(&command)?.parameters.to_vec())
    }

    /// `TPM2_VerifySignature`: whether a `TPMT_SIGNATURE` over the digest is by the key. Gives a
    /// `TPMT_TK_VERIFIED`, with which `PolicyAuthorize` believes it.
    pub fn verify_signature(
        &mut self,
        key: &Object,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let parameters = Writer::default().sized(digest)?.octets(signature);
        let command =
            Command::new(code::VERIFY_SIGNATURE).handle(&key.entity).parameters(parameters);
        let answer = self.run(&command)?;
        let mut reader = Reader::new(&answer.parameters);
        let ticket = ticket(&mut reader, ST_VERIFIED)?;
        reader.end()?;
        Ok(ticket)
    }

    /// Hashes in the TPM (`TPM2_Hash`, or a sequence when it is long), with a ticket of the owner's
    /// hierarchy.
    pub fn hash(&mut self, hash: HashAlgorithm, message: &[u8]) -> Result<Hashed, Error> {
        let answer = if message.len() <= CHUNK {
            let parameters =
                Writer::default().sized(message)?.u16(hash.tpm_id()).u32(Hierarchy::Owner.handle());
            self.run(&Command::new(code::HASH).parameters(parameters))?.parameters
        } else {
            let start = Command::new(code::HASH_SEQUENCE_START)
                .parameters(Writer::default().u16(0).u16(hash.tpm_id()))
                .nothing_secret();
            self.sequence(&start, Hierarchy::Owner, message, false)?
        };
        let mut reader = Reader::new(&answer);
        let digest = reader.sized()?.to_vec();
        let ticket = ticket(&mut reader, ST_HASHCHECK)?;
        reader.end()?;
        Ok(Hashed { digest, ticket })
    }

    /// `TPM2_RSA_Decrypt`. A label, when there is one, ends with a zero octet (Part 1 Annex B.4).
    pub fn rsa_decrypt(
        &mut self,
        key: &Object,
        auth: Auth,
        encryption: RsaEncryption,
        label: &[u8],
        ciphertext: &[u8],
    ) -> Result<Octets, Error> {
        let parameters = encryption.write(Writer::default().sized(ciphertext)?).sized(label)?;
        self.one(Command::new(code::RSA_DECRYPT).authorized(&key.entity, auth), parameters)
    }

    /// `TPM2_RSA_Encrypt`: what anybody with the public key can do, too.
    pub fn rsa_encrypt(
        &mut self,
        key: &Object,
        encryption: RsaEncryption,
        label: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let parameters = encryption.write(Writer::default().sized(plaintext)?).sized(label)?;
        Ok(self.one(Command::new(code::RSA_ENCRYPT).handle(&key.entity), parameters)?.to_vec())
    }

    /// `TPM2_ECDH_ZGen`: the point shared with a peer. Its x is the secret.
    pub fn ecdh_zgen(&mut self, key: &Object, auth: Auth, peer: &Point) -> Result<Octets, Error> {
        let parameters = Writer::default().sized(&peer.encode()?)?;
        let command = Command::new(code::ECDH_ZGEN).authorized(&key.entity, auth);
        let point = self.one(command, parameters)?;
        let mut reader = Reader::new(&point);
        let x = Zeroizing::new(reader.sized()?.to_vec());
        reader.sized()?;
        reader.end()?;
        Ok(x)
    }

    /// `TPM2_ECDH_KeyGen`: a fresh point, and the x of the point shared with the key's holder.
    pub fn ecdh_key_gen(&mut self, key: &Object) -> Result<(Octets, Point), Error> {
        let answer = self.run(&Command::new(code::ECDH_KEY_GEN).handle(&key.entity))?;
        let mut reader = Reader::new(&answer.parameters);
        let mut shared = Reader::new(reader.sized()?);
        let x = Zeroizing::new(shared.sized()?.to_vec());
        shared.sized()?;
        shared.end()?;
        let fresh = Point::decode(reader.sized()?)?;
        reader.end()?;
        Ok((x, fresh))
    }

    /// HMAC over a message of any length (`TPM2_HMAC`, or a sequence when it is long). The hash is
    /// the key's own.
    pub fn hmac(&mut self, key: &Object, auth: Auth, message: &[u8]) -> Result<Octets, Error> {
        if message.len() <= CHUNK {
            let parameters = Writer::default().sized(message)?.u16(ALG_NULL);
            let command = Command::new(code::HMAC).authorized(&key.entity, auth);
            return self.one(command, parameters);
        }
        let start = Command::new(code::HMAC_START)
            .authorized(&key.entity, auth)
            .parameters(Writer::default().u16(0).u16(ALG_NULL))
            .nothing_secret();
        let answer = self.sequence(&start, Hierarchy::Null, message, true)?;
        Ok(Zeroizing::new(Reader::new(&answer).sized()?.to_vec()))
    }

    /// Starts a sequence, feeds it and gives what `SequenceComplete` gave. It is unloaded when
    /// something fails on the way.
    fn sequence(
        &mut self,
        start: &Command,
        hierarchy: Hierarchy,
        message: &[u8],
        secret: bool,
    ) -> Result<Octets, Error> {
        let handle = self.run(start)?.handle()?;
        // Part 1 §32.4.5: a sequence has no public area, so its name is empty.
        let sequence = Entity::named(handle, Vec::new());
        let fed = self.feed(&sequence, hierarchy, message, secret);
        if fed.is_err() {
            self.flush(handle)?;
        }
        fed
    }

    fn feed(
        &mut self,
        sequence: &Entity,
        hierarchy: Hierarchy,
        message: &[u8],
        secret: bool,
    ) -> Result<Octets, Error> {
        let veiled = |command: Command| if secret { command } else { command.nothing_secret() };
        let mut chunks = message.chunks(CHUNK);
        let last = chunks.next_back().unwrap_or_default();
        for chunk in chunks {
            let update = Command::new(code::SEQUENCE_UPDATE)
                .authorized(sequence, Auth::empty())
                .parameters(Writer::default().sized(chunk)?);
            self.run(&veiled(update))?;
        }
        let complete = Command::new(code::SEQUENCE_COMPLETE)
            .authorized(sequence, Auth::empty())
            .parameters(Writer::default().sized(last)?.u32(hierarchy.handle()));
        Ok(self.run(&veiled(complete))?.parameters)
    }

    /// Encrypts or decrypts with a key of the TPM (`TPM2_EncryptDecrypt2`), any length, in CFB mode.
    pub fn encrypt_decrypt(
        &mut self,
        key: &Object,
        auth: &Auth,
        direction: Direction,
        iv: [u8; 16],
        data: &[u8],
    ) -> Result<Octets, Error> {
        let mut out = Zeroizing::new(Vec::with_capacity(data.len()));
        let mut iv = iv.to_vec();
        for chunk in data.chunks(CHUNK) {
            let parameters = Writer::default()
                .sized(chunk)?
                .u8(u8::from(direction == Direction::Decrypt))
                .u16(ALG_CFB)
                .sized(&iv)?;
            let command = Command::new(code::ENCRYPT_DECRYPT_2)
                .authorized(&key.entity, auth.clone())
                .parameters(parameters);
            let answer = self.run(&command)?;
            let mut reader = Reader::new(&answer.parameters);
            let part = reader.sized()?;
            if part.len() != chunk.len() {
                return Err(Error::Malformed("it holds more or less than was given"));
            }
            out.extend_from_slice(part);
            iv = reader.sized()?.to_vec();
            reader.end()?;
        }
        Ok(out)
    }

    /// `TPM2_Unseal`.
    pub fn unseal(&mut self, object: &Object, auth: Auth) -> Result<Octets, Error> {
        self.one(Command::new(code::UNSEAL).authorized(&object.entity, auth), Writer::default())
    }

    /// Runs a command that answers with one sized buffer.
    pub(crate) fn one(&mut self, command: Command, parameters: Writer) -> Result<Octets, Error> {
        let answer = self.run(&command.parameters(parameters))?;
        let mut reader = Reader::new(&answer.parameters);
        let octets = Zeroizing::new(reader.sized()?.to_vec());
        reader.end()?;
        Ok(octets)
    }
}
