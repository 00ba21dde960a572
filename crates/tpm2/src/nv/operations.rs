//! Reading, writing, counting, locking (TPM 2.0 Part 3 §31.6 to §31.15).

use super::attributes::{
    AUTHREAD, OWNERREAD, READ_STCLEAR, READLOCKED, WRITE_STCLEAR, WRITEALL, WRITEDEFINE,
    WRITELOCKED, WRITTEN,
};
use super::{CHUNK, Index, Kind, Why};
use crate::Error;
use crate::auth::{Auth, AuthValue};
use crate::code::{self, Code};
use crate::command::Command;
use crate::handle::{Entity, Hierarchy};
use crate::kdf::Octets;
use crate::marshal::{Reader, Writer};
use crate::tpm::Tpm;
use alloc::vec::Vec;
use touchstone_crypto::Digest;
use zeroize::Zeroizing;

/// By whose authorization an index is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The owner's.
    Owner,
    /// The platform's.
    Platform,
    /// The index' own: its value, or a policy session that has earned its policy.
    Index(Auth),
}

impl By {
    pub(crate) fn of(&self, tpm: &Tpm, index: &Index) -> (Entity, Auth) {
        match self {
            Self::Owner => (Hierarchy::Owner.entity(), tpm.hierarchy_auth(Hierarchy::Owner)),
            Self::Platform => {
                (Hierarchy::Platform.entity(), tpm.hierarchy_auth(Hierarchy::Platform))
            }
            Self::Index(auth) => (index.entity.clone(), auth.clone()),
        }
    }

    /// A policy is earned for one command (Part 1 §19.7.1).
    const fn works_once(&self) -> bool {
        matches!(self, Self::Index(Auth::Policy(..)))
    }
}

const TOO_MUCH: Error = Error::BadInput(
    "a policy session authorizes one command, and this takes several; use a part at a time",
);

/// How a PIN index stands (`TPMS_NV_PIN_COUNTER_PARAMETERS`, Part 2 §13.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinCount {
    /// Wrong tries, or right uses, so far.
    pub count: u32,
    /// When it ends.
    pub limit: u32,
}

impl Tpm {
    fn nv_command(&self, code: Code, index: &Index, by: &By) -> Command {
        let (entity, auth) = by.of(self, index);
        Command::new(code).authorized(&entity, auth).handle(&index.entity)
    }

    /// Octets that one command can read or write.
    fn nv_room(&mut self, wanted: usize) -> Result<usize, Error> {
        if wanted <= usize::from(CHUNK) {
            return Ok(usize::from(CHUNK));
        }
        let room = self.properties_fixed()?.nv_buffer_max;
        // The message has to hold the rest of the command too.
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(2048);
        if room == 0 { Err(Error::Malformed("it has no room to read an index")) } else { Ok(room) }
    }

    /// `TPM2_NV_Read`: octets of an index, encrypted on their way.
    pub fn nv_read(
        &mut self,
        index: &Index,
        by: &By,
        len: u16,
        offset: u16,
    ) -> Result<Octets, Error> {
        self.nv_read_parts(index, by, len, offset, true)
    }

    /// All that an index holds.
    pub fn nv_read_all(&mut self, index: &Index, by: &By) -> Result<Octets, Error> {
        self.nv_read(index, by, index.size, 0)
    }

    fn nv_read_parts(
        &mut self,
        index: &Index,
        by: &By,
        len: u16,
        offset: u16,
        secret: bool,
    ) -> Result<Octets, Error> {
        let outside = index.fault(Why::OutOfRange { size: index.size });
        let end = offset.checked_add(len).filter(|end| *end <= index.size).ok_or(outside)?;
        let room = self.nv_room(usize::from(len))?;
        if by.works_once() && usize::from(len) > room {
            return Err(TOO_MUCH);
        }
        let room = u16::try_from(room).unwrap_or(u16::MAX);
        let mut data = Zeroizing::new(Vec::with_capacity(usize::from(len)));
        let mut at = offset;
        // An empty read is asked for too: it tells whether one may read.
        while at < end || at == offset {
            let part = room.min(end - at);
            let read = self
                .nv_command(code::NV_READ, index, by)
                .parameters(Writer::default().u16(part).u16(at));
            let read = if secret { read } else { read.nothing_secret() };
            let answer = self.nv_run(index, &read)?;
            let octets = Reader::new(&answer.parameters).sized()?;
            if octets.len() != usize::from(part) {
                return Err(Error::Malformed("fewer octets of the index than asked for"));
            }
            data.extend_from_slice(octets);
            if part == 0 {
                break;
            }
            at += part;
        }
        Ok(data)
    }

