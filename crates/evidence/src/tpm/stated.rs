//! Statements of a TPM beside quotes and certified keys: how a key was created, what stands in an
//! index, what time it is, what was audited. Each is checked against what it is said to be about.
//! Whether it is acceptable is for `policy` to say.

use super::attest::{Attest, Attested, ClockInfo};
use super::kind::{
    ST_ATTEST_COMMAND_AUDIT, ST_ATTEST_CREATION, ST_ATTEST_NV, ST_ATTEST_NV_DIGEST,
    ST_ATTEST_SESSION_AUDIT, ST_ATTEST_TIME,
};
use super::public::{LakPublic, PublicArea, name_of};
use super::verify_attest;
use crate::Error;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, Verified};
use touchstone_wire::Reader;

/// A statement as it came, and whose and how fresh it has to be.
#[derive(Clone, Copy, Debug)]
pub struct Stated<'a> {
    /// TPMS_ATTEST.
    pub attest: &'a [u8],
    /// TPMT_SIGNATURE.
    pub signature: &'a [u8],
    /// Who has to have signed it.
    pub signer: &'a LakPublic,
    /// The qualifying data that was asked for.
    pub qualifying: &'a [u8],
}

/// What stands in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// TPMA_NV.
    pub attributes: u32,
    /// Where in the index it stands.
    pub offset: u16,
    /// What.
    pub octets: Vec<u8>,
}

/// What time it is for a TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeStated {
    /// Milliseconds since the TPM got power.
    pub time: u64,
    /// The TPM's clock.
    pub clock: ClockInfo,
    /// The TPM's firmware version.
    pub firmware_version: u64,
}

/// A command audit whose digests are those expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandsAudited {
    /// How often an audit began: one that is skipped was kept from us.
    pub counter: u64,
}

