//! How an object came to be, as the TPM states it: `TPMS_CREATION_DATA` (TPM 2.0 Part 2 §15.1), its
//! hash and its ticket.

use crate::Error;
use crate::handle::Hierarchy;
use crate::kdf::same;
use crate::marshal::{Reader, Writer};
use crate::public::{ALG_NULL, hash_algorithm};
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

const ST_CREATION: u16 = 0x8021;

/// The most banks in a selection, and octets in a bank's bit map: more than any TPM has.
const MAX_BANKS: u32 = 16;
const MAX_BITMAP: u8 = 4;

/// What was asked to be recorded when an object is created.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) outside: &'a [u8],
    /// `TPML_PCR_SELECTION`.
    pub(crate) pcrs: &'a [u8],
    pub(crate) parent_name: &'a [u8],
    pub(crate) parent_hash: Option<HashAlgorithm>,
}

/// How an object came to be: as the TPM wrote it, and its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreationData {
    native: Vec<u8>,
    /// Registers selected, as `TPML_PCR_SELECTION`.
    pub pcr_selection: Vec<u8>,
    /// The digest of their values, in the hash of the object's name.
    pub pcr_digest: Vec<u8>,
    /// `TPMA_LOCALITY` of the command.
    pub locality: u8,
    /// The parent's name, or the hierarchy's handle.
    pub parent_name: Vec<u8>,
    /// The parent's qualified name, which names all its ancestors.
    pub parent_qualified_name: Vec<u8>,
    /// What the caller asked to have recorded.
    pub outside: Vec<u8>,
    parent_hash: Option<HashAlgorithm>,
}

impl CreationData {
    /// Reads a `TPMS_CREATION_DATA` (not the `TPM2B_CREATION_DATA` around it), all of it.
    pub fn decode(native: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(native);
        let pcr_selection = selection(&mut reader)?;
        let pcr_digest = reader.sized()?.to_vec();
        let locality = reader.u8()?;
        let parent_hash = match reader.u16()? {
            ALG_NULL => None,
            id => Some(hash_algorithm(id)?),
        };
        let parent_name = reader.sized()?.to_vec();
        let parent_qualified_name = reader.sized()?.to_vec();
        let outside = reader.sized()?.to_vec();
        reader.end()?;
        Ok(Self {
            native: native.to_vec(),
            pcr_selection,
            pcr_digest,
            locality,
            parent_name,
            parent_qualified_name,
            outside,
            parent_hash,
        })
    }

    /// The octets the hash is over.
    pub fn native(&self) -> &[u8] {
        &self.native
    }

    fn check(
        &self,
        name_hash: HashAlgorithm,
        asked: &Asked<'_>,
        crypto: &dyn Crypto,
    ) -> Result<(), Error> {
        let wrong = |what| Err(Error::Malformed(what));
        if self.outside != asked.outside {
            return wrong("its creation data is not about what was asked");
        }
        if self.pcr_selection != asked.pcrs {
            return wrong("its creation data is about other PCRs");
        }
        if self.parent_name != asked.parent_name || self.parent_hash != asked.parent_hash {
            return wrong("its creation data names another parent");
        }
        let bare = asked.pcrs == [0; 4];
        if self.pcr_digest.len() != name_hash.len()
            || bare && self.pcr_digest != crypto.hash(name_hash, &[]).as_bytes()
        {
            return wrong("its creation data has no digest of the PCRs");
        }
        Ok(())
    }
}

/// What a creation leaves besides the object: checked against what was asked, and good for
/// [`certify_creation`](crate::Tpm::certify_creation).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// How the object came to be.
    pub data: CreationData,
    /// The hash of [`CreationData::native`], in the hash of the object's name.
    pub hash: Digest,
    /// `TPMT_TK_CREATION`, with which this TPM knows its own creation again.
    pub ticket: Vec<u8>,
}

impl Creation {
    /// Reads `TPM2B_CREATION_DATA`, `TPM2B_DIGEST` and `TPMT_TK_CREATION`, and checks that they
    /// belong together and state what was asked.
    pub(crate) fn decode(
        reader: &mut Reader<'_>,
        name_hash: HashAlgorithm,
        asked: &Asked<'_>,
        crypto: &dyn Crypto,
    ) -> Result<Self, Error> {
        let data = CreationData::decode(reader.sized()?)?;
        let hash = reader.sized()?;
        let expected = crypto.hash(name_hash, &[&data.native]);
        if !same(hash, expected.as_bytes()) {
            return Err(Error::Malformed("the hash is not that of its creation data"));
        }
        data.check(name_hash, asked, crypto)?;
        let ticket = ticket(reader, ST_CREATION)?;
        Ok(Self { data, hash: expected, ticket })
    }
}