    /// All that an index holds that anyone may read, in the clear: a certificate. `None` where
    /// nothing was ever written.
    pub fn nv_read_open(&mut self, handle: u32) -> Result<Option<Vec<u8>>, Error> {
        let Some(index) = self.nv_index(handle)?.filter(Index::is_written) else {
            return Ok(None);
        };
        let by = if index.attributes.has(AUTHREAD) || !index.attributes.has(OWNERREAD) {
            By::Index(Auth::empty())
        } else {
            By::Owner
        };
        let data = self.nv_read_parts(&index, &by, index.size, 0, false)?;
        Ok(Some(data.to_vec()))
    }

    /// `TPM2_NV_Write`: octets into an ordinary index, encrypted on their way.
    pub fn nv_write(
        &mut self,
        index: &mut Index,
        by: &By,
        data: &[u8],
        offset: u16,
    ) -> Result<(), Error> {
        index.has_to_be(Kind::Ordinary)?;
        self.nv_write_parts(index, by, data, offset, true)
    }

    /// The same in the clear, for what is no secret: a certificate.
    pub fn nv_write_open(
        &mut self,
        index: &mut Index,
        by: &By,
        data: &[u8],
        offset: u16,
    ) -> Result<(), Error> {
        index.has_to_be(Kind::Ordinary)?;
        self.nv_write_parts(index, by, data, offset, false)
    }

    fn nv_write_parts(
        &mut self,
        index: &mut Index,
        by: &By,
        data: &[u8],
        offset: u16,
        secret: bool,
    ) -> Result<(), Error> {
        let size = index.size;
        let len = u16::try_from(data.len()).ok();
        if index.attributes.has(WRITEALL) && (len != Some(size) || offset != 0) {
            return Err(index.fault(Why::WrongSize { size }));
        }
        if len.and_then(|len| offset.checked_add(len)).is_none_or(|end| end > size) {
            return Err(index.fault(Why::OutOfRange { size }));
        }
        let room = self.nv_room(data.len())?;
        let several = data.len() > room;
        if several && (by.works_once() || index.attributes.has(WRITEALL)) {
            return Err(TOO_MUCH);
        }
        let mut at = offset;
        for part in data.chunks(room).chain(data.is_empty().then_some(data)) {
            let (entity, auth) = by.of(self, index);
            let write = nv_write(&entity, auth, &index.entity, part, at)?;
            let write = if secret { write } else { write.nothing_secret() };
            self.nv_run(index, &write)?;
            index.now_has(self.crypto, WRITTEN)?;
            at = at.saturating_add(u16::try_from(part.len()).unwrap_or(u16::MAX));
        }
        Ok(())
    }

    /// `TPM2_NV_Increment`: adds one to a counter. The first time it becomes one more than any
    /// counter of this TPM ever was.
    pub fn nv_increment(&mut self, index: &mut Index, by: &By) -> Result<(), Error> {
        index.has_to_be(Kind::Counter)?;
        let command = self.nv_command(code::NV_INCREMENT, index, by);
        self.nv_run(index, &command)?;
        index.now_has(self.crypto, WRITTEN)
    }

    /// Where a counter stands.
    pub fn nv_counter(&mut self, index: &Index, by: &By) -> Result<u64, Error> {
        index.has_to_be(Kind::Counter)?;
        self.nv_number(index, by)
    }

    /// `TPM2_NV_SetBits`: sets these bits beside those that are set.
    pub fn nv_set_bits(&mut self, index: &mut Index, by: &By, bits: u64) -> Result<(), Error> {
        index.has_to_be(Kind::Bits)?;
        let command = self.nv_command(code::NV_SET_BITS, index, by);
        self.nv_run(index, &command.parameters(Writer::default().u64(bits)))?;
        index.now_has(self.crypto, WRITTEN)
    }

    /// The bits that are set.
    pub fn nv_bits(&mut self, index: &Index, by: &By) -> Result<u64, Error> {
        index.has_to_be(Kind::Bits)?;
        self.nv_number(index, by)
    }

    fn nv_number(&mut self, index: &Index, by: &By) -> Result<u64, Error> {
        let octets = self.nv_read(index, by, 8, 0)?;
        let mut reader = Reader::new(&octets);
        let number = reader.u64()?;
        reader.end()?;
        Ok(number)
    }

