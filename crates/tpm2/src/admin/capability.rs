//! What a TPM has and can do, as it lists it (`TPM2_GetCapability`, TPM 2.0 Part 3 §30.2).

use crate::Error;
use crate::code::{self, Code};
use crate::command::Command;
use crate::marshal::{Reader, Writer};
use crate::pcr;
use crate::tpm::Tpm;
use alloc::vec::Vec;
use core::fmt;

/// `TPM_CAP` (Part 2 §6.12).
const CAP_ALGS: u32 = 0;
const CAP_HANDLES: u32 = 1;
const CAP_COMMANDS: u32 = 2;
const CAP_PP_COMMANDS: u32 = 3;
const CAP_AUDIT_COMMANDS: u32 = 4;
const CAP_PCRS: u32 = 5;
const CAP_TPM_PROPERTIES: u32 = 6;
const CAP_PCR_PROPERTIES: u32 = 7;
const CAP_ECC_CURVES: u32 = 8;
const CAP_AUTH_POLICIES: u32 = 9;

/// Asked for at a time.
const PAGE: u32 = 64;
/// Pages of one list: more than any TPM has.
const PAGES: usize = 64;

/// An algorithm that a TPM has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithm {
    /// `TPM_ALG_ID`.
    pub id: u16,
    /// `TPMA_ALGORITHM`: 1 asymmetric, 2 symmetric, 4 hash, 8 object, 0x100 signing, 0x200
    /// encrypting, 0x400 method (Part 2 §8.2).
    pub attributes: u32,
}

impl Algorithm {
    /// The name, without `TPM_ALG_`; `None` for one that is not known here.
    pub fn name(&self) -> Option<&'static str> {
        algorithm_name(self.id)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:04x}", self.id),
        }
    }
}

/// A command that a TPM has (`TPMA_CC`, Part 2 §8.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandAttributes(pub u32);

impl CommandAttributes {
    /// `TPM_CC`.
    pub const fn number(self) -> u32 {
        self.0 & 0x2000_FFFF
    }

    /// The command, where it is known here.
    pub fn code(self) -> Option<Code> {
        Code::from_number(self.number())
    }

    /// Whether it may write to storage.
    pub const fn writes(self) -> bool {
        self.0 & 1 << 22 != 0
    }

    /// How many handles it takes.
    pub const fn handles(self) -> usize {
        ((self.0 >> 25) & 7) as usize
    }

    /// Whether its response has a handle.
    pub const fn makes_handle(self) -> bool {
        self.0 & 1 << 28 != 0
    }

    /// Whether it is the maker's own.
    pub const fn is_vendors(self) -> bool {
        self.0 & 1 << 29 != 0
    }
}

/// A property of PCRs, and which have it (`TPMS_TAGGED_PCR_SELECT`, Part 2 §10.9.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrProperty {
    /// `TPM_PT_PCR`: 0 saved over a resume; 1, 3, 5, 7, 9 extended and 2, 4, 6, 8, 10 reset from
    /// locality 0 to 4; 17 no increment of the update counter; 18 reset only by a D-RTM event.
    pub property: u32,
    /// The registers.
    pub pcrs: Vec<u8>,
}

/// The policy of a hierarchy, where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthPolicy {
    /// The hierarchy's handle.
    pub handle: u32,
    /// `TPMT_HA` without its digest: `TPM_ALG_NULL` (0x10) for no policy.
    pub hash: u16,
    /// The policy's digest.
    pub digest: Vec<u8>,
}

