//! Counters by name: an NV counter each (TPM 2.0 Part 1 §37.2.5), which no rolled-back disk takes
//! back. The TPM starts a new one above all that it ever had.

use crate::tpm::Tpm;
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Counting, Error, check_name};
use touchstone_tpm2::marshal::Reader;
use touchstone_tpm2::nv::attributes::WRITTEN;
use touchstone_tpm2::nv::{Attributes, By, Index, Kind, NewIndex, Party};
use touchstone_tpm2::{self as tpm2, Hierarchy};

/// One index a name, in the owner's range (TCG Registry of Reserved TPM 2.0 Handles §2.2), beside
/// those of our storage.
const BASE: u32 = 0x0182_0000;

const NOT_OURS: tpm2::Error = tpm2::Error::BadInput(
    "the TPM's index for this counter is something else; choose another name or undefine the index",
);

fn attributes() -> Attributes {
    Attributes::new().written_by(&[Party::Owner]).read_by(&[Party::Owner]).no_lockout()
}

fn digest_of(name: &str) -> Vec<u8> {
    let parts: [&[u8]; 3] = [b"touchstone-counter", &[0], name.as_bytes()];
    AwsLc.hash(HashAlgorithm::Sha256, &parts).as_bytes().to_vec()
}

fn handle_of(digest: &[u8]) -> Result<u32, tpm2::Error> {
    Ok(BASE | u32::from(Reader::new(digest).u16()?))
}

/// Where the counter of that name is, when it is there.
fn find(tpm: &mut tpm2::Tpm, digest: &[u8]) -> Result<Option<Index>, tpm2::Error> {
    let Some(index) = tpm.nv_index(handle_of(digest)?)? else { return Ok(None) };
    // A counter has no room for its name: it stands where its policy would, which nobody may use.
    let used = index.attributes.bits() & !WRITTEN & !(0xF << 4);
    let ours = index.kind() == Some(Kind::Counter) && used == attributes().bits();
    if ours && index.policy == digest { Ok(Some(index)) } else { Err(NOT_OURS) }
}

fn increment(tpm: &mut tpm2::Tpm, name: &str) -> Result<u64, tpm2::Error> {
    let digest = digest_of(name);
    let mut index = if let Some(index) = find(tpm, &digest)? {
        index
    } else {
        let new = NewIndex::counter(handle_of(&digest)?).attributes(attributes()).policy(&digest);
        tpm.nv_define(Hierarchy::Owner, &new)?
    };
    tpm.nv_increment(&mut index, &By::Owner)?;
    tpm.nv_counter(&index, &By::Owner)
}

impl Counting for Tpm {
    fn counter(&mut self, name: &str) -> Result<Option<u64>, Error> {
        check_name(name)?;
        self.ask(|tpm| match find(tpm, &digest_of(name))?.filter(Index::is_written) {
            Some(index) => tpm.nv_counter(&index, &By::Owner).map(Some),
            None => Ok(None),
        })
    }

    fn increment(&mut self, name: &str) -> Result<u64, Error> {
        check_name(name)?;
        self.ask(|tpm| increment(tpm, name))
    }

    fn delete_counter(&mut self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        self.ask(|tpm| match find(tpm, &digest_of(name))? {
            Some(index) => tpm.nv_undefine(Hierarchy::Owner, &index),
            None => Ok(()),
        })
    }
}

impl Tpm {
    /// The conversation itself: indices, hierarchies, lockout, self-tests and whatever else only a
    /// TPM has (`touchstone_tpm2::nv`, `touchstone_tpm2::admin`).
    pub fn admin(&mut self) -> &mut tpm2::Tpm {
        &mut self.talk
    }
}