/// Reads a `TPMT_TK_..` of that tag (Part 2 §10.7): tag, hierarchy, digest.
pub(crate) fn ticket(reader: &mut Reader<'_>, tag: u16) -> Result<Vec<u8>, Error> {
    if reader.u16()? != tag {
        return Err(Error::Malformed("its ticket is of another kind"));
    }
    let hierarchy = reader.u32()?;
    if !Hierarchy::ALL.iter().any(|known| known.handle() == hierarchy) {
        return Err(Error::Malformed("its ticket is of no hierarchy"));
    }
    Ok(Writer::default().u16(tag).u32(hierarchy).sized(reader.sized()?)?.done())
}

fn selection(reader: &mut Reader<'_>) -> Result<Vec<u8>, Error> {
    let banks = reader.u32()?;
    if banks > MAX_BANKS {
        return Err(Error::Malformed("its creation data selects more banks than there are"));
    }
    let mut writer = Writer::default().u32(banks);
    for _ in 0..banks {
        let (hash, len) = (reader.u16()?, reader.u8()?);
        if len > MAX_BITMAP {
            return Err(Error::Malformed("its creation data selects more PCRs than there are"));
        }
        writer = writer.u16(hash).u8(len).octets(reader.take(usize::from(len))?);
    }
    Ok(writer.done())
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_crypto_awslc::AwsLc;

    const SHA256: HashAlgorithm = HashAlgorithm::Sha256;

    fn answer(outside: &[u8], parent: &[u8]) -> Vec<u8> {
        let none = AwsLc.hash(SHA256, &[]);
        let data = Writer::default()
            .u32(0)
            .sized(none.as_bytes())
            .unwrap()
            .u8(1)
            .u16(ALG_NULL)
            .sized(parent)
            .unwrap()
            .sized(parent)
            .unwrap()
            .sized(outside)
            .unwrap()
            .done();
        let hash = AwsLc.hash(SHA256, &[&data]);
        Writer::default()
            .sized(&data)
            .unwrap()
            .sized(hash.as_bytes())
            .unwrap()
            .u16(ST_CREATION)
            .u32(0x4000_0001)
            .sized(&[9; 32])
            .unwrap()
            .done()
    }

    fn check(octets: &[u8]) -> Result<Creation, Error> {
        let asked = Asked {
            outside: b"why",
            pcrs: &[0; 4],
            parent_name: &[0x40, 0, 0, 1],
            ..Asked::default()
        };
        let mut reader = Reader::new(octets);
        let creation = Creation::decode(&mut reader, SHA256, &asked, &AwsLc)?;
        reader.end()?;
        Ok(creation)
    }

    #[test]
    fn a_creation_as_it_was_asked_for_is_accepted() {
        let creation = check(&answer(b"why", &[0x40, 0, 0, 1])).unwrap();
        assert_eq!(creation.data.outside, b"why");
        assert_eq!(creation.data.locality, 1);
        assert_eq!(creation.ticket.len(), 2 + 4 + 2 + 32);
    }

    #[test]
    fn a_creation_that_somebody_else_asked_for_or_under_another_parent_is_refused() {
        for (outside, parent) in [(b"not", [0x40, 0, 0, 1]), (b"why", [0x40, 0, 0, 0xB])] {
            assert!(matches!(check(&answer(outside, &parent)), Err(Error::Malformed(_))));
        }
    }

    #[test]
    fn a_flipped_bit_or_a_cut_never_passes_for_the_real_data() {
        let good = answer(b"why", &[0x40, 0, 0, 1]);
        for cut in 0..good.len() {
            assert!(check(&good[..cut]).is_err());
        }
        // The digest in the ticket is the TPM's own business.
        for bit in 0..(good.len() - 40) * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_selection_without_end_is_refused_before_it_is_read() {
        let many = Writer::default().u32(u32::MAX).octets(&[0; 64]).done();
        assert!(matches!(CreationData::decode(&many), Err(Error::Malformed(_))));
    }
}