impl Stated<'_> {
    fn check(&self, crypto: &dyn Crypto) -> Result<Attest, Error> {
        let attest = verify_attest(crypto, self.attest, self.signature, self.signer)?;
        if attest.extra_data == self.qualifying { Ok(attest) } else { Err(Error::NotFresh) }
    }

    /// That the signer's TPM made the key `object` (TPMT_PUBLIC) itself, as `creation_data`
    /// (TPMS_CREATION_DATA) says (TPM 2.0 Part 3 §18.3).
    pub fn creation(
        &self,
        crypto: &dyn Crypto,
        object: &[u8],
        creation_data: &[u8],
    ) -> Result<Verified<PublicArea>, Error> {
        let attest = self.check(crypto)?;
        let Attested::Creation { name, creation_hash } = &attest.attested else {
            return Err(wrong(ST_ATTEST_CREATION, &attest));
        };
        let known = name_of(crypto, object)?;
        if *name != known {
            return Err(Error::WrongName);
        }
        let hash = name_hash(&mut Reader::new(&known))?;
        if crypto.hash(hash, &[creation_data]).as_bytes() != creation_hash.as_slice() {
            return Err(Error::Creation);
        }
        Ok(Verified::vouch(PublicArea::decode(object)?))
    }

    /// What stands in the index of this TPMS_NV_PUBLIC (TPM 2.0 Part 3 §31.16).
    pub fn nv(&self, crypto: &dyn Crypto, public: &[u8]) -> Result<Verified<Contents>, Error> {
        let attest = self.check(crypto)?;
        let Attested::Nv { name, offset, contents } = &attest.attested else {
            return Err(wrong(ST_ATTEST_NV, &attest));
        };
        let attributes = index(crypto, public, name)?;
        let (offset, octets) = (*offset, contents.clone());
        Ok(Verified::vouch(Contents { attributes, offset, octets }))
    }

    /// That the index of this TPMS_NV_PUBLIC holds these octets and nothing else: the digest of all
    /// of them is stated, in the hash of the signature.
    pub fn nv_digest(
        &self,
        crypto: &dyn Crypto,
        public: &[u8],
        octets: &[u8],
    ) -> Result<Verified<Contents>, Error> {
        let attest = self.check(crypto)?;
        let Attested::NvDigest { name, digest } = &attest.attested else {
            return Err(wrong(ST_ATTEST_NV_DIGEST, &attest));
        };
        let attributes = index(crypto, public, name)?;
        let hash = super::Signature::decode(self.signature)?.hash().ok_or(Error::Scheme)?;
        if crypto.hash(hash, &[octets]).as_bytes() != digest.as_slice() {
            return Err(Error::Contents);
        }
        Ok(Verified::vouch(Contents { attributes, offset: 0, octets: octets.to_vec() }))
    }

    /// What time it is (TPM 2.0 Part 3 §18.7).
    pub fn time(&self, crypto: &dyn Crypto) -> Result<Verified<TimeStated>, Error> {
        let attest = self.check(crypto)?;
        let Attested::Time { time, clock, firmware_version } = attest.attested else {
            return Err(wrong(ST_ATTEST_TIME, &attest));
        };
        Ok(Verified::vouch(TimeStated { time, clock, firmware_version }))
    }

    /// That a session ran the commands of a log, of which this is the digest, and whether nothing
    /// ran between them (TPM 2.0 Part 3 §18.5).
    pub fn session_audit(
        &self,
        crypto: &dyn Crypto,
        log: &Digest,
    ) -> Result<Verified<bool>, Error> {
        let attest = self.check(crypto)?;
        let Attested::SessionAudit { exclusive, digest } = &attest.attested else {
            return Err(wrong(ST_ATTEST_SESSION_AUDIT, &attest));
        };
        if digest != log.as_bytes() {
            return Err(Error::Audit);
        }
        Ok(Verified::vouch(*exclusive))
    }

    /// That, of the commands with these codes (TPM_CC), those of a log ran and no others, of which
    /// this is the digest (TPM 2.0 Part 3 §18.6).
    pub fn command_audit(
        &self,
        crypto: &dyn Crypto,
        commands: &[u32],
        log: &Digest,
    ) -> Result<Verified<CommandsAudited>, Error> {
        let attest = self.check(crypto)?;
        let Attested::CommandAudit { counter, algorithm, digest, commands: counted } =
            &attest.attested
        else {
            return Err(wrong(ST_ATTEST_COMMAND_AUDIT, &attest));
        };
        let mut sorted = commands.to_vec();
        sorted.sort_unstable();
        let codes: Vec<u8> = sorted.iter().flat_map(|code| code.to_be_bytes()).collect();
        let hash = log.algorithm();
        let expected = crypto.hash(hash, &[&codes]);
        if *algorithm != hash.tpm_id() || counted != expected.as_bytes() || digest != log.as_bytes()
        {
            return Err(Error::Audit);
        }
        Ok(Verified::vouch(CommandsAudited { counter: *counter }))
    }
}

fn wrong(wanted: u16, attest: &Attest) -> Error {
    Error::WrongType { wanted, found: attest.kind }
}

fn name_hash(reader: &mut Reader<'_>) -> Result<HashAlgorithm, Error> {
    let id = reader.u16()?;
    let unknown = Error::Unsupported { item: "the hash of a name", id: u32::from(id) };
    HashAlgorithm::from_tpm_id(id).ok_or(unknown)
}

/// The attributes of the index of a TPMS_NV_PUBLIC (TPM 2.0 Part 2 §13.5) that has this name.
fn index(crypto: &dyn Crypto, public: &[u8], name: &[u8]) -> Result<u32, Error> {
    let read = || {
        let mut reader = Reader::new(public);
        reader.u32()?;
        let hash = name_hash(&mut reader)?;
        let attributes = reader.u32()?;
        reader.sized_u16()?;
        reader.u16()?;
        reader.finish()?;
        Ok::<_, Error>((hash, attributes))
    };
    let (hash, attributes) = read().map_err(|error| error.in_item("TPMS_NV_PUBLIC"))?;
    let digest = crypto.hash(hash, &[public]);
    if name == [&hash.tpm_id().to_be_bytes(), digest.as_bytes()].concat() {
        Ok(attributes)
    } else {
        Err(Error::WrongName)
    }
}