impl Tpm {
    /// A list of any capability, to its end.
    pub fn list<T>(
        &mut self,
        capability: u32,
        first: u32,
        decode: impl Fn(&mut Reader<'_>) -> Result<T, Error>,
        number: impl Fn(&T) -> u32,
    ) -> Result<Vec<T>, Error> {
        let (mut all, mut next) = (Vec::new(), first);
        for _ in 0..PAGES {
            let parameters = Writer::default().u32(capability).u32(next).u32(PAGE);
            let answer = self.run(&Command::new(code::GET_CAPABILITY).parameters(parameters))?;
            let (page, more) = decode_page(&answer.parameters, capability, &decode)?;
            let last = page.last().map(&number);
            all.extend(page);
            match last {
                Some(last) if more && last >= next && last < u32::MAX => next = last + 1,
                None | Some(_) if more => {
                    return Err(Error::Malformed("it promises more and gives nothing new"));
                }
                _ => return Ok(all),
            }
        }
        Err(Error::Malformed("its list has no end"))
    }

    /// The algorithms that it has.
    pub fn algorithms(&mut self) -> Result<Vec<Algorithm>, Error> {
        let decode = |reader: &mut Reader<'_>| {
            Ok(Algorithm { id: reader.u16()?, attributes: reader.u32()? })
        };
        self.list(CAP_ALGS, 0, decode, |algorithm| u32::from(algorithm.id))
    }

    /// All handles from `first` on, of its kind.
    pub fn all_handles(&mut self, first: u32) -> Result<Vec<u32>, Error> {
        self.list(CAP_HANDLES, first, long, |handle| *handle)
    }

    /// The commands that it has.
    pub fn commands(&mut self) -> Result<Vec<CommandAttributes>, Error> {
        let decode = |reader: &mut Reader<'_>| Ok(CommandAttributes(reader.u32()?));
        self.list(CAP_COMMANDS, 0, decode, |command| command.number())
    }

    /// The commands (`TPM_CC`) that need somebody present at the device.
    pub fn presence_commands(&mut self) -> Result<Vec<u32>, Error> {
        self.list(CAP_PP_COMMANDS, 0, long, |command| *command)
    }

    /// The commands (`TPM_CC`) that the command audit counts.
    pub fn audited_commands(&mut self) -> Result<Vec<u32>, Error> {
        self.list(CAP_AUDIT_COMMANDS, 0, long, |command| *command)
    }

    /// Which registers there are in each bank (`TPM_ALG_ID`); in a bank that is not in use, none.
    pub fn pcr_allocation(&mut self) -> Result<Vec<(u16, Vec<u8>)>, Error> {
        let listed = self.capability(CAP_PCRS, 0, 1)?;
        let banks = pcr::decode_selections(&mut Reader::new(&listed))?;
        Ok(banks.into_iter().map(|(bank, bits)| (bank, pcr::numbers(bits))).collect())
    }

    /// Properties from `first` on, as they are numbered (`TPM_PT`), and their values.
    pub fn properties(&mut self, first: u32) -> Result<Vec<(u32, u32)>, Error> {
        let decode = |reader: &mut Reader<'_>| Ok((reader.u32()?, reader.u32()?));
        self.list(CAP_TPM_PROPERTIES, first, decode, |(property, _)| *property)
    }

    /// What may be done with which registers.
    pub fn pcr_properties(&mut self) -> Result<Vec<PcrProperty>, Error> {
        let decode = |reader: &mut Reader<'_>| {
            let property = reader.u32()?;
            let len = reader.u8()?;
            let pcrs = pcr::numbers(pcr::bits_of(reader.take(usize::from(len))?));
            Ok(PcrProperty { property, pcrs })
        };
        self.list(CAP_PCR_PROPERTIES, 0, decode, |property| property.property)
    }

    /// The elliptic curves that it has (`TPM_ECC_CURVE`).
    pub fn curves(&mut self) -> Result<Vec<u16>, Error> {
        self.list(CAP_ECC_CURVES, 0, short, |curve| u32::from(*curve))
    }

    /// The policies of the hierarchies.
    pub fn auth_policies(&mut self) -> Result<Vec<AuthPolicy>, Error> {
        let decode = |reader: &mut Reader<'_>| {
            let (handle, hash) = (reader.u32()?, reader.u16()?);
            let len = crate::public::hash_len(hash)?;
            Ok(AuthPolicy { handle, hash, digest: reader.take(len)?.to_vec() })
        };
        self.list(CAP_AUTH_POLICIES, 0x4000_0000, decode, |policy| policy.handle)
    }
}