    /// `TPM2_NV_Extend`: the index becomes the digest of itself and `data`.
    pub fn nv_extend(&mut self, index: &mut Index, by: &By, data: &[u8]) -> Result<(), Error> {
        index.has_to_be(Kind::Extend)?;
        let room = self.nv_room(data.len())?;
        if data.len() > room {
            return Err(Error::BadInput("more than one command takes; extend with its digest"));
        }
        let command = self.nv_command(code::NV_EXTEND, index, by);
        self.nv_run(index, &command.parameters(Writer::default().sized(data)?))?;
        index.now_has(self.crypto, WRITTEN)
    }

    /// The digest of an extended index.
    pub fn nv_extended(&mut self, index: &Index, by: &By) -> Result<Digest, Error> {
        index.has_to_be(Kind::Extend)?;
        let octets = self.nv_read_all(index, by)?;
        let wrong = Error::Malformed("an extended index has not its hash's length");
        Digest::new(index.name_algorithm, &octets).ok_or(wrong)
    }

    /// Sets a PIN index' count and limit.
    pub fn nv_set_pin(&mut self, index: &mut Index, by: &By, pin: PinCount) -> Result<(), Error> {
        is_pin(index)?;
        let octets = Writer::default().u32(pin.count).u32(pin.limit).done();
        self.nv_write_parts(index, by, &octets, 0, true)
    }

    /// How a PIN index stands.
    pub fn nv_pin(&mut self, index: &Index, by: &By) -> Result<PinCount, Error> {
        is_pin(index)?;
        let octets = self.nv_read(index, by, 8, 0)?;
        let mut reader = Reader::new(&octets);
        let pin = PinCount { count: reader.u32()?, limit: reader.u32()? };
        reader.end()?;
        Ok(pin)
    }

    /// `TPM2_NV_WriteLock`: until the TPM starts again, or for good, as it was defined.
    pub fn nv_write_lock(&mut self, index: &mut Index, by: &By) -> Result<(), Error> {
        if !index.attributes.has(WRITE_STCLEAR) && !index.attributes.has(WRITEDEFINE) {
            return Err(Error::BadInput("the index was not defined to be locked against writing"));
        }
        let command = self.nv_command(code::NV_WRITE_LOCK, index, by);
        self.nv_run(index, &command)?;
        index.now_has(self.crypto, WRITELOCKED)
    }

    /// `TPM2_NV_ReadLock`: until the TPM starts again.
    pub fn nv_read_lock(&mut self, index: &mut Index, by: &By) -> Result<(), Error> {
        if !index.attributes.has(READ_STCLEAR) {
            return Err(Error::BadInput("the index was not defined to be locked against reading"));
        }
        let command = self.nv_command(code::NV_READ_LOCK, index, by);
        self.nv_run(index, &command)?;
        index.now_has(self.crypto, READLOCKED)
    }

    /// `TPM2_NV_GlobalWriteLock`: all indices that were defined for it, until the TPM starts again.
    /// Look for them anew: their names change.
    pub fn nv_global_write_lock(&mut self, hierarchy: Hierarchy) -> Result<(), Error> {
        let auth = self.hierarchy_auth(hierarchy);
        let lock = Command::new(code::NV_GLOBAL_WRITE_LOCK);
        self.run(&lock.authorized(&hierarchy.entity(), auth))?;
        Ok(())
    }

    /// `TPM2_NV_ChangeAuth`: another value for the index. Takes a policy that is for this command.
    pub fn nv_change_auth(
        &mut self,
        index: &Index,
        policy: Auth,
        new: &AuthValue,
    ) -> Result<(), Error> {
        let command = Command::new(code::NV_CHANGE_AUTH)
            .authorized(&index.entity, policy)
            .parameters(Writer::default().sized(new.expose())?)
            .changes_value_to(new.clone());
        self.nv_run(index, &command)?;
        Ok(())
    }
}

fn is_pin(index: &Index) -> Result<(), Error> {
    index
        .has_to_be(Kind::PinFail)
        .or_else(|error| index.has_to_be(Kind::PinPass).map_err(|_| error))
}

/// `TPM2_NV_Write` of octets that fit at once.
pub fn nv_write(
    by: &Entity,
    auth: Auth,
    index: &Entity,
    data: &[u8],
    offset: u16,
) -> Result<Command, Error> {
    Ok(Command::new(code::NV_WRITE)
        .authorized(by, auth)
        .handle(index)
        .parameters(Writer::default().sized(data)?.u16(offset)))
}