fn long(reader: &mut Reader<'_>) -> Result<u32, Error> {
    reader.u32()
}

fn short(reader: &mut Reader<'_>) -> Result<u16, Error> {
    reader.u16()
}

/// Reads one page of a list, and whether more is to come.
pub(crate) fn decode_page<T>(
    parameters: &[u8],
    capability: u32,
    decode: impl Fn(&mut Reader<'_>) -> Result<T, Error>,
) -> Result<(Vec<T>, bool), Error> {
    let mut reader = Reader::new(parameters);
    let more = reader.u8()? != 0;
    if reader.u32()? != capability {
        return Err(Error::Malformed("it is about another capability"));
    }
    let count = reader.u32()?;
    if count > PAGE {
        return Err(Error::Malformed("it lists more than asked for"));
    }
    let page = (0..count).map(|_| decode(&mut reader)).collect::<Result<_, _>>()?;
    reader.end()?;
    Ok((page, more))
}

macro_rules! named {
    ($($number:literal $name:literal)*) => {
        /// The name of a `TPM_ALG_ID`, in the TCG Algorithm Registry's words.
        pub const fn algorithm_name(id: u16) -> Option<&'static str> {
            match id {
                $($number => Some($name),)*
                _ => None,
            }
        }
    };
}

named! {
    0x0001 "rsa" 0x0003 "tdes" 0x0004 "sha1" 0x0005 "hmac" 0x0006 "aes" 0x0007 "mgf1"
    0x0008 "keyedhash" 0x000A "xor" 0x000B "sha256" 0x000C "sha384" 0x000D "sha512"
    0x000E "sha256-192" 0x0010 "null" 0x0012 "sm3-256" 0x0013 "sm4" 0x0014 "rsassa" 0x0015 "rsaes"
    0x0016 "rsapss" 0x0017 "oaep" 0x0018 "ecdsa" 0x0019 "ecdh" 0x001A "ecdaa" 0x001B "sm2"
    0x001C "ecschnorr" 0x001D "ecmqv" 0x0020 "kdf1-sp800-56a" 0x0021 "kdf2" 0x0022 "kdf1-sp800-108"
    0x0023 "ecc" 0x0025 "symcipher" 0x0026 "camellia" 0x0027 "sha3-256" 0x0028 "sha3-384"
    0x0029 "sha3-512" 0x003F "cmac" 0x0040 "ctr" 0x0041 "ofb" 0x0042 "cbc" 0x0043 "cfb" 0x0044 "ecb"
    0x0060 "eddsa" 0x0061 "hash-eddsa" 0x0070 "lms" 0x0071 "xmss" 0x00A0 "mlkem" 0x00A1 "mldsa"
    0x00A2 "hash-mldsa"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_longer_than_it_says_or_about_something_else_is_refused() {
        let page = |capability: u32, count: u32, items: &[u32]| {
            let head = Writer::default().u8(0).u32(capability).u32(count);
            items.iter().fold(head, |writer, item| writer.u32(*item)).done()
        };
        let read = |octets: &[u8]| decode_page(octets, CAP_HANDLES, long);
        let good = page(CAP_HANDLES, 2, &[1, 2]);
        assert_eq!(read(&good).unwrap(), ([1, 2].to_vec(), false));
        for bad in [
            page(CAP_ALGS, 2, &[1, 2]),
            page(CAP_HANDLES, 3, &[1, 2]),
            page(CAP_HANDLES, 1, &[1, 2]),
            page(CAP_HANDLES, u32::MAX, &[1, 2]),
        ] {
            assert!(matches!(read(&bad), Err(Error::Malformed(_))));
        }
        for cut in 0..good.len() {
            assert!(read(&good[..cut]).is_err());
        }
    }
}
